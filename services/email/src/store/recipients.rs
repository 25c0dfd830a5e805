//! Whom to write to.

use chassis::db::{self, Client};
use uuid::Uuid;

/// Somebody with an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipient {
    pub(crate) user_id: Uuid,
    pub(crate) address: String,
}

const UPSERT: &str = "
    insert into recipients (user_id, address) values ($1, $2)
    on conflict (user_id) do update set address = excluded.address";

/// Keeps a recipient; a known one is brought up to date.
pub(crate) async fn upsert(client: &impl Client, recipient: &Recipient) -> Result<(), db::Error> {
    let Recipient { user_id, address } = recipient;
    db::execute(client, UPSERT, &[user_id, address]).await?;
    Ok(())
}

const FIND: &str = "select user_id, address from recipients where user_id = $1";

/// The recipient with this id, if `user.registered` has arrived.
pub(crate) async fn find(
    client: &impl Client,
    user_id: Uuid,
) -> Result<Option<Recipient>, db::Error> {
    let row = db::query_opt(client, FIND, &[&user_id]).await?;
    row.map(|row| {
        Ok(Recipient {
            user_id: row.try_get("user_id")?,
            address: row.try_get("address")?,
        })
    })
    .transpose()
}
