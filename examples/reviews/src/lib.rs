//! Reviews: a buyer of a product says what they think of it, everybody reads it. A service of a team of its own: it stands on
//! the chassis and on the contracts of others, and nothing of the shop knows its code. See the README for what it owns.

mod api;
mod events;
mod operations;
mod rating;
mod review;
mod settings;
mod sku;
mod state;
mod store;
mod subscriptions;

use chassis::{Chassis, Env, EventContract, Service, SettingError};
use utoipa_axum::router::OpenApiRouter;

use crate::events::{ReviewRemoved, ReviewWritten};
use crate::settings::Settings;
use crate::state::State;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The service.
pub struct Reviews;

impl Service for Reviews {
    const NAME: &'static str = "reviews";
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

    fn events() -> Vec<EventContract> {
        vec![
            EventContract::of::<ReviewWritten>(),
            EventContract::of::<ReviewRemoved>(),
        ]
    }

    fn start(settings: Settings, chassis: &mut Chassis) -> anyhow::Result<State> {
        subscriptions::subscribe(chassis);
        Ok(State {
            db: chassis.db(),
            verifier: chassis.verifier(settings.users_url),
        })
    }
}
