//! The seed catalogue: plausible products, made up here from word lists, the same at every run.

use serde::Serialize;
use serde_json::{Value, json};

/// One line of an import.
#[derive(Debug, Clone, Serialize)]
pub struct Product {
    pub sku: String,
    pub title: String,
    pub description: String,
    pub brand: &'static str,
    pub category: &'static str,
    pub price: Value,
    pub attributes: Value,
    pub pictures: Value,
}

struct Kind {
    category: &'static str,
    code: &'static str,
    /// What is sold.
    nouns: &'static [&'static str],
    /// What it is made of, or how it works.
    materials: &'static [&'static str],
    /// What one does with it.
    uses: &'static [&'static str],
    brands: &'static [&'static str],
    /// In whole euros, lowest and highest.
    prices: (i64, i64),
}

const QUALITIES: [&str; 10] = [
    "Classic", "Compact", "Everyday", "Light", "Large", "Small", "Quiet", "Folding", "Sturdy",
    "Slim",
];
const COLOURS: [&str; 8] = [
    "black",
    "white",
    "sand",
    "forest green",
    "navy",
    "red",
    "grey",
    "copper",
];

const KINDS: [Kind; 10] = [
    Kind {
        category: "Coffee & Tea",
        code: "COF",
        nouns: &[
            "Coffee Grinder",
            "Coffee Maker",
            "Espresso Cup",
            "Teapot",
            "Kettle",
            "Milk Frother",
        ],
        materials: &["steel", "ceramic", "glass", "enamel"],
        uses: &[
            "a slow morning",
            "the office kitchen",
            "two cups at a time",
            "camping",
        ],
        brands: &["Morrow", "Halden", "Kettleby"],
        prices: (9, 190),
    },
    Kind {
        category: "Kitchen",
        code: "KIT",
        nouns: &[
            "Frying Pan",
            "Chef's Knife",
            "Cutting Board",
            "Mixing Bowl",
            "Saucepan",
            "Baking Tray",
        ],
        materials: &["cast iron", "carbon steel", "beech wood", "stoneware"],
        uses: &[
            "daily cooking",
            "bread and cakes",
            "gas and induction",
            "small kitchens",
        ],
        brands: &["Halden", "Tamsin", "Oakridge"],
        prices: (8, 160),
    },
    Kind {
        category: "Books",
        code: "BOK",
        nouns: &[
            "Notebook",
            "Cookbook",
            "Atlas",
            "Field Guide",
            "Sketchbook",
            "Diary",
        ],
        materials: &["linen-bound", "paperback", "spiral-bound", "hardcover"],
        uses: &[
            "quiet evenings",
            "long journeys",
            "a desk that is tidy",
            "children from eight",
        ],
        brands: &["Paperfold", "Larkspur", "Quayside"],
        prices: (5, 60),
    },
    Kind {
        category: "Bicycles",
        code: "BIC",
        nouns: &[
            "Bicycle Bell",
            "Bike Light",
            "Pannier",
            "Saddle",
            "Floor Pump",
            "Bike Lock",
        ],
        materials: &["aluminium", "brass", "leather", "recycled nylon"],
        uses: &["commuting", "wet roads", "touring", "night rides"],
        brands: &["Veloria", "Northwheel", "Cadence"],
        prices: (7, 140),
    },
    Kind {
        category: "Garden",
        code: "GAR",
        nouns: &[
            "Watering Can",
            "Pruning Shears",
            "Plant Pot",
            "Garden Hose",
            "Hand Trowel",
            "Bird Feeder",
        ],
        materials: &["zinc", "terracotta", "ash wood", "steel"],
        uses: &["balconies", "raised beds", "roses", "dry summers"],
        brands: &["Greenhow", "Oakridge", "Fernside"],
        prices: (6, 110),
    },
    Kind {
        category: "Audio",
        code: "AUD",
        nouns: &[
            "Headphones",
            "Speaker",
            "Turntable",
            "Microphone",
            "Radio",
            "Earbuds",
        ],
        materials: &["walnut", "aluminium", "wireless", "closed-back"],
        uses: &[
            "home listening",
            "recording",
            "the train",
            "the kitchen shelf",
        ],
        brands: &["Sonder", "Bellwether", "Cadence"],
        prices: (19, 480),
    },
    Kind {
        category: "Lighting",
        code: "LIG",
        nouns: &[
            "Desk Lamp",
            "Floor Lamp",
            "Lantern",
            "Pendant Light",
            "Night Light",
            "String Lights",
        ],
        materials: &["paper", "brass", "opal glass", "oak"],
        uses: &["reading", "a warm hall", "the terrace", "small rooms"],
        brands: &["Lumen & Co", "Halden", "Fernside"],
        prices: (12, 260),
    },
    Kind {
        category: "Outdoor",
        code: "OUT",
        nouns: &[
            "Tent",
            "Sleeping Bag",
            "Backpack",
            "Camping Stove",
            "Water Bottle",
            "Hammock",
        ],
        materials: &["ripstop", "down", "titanium", "waxed canvas"],
        uses: &["two people", "cold nights", "weekend walks", "fast packing"],
        brands: &["Northwheel", "Skarn", "Fellway"],
        prices: (11, 420),
    },
    Kind {
        category: "Toys",
        code: "TOY",
        nouns: &[
            "Building Blocks",
            "Puzzle",
            "Wooden Train",
            "Kite",
            "Board Game",
            "Spinning Top",
        ],
        materials: &["beech wood", "cardboard", "cotton", "maple"],
        uses: &[
            "rainy days",
            "three to six years",
            "the whole family",
            "windy beaches",
        ],
        brands: &["Pennywhistle", "Larkspur", "Tumbletown"],
        prices: (6, 90),
    },
    Kind {
        category: "Home",
        code: "HOM",
        nouns: &[
            "Wool Blanket",
            "Cushion",
            "Laundry Basket",
            "Wall Clock",
            "Doormat",
            "Bath Towel",
        ],
        materials: &["wool", "linen", "willow", "organic cotton"],
        uses: &["the sofa", "guests", "a narrow hall", "every day"],
        brands: &["Tamsin", "Quayside", "Fellway"],
        prices: (9, 180),
    },
];

