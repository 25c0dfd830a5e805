//! Tells buyers by mail what happened to their account and their orders: subscribes to events, renders, sends by SMTP where a mail
//! server is configured and keeps the mails otherwise.

mod api;
mod backoff;
mod events;
mod letter;
mod mail;
mod message;
mod metrics;
mod money;
mod render;
mod sender;
mod settings;
mod smtp;
mod state;
mod store;
mod subscriptions;

use chassis::{Chassis, Env, EventContract, Service, SettingError};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::events::{EmailBounced, EmailSent};
use crate::metrics::Metrics;
use crate::render::Renderer;
use crate::sender::Sender;
use crate::settings::Settings;
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
    }

    fn events() -> Vec<EventContract> {
        vec![
            EventContract::of::<EmailSent>(),
            EventContract::of::<EmailBounced>(),
        ]
    }

    fn start(settings: Settings, chassis: &mut Chassis) -> anyhow::Result<State> {
        match &settings.smtp {
            Some(server) => {
                tracing::info!(host = server.host, port = server.port, tls = ?server.tls, "mails are sent");
            }
            None => tracing::info!("no SMTP_HOST is set: mails are kept and not sent"),
        }
        subscriptions::subscribe(chassis, Renderer::new(&settings.shop_name())?);
        let sender = Sender {
            db: chassis.db(),
            metrics: Metrics::register(chassis.metrics()),
            from: settings.from,
            smtp: settings.smtp,
        };
        chassis.worker("sender", move |stop| sender.clone().run(stop));
        Ok(State {
            db: chassis.db(),
            verifier: chassis.verifier(settings.users_url),
        })
    }
}
