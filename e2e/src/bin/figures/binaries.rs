//! The programs themselves: how fast they start, how large their images are.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use e2e::services::{Service, Shape};

use crate::{ms, row};

/// Starts of each process; the median is printed.
const STARTS: usize = 11;

/// The first of the ports; below those from which the kernel takes one for a connection of anybody.
const PORTS: u16 = 26_000;

/// What the operator would set, with nobody behind the addresses.
fn environment(service: &Service, port: u16) -> Vec<(String, String)> {
    let nobody = || "http://127.0.0.1:1".to_owned();
    let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut env = vec![
        text("DATABASE_URL", "postgres://nobody:nothing@127.0.0.1:1/none"),
        text("NATS_URL", "nats://127.0.0.1:1"),
        text("HTTP_ADDR", &format!("127.0.0.1:{port}")),
        text("ADMIN_ADDR", &format!("127.0.0.1:{}", port + 1)),
        text("GRPC_ADDR", &format!("127.0.0.1:{}", port + 2)),
    ];
    for call in &service.calls {
        env.push((call.url.clone(), nobody()));
        let token = call.token.as_ref();
        env.extend(token.map(|token| text(&token.variable, "figures")));
    }
    for key in &service.keys {
        let value = match key.shape {
            Shape::Seed => "11".repeat(32),
            Shape::Password => "keeper of figures and shops".to_owned(),
        };
        env.push((key.name.clone(), value));
    }
    let settings = service.settings.iter();
    env.extend(settings.map(|setting| (setting.name.clone(), setting.value.clone())));
    for folder in &service.scratch {
        let path = std::env::temp_dir().join(format!("figures-{}", service.name));
        env.push((folder.variable.clone(), path.display().to_string()));
    }
    env
}

/// From the start of the process to the first accepted connection, with neither database nor broker there.
pub(crate) fn starts(services: &[Service]) -> Result<()> {
    for service in services {
        let binary = release(&service.name);
        ensure!(
            binary.exists(),
            "{} is not built: `cargo xtask images` builds it",
            binary.display()
        );
        let mut times = vec![];
        for n in 0..STARTS {
            times.push(start(&binary, service, PORTS + 3 * n as u16)?);
        }
        times.sort();
        row(
            &format!("start to listening, {}", service.name),
            &ms(times[STARTS / 2].as_secs_f64()),
            &format!("median of {STARTS}, no database, no broker"),
        );
    }
    Ok(())
}

fn start(binary: &Path, service: &Service, port: u16) -> Result<Duration> {
    let started = Instant::now();
    let mut process = Command::new(binary)
        .env_clear()
        .envs(environment(service, port))
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {}", binary.display()))?;
    let outcome = loop {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break Ok(started.elapsed());
        }
        if let Some(status) = process.try_wait()? {
            break Err(anyhow::anyhow!(
                "{} ended with {status} before it listened",
                service.name
            ));
        }
        ensure!(
            started.elapsed() < Duration::from_secs(10),
            "{} does not listen after 10 s",
            service.name
        );
        std::thread::sleep(Duration::from_micros(200));
    };
    let _ = process.kill();
    process.wait()?;
    outcome
}

/// Where `cargo xtask images` has left the program.
fn release(service: &str) -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(own, PathBuf::from);
    target
        .join("x86_64-unknown-linux-gnu/release")
        .join(service)
}

/// Sizes as the images travel: compressed.
pub(crate) fn images() -> Result<()> {
    let table = Command::new("cargo")
        .args(["xtask", "images"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stderr(Stdio::null())
        .output()?;
    for line in String::from_utf8(table.stdout)?.lines().skip(1) {
        let columns: Vec<_> = line.split_whitespace().collect();
        if let [name, _, size, ..] = columns[..] {
            row(
                &format!("image, {name}"),
                &format!("{size} MB"),
                "`cargo xtask images`, compressed layers",
            );
        }
    }
    Ok(())
}
