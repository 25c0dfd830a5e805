//! The life of a payment as pure functions: [`request`] judges what a caller asks for, [`conclude`] what the provider's
//! answer makes of it. Neither knows a database, a provider or a clock.
//!
//! ```text
//! authorising --+--> declined
//!   |           |
//!   |           +--> authorised <---> capturing ---> captured <---> refunding
//!   v                    ^  |
//! void_requested         |  v
//!   |   |               voiding ---> voided
//!   |   +-------------------^
//!   +--> declined
//! ```

use crate::money::Money;

/// Where a payment stands. `VoidRequested` and the states that end in "-ing" wait for the provider's answer to exactly one
/// operation; all others wait for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Authorising,
    /// The caller gave up before the provider had answered: what is authorised after all is voided at once.
    VoidRequested,
    Declined {
        reason: String,
    },
    Authorised,
    Capturing,
    Voiding,
    Voided,
    /// The whole amount was captured; `refunded` minor units of it were given back.
    Captured {
        refunded: i64,
    },
    Refunding {
        refunded: i64,
        amount: i64,
    },
}

/// What the provider is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub(crate) enum Operation {
    Authorise,
    Capture,
    Void,
    Refund,
}

/// What a caller asks for once a payment exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Capture,
    Void,
    /// `None` gives back all that is left.
    Refund(Option<Money>),
}

/// A request that was let through.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) state: State,
    pub(crate) operation: Operation,
    /// Minor units.
    pub(crate) amount: i64,
    pub(crate) when: When,
}

/// When the provider is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Now,
    /// Once the operation that is with the provider has ended.
    Later,
}

/// Why a request was not let through.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The same request may be let through once the provider has answered.
    #[error("waits for the provider's answer to another operation; try again soon")]
    Busy,
    #[error("is {0} and cannot be {1}")]
    NotAllowed(Status, &'static str),
    #[error("has {left} minor units left to refund")]
    RefundTooLarge { left: i64 },
    #[error("is in {0}; a refund is in the same currency")]
    OtherCurrency(&'static str),
}

/// The provider's clear answer to an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Approved,
    Refused { reason: String },
}

/// What an answer changed. Event, ledger, metrics and log line follow from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Authorised,
    /// Authorised although a void was asked for meanwhile: the void is sent now.
    AuthorisedToVoid,
    Declined {
        reason: String,
    },
    Captured,
    Voided,
    /// `amount` minor units now, `total` with all earlier ones.
    Refunded {
        amount: i64,
        total: i64,
    },
    /// The provider refused a later operation: the payment is as it was before.
    Refused {
        operation: Operation,
        reason: String,
    },
}

/// What a caller sees. While the provider's answer is not known it is `processing`, whatever the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, strum::Display, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Status {
    Processing,
    Authorised,
    Captured,
    Voided,
    Declined,
    Refunded,
    #[strum(to_string = "partially refunded")]
    PartiallyRefunded,
}

/// Judges `request` on a payment of `whole` in `state`.
pub(crate) fn request(state: &State, whole: Money, request: Request) -> Result<Step, Refusal> {
    let step = |state, operation| {
        Ok(Step {
            state,
            operation,
            amount: whole.amount,
            when: When::Now,
        })
    };
    match (state, request) {
        (State::Authorised, Request::Capture) => step(State::Capturing, Operation::Capture),
        (State::Authorised, Request::Void) => step(State::Voiding, Operation::Void),
        (State::Authorising, Request::Void) => Ok(Step {
            state: State::VoidRequested,
            operation: Operation::Void,
            amount: whole.amount,
            when: When::Later,
        }),
        (State::Captured { refunded }, Request::Refund(part)) => refund(*refunded, whole, part),
        (
            State::Authorising
            | State::VoidRequested
            | State::Capturing
            | State::Voiding
            | State::Refunding { .. },
            _,
        ) => Err(Refusal::Busy),
        (
            State::Declined { .. } | State::Voided | State::Authorised | State::Captured { .. },
            _,
        ) => Err(Refusal::NotAllowed(status(state, whole), past(request))),
    }
}

