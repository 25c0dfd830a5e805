//! `cargo xtask images`: static binaries, each in an image from scratch. No engine and no network is needed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{
    go::{self, GoProgram},
    oci::{self, Digest, Entry, Layer},
    release, revision,
    revision::Sources,
    workspace::{OPERATOR, Program, Workspace},
};

const REGISTRY: &str = "localhost/shopkeeper";
const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The user and group of every process.
const USER: u32 = 65532;

#[derive(Args)]
pub(crate) struct Options {
    /// Only this program (may be given several times); without it all that a shop needs: none of `examples`, and none in Go, which
    /// takes the place of another
    #[arg(long = "service", value_name = "NAME")]
    services: Vec<String>,
    /// Append this to the version in the image's tag
    #[arg(long, value_name = "SUFFIX", conflicts_with = "unique")]
    tag: Option<String>,
    /// Append the first 12 digits of the binary layer's digest to the version in the tag
    #[arg(long)]
    unique: bool,
    /// Folder for the archives, one per image: <NAME>.tar
    #[arg(long, value_name = "DIR", default_value = ".state/images")]
    out: PathBuf,
}

/// Builds, writes the archives and prints a table of name, image, size of the layers and digest.
pub(crate) fn run(options: &Options) -> Result<()> {
    let images = build(options)?;
    println!("{:<14} {:<62} {:>5} DIGEST", "NAME", "IMAGE", "MB");
    for image in images {
        let megabytes = image.size as f64 / 1e6;
        println!(
            "{:<14} {:<62} {megabytes:>5.1} {}",
            image.program,
            format!("{REGISTRY}/{}:{}", image.program, image.tag),
            image.digest
        );
    }
    Ok(())
}

/// An image that lies in an archive.
pub(crate) struct Written {
    /// The program's name, which is the image's name too.
    pub(crate) program: String,
    pub(crate) tag: String,
    pub(crate) digest: Digest,
    pub(crate) archive: PathBuf,
    /// Of the compressed layers, in bytes.
    size: usize,
}

/// Builds and writes the archives.
pub(crate) fn build(options: &Options) -> Result<Vec<Written>> {
    let workspace = Workspace::load()?;
    let (programs, in_go) = wanted(&workspace, &options.services)?;
    let base = base_layer()?;
    let binaries: Vec<_> = programs.iter().map(|p| p.binary.as_str()).collect();
    if !binaries.is_empty() {
        release::build(&workspace, &[], &binaries)?;
    }
    let mut built = vec![];
    for program in &programs {
        built.push(Built::in_rust(&workspace, program)?);
    }
    for program in &in_go {
        built.push(Built::in_go(&workspace, program)?);
    }

    let out = workspace.root.join(&options.out);
    fs::create_dir_all(&out)
        .with_context(|| format!("the folder {} cannot be made", out.display()))?;
    built
        .iter()
        .map(|program| write_image(options, program, &workspace.root, &base, &out))
        .collect()
}

/// The programs of these names; without names all that a shop needs.
fn wanted(workspace: &Workspace, names: &[String]) -> Result<(Vec<Program>, Vec<GoProgram>)> {
    let (mut programs, mut in_go) = (workspace.programs(), go::programs(workspace)?);
    let all = programs.iter().map(|p| p.binary.clone());
    let all: Vec<_> = all.chain(in_go.iter().map(|p| p.name.clone())).collect();
    let unknown = names.iter().find(|name| !all.contains(name));
    if let Some(unknown) = unknown {
        bail!(
            "there is no program {unknown}; there are {}",
            all.join(", ")
        );
    }
    programs.retain(|program| match names {
        [] => !program.is_example(),
        names => names.contains(&program.binary),
    });
    in_go.retain(|program| names.contains(&program.name));
    Ok((programs, in_go))
}

/// A program that was built, whatever its language, and what its image says of it.
struct Built<'a> {
    name: &'a str,
    version: &'a str,
    license: &'a str,
    /// What it does when its image is started without arguments.
    command: &'static str,
    binary: PathBuf,
    sources: Sources<'a>,
}

