//! What the port of the API answers, whatever the service does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::check::{Check, Need, Scenario};
use crate::events::new_trace;
use crate::run::Run;
use crate::scene::{Cause, Scene};
use crate::service::answer;
use crate::trial::Words;

pub(super) const UNKNOWN_PATH: Check = Check {
    line: "http.problems",
    expects: "an unknown path is a problem document 404 with the trace_id of `traceparent`",
    needs: &[],
    run: |scene| Box::pin(unknown_path(scene)),
};
pub(super) const ADMIN_APART: Check = Check {
    line: "ports.apart",
    expects: "nothing of the administration port is on the port of the API",
    needs: &[],
    run: |scene| Box::pin(admin_apart(scene)),
};
pub(super) const HEAD_SIZE: Check = Check {
    line: "http.head-size",
    expects: "a head of 32 KiB is answered 431",
    needs: &[],
    run: |scene| Box::pin(head_size(scene)),
};
pub(super) const REQUEST: Check = Check {
    line: "http.works",
    expects: "the request of conformance.yaml is answered with 2xx",
    needs: &[Need::Request],
    run: |scene| Box::pin(request(scene)),
};
pub(super) const BODY_SIZE: Check = Check {
    line: "http.body-size",
    expects: "a body of 1 MiB is a problem document 413",
    needs: &[Need::Request, Need::Body],
    run: |scene| Box::pin(body_size(scene)),
};
pub(super) const BODY_SHAPE: Check = Check {
    line: "http.body-shape",
    expects: "a body that is no JSON is a problem document 400 or 422, a list 422, and 422 with its name in `errors` for each field of another type",
    needs: &[Need::Request, Need::Body],
    run: |scene| Box::pin(body_shape(scene)),
};
pub(super) const IDEMPOTENCY: Check = Check {
    line: "http.idempotency",
    expects: "the same Idempotency-Key gets the same answer, and with another body 422",
    needs: &[Need::Request, Need::IdempotencyKey],
    run: |scene| Box::pin(idempotency(scene)),
};

async fn unknown_path(scene: &mut Scene) -> Result<String> {
    let (trace, traceparent) = new_trace();
    let answer = scene
        .service
        .get("/no/such/path", &[("traceparent", &traceparent)])
        .await?;
    answer.problem(404).map_err(|wrong| anyhow!(wrong))?;
    ensure!(
        answer.json()["trace_id"] == trace.as_str(),
        "trace {trace}, and {answer}"
    );
    Ok(answer.to_string())
}

async fn admin_apart(scene: &mut Scene) -> Result<String> {
    for path in [
        "/livez",
        "/readyz",
        "/metrics",
        "/dead-letters",
        "/parked-events",
    ] {
        let answer = scene.service.get(path, &[]).await?;
        ensure!(
            answer.status == 404,
            "GET {path} on the port of the API: {answer}"
        );
    }
    Ok("404 for each of its paths".to_owned())
}

async fn head_size(scene: &mut Scene) -> Result<String> {
    let large = "x".repeat(32 * 1024);
    let head = format!("GET / HTTP/1.1\r\nhost: shop\r\nx-large: {large}\r\n\r\n");
    let answer = scene.service.raw(head.as_bytes()).await?;
    let line = answer.lines().next().unwrap_or("no answer").to_owned();
    ensure!(line.starts_with("HTTP/1.1 431"), "{line}");
    Ok(line)
}

async fn request(scene: &mut Scene) -> Result<String> {
    let answer = scene.service.ask(&scene.run).await?;
    ensure!(answer.status.is_success(), "{answer}");
    Ok(answer.status.to_string())
}

/// The request of the trial with another body, or none.
fn with_body(scene: &Scene, body: Option<&Value>) -> Result<reqwest::RequestBuilder> {
    let (run, words) = (&scene.run, Words::fresh());
    scene
        .service
        .request_with(run, run.request()?, &words, body)
}

async fn body_size(scene: &mut Scene) -> Result<String> {
    let body = json!({ "large": "x".repeat(1024 * 1024) });
    let answer = answer(with_body(scene, Some(&body))?).await?;
    answer.problem(413).map_err(|wrong| anyhow!(wrong))?;
    Ok(answer.to_string())
}

