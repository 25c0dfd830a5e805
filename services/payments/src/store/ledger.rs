//! The ledger's tables: appended to, never changed. That transfers are balanced is checked by the database at the commit.

use chassis::db::{self, Client, Transaction};
use uuid::Uuid;

use super::Error;
use crate::ledger::{Balance, Entry, Ledger};

/// Posts one transfer. An attempt is posted at most once.
pub(crate) async fn post(
    tx: &Transaction<'_>,
    payment_id: Uuid,
    attempt_id: Uuid,
    entries: &[Entry],
) -> Result<(), Error> {
    const TRANSFER: &str =
        "insert into ledger_transfers (id, payment_id, attempt_id) values ($1, $2, $3)";
    const ENTRY: &str = "
        insert into ledger_entries (transfer_id, account, currency, amount) values ($1, $2, $3, $4)";
    let id = Uuid::now_v7();
    db::execute(tx, TRANSFER, &[&id, &payment_id, &attempt_id]).await?;
    for entry in entries {
        let (account, currency) = (entry.account.name(), entry.currency.code());
        db::execute(tx, ENTRY, &[&id, &account, &currency, &entry.amount]).await?;
    }
    Ok(())
}

/// All balances, and whether debits equal credits. Reads every entry.
pub(crate) async fn read(client: &impl Client) -> Result<Ledger, Error> {
    const ACCOUNTS: &str = "
        select account, currency::text as currency, sum(amount)::bigint as balance from ledger_entries
        group by account, currency order by account, currency";
    const BALANCED: &str = "
        select not exists (select from ledger_entries group by transfer_id, currency having sum(amount) <> 0)";
    let rows = db::query(client, ACCOUNTS, &[]).await?;
    let accounts = rows.iter().map(|row| {
        Ok(Balance {
            account: row.try_get("account")?,
            currency: row.try_get("currency")?,
            balance: row.try_get("balance")?,
        })
    });
    Ok(Ledger {
        accounts: accounts.collect::<Result<_, Error>>()?,
        balanced: db::query_one(client, BALANCED, &[]).await?.try_get(0)?,
    })
}
