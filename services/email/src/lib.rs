//! Tells buyers by mail what happened to their account and their orders: subscribes to events, renders, sends by SMTP where a mail
//! server is configured and keeps the mails otherwise.

mod api;
mod backoff;
mod delivery;
mod events;
mod letter;
mod mail;
mod message;
mod metrics;
mod money;
mod order_events;
mod render;
mod retention;
mod sender;
mod server_state;
mod settings;
mod smtp;
mod state;
mod store;
mod subscriptions;

use std::sync::Arc;

use chassis::{Chassis, Env, EventContract, Service, SettingError};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::delivery::{Delivery, Destination};
use crate::events::{EmailBounced, EmailSent};
use crate::metrics::Metrics;
use crate::render::Renderer;
use crate::sender::Sender;
use crate::server_state::ServerState;
use crate::settings::Settings;
use crate::smtp::SmtpServer;
use crate::state::State;

mod migrations {
    refinery::embed_migrations!("migrations");
}

/// The service.
pub struct Email;

impl Service for Email {
    const NAME: &'static str = "email";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    type Settings = Settings;
    type State = State;

    fn settings(env: &Env) -> Result<Settings, SettingError> {
        Settings::read(env)
    }

    fn migrations() -> refinery::Runner {
        migrations::migrations::runner()
    }

    fn routes() -> OpenApiRouter<State> {
        OpenApiRouter::new()
            .routes(routes!(api::mails::list))
            .routes(routes!(api::mails::read))
            .routes(routes!(api::mails::preview))
            .routes(routes!(api::mails::retry))
            .routes(routes!(api::delivery::read))
    }

    fn events() -> Vec<EventContract> {
        vec![
            EventContract::of::<EmailSent>(),
            EventContract::of::<EmailBounced>(),
        ]
    }

    fn start(settings: Settings, chassis: &mut Chassis) -> anyhow::Result<State> {
        subscriptions::subscribe(chassis, Renderer::new(&settings.shop_name())?);
        let server = ServerState::default();
        let delivery = Delivery {
            db: chassis.db(),
            metrics: Metrics::register(chassis.metrics(), server.clone()),
            from: settings.from.clone(),
            server: server.clone(),
        };
        let sender = Sender {
            db: chassis.db(),
            delivery,
            destination: destination(&settings)?,
        };
        chassis.worker("sender", move |stop| sender.clone().run(stop));
        let db = chassis.db();
        chassis.worker("retention", move |stop| retention::run(db.clone(), stop));
        Ok(State {
            db: chassis.db(),
            verifier: chassis.verifier(settings.users_url),
            server,
            sends: settings.smtp.is_some(),
        })
    }
}

fn destination(settings: &Settings) -> anyhow::Result<Destination> {
    let Some(server) = &settings.smtp else {
        tracing::info!("no SMTP_HOST is set: mails are kept and not sent");
        return Ok(Destination::Kept);
    };
    tracing::info!(host = server.host, port = server.port, tls = ?server.tls, "mails are sent");
    let server = SmtpServer::new(server.clone(), settings.from.email.domain())?;
    Ok(Destination::Server(Arc::new(server)))
}
