//! The programs themselves: how fast they start, how large their images are.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{SERVICES, ms, row};

/// Starts of each process; the median is printed.
const STARTS: usize = 11;

/// From the start of the process to the first accepted connection, with neither database nor broker there.
pub(crate) fn starts() -> Result<()> {
    for service in SERVICES {
        let binary = release(service);
        ensure!(
            binary.exists(),
            "{} is not built: `cargo xtask images` builds it",
            binary.display()
        );
        let mut times = vec![];
        for n in 0..STARTS {
            times.push(start(&binary, service, 46_000 + 2 * n as u16)?);
        }
        times.sort();
        row(
            &format!("start to listening, {service}"),
            &ms(times[STARTS / 2].as_secs_f64()),
            &format!("median of {STARTS}, no database, no broker"),
        );
    }
    Ok(())
}

fn start(binary: &Path, service: &str, port: u16) -> Result<Duration> {
    let index = std::env::temp_dir().join(format!("figures-{service}"));
    let started = Instant::now();
    let mut process = Command::new(binary)
        .env_clear()
        .envs([
            (
                "DATABASE_URL",
                "postgres://nobody:nothing@127.0.0.1:1/none".to_owned(),
            ),
            ("NATS_URL", "nats://127.0.0.1:1".to_owned()),
            ("HTTP_ADDR", format!("127.0.0.1:{port}")),
            ("ADMIN_ADDR", format!("127.0.0.1:{}", port + 1)),
            ("USERS_URL", "http://127.0.0.1:1".to_owned()),
            ("PAYMENTS_URL", "http://127.0.0.1:1".to_owned()),
            ("PAYMENTS_TOKEN", "figures".to_owned()),
            (
                "API_TOKEN",
                "figures-figures-figures-figures-figures".to_owned(),
            ),
            ("SIGNING_SEED", "11".repeat(32)),
            ("ADMIN_EMAIL", "admin@shop.example".to_owned()),
            ("ADMIN_PASSWORD", "figures-figures".to_owned()),
            ("INDEX_DIR", index.display().to_string()),
        ])
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {}", binary.display()))?;
    let outcome = loop {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break Ok(started.elapsed());
        }
        if let Some(status) = process.try_wait()? {
            break Err(anyhow::anyhow!(
                "{service} ended with {status} before it listened"
            ));
        }
        ensure!(
            started.elapsed() < Duration::from_secs(10),
            "{service} does not listen after 10 s"
        );
        std::thread::sleep(Duration::from_micros(200));
    };
    let _ = process.kill();
    process.wait()?;
    outcome
}

fn release(service: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/x86_64-unknown-linux-gnu/release")
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
