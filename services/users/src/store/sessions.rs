//! The tables `sessions` and `refresh_tokens`.

use chassis::db::{self, Client, Db, Transaction, execute, query_opt};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    account::Role,
    refresh_token::{Digest, Known, LIFETIME},
};

/// A refresh token that was found, with the session and the account that it belongs to.
pub(crate) struct Found {
    pub(crate) session_id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) roles: Vec<Role>,
    pub(crate) token: Known,
}

pub(crate) async fn start(
    tx: &Transaction<'_>,
    user: Uuid,
    now: OffsetDateTime,
) -> Result<Uuid, db::Error> {
    const SQL: &str = "insert into sessions (id, user_id, created_at) values ($1, $2, $3)";
    let id = Uuid::now_v7();
    execute(tx, SQL, &[&id, &user, &now]).await?;
    Ok(id)
}

/// Adds the token that works from now on. The one before it must be marked as used first.
pub(crate) async fn add_token(
    tx: &Transaction<'_>,
    session: Uuid,
    digest: &Digest,
    now: OffsetDateTime,
) -> Result<(), db::Error> {
    const SQL: &str = "insert into refresh_tokens (digest, session_id, issued_at, expires_at) values ($1, $2, $3, $4)";
    execute(tx, SQL, &[&&digest[..], &session, &now, &(now + LIFETIME)]).await?;
    Ok(())
}

/// Finds a token and locks it and its session. Both, because a row that is only read would be seen as it was before the
/// wait for the lock.
pub(crate) async fn lock_token(
    tx: &Transaction<'_>,
    digest: &Digest,
) -> Result<Option<Found>, db::Error> {
    const SQL: &str = "
        select t.session_id, s.user_id, u.roles, t.expires_at, t.used_at, s.revoked_at
        from refresh_tokens t join sessions s on s.id = t.session_id join users u on u.id = s.user_id
        where t.digest = $1
        for update of t, s";
    let row = query_opt(tx, SQL, &[&&digest[..]]).await?;
    Ok(row.map(|row| Found {
        session_id: row.get("session_id"),
        user_id: row.get("user_id"),
        roles: Role::known(&row.get::<_, Vec<String>>("roles")),
        token: Known {
            expires_at: row.get("expires_at"),
            used_at: row.get("used_at"),
            revoked_at: row.get("revoked_at"),
        },
    }))
}

pub(crate) async fn use_token(
    tx: &Transaction<'_>,
    digest: &Digest,
    now: OffsetDateTime,
) -> Result<(), db::Error> {
    const SQL: &str = "update refresh_tokens set used_at = $2 where digest = $1";
    execute(tx, SQL, &[&&digest[..], &now]).await?;
    Ok(())
}

pub(crate) async fn revoke(
    tx: &Transaction<'_>,
    session: Uuid,
    now: OffsetDateTime,
) -> Result<(), db::Error> {
    const SQL: &str = "update sessions set revoked_at = $2 where id = $1 and revoked_at is null";
    execute(tx, SQL, &[&session, &now]).await?;
    Ok(())
}

pub(crate) async fn revoke_by_token(
    client: &impl Client,
    digest: &Digest,
    now: OffsetDateTime,
) -> Result<(), db::Error> {
    const SQL: &str = "
        update sessions set revoked_at = $2
        where id = (select session_id from refresh_tokens where digest = $1) and revoked_at is null";
    execute(client, SQL, &[&&digest[..], &now]).await?;
    Ok(())
}

pub(crate) async fn revoke_all(
    tx: &Transaction<'_>,
    user: Uuid,
    now: OffsetDateTime,
) -> Result<(), db::Error> {
    const SQL: &str =
        "update sessions set revoked_at = $2 where user_id = $1 and revoked_at is null";
    execute(tx, SQL, &[&user, &now]).await?;
    Ok(())
}

/// Removes tokens that have expired and sessions that have none left. Returns how many tokens went.
///
/// A used token is kept until it would have expired, so that showing it again is noticed until then.
pub(crate) async fn remove_expired(db: &Db, now: OffsetDateTime) -> Result<u64, db::Error> {
    // In portions, so that no statement holds many locks for long.
    const PORTION: u64 = 1000;
    const SQL: &str = "
        with expired as (
            delete from refresh_tokens where digest in (
                select digest from refresh_tokens where expires_at < $1 order by expires_at limit 1000
                for update skip locked)
            returning digest, session_id
        ), ended as (
            delete from sessions s
            where s.id in (select session_id from expired)
              and not exists (
                select from refresh_tokens t
                where t.session_id = s.id and t.digest not in (select digest from expired))
        )
        select from expired";
    let mut removed = 0;
    loop {
        let portion = execute(&db.get().await?, SQL, &[&now]).await?;
        removed += portion;
        if portion < PORTION {
            return Ok(removed);
        }
    }
}
