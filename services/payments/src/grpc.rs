//! The gRPC interface: the same operations as over HTTP, in the messages of contracts/grpc/payments.proto.

use axum::extract::FromRef;
use chassis::auth::ApiToken;
use chassis::grpc::{Api, LARGEST_REQUEST};
use chassis::http::{FieldError, IdempotencyKey, Problem, validated};
use iso_currency::Currency;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::app::App;
use crate::money::Money;
use crate::operations::{self, Authorisation};
use crate::payment;
use crate::provider::Token;
use crate::store::payments::Payment;
use proto::payments_service_server::{PaymentsService, PaymentsServiceServer};

mod proto {
    #![allow(unreachable_pub, reason = "generated")]
    tonic::include_proto!("shop.payments.v1");
}

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/payments.bin"));

/// What the gRPC port answers to those who show the token.
pub(crate) fn api(app: App) -> Api {
    let token = ApiToken::from_ref(&app);
    let server =
        PaymentsServiceServer::new(Handlers(app)).max_decoding_message_size(LARGEST_REQUEST);
    Api::new(InterceptedService::new(server, token), DESCRIPTORS)
}

struct Handlers(App);

#[tonic::async_trait]
impl PaymentsService for Handlers {
    async fn authorise(
        &self,
        request: Request<proto::AuthoriseRequest>,
    ) -> Result<Response<proto::AuthoriseResponse>, Status> {
        let asked = request.into_inner();
        let key = key(&asked.idempotency_key)?;
        let wanted = Authorisation {
            order_id: id("order_id", &asked.order_id)?,
            buyer_id: id("buyer_id", &asked.buyer_id)?,
            amount: money(asked.amount)?,
            token: Token::from(asked.token),
        };
        let payment = operations::authorise(&self.0, &key, &wanted).await?;
        let payment = Some(payment.into());
        Ok(Response::new(proto::AuthoriseResponse { payment }))
    }

    async fn capture(
        &self,
        request: Request<proto::CaptureRequest>,
    ) -> Result<Response<proto::CaptureResponse>, Status> {
        let asked = request.into_inner();
        let key = key(&asked.idempotency_key)?;
        let payment = self
            .change(&key, &asked.payment_id, payment::Request::Capture)
            .await?;
        let payment = Some(payment.into());
        Ok(Response::new(proto::CaptureResponse { payment }))
    }

    async fn void(
        &self,
        request: Request<proto::VoidRequest>,
    ) -> Result<Response<proto::VoidResponse>, Status> {
        let asked = request.into_inner();
        let key = key(&asked.idempotency_key)?;
        let payment = self
            .change(&key, &asked.payment_id, payment::Request::Void)
            .await?;
        let payment = Some(payment.into());
        Ok(Response::new(proto::VoidResponse { payment }))
    }

    async fn refund(
        &self,
        request: Request<proto::RefundRequest>,
    ) -> Result<Response<proto::RefundResponse>, Status> {
        let asked = request.into_inner();
        let key = key(&asked.idempotency_key)?;
        let wanted = wanted(asked.wanted)?;
        let payment = self.change(&key, &asked.payment_id, wanted).await?;
        let payment = Some(payment.into());
        Ok(Response::new(proto::RefundResponse { payment }))
    }

    async fn get(
        &self,
        request: Request<proto::GetRequest>,
    ) -> Result<Response<proto::GetResponse>, Status> {
        let id = id("payment_id", &request.get_ref().payment_id)?;
        let payment = operations::read(&self.0, id).await?;
        let payment = Some(payment.into());
        Ok(Response::new(proto::GetResponse { payment }))
    }

    async fn list(
        &self,
        request: Request<proto::ListRequest>,
    ) -> Result<Response<proto::ListResponse>, Status> {
        let order = id("order_id", &request.get_ref().order_id)?;
        let found = operations::of_order(&self.0, order).await?;
        let payments = found.into_iter().map(proto::Payment::from).collect();
        Ok(Response::new(proto::ListResponse { payments }))
    }
}

impl Handlers {
    async fn change(
        &self,
        key: &IdempotencyKey,
        payment: &str,
        request: payment::Request,
    ) -> Result<Payment, Problem> {
        operations::change(&self.0, key, id("payment_id", payment)?, request).await
    }
}

/// An absent key is an empty one in proto3.
fn key(text: &str) -> Result<IdempotencyKey, Problem> {
    IdempotencyKey::try_from(text)
}

fn id(field: &str, text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| wrong(field, "must be a UUID"))
}

fn money(money: Option<proto::Money>) -> Result<Money, Problem> {
    let proto::Money { amount, currency } = money.ok_or_else(|| wrong("amount", "is missing"))?;
    let currency = Currency::from_code(&currency)
        .ok_or_else(|| wrong("amount.currency", "must be an ISO 4217 code, such as EUR"))?;
    validated(Money { amount, currency })
}

/// How much to give back, if it was said; as over HTTP nothing is taken for all.
fn wanted(wanted: Option<proto::refund_request::Wanted>) -> Result<payment::Request, Problem> {
    use proto::refund_request::Wanted;
    let part = match wanted {
        Some(Wanted::Amount(part)) => Some(money(Some(part))?),
        Some(Wanted::All(true)) => None,
        Some(Wanted::All(false)) => return Err(wrong("all", "must be true, or left out")),
        None => return Err(wrong("wanted", "is missing: say an amount, or all")),
    };
    Ok(payment::Request::Refund(part))
}

fn wrong(field: &str, detail: &str) -> Problem {
    let error = FieldError {
        pointer: field.to_owned(),
        detail: detail.to_owned(),
    };
    Problem::invalid("invalid", "Some fields are wrong; see errors.").with_errors(vec![error])
}

impl From<Money> for proto::Money {
    fn from(money: Money) -> Self {
        Self {
            amount: money.amount,
            currency: money.currency.code().to_owned(),
        }
    }
}

impl From<Payment> for proto::Payment {
    fn from(payment: Payment) -> Self {
        let whole = payment.amount;
        Self {
            id: payment.id.to_string(),
            order_id: payment.order_id.to_string(),
            buyer_id: payment.buyer_id.to_string(),
            status: proto::PaymentStatus::from(payment::status(&payment.state, whole)).into(),
            amount: Some(whole.into()),
            captured: Some(whole.with(payment.state.captured(whole)).into()),
            refunded: Some(whole.with(payment.state.refunded()).into()),
            decline_reason: payment.state.decline_reason(),
        }
    }
}

impl From<payment::Status> for proto::PaymentStatus {
    fn from(status: payment::Status) -> Self {
        use payment::Status;
        match status {
            Status::Processing => Self::Processing,
            Status::Authorised => Self::Authorised,
            Status::Captured => Self::Captured,
            Status::Voided => Self::Voided,
            Status::Declined => Self::Declined,
            Status::Refunded => Self::Refunded,
            Status::PartiallyRefunded => Self::PartiallyRefunded,
        }
    }
}
