//! Calls of gRPC, and the connections that they are made on: what is refused, how long it takes, how it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::check::{Check, Need, Scenario};
use crate::document::Call;
use crate::grpc::{self, Connection, Part, message, was_not_taken};
use crate::proxy::Way;
use crate::run::Run;
use crate::scene::Scene;
use crate::service::answer;
use crate::trial::Words;
use crate::wait::until;

/// Asks how the whole process is, once and as long as somebody listens. The message is empty.
const CHECK: &str = "grpc.health.v1.Health/Check";
const WATCH: &str = "grpc.health.v1.Health/Watch";
/// What both answer then: 1 in field 1.
const SERVING: [u8; 2] = [8, 1];

pub(super) const PROBLEMS: Check = Check {
    line: "grpc.problems",
    expects: "a call that is refused has a code of gRPC and an ErrorInfo with a stable reason; without a token, the reason that HTTP has as code",
    needs: &[Need::Grpc, Need::RefusedCall],
    run: |scene| Box::pin(problems(scene)),
};
pub(super) const DEADLINE: Check = Check {
    line: "grpc.deadline",
    expects: "a stream with `grpc-timeout: 1S` ends with DEADLINE_EXCEEDED within 10 s, and with a database that says nothing, a call with 500m is answered DEADLINE_EXCEEDED or UNAVAILABLE within 2 s",
    needs: &[Need::Grpc],
    run: |scene| Box::pin(deadline(scene)),
};

pub(super) static GRPC_AGE: Scenario = Scenario {
    name: "gRPC connections",
    slow: false,
    set_up: |run: Arc<Run>| Box::pin(Scene::ready(run, &[])),
    checks: &[Check {
        line: "grpc.connection-age",
        expects: "a connection that is used all the time is told with GOAWAY between 40 s and 90 s, and the call at work on it is finished",
        needs: &[Need::Grpc],
        run: |scene| Box::pin(connection_age(scene)),
    }],
};
pub(super) static GRPC_STOP: Scenario = Scenario {
    name: "gRPC stop",
    slow: false,
    set_up: |run: Arc<Run>| Box::pin(Scene::ready(run, &[])),
    checks: &[Check {
        line: "grpc.stop",
        expects: "after SIGTERM a connection is told with GOAWAY, the call at work on it is finished, and a stream ends with UNAVAILABLE",
        needs: &[Need::Grpc],
        run: |scene| Box::pin(stop(scene)),
    }],
};

async fn connect(scene: &Scene) -> Result<Connection> {
    let address = scene.service.grpc.context("its document has no port")?;
    Connection::open(address).await
}

/// The call of `conformance.yaml` for whoever shows this token, with these metadata.
async fn ask(
    connection: &Connection,
    call: &Call,
    token: Option<String>,
    metadata: &[(&str, &str)],
    message: &[u8],
) -> Result<Status> {
    let shown = token.map(|token| format!("Bearer {token}"));
    let shown = shown.as_deref().map(|shown| ("authorization", shown));
    let metadata: Vec<_> = metadata.iter().copied().chain(shown).collect();
    connection.call(&call.method, &metadata, message).await
}

