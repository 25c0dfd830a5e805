//! The double-entry ledger: which accounts there are, and which entries follow from what happened to a payment.
//!
//! | account | kind | a debit (+) means | a credit (-) means |
//! |---|---|---|---|
//! | `provider_receivable` | asset | the provider owes the shop more | the provider has paid back to a buyer |
//! | `merchant_sales` | income | - | the shop has sold |
//! | `refunds` | income, reduced | the shop has given money back | - |
//!
//! An authorisation and a void move no money, so they are not posted.

use iso_currency::Currency;
use serde::Serialize;
use utoipa::ToSchema;

use crate::money::Money;
use crate::payment::Change;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub(crate) enum Account {
    ProviderReceivable,
    MerchantSales,
    Refunds,
}

/// One line of a transfer. A positive amount is a debit, a negative one a credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) account: Account,
    pub(crate) currency: Currency,
    /// Minor units.
    pub(crate) amount: i64,
}

/// The entries that follow from `change` of a payment of `whole`; none where no money moved.
pub(crate) fn entries(change: &Change, whole: Money) -> Vec<Entry> {
    match change {
        Change::Captured => transfer(Account::ProviderReceivable, Account::MerchantSales, whole),
        Change::Refunded { amount, .. } => transfer(
            Account::Refunds,
            Account::ProviderReceivable,
            whole.with(*amount),
        ),
        Change::Authorised
        | Change::AuthorisedToVoid
        | Change::Declined { .. }
        | Change::Voided
        | Change::Refused { .. } => Vec::new(),
    }
}

fn transfer(debit: Account, credit: Account, money: Money) -> Vec<Entry> {
    let entry = |account, amount| Entry {
        account,
        currency: money.currency,
        amount,
    };
    vec![entry(debit, money.amount), entry(credit, -money.amount)]
}

/// What the accounts hold.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ledger {
    /// Whether debits and credits are equal, in every transfer and in all.
    pub(crate) balanced: bool,
    pub(crate) accounts: Vec<Balance>,
}

/// One account in one currency: the sum of its entries, debits positive.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Balance {
    #[schema(example = "provider_receivable")]
    pub(crate) account: String,
    #[schema(example = "EUR")]
    pub(crate) currency: String,
    /// Minor units.
    #[schema(example = 1999)]
    pub(crate) balance: i64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::money::MAX_AMOUNT;
    use crate::payment::{Outcome, Request, State, conclude, request};

    /// A caller's wish or the provider's answer, whichever fits the state or not.
    #[derive(Debug, Clone)]
    enum Happening {
        Asked(Request),
        Answered(Outcome),
    }

    fn happening() -> impl Strategy<Value = Happening> {
        let part = (1..=MAX_AMOUNT).prop_map(|amount| {
            Some(Money {
                amount,
                currency: Currency::EUR,
            })
        });
        prop_oneof![
            4 => Just(Happening::Answered(Outcome::Approved)),
            1 => Just(Happening::Answered(Outcome::Refused { reason: "no".to_owned() })),
            3 => Just(Happening::Asked(Request::Capture)),
            1 => Just(Happening::Asked(Request::Void)),
            1 => Just(Happening::Asked(Request::Refund(None))),
            3 => part.prop_map(|m| Happening::Asked(Request::Refund(m))),
        ]
    }

    #[test]
    fn the_names_of_accounts_in_the_database_stay_what_they_are() {
        let accounts = [
            (Account::ProviderReceivable, "provider_receivable"),
            (Account::MerchantSales, "merchant_sales"),
            (Account::Refunds, "refunds"),
        ];
        for (account, name) in accounts {
            assert_eq!(account.into_str(), name);
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_the_ledger_is_balanced_and_says_what_the_payment_says(
            amount in 1..=MAX_AMOUNT,
            happenings in proptest::collection::vec(happening(), 0..40),
        ) {
            let whole = Money { amount, currency: Currency::EUR };
            let mut state = State::Authorising;
            let mut book = Vec::new();
            for happening in happenings {
                match happening {
                    Happening::Asked(asked) => {
                        if let Ok(step) = request(&state, whole, asked) {
                            state = step.state;
                        }
                    }
                    Happening::Answered(outcome) => {
                        if let Some((next, change)) = conclude(&state, outcome) {
                            state = next;
                            let posted = entries(&change, whole);
                            prop_assert_eq!(posted.iter().map(|e| e.amount).sum::<i64>(), 0);
                            prop_assert!(posted.iter().all(|e| e.amount != 0 && e.currency == whole.currency));
                            book.extend(posted);
                        }
                    }
                }
                let balance = |account| book.iter().filter(|e| e.account == account).map(|e| e.amount).sum::<i64>();
                prop_assert!(state.refunded() <= state.captured(whole));
                prop_assert_eq!(balance(Account::MerchantSales), -state.captured(whole));
                prop_assert_eq!(balance(Account::Refunds), state.refunded());
                prop_assert_eq!(balance(Account::ProviderReceivable), state.captured(whole) - state.refunded());
            }
        }
    }
}
