//! Static release builds, for images and for the tools that people run beside them.

use std::path::PathBuf;

use anyhow::Result;

use crate::workspace::{self, SHOPCTL, TOOLS, Workspace};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// One cargo for all. Static glibc needs the target named, so that build scripts and macros stay as they are.
pub(crate) fn build(workspace: &Workspace, flags: &[&str], binaries: &[&str]) -> Result<()> {
    let home = |name: &str, default: &str| {
        let home = std::env::var_os(name).map(PathBuf::from);
        home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(default)))
    };
    let mut rustc = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        // The crate looks for getrandom() with dlsym, which a static binary has not; it would need /dev/random.
        "--cfg=getrandom_backend=\"linux_getrandom\"".to_owned(),
    ];
    // Not the workspace's own folder: cargo names what lies in it from there. And flags that name it would have each clone compile all
    // dependencies anew.
    if let Some(home) = home("CARGO_HOME", ".cargo") {
        rustc.push(format!("--remap-path-prefix={}=/cargo", home.display()));
    }
    let mut cargo = workspace::cargo();
    cargo.current_dir(&workspace.root);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", rustc.join("\u{1f}"));
    cargo.env("CARGO_BUILD_TARGET", TARGET);
    // The operator, shopctl and the demo share what kube is compiled to.
    let programs = workspace.programs();
    let packages = programs.iter().map(|program| program.package.as_str());
    let packages: Vec<_> = packages.chain([TOOLS, SHOPCTL]).collect();
    workspace::build(
        cargo,
        &[&["--release"], flags].concat(),
        &packages,
        binaries,
    )
}

/// Where the build leaves a binary.
pub(crate) fn path(workspace: &Workspace, binary: &str) -> PathBuf {
    let folder = workspace.target.join(TARGET).join("release");
    folder.join(binary)
}
