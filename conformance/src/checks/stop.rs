//! SIGTERM while work is under way, and what the next process finds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::time::timeout;

use crate::check::{Check, Need, Scenario};
use crate::proxy::Way;
use crate::run::Run;
use crate::scene::{EFFECT, Scene};
use crate::service::{Answer, Service, last_words};
use crate::trial::Words;
use crate::wait::until;

const EVENTS: usize = 30;
/// The longest time from SIGTERM to the end.
const LIMIT: Duration = Duration::from_secs(25);
/// From SIGTERM until the database speaks again: longer than a service waits for its clients to move on.
const SILENCE: Duration = Duration::from_millis(2500);

/// What was seen of a stop.
#[derive(Default)]
pub(crate) struct Stop {
    events: Vec<Value>,
    /// Of the request before it, and of the one that was at work.
    requests: Vec<(Words, Result<Answer>)>,
    /// Of requests on new connections after SIGTERM, with when they were sent.
    later: Vec<(Duration, Answer)>,
    /// When the first of them that got no answer was sent, counted from before the signal.
    unanswered: Option<Duration>,
    readiness: Option<Answer>,
    /// The exit code, and when.
    ended: Option<(i32, Duration)>,
}

pub(super) static STOP: Scenario = Scenario {
    name: "stop",
    slow: false,
    set_up: |run: Arc<Run>| Box::pin(set_up(run)),
    checks: &[
        Check {
            line: "stop.leaves",
            expects: "after SIGTERM /readyz says 503, and for about two seconds each answer has `Connection: close`",
            needs: &[],
            run: |scene| Box::pin(leaves(scene)),
        },
        Check {
            line: "stop.finishes",
            expects: "a request that is at work when SIGTERM comes is answered with 2xx",
            needs: &[Need::Request, Need::Database],
            run: |scene| Box::pin(finishes(scene)),
        },
        Check {
            line: "stop.ends",
            expects: "it ends with 0 within 25 s of SIGTERM",
            needs: &[],
            run: |scene| Box::pin(ends(scene)),
        },
        Check {
            line: "stop.loses-nothing",
            expects: "with the next process, every event was applied once and every answered request has published once",
            needs: &[Need::Database, Need::Publishes],
            run: |scene| Box::pin(loses_nothing(scene)),
        },
    ],
};

async fn set_up(run: Arc<Run>) -> Result<Scene> {
    let mut scene = Scene::ready(run, &[]).await?;
    let mut stop = Stop::default();
    let has_request = scene.run.trial.request.is_some() && scene.run.document.database.is_some();
    if has_request {
        // So that it has a connection.
        stop.requests.push(ask(&scene).await);
    }
    scene.stage.database_way.set(Way::Silent);
    if scene.run.event_kind().is_some() {
        stop.events = queue(&scene).await?;
    }
    let at_work = async {
        match has_request {
            true => Some(ask(&scene).await),
            false => None,
        }
    };
    let stopped = async {
        if has_request {
            until(EFFECT, || is_at_work(&scene.service)).await?;
        }
        watch(&scene, &mut stop).await
    };
    let (at_work, stopped) = tokio::join!(at_work, stopped);
    stopped?;
    stop.requests.extend(at_work);
    scene.stop = Some(stop);
    Ok(scene)
}

async fn ask(scene: &Scene) -> (Words, Result<Answer>) {
    let words = Words::fresh();
    (words, scene.service.ask_for(&scene.run, &words).await)
}

/// Publishes events, and waits until the broker has handed some of them to the service.
async fn queue(scene: &Scene) -> Result<Vec<Value>> {
    let kind = scene.kind()?;
    let mut events = vec![];
    for _ in 0..EVENTS {
        let event = scene.run.new_event()?;
        scene.stage.publish(&event).await?;
        events.push(event);
    }
    until(EFFECT, || async {
        let consumer = scene
            .stage
            .consumer(&scene.run.document.name, &kind)
            .await?;
        ensure!(
            consumer.num_ack_pending > 0,
            "it has not asked for an event"
        );
        Ok(())
    })
    .await?;
    Ok(events)
}

