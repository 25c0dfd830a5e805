//! The checkout saga, decided: what payments' answer to a step means for the order, and when the next step is due.
//!
//! Pure: no clock, no database, no network; the runner (`saga::runner`) brings the answers and applies the transitions.
//!
//! ```text
//!  order placed, stock reserved (in the buyer's request)
//!     │
//!  authorise ──declined, refused──▶ cancelled
//!     │  └──────no clear answer by the deadline──▶ cancelled ──▶ void ──▶ ended
//!  confirmed (stock sold; from here only forward)
//!     │
//!  capture ──▶ paid, ended
//! ```

pub(crate) mod runner;

use std::time::Duration;

use chassis::backoff::Backoff;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::order::CancelReason;
use crate::timeline::{Entry, EntryOutcome, Source};

/// How long a payment may take to be authorised, and so how long stock is held for it.
pub(crate) const AUTHORISE_WITHIN: Duration = Duration::from_secs(120);
/// How long after the deadline an authorise request of ours may still reach payments: until then "no such payment" is
/// not believed.
const STRAGGLERS: Duration = Duration::from_secs(60);
/// How long after the deadline a payment that payments knew and does not know any more may still be found again: its
/// database was replaced, and perhaps the right one is put back.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);
/// The first pause before a step is tried again; it doubles from attempt to attempt.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause while the stock is held.
const PAUSE_MAX_HOLDING: Duration = Duration::from_secs(10);
/// The longest pause once nothing but patience is needed.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What the saga has to get done at payments next. Keys, logs, metrics and the timeline name it in snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub(crate) enum Step {
    /// Get the payment authorised, or ask what became of one that payments already knows.
    Authorise { payment: Option<Uuid> },
    /// Take the authorised money; the order is confirmed.
    Capture { payment: Uuid },
    /// Give back what may have been authorised; the order is cancelled.
    Void { payment: Option<Uuid> },
}

/// A saga that is not at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saga {
    pub(crate) step: Step,
    /// How often this step has been tried, this time included: 1 or more.
    pub(crate) attempt: u32,
    /// Until when the payment must be authorised.
    pub(crate) deadline: OffsetDateTime,
}

/// What came back from payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StepOutcome {
    /// Payments knows the payment, and this is how it stands.
    Payment { id: Uuid, status: PaymentStatus },
    /// Payments knows no payment for the order.
    NoPayment,
    /// Payments will not do it, however often it is asked.
    Refused { why: String },
    /// The provider refused, and payments will repeat that under this key; under a new one it asks the provider again.
    RefusedByProvider,
    /// No answer, or none that says whether it was done.
    Unclear { why: String },
}

/// How a payment stands at payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PaymentStatus {
    Processing,
    Authorised,
    /// The money was taken; a part of it may have been given back.
    Captured,
    /// All of the money was taken and given back.
    Refunded,
    Voided,
    Declined {
        reason: Option<String>,
    },
}

/// What follows from an outcome; applied as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) next: Next,
    pub(crate) effect: Option<Effect>,
    /// For the timeline, oldest first.
    pub(crate) entries: Vec<Entry>,
}

/// Where the saga goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The same step once more.
    Again {
        step: Step,
        due: OffsetDateTime,
        /// Under another key than before.
        new_key: bool,
    },
    /// Another step, at once.
    Step(Step),
    Ended {
        payment: Option<Uuid>,
    },
}

/// What happens to the order and its stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The order is confirmed, its reserved units are sold.
    Confirm,
    /// The order is paid.
    Pay,
    /// The order is cancelled, its reserved units are free again.
    Cancel(CancelReason),
}

impl Step {
    /// The payment it is about, where payments has named one.
    pub(crate) fn payment(self) -> Option<Uuid> {
        match self {
            Self::Authorise { payment } | Self::Void { payment } => payment,
            Self::Capture { payment } => Some(payment),
        }
    }

    fn longest_pause(self) -> Duration {
        match self {
            Self::Authorise { .. } => PAUSE_MAX_HOLDING,
            Self::Capture { .. } | Self::Void { .. } => PAUSE_MAX,
        }
    }
}

impl Saga {
    /// Whether there is no time left to ask for an authorisation.
    pub(crate) fn is_overdue(&self, now: OffsetDateTime) -> bool {
        matches!(self.step, Step::Authorise { .. }) && now >= self.deadline
    }

    /// How long the step may take: an authorisation that comes after the deadline is of no use.
    pub(crate) fn time_for_step(&self, now: OffsetDateTime) -> Duration {
        match self.step {
            Step::Authorise { .. } => (self.deadline - now).try_into().unwrap_or(Duration::ZERO),
            Step::Capture { .. } | Step::Void { .. } => Duration::MAX,
        }
    }

