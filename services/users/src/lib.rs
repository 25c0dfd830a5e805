//! The service `users`: accounts, passwords, log-ins, and the access tokens that every other service trusts.

mod access_token;
mod account;
mod admin;
mod api;
mod email_address;
mod events;
mod limits;
mod metrics;
mod password;
mod refresh_token;
mod registration;
mod session;
mod settings;
mod state;
mod store;

use std::{sync::Arc, time::Duration};

use chassis::{CancellationToken, Chassis, Env, EventContract, Service, SettingError, db::Db};
use time::OffsetDateTime;
use tokio::time::sleep;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    access_token::Signer, admin::ensure_admin, events::UserRegistered, limits::Limits,
    metrics::Metrics, password::Hasher, settings::Settings, state::State,
};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// See the crate's documentation.
pub struct Users;

impl Service for Users {
    const NAME: &'static str = "users";
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
        vec![EventContract::of::<UserRegistered>()]
    }

    fn start(settings: Settings, chassis: &mut Chassis) -> anyhow::Result<State> {
        let metrics = Metrics::default();
        metrics.register(chassis.metrics());
        let signer = Arc::new(Signer::new(&settings.signing_seed)?);
        let state = State {
            db: chassis.db(),
            verifier: chassis::auth::Verifier::local(signer.public_keys().clone()),
            signer,
            hasher: Hasher::new(metrics.clone()),
            limits: Arc::new(Limits::new()),
            metrics,
        };

        // Ready means that the shop can be worked with, and for that its administrator must be able to log in.
        let admin_account = chassis.readiness("admin_account");
        let (db, hasher, admin) = (
            state.db.clone(),
            state.hasher.clone(),
            Arc::new(settings.admin),
        );
        chassis.worker("admin-account", move |_stop| {
            let (db, hasher, admin) = (db.clone(), hasher.clone(), admin.clone());
            let admin_account = admin_account.clone();
            async move {
                ensure_admin(&db, &hasher, &admin).await?;
                admin_account.met();
                Ok(())
            }
        });

        let db = state.db.clone();
        chassis.worker("session-sweeper", move |stop| {
            sweep_sessions(db.clone(), stop)
        });
        Ok(state)
    }
}

/// How often what is left of expired sessions is removed.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

async fn sweep_sessions(db: Db, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let removed = store::sessions::remove_expired(&db, OffsetDateTime::now_utc()).await?;
        tracing::debug!(removed, "expired refresh tokens removed");
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep(SWEEP_EVERY) => {}
        }
    }
}
