//! The program as it is started: all services behind one process.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::{Child, Command, Output};
use std::sync::{Arc, Mutex};

use chassis::testing::{Backends, eventually, token};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

const SERVICES: [&str; 6] = [
    "users",
    "search",
    "orders",
    "email",
    "payments",
    "storefront",
];
const PASSWORD: &str = "correct horse battery staple";

/// One process with all back ends of its own. Its addresses are on a loopback address of its own, so that no two tests meet.
struct Monolith {
    host: String,
    settings: Vec<(String, String)>,
    log: tempfile::NamedTempFile,
    /// Their databases and the broker live as long.
    _backends: Vec<Backends>,
    process: Option<Child>,
}

impl Monolith {
    async fn new() -> Self {
        let [a, b, c, ..] = *Uuid::new_v4().as_bytes();
        let host = format!("127.{}.{b}.{c}", a.max(1));
        let mut backends = vec![];
        let mut settings = vec![];
        for (n, service) in SERVICES.iter().enumerate() {
            let own = Backends::new().await;
            let name = service.to_uppercase();
            settings.push((
                format!("{name}__DATABASE_URL"),
                own.database_url().to_owned(),
            ));
            settings.push((format!("{name}__HTTP_ADDR"), format!("{host}:808{n}")));
            settings.push((format!("{name}__ADMIN_ADDR"), format!("{host}:909{n}")));
            settings.push((format!("{name}__GRPC_ADDR"), format!("{host}:807{n}")));
            backends.push(own);
        }
        let index = std::env::temp_dir().join(format!("monolith-{}", Uuid::new_v4().simple()));
        let for_all = [
            ("NATS_URL", backends[0].nats_url().to_owned()),
            ("EVENTS_MAX_BYTES", "16777216".to_owned()),
            ("ADMIN_ADDR", format!("{host}:9099")),
            ("USERS_URL", format!("http://{host}:8080")),
            ("SEARCH_URL", format!("http://{host}:8081")),
            ("ORDERS_URL", format!("http://{host}:8082")),
            ("EMAIL_URL", format!("http://{host}:8083")),
            ("USERS_TOKEN", "of the pages".to_owned()),
            ("ORDERS_TOKEN", "of the pages".to_owned()),
            ("PAYMENTS_URL", format!("http://{host}:8084")),
            ("PAYMENTS_TOKEN", "between services".to_owned()),
            ("PAYMENTS__API_TOKEN", "between services".to_owned()),
            ("USERS__SIGNING_SEED", "5".repeat(64)),
            ("ADMIN_EMAIL", "admin@shop.example".to_owned()),
            ("ADMIN_PASSWORD", PASSWORD.to_owned()),
            ("INDEX_DIR", index.to_string_lossy().into_owned()),
        ];
        settings.extend(for_all.map(|(name, value)| (name.to_owned(), value)));
        let log = tempfile::NamedTempFile::new().expect("a file for the log");
        Self {
            host,
            settings,
            log,
            _backends: backends,
            process: None,
        }
    }

    fn command(&self, argument: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_monolith"));
        command.arg(argument).env_clear();
        command.envs(self.settings.iter().map(|(k, v)| (k, v)));
        command
    }

    fn migrate(&self) {
        let Output { status, stderr, .. } = self.command("migrate").output().expect("it starts");
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    }

    async fn serve(&mut self) {
        let log = File::create(self.log.path()).expect("the log");
        let process = self.command("serve").stdout(log).spawn();
        self.process = Some(process.expect("it starts"));
        eventually("all are ready", || async {
            let answer = reqwest::get(format!("http://{}:9099/readyz", self.host)).await;
            (answer.ok()?.status() == StatusCode::OK).then_some(())
        })
        .await;
        // A scrape of the process itself finds it there.
        let figures = reqwest::get(format!("http://{}:9099/metrics", self.host)).await;
        let figures = figures.expect("an answer").text().await;
        assert_eq!(figures.expect("a text"), "# EOF\n");
    }