async fn body_shape(scene: &mut Scene) -> Result<String> {
    let half = with_body(scene, None)?.header("Content-Type", "application/json");
    let refused = answer(half.body("{")).await?;
    let wanted = if refused.status == 400 { 400 } else { 422 };
    refused
        .problem(wanted)
        .map_err(|wrong| anyhow!("what is no JSON: {wrong}"))?;
    let refused = answer(with_body(scene, Some(&json!([])))?).await?;
    refused
        .problem(422)
        .map_err(|wrong| anyhow!("a list: {wrong}"))?;
    let whole = scene.run.request()?.body.as_ref();
    let whole = Words::fresh().fill_in(whole.context("its request has no body")?);
    let fields = whole.as_object().context("its body is no object")?;
    for (name, value) in fields {
        let mut body = whole.clone();
        body[name] = of_another_type(value);
        let refused = answer(with_body(scene, Some(&body))?).await?;
        refused
            .problem(422)
            .map_err(|wrong| anyhow!("{name} of another type: {wrong}"))?;
        ensure!(
            names(&refused.json(), name),
            "no error with the pointer {name} and a detail: {}",
            refused.text
        );
    }
    Ok(format!("{wanted}, and 422 for {} fields", fields.len()))
}

fn of_another_type(value: &Value) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) => json!("x"),
        _ => json!([]),
    }
}

/// Whether a problem document says of a field what is wrong with it.
fn names(problem: &Value, field: &str) -> bool {
    let says = |error: &Value| {
        let detail = error["detail"].as_str().unwrap_or_default();
        error["pointer"] == field && !detail.is_empty()
    };
    problem["errors"]
        .as_array()
        .is_some_and(|errors| errors.iter().any(says))
}

async fn idempotency(scene: &mut Scene) -> Result<String> {
    let mut asked = scene.run.request()?.clone();
    asked.idempotency_key = false;
    let (key, words) = (Uuid::now_v7().to_string(), Words::fresh());
    let ask = |words: &Words| {
        let request = scene.service.request(&scene.run, &asked, words)?;
        anyhow::Ok(request.header("Idempotency-Key", &key))
    };
    let (first, second, other) = (ask(&words)?, ask(&words)?, ask(&words.with_other())?);
    let (first, second) = (answer(first).await?, answer(second).await?);
    ensure!(first.status.is_success(), "{first}");
    ensure!(
        first.status == second.status
            && without_trace(&first.json()) == without_trace(&second.json()),
        "first {first}, then {second}"
    );
    let other = answer(other).await?;
    other
        .problem(422)
        .map_err(|wrong| anyhow!("with another body: {wrong}"))?;
    if let Some(kind) = &asked.publishes {
        scene.published_because(kind, &Cause::Words(words)).await?;
        // What comes behind it shows that it does not come again.
        scene.make_it_publish().await?;
        let count = scene.count_of(kind, &words).await?;
        ensure!(count == 1, "it had {count} effects");
    }
    Ok(format!("twice {}, then {}", first.status, other.status))
}

fn without_trace(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("trace_id");
    }
    body
}

/// What takes as long as connections live.
pub(super) static CONNECTIONS: Scenario = Scenario {
    name: "connections",
    slow: true,
    set_up: |run: Arc<Run>| Box::pin(Scene::ready(run, &[])),
    checks: &[Check {
        line: "http.connection-age",
        expects: "a connection that is used all the time is ended with `Connection: close` within 90 s",
        needs: &[],
        run: |scene| Box::pin(connection_age(scene)),
    }],
};

/// Below which the contract has no age: 60 s less a fifth, and a little less for clocks that differ.
const YOUNGEST: Duration = Duration::from_secs(46);

async fn connection_age(scene: &mut Scene) -> Result<String> {
    let mut stream = TcpStream::connect(scene.service.http).await?;
    let started = Instant::now();
    let mut bytes = vec![0; 16 * 1024];
    while started.elapsed() < Duration::from_secs(90) {
        stream
            .write_all(b"GET /no/such/path HTTP/1.1\r\nhost: shop\r\n\r\n")
            .await?;
        let count = stream.read(&mut bytes).await?;
        let text = String::from_utf8_lossy(&bytes[..count]).to_ascii_lowercase();
        ensure!(
            count > 0,
            "it was closed after {:.0} s without a word",
            started.elapsed().as_secs_f64()
        );
        if text.contains("connection: close") {
            let age = started.elapsed();
            let words = format!("after {:.0} s", age.as_secs_f64());
            ensure!(age >= YOUNGEST, "{words}");
            return Ok(words);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    bail!("it lives after 90 s")
}
