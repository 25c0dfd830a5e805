//! The service `orders`: carts, stock and reservations, orders, and the checkout that ends each of them paid or cancelled.

mod api;
mod cart;
mod checkout;
mod events;
mod links;
mod metrics;
mod money;
mod number;
mod order;
mod payments_client;
mod refund;
mod retention;
mod saga;
mod settings;
mod sku;
mod state;
mod stock_import;
mod store;
mod subscriptions;
mod timeline;
mod unpaid;

use std::sync::Arc;

use axum::Router;
use chassis::{Chassis, Env, EventContract, Service, SettingError};
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;

use crate::events::{OrderCancelled, OrderConfirmed, OrderPlaced, OrderRefunded, StockChanged};
use crate::metrics::Metrics;
use crate::payments_client::PaymentsClient;
use crate::saga::runner::{Runner, measure};
use crate::settings::Settings;
use crate::state::{Signals, State, WAITS};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// See the crate's documentation.
pub struct Orders;

impl Service for Orders {
    const NAME: &'static str = "orders";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    type Settings = Settings;
    type State = State;

    fn settings(env: &Env) -> Result<Settings, SettingError> {
        Settings::read(env)
    }

    fn migrations() -> refinery::Runner {
        embedded::migrations::runner()
    }

    fn routes() -> OpenApiRouter<State> {
        api::routes()
    }

    fn administration(state: State) -> Router {
        api::administration(state)
    }

    fn events() -> Vec<EventContract> {
        vec![
            EventContract::of::<OrderPlaced>(),
            EventContract::of::<OrderConfirmed>(),
            EventContract::of::<OrderCancelled>(),
            EventContract::of::<OrderRefunded>(),
            EventContract::of::<StockChanged>(),
        ]
    }

    fn start(settings: Settings, chassis: &mut Chassis) -> anyhow::Result<State> {
        let payments = PaymentsClient::new(
            settings.payments_url,
            settings.payments_token,
            chassis.calls(),
        )?;
        let state = State {
            db: chassis.db(),
            verifier: chassis.verifier(settings.users_url),
            metrics: Metrics::new(chassis.metrics()),
            links: settings.links,
            payments: payments.clone(),
            signals: Signals::new(),
            waits: Arc::new(Semaphore::new(WAITS)),
            stop: chassis.stop(),
        };
        subscriptions::subscribe(chassis, &state.signals);
        let runner = Runner {
            db: state.db.clone(),
            payments,
            signals: state.signals.clone(),
            metrics: state.metrics.clone(),
        };
        chassis.worker("saga-runner", move |stop| runner.clone().run(stop));
        let db = state.db.clone();
        chassis.worker("retention", move |stop| retention::run(db.clone(), stop));
        let (db, metrics) = (state.db.clone(), state.metrics.clone());
        chassis.worker("saga-metrics", move |stop| {
            measure(db.clone(), metrics.clone(), stop)
        });
        Ok(state)
    }
}
