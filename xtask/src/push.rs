//! `cargo xtask push`: the images of this tree into a registry.
//!
//! skopeo copies the archives as they are, so the registry holds the digests that `cargo xtask images` prints. A docker engine
//! would compress the layers anew, under other digests, and engines before 25 do not load such archives at all.

use std::{net::IpAddr, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::images;

#[derive(Args)]
#[group(skip)] // the options of `images` make a group of that name
pub(crate) struct Options {
    /// A registry, with a path or without one: ghcr.io/acme/shop
    #[arg(value_name = "REGISTRY[/PATH]", value_parser = registry)]
    registry: String,
    #[command(flatten)]
    images: images::Options,
}

/// Builds the images, pushes each and prints its name there with its digest. Docker's logins (`docker login`, `skopeo login`)
/// are used.
pub(crate) fn run(options: &Options) -> Result<()> {
    // Before the build, which may take minutes.
    let skopeo = Command::new("skopeo").arg("--version").output();
    skopeo.context("skopeo does not start; install the package skopeo")?;

    let registry = &options.registry;
    for image in images::build(&options.images)? {
        let name = format!("{registry}/{}:{}", image.program, image.tag);
        copy(&image.archive, &name, is_this_machine(registry))?;
        println!("{name}@{}", image.digest);
    }
    Ok(())
}

fn copy(archive: &Path, name: &str, plain: bool) -> Result<()> {
    let status = Command::new("skopeo")
        // The policy tells whose signatures an image must have to be taken: these come from this very tree.
        .args(["--insecure-policy", "copy", "--quiet"])
        .args(["--preserve-digests", "--retry-times=2"])
        // As for docker, a registry on this machine needs no TLS. For others see registries.conf(5).
        .args(plain.then_some("--dest-tls-verify=false"))
        .arg(format!("oci-archive:{}", archive.display()))
        .arg(format!("docker://{name}"))
        .status()
        .context("skopeo does not start")?;
    ensure!(
        status.success(),
        "{name} could not be pushed; the cause stands above. Is the registry there, and are you logged in (`skopeo login`)?"
    );
    Ok(())
}

/// A registry as it stands in the name of an image, by the grammar of the [distribution
/// specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests) for the path.
fn registry(text: &str) -> Result<String, String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    let host_is_one = !host.is_empty()
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
    let is_segment = |segment: &str| {
        let separates = |c| ".-_".contains(c);
        !segment.is_empty()
            && segment
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || separates(c))
            && !segment.starts_with(separates)
            && !segment.ends_with(separates)
    };
    if host_is_one && (path.is_empty() || path.split('/').all(is_segment)) {
        Ok(text.to_owned())
    } else {
        Err("give host and path alone, the path in small letters and without a tag, as in ghcr.io/acme/shop".to_owned())
    }
}

fn is_this_machine(registry: &str) -> bool {
    let authority = registry.split('/').next().unwrap_or(registry);
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    let address = host.trim_matches(['[', ']']).parse();
    host == "localhost" || address.is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_named_without_a_scheme() {
        assert_eq!(registry("ghcr.io/acme/"), Ok("ghcr.io/acme".to_owned()));
        assert_eq!(registry("127.0.0.1:5000"), Ok("127.0.0.1:5000".to_owned()));
        assert_eq!(
            registry("[::1]:5000/a-b/c.d_e"),
            Ok("[::1]:5000/a-b/c.d_e".to_owned())
        );
        for wrong in [
            "",
            "/",
            "https://ghcr.io/acme",
            "ghcr.io/ac me",
            "ghcr.io/MyOrg/shop",
            "ghcr.io/acme/shop:1.0",
            "ghcr.io/acme//",
            "ghcr.io//acme",
            "ghcr.io/acme/shop@sha256:0",
            "ghcr.io/-acme",
        ] {
            assert!(registry(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_a_registry_of_this_machine_may_speak_without_tls() {
        for here in [
            "localhost:5000/shop",
            "127.0.0.1:5000",
            "127.1.2.3",
            "[::1]:5000/a/b",
        ] {
            assert!(is_this_machine(here), "{here}");
        }
        for elsewhere in [
            "ghcr.io/localhost",
            "10.0.0.1:5000",
            "localhost.example:5000",
        ] {
            assert!(!is_this_machine(elsewhere), "{elsewhere}");
        }
    }
}
