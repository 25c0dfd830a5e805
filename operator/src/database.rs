//! Makes a service's role and database as soon as its PostgreSQL takes connections. The role owns that database and nothing
//! else. Everything here may be done again at any time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use postgres_protocol::{
    escape::{escape_identifier, escape_literal},
    password::scram_sha_256,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls, config::SslMode, error::SqlState};

use crate::{
    catalogue::{DATABASE_PORT, PerService, ServiceName},
    credentials::Credentials,
    names,
    observe::{Observed, ObservedStore},
    validate::ValidShop,
};

/// Long enough for a busy machine, short enough to look again soon.
const CONNECT: Duration = Duration::from_secs(1);
/// Making a database copies a template; on a slow disk that takes a while.
const PREPARE: Duration = Duration::from_secs(10);

/// How far a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseState {
    /// There is no pod that could take connections yet.
    Starting,
    /// The pod runs but does not take connections yet: ask again soon.
    Connecting,
    /// Role and database are there.
    Prepared,
    /// It answers, but not as it should.
    Refused {
        /// One CamelCase word.
        reason: &'static str,
        /// One sentence.
        message: String,
    },
}

/// Turns the connection settings of a database into those to use; tests point them at a server of their own.
pub type Redirect = Arc<dyn Fn(tokio_postgres::Config) -> tokio_postgres::Config + Send + Sync>;

/// The databases of all Shops, with a memory of those that are prepared.
pub struct Databases {
    redirect: Redirect,
    /// By namespace and name: for which pod and which passwords the database was prepared.
    prepared: Mutex<HashMap<(String, String), String>>,
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
            prepared: Mutex::default(),
        }
    }

    /// Prepares every database of a Shop that is not prepared yet, all at once.
    pub async fn prepare(
        &self,
        shop: &ValidShop,
        observed: &Observed,
        credentials: &Credentials,
    ) -> PerService<DatabaseState> {
        let states = join_all(ServiceName::ALL.map(|service| {
            self.prepare_one(
                shop,
                service,
                &observed.services[service].database,
                credentials,
            )
        }))
        .await;
        let mut states = states.into_iter();
        // join_all keeps the order and the number.
        PerService::new(|_| states.next().unwrap_or(DatabaseState::Starting))
    }

    /// Forgets databases of a Shop that is no longer there.
    pub async fn forget(&self, namespace: &str, names: &[String]) {
        let mut prepared = self.prepared.lock().await;
        for name in names {
            prepared.remove(&(namespace.to_owned(), name.clone()));
        }
    }

    async fn prepare_one(
        &self,
        shop: &ValidShop,
        service: ServiceName,
        observed: &ObservedStore,
        credentials: &Credentials,
    ) -> DatabaseState {
        let name = names::database(&shop.name, service);
        let admin = names::database_admin(&shop.name, service);
        let Some(pod) = serving_pod(observed) else {
            return DatabaseState::Starting;
        };
        let content = |secret: &String| {
            credentials
                .contents
                .get(secret)
                .cloned()
                .unwrap_or_default()
        };
        let incarnation = format!("{}/{}/{}", pod.uid, content(&name), content(&admin));
        let key = (shop.namespace.clone(), name.clone());
        if self.prepared.lock().await.get(&key) == Some(&incarnation) {
            return DatabaseState::Prepared;
        }

        let login = &credentials.services[service];
        let mut config = tokio_postgres::Config::new();
        config
            .host(
                pod.ip
                    .unwrap_or_else(|| format!("{name}.{}.svc", shop.namespace)),
            )
            .port(DATABASE_PORT as u16)
            .user("postgres")
            .password(login.admin_password.expose_secret())
            .dbname("postgres");
        let config = (self.redirect)(config);
        let prepared = ensure(&config, service.as_str(), &login.role_password);
        match tokio::time::timeout(PREPARE, prepared).await {
            Ok(Ok(())) => {
                tracing::info!(database = name, "role and database are there");
                self.prepared.lock().await.insert(key, incarnation);
                DatabaseState::Prepared
            }
            Ok(Err(error)) => state_of(&error, &name, &admin),
            Err(_) => DatabaseState::Connecting,
        }
    }
}

