//! Payments over gRPC.

use axum::http::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::{Asked, Payment, Shared, at_last, decline_reason};
use proto::payments_service_server::{PaymentsService, PaymentsServiceServer};
use proto::refund_request::Wanted;

mod proto {
    #![allow(unreachable_pub, reason = "generated")]
    tonic::include_proto!("shop.payments.v1");
}

pub(super) async fn serve(listener: TcpListener, world: Shared) {
    Server::builder()
        .add_service(PaymentsServiceServer::new(World(world)))
        .serve_with_incoming(TcpIncoming::from(listener))
        .await
        .unwrap();
}

struct World(Shared);

fn show(payment: &Payment) -> proto::Payment {
    let status = format!("PAYMENT_STATUS_{}", payment.status.to_uppercase());
    let status = proto::PaymentStatus::from_str_name(&status).expect("a status");
    proto::Payment {
        id: payment.id.to_string(),
        order_id: payment.order.to_string(),
        status: status.into(),
        decline_reason: decline_reason(payment).map(str::to_owned),
        refunded: Some(proto::Money {
            amount: payment.refunded,
            currency: "EUR".to_owned(),
        }),
        ..proto::Payment::default()
    }
}

fn asked<'a, T>(request: &'a Request<T>, key: &str) -> Asked<'a> {
    assert!(!key.is_empty(), "an idempotency key");
    Asked {
        headers: request.metadata().as_ref(),
        key: key.to_owned(),
    }
}

#[tonic::async_trait]
impl PaymentsService for World {
    async fn authorise(
        &self,
        request: Request<proto::AuthoriseRequest>,
    ) -> Result<Response<proto::AuthoriseResponse>, Status> {
        let message = request.get_ref();
        let asked = asked(&request, &message.idempotency_key);
        let amount = message.amount.as_ref().unwrap();
        let amount = json!({"amount": amount.amount, "currency": amount.currency});
        let order = message.order_id.parse().unwrap();
        let token = message.token.clone();
        let answer = self
            .0
            .lock()
            .unwrap()
            .authorise(asked, order, amount, token);
        let payment = Some(show(&at_last(answer).await?));
        Ok(Response::new(proto::AuthoriseResponse { payment }))
    }

    async fn capture(
        &self,
        request: Request<proto::CaptureRequest>,
    ) -> Result<Response<proto::CaptureResponse>, Status> {
        let message = request.get_ref();
        let asked = asked(&request, &message.idempotency_key);
        let id = message.payment_id.parse().unwrap();
        let answer = self
            .0
            .lock()
            .unwrap()
            .change(asked, id, "capture", "captured");
        let payment = Some(show(&at_last(answer).await?));
        Ok(Response::new(proto::CaptureResponse { payment }))
    }

    async fn void(
        &self,
        request: Request<proto::VoidRequest>,
    ) -> Result<Response<proto::VoidResponse>, Status> {
        let message = request.get_ref();
        let asked = asked(&request, &message.idempotency_key);
        let id = message.payment_id.parse().unwrap();
        let answer = self.0.lock().unwrap().change(asked, id, "void", "voided");
        let payment = Some(show(&at_last(answer).await?));
        Ok(Response::new(proto::VoidResponse { payment }))
    }

    async fn refund(
        &self,
        request: Request<proto::RefundRequest>,
    ) -> Result<Response<proto::RefundResponse>, Status> {
        let message = request.get_ref();
        let asked = asked(&request, &message.idempotency_key);
        let id = message.payment_id.parse().unwrap();
        let part = match message.wanted.as_ref().unwrap() {
            Wanted::All(all) => {
                assert!(all, "what is said is meant");
                None
            }
            Wanted::Amount(part) => Some(json!({"amount": part.amount, "currency": part.currency})),
        };
        let answer = self.0.lock().unwrap().refund(asked, id, part);
        let answer = at_last(answer).await.map_err(|problem| {
            match problem.status == StatusCode::NOT_IMPLEMENTED {
                // As a server answers that does not know the method: without the details of a problem.
                true => Status::unimplemented(""),
                false => problem.into(),
            }
        });
        let payment = Some(show(&answer?));
        Ok(Response::new(proto::RefundResponse { payment }))
    }

    async fn get(
        &self,
        request: Request<proto::GetRequest>,
    ) -> Result<Response<proto::GetResponse>, Status> {
        let id = request.get_ref().payment_id.parse().unwrap();
        let payment = self.0.lock().unwrap().read(id)?;
        let payment = Some(show(&payment));
        Ok(Response::new(proto::GetResponse { payment }))
    }

    async fn list(
        &self,
        request: Request<proto::ListRequest>,
    ) -> Result<Response<proto::ListResponse>, Status> {
        let order = request.get_ref().order_id.parse().unwrap();
        let payments = self.0.lock().unwrap().of_order(order);
        let payments = payments.iter().map(show).collect();
        Ok(Response::new(proto::ListResponse { payments }))
    }
}
