//! Making an account: the row and the event that says so, in one transaction.

use chassis::{
    db::{self, Transaction},
    outbox,
};

use crate::{
    account::{NewAccount, User},
    events::UserRegistered,
    password::PasswordHash,
    store,
};

/// An account's first event. Later ones count on from here.
const FIRST: i64 = 1;

/// Makes the account; `None` if the address has one. The caller commits.
pub(crate) async fn open_account(
    tx: &Transaction<'_>,
    account: &NewAccount,
    hash: &PasswordHash,
) -> Result<Option<User>, db::Error> {
    let Some(user) = store::accounts::insert(tx, account, hash).await? else {
        return Ok(None);
    };
    let event = UserRegistered {
        user_id: user.id,
        email: user.email.clone(),
        name: user.name.clone(),
    };
    outbox::add(tx, &user.id.to_string(), FIRST, &event).await?;
    Ok(Some(user))
}
