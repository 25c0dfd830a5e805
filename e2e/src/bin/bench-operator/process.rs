//! A process that is measured: the operator, or what it is compared with.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

/// No reconcile for this long means that there is nothing left to do.
const QUIET: Duration = Duration::from_secs(2);
/// How often the process is asked; a time to settle is known no better.
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(1200);
/// The clock ticks in /proc, which Linux counts in hundredths of a second whatever the kernel's own are.
const TICKS: f64 = 100.0;

/// A running process. It ends with this value.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    started: Instant,
    metrics: SocketAddr,
    http: reqwest::Client,
}

/// What a process has used since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Bytes it holds now.
    pub(crate) memory: u64,
    /// Bytes it held at most.
    pub(crate) peak: u64,
    /// Seconds of CPU.
    pub(crate) cpu: f64,
}

/// The operator as it is shipped, which is built beside this program.
fn operator() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("shop-operator");
    ensure!(
        path.exists(),
        "{} is not built; `cargo xtask run bench-operator` builds it",
        path.display()
    );
    Ok(path)
}

impl Process {
    pub(crate) fn operator(logs: &Path) -> Result<Self> {
        let mut command = Command::new(operator()?);
        command.args(["run", "--image-registry", "registry.example/shop"]);
        Self::start("operator", command, "--admin-addr", logs)
    }

    /// This program with another subcommand.
    pub(crate) fn own(name: &'static str, logs: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(name);
        Self::start(name, command, "--metrics", logs)
    }

    fn start(
        name: &'static str,
        mut command: Command,
        address_option: &str,
        logs: &Path,
    ) -> Result<Self> {
        // Free now, and hardly taken before the process listens.
        let metrics = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        std::fs::create_dir_all(logs)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(logs.join(format!("{name}.log")))?;
        command.args([address_option, &metrics.to_string()]);
        command.stdout(log.try_clone()?).stderr(log);
        let started = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("{name} does not start"))?;
        Ok(Self {
            name,
            child,
            started,
            metrics,
            http: reqwest::Client::new(),
        })
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<()> {
        let told = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()?;
        ensure!(told.success(), "{} cannot be stopped", self.name);
        self.child.wait()?;
        Ok(())
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        let read =
            |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()));
        usage_of(&read("status")?, &read("stat")?).context("/proc tells something unknown")
    }

    /// Reconciles so far, whatever came of them.
    pub(crate) async fn reconciles(&self) -> Result<u64> {
        let url = format!("http://{}/metrics", self.metrics);
        let text = self.http.get(url).send().await?.text().await?;
        Ok(sum_of(&text, "reconcile_total"))
    }

    /// Waits until it has reconciled at least so often, and then not for a while. Returns how long after its start it did so the
    /// last time.
    pub(crate) async fn settled(&mut self, least: u64) -> Result<Duration> {
        let (mut count, mut last) = (0, self.started);
        loop {
            tokio::time::sleep(LOOK).await;
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}; see its log", self.name);
            }
            // It does not listen at first.
            let now = self.reconciles().await.unwrap_or(count);
            if now != count {
                (count, last) = (now, Instant::now());
            } else if count >= least && last.elapsed() > QUIET {
                return Ok(last - self.started);
            }
            ensure!(
                self.started.elapsed() < PATIENCE,
                "{} has not settled within {} s: {count} reconciles where {least} were due",
                self.name,
                PATIENCE.as_secs()
            );
        }
    }

    /// Waits until it has not reconciled for so long, but not longer than `most`: some never rest.
    pub(crate) async fn quiet_for(&self, pause: Duration, most: Duration) -> Result<()> {
        let begun = Instant::now();
        let (mut count, mut since) = (self.reconciles().await?, Instant::now());
        while since.elapsed() < pause && begun.elapsed() < most {
            tokio::time::sleep(LOOK).await;
            let now = self.reconciles().await?;
            if now != count {
                (count, since) = (now, Instant::now());
            }
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, where it was told to.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// From `/proc/PID/status` and `/proc/PID/stat`.
fn usage_of(status: &str, stat: &str) -> Option<Usage> {
    let bytes = |name: &str| {
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024)
    };
    // The name of the program stands in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<_> = fields.split(' ').collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some(Usage {
        memory: bytes("VmRSS:")?,
        peak: bytes("VmHWM:")?,
        cpu: (ticks(11)? + ticks(12)?) / TICKS,
    })
}

/// The sum over all labels of a metric whose name ends like this.
fn sum_of(metrics: &str, name: &str) -> u64 {
    let values = metrics.lines().filter_map(|line| {
        let (labelled, value) = line.rsplit_once(' ')?;
        let metric = labelled.split('{').next()?;
        metric.ends_with(name).then(|| value.parse::<f64>().ok())?
    });
    values.sum::<f64>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_from_proc() {
        let status = "Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\n";
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 100 1000 10";
        let usage = usage_of(status, stat).expect("readable");
        assert_eq!((usage.memory, usage.peak), (1 << 20, 2 << 20));
        assert!((usage.cpu - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# HELP a_reconcile b\na_reconcile_total{outcome=\"x y\"} 3\na_reconcile_total{outcome=\"z\"} 4\n\
                    a_reconcile_duration_seconds_count 9\n# EOF\n";
        assert_eq!(sum_of(text, "reconcile_total"), 7);
    }
}