    /// Asks the process to stop, and returns its exit code.
    async fn stop(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("it runs");
        let killed = Command::new("kill").arg(process.id().to_string()).status();
        assert!(killed.expect("kill is there").success());
        eventually("it ends", || {
            let ended = process.try_wait().expect("its status");
            async move { ended }
        })
        .await
        .code()
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.log.path()).expect("the log");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a JSON line"))
            .collect()
    }
}

/// Takes spans, as an OpenTelemetry collector does.
struct Collector {
    url: String,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bodies = Arc::new(Mutex::new(vec![]));
        let taken = bodies.clone();
        let traces = axum::routing::post(async move |body: axum::body::Bytes| {
            taken.lock().unwrap().push(body.to_vec());
        });
        let routes = axum::Router::new().route("/v1/traces", traces);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, bodies }
    }

    /// Whose spans have come: an attribute `service.name` of the resource, which protobuf writes as its length and its text.
    fn services(&self) -> BTreeSet<String> {
        const NAME: &[u8] = b"service.name";
        let bodies = self.bodies.lock().unwrap();
        let value = |body: &Vec<u8>| {
            let at = body.windows(NAME.len()).position(|w| w == NAME)? + NAME.len();
            // Tag and length of the value, tag of its text, length of the text.
            let length = usize::from(*body.get(at + 3)?);
            let text = body.get(at + 4..at + 4 + length)?;
            Some(String::from_utf8_lossy(text).into_owned())
        };
        bodies.iter().filter_map(value).collect()
    }
}

/// Somebody who sells and buys.
struct Administrator {
    http: reqwest::Client,
    host: String,
    token: String,
}

impl Administrator {
    async fn log_in(host: &str) -> Self {
        let mut admin = Self {
            http: reqwest::Client::new(),
            host: host.to_owned(),
            token: String::new(),
        };
        let account = json!({"email": "admin@shop.example", "password": PASSWORD});
        let session = admin.send(Method::POST, "8080/sessions", account).await;
        let token = session.expect("a session")["access_token"].take();
        admin.token = token.as_str().expect("a token").to_owned();
        admin
    }

    /// Asks the service on this port; an error is what it says.
    async fn send(&self, method: Method, path: &str, body: Value) -> Result<Value, String> {
        let request = self
            .http
            .request(method, format!("http://{}:{path}", self.host));
        let request = request.header("Idempotency-Key", "one").json(&body);
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        match status.is_success() {
            true => Ok(serde_json::from_str(&text).unwrap_or_default()),
            false => Err(text),
        }
    }

    /// Sells a lamp to himself; returns the order's id.
    async fn buy(&self) -> String {
        let lamp = json!({"title": "Lamp", "description": "", "brand": "B", "category": "C", "price": {"amount": 100, "currency": "EUR"}});
        let made = self.send(Method::PUT, "8081/products/LAMP", lamp).await;
        made.expect("a product");
        let stock = json!({"on_hand": 1});
        let stocked = self.send(Method::PUT, "8082/stock/LAMP", stock).await;
        stocked.expect("stock");
        let cart = eventually("orders knows the product", || async {
            let one = json!({"quantity": 1});
            let put = self.send(Method::PUT, "8082/cart/items/LAMP", one).await;
            put.ok()
        })
        .await;
        let asked = json!({"cart_version": cart["version"], "expected_total": cart["total"], "payment_token": "tok_approved"});
        let order = self.send(Method::POST, "8082/orders", asked).await;
        let order = order.expect("an order");
        order["id"].as_str().expect("an id").to_owned()
    }
}

impl Drop for Monolith {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_in_one_process_are_the_shop() {
    let mut monolith = Monolith::new().await;
    let collector = Collector::start().await;
    let endpoint = (
        "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(),
        collector.url.clone(),
    );
    monolith.settings.push(endpoint);
    monolith.migrate();
    monolith.serve().await;
    let (http, host) = (reqwest::Client::new(), monolith.host.clone());

