//! The local docker engine, by its command line.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::owner::Owner;

/// What marks everything that a run has made, with the run's name as value.
const LABEL: &str = "dev.shopkeeper.conformance";
/// Which process a container is of.
const OWNER: &str = "dev.shopkeeper.conformance.owner";

/// Runs `docker`, and returns what it prints.
pub(crate) async fn docker(arguments: &[&str]) -> Result<String> {
    let (stdout, _) = both(arguments).await?;
    Ok(stdout.trim().to_owned())
}

async fn both(arguments: &[&str]) -> Result<(String, String)> {
    let output = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .context("docker does not start; is it installed?")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    if !output.status.success() {
        let words: Vec<_> = stderr.split_whitespace().collect();
        bail!("docker {}: {}", arguments[0], words.join(" "));
    }
    Ok((stdout, stderr))
}

/// Removes the containers of runs that were killed, which could not do so themselves.
async fn remove_orphans() -> Result<()> {
    let format = format!("{{{{.ID}}}} {{{{.Label \"{OWNER}\"}}}}");
    let filter = format!("label={OWNER}");
    let listed = docker(&["ps", "--all", "--filter", &filter, "--format", &format]).await?;
    let orphan = |line| {
        let (id, owner): (&str, &str) = str::split_once(line, ' ')?;
        Owner::read(owner)?.is_gone().then_some(id)
    };
    for id in listed.lines().filter_map(orphan) {
        // Another run that begins may be at it as well.
        if let Err(error) = docker(&["rm", "--force", "--volumes", id]).await {
            eprintln!("the container {id} of a run that was killed stays: {error:#}");
        }
    }
    Ok(())
}

/// The engine's own network, and the containers that a run has started in it. Dropped, they are removed.
///
/// No network of the run's own: the engine forgets an endpoint now and then when many containers go at once, and then such a
/// network cannot be removed any more.
pub(crate) struct Network {
    name: String,
    owner: Owner,
    /// Where containers reach this process.
    pub(crate) host: IpAddr,
}

/// Of a line `<gateway>|<subnet>`. An engine that has just made its network names no gateway before it is started again: it is the first
/// address of the subnet.
fn gateway(line: &str) -> Option<IpAddr> {
    let (gateway, subnet) = line.split_once('|')?;
    if let Ok(gateway) = gateway.parse() {
        return Some(gateway);
    }
    let subnet: Ipv4Addr = subnet.split_once('/')?.0.parse().ok()?;
    let first = u32::from(subnet).checked_add(1)?;
    Some(Ipv4Addr::from(first).into())
}

impl Network {
    /// `name` is that of the run.
    pub(crate) async fn of(name: String) -> Result<Self> {
        remove_orphans().await?;
        let format = "{{range .IPAM.Config}}{{.Gateway}}|{{.Subnet}}\n{{end}}";
        let addresses = docker(&["network", "inspect", "--format", format, "bridge"]).await?;
        let host = addresses.lines().find_map(gateway).with_context(|| {
            format!("the engine's network has no gateway: it says {addresses:?}")
        })?;
        let owner = Owner::this_process()?;
        Ok(Self { name, owner, host })
    }

    /// Starts a container with this environment. `arguments` are those of `docker run`, the image and what follows it.
    pub(crate) async fn start(
        &self,
        env: &[(String, String)],
        arguments: &[&str],
    ) -> Result<Container> {
        let file = environment_file(env)?;
        let path = file.path().to_str();
        let path = path.context("the folder of temporary files has no name that can be written")?;
        let label = format!("{LABEL}={}", self.name);
        let owner = format!("{OWNER}={}", self.owner);
        let fixed = ["run", "--detach", "--network", "bridge"];
        let of_run = ["--label", &label, "--label", &owner, "--env-file", path];
        let id = docker(&[fixed.as_slice(), &of_run, arguments].concat()).await?;
        Ok(Container { id })
    }
}

/// The environment of a container in a file that its owner alone can read. On a command line everybody would see the secrets.
fn environment_file(env: &[(String, String)]) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    for (name, value) in env {
        ensure!(
            !value.contains('\n'),
            "the value of {name} has more than one line, which docker does not take from a file"
        );
        writeln!(file, "{name}={value}")?;
    }
    Ok(file)
}

