//! The gRPC port from outside: what holds over HTTP holds here too.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::http::uri::PathAndQuery;
use chassis::deadline;
use chassis::grpc::GrpcPeer;
use chassis::testing::{self, Backends, eventually, refused_as};
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest as Asked, HealthCheckResponse as Answer};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use tonic_types::StatusExt;

use crate::notes::grpc::SERVICE;
use crate::notes::{Notes, NotesNext};

fn asked(what: &str) -> Request<Asked> {
    Request::new(Asked {
        service: what.to_owned(),
    })
}

fn do_it() -> PathAndQuery {
    format!("/{SERVICE}/Do").parse().unwrap()
}

async fn call(channel: &Channel, request: Request<Asked>) -> Result<i32, Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.expect("a connection");
    let codec = ProstCodec::<Asked, Answer>::default();
    let answer = client.unary(request, do_it(), codec).await?;
    Ok(answer.into_inner().status)
}

/// A call whose caller waits so long, told in the header that it is told in.
fn within(header: &'static str, ms: u32, what: &str) -> Request<Asked> {
    let unit = if header == "grpc-timeout" { "m" } else { "" };
    let mut request = asked(what);
    let value = format!("{ms}{unit}").parse().unwrap();
    request.metadata_mut().insert(header, value);
    request
}

