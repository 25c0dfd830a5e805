//! The same payments over gRPC.

use chassis::testing::refused_as;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use uuid::Uuid;

use crate::harness::{Answer, Shop, TOKEN, order};
use proto::PaymentStatus;
use proto::payments_service_client::PaymentsServiceClient;
use proto::refund_request::Wanted;

pub(crate) mod proto {
    #![allow(unreachable_pub, reason = "generated")]
    tonic::include_proto!("shop.payments.v1");
}

const SERVICE: &str = "shop.payments.v1.PaymentsService";

/// A request of somebody who shows the token.
fn shown<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let token = format!("Bearer {TOKEN}").parse().expect("a token");
    let _: Option<MetadataValue<_>> = request.metadata_mut().insert("authorization", token);
    request
}

/// The message that says the same as the body of `POST /payments`.
pub(crate) fn authorise(key: &str, order: &Value) -> proto::AuthoriseRequest {
    let text = |field: &str| order[field].as_str().unwrap().to_owned();
    proto::AuthoriseRequest {
        idempotency_key: key.to_owned(),
        order_id: text("order_id"),
        buyer_id: text("buyer_id"),
        amount: Some(proto::Money {
            amount: order["amount"]["amount"].as_i64().unwrap(),
            currency: order["amount"]["currency"].as_str().unwrap().to_owned(),
        }),
        token: text("token"),
    }
}

fn key() -> String {
    Uuid::now_v7().to_string()
}

async fn paid(client: &mut PaymentsServiceClient<Channel>, order: &Value) -> proto::Payment {
    let answer = client.authorise(shown(authorise(&key(), order))).await;
    answer.expect("a payment").into_inner().payment.unwrap()
}

#[tokio::test]
async fn an_order_is_paid_and_both_protocols_tell_the_same() {
    let shop = Shop::open().await;
    let mut client = PaymentsServiceClient::new(shop.service.channel().await);
    let order = order("tok_approved");
    let payment = paid(&mut client, &order).await;
    assert_eq!(payment.status(), PaymentStatus::Authorised);
    assert_eq!(payment.order_id, order["order_id"]);
    assert_eq!(payment.buyer_id, order["buyer_id"]);

    let message = proto::CaptureRequest {
        idempotency_key: key(),
        payment_id: payment.id.clone(),
    };
    let captured = client.capture(shown(message)).await.unwrap().into_inner();
    let captured = captured.payment.unwrap();
    assert_eq!(captured.status(), PaymentStatus::Captured);
    let taken = captured.captured.clone().unwrap();
    assert_eq!((taken.amount, taken.currency.as_str()), (1999, "EUR"));

    let message = proto::GetRequest {
        payment_id: payment.id.clone(),
    };
    let read = client.get(shown(message)).await.unwrap().into_inner();
    assert_eq!(read.payment, Some(captured.clone()));
    let message = proto::ListRequest {
        order_id: payment.order_id.clone(),
    };
    let list = client.list(shown(message)).await.unwrap().into_inner();
    assert_eq!(list.payments, [captured]);
    let over_http = shop.read(&json!({"id": payment.id})).await;
    assert_eq!(
        (&over_http["status"], &over_http["captured"]["amount"]),
        (&json!("captured"), &json!(1999))
    );
}

/// A captured payment of 19.99 EUR.
async fn captured(client: &mut PaymentsServiceClient<Channel>) -> proto::Payment {
    let payment = paid(client, &order("tok_approved")).await;
    let message = proto::CaptureRequest {
        idempotency_key: key(),
        payment_id: payment.id,
    };
    let captured = client.capture(shown(message)).await.expect("it is held");
    captured.into_inner().payment.unwrap()
}

fn part(amount: i64, currency: &str) -> Option<Wanted> {
    let currency = currency.to_owned();
    Some(Wanted::Amount(proto::Money { amount, currency }))
}

fn refund(
    key: &str,
    payment: &proto::Payment,
    wanted: Option<Wanted>,
) -> Request<proto::RefundRequest> {
    shown(proto::RefundRequest {
        idempotency_key: key.to_owned(),
        payment_id: payment.id.clone(),
        wanted,
    })
}