async fn problems(scene: &mut Scene) -> Result<String> {
    let run = &scene.run;
    let call = run.trial.call.as_ref();
    let call = call.context("conformance.yaml names no call of gRPC")?;
    let (connection, token) = (connect(scene).await?, run.token(&call.r#as)?);
    let mut seen = vec![];
    if token.is_some() {
        let refused = ask(&connection, call, None, &[], &[]).await?;
        let reason = reason(&refused, "without a token")?;
        let http = code_without_token(scene).await?;
        ensure!(
            http.as_ref().is_none_or(|code| *code == reason),
            "without a token the reason is {reason}, and the code of HTTP {}",
            http.unwrap_or_default()
        );
        seen.push(format!("{:?} {reason}", refused.code()));
    }
    if !call.wrong.is_empty() {
        let wrong = message(&call.wrong)?;
        let refused = ask(&connection, call, token, &[], &wrong).await?;
        let reason = reason(&refused, "a wrong message")?;
        seen.push(format!("{:?} {reason}", refused.code()));
    }
    Ok(seen.join(", "))
}

/// Why a call was refused, as a word to program against.
fn reason(status: &Status, what: &str) -> Result<String> {
    let said = format!("{what}: {:?}", status.code());
    ensure!(
        ![Code::Ok, Code::Unknown, Code::Unimplemented].contains(&status.code()),
        "{said}"
    );
    let details = status.get_error_details();
    let info = details.error_info();
    let info = info.with_context(|| format!("{said} without an ErrorInfo"))?;
    ensure!(
        !info.reason.is_empty(),
        "{said} with an ErrorInfo without reason"
    );
    Ok(info.reason.clone())
}

/// The `code` with which HTTP refuses who shows no token, where its request wants one.
async fn code_without_token(scene: &Scene) -> Result<Option<String>> {
    let Some(request) = &scene.run.trial.request else {
        return Ok(None);
    };
    let mut request = request.clone();
    request.r#as = Default::default();
    let asked = scene
        .service
        .request(&scene.run, &request, &Words::fresh())?;
    let answer = answer(asked).await?;
    let code = answer.json()["code"].as_str().map(str::to_owned);
    Ok(code.filter(|_| answer.status == 401))
}

async fn deadline(scene: &mut Scene) -> Result<String> {
    let connection = connect(scene).await?;
    let started = Instant::now();
    let mut stream = connection.begin(WATCH, &[("grpc-timeout", "1S")]).await?;
    stream.send(&[])?;
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.end()).await;
    let status = ended.context("a stream goes on after its time")??;
    ensure!(
        status.code() == Code::DeadlineExceeded,
        "a stream ends with {:?}",
        status.code()
    );
    let took = started.elapsed();
    ensure!(
        took >= Duration::from_millis(900),
        "a stream ends after {took:.1?}"
    );
    let of_stream = format!("a stream ended after {took:.1?}");
    let Some(call) = &scene.run.trial.call else {
        return Ok(of_stream);
    };
    if call.message.is_empty() || scene.run.document.database.is_none() {
        return Ok(of_stream);
    }
    let words = Words::fresh();
    let fields = call.message.iter();
    let fields = fields.map(|(number, text)| (*number, words.fill(text)));
    let message = message(&fields.collect())?;
    let token = scene.run.token(&call.r#as)?;
    scene.stage.database_way.set(Way::Silent);
    let started = Instant::now();
    let answered = ask(
        &connection,
        call,
        token,
        &[("grpc-timeout", "500m")],
        &message,
    )
    .await;
    let took = started.elapsed();
    scene.stage.database_way.set(Way::Open);
    let code = answered?.code();
    ensure!(
        [Code::DeadlineExceeded, Code::Unavailable].contains(&code),
        "a call is answered {code:?}"
    );
    ensure!(
        took < Duration::from_secs(2),
        "a call is answered {code:?} after {took:.1?}"
    );
    Ok(format!("{of_stream}, a call {code:?} after {took:.1?}"))
}

/// Between which the contract has the age; a busy machine makes it longer and never shorter.
const AGE: std::ops::RangeInclusive<u64> = 46..=90;

async fn connection_age(scene: &mut Scene) -> Result<String> {
    let connection = connect(scene).await?;
    let started = Instant::now();
    let limit = Duration::from_secs(*AGE.end());
    loop {
        let is_told = match one_more(&connection).await {
            Err(error) if was_not_taken(&error) => true,
            told => told?,
        };
        let age = started.elapsed();
        if is_told {
            ensure!(
                AGE.contains(&age.as_secs()),
                "after {:.0} s",
                age.as_secs_f64()
            );
            return Ok(format!("after {:.0} s", age.as_secs_f64()));
        }
        ensure!(age < limit, "it lives after {} s", limit.as_secs());
    }
}

/// A call whose caller takes a second to say what it wants, so that it is at work whatever the service does; and whether its
/// connection is to end.
async fn one_more(connection: &Connection) -> Result<bool> {
    let mut call = connection.begin(CHECK, &[]).await?;
    let begun = Instant::now();
    let mut is_told = false;
    while begun.elapsed() < Duration::from_secs(1) && !is_told {
        tokio::time::sleep(Duration::from_millis(50)).await;
        is_told = connection.is_told_to_end().await?;
    }
    call.send(&[])?;
    finished(call).await?;
    Ok(is_told)
}

/// Waits for the answer to a call that was at work when its connection was told to end.
async fn finished(call: grpc::Call) -> Result<()> {
    let status = call.end().await;
    let code = status.context("the call at work was not finished")?.code();
    ensure!(code == Code::Ok, "the call at work ended with {code:?}");
    Ok(())
}

/// From SIGTERM to the end.
const STOP: Duration = Duration::from_secs(25);

async fn stop(scene: &mut Scene) -> Result<String> {
    let connection = connect(scene).await?;
    let mut stream = connection.begin(WATCH, &[]).await?;
    stream.send(&[])?;
    match stream.next().await? {
        Part::Message(health) => ensure!(health == SERVING, "a stream begins with {health:?}"),
        Part::End(status) => bail!("a stream ends at once with {:?}", status.code()),
    }
    let mut call = connection.begin(CHECK, &[]).await?;
    scene.service.container.signal("TERM").await?;
    let started = Instant::now();
    until(STOP, || async {
        let is_told = connection.is_told_to_end().await?;
        ensure!(is_told, "it has not been told with GOAWAY");
        Ok(())
    })
    .await?;
    let told = started.elapsed();
    call.send(&[])?;
    finished(call).await?;
    let ended = tokio::time::timeout(STOP, stream.end()).await;
    let ended = ended.context("a stream goes on")?;
    let code = ended.context("a stream was cut")?.code();
    ensure!(code == Code::Unavailable, "a stream ends with {code:?}");
    Ok(format!("told after {:.1} s", told.as_secs_f64()))
}
