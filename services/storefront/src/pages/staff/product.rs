//! One product: what it is, what it costs, how many there are.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, State as Of};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chassis::client::PeerError;
use iso_currency::Currency;
use secrecy::SecretString;
use serde::Deserialize;

use super::Staff;
use crate::failure::Failure;
use crate::form::Sent;
use crate::guest_cart::is_sku;
use crate::money::{Money, typed};
use crate::notice::Notice;
use crate::pages::{State, go_and_say, page};
use crate::texts::Texts;
use crate::upstream::orders::Stock;
use crate::upstream::search::{Picture, Product, ProductBody};
use crate::upstream::{Service, refusal};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "staff/product.html")]
struct ProductPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'a str,
    fields: &'a Fields,
    /// It is there already.
    is_there: bool,
    /// `None` where orders is away, or there is no product yet.
    stock: Option<Stock>,
    trouble: Option<String>,
}

/// What the form holds, as it was typed.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    sku: String,
    /// At which the form was filled; empty for a product that is to be made.
    version: String,
    title: String,
    description: String,
    brand: String,
    category: String,
    price: String,
    currency: String,
    /// `name: value`, one a line.
    attributes: String,
    /// `address width height what is on it`, one a line.
    pictures: String,
}

impl Fields {
    fn of(product: &Product, texts: &Texts) -> Self {
        let attributes = product.attributes.iter();
        let attributes: Vec<_> = attributes.map(|(k, v)| format!("{k}: {v}")).collect();
        let pictures = product.pictures.iter();
        let pictures: Vec<_> = pictures
            .map(|p| format!("{} {} {} {}", p.url, p.width, p.height, p.alt))
            .collect();
        Self {
            sku: product.sku.clone(),
            version: version_text(product.version),
            title: product.title.clone(),
            description: product.description.clone(),
            brand: product.brand.clone(),
            category: product.category.clone(),
            price: product.price.number(texts),
            currency: product.price.currency.clone(),
            attributes: attributes.join("\n"),
            pictures: pictures.join("\n"),
        }
    }

    /// # Errors
    /// What of it is wrong, in words.
    fn body(&self, t: &Texts) -> Result<ProductBody, &'static str> {
        let currency = Currency::from_code(self.currency.trim()).ok_or(t.wrong_currency)?;
        let amount = typed(&self.price, currency).ok_or(t.not_a_price)?;
        Ok(ProductBody {
            title: self.title.trim().to_owned(),
            // A form ends its lines with two characters.
            description: self.description.trim().replace("\r\n", "\n"),
            brand: self.brand.trim().to_owned(),
            category: self.category.trim().to_owned(),
            price: Money {
                amount,
                currency: currency.code().to_owned(),
            },
            attributes: self.attributes().ok_or(t.wrong_attributes)?,
            pictures: self.pictures().ok_or(t.wrong_pictures)?,
        })
    }

    fn pictures(&self) -> Option<Vec<Picture>> {
        let lines = self.pictures.lines().map(str::trim);
        lines.filter(|line| !line.is_empty()).map(picture).collect()
    }

    fn attributes(&self) -> Option<BTreeMap<String, String>> {
        let lines = self.attributes.lines().map(str::trim);
        let mut attributes = BTreeMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':')?;
            let before = attributes.insert(name.trim().to_owned(), value.trim().to_owned());
            if before.is_some() {
                return None;
            }
        }
        Some(attributes)
    }

    fn is_there(&self) -> bool {
        !self.version.is_empty()
    }
}

impl Stock {
    /// As a form carries it.
    fn version_text(&self) -> String {
        version_text(self.version)
    }
}

fn version_text(version: Option<i64>) -> String {
    version
        .map(|version| version.to_string())
        .unwrap_or_default()
}

/// Of a line of the form.
fn picture(line: &str) -> Option<Picture> {
    let (url, rest) = line.split_once(char::is_whitespace)?;
    let (width, rest) = rest.trim_start().split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let (height, alt) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Some(Picture {
        url: url.to_owned(),
        width: width.parse().ok()?,
        height: height.parse().ok()?,
        alt: alt.trim().to_owned(),
    })
}

pub(super) async fn new(
    Of(state): Of<State>,
    _: Staff,
    visitor: Visitor,
) -> Result<Response, Failure> {
    let fields = Fields {
        currency: state.currency.code().to_owned(),
        ..Fields::default()
    };
    Ok(product_page(&visitor, &fields, None, None))
}

pub(super) async fn edit(
    Of(state): Of<State>,
    _: Staff,
    visitor: Visitor,
    Path(sku): Path<String>,
) -> Result<Response, Failure> {
    let sku = valid(&sku)?;
    let (product, stock) = tokio::join!(state.search.product(sku), state.orders.stock(sku));
    let product = product.map_err(|error| Failure::of(Service::Search, &error))?;
    let fields = Fields::of(&product, visitor.texts);
    Ok(product_page(&visitor, &fields, stock.ok(), None))
}

fn product_page(
    visitor: &Visitor,
    fields: &Fields,
    stock: Option<Stock>,
    trouble: Option<String>,
) -> Response {
    let t = visitor.texts;
    let is_there = fields.is_there();
    page(&ProductPage {
        v: visitor,
        t,
        title: if is_there {
            &fields.title
        } else {
            t.new_product
        },
        fields,
        is_there,
        stock,
        trouble,
    })
}

fn valid(sku: &str) -> Result<&str, Failure> {
    is_sku(sku).then_some(sku).ok_or(Failure::NotFound)
}