impl Drop for Network {
    fn drop(&mut self) {
        let started = Instant::now();
        let filter = format!("label={LABEL}={}", self.name);
        let containers = ["ps", "--all", "--quiet", "--filter", &filter];
        while started.elapsed() < Duration::from_secs(60) {
            let ids = blocking(&containers).unwrap_or_default();
            let ids: Vec<&str> = ids.split_whitespace().collect();
            if ids.is_empty() {
                return;
            }
            // Those that were dropped are on their way.
            if started.elapsed() > Duration::from_secs(10) {
                blocking(&[["rm", "--force", "--volumes"].as_slice(), &ids].concat());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        eprintln!("containers of the run stay; see 'docker ps --all --filter {filter}'");
    }
}

/// What `docker` prints, if it ends well. For the end of a run, where nothing can be waited for otherwise.
fn blocking(arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new("docker")
        .args(arguments)
        .output()
        .ok()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(printed)
}

/// A container. Dropped, it is removed.
pub(crate) struct Container {
    id: String,
}

/// How a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Ended { code: i32, out_of_memory: bool },
}

impl Container {
    /// Its address in the network of the run.
    pub(crate) async fn address(&self) -> Result<IpAddr> {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = docker(&["inspect", "--format", format, &self.id]).await?;
        // One that has ended has none any more.
        address
            .parse()
            .with_context(|| "the container has ended".to_owned())
    }

    pub(crate) async fn state(&self) -> Result<State> {
        let format = "{{.State.Running}} {{.State.ExitCode}} {{.State.OOMKilled}}";
        let state = docker(&["inspect", "--format", format, &self.id]).await?;
        match state.split(' ').collect::<Vec<_>>().as_slice() {
            ["true", ..] => Ok(State::Running),
            [_, code, killed] => Ok(State::Ended {
                code: code.parse()?,
                out_of_memory: *killed == "true",
            }),
            _ => bail!("docker says {state:?} of a container"),
        }
    }

    /// Waits until it has ended, and returns its exit code; `None` where that takes longer than `limit`.
    pub(crate) async fn ended(&self, limit: Duration) -> Result<Option<i32>> {
        match tokio::time::timeout(limit, docker(&["wait", &self.id])).await {
            Ok(code) => Ok(Some(code?.parse()?)),
            Err(_) => Ok(None),
        }
    }

    pub(crate) async fn signal(&self, signal: &str) -> Result<()> {
        docker(&["kill", "--signal", signal, &self.id])
            .await
            .map(drop)
    }

    /// What it has written on standard output and standard error.
    pub(crate) async fn logs(&self) -> Result<(String, String)> {
        both(&["logs", &self.id]).await
    }

    /// The users of its processes, as numbers.
    pub(crate) async fn users(&self) -> Result<Vec<String>> {
        let table = docker(&["top", &self.id, "-eo", "pid,uid"]).await?;
        let users = table.lines().skip(1);
        Ok(users
            .filter_map(|line| line.split_whitespace().nth(1).map(str::to_owned))
            .collect())
    }

    /// How many threads its processes have.
    pub(crate) async fn threads(&self) -> Result<usize> {
        let table = docker(&["top", &self.id, "-eLo", "pid,lwp"]).await?;
        Ok(table.lines().skip(1).count())
    }

    /// The memory that it uses, as docker writes it: `12.5MiB / 256MiB`.
    pub(crate) async fn memory(&self) -> Result<String> {
        docker(&[
            "stats",
            "--no-stream",
            "--format",
            "{{.MemUsage}}",
            &self.id,
        ])
        .await
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Not waited for: the end of the run removes what is left.
        let _ = std::process::Command::new("docker")
            .args(["rm", "--force", "--volumes", &self.id])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::backends::Images;

    #[test]
    fn the_gateway_is_the_first_address_where_the_engine_names_none() {
        let named = gateway("172.18.0.9|172.18.0.0/16");
        assert_eq!(
            named.map(|ip| ip.to_string()).as_deref(),
            Some("172.18.0.9")
        );
        let new = gateway("|172.17.0.0/16");
        assert_eq!(new.map(|ip| ip.to_string()).as_deref(), Some("172.17.0.1"));
        assert_eq!(gateway(""), None);
    }

    #[test]
    fn the_environment_is_in_a_file_that_nobody_else_can_read() {
        let variable = |value: &str| [("SECRET".to_owned(), value.to_owned())];
        let file = environment_file(&variable("a #b=c")).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(text, "SECRET=a #b=c\n");
        let mode = file.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let two_lines = environment_file(&variable("a\nOTHER=b")).unwrap_err();
        assert!(two_lines.to_string().contains("SECRET"), "{two_lines}");
    }

    /// A container that never runs.
    async fn of_owner(owner: &str) -> Container {
        let image = Images::of_machine().unwrap().nats;
        let owner = format!("{OWNER}={owner}");
        let id = docker(&["create", "--label", &owner, &image]).await;
        Container { id: id.unwrap() }
    }

    #[tokio::test]
    async fn what_a_killed_run_has_left_is_removed_and_what_a_living_one_has_stays() {
        let living = Owner::this_process().unwrap().to_string();
        // The same number, and not the same process.
        let killed = of_owner(&format!("{living}0")).await;
        let (living, unknown) = (of_owner(&living).await, of_owner("nobody").await);
        remove_orphans().await.unwrap();
        assert!(killed.state().await.is_err(), "what was left is there");
        for container in [living, unknown] {
            container.state().await.expect("it is somebody's");
        }
    }
}