fn refund(refunded: i64, whole: Money, part: Option<Money>) -> Result<Step, Refusal> {
    let left = whole.amount - refunded;
    if let Some(part) = part
        && part.currency != whole.currency
    {
        return Err(Refusal::OtherCurrency(whole.currency.code()));
    }
    let amount = part.map_or(left, |part| part.amount);
    if amount < 1 || amount > left {
        return Err(Refusal::RefundTooLarge { left });
    }
    Ok(Step {
        state: State::Refunding { refunded, amount },
        operation: Operation::Refund,
        amount,
        when: When::Now,
    })
}

/// What the provider's answer makes of a payment in `state`. `None` where no answer is waited for.
pub(crate) fn conclude(state: &State, outcome: Outcome) -> Option<(State, Change)> {
    use Outcome::{Approved, Refused};
    let refused =
        |back: State, operation, reason| Some((back, Change::Refused { operation, reason }));
    match (state, outcome) {
        (State::Authorising, Approved) => Some((State::Authorised, Change::Authorised)),
        (State::VoidRequested, Approved) => Some((State::Voiding, Change::AuthorisedToVoid)),
        (State::Authorising | State::VoidRequested, Refused { reason }) => {
            let declined = State::Declined {
                reason: reason.clone(),
            };
            Some((declined, Change::Declined { reason }))
        }
        (State::Capturing, Approved) => Some((State::Captured { refunded: 0 }, Change::Captured)),
        (State::Capturing, Refused { reason }) => {
            refused(State::Authorised, Operation::Capture, reason)
        }
        (State::Voiding, Approved) => Some((State::Voided, Change::Voided)),
        (State::Voiding, Refused { reason }) => refused(State::Authorised, Operation::Void, reason),
        (State::Refunding { refunded, amount }, Approved) => {
            let total = refunded + amount;
            let change = Change::Refunded {
                amount: *amount,
                total,
            };
            Some((State::Captured { refunded: total }, change))
        }
        (State::Refunding { refunded, .. }, Refused { reason }) => refused(
            State::Captured {
                refunded: *refunded,
            },
            Operation::Refund,
            reason,
        ),
        (
            State::Declined { .. } | State::Authorised | State::Voided | State::Captured { .. },
            Approved | Refused { .. },
        ) => None,
    }
}

/// What a caller sees of `state`.
pub(crate) fn status(state: &State, whole: Money) -> Status {
    match state {
        State::Authorising
        | State::VoidRequested
        | State::Capturing
        | State::Voiding
        | State::Refunding { .. } => Status::Processing,
        State::Declined { .. } => Status::Declined,
        State::Authorised => Status::Authorised,
        State::Voided => Status::Voided,
        State::Captured { refunded: 0 } => Status::Captured,
        State::Captured { refunded } if *refunded == whole.amount => Status::Refunded,
        State::Captured { .. } => Status::PartiallyRefunded,
    }
}

impl State {
    /// Minor units that were captured of a payment of `whole`, refunded ones included.
    pub(crate) fn captured(&self, whole: Money) -> i64 {
        match self {
            Self::Captured { .. } | Self::Refunding { .. } => whole.amount,
            Self::Authorising
            | Self::VoidRequested
            | Self::Declined { .. }
            | Self::Authorised
            | Self::Capturing
            | Self::Voiding
            | Self::Voided => 0,
        }
    }

    /// Minor units that were given back.
    pub(crate) fn refunded(&self) -> i64 {
        match self {
            Self::Captured { refunded } | Self::Refunding { refunded, .. } => *refunded,
            Self::Authorising
            | Self::VoidRequested
            | Self::Declined { .. }
            | Self::Authorised
            | Self::Capturing
            | Self::Voiding
            | Self::Voided => 0,
        }
    }

    /// The provider's word for why it declined.
    pub(crate) fn decline_reason(self) -> Option<String> {
        if let Self::Declined { reason } = self {
            Some(reason)
        } else {
            None
        }
    }
}

fn past(request: Request) -> &'static str {
    match request {
        Request::Capture => "captured",
        Request::Void => "voided",
        Request::Refund(_) => "refunded",
    }
}

#[cfg(test)]
mod tests {
    use iso_currency::Currency;

    use super::*;

    const WHOLE: Money = Money {
        amount: 1000,
        currency: Currency::EUR,
    };

    fn eur(amount: i64) -> Money {
        WHOLE.with(amount)
    }

