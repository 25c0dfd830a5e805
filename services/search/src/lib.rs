//! The catalogue of a shop and its search: products are written to PostgreSQL, every replica keeps an index of its own
//! from them, and a search asks nothing but that index.

mod api;
mod events;
mod grpc;
mod index;
mod metrics;
mod picture;
mod product;
mod search;
mod settings;
mod state;
mod store;
mod subscriptions;
mod words;
mod work_queue;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use chassis::{Chassis, Env, EventContract, Service, SettingError};
use tokio::sync::Notify;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::events::{ProductRemoved, ProductUpserted};
use crate::index::ProductIndex;
use crate::index::follow::Follower;
use crate::index::freshness::Freshness;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::state::State;
use crate::subscriptions::StockHandler;
use crate::work_queue::WorkQueue;

mod migrations {
    refinery::embed_migrations!("migrations");
}

/// The service.
pub struct Search;

impl Service for Search {
    const NAME: &'static str = "search";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// Of writes of other replicas.
    const LISTENERS: usize = 1;
    type Settings = Settings;
    type State = State;

    fn settings(env: &Env) -> Result<Settings, SettingError> {
        Settings::read(env)
    }

    fn migrations() -> refinery::Runner {
        migrations::migrations::runner()
    }

    fn routes() -> OpenApiRouter<State> {
        let products = OpenApiRouter::new()
            .routes(routes!(
                api::products::read,
                api::products::write,
                api::products::remove
            ))
            .layer(DefaultBodyLimit::max(api::products::BODY_LIMIT));
        OpenApiRouter::new()
            .routes(routes!(api::search::find))
            .merge(products)
            .routes(routes!(api::import::import))
    }

    fn grpc(state: State) -> Option<chassis::grpc::Api> {
        Some(grpc::api(state))
    }

    fn events() -> Vec<EventContract> {
        vec![
            EventContract::of::<ProductUpserted>(),
            EventContract::of::<ProductRemoved>(),
        ]
    }

    fn start(settings: Settings, chassis: &mut Chassis) -> anyhow::Result<State> {
        let freshness = Freshness::default();
        let wrote = Arc::new(Notify::new());
        let news = Arc::new(Notify::new());
        let index = ProductIndex::create(&settings.index_dir)?;
        let follower = Follower {
            db: chassis.db(),
            index: index.clone(),
            freshness: freshness.clone(),
            built: chassis.readiness("index"),
            wrote: Arc::clone(&wrote),
            news: Arc::clone(&news),
        };
        chassis.worker("index", move |stop| follower.clone().run(stop));
        chassis.subscribe(StockHandler);
        Ok(State {
            db: chassis.db(),
            verifier: chassis.verifier(settings.users_url),
            index,
            searches: WorkQueue::of_process(),
            metrics: Metrics::register(chassis.metrics(), freshness),
            wrote,
            news,
            streams: grpc::places(),
            stop: chassis.stop(),
        })
    }
}
