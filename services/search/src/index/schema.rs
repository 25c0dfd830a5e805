//! The fields of an indexed product.

use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions,
};

use crate::words::ANALYZER;

/// Names of the columns that the collector reads.
pub(crate) const SKU: &str = "sku";
pub(crate) const BRAND: &str = "brand";
pub(crate) const CATEGORY: &str = "category";
pub(crate) const AMOUNT: &str = "amount";
pub(crate) const CURRENCY: &str = "currency";
pub(crate) const CREATED_AT: &str = "created_at";
pub(crate) const TITLE_WORDS: &str = "title_words";

#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    /// Whole values: to find, to filter, to count and to sort.
    pub(crate) sku: Field,
    pub(crate) brand: Field,
    pub(crate) category: Field,
    pub(crate) amount: Field,
    pub(crate) currency: Field,
    pub(crate) in_stock: Field,
    pub(crate) created_at: Field,
    /// How many words the title has: of two products that match alike the shorter title says more.
    pub(crate) title_words: Field,
    /// Single words, for the query.
    pub(crate) title_text: Field,
    pub(crate) brand_text: Field,
    pub(crate) category_text: Field,
    pub(crate) description_text: Field,
    /// The product as it is shown, in JSON.
    pub(crate) item: Field,
}

pub(crate) fn schema() -> (Schema, Fields) {
    let words = |record| {
        TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer(ANALYZER)
                .set_index_option(record)
                .set_fieldnorms(false),
        )
    };
    // Only the title is asked whether words stand side by side; nothing is asked how often they occur.
    let (placed, plain) = (
        words(IndexRecordOption::WithFreqsAndPositions),
        words(IndexRecordOption::Basic),
    );
    let mut schema = Schema::builder();
    let fields = Fields {
        sku: schema.add_text_field(SKU, STRING | FAST),
        brand: schema.add_text_field(BRAND, STRING | FAST),
        category: schema.add_text_field(CATEGORY, STRING | FAST),
        amount: schema.add_i64_field(AMOUNT, INDEXED | FAST),
        currency: schema.add_text_field(CURRENCY, STRING | FAST),
        in_stock: schema.add_bool_field("in_stock", INDEXED),
        created_at: schema.add_i64_field(CREATED_AT, FAST),
        title_words: schema.add_i64_field(TITLE_WORDS, FAST),
        title_text: schema.add_text_field("title_text", placed),
        brand_text: schema.add_text_field("brand_text", plain.clone()),
        category_text: schema.add_text_field("category_text", plain.clone()),
        description_text: schema.add_text_field("description_text", plain),
        item: schema.add_text_field("item", STORED),
    };
    (schema.build(), fields)
}
