//! Writing the index: one thread for words, one for merges, and a memory that is given back after each commit.

use tantivy::indexer::IndexWriterOptions;
use tantivy::schema::TantivyDocument;
use tantivy::{Index, IndexReader, IndexWriter, Term};

use super::item::Item;
use super::schema::Fields;
use crate::store::current::{Current, Offered};
use crate::words;

/// Memory for what is not committed yet; the library takes no less.
const HEAP: usize = 15_000_000;

/// A product as it goes into the index.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) item: Item,
    /// Values of attributes, searched like the description.
    pub(crate) also: Vec<String>,
    /// Microseconds since 1970.
    pub(crate) created_at: i64,
}

impl From<Offered> for Entry {
    fn from(offered: Offered) -> Self {
        let Offered { product, in_stock } = offered;
        Self {
            also: product.body.attributes.values().cloned().collect(),
            created_at: (product.created_at.unix_timestamp_nanos() / 1000) as i64,
            item: Item::new(product.sku, product.body, in_stock),
        }
    }
}

pub(crate) struct Writer {
    writer: IndexWriter,
    reader: IndexReader,
    fields: Fields,
}

impl Writer {
    pub(super) fn new(index: &Index, reader: IndexReader, fields: Fields) -> tantivy::Result<Self> {
        let options = IndexWriterOptions::builder()
            .memory_budget_per_thread(HEAP)
            .num_worker_threads(1)
            .num_merge_threads(1)
            .build();
        Ok(Self {
            writer: index.writer_with_options(options)?,
            reader,
            fields,
        })
    }

    /// Forgets everything; searches see it at the next commit.
    pub(crate) fn clear(&mut self) -> tantivy::Result<()> {
        self.writer.delete_all_documents()?;
        Ok(())
    }

    /// Puts products in place of their older selves; searches see it at the next commit.
    pub(crate) fn apply(&mut self, products: Vec<Current>) -> anyhow::Result<()> {
        for product in products {
            match product {
                Current::Removed { sku } => self.remove(&sku),
                Current::Offered(offered) => self.put(&Entry::from(*offered))?,
            }
        }
        Ok(())
    }

    /// Adds products that are not in the index, none twice; searches see it at the next commit.
    pub(crate) fn add(&mut self, products: Vec<Offered>) -> anyhow::Result<()> {
        for product in products {
            self.insert(&Entry::from(product))?;
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, sku: &str) {
        self.writer
            .delete_term(Term::from_field_text(self.fields.sku, sku));
    }

    pub(crate) fn put(&mut self, entry: &Entry) -> anyhow::Result<()> {
        self.remove(&entry.item.sku);
        self.insert(entry)
    }

    fn insert(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let (item, fields) = (&entry.item, &self.fields);
        let mut document = TantivyDocument::new();
        document.add_text(fields.sku, &item.sku);
        document.add_text(fields.brand, &item.brand);
        document.add_text(fields.category, &item.category);
        document.add_i64(fields.amount, item.price.amount);
        document.add_text(fields.currency, item.price.currency.as_str());
        document.add_bool(fields.in_stock, item.in_stock);
        document.add_i64(fields.created_at, entry.created_at);
        document.add_i64(fields.title_words, words::tokens(&item.title).len() as i64);
        document.add_text(fields.title_text, &item.title);
        document.add_text(fields.brand_text, &item.brand);
        document.add_text(fields.category_text, &item.category);
        document.add_text(fields.description_text, &item.description);
        for value in &entry.also {
            document.add_text(fields.description_text, value);
        }
        document.add_text(fields.item, serde_json::to_string(item)?);
        self.writer.add_document(document)?;
        Ok(())
    }

    /// Makes what was written searchable.
    pub(crate) fn commit(&mut self) -> tantivy::Result<()> {
        self.writer.commit()?;
        self.reader.reload()
    }

    /// Ends the writer once the merges that are under way are done, and shows what they made.
    pub(crate) fn finish(self) -> tantivy::Result<()> {
        self.writer.wait_merging_threads()?;
        self.reader.reload()
    }
}
