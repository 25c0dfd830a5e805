//! Makes a service's role and database as soon as its PostgreSQL takes connections. The role owns that database and nothing
//! else.

mod provision;

use std::{
    collections::{BTreeMap, HashMap},
    error::Error as _,
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use k8s_openapi::{
    api::core::v1::Pod,
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Mutex, task::JoinHandle};
use tokio_postgres::error::SqlState;

pub use provision::create_role_and_database;

use crate::{
    facts::{
        credentials::{Credentials, DatabaseLogin},
        observe::{Observed, ObservedBackend},
    },
    hash::Fingerprint,
    model::validate::{ValidService, ValidShop},
    naming::{
        names::{self, ServiceName},
        ports::DATABASE_PORT,
    },
    reason::Reason,
};

/// Making a database copies a template; on a slow disk that takes a while.
const LONGEST: Duration = Duration::from_secs(30);
/// A reconcile waits this long for it, which is enough on a quiet machine. Then it goes on with the other services, and the
/// next one sees what has come of it.
const PATIENCE: Duration = Duration::from_millis(200);

/// A database that takes no connections for this long will not do so soon.
const UNREACHABLE_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// How far a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseState {
    /// There is no pod that could take connections yet.
    Starting,
    /// The pod runs but does not take connections yet: ask again soon.
    Connecting,
    /// That goes on for long.
    Unreachable {
        /// One sentence.
        message: String,
    },
    /// Role and database are there.
    Prepared,
    /// It answers, but not as it should.
    Refused {
        /// One word.
        reason: Reason,
        /// One sentence.
        message: String,
    },
}

/// Turns the connection settings of a database into those to use; tests point them at a server of their own.
pub type Redirect = Arc<dyn Fn(tokio_postgres::Config) -> tokio_postgres::Config + Send + Sync>;

/// The databases of all Shops, with a memory of those that are prepared.
pub struct Databases {
    redirect: Redirect,
    preparations: Mutex<HashMap<Key, Preparation>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    namespace: String,
    shop: String,
    service: ServiceName,
}

struct Preparation {
    /// For which volume and which passwords.
    incarnation: String,
    /// The first attempt.
    since: Timestamp,
    progress: Progress,
}

/// How far a preparation is.
enum Progress {
    /// Role and database are there.
    Done,
    /// An attempt goes on.
    Trying {
        task: JoinHandle<DatabaseState>,
        /// What came of the one before.
        before: Option<DatabaseState>,
    },
    /// The last attempt ended like this.
    Failed(DatabaseState),
}

impl Default for Databases {
    fn default() -> Self {
        Self::redirected(Arc::new(|config| config))
    }
}

impl Databases {
    /// Connects where `redirect` says.
    pub fn redirected(redirect: Redirect) -> Self {
        Self {
            redirect,
            preparations: Mutex::default(),
        }
    }

    /// Prepares every database of a Shop that is not prepared yet, all at once.
    pub async fn prepare(
        &self,
        shop: &ValidShop,
        observed: &Observed,
        credentials: &Credentials,
        now: Timestamp,
    ) -> BTreeMap<ServiceName, DatabaseState> {
        let mut names = Vec::new();
        let mut states = Vec::new();
        for service in shop.services.values() {
            let seen = observed.services.get(&service.name);
            let seen = seen.filter(|_| service.definition.database.is_some());
            let Some(seen) = seen.map(|seen| &seen.database) else {
                continue;
            };
            names.push(service.name.clone());
            states.push(self.prepare_one(shop, service, seen, credentials, now));
        }
        names.into_iter().zip(join_all(states).await).collect()
    }

    /// Forgets databases of a Shop that is no longer there.
    pub async fn forget(&self, namespace: &str, shop: &str) {
        let mut preparations = self.preparations.lock().await;
        preparations.retain(|key, _| !(key.namespace == namespace && key.shop == shop));
    }

    async fn prepare_one(
        &self,
        shop: &ValidShop,
        wanted: &ValidService,
        observed: &ObservedBackend,
        credentials: &Credentials,
        now: Timestamp,
    ) -> DatabaseState {
        let (service, server) = (&wanted.name, shop.server_of(wanted));
        let name = names::database(&shop.name, server);
        let admin = names::database_admin(&shop.name, server);
        let Some(credentials_of) = credentials.services.get(service) else {
            return DatabaseState::Starting;
        };
        let login = match &credentials_of.database {
            Ok(login) => login,
            Err(lacking) => {
                return DatabaseState::Refused {
                    reason: Reason::SecretIncomplete,
                    message: lacking.clone(),
                };
            }
        };
        let Some(pod) = serving_pod(observed) else {
            return DatabaseState::Starting;
        };
        let incarnation = incarnation(shop, wanted, observed, credentials);
        if observed.is_prepared_for(&incarnation) {
            return DatabaseState::Prepared;
        }
        let key = Key {
            namespace: shop.namespace.clone(),
            shop: shop.name.clone(),
            service: service.clone(),
        };
        let known = self.preparations.lock().await.remove(&key);
        let known = known.filter(|known| known.incarnation == incarnation);
        let since = known.as_ref().map_or(now, |known| known.since);
        let attempt = |before| {
            let by_name = || format!("{name}.{}.svc", shop.namespace);
            let config = as_administrator(&pod.ip.clone().unwrap_or_else(by_name), login);
            let config = (self.redirect)(config);
            let password = login.role_password.clone();
            let task = prepare(
                config,
                service.clone(),
                password,
                name.clone(),
                admin.clone(),
            );
            let task = tokio::spawn(task);
            Progress::Trying { task, before }
        };
        let progress = match known.map(|known| known.progress) {
            None => attempt(None),
            Some(Progress::Failed(before)) => attempt(Some(before)),
            Some(progress @ (Progress::Trying { .. } | Progress::Done)) => progress,
        };
        let progress = await_attempt(progress).await;
        let state = state_after(&progress, now.duration_since(since));
        if let (Progress::Failed(_), DatabaseState::Unreachable { message }) = (&progress, &state) {
            tracing::warn!(database = name, "{message}");
        }
        let preparation = Preparation {
            incarnation,
            since,
            progress,
        };
        self.preparations.lock().await.insert(key, preparation);
        state
    }
}