/// For so long after SIGTERM requests are answered at least.
const LEAVES: Duration = Duration::from_secs(1);
/// How long a process that is busy may take to see the signal.
const SIGNAL: Duration = Duration::from_millis(500);

/// Nobody takes a connection to the address of a process that is gone, or refuses it: so long a request waits.
const PROBE: Duration = Duration::from_secs(2);

async fn is_at_work(service: &Service) -> Result<()> {
    let samples = service.metrics().await?;
    let active = samples
        .iter()
        .find(|sample| sample.name == "http_server_active_requests");
    ensure!(
        active.is_some_and(|sample| sample.value >= 1.0),
        "http_server_active_requests counts no request at work"
    );
    Ok(())
}

/// Sends SIGTERM, lets the database speak again, and notes what is to be seen until the end.
async fn watch(scene: &Scene, stop: &mut Stop) -> Result<()> {
    let before = Instant::now();
    scene.service.container.signal("TERM").await?;
    // The engine may say so long after the process has got it.
    let started = Instant::now();
    // By itself: a slow answer to what is asked meanwhile must not lengthen it.
    let speaks_again = async {
        tokio::time::sleep(SILENCE).await;
        scene.stage.database_way.set(Way::Open);
    };
    let ((), ()) = tokio::join!(speaks_again, look(scene, stop, before, started));
    let code = scene.service.container.ended(LIMIT).await?;
    stop.ended = code.map(|code| (code, started.elapsed()));
    Ok(())
}