pub(super) async fn save(
    Of(state): Of<State>,
    Staff(member): Staff,
    visitor: Visitor,
    Sent(fields): Sent<Fields>,
) -> Result<Response, Failure> {
    let sku = fields.sku.trim();
    let trouble = match keep(&state, &member.token, sku, &fields, visitor.texts).await {
        Ok(()) => return Ok(go_and_say(&format!("/staff/products/{sku}"), Notice::Saved)),
        Err(NotKept::Wrong(trouble)) => trouble,
        Err(NotKept::Failed(failure)) => return Err(failure),
    };
    let stock = match fields.is_there() && is_sku(sku) {
        true => state.orders.stock(sku).await.ok(),
        false => None,
    };
    let shown = product_page(&visitor, &fields, stock, Some(trouble));
    Ok((StatusCode::UNPROCESSABLE_ENTITY, shown).into_response())
}

/// Why a product was not kept.
enum NotKept {
    /// Whoever typed it can mend it, and this is what is wrong.
    Wrong(String),
    Failed(Failure),
}

async fn keep(
    state: &State,
    token: &SecretString,
    sku: &str,
    fields: &Fields,
    t: &Texts,
) -> Result<(), NotKept> {
    let wrong = |trouble: &str| NotKept::Wrong(trouble.to_owned());
    if !is_sku(sku) {
        return Err(wrong(t.wrong_sku));
    }
    let body = fields.body(t).map_err(wrong)?;
    // A version that is none was not sent by a page of ours: it is that of no product.
    let version = match fields.version.as_str() {
        "" => None,
        text => Some(text.parse().unwrap_or(-1)),
    };
    let written = state.search.write(token, sku, &body, version).await;
    written.map(drop).map_err(|error| match refusal(&error) {
        Some((_, "invalid")) => NotKept::Wrong(words(&error)),
        Some((StatusCode::PRECONDITION_FAILED, _)) if fields.is_there() => {
            wrong(t.product_changed_meanwhile)
        }
        Some((StatusCode::PRECONDITION_FAILED, _)) => wrong(t.sku_is_taken),
        Some(_) | None => NotKept::Failed(Failure::of(Service::Search, &error)),
    })
}

/// What search says is wrong with the fields.
fn words(error: &PeerError) -> String {
    let problem = match error {
        PeerError::Status { problem, .. } => problem.as_ref(),
        PeerError::Unreachable { .. } | PeerError::Malformed { .. } => None,
    };
    let errors = problem.iter().flat_map(|problem| &problem.errors);
    let errors: Vec<_> = errors
        .map(|e| format!("{}: {}", e.pointer, e.detail))
        .collect();
    errors.join("; ")
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

pub(super) async fn remove(
    Of(state): Of<State>,
    Staff(member): Staff,
    Path(sku): Path<String>,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<Response, Failure> {
    let removed = state.search.remove(&member.token, valid(&sku)?).await;
    removed.map_err(|error| Failure::of(Service::Search, &error))?;
    Ok(go_and_say("/", Notice::Removed))
}

#[derive(Deserialize)]
pub(super) struct Counted {
    on_hand: u32,
    /// Empty where none was set before.
    #[serde(default)]
    version: String,
}

pub(super) async fn count(
    Of(state): Of<State>,
    Staff(member): Staff,
    Path(sku): Path<String>,
    Sent(Counted { on_hand, version }): Sent<Counted>,
) -> Result<Response, Failure> {
    let sku = valid(&sku)?;
    let version = version.parse().ok();
    let counted = state.orders.count(&member.token, sku, on_hand, version);
    let notice = match counted.await {
        Ok(_) => Notice::Saved,
        Err(error) => match refusal(&error) {
            // Fewer than are held for orders, or more than it counts.
            Some((_, "below_reserved" | "invalid")) => Notice::NotCounted,
            Some((StatusCode::PRECONDITION_FAILED, _)) => Notice::StockChanged,
            Some(_) | None => return Err(Failure::of(Service::Orders, &error)),
        },
    };
    Ok(go_and_say(&format!("/staff/products/{sku}"), notice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::{ENGLISH, GERMAN};

    fn fields() -> Fields {
        Fields {
            sku: "MUG-1".into(),
            title: " Blue Mug ".into(),
            brand: "Nordlys".into(),
            category: "Kitchen".into(),
            price: "19.99".into(),
            currency: "EUR".into(),
            attributes: "colour: blue\n\nmade in: Norway: Oslo".into(),
            pictures: "https://pictures.example/mug.jpg  640 480 A mug on a table\n/mug.svg 1 2"
                .into(),
            ..Fields::default()
        }
    }

    #[test]
    fn what_is_typed_becomes_a_product() {
        let body = fields().body(&ENGLISH).expect("a product");
        assert_eq!((body.title.as_str(), body.price.amount), ("Blue Mug", 1999));
        assert_eq!(body.attributes["made in"], "Norway: Oslo");
        assert_eq!(body.attributes.len(), 2);
        let alts: Vec<_> = body
            .pictures
            .iter()
            .map(|p| (p.width, p.alt.as_str()))
            .collect();
        assert_eq!(alts, [(640, "A mug on a table"), (1, "")]);
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let with = |change: fn(&mut Fields)| {
            let mut fields = fields();
            change(&mut fields);
            fields.body(&GERMAN).err()
        };
        let wrong = with(|f| f.pictures = "/mug.svg wide".into());
        assert_eq!(wrong, Some(GERMAN.wrong_pictures));
        assert_eq!(with(|f| f.price = "cheap".into()), Some(GERMAN.not_a_price));
        assert_eq!(
            with(|f| f.currency = "euro".into()),
            Some(GERMAN.wrong_currency)
        );
        assert_eq!(
            with(|f| f.attributes = "blue".into()),
            Some(GERMAN.wrong_attributes)
        );
        assert_eq!(
            with(|f| f.attributes = "colour: blue\ncolour: red".into()),
            Some(GERMAN.wrong_attributes)
        );
    }
}
