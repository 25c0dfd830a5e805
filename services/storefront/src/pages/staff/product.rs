//! One product: what it is, what it costs, how many there are.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, State as Of};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chassis::client::PeerError;
use iso_currency::Currency;
use serde::Deserialize;

use super::staff;
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
            description: self.description.trim().to_owned(),
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
        let pairs = lines.filter(|line| !line.is_empty()).map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        });
        pairs.collect()
    }
}

/// Of a line of the form.
fn picture(line: &str) -> Option<Picture> {
    let mut parts = line.splitn(4, ' ');
    Some(Picture {
        url: parts.next()?.to_owned(),
        width: parts.next()?.parse().ok()?,
        height: parts.next()?.parse().ok()?,
        alt: parts.next().unwrap_or_default().trim().to_owned(),
    })
}

pub(super) async fn new(Of(state): Of<State>, visitor: Visitor) -> Result<Response, Failure> {
    staff(&visitor)?;
    let fields = Fields {
        currency: state.currency.code().to_owned(),
        ..Fields::default()
    };
    Ok(product_page(&visitor, &fields, false, None, None))
}

pub(super) async fn edit(
    Of(state): Of<State>,
    visitor: Visitor,
    Path(sku): Path<String>,
) -> Result<Response, Failure> {
    staff(&visitor)?;
    let sku = valid(&sku)?;
    let (product, stock) = tokio::join!(state.search.product(sku), state.orders.stock(sku));
    let product = product.map_err(|error| Failure::of(Service::Search, &error))?;
    let fields = Fields::of(&product, visitor.texts);
    Ok(product_page(&visitor, &fields, true, stock.ok(), None))
}

fn product_page(
    visitor: &Visitor,
    fields: &Fields,
    is_there: bool,
    stock: Option<Stock>,
    trouble: Option<String>,
) -> Response {
    let t = visitor.texts;
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
    visitor: Visitor,
    Sent(fields): Sent<Fields>,
) -> Result<Response, Failure> {
    let member = staff(&visitor)?;
    let t = visitor.texts;
    let wrong = |trouble: String| {
        let shown = product_page(&visitor, &fields, false, None, Some(trouble));
        Ok((StatusCode::UNPROCESSABLE_ENTITY, shown).into_response())
    };
    let sku = fields.sku.trim();
    if !is_sku(sku) {
        return wrong(t.wrong_sku.to_owned());
    }
    let body = match fields.body(t) {
        Ok(body) => body,
        Err(trouble) => return wrong(trouble.to_owned()),
    };
    match state.search.write(&member.token, sku, &body).await {
        Ok(_) => Ok(go_and_say(&format!("/staff/products/{sku}"), Notice::Saved)),
        Err(error) if refusal(&error).is_some_and(|(_, code)| code == "invalid") => {
            wrong(words(&error))
        }
        Err(error) => Err(Failure::of(Service::Search, &error)),
    }
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
    visitor: Visitor,
    Path(sku): Path<String>,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<Response, Failure> {
    let member = staff(&visitor)?;
    let removed = state.search.remove(&member.token, valid(&sku)?).await;
    removed.map_err(|error| Failure::of(Service::Search, &error))?;
    Ok(go_and_say("/", Notice::Removed))
}

#[derive(Deserialize)]
pub(super) struct Counted {
    on_hand: u32,
}

pub(super) async fn count(
    Of(state): Of<State>,
    visitor: Visitor,
    Path(sku): Path<String>,
    Sent(Counted { on_hand }): Sent<Counted>,
) -> Result<Response, Failure> {
    let member = staff(&visitor)?;
    let sku = valid(&sku)?;
    let notice = match state.orders.count(&member.token, sku, on_hand).await {
        Ok(_) => Notice::Saved,
        // Fewer than are held for orders, or more than it counts.
        Err(error) if refusal(&error).is_some() => Notice::NotCounted,
        Err(error) => return Err(Failure::of(Service::Orders, &error)),
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
            pictures: "https://pictures.example/mug.jpg 640 480 A mug on a table\n/mug.svg 1 2"
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
    }
}