    fn pause(&self, jitter: f64) -> Duration {
        let backoff = Backoff {
            first: PAUSE_MIN,
            longest: self.step.longest_pause(),
        };
        backoff.pause(self.attempt, jitter)
    }
}

/// What `outcome` means for `saga` at the moment `now`. `jitter` (0 to 1) spreads the next attempts of many sagas.
pub(crate) fn next(
    saga: &Saga,
    outcome: StepOutcome,
    now: OffsetDateTime,
    jitter: f64,
) -> Transition {
    let verdict = match saga.step {
        Step::Authorise { payment } => {
            let in_time = now < saga.deadline;
            after_authorise(saga, payment, outcome, in_time)
        }
        Step::Capture { payment } => after_capture(payment, outcome),
        Step::Void { payment } => {
            let wait = match payment {
                None => STRAGGLERS,
                Some(_) => FORGOTTEN,
            };
            after_void(payment, outcome, now >= saga.deadline + wait)
        }
    };
    saga.transition(verdict, now, jitter)
}

const REFUSED_BY_PROVIDER: &str = "the provider refused";

/// The meaning of an outcome, in words where people will read it.
enum Verdict {
    Confirmed {
        payment: Uuid,
    },
    Paid {
        payment: Uuid,
    },
    Cancelled {
        reason: CancelReason,
        why: String,
        next: Next,
    },
    /// No money is held for the cancelled order, now or later.
    NothingHeld {
        payment: Option<Uuid>,
        why: &'static str,
    },
    NotYet {
        step: Step,
        why: String,
    },
    /// The provider may think better of it.
    AskAnew {
        step: Step,
    },
}

fn after_authorise(
    saga: &Saga,
    payment: Option<Uuid>,
    outcome: StepOutcome,
    in_time: bool,
) -> Verdict {
    use PaymentStatus::{Authorised, Captured, Declined, Processing, Refunded, Voided};
    let declined = |payment, why| Verdict::Cancelled {
        reason: CancelReason::PaymentDeclined,
        why,
        next: Next::Ended {
            payment: Some(payment),
        },
    };
    let (payment, why) = match outcome {
        StepOutcome::Payment { id, status } => match status {
            Authorised | Captured if in_time => return Verdict::Confirmed { payment: id },
            Authorised | Captured => (Some(id), "the payment is authorised".to_owned()),
            Declined { reason: None } => {
                return declined(id, "the payment was declined".to_owned());
            }
            Declined {
                reason: Some(reason),
            } => {
                return declined(id, format!("the payment was declined: {reason}"));
            }
            Voided => return declined(id, "the payment was voided by somebody else".to_owned()),
            Refunded => {
                return declined(id, "the payment was refunded by somebody else".to_owned());
            }
            Processing => (Some(id), "payments is still working on it".to_owned()),
        },
        StepOutcome::Refused { why } => {
            // An earlier attempt whose answer was lost may have been accepted all the same.
            let next = if saga.attempt > 1 {
                Next::Step(Step::Void { payment })
            } else {
                Next::Ended { payment }
            };
            let reason = CancelReason::PaymentRefused;
            return Verdict::Cancelled { reason, why, next };
        }
        StepOutcome::NoPayment => (payment, "payments knows of no payment".to_owned()),
        StepOutcome::RefusedByProvider => (payment, REFUSED_BY_PROVIDER.to_owned()),
        StepOutcome::Unclear { why } => (payment, why),
    };
    if in_time {
        let step = Step::Authorise { payment };
        Verdict::NotYet { step, why }
    } else {
        Verdict::Cancelled {
            reason: CancelReason::TimedOut,
            why: format!("{why}, but the time for it is over"),
            next: Next::Step(Step::Void { payment }),
        }
    }
}

/// The order is confirmed: whatever payments says but "captured", the answer is to ask again.
fn after_capture(payment: Uuid, outcome: StepOutcome) -> Verdict {
    use PaymentStatus::{Authorised, Captured, Declined, Processing, Refunded, Voided};
    let step = Step::Capture { payment };
    let why = match outcome {
        StepOutcome::Payment { id: _, status } => match status {
            Captured | Refunded => return Verdict::Paid { payment },
            Processing | Authorised => "the money was not taken yet".to_owned(),
            Voided => "the payment was voided although the order is confirmed".to_owned(),
            Declined { reason: _ } => {
                "the payment was declined although the order is confirmed".to_owned()
            }
        },
        StepOutcome::NoPayment => "payments does not know the payment any more".to_owned(),
        StepOutcome::RefusedByProvider => return Verdict::AskAnew { step },
        StepOutcome::Refused { why } | StepOutcome::Unclear { why } => why,
    };
    Verdict::NotYet { step, why }
}