struct ServingPod {
    uid: String,
    ip: Option<String>,
}

/// The pod that runs. Asking it directly is quicker than waiting for its probe and for the Service to follow.
fn serving_pod(observed: &ObservedStore) -> Option<ServingPod> {
    let runs = |pod: &&Arc<Pod>| {
        pod.metadata.deletion_timestamp.is_none()
            && pod
                .status
                .as_ref()
                .is_some_and(|s| s.phase.as_deref() == Some("Running") && s.pod_ip.is_some())
    };
    if let Some(pod) = observed.pods.iter().find(runs) {
        return Some(ServingPod {
            uid: pod.uid().unwrap_or_default(),
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
    ready.then(|| ServingPod {
        uid: stateful_set.uid().unwrap_or_default(),
        ip: None,
    })
}

fn state_of(error: &tokio_postgres::Error, name: &str, admin: &str) -> DatabaseState {
    match error.code() {
        Some(&SqlState::INVALID_PASSWORD) => DatabaseState::Refused {
            reason: "WrongPassword",
            message: format!(
                "database {name} refuses the password in Secret {admin}: its volume was made with another one"
            ),
        },
        // It starts, or somebody else prepares it at the same moment.
        None | Some(&(SqlState::CANNOT_CONNECT_NOW | SqlState::INTERNAL_ERROR)) => {
            DatabaseState::Connecting
        }
        Some(code) => DatabaseState::Refused {
            reason: "PreparationFailed",
            message: format!(
                "database {name} cannot be prepared: SQLSTATE {}",
                code.code()
            ),
        },
    }
}

/// Makes role and database `name`, or brings them to what they should be: the role is no superuser and owns its database,
/// and nobody else may connect to it.
///
/// # Errors
/// What the server answers.
pub async fn ensure(
    admin: &tokio_postgres::Config,
    name: &str,
    password: &SecretString,
) -> Result<(), tokio_postgres::Error> {
    let mut config = admin.clone();
    config
        .connect_timeout(CONNECT)
        .ssl_mode(SslMode::Disable)
        .application_name("shop-operator");
    let (client, connection) = config.connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    let result = ensure_with(&client, name, password).await;
    drop(client);
    connection.abort();
    result
}

async fn ensure_with(
    client: &Client,
    name: &str,
    password: &SecretString,
) -> Result<(), tokio_postgres::Error> {
    let role = escape_identifier(name);
    // The server gets the verifier, so that the password cannot stand in its log.
    let verifier = escape_literal(&scram_sha_256(password.expose_secret().as_bytes()));
    let rights = format!(
        "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD {verifier}"
    );
    let exists = client
        .query_opt("SELECT 1 FROM pg_roles WHERE rolname = $1", &[&name])
        .await?
        .is_some();
    let verb = if exists { "ALTER" } else { "CREATE" };
    done_before(
        client
            .batch_execute(&format!("{verb} ROLE {role} {rights}"))
            .await,
    )?;

    let exists = client
        .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name])
        .await?
        .is_some();
    if !exists {
        done_before(
            client
                .batch_execute(&format!("CREATE DATABASE {role} OWNER {role}"))
                .await,
        )?;
    }
    client
        .batch_execute(&format!(
            "ALTER DATABASE {role} OWNER TO {role};
             REVOKE ALL ON DATABASE {role} FROM PUBLIC;
             REVOKE ALL ON DATABASE postgres FROM PUBLIC;
             REVOKE ALL ON DATABASE template1 FROM PUBLIC"
        ))
        .await
}

/// Somebody else made it between our look and our command.
fn done_before(result: Result<(), tokio_postgres::Error>) -> Result<(), tokio_postgres::Error> {
    match result {
        Err(error)
            if matches!(
                error.code(),
                Some(
                    &(SqlState::DUPLICATE_OBJECT
                        | SqlState::DUPLICATE_DATABASE
                        | SqlState::UNIQUE_VIOLATION)
                )
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}
