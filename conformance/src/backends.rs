//! PostgreSQL and NATS for a run, in containers of their own. Each stage takes a database and a broker account there.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use tempfile::TempDir;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::docker::{Container, Network};
use crate::document::Document;
use crate::rights;
use crate::wait::until;

const PASSWORD: &str = "postgres";
const PATIENCE: Duration = Duration::from_secs(60);
/// Ten times what a service has: where all of them want the machine at once, those that all of them wait for come first.
const CPU_SHARES: &str = "10240";

/// The images of PostgreSQL and NATS.
pub struct Images {
    pub postgres: String,
    pub nats: String,
}

impl Images {
    /// Those that the scripts in dev/ use on this machine.
    pub fn of_machine() -> Result<Self> {
        let common = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dev/common.sh");
        let script = format!(
            ". '{}'; images_from; echo \"$POSTGRES_IMAGE $NATS_IMAGE\"",
            common.display()
        );
        let output = std::process::Command::new("bash")
            .args(["-c", &script])
            .stderr(Stdio::inherit())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let (postgres, nats) = text
            .trim()
            .split_once(' ')
            .context("dev/common.sh names no images of PostgreSQL and NATS")?;
        Ok(Self {
            postgres: postgres.to_owned(),
            nats: nats.to_owned(),
        })
    }
}

/// A broker account: a user with the rights of the service, and one with all.
pub(crate) struct Account {
    /// The user of the service, whose name is part of every complaint of the broker.
    pub(crate) user: String,
    suite: String,
}

/// For one image, in as many runs as there are accounts for. Dropped, everything of them is removed.
pub struct Backends {
    postgres: SocketAddr,
    pub(crate) nats: SocketAddr,
    nats_container: Container,
    postgres_container: Container,
    _configuration: TempDir,
    /// All passwords that the service is given, so that they can be looked for in its log.
    pub(crate) password: String,
    accounts: Vec<Account>,
    taken: AtomicUsize,
    service: String,
    /// A database that the image has migrated, to copy.
    pub(crate) template: tokio::sync::OnceCell<String>,
    pub(crate) network: Network,
}

impl Backends {
    /// Starts them, with accounts for so many stages of the service.
    pub async fn start(images: &Images, document: &Document, stages: usize) -> Result<Self> {
        let id = Uuid::now_v7().simple().to_string();
        let network = Network::of(format!("conformance-{}", &id[20..])).await?;
        let password = format!("secret-{id}");
        let accounts = (0..stages).map(|n| Account {
            user: format!("{}-{n}", document.name),
            suite: format!("suite-{n}"),
        });
        let accounts: Vec<_> = accounts.collect();
        let configuration = configuration(document, &accounts, &password)?;
        let (postgres, nats) = tokio::try_join!(
            start_postgres(&network, &images.postgres),
            start_nats(&network, &images.nats, configuration.path()),
        )?;
        let backends = Self {
            postgres: (postgres.address().await?, 5432).into(),
            nats: (nats.address().await?, 4222).into(),
            nats_container: nats,
            postgres_container: postgres,
            _configuration: configuration,
            password,
            accounts,
            taken: AtomicUsize::new(0),
            service: document.name.clone(),
            template: tokio::sync::OnceCell::new(),
            network,
        };
        backends.answer().await?;
        Ok(backends)
    }

    /// Waits until both answer, and makes the role that the service logs in as.
    async fn answer(&self) -> Result<()> {
        let role = format!(
            "create role \"{}\" login password '{}'",
            self.role(),
            self.password
        );
        let client = until(PATIENCE, || self.administrator("postgres"))
            .await
            .context("PostgreSQL does not answer")?;
        client.batch_execute(&role).await?;
        until(PATIENCE, || async {
            tokio::net::TcpStream::connect(self.nats).await.map(drop)
        })
        .await
        .context("NATS does not answer")
    }

    pub(crate) fn host(&self) -> IpAddr {
        self.network.host
    }

    pub(crate) fn postgres(&self) -> SocketAddr {
        self.postgres
    }

    /// The role that owns the databases of the service.
    pub(crate) fn role(&self) -> &str {
        &self.service
    }