/// Notes how requests and `/readyz` are answered while the database is silent.
async fn look(scene: &Scene, stop: &mut Stop, before: Instant, started: Instant) {
    while started.elapsed() < SILENCE {
        let (sent, since_before) = (started.elapsed(), before.elapsed());
        match timeout(PROBE, scene.service.get("/no/such/path", &[])).await {
            Ok(Ok(answer)) => stop.later.push((sent, answer)),
            Ok(Err(_)) | Err(_) => stop.unanswered = stop.unanswered.or(Some(since_before)),
        }
        let is_ready = stop.readiness.as_ref().is_none_or(|r| r.status == 200);
        if is_ready && let Ok(Ok(readiness)) = timeout(PROBE, scene.service.admin("/readyz")).await
        {
            stop.readiness = Some(readiness);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn stop(scene: &Scene) -> Result<&Stop> {
    scene.stop.as_ref().context("it was not stopped")
}

async fn leaves(scene: &mut Scene) -> Result<String> {
    let stop = stop(scene)?;
    let readiness = stop.readiness.as_ref().context("/readyz did not answer")?;
    ensure!(readiness.status == 503, "/readyz: {readiness}");
    let closes = |answer: &Answer| {
        answer
            .header("connection")
            .is_some_and(|c| c.eq_ignore_ascii_case("close"))
    };
    // The first may have been accepted before the signal was read.
    let mut stays = stop
        .later
        .iter()
        .filter(|(sent, answer)| *sent > SIGNAL && !closes(answer));
    if let Some((sent, answer)) = stays.next() {
        bail!(
            "{:.1} s after SIGTERM: {answer} without `Connection: close`",
            sent.as_secs_f64()
        );
    }
    // When the last answer came says less: a machine that stands still for a moment asks late.
    if let Some(sent) = stop.unanswered.filter(|sent| *sent < LEAVES) {
        bail!(
            "no answer to a request {:.1} s after SIGTERM",
            sent.as_secs_f64()
        );
    }
    let last = stop.later.last().context("no request was answered")?;
    Ok(format!(
        "{} answers up to {:.1} s",
        stop.later.len(),
        last.0.as_secs_f64()
    ))
}

async fn finishes(scene: &mut Scene) -> Result<String> {
    match stop(scene)?.requests.get(1).map(|(_, answer)| answer) {
        Some(Ok(answer)) if answer.status.is_success() => {
            Ok(format!("{} after {:.1?}", answer.status, answer.took))
        }
        Some(Ok(answer)) => bail!(
            "after {:.1?}: {answer}; it wrote: {}",
            answer.took,
            written_of(scene, answer).await?
        ),
        Some(Err(error)) => bail!("no answer: {error:#}"),
        None => bail!("it was not asked"),
    }
}

/// What the service wrote of the request of an answer, which says more than the answer may.
async fn written_of(scene: &Scene, answer: &Answer) -> Result<String> {
    let problem = answer.json();
    let trace = problem["trace_id"].as_str().unwrap_or("no trace id");
    let (stdout, stderr) = scene.service.container.logs().await?;
    let lines: Vec<_> = stdout.lines().chain(stderr.lines()).collect();
    let of_it: Vec<_> = lines.into_iter().filter(|l| l.contains(trace)).collect();
    Ok(of_it.join("; "))
}

async fn ends(scene: &mut Scene) -> Result<String> {
    match stop(scene)?.ended {
        Some((0, took)) if took <= LIMIT => Ok(format!("0 after {:.1} s", took.as_secs_f64())),
        Some(_) => bail!("{}", last_words(&scene.service.container).await?),
        None => bail!("it runs after {} s", LIMIT.as_secs()),
    }
}

async fn loses_nothing(scene: &mut Scene) -> Result<String> {
    let stop = stop(scene)?;
    let next = Service::start(&scene.run, &scene.stage, &[]).await?;
    next.ready(Duration::from_secs(30)).await?;
    if let Some(kind) = scene.run.event_kind() {
        until(Duration::from_secs(45), || handled(scene, kind)).await?;
        let applied = next.processed(kind, "applied").await?;
        let before = next.processed(kind, "duplicate").await?;
        for event in &stop.events {
            scene.stage.publish(event).await?;
        }
        next.until_processed(kind, "duplicate", before + EVENTS as f64, EFFECT)
            .await
            .with_context(|| format!("before: {before}"))?;
        let now = next.processed(kind, "applied").await?;
        ensure!(
            now == applied,
            "{} events of {EVENTS} were not applied before",
            now - applied
        );
        let letters = next.admin("/dead-letters").await?;
        ensure!(
            letters.json() == Value::Array(vec![]),
            "dead letters: {letters}"
        );
    }
    mails(scene, stop).await?;
    published(scene, stop).await
}

/// Whether the broker has nothing left for the service.
async fn handled(scene: &Scene, kind: &str) -> Result<()> {
    let consumer = scene.stage.consumer(&scene.run.document.name, kind).await?;
    let (pending, unanswered) = (consumer.num_pending, consumer.num_ack_pending);
    ensure!(
        pending == 0 && unanswered == 0,
        "{pending} events were not handed out, {unanswered} not acknowledged"
    );
    Ok(())
}

/// A process that ends while the database hangs may have taken a mail without ever hearing of it. Nobody else sends it before that is
/// plain. On most runs each is there at once.
const DUE_AGAIN: Duration = Duration::from_secs(7 * 60);

/// One mail of each event, where it sends mail.
async fn mails(scene: &Scene, stop: &Stop) -> Result<()> {
    if !scene.run.document.sends_mail {
        return Ok(());
    }
    for event in &stop.events {
        scene.mail_of(event, DUE_AGAIN).await?;
    }
    let more = stop
        .events
        .iter()
        .map(|event| scene.mails_of(event))
        .collect::<Result<Vec<_>>>()?;
    ensure!(
        more.iter().all(|count| *count == 1),
        "{} mails of {} events",
        more.iter().sum::<usize>(),
        more.len()
    );
    Ok(())
}

/// One event of each request that was answered.
async fn published(scene: &Scene, stop: &Stop) -> Result<String> {
    let kind = scene
        .run
        .trial
        .request
        .as_ref()
        .and_then(|request| request.publishes.as_deref());
    let Some(kind) = kind else {
        return Ok(format!("{} events applied once", stop.events.len()));
    };
    let answered = |answer: &Result<Answer>| {
        answer
            .as_ref()
            .is_ok_and(|answer| answer.status.is_success())
    };
    let answered = stop.requests.iter().filter(|(_, answer)| answered(answer));
    for (words, _) in answered {
        let count = || async {
            let count = scene.count_of(kind, words).await?;
            ensure!(count == 1, "{count} events {kind} of an answered request");
            Ok(())
        };
        until(EFFECT, count).await?;
    }
    Ok(format!(
        "{} events applied once, {} published once",
        stop.events.len(),
        stop.requests.len()
    ))
}
