//! The gRPC interface: the catalogue for those who keep a copy of it, in the messages of contracts/grpc/search.proto.

mod export;
mod position;
mod streams;
mod watch;

use chassis::grpc::{Api, LARGEST_REQUEST};
use futures::stream::BoxStream;
use tonic::{Request, Response, Status};

use crate::state::State;
use crate::store::products::Stored;
use export::Export;
use position::Position;
use proto::search_service_server::{SearchService, SearchServiceServer};
use streams::Stream;
use watch::Watch;

pub(crate) use streams::places;

mod proto {
    #![allow(unreachable_pub, reason = "generated")]
    tonic::include_proto!("shop.search.v1");
}

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/search.bin"));

/// What the gRPC port answers to anyone who reaches it: the catalogue is public.
pub(crate) fn api(state: State) -> Api {
    let server =
        SearchServiceServer::new(Handlers(state)).max_decoding_message_size(LARGEST_REQUEST);
    Api::new(server, DESCRIPTORS)
}

struct Handlers(State);

#[tonic::async_trait]
impl SearchService for Handlers {
    type ExportStream = BoxStream<'static, Result<proto::ExportResponse, Status>>;
    type WatchStream = BoxStream<'static, Result<proto::WatchResponse, Status>>;

    async fn export(
        &self,
        request: Request<proto::ExportRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        let (stream, messages) = Stream::begin(&self.0, "export", request.extensions())?;
        let position = Position::given(&request.get_ref().position)?;
        let export = Export::begin(stream, position).await?;
        Ok(Response::new(messages.of(export.run())))
    }

    async fn watch(
        &self,
        request: Request<proto::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (stream, messages) = Stream::begin(&self.0, "watch", request.extensions())?;
        let position = Position::given(&request.get_ref().position)?;
        let watch = Watch::begin(stream, position).await?;
        Ok(Response::new(messages.of(watch.run())))
    }
}

impl From<Stored> for proto::Product {
    fn from(stored: Stored) -> Self {
        let body = stored.body;
        Self {
            sku: stored.sku,
            version: stored.version,
            title: body.title,
            description: body.description,
            brand: body.brand,
            category: body.category,
            price: Some(proto::Money {
                amount: body.price.amount,
                currency: body.price.currency.into(),
            }),
            attributes: body.attributes.into_iter().collect(),
        }
    }
}
