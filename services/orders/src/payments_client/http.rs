//! Payments over HTTP and JSON.

use chassis::client::{Peer, PeerError};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Change, NewPayment, Payment};
use crate::money::Money;
use crate::saga::PaymentStatus;

#[derive(Clone)]
pub(crate) struct Client {
    peer: Peer,
}

#[derive(Serialize)]
struct Body<'a> {
    order_id: Uuid,
    buyer_id: Uuid,
    amount: Money,
    token: &'a str,
}

/// What is read of a payment.
#[derive(Deserialize)]
struct Answer {
    id: Uuid,
    status: Status,
    decline_reason: Option<String>,
    refunded: Option<Money>,
}

/// How much is given back.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Refund {
    Amount(Money),
    All(bool),
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
struct List {
    items: Vec<Answer>,
}

impl Client {
    pub(super) fn new(peer: Peer) -> Self {
        Self { peer }
    }

    pub(super) async fn authorise(
        &self,
        new: &NewPayment<'_>,
        key: String,
    ) -> Result<Payment, PeerError> {
        let body = Body {
            order_id: new.order_id,
            buyer_id: new.buyer_id,
            amount: new.amount,
            token: new.token.expose_secret(),
        };
        let call = self.peer.post("/payments").json(&body);
        let answer: Answer = call.idempotency_key(key).send().await?;
        Ok(answer.into())
    }

    pub(super) async fn read(&self, payment: Uuid) -> Result<Payment, PeerError> {
        let path = format!("/payments/{payment}");
        let answer: Answer = self.peer.get(&path).send().await?;
        Ok(answer.into())
    }

    pub(super) async fn change(
        &self,
        payment: Uuid,
        change: Change,
        key: String,
    ) -> Result<Payment, PeerError> {
        let to = |operation: &str| self.peer.post(&format!("/payments/{payment}/{operation}"));
        let call = match change {
            Change::Capture => to("capture"),
            Change::Void => to("void"),
            Change::Refund(Some(part)) => to("refund").json(&Refund::Amount(part)),
            Change::Refund(None) => to("refund").json(&Refund::All(true)),
        };
        let answer: Answer = call.idempotency_key(key).send().await?;
        Ok(answer.into())
    }

    pub(super) async fn newest_of(&self, order: Uuid) -> Result<Option<Payment>, PeerError> {
        let path = format!("/payments?order_id={order}");
        let list: List = self.peer.get(&path).send().await?;
        Ok(list.items.into_iter().next().map(Payment::from))
    }
}

impl From<Answer> for Payment {
    fn from(answer: Answer) -> Self {
        let status = match answer.status {
            Status::Processing => PaymentStatus::Processing,
            Status::Authorised => PaymentStatus::Authorised,
            Status::Captured | Status::PartiallyRefunded => PaymentStatus::Captured,
            Status::Refunded => PaymentStatus::Refunded,
            Status::Voided => PaymentStatus::Voided,
            Status::Declined => PaymentStatus::Declined {
                reason: answer.decline_reason,
            },
        };
        Self {
            id: answer.id,
            status,
            refunded: answer.refunded,
        }
    }
}
