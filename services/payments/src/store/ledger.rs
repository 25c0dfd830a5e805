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
        let (account, currency) = (entry.account.into_str(), entry.currency.code());
        db::execute(tx, ENTRY, &[&id, &account, &currency, &entry.amount]).await?;
    }
    Ok(())
}

/// All balances, and whether debits equal credits, of one moment. Reads every entry once.
pub(crate) async fn read(client: &impl Client) -> Result<Ledger, Error> {
    // One row an account and currency; and one a transfer that is not balanced, of which there should be none.
    const SQL: &str = "
        select account, currency::text as currency, sum(amount)::bigint as balance from ledger_entries
        group by grouping sets ((account, currency), (transfer_id, currency))
        having grouping(account) = 0 or sum(amount) <> 0
        order by account, currency";
    let rows = db::query(client, SQL, &[]).await?;
    let mut ledger = Ledger {
        balanced: true,
        accounts: vec![],
    };
    for row in rows {
        match row.try_get("account")? {
            None => ledger.balanced = false,
            Some(account) => ledger.accounts.push(Balance {
                account,
                currency: row.try_get("currency")?,
                balance: row.try_get("balance")?,
            }),
        }
    }
    Ok(ledger)
}
