use std::ops::Range;

use proptest::prelude::*;
use time::OffsetDateTime;

use super::*;

const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn deadline() -> OffsetDateTime {
    START + AUTHORISE_WITHIN
}

fn saga(step: Step, attempt: u32) -> Saga {
    Saga {
        step,
        attempt,
        deadline: deadline(),
    }
}

fn authorise() -> Saga {
    saga(Step::Authorise { payment: None }, 1)
}

fn status(id: Uuid, status: PaymentStatus) -> StepOutcome {
    StepOutcome::Payment { id, status }
}

fn unclear() -> StepOutcome {
    StepOutcome::Unclear {
        why: "payments did not answer".to_owned(),
    }
}

#[test]
fn an_authorised_payment_confirms_the_order_and_goes_on_to_capture() {
    let id = Uuid::now_v7();
    let transition = next(
        &authorise(),
        status(id, PaymentStatus::Authorised),
        START,
        0.5,
    );
    assert_eq!(transition.effect, Some(Effect::Confirm));
    assert_eq!(transition.next, Next::Step(Step::Capture { payment: id }));
}

#[test]
fn an_authorisation_that_comes_too_late_is_voided() {
    let id = Uuid::now_v7();
    let transition = next(
        &authorise(),
        status(id, PaymentStatus::Authorised),
        deadline(),
        0.5,
    );
    assert_eq!(
        transition.effect,
        Some(Effect::Cancel(CancelReason::TimedOut))
    );
    assert_eq!(
        transition.next,
        Next::Step(Step::Void { payment: Some(id) })
    );
}

#[test]
fn a_declined_payment_cancels_the_order_and_says_why() {
    let declined = PaymentStatus::Declined {
        reason: Some("insufficient_funds".to_owned()),
    };
    let transition = next(&authorise(), status(Uuid::now_v7(), declined), START, 0.5);
    assert_eq!(
        transition.effect,
        Some(Effect::Cancel(CancelReason::PaymentDeclined))
    );
    assert!(transition.entries[0].detail.contains("insufficient_funds"));
}

#[test]
fn a_missing_answer_is_told_in_plain_words() {
    let transition = next(
        &saga(Step::Authorise { payment: None }, 4),
        unclear(),
        START,
        1.0,
    );
    assert_eq!(
        transition.entries[0].detail,
        "payments did not answer; attempt 4, next try in 4 s"
    );
    assert_eq!(transition.entries[0].outcome, EntryOutcome::Retrying);
}

#[test]
fn the_last_attempt_is_never_later_than_the_deadline() {
    let now = deadline() - Duration::from_secs(1);
    let Next::Again { due, .. } = next(
        &saga(Step::Authorise { payment: None }, 9),
        unclear(),
        now,
        1.0,
    )
    .next
    else {
        panic!("it must try again");
    };
    assert_eq!(due, deadline());
}

#[test]
fn no_payment_is_believed_only_when_no_request_can_be_under_way_any_more() {
    let void = saga(Step::Void { payment: None }, 1);
    let early = next(&void, StepOutcome::NoPayment, deadline(), 0.0);
    assert!(matches!(early.next, Next::Again { .. }));
    let late = next(&void, StepOutcome::NoPayment, deadline() + STRAGGLERS, 0.0);
    assert_eq!(late.next, Next::Ended { payment: None });
}

#[test]
fn a_void_of_a_payment_that_payments_has_forgotten_ends_after_a_day() {
    let id = Uuid::now_v7();
    let void = saga(Step::Void { payment: Some(id) }, 1000);
    let day_after = deadline() + FORGOTTEN;
    let early = day_after - Duration::from_secs(1);
    let early = next(&void, StepOutcome::NoPayment, early, 0.0);
    assert!(matches!(early.next, Next::Again { .. }), "{early:?}");
    let late = next(&void, StepOutcome::NoPayment, day_after, 0.0);
    // Open for a payment that turns up after all.
    assert_eq!(late.next, Next::Ended { payment: None });
}

#[test]
fn a_void_of_a_payment_that_was_taken_ends_with_its_refund() {
    let id = Uuid::now_v7();
    let void = saga(Step::Void { payment: Some(id) }, 3);
    let taken = next(&void, status(id, PaymentStatus::Captured), deadline(), 0.0);
    assert!(matches!(taken.next, Next::Again { .. }), "{taken:?}");
    let back = next(&void, status(id, PaymentStatus::Refunded), deadline(), 0.0);
    assert_eq!(back.next, Next::Ended { payment: Some(id) });
}