#[tokio::test]
async fn the_callers_time_is_kept_whichever_way_it_is_told() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let channel = service.channel().await;
    for header in ["grpc-timeout", "x-deadline-ms"] {
        let left = call(&channel, within(header, 20_000, "remaining")).await;
        let left = left.unwrap();
        assert!((1..20_000).contains(&left), "{header}: {left} ms");
    }
    let left = call(&channel, asked("remaining")).await.unwrap();
    assert!((1..=30_000).contains(&left), "without one: {left} ms");

    let status = call(&channel, within("x-deadline-ms", 300, "sleep 60000")).await;
    let expected = (Code::DeadlineExceeded, "deadline".to_owned());
    assert_eq!(refused_as(&status.unwrap_err()), expected);
    let told =
        |count| format!("count{{method=\"{SERVICE}/Do\",code=\"DeadlineExceeded\"}} {count}");
    assert!(service.metrics().await.contains(&told(1)));
    // Of this header the client's library keeps the time too and may be the first to say so. What counts is what the service
    // answers: tonic alone would call it cancelled.
    eventually("the service has answered so", || async {
        let call = call(&channel, within("grpc-timeout", 300, "sleep 60000"));
        assert!(call.await.is_err());
        service.metrics().await.contains(&told(2)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_neighbour_is_asked_within_what_is_left_and_not_longer() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let url = service.grpc_url.as_ref().unwrap();
    let peer = GrpcPeer::new("notes", url, None).unwrap();
    let ask = async |what: &str| {
        let message = asked(what).into_inner();
        peer.call("Do", message, async |channel, request| {
            let mut client = Grpc::new(channel);
            client.ready().await.expect("a lazy channel");
            let codec = ProstCodec::<Asked, Answer>::default();
            client.unary(request, do_it(), codec).await
        })
        .await
    };
    let soon = || Instant::now() + Duration::from_secs(2);
    let left = deadline::within(soon(), ask("remaining")).await.unwrap();
    assert!((1..2_000).contains(&left.status), "{} ms", left.status);
    let left = ask("remaining").await.unwrap();
    assert!((2_000..=5_000).contains(&left.status), "a neighbour's time");
    let until = soon();
    let slow = deadline::within(until, ask("sleep 60000"))
        .await
        .unwrap_err();
    assert!(slow.is_transient(), "{slow}");
    assert!(
        until.elapsed() < Duration::from_secs(1),
        "{:?}",
        until.elapsed()
    );
    let unclear = ask("panic").await.unwrap_err();
    assert_eq!(
        unclear.to_string().split(':').next(),
        Some("notes answered 500 Internal Server Error")
    );
}

#[tokio::test]
async fn a_stream_ends_with_its_callers_time() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let mut client = Grpc::new(service.channel().await);
    client.ready().await.expect("a connection");
    let mut request = asked("");
    request
        .metadata_mut()
        .insert("x-deadline-ms", "500".parse().unwrap());
    let path = format!("/{SERVICE}/Count").parse().unwrap();
    let codec = ProstCodec::<Asked, Answer>::default();
    let mut answers = client
        .server_streaming(request, path, codec)
        .await
        .unwrap()
        .into_inner();
    let mut heard = 0;
    let status = loop {
        match answers.message().await {
            Ok(Some(_)) => heard += 1,
            Ok(None) => panic!("it never ends by itself"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(heard > 0);
    let line = format!("method=\"{SERVICE}/Count\",code=\"DeadlineExceeded\"");
    eventually("the stream is measured", || async {
        service.metrics().await.contains(&line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_panic_is_our_mistake_and_nobody_elses_trouble() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let channel = service.channel().await;
    let (panicked, other) = tokio::join!(
        call(&channel, asked("panic")),
        call(&channel, asked("sleep 50"))
    );
    let status = panicked.unwrap_err();
    assert_eq!(refused_as(&status), (Code::Internal, "internal".to_owned()));
    assert!(other.is_ok(), "on the same connection: {other:?}");
}

#[tokio::test]
async fn problems_come_with_their_code_and_when_to_come_back() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let channel = service.channel().await;
    let status = call(&channel, asked("misspelt")).await.unwrap_err();
    assert_eq!(refused_as(&status), (Code::Internal, "internal".to_owned()));
    assert!(!format!("{status:?}").contains("txet"), "{status:?}");
    backends.database_proxy.cut();
    let status = eventually("the cut is felt", || async {
        call(&channel, asked("database")).await.err()
    })
    .await;
    assert_eq!(
        refused_as(&status),
        (Code::Unavailable, "unavailable".to_owned())
    );
    let retry = status.get_details_retry_info().expect("a RetryInfo");
    assert_eq!(retry.retry_delay, Some(Duration::from_secs(2)));
    backends.database_proxy.heal();
    eventually("the database is back", || async {
        call(&channel, asked("database")).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_schema_that_is_behind_is_no_mistake_of_the_service() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let channel = service.channel().await;
    backends
        .change_schema("drop schema public cascade; create schema public")
        .await;
    let status = call(&channel, asked("misspelt")).await.unwrap_err();
    assert_eq!(
        refused_as(&status),
        (Code::Unavailable, "schema_behind".to_owned())
    );
}

#[tokio::test]
async fn a_stream_tells_nothing_of_what_the_database_said() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let mut client = Grpc::new(service.channel().await);
    client.ready().await.expect("a connection");
    let path = format!("/{SERVICE}/Count").parse().unwrap();
    let codec = ProstCodec::<Asked, Answer>::default();
    let answers = client
        .server_streaming(asked("misspelt"), path, codec)
        .await;
    let mut answers = answers.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some(), "it has begun");
    let status = answers.message().await.unwrap_err();
    assert_eq!(refused_as(&status), (Code::Internal, "internal".to_owned()));
    assert!(!format!("{status:?}").contains("txet"), "{status:?}");
}

/// Health is anybody's to watch, and so is what it costs.
#[tokio::test]
async fn so_many_watch_the_health_at_once_and_no_more() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let channel = service.channel().await;
    let mut client = HealthClient::new(channel.clone());
    let mut watched = Vec::new();
    let refused = loop {
        match client.watch(Asked::default()).await {
            Ok(answer) => watched.push(answer.into_inner()),
            Err(status) => break status,
        }
        assert!(watched.len() < 100, "as many as one connection has calls");
    };
    assert_eq!(
        refused_as(&refused),
        (Code::Unavailable, "overloaded".to_owned())
    );
    assert_eq!(watched.len(), 64);
    call(&channel, asked(""))
        .await
        .expect("the service itself is asked as before");
    drop(watched);
    eventually("those that are gone made room", || async {
        client.clone().check(Asked::default()).await.ok()
    })
    .await;
}

#[tokio::test]
async fn messages_and_methods_that_no_one_takes_are_refused() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let channel = service.channel().await;
    let status = call(&channel, asked(&"x".repeat(17_000)))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    let mut client = Grpc::new(channel.clone());
    for method in [
        format!("/{SERVICE}/Invented"),
        "/invented.Service/Do".into(),
    ] {
        client.ready().await.unwrap();
        let codec = ProstCodec::<Asked, Answer>::default();
        let answer = client
            .unary(asked(""), method.parse().unwrap(), codec)
            .await;
        assert_eq!(answer.unwrap_err().code(), Code::Unimplemented, "{method}");
    }
    let metrics = eventually("both are measured", || async {
        let metrics = service.metrics().await;
        let line =
            "grpc_server_call_duration_seconds_count{method=\"none\",code=\"Unimplemented\"} 2";
        metrics.contains(line).then_some(metrics)
    })
    .await;
    assert!(
        !metrics.to_lowercase().contains("invented"),
        "labels are bounded"
    );
}

#[tokio::test]
async fn the_trace_of_the_caller_goes_on() {
    testing::traces();
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let mut request = asked("misspelt");
    let parent = format!("00-{trace}-b7ad6b7169203331-01");
    request
        .metadata_mut()
        .insert("traceparent", parent.parse().unwrap());
    let status = call(&service.channel().await, request).await.unwrap_err();
    let details = status.get_error_details();
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata.get("trace_id").map(String::as_str), Some(trace));
}

#[tokio::test]
async fn one_client_does_not_take_the_places_of_the_others() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let port = service.grpc_url.as_ref().unwrap().port().unwrap();
    let greedy: IpAddr = [127, 0, 0, 2].into();
    let connect = async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((greedy, 0).into()).unwrap();
        socket.connect(([127, 0, 0, 1], port).into()).await.unwrap()
    };
    let mut held = vec![];
    for _ in 0..256 {
        held.push(connect().await);
    }
    let mut refused = connect().await;
    assert_eq!(
        refused.read(&mut [0; 1]).await.unwrap_or(0),
        0,
        "closed at once"
    );
    call(&service.channel().await, asked(""))
        .await
        .expect("a place for another one");
    let metrics = service.metrics().await;
    assert!(
        metrics.contains("grpc_server_connections_refused_total 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_stop_ends_what_has_begun_and_takes_no_more() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let port = service.grpc_url.as_ref().unwrap().port().unwrap();
    let address = ("127.0.0.1", port);
    let channel = service.channel().await;
    let health = &mut HealthClient::new(channel.clone());
    let mut watched = health.watch(Asked::default()).await.unwrap().into_inner();
    assert_eq!(
        watched.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    let slow = tokio::spawn({
        let channel = channel.clone();
        async move { call(&channel, asked("sleep 3000")).await }
    });
    eventually("two calls are at work", || async {
        service
            .metrics()
            .await
            .contains("grpc_server_active_calls 2")
            .then_some(())
    })
    .await;
    service.leave().await;
    call(&channel, asked(""))
        .await
        .expect("answered while clients move on");
    let state = health.check(Asked::default()).await.unwrap().into_inner();
    assert_eq!(state.status(), ServingStatus::NotServing);
    let started = Instant::now();
    service.stop().await;
    // The same bound as for requests over HTTP, with which it would be cut.
    assert!(
        started.elapsed() < Duration::from_secs(14),
        "{:?}",
        started.elapsed()
    );
    slow.await.unwrap().expect("what had begun is answered");
    let told = watched.message().await.expect("told").expect("a state");
    assert_eq!(told.status(), ServingStatus::NotServing);
    let end = watched.message().await.unwrap_err();
    let expected = (Code::Unavailable, "unavailable".to_owned());
    assert_eq!(refused_as(&end), expected, "as any stream ends");
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "the port is closed"
    );
}

#[tokio::test]
async fn health_is_readiness_and_reflection_tells_what_is_served() {
    let backends = Backends::new().await;
    let service = testing::start_unready::<Notes>(&backends, &[]).await;
    service.ready().await;
    let channel = service.channel().await;
    let mut health = HealthClient::new(channel.clone());
    for name in ["", SERVICE] {
        let state = health.check(asked(name)).await.unwrap().into_inner();
        assert_eq!(state.status(), ServingStatus::Serving, "{name}");
    }
    let unknown = health.check(asked("invented")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);

    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(channel);
    let questions = futures::stream::iter([question]);
    let mut answers = reflection
        .server_reflection_info(questions)
        .await
        .unwrap()
        .into_inner();
    let answer: ServerReflectionResponse = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list.service.into_iter().map(|s| s.name).collect();
    assert!(
        names.contains(&"grpc.health.v1.Health".to_owned()),
        "{names:?}"
    );
}

#[tokio::test]
async fn a_service_without_grpc_opens_no_port() {
    let backends = Backends::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let service = testing::start::<NotesNext>(&backends, &[("GRPC_ADDR", &address)]).await;
    assert_eq!(service.grpc_url, None);
    assert!(!service.metrics().await.contains("grpc_server"));
}
