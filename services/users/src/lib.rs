//! The service `users`: accounts, passwords, log-ins, and the access tokens that every other service trusts.

mod access_token;
mod account;
mod admin;
mod api;
mod display_name;
mod email_address;
mod events;
mod limits;
mod memory_limit;
mod metrics;
mod password;
mod password_text;
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
    metrics::Metrics, password::Hasher, refresh_token::Minter, settings::Settings, state::State,
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
            minter: Arc::new(Minter::new(&settings.signing_seed)),
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
                let outcome = ensure_admin(&db, &hasher, &admin).await;
                match &outcome {
                    Ok(()) => admin_account.met(),
                    Err(error) => admin_account.not_yet(format!("{error:#}")),
                }
                outcome
            }
        });

        let db = state.db.clone();
        chassis.worker("session-sweeper", move |stop| {
            sweep_sessions(db.clone(), stop)
        });
        Ok(state)
    }
}

/// How often what is left of old sessions is removed.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

async fn sweep_sessions(db: Db, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let removed = store::sessions::remove_old(&db, OffsetDateTime::now_utc()).await?;
        tracing::debug!(removed, "old refresh tokens and sessions removed");
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep(SWEEP_EVERY) => {}
        }
    }
}
