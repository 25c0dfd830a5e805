//! The index of one replica: made anew from the catalogue at every start, kept fresh by following it.

mod build;
pub(crate) mod follow;
pub(crate) mod freshness;
pub(crate) mod item;
mod lazy_writer;
pub(crate) mod schema;
mod writer;

use std::path::Path;

use anyhow::Context;
use tantivy::directory::MmapDirectory;
use tantivy::{Index, IndexReader, IndexSettings, ReloadPolicy, Searcher};
use uuid::Uuid;

use crate::words;
use schema::Fields;
#[cfg(test)]
pub(crate) use writer::Entry;
use writer::Writer;

/// Blocks of stored products kept uncompressed per segment, 16 KiB each. The default of 100 would cost more memory than a
/// small catalogue itself.
const STORE_BLOCKS: usize = 4;

/// What is searched. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ProductIndex {
    index: Index,
    reader: IndexReader,
    fields: Fields,
}

impl ProductIndex {
    /// An empty index in a new folder within `home`; what an earlier process left there is removed. Files are mapped, not
    /// read: the system may take their pages back, which keeps the memory of a replica small however big the catalogue.
    pub(crate) fn create(home: &Path) -> anyhow::Result<Self> {
        let folder = fresh_folder(home).with_context(|| {
            format!(
                "cannot write to {}; set INDEX_DIR to a folder that can be written",
                home.display()
            )
        })?;
        Self::on(MmapDirectory::open(&folder)?)
    }

    /// An empty index in memory.
    #[cfg(test)]
    pub(crate) fn in_memory() -> anyhow::Result<Self> {
        Self::on(tantivy::directory::RamDirectory::create())
    }

    fn on(directory: impl Into<Box<dyn tantivy::Directory>>) -> anyhow::Result<Self> {
        let (schema, fields) = schema::schema();
        let settings = IndexSettings {
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let index = Index::create(directory, schema, settings)?;
        index
            .tokenizers()
            .register(words::ANALYZER, words::analyzer());
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .doc_store_cache_num_blocks(STORE_BLOCKS)
            .try_into()?;
        Ok(Self {
            index,
            reader,
            fields,
        })
    }

    /// What is searchable now; stays as it is while it is held.
    pub(crate) fn searcher(&self) -> Searcher {
        self.reader.searcher()
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The one writer. Fails while there is another.
    pub(crate) fn writer(&self) -> tantivy::Result<Writer> {
        Writer::new(&self.index, self.reader.clone(), self.fields)
    }
}

const PREFIX: &str = "index-";

fn fresh_folder(home: &Path) -> std::io::Result<std::path::PathBuf> {
    std::fs::create_dir_all(home)?;
    for entry in std::fs::read_dir(home)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    let folder = home.join(format!("{PREFIX}{}", Uuid::now_v7()));
    std::fs::create_dir(&folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_removes_what_an_earlier_process_left() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("lost+found"), "").unwrap();
        drop(ProductIndex::create(home.path()).unwrap());
        drop(ProductIndex::create(home.path()).unwrap());
        let mut names: Vec<_> = std::fs::read_dir(home.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names[0].starts_with(PREFIX) && names[1] == "lost+found");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = ProductIndex::create(file.path()).err().unwrap().to_string();
        assert!(
            error.contains(file.path().to_str().unwrap()) && error.contains("INDEX_DIR"),
            "{error}"
        );
    }
}