#[tokio::test]
async fn money_is_given_back_in_part_and_in_whole_and_once_for_each_key() {
    let shop = Shop::open().await;
    let mut client = PaymentsServiceClient::new(shop.service.channel().await);
    let payment = captured(&mut client).await;
    let (first, second) = (key(), key());
    let refunded = |answer: proto::RefundResponse| {
        let payment = answer.payment.unwrap();
        (payment.status(), payment.refunded.unwrap().amount)
    };
    for _ in 0..2 {
        let answer = client.refund(refund(&first, &payment, part(500, "EUR")));
        let told = refunded(answer.await.unwrap().into_inner());
        assert_eq!(told, (PaymentStatus::PartiallyRefunded, 500));
    }
    // The same key over HTTP is the same refund.
    let body = json!({"amount": {"amount": 500, "currency": "EUR"}});
    let path = format!("/payments/{}/refund", payment.id);
    let over_http = Answer::of(shop.post(&path, &first, &body)).await;
    assert_eq!(over_http.body["refunded"]["amount"], 500);
    for _ in 0..2 {
        let answer = client.refund(refund(&second, &payment, Some(Wanted::All(true))));
        let told = refunded(answer.await.unwrap().into_inner());
        assert_eq!(told, (PaymentStatus::Refunded, 1999));
    }
}

#[tokio::test]
async fn a_refund_that_is_wrong_gives_nothing_back_and_says_why() {
    let shop = Shop::open().await;
    let mut client = PaymentsServiceClient::new(shop.service.channel().await);
    let payment = captured(&mut client).await;
    for (wanted, code) in [
        (None, "invalid"),
        (Some(Wanted::All(false)), "invalid"),
        (part(0, "EUR"), "invalid"),
        (part(1, "EURO"), "invalid"),
        (part(1, "USD"), "other_currency"),
        (part(2000, "EUR"), "refund_too_large"),
    ] {
        let request = refund(&key(), &payment, wanted.clone());
        let status = client.refund(request).await.unwrap_err();
        let expected = (Code::InvalidArgument, code.to_owned());
        assert_eq!(refused_as(&status), expected, "{wanted:?}");
    }
    let held = paid(&mut client, &order("tok_approved")).await;
    let request = refund(&key(), &held, Some(Wanted::All(true)));
    let status = client.refund(request).await.unwrap_err();
    let expected = (Code::FailedPrecondition, "conflict".to_owned());
    assert_eq!(refused_as(&status), expected, "nothing was taken yet");
    let request = proto::GetRequest {
        payment_id: payment.id,
    };
    let now = client.get(shown(request)).await.unwrap().into_inner();
    assert_eq!(now.payment.unwrap().refunded.unwrap().amount, 0);
}

#[tokio::test]
async fn a_declined_payment_says_why_and_a_held_one_can_be_let_go() {
    let shop = Shop::open().await;
    let mut client = PaymentsServiceClient::new(shop.service.channel().await);
    let declined = paid(&mut client, &order("tok_declined")).await;
    assert_eq!(declined.status(), PaymentStatus::Declined);
    assert_eq!(declined.decline_reason.as_deref(), Some("card_declined"));
    let held = paid(&mut client, &order("tok_approved")).await;
    let message = proto::VoidRequest {
        idempotency_key: key(),
        payment_id: held.id,
    };
    let voided = client.void(shown(message)).await.unwrap().into_inner();
    assert_eq!(voided.payment.unwrap().status(), PaymentStatus::Voided);
}