    let account = json!({"email": "ada@shop.example", "password": PASSWORD, "name": "Ada"});
    let answer = http
        .post(format!("http://{host}:8080/users"))
        .json(&account);
    let user: Value = answer.send().await.unwrap().json().await.unwrap();
    let log_in = http
        .post(format!("http://{host}:8080/sessions"))
        .json(&json!({"email": "admin@shop.example", "password": PASSWORD}));
    let session: Value = log_in.send().await.unwrap().json().await.unwrap();
    let admin = session["access_token"].as_str().expect("a token");
    for (n, service) in SERVICES.iter().enumerate() {
        let nowhere = http.get(format!("http://{host}:808{n}/nowhere"));
        let status = nowhere.send().await.unwrap().status();
        assert_eq!(status, StatusCode::NOT_FOUND, "{service}");
    }
    // From users by its outbox, the broker and the inbox of email.
    eventually("email has written to her", || async {
        let mails = http
            .get(format!("http://{host}:8083/mails"))
            .query(&[("user_id", user["id"].as_str()?)])
            .bearer_auth(admin);
        let mails: Value = mails.send().await.ok()?.json().await.ok()?;
        (mails["items"].as_array()?.len() == 1).then_some(())
    })
    .await;
    assert_eq!(monolith.stop().await, Some(0));

    let lines = monolith.lines();
    let named = lines.iter().map(|line| line["service.name"].as_str());
    assert_eq!(named.collect::<BTreeSet<_>>(), SERVICES.map(Some).into());
    assert_eq!(collector.services(), SERVICES.map(str::to_owned).into());
    let applied = lines.iter().find(|line| line["condition"] == "index");
    assert_eq!(
        applied.expect("search has an index")["service.name"],
        "search"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_paid_over_grpc_where_that_is_asked_for() {
    let mut monolith = Monolith::new().await;
    let over_grpc = format!("grpc://{}:8074", monolith.host);
    let over_grpc = ("PAYMENTS_URL".to_owned(), over_grpc);
    monolith.settings.push(over_grpc);
    monolith.migrate();
    monolith.serve().await;
    let admin = Administrator::log_in(&monolith.host).await;
    let order = admin.buy().await;
    eventually("it is paid", || async {
        let path = format!("8082/orders/{order}");
        let order = admin.send(Method::GET, &path, Value::Null).await.ok()?;
        (order["state"] == "paid").then_some(())
    })
    .await;
    let metrics = reqwest::get(format!("http://{}:9094/metrics", monolith.host)).await;
    let metrics = metrics.unwrap().text().await.unwrap();
    for method in ["Authorise", "Capture"] {
        let called = |line: &str| line.starts_with("grpc_server_call") && line.contains(method);
        assert!(metrics.lines().any(called), "{metrics}");
    }
    assert_eq!(monolith.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_hosts_those_that_it_is_told_to() {
    let mut monolith = Monolith::new().await;
    monolith
        .settings
        .push(("SERVICES".to_owned(), "users, email".to_owned()));
    monolith.migrate();
    monolith.serve().await;
    let http = reqwest::Client::new();
    for (port, hosted) in [(8080, true), (8081, false), (8083, true)] {
        let url = format!("http://{}:{port}/", monolith.host);
        assert_eq!(http.get(url).send().await.is_ok(), hosted, "{port}");
    }
    assert_eq!(monolith.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_names_the_service_and_the_setting() {
    let mut monolith = Monolith::new().await;
    for (name, value, words) in [
        (
            "ORDERS__PAYMENTS_URL",
            "nowhere",
            "orders: setting PAYMENTS_URL is wrong",
        ),
        (
            "SERVICES",
            "users,cellar",
            "SERVICES is wrong: there is no service cellar; there are users, search,",
        ),
        ("LOG", "=", "LOG is wrong"),
        ("ADMIN_ADDR", "everywhere", "ADMIN_ADDR is wrong"),
    ] {
        monolith.settings.push((name.to_owned(), value.to_owned()));
        let output = monolith.command("serve").output().expect("it starts");
        monolith.settings.pop();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let last = said.lines().last().expect("a sentence");
        assert!(last.contains(words), "{last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_signer_is_refused() {
    let mut monolith = Monolith::new().await;
    monolith.migrate();
    monolith.serve().await;
    let stranger = token(Uuid::now_v7(), &["admin"]);
    let mails = format!("http://{}:8083/mails", monolith.host);
    let answer = reqwest::Client::new().get(mails).bearer_auth(stranger);
    let status = answer.send().await.unwrap().status();
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(monolith.stop().await, Some(0));
}
