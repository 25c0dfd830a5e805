//! Asking payments. Every request carries a key derived from order and step, so that asking twice does nothing twice. What
//! the provider has refused is asked again under a new key: payments answers the old one for ever as it did first.

use chassis::client::{Peer, PeerError};
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::money::Money;
use crate::saga::{PaymentStatus, Step, StepOutcome};
use crate::store::sagas::Claimed;

/// The neighbour that moves the money, over HTTP.
#[derive(Clone)]
pub(crate) struct PaymentsClient {
    peer: Peer,
}

#[derive(Serialize)]
struct NewPayment<'a> {
    order_id: Uuid,
    buyer_id: Uuid,
    amount: Money,
    token: &'a str,
}

/// What is read of a payment.
#[derive(Deserialize)]
struct Payment {
    id: Uuid,
    status: Status,
    decline_reason: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Processing,
    Authorised,
    Captured,
    Voided,
    Declined,
    Refunded,
    PartiallyRefunded,
}

#[derive(Deserialize)]
struct PaymentList {
    items: Vec<Payment>,
}

impl PaymentsClient {
    pub(crate) fn new(peer: Peer) -> Self {
        Self { peer }
    }

    /// Does what the saga's step needs and says how the payment stands afterwards.
    pub(crate) async fn perform(&self, claimed: &Claimed) -> StepOutcome {
        let outcome = match claimed.saga.step {
            Step::Authorise { payment: None } => self.authorise(claimed).await,
            Step::Authorise { payment: Some(id) } => self.read(id).await,
            Step::Capture { payment } => self.change(payment, claimed).await,
            Step::Void { payment: Some(id) } => self.change(id, claimed).await,
            Step::Void { payment: None } => self.find_and_void(claimed).await,
        };
        outcome.unwrap_or_else(|error| StepOutcome::Unclear {
            why: describe(&error),
        })
    }

    async fn authorise(&self, claimed: &Claimed) -> Result<StepOutcome, PeerError> {
        let Some(token) = &claimed.token else {
            // The table keeps the token while this step is undone.
            return Ok(StepOutcome::Refused {
                why: "the payment token is gone".to_owned(),
            });
        };
        let answer = self
            .peer
            .post("/payments")
            .json(&NewPayment {
                order_id: claimed.order_id,
                buyer_id: claimed.buyer_id,
                amount: claimed.total,
                token: SecretString::expose_secret(token),
            })
            .idempotency_key(key(claimed))
            .send::<Payment>()
            .await;
        match answer {
            Ok(payment) => Ok(payment.into()),
            Err(error) if is_refusal(&error) => Ok(StepOutcome::Refused {
                why: describe(&error),
            }),
            Err(error) => Err(error),
        }
    }

    async fn read(&self, payment: Uuid) -> Result<StepOutcome, PeerError> {
        match self
            .peer
            .get(&format!("/payments/{payment}"))
            .send::<Payment>()
            .await
        {
            Ok(payment) => Ok(payment.into()),
            Err(error) if status_of(&error) == Some(StatusCode::NOT_FOUND) => {
                Ok(StepOutcome::NoPayment)
            }
            Err(error) => Err(error),
        }
    }

    /// Captures or voids. When payments says that this cannot be done to the payment as it stands, it may have been done
    /// already: look.
    async fn change(&self, payment: Uuid, claimed: &Claimed) -> Result<StepOutcome, PeerError> {
        let path = format!("/payments/{payment}/{}", claimed.saga.step.into_str());
        let answer = self
            .peer
            .post(&path)
            .idempotency_key(key(claimed))
            .send::<Payment>()
            .await;
        match answer {
            Ok(payment) => Ok(payment.into()),
            Err(error) if status_of(&error).is_some_and(|s| s.is_client_error()) => {
                let standing = self.read(payment).await?;
                let is_undone = matches!(
                    standing,
                    StepOutcome::Payment {
                        id: _,
                        status: PaymentStatus::Authorised
                    }
                );
                if is_undone && code_of(&error) == Some("refused_by_provider") {
                    return Ok(StepOutcome::RefusedByProvider);
                }
                Ok(standing)
            }
            Err(error) => Err(error),
        }
    }

    async fn find_and_void(&self, claimed: &Claimed) -> Result<StepOutcome, PeerError> {
        let path = format!("/payments?order_id={}", claimed.order_id);
        let found = self.peer.get(&path).send::<PaymentList>().await?;
        match found.items.first() {
            None => Ok(StepOutcome::NoPayment),
            Some(payment) => self.change(payment.id, claimed).await,
        }
    }
}

fn key(claimed: &Claimed) -> String {
    let (order, step) = (claimed.order_id, claimed.saga.step.into_str());
    match claimed.refusals {
        0 => format!("{order}:{step}"),
        refusals => format!("{order}:{step}:{refusals}"),
    }
}

fn status_of(error: &PeerError) -> Option<StatusCode> {
    match error {
        PeerError::Status { status, .. } => Some(*status),
        PeerError::Unreachable { .. } | PeerError::Malformed { .. } => None,
    }
}

fn code_of(error: &PeerError) -> Option<&str> {
    match error {
        PeerError::Status { problem, .. } => problem.as_ref().map(|p| p.code.as_ref()),
        PeerError::Unreachable { .. } | PeerError::Malformed { .. } => None,
    }
}

/// Whether payments looked at the request and will not take it, now or later. A refused login is no such thing: it is a
/// mistake of ours that somebody can mend in time.
fn is_refusal(error: &PeerError) -> bool {
    matches!(
        status_of(error),
        Some(StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)
    )
}

/// For the timeline and the log: the neighbour's code and not its words, which may repeat what it was sent.
fn describe(error: &PeerError) -> String {
    match error {
        PeerError::Status {
            peer,
            status,
            problem: Some(problem),
        } => format!("{peer} answered {} ({})", status.as_u16(), problem.code),
        PeerError::Status {
            peer,
            status,
            problem: None,
        } => format!("{peer} answered {}", status.as_u16()),
        PeerError::Unreachable { .. } => error.to_string(),
        PeerError::Malformed { peer, cause: _ } => {
            format!("{peer} answered something unexpected")
        }
    }
}

impl From<Payment> for StepOutcome {
    fn from(payment: Payment) -> Self {
        let status = match payment.status {
            Status::Processing => PaymentStatus::Processing,
            Status::Authorised => PaymentStatus::Authorised,
            Status::Captured | Status::PartiallyRefunded => PaymentStatus::Captured,
            Status::Refunded => PaymentStatus::Refunded,
            Status::Voided => PaymentStatus::Voided,
            Status::Declined => PaymentStatus::Declined {
                reason: payment.decline_reason,
            },
        };
        Self::Payment {
            id: payment.id,
            status,
        }
    }
}
