//! What the index keeps of a product, to be shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::picture::Picture;
use crate::product::{Money, ProductBody, Sku};

/// A product as a search shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Item {
    #[schema(value_type = Sku)]
    pub(crate) sku: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) brand: String,
    pub(crate) category: String,
    pub(crate) price: Money,
    pub(crate) in_stock: bool,
    /// The first one, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) picture: Option<Picture>,
}

impl Item {
    pub(crate) fn new(sku: String, body: ProductBody, in_stock: bool) -> Self {
        Self {
            sku,
            title: body.title,
            description: body.description,
            brand: body.brand,
            category: body.category,
            price: body.price,
            in_stock,
            picture: body.pictures.into_iter().next(),
        }
    }
}