/// Which volume with which passwords. It stands on the StatefulSet once role and database are there, so that neither a restart
/// of the operator nor one of the database makes them again.
pub fn incarnation(
    shop: &ValidShop,
    service: &ValidService,
    observed: &ObservedBackend,
    credentials: &Credentials,
) -> String {
    let secrets = [
        names::database(&shop.name, &service.name),
        names::database_admin(&shop.name, shop.server_of(service)),
    ];
    let contents = secrets.map(|secret| credentials.contents.get(&secret));
    let volume = observed.claim.as_ref().and_then(|claim| claim.uid());
    Fingerprint::of(&(volume, contents)).hex()
}

/// Waits a moment for the attempt that goes on.
async fn await_attempt(progress: Progress) -> Progress {
    let (mut task, before) = match progress {
        Progress::Trying { task, before } => (task, before),
        Progress::Done | Progress::Failed(_) => return progress,
    };
    match tokio::time::timeout(PATIENCE, &mut task).await {
        Ok(Ok(DatabaseState::Prepared)) => Progress::Done,
        Ok(Ok(failed)) => Progress::Failed(failed),
        // A bug there is a bug here.
        Ok(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends.
        Ok(Err(_)) => Progress::Failed(DatabaseState::Connecting),
        Err(_) => Progress::Trying { task, before },
    }
}

/// What to say of a preparation that began so long ago. At first a failure to connect is part of starting.
fn state_after(progress: &Progress, elapsed: SignedDuration) -> DatabaseState {
    let state = match progress {
        Progress::Done => return DatabaseState::Prepared,
        Progress::Trying { before: None, .. } => return DatabaseState::Connecting,
        Progress::Trying {
            before: Some(state),
            ..
        }
        | Progress::Failed(state) => state.clone(),
    };
    match state {
        DatabaseState::Unreachable { .. } if elapsed < UNREACHABLE_AFTER => {
            DatabaseState::Connecting
        }
        state => state,
    }
}

fn as_administrator(host: &str, login: &DatabaseLogin) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config
        .host(host)
        .port(DATABASE_PORT as u16)
        .user("postgres")
        .password(login.admin_password.expose_secret())
        .dbname("postgres");
    config
}

async fn prepare(
    config: tokio_postgres::Config,
    service: ServiceName,
    password: SecretString,
    name: String,
    admin: String,
) -> DatabaseState {
    match tokio::time::timeout(
        LONGEST,
        create_role_and_database(&config, service.as_str(), &password),
    )
    .await
    {
        Ok(Ok(())) => {
            tracing::info!(database = name, "role and database are there");
            DatabaseState::Prepared
        }
        Ok(Err(error)) => state_of(&error, &name, &admin),
        Err(_) => unreachable(&name, &format!("no answer within {} s", LONGEST.as_secs())),
    }
}

fn unreachable(name: &str, error: &str) -> DatabaseState {
    DatabaseState::Unreachable {
        message: format!("the operator cannot connect to {name}: {error}"),
    }
}

struct ServingPod {
    ip: Option<String>,
}

/// The pod that runs. Asking it directly is quicker than waiting for its probe and for the Service to follow.
fn serving_pod(observed: &ObservedBackend) -> Option<ServingPod> {
    let runs = |pod: &&Arc<Pod>| {
        pod.metadata.deletion_timestamp.is_none()
            && pod
                .status
                .as_ref()
                .is_some_and(|s| s.phase.as_deref() == Some("Running") && s.pod_ip.is_some())
    };
    if let Some(pod) = observed.pods.iter().find(runs) {
        return Some(ServingPod {
            ip: pod.status.as_ref().and_then(|status| status.pod_ip.clone()),
        });
    }
    let stateful_set = observed.stateful_set.as_ref()?;
    let ready = stateful_set
        .status
        .as_ref()
        .and_then(|status| status.ready_replicas)
        .unwrap_or(0)
        > 0;
    ready.then_some(ServingPod { ip: None })
}

fn state_of(error: &tokio_postgres::Error, name: &str, admin: &str) -> DatabaseState {
    match error.code() {
        Some(&SqlState::INVALID_PASSWORD) => DatabaseState::Refused {
            reason: Reason::WrongPassword,
            message: format!(
                "database {name} refuses the password in Secret {admin}: its volume was made with another one"
            ),
        },
        None if postgres_auth::is_refusal(error) => DatabaseState::Refused {
            reason: Reason::PasswordAsked,
            message: format!("database {name}: {}", source_of(error)),
        },
        // It starts, or somebody else prepares it at the same moment.
        None | Some(&(SqlState::CANNOT_CONNECT_NOW | SqlState::INTERNAL_ERROR)) => {
            unreachable(name, &source_of(error))
        }
        Some(code) => DatabaseState::Refused {
            reason: Reason::PreparationFailed,
            message: format!(
                "database {name} cannot be prepared: SQLSTATE {}",
                code.code()
            ),
        },
    }
}

fn source_of(error: &tokio_postgres::Error) -> String {
    let source = error.source().map(ToString::to_string);
    source.unwrap_or_else(|| error.to_string())
}
