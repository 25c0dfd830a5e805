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

use time::OffsetDateTime;
use uuid::Uuid;

use crate::order::CancelReason;
use crate::timeline::{Entry, EntryOutcome, Source};

/// How long a payment may take to be authorised, and so how long stock is held for it.
pub(crate) const AUTHORISE_WITHIN: Duration = Duration::from_secs(120);
/// How long after the deadline an authorise request of ours may still reach payments: until then "no such payment" is
/// not believed.
const STRAGGLERS: Duration = Duration::from_secs(60);
/// The first pause before a step is tried again; it doubles from attempt to attempt.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause while the stock is held.
const PAUSE_MAX_HOLDING: Duration = Duration::from_secs(10);
/// The longest pause once nothing but patience is needed.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What the saga has to get done at payments next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// No answer, or none that says whether it was done.
    Unclear { why: String },
}

/// How a payment stands at payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PaymentStatus {
    Processing,
    Authorised,
    /// The money was taken (a later refund does not change that).
    Captured,
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
    /// The word for it in keys, logs, metrics and the timeline.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Authorise { .. } => "authorise",
            Self::Capture { .. } => "capture",
            Self::Void { .. } => "void",
        }
    }

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

    /// Half of the exponential pause, and up to as much again by `jitter` (0 to 1).
    fn pause(&self, jitter: f64) -> Duration {
        let doublings = self.attempt.saturating_sub(1).min(16);
        let pause = (PAUSE_MIN * 2_u32.pow(doublings)).min(self.step.longest_pause());
        pause.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }
}

/// What `outcome` means for `saga` at the moment `now`. `jitter` (0 to 1) spreads the next attempts of many sagas.
pub(crate) fn next(
    saga: &Saga,
    outcome: StepOutcome,
    now: OffsetDateTime,
    jitter: f64,
) -> Transition {
    match saga.step {
        Step::Authorise { payment } => after_authorise(saga, payment, outcome, now, jitter),
        Step::Capture { payment } => after_capture(saga, payment, outcome, now, jitter),
        Step::Void { payment } => after_void(saga, payment, outcome, now, jitter),
    }
}

fn after_authorise(
    saga: &Saga,
    payment: Option<Uuid>,
    outcome: StepOutcome,
    now: OffsetDateTime,
    jitter: f64,
) -> Transition {
    let in_time = now < saga.deadline;
    match outcome {
        StepOutcome::Payment { id, status } => match status {
            PaymentStatus::Authorised | PaymentStatus::Captured if in_time => Transition {
                next: Next::Step(Step::Capture { payment: id }),
                effect: Some(Effect::Confirm),
                entries: vec![
                    saga.entry(EntryOutcome::Done, "the payment is authorised"),
                    Entry::of_orders(
                        "confirm",
                        EntryOutcome::Done,
                        "the order is confirmed and its units are sold",
                    ),
                ],
            },
            PaymentStatus::Authorised | PaymentStatus::Captured => {
                saga.timed_out(Some(id), "the payment was authorised, but too late")
            }
            PaymentStatus::Declined { reason } => {
                let why = reason.map_or_else(
                    || "the payment was declined".to_owned(),
                    |reason| format!("the payment was declined: {reason}"),
                );
                saga.cancelled(
                    Next::Ended { payment: Some(id) },
                    CancelReason::PaymentDeclined,
                    why,
                )
            }
            PaymentStatus::Voided => saga.cancelled(
                Next::Ended { payment: Some(id) },
                CancelReason::PaymentDeclined,
                "the payment was voided before the order was confirmed".to_owned(),
            ),
            PaymentStatus::Processing if in_time => {
                let step = Step::Authorise { payment: Some(id) };
                saga.again(step, "payments is still working on it", now, jitter)
            }
            PaymentStatus::Processing => {
                saga.timed_out(Some(id), "payments was still working on it")
            }
        },
        StepOutcome::Refused { why } => {
            // An earlier attempt whose answer was lost may have been accepted all the same.
            let next = if saga.attempt > 1 {
                Next::Step(Step::Void { payment })
            } else {
                Next::Ended { payment }
            };
            saga.cancelled(next, CancelReason::PaymentRefused, why)
        }
        StepOutcome::NoPayment if in_time => {
            saga.again(saga.step, "payments knows of no payment", now, jitter)
        }
        StepOutcome::NoPayment => saga.timed_out(payment, "payments knows of no payment"),
        StepOutcome::Unclear { why } if in_time => saga.again(saga.step, &why, now, jitter),
        StepOutcome::Unclear { why } => saga.timed_out(payment, &why),
    }
}