impl<'a> Built<'a> {
    fn in_rust(workspace: &'a Workspace, program: &'a Program) -> Result<Self> {
        let package = workspace.package(program)?;
        Ok(Self {
            name: &program.binary,
            version: &package.version,
            license: &package.license,
            command: program.command,
            binary: release::path(workspace, &program.binary),
            sources: Sources {
                folders: workspace.folders(package),
                documents: program.binary == OPERATOR,
            },
        })
    }

    fn in_go(workspace: &'a Workspace, program: &'a GoProgram) -> Result<Self> {
        Ok(Self {
            name: &program.name,
            version: &program.version,
            license: workspace.license(),
            command: "serve",
            binary: go::build(workspace, program)?,
            sources: Sources {
                folders: [program.folder.as_path()].into(),
                documents: false,
            },
        })
    }
}

fn write_image(
    options: &Options,
    program: &Built<'_>,
    root: &Path,
    base: &Layer,
    out: &Path,
) -> Result<Written> {
    let content = fs::read(&program.binary)
        .with_context(|| format!("{} cannot be read", program.binary.display()))?;
    let layer = Layer::new(&[Entry::file(program.name, &content, 0o755)])?;

    let version = program.version;
    let tag = match (&options.tag, options.unique) {
        (Some(suffix), _) => format!("{version}-{suffix}"),
        (None, true) => format!("{version}-{}", &layer.digest.hex()[..12]),
        (None, false) => version.to_owned(),
    };
    let image = oci::Image {
        name: format!("{REGISTRY}/{}:{tag}", program.name),
        user: format!("{USER}:{USER}"),
        env: vec![
            format!("SSL_CERT_FILE={CA_BUNDLE}"),
            // Huge pages make the allocator of an idle service hold twice the memory.
            "MIMALLOC_ALLOW_THP=0".to_owned(),
        ],
        entrypoint: format!("/{}", program.name),
        command: program.command.to_owned(),
        labels: labels(program, root)?,
        layers: [base, &layer],
    };
    let archive = out.join(program.name).with_extension("tar");
    let digest = image
        .write(&archive)
        .with_context(|| format!("{} cannot be written", archive.display()))?;
    Ok(Written {
        program: program.name.to_owned(),
        tag,
        digest,
        archive,
        size: base.size() + layer.size(),
    })
}

/// The labels of the image specification's annotations. There is no `source`, because the workspace names no repository.
fn labels(program: &Built<'_>, root: &Path) -> Result<BTreeMap<&'static str, String>> {
    let mut labels = BTreeMap::from([
        ("org.opencontainers.image.title", program.name.to_owned()),
        (
            "org.opencontainers.image.version",
            program.version.to_owned(),
        ),
        (
            "org.opencontainers.image.licenses",
            program.license.to_owned(),
        ),
    ]);
    if let Some(revision) = revision::of(&program.sources, root)? {
        labels.insert("org.opencontainers.image.revision", revision);
    }
    Ok(labels)
}

/// What every image shares: names for the user, how hosts are looked up, whom to trust, and a /tmp.
fn base_layer() -> Result<Layer> {
    let certificates = fs::read(CA_BUNDLE).with_context(|| {
        format!(
            "the certificate bundle {CA_BUNDLE} is missing; install the package ca-certificates"
        )
    })?;
    let passwd = format!(
        "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/:/sbin/nologin\n"
    );
    let group = format!("root:x:0:\nnonroot:x:{USER}:\n");
    Layer::new(&[
        Entry::folder("etc", 0o755),
        Entry::file("etc/passwd", passwd.as_bytes(), 0o644),
        Entry::file("etc/group", group.as_bytes(), 0o644),
        Entry::file("etc/nsswitch.conf", b"hosts: files dns\n", 0o644),
        Entry::folder("etc/ssl", 0o755),
        Entry::folder("etc/ssl/certs", 0o755),
        Entry::file(CA_BUNDLE.trim_start_matches('/'), &certificates, 0o644),
        Entry::folder("tmp", 0o1777),
    ])
}
