//! The first administrator, whose e-mail address and password come from the settings.

use chassis::db::{self, Db};
use secrecy::SecretString;
use time::OffsetDateTime;

use crate::{
    account::{NewAccount, Role},
    display_name::DisplayName,
    email_address::EmailAddress,
    password::Hasher,
    registration, store,
};

const ROLES: [Role; 2] = [Role::Buyer, Role::Admin];
/// How the administrator is addressed.
pub(crate) const NAME: &str = "Administrator";

/// Who the settings say is the administrator.
pub(crate) struct AdminAccount {
    pub(crate) email: EmailAddress,
    pub(crate) password: SecretString,
}

/// Makes the account be as the settings say: there, the only administrator, with that password.
///
/// Replicas do this at the same time, so each step is one that may be done twice. Whoever took the address before is
/// locked out: the settings say whose account it is. Whoever was the administrator before stays a buyer.
pub(crate) async fn ensure_admin(
    db: &Db,
    hasher: &Hasher,
    admin: &AdminAccount,
) -> anyhow::Result<()> {
    if create(db, hasher, admin).await? {
        tracing::info!("admin account made");
    } else if !is_as_set(db, hasher, admin).await? {
        reset(db, hasher, admin).await?;
        tracing::warn!("admin account changed to what the settings say, and logged out everywhere");
    }
    demote_others(db, admin).await
}

async fn demote_others(db: &Db, admin: &AdminAccount) -> anyhow::Result<()> {
    let mut connection = db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let former = store::accounts::take_from_others(&tx, &admin.email, Role::Admin).await?;
    store::sessions::revoke_all(&tx, &former, OffsetDateTime::now_utc()).await?;
    tx.commit().await?;
    for user_id in former {
        tracing::warn!(%user_id, "no longer an administrator, as ADMIN_EMAIL names another; logged out everywhere");
    }
    Ok(())
}

async fn create(db: &Db, hasher: &Hasher, admin: &AdminAccount) -> anyhow::Result<bool> {
    if store::accounts::credentials(&db.get().await?, &admin.email)
        .await?
        .is_some()
    {
        return Ok(false);
    }
    let hash = hasher.hash(&admin.password).await?;
    let account = NewAccount {
        email: admin.email.clone(),
        name: DisplayName::parse(NAME)?,
        roles: ROLES.to_vec(),
    };
    let mut connection = db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let opened = registration::open_account(&tx, &account, &hash).await?;
    tx.commit().await?;
    Ok(opened.is_some())
}

async fn is_as_set(db: &Db, hasher: &Hasher, admin: &AdminAccount) -> anyhow::Result<bool> {
    let found = store::accounts::credentials(&db.get().await?, &admin.email).await?;
    let Some(account) =
        found.filter(|account| ROLES.iter().all(|role| account.roles.contains(role)))
    else {
        return Ok(false);
    };
    Ok(hasher
        .matches(&admin.password, Some(account.password_hash))
        .await?)
}

async fn reset(db: &Db, hasher: &Hasher, admin: &AdminAccount) -> anyhow::Result<()> {
    let hash = hasher.hash(&admin.password).await?;
    let mut connection = db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let id = store::accounts::reset(&tx, &admin.email, &hash, &ROLES).await?;
    store::sessions::revoke_all(&tx, &[id], OffsetDateTime::now_utc()).await?;
    tx.commit().await?;
    Ok(())
}