/// The order is confirmed: whatever payments says but "captured", the answer is to ask again.
fn after_capture(
    saga: &Saga,
    payment: Uuid,
    outcome: StepOutcome,
    now: OffsetDateTime,
    jitter: f64,
) -> Transition {
    let why = match outcome {
        StepOutcome::Payment { id: _, status } => match status {
            PaymentStatus::Captured => {
                return Transition {
                    next: Next::Ended {
                        payment: Some(payment),
                    },
                    effect: Some(Effect::Pay),
                    entries: vec![
                        saga.entry(EntryOutcome::Done, "the money was taken"),
                        Entry::of_orders("pay", EntryOutcome::Done, "the order is paid"),
                    ],
                };
            }
            PaymentStatus::Processing | PaymentStatus::Authorised => {
                "the money was not taken yet".to_owned()
            }
            PaymentStatus::Voided => {
                "the payment was voided although the order is confirmed".to_owned()
            }
            PaymentStatus::Declined { reason: _ } => {
                "the payment was declined although the order is confirmed".to_owned()
            }
        },
        StepOutcome::NoPayment => "payments does not know the payment any more".to_owned(),
        StepOutcome::Refused { why } | StepOutcome::Unclear { why } => why,
    };
    saga.again(saga.step, &why, now, jitter)
}

/// The order is cancelled: asked again until it is certain that no money is held.
fn after_void(
    saga: &Saga,
    payment: Option<Uuid>,
    outcome: StepOutcome,
    now: OffsetDateTime,
    jitter: f64,
) -> Transition {
    match outcome {
        StepOutcome::Payment { id, status } => {
            let step = Step::Void { payment: Some(id) };
            match status {
                PaymentStatus::Voided => saga.voided(Some(id), "the authorisation was given back"),
                PaymentStatus::Declined { reason: _ } => saga.voided(
                    Some(id),
                    "the payment was declined in the end: nothing to give back",
                ),
                PaymentStatus::Processing => {
                    saga.again(step, "payments is still working on it", now, jitter)
                }
                PaymentStatus::Authorised => saga.again(
                    step,
                    "the authorisation was not given back yet",
                    now,
                    jitter,
                ),
                PaymentStatus::Captured => saga.again(
                    step,
                    "the money was taken although the order is cancelled: refund it",
                    now,
                    jitter,
                ),
            }
        }
        StepOutcome::NoPayment if payment.is_none() && now >= saga.deadline + STRAGGLERS => saga
            .voided(
                None,
                "payments never got to know the payment: nothing to give back",
            ),
        StepOutcome::NoPayment => {
            let why = "payments knows of no payment, but may still get to know it";
            saga.again(saga.step, why, now, jitter)
        }
        StepOutcome::Refused { why } | StepOutcome::Unclear { why } => {
            saga.again(saga.step, &why, now, jitter)
        }
    }
}

impl Saga {
    fn entry(&self, outcome: EntryOutcome, detail: impl Into<String>) -> Entry {
        Entry {
            service: Source::Payments,
            step: self.step.name().into(),
            outcome,
            detail: detail.into(),
            attempt: Some(self.attempt),
        }
    }

    fn again(&self, step: Step, why: &str, now: OffsetDateTime, jitter: f64) -> Transition {
        let due = now + self.pause(jitter);
        let due = match step {
            Step::Authorise { .. } => due.min(self.deadline),
            Step::Capture { .. } | Step::Void { .. } => due,
        };
        let detail = format!(
            "{why}; attempt {}, next try in {}",
            self.attempt,
            seconds(due - now)
        );
        // A long outage must not fill the timeline.
        let is_telling = self.attempt <= 20 || self.attempt.is_power_of_two();
        Transition {
            next: Next::Again { step, due },
            effect: None,
            entries: is_telling
                .then(|| self.entry(EntryOutcome::Retrying, detail))
                .into_iter()
                .collect(),
        }
    }

    fn cancelled(&self, next: Next, reason: CancelReason, why: String) -> Transition {
        Transition {
            next,
            effect: Some(Effect::Cancel(reason)),
            entries: vec![self.entry(EntryOutcome::Failed, why), cancel_entry(reason)],
        }
    }

    fn timed_out(&self, payment: Option<Uuid>, why: &str) -> Transition {
        let next = Next::Step(Step::Void { payment });
        let why = format!("{why}; the time for it is over");
        self.cancelled(next, CancelReason::TimedOut, why)
    }

    fn voided(&self, payment: Option<Uuid>, detail: &str) -> Transition {
        Transition {
            next: Next::Ended { payment },
            effect: None,
            entries: vec![self.entry(EntryOutcome::Compensated, detail)],
        }
    }
}

fn cancel_entry(reason: CancelReason) -> Entry {
    Entry::of_orders(
        "cancel",
        EntryOutcome::Compensated,
        format!("the order is cancelled ({reason}) and its units are free again"),
    )
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
