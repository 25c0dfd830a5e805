//! The events that search publishes.

use chassis::Event;
use schemars::JsonSchema;
use serde::Serialize;

use crate::product::{CurrencyCode, Money, Product, Sku};

/// A product was created or changed. Carries the whole offer: only the latest counts.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProductUpserted {
    sku: Sku,
    title: String,
    brand: String,
    category: String,
    price: Money,
}

impl From<&Product> for ProductUpserted {
    fn from(product: &Product) -> Self {
        Self {
            sku: product.sku.clone(),
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
            sku: example_sku(),
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
    pub(crate) sku: Sku,
}

impl Event for ProductRemoved {
    const SERVICE: &'static str = "search";
    const NAME: &'static str = "product.removed";

    fn examples() -> Vec<Self> {
        vec![Self { sku: example_sku() }]
    }
}

fn example_sku() -> Sku {
    Sku::parse("LAMP-0001").expect("a plain sku")
}
