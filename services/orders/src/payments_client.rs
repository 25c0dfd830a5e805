//! Asking payments. Every request carries a key derived from order and step, so that asking twice does nothing twice. What
//! the provider has refused is asked again under a new key: payments answers the old one for ever as it did first.

mod grpc;
mod http;

use ::http::StatusCode;
use chassis::client::{CallMetrics, Peer, PeerError};
use chassis::grpc::GrpcPeer;
use secrecy::SecretString;
use url::Url;
use uuid::Uuid;

use crate::money::Money;
use crate::saga::{PaymentStatus, Step, StepOutcome};
use crate::store::sagas::Claimed;

const NAME: &str = "payments";

/// The neighbour that moves the money, over the protocol that its URL names.
#[derive(Clone)]
pub(crate) enum PaymentsClient {
    Http(http::Client),
    Grpc(grpc::Client),
}

/// A payment to be made.
struct NewPayment<'a> {
    order_id: Uuid,
    buyer_id: Uuid,
    amount: Money,
    token: &'a SecretString,
}

/// What is read of a payment.
struct Payment {
    id: Uuid,
    status: PaymentStatus,
    /// What was given back so far.
    refunded: Option<Money>,
}

/// What is done to a payment that there is.
#[derive(Clone, Copy)]
enum Change {
    Capture,
    Void,
    /// This much, or all that is left.
    Refund(Option<Money>),
}

/// How a payment stands after a refund.
pub(crate) struct Refunded {
    /// The provider has not answered yet, to this refund or to a later one.
    pub(crate) is_processing: bool,
    /// What was given back so far.
    pub(crate) refunded: Money,
}

impl PaymentsClient {
    /// Over gRPC where the URL says `grpc://`, over HTTP otherwise.
    pub(crate) fn new(url: Url, token: SecretString, calls: CallMetrics) -> anyhow::Result<Self> {
        Ok(match url.scheme() {
            "grpc" => Self::Grpc(grpc::Client::new(GrpcPeer::new(NAME, &url, Some(&token))?)),
            _ => Self::Http(http::Client::new(Peer::new(NAME, url, Some(token), calls))),
        })
    }

    /// Does what the saga's step needs and says how the payment stands afterwards.
    pub(crate) async fn perform(&self, claimed: &Claimed) -> StepOutcome {
        let outcome = match claimed.saga.step {
            Step::Authorise { payment: None } => self.authorise(claimed).await,
            Step::Authorise { payment: Some(id) } => self.look(id).await,
            Step::Capture { payment } => self.change(payment, Change::Capture, claimed).await,
            Step::Void { payment: Some(id) } => self.change(id, Change::Void, claimed).await,
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
        let new = NewPayment {
            order_id: claimed.order_id,
            buyer_id: claimed.buyer_id,
            amount: claimed.total,
            token,
        };
        let key = key(claimed);
        let answer = match self {
            Self::Http(client) => client.authorise(&new, key).await,
            Self::Grpc(client) => client.authorise(&new, key).await,
        };
        match answer {
            Ok(payment) => Ok(payment.into()),
            Err(error) if is_refusal(&error) => Ok(StepOutcome::Refused {
                why: describe(&error),
            }),
            Err(error) => Err(error),
        }
    }

    async fn look(&self, payment: Uuid) -> Result<StepOutcome, PeerError> {
        let answer = match self {
            Self::Http(client) => client.read(payment).await,
            Self::Grpc(client) => client.read(payment).await,
        };
        match answer {
            Ok(payment) => Ok(payment.into()),
            Err(error) if status_of(&error) == Some(StatusCode::NOT_FOUND) => {
                Ok(StepOutcome::NoPayment)
            }
            Err(error) => Err(error),
        }
    }

    /// Captures or voids. When payments says that this cannot be done to the payment as it stands, it may have been done
    /// already: look.
    async fn change(
        &self,
        payment: Uuid,
        change: Change,
        claimed: &Claimed,
    ) -> Result<StepOutcome, PeerError> {
        match self.ask_for(payment, change, key(claimed)).await {
            Ok(payment) => Ok(payment.into()),
            Err(error) if status_of(&error).is_some_and(|s| s.is_client_error()) => {
                let standing = self.look(payment).await?;
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
        match self.newest_of(claimed.order_id).await? {
            None => Ok(StepOutcome::NoPayment),
            Some(payment) => self.change(payment.id, Change::Void, claimed).await,
        }
    }

    /// Gives money of a paid order back: `part` of what is left, or all of it. `None`: payments knows no payment of it.
    ///
    /// Payments is asked which payment it is: a checkout that ended long ago is no longer kept here.
    pub(crate) async fn refund(
        &self,
        order: Uuid,
        part: Option<Money>,
        key: String,
    ) -> Result<Option<Refunded>, PeerError> {
        let Some(payment) = self.newest_of(order).await? else {
            return Ok(None);
        };
        let payment = self.ask_for(payment.id, Change::Refund(part), key).await?;
        let refunded = payment.refunded.ok_or_else(|| PeerError::Malformed {
            peer: NAME,
            cause: "it does not say what was given back".to_owned(),
        })?;
        let is_processing = matches!(payment.status, PaymentStatus::Processing);
        Ok(Some(Refunded {
            is_processing,
            refunded,
        }))
    }

    async fn ask_for(
        &self,
        payment: Uuid,
        change: Change,
        key: String,
    ) -> Result<Payment, PeerError> {
        match self {
            Self::Http(client) => client.change(payment, change, key).await,
            Self::Grpc(client) => client.change(payment, change, key).await,
        }
    }

    async fn newest_of(&self, order: Uuid) -> Result<Option<Payment>, PeerError> {
        match self {
            Self::Http(client) => client.newest_of(order).await,
            Self::Grpc(client) => client.newest_of(order).await,
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

pub(crate) fn status_of(error: &PeerError) -> Option<StatusCode> {
    match error {
        PeerError::Status { status, .. } => Some(*status),
        PeerError::Unreachable { .. } | PeerError::Malformed { .. } => None,
    }
}

pub(crate) fn code_of(error: &PeerError) -> Option<&str> {
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
pub(crate) fn describe(error: &PeerError) -> String {
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
        let Payment { id, status, .. } = payment;
        Self::Payment { id, status }
    }
}
