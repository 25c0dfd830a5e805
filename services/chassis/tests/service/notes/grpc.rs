//! What the notes answer over gRPC. The service is written by hand where others have it generated, with messages of the health
//! service, so that these tests need no contract of their own.

use std::convert::Infallible;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;

use chassis::db::{self, Db};
use chassis::deadline;
use chassis::grpc::{Api, LARGEST_REQUEST};
use chassis::http::Problem;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use prost::Message;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status};
use tonic_health::pb::{HealthCheckRequest as Asked, HealthCheckResponse as Answer};
use tonic_prost::ProstCodec;
use tower::service_fn;

pub(crate) const SERVICE: &str = "notes.v1.NotesService";

pub(crate) fn api(db: Db) -> Api {
    Api::new(NotesServer { db }, &DESCRIPTORS)
}

/// What protoc would say of it.
static DESCRIPTORS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let method = |name: &str| MethodDescriptorProto {
        name: Some(name.to_owned()),
        ..MethodDescriptorProto::default()
    };
    let (package, service) = SERVICE.rsplit_once('.').expect("a package");
    let service = ServiceDescriptorProto {
        name: Some(service.to_owned()),
        method: ["Do", "Count"].map(method).to_vec(),
        options: None,
    };
    let file = FileDescriptorProto {
        name: Some("notes.proto".to_owned()),
        package: Some(package.to_owned()),
        service: vec![service],
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
});

#[derive(Clone)]
struct NotesServer {
    db: Db,
}

impl NamedService for NotesServer {
    const NAME: &'static str = SERVICE;
}

impl Service<http::Request<Body>> for NotesServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let db = self.db.clone();
        Box::pin(async move {
            let codec = ProstCodec::<Answer, Asked>::default();
            let mut grpc =
                Grpc::new(codec).apply_max_message_size_config(Some(LARGEST_REQUEST), None);
            Ok(match request.uri().path().rsplit('/').next() {
                Some("Do") => {
                    let work = service_fn(move |asked| answer(db.clone(), asked));
                    grpc.unary(work, request).await
                }
                Some("Count") => {
                    let count = service_fn(move |asked| count(db.clone(), asked));
                    grpc.server_streaming(count, request).await
                }
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

fn misspelt() -> Asked {
    Asked {
        service: "misspelt".into(),
    }
}

/// Does what it is asked to, and answers with a number.
async fn answer(db: Db, asked: Request<Asked>) -> Result<Response<Answer>, Status> {
    let what = asked.into_inner().service;
    let (what, argument) = what.split_once(' ').unwrap_or((&what, ""));
    let mut number = 0;
    match what {
        "sleep" => {
            let ms = argument.parse().expect("milliseconds");
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        "panic" => panic!("a mistake"),
        "database" => drop(db.get().await.map_err(Problem::from)?),
        "misspelt" => {
            let connection = db.get().await.map_err(Problem::from)?;
            let asked = db::query(&connection, "select txet from notes", &[]).await;
            drop(asked.map_err(Problem::from)?);
        }
        "remaining" => {
            let left = deadline::remaining().expect("a deadline").as_millis();
            number = i32::try_from(left).expect("some milliseconds");
        }
        _ => {}
    }
    Ok(Response::new(Answer { status: number }))
}

/// Counts for ever, or tells what the database says of a statement that it does not understand.
async fn count(
    db: Db,
    asked: Request<Asked>,
) -> Result<Response<BoxStream<'static, Result<Answer, Status>>>, Status> {
    if asked.into_inner().service == "misspelt" {
        let begun = stream::iter([Ok(Answer { status: 0 })]);
        let failed = stream::once(async move { answer(db, Request::new(misspelt())).await });
        let told = failed.map(|answer| answer.map(Response::into_inner));
        return Ok(Response::new(begun.chain(told).boxed()));
    }
    let numbers = stream::unfold(0, |status| async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Some((Ok(Answer { status }), status + 1))
    });
    Ok(Response::new(numbers.boxed()))
}