#[tokio::test]
async fn a_key_names_one_payment_over_both_protocols() {
    let shop = Shop::open().await;
    let mut client = PaymentsServiceClient::new(shop.service.channel().await);
    let (key, mut order) = (key(), order("tok_approved"));
    let first = Answer::of(shop.post("/payments", &key, &order)).await;
    let first = first.payment(StatusCode::CREATED);
    let again = client.authorise(shown(authorise(&key, &order))).await;
    assert_eq!(again.unwrap().into_inner().payment.unwrap().id, first["id"]);
    order["amount"]["amount"] = json!(1);
    let other = client.authorise(shown(authorise(&key, &order))).await;
    let reused = (Code::InvalidArgument, "idempotency_key_reused".to_owned());
    assert_eq!(refused_as(&other.unwrap_err()), reused);
    assert_eq!(shop.rows("select from payments", &[]).await.len(), 1);
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_the_code_of_its_problem() {
    let shop = Shop::open().await;
    let mut client = PaymentsServiceClient::new(shop.service.channel().await);
    let fine = || authorise(&key(), &order("tok_approved"));
    let amount = |amount, currency: &str| {
        let currency = currency.to_owned();
        Some(proto::Money { amount, currency })
    };
    for (message, code) in [
        (
            proto::AuthoriseRequest {
                idempotency_key: String::new(),
                ..fine()
            },
            "invalid",
        ),
        (
            proto::AuthoriseRequest {
                order_id: "one".into(),
                ..fine()
            },
            "invalid",
        ),
        (
            proto::AuthoriseRequest {
                amount: None,
                ..fine()
            },
            "invalid",
        ),
        (
            proto::AuthoriseRequest {
                amount: amount(0, "EUR"),
                ..fine()
            },
            "invalid",
        ),
        (
            proto::AuthoriseRequest {
                amount: amount(1, "XAU"),
                ..fine()
            },
            "invalid",
        ),
        (
            proto::AuthoriseRequest {
                amount: amount(1, "EURO"),
                ..fine()
            },
            "invalid",
        ),
        (
            proto::AuthoriseRequest {
                token: "tok_invented".into(),
                ..fine()
            },
            "unknown_token",
        ),
    ] {
        let status = client.authorise(shown(message.clone())).await.unwrap_err();
        assert_eq!(
            refused_as(&status),
            (Code::InvalidArgument, code.to_owned()),
            "{message:?}"
        );
    }
    let read = |id: &str| {
        shown(proto::GetRequest {
            payment_id: id.to_owned(),
        })
    };
    let status = client
        .get(read(&Uuid::now_v7().to_string()))
        .await
        .unwrap_err();
    assert_eq!(
        refused_as(&status),
        (Code::NotFound, "not_found".to_owned())
    );

    let void = |payment: &proto::Payment| {
        let (idempotency_key, payment_id) = (key(), payment.id.clone());
        shown(proto::VoidRequest {
            idempotency_key,
            payment_id,
        })
    };
    let declined = paid(&mut client, &order("tok_declined")).await;
    let status = client.void(void(&declined)).await.unwrap_err();
    assert_eq!(
        refused_as(&status),
        (Code::FailedPrecondition, "conflict".to_owned())
    );
    let unclear = paid(&mut client, &order("tok_unknown")).await;
    assert_eq!(unclear.status(), PaymentStatus::Processing);
    client
        .void(void(&unclear))
        .await
        .expect("taken while it is processing");
    let status = client.void(void(&unclear)).await.unwrap_err();
    assert_eq!(
        refused_as(&status),
        (Code::Aborted, "payment_busy".to_owned())
    );
}

#[tokio::test]
async fn nobody_gets_anywhere_without_the_token() {
    let shop = Shop::open().await;
    let mut client = PaymentsServiceClient::new(shop.service.channel().await);
    for token in [None, Some("Bearer wrong"), Some(TOKEN)] {
        let with = |mut request: Request<proto::AuthoriseRequest>| {
            if let Some(token) = token {
                request
                    .metadata_mut()
                    .insert("authorization", token.parse().unwrap());
            }
            request
        };
        let request = with(Request::new(authorise(&key(), &order("tok_approved"))));
        let status: Status = client.authorise(request).await.unwrap_err();
        let refused = (Code::Unauthenticated, "unauthenticated".to_owned());
        assert_eq!(refused_as(&status), refused, "{token:?}");
    }
    assert_eq!(shop.rows("select from payments", &[]).await.len(), 0);
}

#[tokio::test]
async fn the_service_describes_itself_and_says_that_it_serves() {
    let shop = Shop::open().await;
    let channel = shop.service.channel().await;
    let service = SERVICE.to_owned();
    let state = HealthClient::new(channel.clone())
        .check(HealthCheckRequest { service })
        .await;
    assert_eq!(state.unwrap().into_inner().status(), ServingStatus::Serving);

    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(SERVICE.to_owned())),
    };
    let mut reflection = ServerReflectionClient::new(channel);
    let answers = reflection
        .server_reflection_info(futures::stream::iter([question]))
        .await;
    let answer = answers
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    let Some(MessageResponse::FileDescriptorResponse(files)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let file = String::from_utf8_lossy(&files.file_descriptor_proto[0]);
    assert!(file.contains("AuthoriseRequest"), "{file}");
}

#[tokio::test]
async fn a_stranger_who_invents_methods_makes_no_metrics() {
    let shop = Shop::open().await;
    let channel = shop.service.channel().await;
    for invented in ["/shop.payments.v1.PaymentsService/Invented", "/any/Thing"] {
        let mut client = tonic::client::Grpc::new(channel.clone());
        client.ready().await.expect("a connection");
        let codec = tonic_prost::ProstCodec::<proto::GetRequest, proto::GetResponse>::default();
        let path = invented.parse().expect("a path");
        let request = Request::new(proto::GetRequest::default());
        let answer = client.unary(request, path, codec).await;
        answer.expect_err("nobody serves it");
    }
    let metrics = shop.service.metrics().await;
    let calls = metrics
        .lines()
        .filter(|line| line.starts_with("grpc_server_call_duration_seconds_count"));
    let calls: Vec<_> = calls.collect();
    assert!(!calls.is_empty());
    assert!(
        calls.iter().all(|call| call.contains("method=\"none\"")),
        "{calls:?}"
    );
}
