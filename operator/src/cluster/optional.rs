//! The watch of a kind that a cluster need not have: it begins when the API server serves the kind, and ends when it does no longer, or
//! when we may no longer look. Until then nothing is watched, so that nothing fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use kube::{Api, Client, runtime::watcher};

use super::{
    kind::Kind,
    merged::{is_forbidden, refusal},
    tracked::{Told, changes},
};
use crate::metrics::Metrics;

/// How often is looked whether the kind has come.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// After an answer that is none, and between the end of a watch and the next look.
const SHORTLY: Duration = Duration::from_secs(1);

/// What becomes of the objects of the kind, and whether there is such a kind.
pub(super) fn changes_where_served<K: Kind>(
    client: Client,
    api: Api<K>,
    metrics: Metrics,
) -> impl Stream<Item = Told<K>> + Send {
    stream::unfold(false, move |is_known| {
        let (client, api, metrics) = (client.clone(), api.clone(), metrics.clone());
        async move {
            let kind = K::kind(&());
            let answer = is_served::<K>(&client).await;
            let next = next(&answer, is_known);
            if let (Err(error), Next::Absent | Next::Wait(_)) = (&answer, &next) {
                tracing::warn!(%kind, %error, "the API server does not say whether there is such a kind");
            }
            let is_known = is_known || !matches!(next, Next::Wait(_));
            let looks = match next {
                Next::Watch => watched(api, metrics),
                Next::Absent => told(Told::Absent),
                Next::Forbidden => told(Told::Forbidden),
                Next::Wait(time) => pause(time).boxed(),
            };
            Some((looks, is_known))
        }
    })
    .flatten()
}

/// What follows an answer to whether there is such a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Watch,
    Absent,
    Forbidden,
    Wait(Duration),
}

fn next(answer: &Result<bool, kube::Error>, is_known: bool) -> Next {
    match answer {
        Ok(true) => Next::Watch,
        Ok(false) => Next::Absent,
        Err(kube::Error::Api(answer)) if answer.code == 403 => Next::Forbidden,
        // What was known may be so still.
        Err(kube::Error::Api(_)) if is_known => Next::Wait(LOOK_AGAIN),
        // Nothing else waits for this kind.
        Err(kube::Error::Api(_)) => Next::Absent,
        Err(_) => Next::Wait(SHORTLY),
    }
}

/// Until the API server knows nothing of the kind any more, or we may not look: a watch that may not go on where it was does not list
/// again by itself, and so would never say that it may.
fn watched<K: Kind>(api: Api<K>, metrics: Metrics) -> BoxStream<'static, Told<K>> {
    let refused = Arc::new(AtomicBool::new(false));
    let ended = refused.clone();
    let is_end = move |error: &_| {
        refused.fetch_or(is_forbidden(error), Ordering::Relaxed);
        is_forbidden(error) || is_gone(error)
    };
    let after = stream::once(async move {
        match ended.load(Ordering::Relaxed) {
            true => told(Told::Forbidden),
            false => pause(SHORTLY).boxed(),
        }
    });
    changes(api, metrics, |_| false, is_end)
        .chain(after.flatten())
        .boxed()
}

fn told<K: Kind>(what: Told<K>) -> BoxStream<'static, Told<K>> {
    stream::iter([what]).chain(pause(LOOK_AGAIN)).boxed()
}

/// Yields nothing, in this time.
fn pause<T: Send + 'static>(time: Duration) -> impl Stream<Item = T> + Send {
    stream::once(tokio::time::sleep(time)).filter_map(|()| std::future::ready(None))
}

async fn is_served<K: Kind>(client: &Client) -> Result<bool, kube::Error> {
    match client.list_api_group_resources(&K::api_version(&())).await {
        Ok(found) => Ok(found.resources.iter().any(|it| it.name == K::plural(&()))),
        // By its number: of a group that nobody has heard of it says so in plain text, without a reason.
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_gone(error: &watcher::Error) -> bool {
    refusal(error).is_some_and(|answer| answer.code == 404)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_says_so_takes_a_kind_away_that_was_there() {
        let api = |code| {
            let answer = kube::core::Status::failure("any", "any").with_code(code);
            Err(kube::Error::Api(Box::new(answer)))
        };
        for (answer, known, unknown) in [
            (Ok(true), Next::Watch, Next::Watch),
            (Ok(false), Next::Absent, Next::Absent),
            (api(403), Next::Forbidden, Next::Forbidden),
            // The very first look holds up nothing.
            (api(500), Next::Wait(LOOK_AGAIN), Next::Absent),
            (api(429), Next::Wait(LOOK_AGAIN), Next::Absent),
            (
                Err(kube::Error::LinesCodecMaxLineLengthExceeded),
                Next::Wait(SHORTLY),
                Next::Wait(SHORTLY),
            ),
        ] {
            assert_eq!(next(&answer, true), known, "{answer:?}");
            assert_eq!(next(&answer, false), unknown, "{answer:?}");
        }
    }
}