    fn refused() -> Outcome {
        Outcome::Refused {
            reason: "no".to_owned(),
        }
    }

    fn all() -> Vec<State> {
        vec![
            State::Authorising,
            State::VoidRequested,
            State::Declined {
                reason: "no".to_owned(),
            },
            State::Authorised,
            State::Capturing,
            State::Voiding,
            State::Voided,
            State::Captured { refunded: 0 },
            State::Captured { refunded: 400 },
            State::Captured { refunded: 1000 },
            State::Refunding {
                refunded: 400,
                amount: 100,
            },
        ]
    }

    /// The whole table: state, then the answer to capture, void and a full refund.
    #[test]
    fn every_request_in_every_state() {
        let word = |r: Result<Step, Refusal>| match r {
            Ok(Step {
                when: When::Now, ..
            }) => "now",
            Ok(Step {
                when: When::Later, ..
            }) => "later",
            Err(Refusal::Busy) => "busy",
            Err(Refusal::NotAllowed(..)) => "no",
            Err(Refusal::RefundTooLarge { .. }) => "too large",
            Err(Refusal::OtherCurrency(_)) => "currency",
        };
        let seen: Vec<_> = all()
            .iter()
            .map(|s| {
                [Request::Capture, Request::Void, Request::Refund(None)]
                    .map(|r| word(request(s, WHOLE, r)))
            })
            .collect();
        let expected = vec![
            ["busy", "later", "busy"], // authorising
            ["busy", "busy", "busy"],  // void requested
            ["no", "no", "no"],        // declined
            ["now", "now", "no"],      // authorised
            ["busy", "busy", "busy"],  // capturing
            ["busy", "busy", "busy"],  // voiding
            ["no", "no", "no"],        // voided
            ["no", "no", "now"],       // captured
            ["no", "no", "now"],       // partially refunded
            ["no", "no", "too large"], // refunded
            ["busy", "busy", "busy"],  // refunding
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn every_answer_in_every_state() {
        let seen: Vec<_> = all()
            .iter()
            .map(|s| [Outcome::Approved, refused()].map(|o| conclude(s, o).map(|(s, _)| s)))
            .collect();
        let declined = State::Declined {
            reason: "no".to_owned(),
        };
        let captured = |refunded| Some(State::Captured { refunded });
        let expected = vec![
            [Some(State::Authorised), Some(declined.clone())],
            [Some(State::Voiding), Some(declined)],
            [None, None],
            [None, None],
            [captured(0), Some(State::Authorised)],
            [Some(State::Voided), Some(State::Authorised)],
            [None, None],
            [None, None],
            [None, None],
            [None, None],
            [captured(500), captured(400)],
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_refund_is_at_most_what_is_left_and_in_the_same_currency() {
        let state = State::Captured { refunded: 400 };
        let asked = |money| request(&state, WHOLE, Request::Refund(money)).map(|s| s.amount);
        assert_eq!(asked(None), Ok(600));
        assert_eq!(asked(Some(eur(600))), Ok(600));
        assert_eq!(
            asked(Some(eur(601))),
            Err(Refusal::RefundTooLarge { left: 600 })
        );
        assert_eq!(
            asked(Some(eur(0))),
            Err(Refusal::RefundTooLarge { left: 600 })
        );
        let dollars = Money {
            amount: 1,
            currency: Currency::USD,
        };
        assert_eq!(asked(Some(dollars)), Err(Refusal::OtherCurrency("EUR")));
    }

    #[test]
    fn the_names_of_operations_in_the_database_stay_what_they_are() {
        for (operation, name) in [
            (Operation::Authorise, "authorise"),
            (Operation::Capture, "capture"),
            (Operation::Void, "void"),
            (Operation::Refund, "refund"),
        ] {
            assert_eq!((operation.into_str(), name.parse()), (name, Ok(operation)));
        }
    }

    #[test]
    fn a_refused_request_says_where_the_payment_stands() {
        let refusal = request(&State::Captured { refunded: 0 }, WHOLE, Request::Void).unwrap_err();
        assert_eq!(refusal.to_string(), "is captured and cannot be voided");
        let refusal = request(&State::Captured { refunded: 1 }, WHOLE, Request::Void).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "is partially refunded and cannot be voided"
        );
    }
}
