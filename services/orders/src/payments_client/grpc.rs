//! Payments over gRPC, in the messages of contracts/grpc/payments.proto.

use chassis::client::PeerError;
use chassis::grpc::{GrpcPeer, LARGEST_ANSWER};
use iso_currency::Currency;
use secrecy::ExposeSecret;
use tonic::transport::Channel;
use uuid::Uuid;

use super::{Change, NewPayment, Payment};
use crate::money::Money;
use crate::saga::PaymentStatus;
use proto::payments_service_client::PaymentsServiceClient;
use proto::refund_request::Wanted;

mod proto {
    #![allow(unreachable_pub, reason = "generated")]
    tonic::include_proto!("shop.payments.v1");
}

#[derive(Clone)]
pub(crate) struct Client {
    peer: GrpcPeer,
}

impl Client {
    pub(super) fn new(peer: GrpcPeer) -> Self {
        Self { peer }
    }

    pub(super) async fn authorise(
        &self,
        new: &NewPayment<'_>,
        key: String,
    ) -> Result<Payment, PeerError> {
        let message = proto::AuthoriseRequest {
            idempotency_key: key,
            order_id: new.order_id.to_string(),
            buyer_id: new.buyer_id.to_string(),
            amount: Some(new.amount.into()),
            token: new.token.expose_secret().to_owned(),
        };
        let call = async |channel, request| client(channel).authorise(request).await;
        let answer = self.peer.call("Authorise", message, call).await?;
        read(answer.payment).map_err(|cause| self.peer.malformed(cause))
    }

    pub(super) async fn read(&self, payment: Uuid) -> Result<Payment, PeerError> {
        let message = proto::GetRequest {
            payment_id: payment.to_string(),
        };
        let call = async |channel, request| client(channel).get(request).await;
        let answer = self.peer.call("Get", message, call).await?;
        read(answer.payment).map_err(|cause| self.peer.malformed(cause))
    }

    pub(super) async fn change(
        &self,
        payment: Uuid,
        change: Change,
        key: String,
    ) -> Result<Payment, PeerError> {
        let payment_id = payment.to_string();
        let after = match change {
            Change::Capture => {
                let message = proto::CaptureRequest {
                    idempotency_key: key,
                    payment_id,
                };
                let call = async |channel, request| client(channel).capture(request).await;
                self.peer.call("Capture", message, call).await?.payment
            }
            Change::Void => {
                let message = proto::VoidRequest {
                    idempotency_key: key,
                    payment_id,
                };
                let call = async |channel, request| client(channel).void(request).await;
                self.peer.call("Void", message, call).await?.payment
            }
            Change::Refund(part) => {
                let message = proto::RefundRequest {
                    idempotency_key: key,
                    payment_id,
                    wanted: Some(
                        part.map_or(Wanted::All(true), |part| Wanted::Amount(part.into())),
                    ),
                };
                let call = async |channel, request| client(channel).refund(request).await;
                self.peer.call("Refund", message, call).await?.payment
            }
        };
        read(after).map_err(|cause| self.peer.malformed(cause))
    }

    pub(super) async fn newest_of(&self, order: Uuid) -> Result<Option<Payment>, PeerError> {
        let message = proto::ListRequest {
            order_id: order.to_string(),
        };
        let call = async |channel, request| client(channel).list(request).await;
        let answer = self.peer.call("List", message, call).await?;
        let malformed = |cause| self.peer.malformed(cause);
        match answer.payments.into_iter().next() {
            Some(newest) => read(Some(newest)).map(Some).map_err(malformed),
            None => Ok(None),
        }
    }
}

/// What is read of a payment. One without a known status is none that is in the contract.
fn read(payment: Option<proto::Payment>) -> Result<Payment, &'static str> {
    let payment = payment.ok_or("no payment")?;
    let id = payment.id.parse().map_err(|_| "no id")?;
    let status = match payment.status() {
        proto::PaymentStatus::Unspecified => return Err("no status"),
        proto::PaymentStatus::Processing => PaymentStatus::Processing,
        proto::PaymentStatus::Authorised => PaymentStatus::Authorised,
        proto::PaymentStatus::Captured | proto::PaymentStatus::PartiallyRefunded => {
            PaymentStatus::Captured
        }
        proto::PaymentStatus::Refunded => PaymentStatus::Refunded,
        proto::PaymentStatus::Voided => PaymentStatus::Voided,
        proto::PaymentStatus::Declined => PaymentStatus::Declined {
            reason: payment.decline_reason,
        },
    };
    let refunded = payment.refunded.map(money).transpose()?;
    Ok(Payment {
        id,
        status,
        refunded,
    })
}

fn money(money: proto::Money) -> Result<Money, &'static str> {
    let currency = Currency::from_code(&money.currency).ok_or("no currency")?;
    Ok(Money::new(money.amount, currency))
}

fn client(channel: Channel) -> PaymentsServiceClient<Channel> {
    PaymentsServiceClient::new(channel).max_decoding_message_size(LARGEST_ANSWER)
}

impl From<Money> for proto::Money {
    fn from(money: Money) -> Self {
        Self {
            amount: money.amount,
            currency: money.currency.code().to_owned(),
        }
    }
}
