//! `shopctl status`: how far the Shop is, as a tree.

mod tree;
mod view;

use futures::{Stream, StreamExt};
use kube::runtime::{WatchStreamExt, watcher};
use shop_operator::api::Shop;

pub use tree::{phase, tree};
pub use view::View;

use crate::{
    cli::StatusOptions,
    cluster::Cluster,
    failure::{Failure, Outcome, asking},
    output::{self, Output},
};

/// Prints how far the Shop is.
///
/// # Errors
/// When it cannot be asked.
pub async fn run(
    cluster: &Cluster,
    options: &StatusOptions,
    output: Output,
) -> Result<Outcome, Failure> {
    let shop = cluster.shop().await?;
    let first = View::of(&shop);
    show(&first, output)?;
    if !options.watch || first.ready {
        return Ok(Outcome::good_if(first.ready));
    }
    let name = shop.metadata.name.unwrap_or_default();
    let changes = watcher::watch_object(cluster.api::<Shop>(), &name).default_backoff();
    let changes = std::pin::pin!(changes);
    let watched = watch(changes, first, output);
    match options.timeout {
        None => watched.await,
        Some(limit) => match tokio::time::timeout(limit, watched).await {
            Ok(outcome) => outcome,
            Err(_) => {
                output::complain(format!("Shop {name} is not Ready after {limit:?}"));
                Ok(Outcome::Bad)
            }
        },
    }
}

/// Prints the Shop anew when it says something else, until it is Ready.
async fn watch(
    mut changes: impl Stream<Item = watcher::Result<Option<Shop>>> + Unpin,
    mut shown: View,
    output: Output,
) -> Result<Outcome, Failure> {
    while let Some(change) = changes.next().await {
        let shop = match change {
            Ok(Some(shop)) => shop,
            Ok(None) => return Err(Failure::Absent(format!("Shop {} is gone", shown.name))),
            Err(
                watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error),
            ) if is_final(&error) => {
                return Err(asking(format!("watching Shop {}", shown.name))(error));
            }
            // The stream goes on by itself.
            Err(error) => {
                output::complain(format!("still watching: {error}"));
                continue;
            }
        };
        let view = View::of(&shop);
        if view != shown {
            if output == Output::Text {
                output::print("\n")?;
            }
            show(&view, output)?;
        }
        if view.ready {
            return Ok(Outcome::Good);
        }
        shown = view;
    }
    Err(Failure::Absent("the cluster ended the watch".into()))
}

/// Asking again would change nothing: who asks has no right, or there is no such kind.
fn is_final(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(answer) if matches!(answer.code, 401 | 403 | 404))
}

fn show(view: &View, output: Output) -> Result<(), Failure> {
    match output {
        Output::Text => output::print(&tree(view)),
        Output::Json => output::print_json(view),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_does_not_end_a_watch() {
        let ends = |code: u16| {
            let answer =
                serde_json::json!({"status": "Failure", "message": "", "reason": "", "code": code});
            let answer = serde_json::from_value(answer).expect("an answer");
            is_final(&kube::Error::Api(answer))
        };
        assert!([401, 403, 404].into_iter().all(ends));
        assert!(![429, 500, 503].into_iter().any(ends));
    }
}
