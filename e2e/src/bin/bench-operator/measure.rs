//! What is measured, one after the other, and what is asked of it.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, bail};
use clap::Args;
use e2e::cluster::Cluster;

use crate::{
    edits::{self, Latencies},
    hands::Hands,
    plain,
    process::{Process, Usage},
    requests::Requests,
    say, shops, stores,
    table::{heading, mib, ms, row, seconds},
    troubled::Troubled,
};

/// What the operator may hold at most: its limit in the chart.
const MOST_MEMORY: u64 = 128 << 20;
/// No reconcile for this long: nothing more comes of what was changed.
const AFTERMATH: Duration = Duration::from_secs(2);
const LONGEST_AFTERMATH: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(crate) struct Options {
    /// Shops.
    #[arg(long, default_value_t = 1000)]
    shops: usize,
    /// Edits, one after the other, each of another Shop.
    #[arg(long, default_value_t = 100)]
    edits: usize,
    /// Seconds of rest. The operator looks at every Shop again after five to six minutes.
    #[arg(long, default_value_t = 370)]
    rest: u64,
    /// Folder for what the measured processes say.
    #[arg(long)]
    logs: PathBuf,
}

/// What is asked of every controller.
struct Figures {
    restart: Restart,
    edits: Edits,
    rest: Rest,
    usage: Usage,
}

/// From the start of the process until nothing is left to do, over Shops that are as they should be.
struct Restart {
    took: Duration,
    usage: Usage,
    requests: Requests,
}

struct Edits {
    latencies: Latencies,
    /// Write requests for one edit.
    writes: f64,
}

struct Rest {
    requests: Requests,
    minutes: f64,
    /// Of one core.
    cpu: f64,
}

struct Bench<'a> {
    cluster: Cluster,
    hands: Hands,
    options: &'a Options,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let cluster = Cluster::of_environment().await?;
    let bench = Bench {
        hands: Hands::start(&cluster.client),
        cluster,
        options,
    };
    let installed = bench.install().await?;

    let mut process = Process::operator(&options.logs)?;
    let operator = bench.figures(&mut process, "operator").await?;
    let troubled = bench.edits_among_troubled(&process).await?;
    process.stop()?;

    say("the plain controller takes over");
    plain::take_over(&bench.cluster).await?;
    let mut process = Process::own("plain", &options.logs)?;
    let plain = bench.figures(&mut process, "plain").await?;
    process.stop()?;

    let stores = bench.stores().await?;
    print(options, &installed, &operator, &troubled, &plain, &stores);
    judge(&installed, &operator)
}

impl Bench<'_> {
    /// From an empty API server to Shops that are Ready, and what that took of the operator.
    async fn install(&self) -> Result<Usage> {
        shops::define(&self.cluster).await?;
        let process = Process::operator(&self.options.logs)?;
        shops::bring_up(&self.cluster, self.options.shops).await?;
        process.quiet_for(AFTERMATH, LONGEST_AFTERMATH).await?;
        let usage = process.usage()?;
        process.stop()?;
        Ok(usage)
    }

    async fn figures(&self, process: &mut Process, name: &str) -> Result<Figures> {
        let restart = self.restart(process, name).await?;
        let edits = self.edits(process, name).await?;
        let rest = self.rest(process, name).await?;
        Ok(Figures {
            restart,
            edits,
            rest,
            usage: process.usage()?,
        })
    }

    async fn restart(&self, process: &mut Process, name: &str) -> Result<Restart> {
        say(&format!(
            "{name}: restart over {} Shops",
            self.options.shops
        ));
        // The process has begun, and has yet to ask for its first list.
        let before = Requests::now(&self.cluster).await?;
        let took = process.settled(self.options.shops as u64).await?;
        let requests = Requests::now(&self.cluster).await?.since(&before);
        say(&format!(
            "{name}: settled after {}",
            seconds(took.as_secs_f64())
        ));
        Ok(Restart {
            took,
            usage: process.usage()?,
            requests,
        })
    }

    async fn edits(&self, process: &Process, round: &str) -> Result<Edits> {
        let count = self.edit_count();
        let (before, own) = (Requests::now(&self.cluster).await?, self.hands.writes());
        let latencies = edits::measure(&self.cluster, process, round, count).await?;
        process.quiet_for(AFTERMATH, LONGEST_AFTERMATH).await?;
        let own = self.hands.writes() - own + count as u64;
        let requests = Requests::now(&self.cluster).await?.since(&before);
        Ok(Edits {
            latencies,
            writes: requests.writes().saturating_sub(own) as f64 / count as f64,
        })
    }

    async fn edits_among_troubled(&self, process: &Process) -> Result<Latencies> {
        say(&format!("operator: beside {}", Troubled::description()));
        let troubled = Troubled::add(&self.cluster).await?;
        let count = self.edit_count();
        let latencies = edits::measure(&self.cluster, process, "troubled", count).await?;
        troubled.remove(&self.cluster).await?;
        Ok(latencies)
    }

    fn edit_count(&self) -> usize {
        self.options.edits.min(self.options.shops)
    }

    async fn rest(&self, process: &Process, name: &str) -> Result<Rest> {
        let duration = Duration::from_secs(self.options.rest);
        say(&format!("{name}: {} s of rest", self.options.rest));
        let (before, used) = (Requests::now(&self.cluster).await?, process.usage()?.cpu);
        tokio::time::sleep(duration).await;
        let requests = Requests::now(&self.cluster).await?.since(&before);
        Ok(Rest {
            requests,
            minutes: duration.as_secs_f64() / 60.0,
            cpu: (process.usage()?.cpu - used) / duration.as_secs_f64(),
        })
    }

    async fn stores(&self) -> Result<Usage> {
        say("whole objects in kube's stores");
        let mut process = Process::own("stores", &self.options.logs)?;
        process.settled(stores::STORES).await?;
        let usage = process.usage()?;
        process.stop()?;
        Ok(usage)
    }
}

