//! No password, token or address reaches the logs, at whatever level.

mod common;

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use chassis::testing::{Backends, eventually};
use common::{ADMIN_EMAIL, ADMIN_PASSWORD, PASSWORD};
use serde_json::{Value, json};

#[tokio::test]
async fn logs_hold_no_secret() {
    let backends = Backends::new().await;
    let migration = Process::start(&backends, "migrate").end().await;
    let users = Process::start(&backends, "serve");
    let (api, admin) = eventually("the service listens", || async { users.addresses() }).await;
    let http = reqwest::Client::new();
    eventually("the service is ready", || async {
        let answer = http
            .get(format!("http://{admin}/readyz"))
            .send()
            .await
            .ok()?;
        answer.status().is_success().then_some(())
    })
    .await;

    let post = async |path: &str, body: Value| {
        let request = http.post(format!("http://{api}{path}")).json(&body);
        let answer = request.send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    let email = "very.secret.ada@shop.example";
    let with = |password: &str| json!({"email": email, "password": password, "name": "Ada"});
    post("/users", with(PASSWORD)).await;
    post("/users", with(PASSWORD)).await;
    post("/users", with("too short")).await;
    post("/sessions", with("a wrong password!")).await;
    let first = post("/sessions", with(PASSWORD)).await;
    let used = json!({"refresh_token": first["refresh_token"]});
    let second = post("/sessions/refresh", used.clone()).await;
    post("/sessions/refresh", used).await;
    let me = http
        .get(format!("http://{api}/me"))
        .bearer_auth(first["access_token"].as_str().unwrap());
    assert_eq!(me.send().await.unwrap().status(), 200);

    users.terminate();
    let logs = migration + &users.end().await;
    assert!(
        logs.contains("account registered"),
        "these are the logs: {logs}"
    );
    assert!(
        logs.contains("shown a second time"),
        "these are the logs: {logs}"
    );
    let seed = common::settings()[0].1;
    let mut secrets = vec![
        email,
        ADMIN_EMAIL,
        PASSWORD,
        ADMIN_PASSWORD,
        "too short",
        "a wrong password!",
        seed,
        "$argon2id$",
    ];
    for tokens in [&first, &second] {
        secrets
            .extend(["refresh_token", "access_token"].map(|name| tokens[name].as_str().unwrap()));
    }
    for secret in secrets {
        let line = logs.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} stands in the logs: {line:?}");
    }
}

/// The real binary at its most talkative, and what it has said so far.
struct Process {
    child: Child,
    said: Arc<Mutex<String>>,
    readers: [JoinHandle<()>; 2],
}

impl Process {
    fn start(backends: &Backends, command: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_users"))
            .arg(command)
            .envs(common::settings())
            .env("DATABASE_URL", backends.database_url())
            .env("NATS_URL", backends.nats_url())
            .env("HTTP_ADDR", "127.0.0.1:0")
            .env("ADMIN_ADDR", "127.0.0.1:0")
            .env("LOG", "trace")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::default();
        let readers = [
            read(child.stdout.take().unwrap(), Arc::clone(&said)),
            read(child.stderr.take().unwrap(), Arc::clone(&said)),
        ];
        Self {
            child,
            said,
            readers,
        }
    }

    /// Where it listens: the API and the administration.
    fn addresses(&self) -> Option<(String, String)> {
        let said = self.said.lock().unwrap();
        let line = said.lines().find(|line| line.contains("\"listening\""))?;
        let line: Value = serde_json::from_str(line).ok()?;
        let address = |name: &str| line[name].as_str().map(str::to_owned);
        Some((address("api")?, address("admin")?))
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
    }

    /// Waits for its end, which must be a good one, and returns all it has said.
    async fn end(self) -> String {
        let child = Mutex::new(self.child);
        let status = eventually("the process ends", || async {
            child.lock().unwrap().try_wait().unwrap()
        })
        .await;
        for reader in self.readers {
            reader.join().unwrap();
        }
        let said = self.said.lock().unwrap().clone();
        assert!(status.success(), "{status}: {said}");
        said
    }
}

fn read(from: impl Read + Send + 'static, into: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut into = into.lock().unwrap();
            into.push_str(&line);
            into.push('\n');
        }
    })
}
