//! The watch of a kind that a cluster need not have: it begins when the API server serves the kind, and ends when it does no longer.
//! Until then nothing is watched, so that nothing fails.

use std::time::Duration;

use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use kube::{Api, Client, runtime::watcher};

use super::{
    kind::Kind,
    merged::is_forbidden,
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
    stream::unfold((), move |()| {
        let (client, api, metrics) = (client.clone(), api.clone(), metrics.clone());
        async move {
            let kind = K::kind(&());
            let looks = match is_served::<K>(&client).await {
                Ok(true) => watched(api, metrics),
                Ok(false) => told(Told::Absent),
                Err(kube::Error::Api(answer)) if answer.code == 403 => told(Told::Forbidden),
                // Who cannot say whether there is such a kind has none; nothing else waits for it.
                Err(kube::Error::Api(answer)) => {
                    tracing::warn!(%kind, answer = answer.message, "the API server does not say whether there is such a kind");
                    told(Told::Absent)
                }
                Err(error) => {
                    tracing::warn!(%kind, %error, "whether there is such a kind is not known yet");
                    pause(SHORTLY).boxed()
                }
            };
            Some((looks, ()))
        }
    })
    .flatten()
}

/// Until the API server knows nothing of the kind any more.
fn watched<K: Kind>(api: Api<K>, metrics: Metrics) -> BoxStream<'static, Told<K>> {
    changes(api, metrics, is_forbidden, is_gone)
        .chain(pause(SHORTLY))
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
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(answer))
        | watcher::Error::WatchStartFailed(kube::Error::Api(answer)) => answer.code == 404,
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => false,
    }
}