fn print(
    options: &Options,
    installed: &Usage,
    operator: &Figures,
    troubled: &Latencies,
    plain: &Figures,
    stores: &Usage,
) {
    let both = |what: &str, figure: &dyn Fn(&Figures) -> String, how: &str| {
        row(what, &figure(operator), Some(&figure(plain)), how);
    };
    heading();
    row(
        "memory at most, from nothing to all Ready",
        &mib(installed.peak),
        None,
        &format!("{} Shops", options.shops),
    );
    row(
        "CPU for each",
        &seconds(installed.cpu / options.shops as f64),
        None,
        "of the operator, from nothing to Ready",
    );
    both(
        "memory after a restart",
        &|f| mib(f.restart.usage.memory),
        "resident, settled",
    );
    both(
        "memory at most after a restart",
        &|f| mib(f.usage.peak),
        "until the last of the figures below",
    );
    row(
        "the same objects in kube's stores",
        "",
        Some(&mib(stores.memory)),
        "whole, as reflectors keep them; the plain controller keeps none",
    );
    both(
        "restart to settled",
        &|f| seconds(f.restart.took.as_secs_f64()),
        "start of the process to its last reconcile",
    );
    both("… CPU", &|f| seconds(f.restart.usage.cpu), "of the process");
    both(
        "… write requests",
        &|f| f.restart.requests.writes().to_string(),
        "as the API server counts them, without Leases",
    );
    both(
        "… read requests",
        &|f| f.restart.requests.reads().to_string(),
        "lists by pages, without watches",
    );
    let edits = format!(
        "{} edits, one after the other",
        options.edits.min(options.shops)
    );
    both(
        "edit to all five Deployments, p50",
        &|f| ms(f.edits.latencies.percentile(50)),
        &edits,
    );
    both(
        "… p99",
        &|f| ms(f.edits.latencies.percentile(99)),
        "the same",
    );
    both(
        "… write requests for each",
        &|f| format!("{:.1}", f.edits.writes),
        "with status and events",
    );
    let beside = format!("beside {}", Troubled::description());
    row(
        "the same beside troubled Shops, p50",
        &ms(troubled.percentile(50)),
        None,
        &beside,
    );
    row("… p99", &ms(troubled.percentile(99)), None, "the same");
    let rest = format!("over {} s", options.rest);
    both(
        "write requests per minute at rest",
        &|f| format!("{:.0}", f.rest.requests.writes() as f64 / f.rest.minutes),
        &rest,
    );
    both(
        "CPU at rest",
        &|f| format!("{:.1} % of a core", f.rest.cpu * 100.0),
        &rest,
    );
}

/// The aims that do not depend on how fast the machine is.
fn judge(installed: &Usage, operator: &Figures) -> Result<()> {
    let mut missed = Vec::new();
    let peak = installed.peak.max(operator.usage.peak);
    if peak > MOST_MEMORY {
        missed.push(format!(
            "it held {}, more than {}",
            mib(peak),
            mib(MOST_MEMORY)
        ));
    }
    for (when, requests) in [
        ("at a restart", &operator.restart.requests),
        ("at rest", &operator.rest.requests),
    ] {
        if requests.writes() > 0 {
            missed.push(format!("{when} it wrote {}", requests.written()));
        }
    }
    if !missed.is_empty() {
        bail!("the operator misses its aims: {}", missed.join("; "));
    }
    Ok(())
}
