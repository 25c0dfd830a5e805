//! The real binary, as a container runs it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use chassis::testing::{Backends, eventually};
use serde_json::Value;

/// The real binary in a process of its own, and what it has said so far.
pub(crate) struct Process {
    child: Killed,
    /// Standard output: the log.
    logged: Arc<Mutex<String>>,
    /// Standard error: why it ended.
    complained: Arc<Mutex<String>>,
    readers: [JoinHandle<()>; 2],
}

/// Killed when it is dropped: a test that fails leaves no process behind, which would hold what it inherited from the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Most of the time it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a process ended.
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) logged: String,
    pub(crate) complained: String,
}

impl Process {
    pub(crate) fn start(backends: &Backends, command: &str, settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_users"))
            .arg(command)
            .envs(super::settings())
            .env("DATABASE_URL", backends.database_url())
            .env("NATS_URL", backends.nats_url())
            .env("HTTP_ADDR", "127.0.0.1:0")
            .env("ADMIN_ADDR", "127.0.0.1:0")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (logged, complained) = (Arc::default(), Arc::default());
        let readers = [
            read(child.stdout.take().unwrap(), Arc::clone(&logged)),
            read(child.stderr.take().unwrap(), Arc::clone(&complained)),
        ];
        Self {
            child: Killed(child),
            logged,
            complained,
            readers,
        }
    }

    /// Where it listens: the API and the administration.
    fn addresses(&self) -> Option<(String, String)> {
        let logged = self.logged.lock().unwrap();
        let line = logged.lines().find(|line| line.contains("\"listening\""))?;
        let line: Value = serde_json::from_str(line).ok()?;
        let address = |name: &str| line[name].as_str().map(str::to_owned);
        Some((address("api")?, address("admin")?))
    }

    /// The text of `/metrics`.
    pub(crate) async fn metrics(&self) -> String {
        let (_, admin) = self.addresses().expect("it listens");
        let answer = reqwest::get(format!("http://{admin}/metrics")).await;
        answer.unwrap().text().await.unwrap()
    }

    /// Waits until it is ready and returns the address of its API.
    pub(crate) async fn ready(&self) -> String {
        let (api, admin) = eventually("the service listens", || async { self.addresses() }).await;
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
        api
    }

    pub(crate) fn terminate(&self) {
        let pid = self.child.0.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
    }

    /// Waits for its end, which must be a good one, and returns all it has said.
    pub(crate) async fn end(self) -> String {
        let end = self.ended().await;
        let said = end.logged + &end.complained;
        assert!(end.status.success(), "{}: {said}", end.status);
        said
    }

    /// Waits for its end, whatever it is.
    pub(crate) async fn ended(self) -> End {
        let child = Mutex::new(self.child);
        let status = eventually("the process ends", || async {
            child.lock().unwrap().0.try_wait().unwrap()
        })
        .await;
        for reader in self.readers {
            reader.join().unwrap();
        }
        let text = |said: &Mutex<String>| said.lock().unwrap().clone();
        End {
            status,
            logged: text(&self.logged),
            complained: text(&self.complained),
        }
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