#[test]
fn a_long_outage_does_not_fill_the_timeline() {
    let step = Step::Capture {
        payment: Uuid::now_v7(),
    };
    let entries = (1..=10_000)
        .map(|attempt| {
            next(&saga(step, attempt), unclear(), START, 0.5)
                .entries
                .len()
        })
        .sum::<usize>();
    assert!(entries < 40, "{entries} entries");
}

/// Payments as the saga sees it: one payment at most, done once per key, over a network that loses things.
struct Payments {
    fate: Fate,
    /// How many questions it answers with "processing".
    slowness: u32,
    payment: Option<(Uuid, PaymentStatus)>,
    /// An authorise request that was given up by its sender and arrives at this moment.
    straggler: Option<OffsetDateTime>,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Approve,
    Decline,
}

/// What the network does to one request.
#[derive(Clone, Copy, Debug)]
enum Network {
    Fine,
    RequestLost,
    AnswerLost,
    /// The sender gives up; the request arrives after these seconds all the same.
    Late(u64),
    /// Not the network but a payments that takes no such request any more.
    Refused,
}

impl Payments {
    fn ask(&mut self, step: Step, network: Network, now: OffsetDateTime) -> StepOutcome {
        if self.straggler.is_some_and(|at| at <= now) {
            self.straggler = None;
            self.authorise();
        }
        match network {
            Network::Fine => self.perform(step),
            Network::RequestLost => unclear(),
            Network::AnswerLost => {
                self.perform(step);
                unclear()
            }
            Network::Refused => StepOutcome::Refused {
                why: "payments answered 422".to_owned(),
            },
            Network::Late(seconds) => {
                if let Step::Authorise { payment: None } = step {
                    self.straggler = Some(now + Duration::from_secs(seconds));
                }
                unclear()
            }
        }
    }

    fn authorise(&mut self) {
        if self.payment.is_none() {
            self.payment = Some((Uuid::now_v7(), PaymentStatus::Processing));
        }
    }

    fn perform(&mut self, step: Step) -> StepOutcome {
        if let Step::Authorise { payment: None } = step {
            self.authorise();
        }
        let Some((id, at)) = &mut self.payment else {
            return StepOutcome::NoPayment;
        };
        if *at == PaymentStatus::Processing {
            if self.slowness == 0 {
                *at = match self.fate {
                    Fate::Approve => PaymentStatus::Authorised,
                    Fate::Decline => PaymentStatus::Declined { reason: None },
                };
            }
            self.slowness = self.slowness.saturating_sub(1);
        }
        if *at == PaymentStatus::Authorised {
            match step {
                Step::Authorise { .. } => {}
                Step::Capture { .. } => *at = PaymentStatus::Captured,
                Step::Void { .. } => *at = PaymentStatus::Voided,
            }
        }
        status(*id, at.clone())
    }
}

fn any_network() -> impl Strategy<Value = Network> {
    prop_oneof![
        Just(Network::Fine),
        Just(Network::RequestLost),
        Just(Network::AnswerLost),
        (0..60_u64).prop_map(Network::Late),
        Just(Network::Refused),
    ]
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Approve), Just(Fate::Decline)]
}

const TROUBLE: Range<usize> = 0..60;

