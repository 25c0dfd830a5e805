//! OCI images written by hand: layers, configuration and manifest are a few lines of JSON and tar (OCI image specification 1.1).
//! The same content gives the same digests on every machine: no time, no user name and no order of a file system gets in.

use std::{collections::BTreeMap, fmt, fs::File, io::Write, path::Path};

use anyhow::{Context, Result};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

/// The time of everything in an image.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// SHA-256 of a blob, printed as `sha256:<hex>`.
#[derive(Clone)]
pub(crate) struct Digest(String);

impl Digest {
    fn of(content: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(content)))
    }

    pub(crate) fn hex(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

/// A file or folder of a layer, owned by root.
pub(crate) struct Entry<'a> {
    path: &'a str,
    kind: EntryType,
    content: &'a [u8],
    mode: u32,
}

impl<'a> Entry<'a> {
    pub(crate) fn file(path: &'a str, content: &'a [u8], mode: u32) -> Self {
        Self {
            path,
            kind: EntryType::Regular,
            content,
            mode,
        }
    }

    pub(crate) fn folder(path: &'a str, mode: u32) -> Self {
        Self {
            path,
            kind: EntryType::Directory,
            content: &[],
            mode,
        }
    }
}

/// A compressed layer.
pub(crate) struct Layer {
    pub(crate) digest: Digest,
    /// Digest of the tar before compression.
    diff_id: Digest,
    blob: Vec<u8>,
}

impl Layer {
    pub(crate) fn new(entries: &[Entry<'_>]) -> Result<Self> {
        let tar = tar_of(entries)?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&tar)?;
        let blob = gzip.finish()?;
        Ok(Self {
            digest: Digest::of(&blob),
            diff_id: Digest::of(&tar),
            blob,
        })
    }

    /// Compressed size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.blob.len()
    }
}

/// An image and the name it gets where it is loaded.
pub(crate) struct Image<'a> {
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) env: Vec<String>,
    pub(crate) entrypoint: String,
    pub(crate) command: String,
    pub(crate) labels: BTreeMap<&'static str, String>,
    pub(crate) layers: [&'a Layer; 2],
}

impl Image<'_> {
    /// Writes the image as an OCI layout in one tar archive, as `kind load image-archive` and `ctr images import` take it,
    /// and returns the digest of its manifest.
    pub(crate) fn write(&self, archive: &Path) -> Result<Digest> {
        let config = serde_json::to_vec(&self.config())?;
        let manifest = serde_json::to_vec(&self.manifest(&config))?;
        let index = serde_json::to_vec(&self.index(&manifest))?;
        let blob = |content: &[u8]| format!("blobs/sha256/{}", Digest::of(content).hex());
        let (config_path, manifest_path) = (blob(&config), blob(&manifest));
        let layer_paths = self
            .layers
            .map(|layer| format!("blobs/sha256/{}", layer.digest.hex()));

        let mut entries = vec![
            Entry::file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644),
            Entry::file("index.json", &index, 0o644),
            Entry::file(&config_path, &config, 0o644),
            Entry::file(&manifest_path, &manifest, 0o644),
        ];
        for (path, layer) in layer_paths.iter().zip(self.layers) {
            entries.push(Entry::file(path, &layer.blob, 0o644));
        }

        // Under a temporary name first: an interrupted run must not leave half an archive.
        let unfinished = archive.with_extension("tar.new");
        File::create(&unfinished)?.write_all(&tar_of(&entries)?)?;
        std::fs::rename(&unfinished, archive)?;
        Ok(Digest::of(&manifest))
    }

    fn config(&self) -> Value {
        json!({
            "created": CREATED,
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "User": self.user,
                "Env": self.env,
                "Entrypoint": [self.entrypoint],
                "Cmd": [self.command],
                "WorkingDir": "/",
                "Labels": self.labels,
            },
            "rootfs": {
                "type": "layers",
                "diff_ids": self.layers.map(|layer| layer.diff_id.to_string()),
            },
            "history": self.layers.map(|_| json!({"created": CREATED, "created_by": "cargo xtask images"})),
        })
    }

    fn manifest(&self, config: &[u8]) -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": Digest::of(config).to_string(),
                "size": config.len(),
            },
            "layers": self.layers.map(|layer| json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": layer.digest.to_string(),
                "size": layer.size(),
            })),
        })
    }

    fn index(&self, manifest: &[u8]) -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": Digest::of(manifest).to_string(),
                "size": manifest.len(),
                "platform": {"architecture": "amd64", "os": "linux"},
                "annotations": {"io.containerd.image.name": self.name},
            }],
        })
    }
}

fn tar_of(entries: &[Entry<'_>]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(entry.kind);
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(entry.content.len() as u64);
        tar.append_data(&mut header, entry.path, entry.content)
            .with_context(|| format!("{} does not fit into a tar archive", entry.path))?;
    }
    Ok(tar.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(content: &[u8]) -> Layer {
        Layer::new(&[
            Entry::folder("etc", 0o755),
            Entry::file("etc/x", content, 0o644),
        ])
        .unwrap()
    }

    #[test]
    fn digests_follow_the_content_alone() {
        assert_eq!(layer(b"one").digest.hex(), layer(b"one").digest.hex());
        assert_ne!(layer(b"one").digest.hex(), layer(b"two").digest.hex());
        assert_eq!(
            Digest::of(b"").to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn every_blob_lies_under_its_own_digest_and_is_reached_from_the_index() {
        let (base, binary) = (layer(b"base"), layer(b"binary"));
        let image = Image {
            name: "localhost/shopkeeper/search:0.1.0".to_owned(),
            user: "65532:65532".to_owned(),
            env: vec![],
            entrypoint: "/search".to_owned(),
            command: "serve".to_owned(),
            labels: BTreeMap::from([("org.opencontainers.image.version", "0.1.0".to_owned())]),
            layers: [&base, &binary],
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("search.tar");
        let digest = image.write(&path).unwrap();

        let mut files = std::collections::HashMap::new();
        let mut archive = tar::Archive::new(File::open(&path).unwrap());
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            files.insert(name, content);
        }
        let blob = |digest: &Value| {
            let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
            let content = &files[&format!("blobs/sha256/{hex}")];
            assert_eq!(Digest::of(content).hex(), hex);
            content
        };
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let entry = &index["manifests"][0];
        assert_eq!(
            entry["annotations"]["io.containerd.image.name"],
            image.name.as_str()
        );
        assert_eq!(entry["digest"], digest.to_string());
        let manifest: Value = serde_json::from_slice(blob(&entry["digest"])).unwrap();
        let config: Value = serde_json::from_slice(blob(&manifest["config"]["digest"])).unwrap();
        assert_eq!(config["config"]["Entrypoint"], json!(["/search"]));
        assert_eq!(
            config["config"]["Labels"],
            json!({"org.opencontainers.image.version": "0.1.0"})
        );
        for layer in manifest["layers"].as_array().unwrap() {
            assert_eq!(layer["size"], blob(&layer["digest"]).len());
        }
        assert_eq!(files.len(), 6);
    }
}
