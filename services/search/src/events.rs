//! What this service says.

use chassis::Event;
use schemars::JsonSchema;
use serde::Serialize;

use crate::product::{CurrencyCode, Money, Product};

/// A product was created or changed. Carries the whole offer: only the latest counts.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProductUpserted {
    sku: String,
    title: String,
    brand: String,
    category: String,
    price: Money,
}

impl From<&Product> for ProductUpserted {
    fn from(product: &Product) -> Self {
        Self {
            sku: product.sku.to_string(),
            title: product.body.title.clone(),
            brand: product.body.brand.clone(),
            category: product.body.category.clone(),
            price: product.body.price.clone(),
        }
    }
}

impl Event for ProductUpserted {
    const SERVICE: &'static str = "search";
    const NAME: &'static str = "product.upserted";

    fn examples() -> Vec<Self> {
        vec![Self {
            sku: "LAMP-0001".to_owned(),
            title: "Oak Desk Lamp".to_owned(),
            brand: "Nordlys".to_owned(),
            category: "Lighting".to_owned(),
            price: Money {
                amount: 4990,
                currency: CurrencyCode::stored("EUR".to_owned()),
            },
        }]
    }
}

/// A product is not offered any more.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProductRemoved {
    pub(crate) sku: String,
}

impl Event for ProductRemoved {
    const SERVICE: &'static str = "search";
    const NAME: &'static str = "product.removed";

    fn examples() -> Vec<Self> {
        vec![Self {
            sku: "LAMP-0001".to_owned(),
        }]
    }
}
