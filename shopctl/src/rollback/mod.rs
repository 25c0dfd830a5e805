//! `shopctl rollback`: the specification asks for what ran before.

mod decide;

use k8s_openapi::jiff::Timestamp;
use shop_operator::api::Shop;

pub use decide::decide;

use crate::{
    change,
    cli::RollbackOptions,
    cluster::Cluster,
    failure::{Failure, Outcome},
    output::Output,
    plan::{closed, paused},
};

/// Writes back what ran before.
///
/// # Errors
/// When there is nothing to go back to, or the API server refuses.
pub async fn run(
    cluster: &Cluster,
    options: &RollbackOptions,
    output: Output,
) -> Result<Outcome, Failure> {
    let document = cluster.document().await?;
    let shop: Shop = change::read(&document)?;
    let to = options.to.map(usize::from);
    let mut intent = decide(&shop, &document.data, options.service.as_deref(), to)?;
    let now = Timestamp::now();
    intent.notes.extend(paused(&shop, now));
    intent.notes.extend(closed(&shop, now));
    change::carry_out(cluster, &document, &intent, options.writing, output).await?;
    Ok(Outcome::Good)
}