    /// An account that nobody has used.
    pub(crate) fn account(&self) -> Result<&Account> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        self.accounts
            .get(number)
            .context("the broker has too few accounts for so many stages")
    }

    /// A database of this name, empty or like `template`.
    pub(crate) async fn make_database(&self, name: &str, template: Option<&str>) -> Result<()> {
        let template = template
            .map(|t| format!(" template \"{t}\""))
            .unwrap_or_default();
        let sql = format!(
            "create database \"{name}\" owner \"{}\"{template}",
            self.role()
        );
        let client = self.administrator("postgres").await?;
        // Two that copy one template at once exclude each other for a moment.
        until(PATIENCE, || client.batch_execute(&sql)).await?;
        Ok(())
    }

    /// How many connections there are to this database.
    pub(crate) async fn connections(
        &self,
        client: &tokio_postgres::Client,
        database: &str,
    ) -> Result<i64> {
        let sql = "select count(*) from pg_stat_activity
                   where datname = $1 and backend_type = 'client backend'";
        Ok(client.query_one(sql, &[&database]).await?.get(0))
    }

    /// All tables of a database.
    pub(crate) async fn tables(client: &tokio_postgres::Client) -> Result<Vec<String>> {
        let sql = "select format('%I.%I', schemaname, tablename) from pg_tables
            where schemaname not in ('pg_catalog', 'information_schema')";
        let tables = client.query(sql, &[]).await?;
        Ok(tables.iter().map(|row| row.get(0)).collect())
    }

    /// Gives all tables of a database to this role, and nobody else any right to them.
    pub(crate) async fn give_tables(&self, database: &str, role: &str) -> Result<()> {
        let client = self.administrator(database).await?;
        for table in Self::tables(&client).await? {
            let sql = format!("alter table {table} owner to \"{role}\"");
            change(&client, &sql).await?;
        }
        Ok(())
    }

    /// A connection with all rights.
    pub(crate) async fn administrator(&self, database: &str) -> Result<tokio_postgres::Client> {
        let (client, connection) = tokio_postgres::Config::new()
            .host(self.postgres.ip().to_string())
            .port(self.postgres.port())
            .user("postgres")
            .password(PASSWORD)
            .dbname(database)
            .connect_timeout(Duration::from_secs(2))
            // A service that leaves a transaction open would hold the suite for ever.
            .options("-c lock_timeout=20s -c statement_timeout=60s")
            .connect(NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// A connection to the account with all rights.
    pub(crate) async fn broker(&self, account: &Account) -> Result<async_nats::Client> {
        let connect = || {
            async_nats::ConnectOptions::with_user_and_password(
                account.suite.clone(),
                PASSWORD.to_owned(),
            )
            .connect(self.nats.to_string())
        };
        until(PATIENCE, connect)
            .await
            .map_err(|error| anyhow!("NATS does not answer: {error}"))
    }

    /// How the database is, for people who look for the cause of a failure.
    pub(crate) async fn condition(&self) -> String {
        let sql = "select coalesce(state, 'beginning') || coalesce(' ' || wait_event, ''), count(*)
                   from pg_stat_activity where backend_type = 'client backend' group by 1 order by 1";
        let connections = async {
            let client = self.administrator("postgres").await?;
            let rows = client.query(sql, &[]).await?;
            let count = |row: tokio_postgres::Row| {
                format!("{} {}", row.get::<_, i64>(1), row.get::<_, String>(0))
            };
            anyhow::Ok(rows.into_iter().map(count).collect::<Vec<_>>().join(", "))
        };
        let connections = connections
            .await
            .unwrap_or_else(|error| format!("{error:#}"));
        let (_, log) = self.postgres_container.logs().await.unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(5).collect();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        format!(
            "connections of the database: {connections}; its last lines, the last one first: {}; load of the machine: {}",
            lines.join(" | "),
            load.trim()
        )
    }

    /// What the broker has refused to this user.
    pub(crate) async fn refusals(&self, user: &str) -> Result<Vec<String>> {
        let (stdout, stderr) = self.nats_container.logs().await?;
        let lines = stdout.lines().chain(stderr.lines());
        let refusals = lines.filter(|line| line.contains("Violation"));
        let of_service = refusals.filter(|line| line.contains(&format!("{user}\"")));
        let words = |line: &str| {
            line.rsplit_once(&format!("{user}\""))
                .map_or(line.to_owned(), |(_, words)| words.to_owned())
        };
        Ok(of_service.map(words).collect())
    }
}

/// Changes tables that a service uses meanwhile. A change that wants several of them meets, now and then, a transaction that
/// has locked one and wants the next: PostgreSQL ends one of the two, and that is no fault of the service.
pub(crate) async fn change(client: &tokio_postgres::Client, sql: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        match client.batch_execute(sql).await {
            Err(error)
                if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED)
                    && started.elapsed() < PATIENCE => {}
            ended => return ended.with_context(|| sql.to_owned()),
        }
    }
}

async fn start_postgres(network: &Network, image: &str) -> Result<Container> {
    // Data may be lost in a crash, and none of it is on a disk: a disk that others keep busy would hang for seconds in the
    // midst of what is timed.
    let flags = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_wal_size=128MB -c max_connections=300";
    let env = [
        ("POSTGRES_PASSWORD".to_owned(), PASSWORD.to_owned()),
        ("PGDATA".to_owned(), "/memory/data".to_owned()),
    ];
    let arguments = ["--cpu-shares", CPU_SHARES, "--tmpfs", "/memory:mode=1777"];
    let arguments = arguments.into_iter().chain([image, "postgres"]);
    let arguments: Vec<_> = arguments.chain(flags.split(' ')).collect();
    network
        .start(&env, &arguments)
        .await
        .context("PostgreSQL does not start")
}

async fn start_nats(network: &Network, image: &str, configuration: &Path) -> Result<Container> {
    let volume = format!("{}:/etc/nats:ro", configuration.display());
    let arguments = [
        "--cpu-shares",
        CPU_SHARES,
        "--volume",
        &volume,
        "--tmpfs",
        "/data:mode=1777",
        image,
        "-c",
        "/etc/nats/nats.conf",
    ];
    network
        .start(&[], &arguments)
        .await
        .context("NATS does not start")
}

fn configuration(document: &Document, accounts: &[Account], password: &str) -> Result<TempDir> {
    ensure!(!document.name.is_empty(), "the document has no name");
    let mut text = "port: 4222\nmax_payload: 1MB\nauthorization { timeout: 20 }\n".to_owned();
    text += "jetstream { store_dir: \"/data\", max_memory_store: 64MB, max_file_store: 16GB }\naccounts {\n";
    for (number, account) in accounts.iter().enumerate() {
        let service = rights::user(document, &account.user, password);
        let suite = &account.suite;
        text += &format!("  a{number} {{ jetstream: enabled, users: [\n    {service},\n");
        text += &format!("    {{ user: \"{suite}\", password: \"{PASSWORD}\" }}\n  ] }}\n");
    }
    text += "}\n";
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("nats.conf"), text)?;
    // The server in its container is another user.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}
