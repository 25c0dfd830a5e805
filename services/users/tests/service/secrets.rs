//! No password, token or address reaches the logs, at whatever level.

use chassis::testing::Backends;
use serde_json::{Value, json};

use crate::common;
use crate::common::process::Process;
use crate::common::{ADMIN_EMAIL, ADMIN_PASSWORD, PASSWORD};

const TALKATIVE: [(&str, &str); 1] = [("LOG", "trace")];

#[tokio::test]
async fn logs_hold_no_secret() {
    let backends = Backends::new().await;
    let migration = Process::start(&backends, "migrate", &TALKATIVE).end().await;
    let users = Process::start(&backends, "serve", &TALKATIVE);
    let (api, http) = (users.ready().await, reqwest::Client::new());

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
    let third = json!({"refresh_token": second["refresh_token"]});
    let third = post("/sessions/refresh", third).await;
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
    for tokens in [&first, &second, &third] {
        secrets
            .extend(["refresh_token", "access_token"].map(|name| tokens[name].as_str().unwrap()));
    }
    for secret in secrets {
        let line = logs.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} stands in the logs: {line:?}");
    }
}
