//! Payments: authorise, capture, void, refund, and the ledger of it. See the README for what the service owns and publishes;
//! [`operations`] for how an operation survives crashes and repeated requests.

mod api;
mod app;
mod backoff;
mod events;
mod grpc;
mod ledger;
mod metrics;
mod money;
mod operations;
mod payment;
mod poller;
mod provider;
mod store;

use chassis::auth::ApiToken;
use chassis::{Chassis, Env, EventContract, Service, SettingError};
use secrecy::SecretString;
use utoipa_axum::router::OpenApiRouter;

use app::App;
use metrics::Metrics;
use provider::simulator::Simulator;

refinery::embed_migrations!("migrations");

/// The service.
pub struct Payments;

/// The service's own settings.
pub struct Settings {
    /// What callers must show.
    api_token: SecretString,
}

impl Service for Payments {
    const NAME: &'static str = "payments";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    type Settings = Settings;
    type State = App;

    fn settings(env: &Env) -> Result<Settings, SettingError> {
        let hint = "the bearer token that callers of payments must show";
        Ok(Settings {
            api_token: env.secret("API_TOKEN", hint)?,
        })
    }

    fn migrations() -> refinery::Runner {
        migrations::runner()
    }

    fn routes() -> OpenApiRouter<App> {
        api::routes()
    }

    fn grpc(app: App) -> Option<chassis::grpc::Api> {
        Some(grpc::api(app))
    }

    fn events() -> Vec<EventContract> {
        vec![
            EventContract::of::<events::PaymentAuthorised>(),
            EventContract::of::<events::PaymentCaptured>(),
            EventContract::of::<events::PaymentFailed>(),
            EventContract::of::<events::PaymentRefunded>(),
        ]
    }

    fn start(settings: Settings, chassis: &mut Chassis) -> anyhow::Result<App> {
        let app = App {
            db: chassis.db(),
            provider: Simulator::new(chassis.db()),
            metrics: Metrics::new(chassis.metrics()),
            token: ApiToken::new(settings.api_token),
        };
        let provider = app.provider.clone();
        chassis.worker("simulator-retention", move |stop| {
            provider.clone().forget_old(stop)
        });
        let polled = app.clone();
        chassis.worker("poller", move |stop| poller::run(polled.clone(), stop));
        Ok(app)
    }
}