/// `count` products, at least one of every kind; product `n` is the same whatever the count.
pub fn products(count: usize) -> Vec<Product> {
    (0..count).map(product).collect()
}

/// The stock that product `n` starts with.
pub fn stock(n: usize) -> u32 {
    // Every 23rd is sold out, so that the filter has something to hide.
    if n % 23 == 22 {
        0
    } else {
        20 + (mix(n, 9) % 180) as u32
    }
}

fn product(n: usize) -> Product {
    let kind = &KINDS[n % KINDS.len()];
    let noun = pick(kind.nouns, n, 1);
    let material = pick(kind.materials, n, 2);
    let quality = pick(&QUALITIES, n, 3);
    let colour = pick(&COLOURS, n, 4);
    let brand = pick(kind.brands, n, 5);
    let purpose = pick(kind.uses, n, 6);
    let (low, high) = kind.prices;
    let euros = low + (mix(n, 7) % (high - low + 1).unsigned_abs()).cast_signed();
    let sku = format!("{}-{:04}", kind.code, n + 1);
    Product {
        title: format!("{quality} {noun}, {material}, {colour}"),
        description: format!(
            "{quality} {} of {material}, made for {purpose}. Colour: {colour}. Comes with a two-year warranty from {brand}.",
            noun.to_lowercase(),
        ),
        brand,
        category: kind.category,
        price: json!({ "amount": euros * 100 + 90, "currency": "EUR" }),
        attributes: json!({ "material": material, "colour": colour }),
        pictures: json!([{
            // The storefront draws it.
            "url": format!("/pictures/{sku}?category={}", percent(kind.category)),
            "width": 320,
            "height": 240,
            "alt": format!("A drawing of a {colour} {}", noun.to_lowercase()),
        }]),
        sku,
    }
}

/// The categories have blanks and ampersands.
fn percent(text: &str) -> String {
    text.replace('&', "%26").replace(' ', "+")
}

fn pick<'a>(words: &[&'a str], n: usize, salt: u64) -> &'a str {
    words[(mix(n, salt) % words.len() as u64) as usize]
}

/// SplitMix64: enough mixing to look unordered, and the same everywhere.
fn mix(n: usize, salt: u64) -> u64 {
    let mut z =
        (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt.wrapping_mul(0xD1B5_4A32_D192_ED03);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn skus_are_unique_titles_mostly_and_every_kind_is_there() {
        let products = products(1200);
        let skus: HashSet<_> = products.iter().map(|p| &p.sku).collect();
        let titles: HashSet<_> = products.iter().map(|p| &p.title).collect();
        let kinds: HashSet<_> = products.iter().map(|p| p.category).collect();
        assert_eq!((skus.len(), kinds.len()), (1200, KINDS.len()));
        assert!(titles.len() > 1000, "{} different titles", titles.len());
        assert!((0..1200).any(|n| stock(n) == 0));
    }
}