proptest! {
    /// The rules of the saga on every path: some time of trouble, then a network that works.
    #[test]
    fn every_path_ends_well(
        fate in any_fate(),
        slowness in 0..40_u32,
        trouble in proptest::collection::vec((any_network(), 0..8_000_u64), TROUBLE),
        jitter in 0.0..1.0_f64,
    ) {
        let mut payments = Payments { fate, slowness, payment: None, straggler: None };
        let mut now = START;
        let mut saga = authorise();
        let mut effects = vec![];
        let mut trouble = trouble.into_iter();
        let mut steps = 0;
        loop {
            steps += 1;
            prop_assert!(steps < 1_000, "no end in sight at {:?}", saga);
            let is_confirmed = effects.contains(&Effect::Confirm);
            match saga.step {
                Step::Authorise { .. } => prop_assert!(effects.is_empty(), "authorise after {:?}", effects),
                Step::Capture { .. } => prop_assert!(is_confirmed, "capture before confirm"),
                Step::Void { .. } => prop_assert!(!is_confirmed, "void after confirm"),
            }
            let (network, latency) = trouble.next().unwrap_or((Network::Fine, 1));
            let outcome = if saga.is_overdue(now) {
                unclear()
            } else {
                payments.ask(saga.step, network, now)
            };
            now += Duration::from_millis(latency);

            let transition = next(&saga, outcome, now, jitter);
            match transition.effect {
                Some(Effect::Confirm) => prop_assert!(now < saga.deadline, "confirmed after the deadline"),
                Some(Effect::Cancel(CancelReason::TimedOut)) => prop_assert!(now >= saga.deadline, "timed out too early"),
                Some(Effect::Cancel(CancelReason::PaymentDeclined | CancelReason::PaymentRefused) | Effect::Pay) | None => {}
            }
            effects.extend(transition.effect);
            match transition.next {
                Next::Again { step, due, .. } => {
                    prop_assert!(due >= now || due == saga.deadline);
                    if matches!(step, Step::Authorise { .. }) {
                        prop_assert!(due <= saga.deadline, "the stock is held for longer than promised");
                    }
                    saga = Saga { step, attempt: saga.attempt + 1, ..saga };
                    now = now.max(due);
                }
                Next::Step(step) => saga = Saga { step, attempt: 1, ..saga },
                Next::Ended { .. } => break,
            }
        }
        // One of two endings: the stock is sold once or released once, never both, never twice.
        let held = payments.payment.map(|(_, status)| status);
        match effects.as_slice() {
            [Effect::Confirm, Effect::Pay] => prop_assert_eq!(held, Some(PaymentStatus::Captured)),
            [Effect::Cancel(_)] => prop_assert!(
                matches!(held, None | Some(PaymentStatus::Voided | PaymentStatus::Declined { .. })),
                "a cancelled order holds money: {:?}", held
            ),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    /// Whatever payments says to whatever step, however wrong: nothing is undone and nothing forbidden is done.
    #[test]
    fn no_answer_breaks_a_rule(outcome in any_outcome(), at in 0..400_u64, attempt in 1..200_u32, which in 0..3_u8) {
        let id = Uuid::now_v7();
        let step = match which {
            0 => Step::Authorise { payment: None },
            1 => Step::Capture { payment: id },
            _ => Step::Void { payment: None },
        };
        let is_refused = outcome == StepOutcome::RefusedByProvider;
        let transition = next(&saga(step, attempt), outcome, START + Duration::from_secs(at), 0.5);
        let new_key = matches!(transition.next, Next::Again { new_key: true, .. });
        prop_assert_eq!(new_key, is_refused && which > 0);
        let after = match transition.next {
            Next::Again { step, .. } | Next::Step(step) => Some(step),
            Next::Ended { .. } => None,
        };
        match step {
            Step::Authorise { .. } => match transition.effect {
                Some(Effect::Confirm) => prop_assert!(matches!(after, Some(Step::Capture { .. })), "{:?}", after),
                Some(Effect::Cancel(_)) => prop_assert!(matches!(after, None | Some(Step::Void { .. })), "{:?}", after),
                Some(Effect::Pay) => prop_assert!(false, "paid before confirmed"),
                None => prop_assert!(matches!(after, Some(Step::Authorise { .. })), "{:?}", after),
            },
            Step::Capture { .. } => match transition.effect {
                Some(Effect::Pay) => prop_assert_eq!(after, None),
                Some(Effect::Confirm | Effect::Cancel(_)) => prop_assert!(false, "{:?}", transition.effect),
                None => prop_assert_eq!(after, Some(step)),
            },
            Step::Void { .. } => {
                prop_assert_eq!(transition.effect, None);
                prop_assert!(matches!(after, None | Some(Step::Void { .. })), "{:?}", after);
            }
        }
    }
}

fn any_outcome() -> impl Strategy<Value = StepOutcome> {
    let any_status = prop_oneof![
        Just(PaymentStatus::Processing),
        Just(PaymentStatus::Authorised),
        Just(PaymentStatus::Captured),
        Just(PaymentStatus::Refunded),
        Just(PaymentStatus::Voided),
        Just(PaymentStatus::Declined { reason: None }),
    ];
    prop_oneof![
        any_status.prop_map(|s| status(Uuid::now_v7(), s)),
        Just(StepOutcome::NoPayment),
        Just(StepOutcome::Refused {
            why: "no".to_owned()
        }),
        Just(StepOutcome::RefusedByProvider),
        Just(unclear()),
    ]
}