/// The order is cancelled: asked again until it is certain that no money is held. `is_believed` says whether "no such
/// payment" is the last word.
fn after_void(payment: Option<Uuid>, outcome: StepOutcome, is_believed: bool) -> Verdict {
    use PaymentStatus::{Authorised, Captured, Declined, Processing, Refunded, Voided};
    let nothing_held = |payment, why| Verdict::NothingHeld { payment, why };
    let (payment, why) = match outcome {
        StepOutcome::Payment { id, status } => match status {
            Voided => return nothing_held(Some(id), "the authorisation was given back"),
            Declined { reason: _ } => {
                return nothing_held(Some(id), "the payment was declined in the end");
            }
            Refunded => return nothing_held(Some(id), "the money was taken and given back"),
            Processing => (Some(id), "payments is still working on it".to_owned()),
            Authorised => (
                Some(id),
                "the authorisation was not given back yet".to_owned(),
            ),
            Captured => {
                let why = "the money was taken although the order is cancelled: refund it";
                (Some(id), why.to_owned())
            }
        },
        StepOutcome::NoPayment if is_believed => {
            // Without a payment, an event about one would still take the saga up again.
            let why = match payment {
                None => "payments never heard of it: there is nothing to give back",
                Some(_) => {
                    "payments has forgotten the payment: what is held lapses at the provider"
                }
            };
            return nothing_held(None, why);
        }
        StepOutcome::NoPayment => {
            let why = "payments knows of no payment, but may still get to know it";
            (payment, why.to_owned())
        }
        StepOutcome::RefusedByProvider => {
            let step = Step::Void { payment };
            return Verdict::AskAnew { step };
        }
        StepOutcome::Refused { why } | StepOutcome::Unclear { why } => (payment, why),
    };
    let step = Step::Void { payment };
    Verdict::NotYet { step, why }
}

impl Saga {
    fn transition(&self, verdict: Verdict, now: OffsetDateTime, jitter: f64) -> Transition {
        match verdict {
            Verdict::Confirmed { payment } => Transition {
                next: Next::Step(Step::Capture { payment }),
                effect: Some(Effect::Confirm),
                entries: vec![
                    self.entry(EntryOutcome::Done, "the payment is authorised"),
                    by_orders("confirm", "the order is confirmed and its units are sold"),
                ],
            },
            Verdict::Paid { payment } => Transition {
                next: Next::Ended {
                    payment: Some(payment),
                },
                effect: Some(Effect::Pay),
                entries: vec![
                    self.entry(EntryOutcome::Done, "the money was taken"),
                    by_orders("pay", "the order is paid"),
                ],
            },
            Verdict::Cancelled { reason, why, next } => Transition {
                next,
                effect: Some(Effect::Cancel(reason)),
                entries: vec![self.entry(EntryOutcome::Failed, why), cancelled(reason)],
            },
            Verdict::NothingHeld { payment, why } => Transition {
                next: Next::Ended { payment },
                effect: None,
                entries: vec![self.entry(EntryOutcome::Compensated, why)],
            },
            Verdict::NotYet { step, why } => self.again(step, false, &why, now, jitter),
            Verdict::AskAnew { step } => self.again(step, true, REFUSED_BY_PROVIDER, now, jitter),
        }
    }

    fn again(
        &self,
        step: Step,
        new_key: bool,
        why: &str,
        now: OffsetDateTime,
        jitter: f64,
    ) -> Transition {
        let due = now + self.pause(jitter);
        let due = match step {
            Step::Authorise { .. } => due.min(self.deadline),
            Step::Capture { .. } | Step::Void { .. } => due,
        };
        let attempt = self.attempt;
        let pause = seconds(due - now);
        let detail = format!("{why}; attempt {attempt}, next try in {pause}");
        // A long outage must not fill the timeline.
        let is_telling = attempt <= 20 || attempt.is_power_of_two();
        let entry = is_telling.then(|| self.entry(EntryOutcome::Retrying, detail));
        Transition {
            next: Next::Again { step, due, new_key },
            effect: None,
            entries: entry.into_iter().collect(),
        }
    }

    fn entry(&self, outcome: EntryOutcome, detail: impl Into<String>) -> Entry {
        Entry {
            service: Source::Payments,
            step: self.step.into_str().into(),
            outcome,
            detail: detail.into(),
            attempt: Some(self.attempt),
        }
    }
}

fn by_orders(step: &'static str, detail: &str) -> Entry {
    Entry::of_orders(step, EntryOutcome::Done, detail)
}

fn cancelled(reason: CancelReason) -> Entry {
    let detail = format!(
        "the order is cancelled ({reason}), its units are free again, and what is still sold is back in the cart"
    );
    Entry::of_orders("cancel", EntryOutcome::Compensated, detail)
}

/// "4 s", or "350 ms" below a second.
fn seconds(duration: time::Duration) -> String {
    if duration < time::Duration::SECOND {
        format!("{} ms", duration.whole_milliseconds().max(0))
    } else {
        format!("{:.0} s", duration.as_seconds_f64())
    }
}

#[cfg(test)]
mod tests;
