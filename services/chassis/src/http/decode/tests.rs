use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Colour {
    Red,
    Green,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
struct Even(String);

impl TryFrom<String> for Even {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len().is_multiple_of(2) {
            Ok(Self(text))
        } else {
            Err("must have an even number of letters")
        }
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    amount: i64,
    currency: String,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Order {
    id: Uuid,
    price: Option<Price>,
    #[serde(default)]
    quantity: i32,
    #[serde(default)]
    share: Option<f64>,
    #[serde(default)]
    gift: bool,
    #[serde(default)]
    lines: Vec<Price>,
    #[serde(default)]
    colour: Option<Colour>,
    #[serde(default)]
    code: Option<Even>,
    #[serde(default)]
    tags: BTreeMap<String, u8>,
}

const ID: &str = "0192d5a4-7c1e-7b3a-9c55-2f6d1e8a4b01";

/// What is wrong with an order whose `field` is `value`.
fn wrong(field: &str, value: serde_json::Value) -> (String, String) {
    let mut order = json!({ "id": ID });
    order[field] = value;
    refusal(&order.to_string())
}

fn refusal(text: &str) -> (String, String) {
    match from_json::<Order>(text.as_bytes()) {
        Err(DecodeError::Field(error)) => (error.pointer, error.detail),
        other => panic!("{text}: {other:?}"),
    }
}

fn pair(pointer: &str, detail: &str) -> (String, String) {
    (pointer.to_owned(), detail.to_owned())
}

#[test]
fn a_whole_order_is_read() {
    let text = json!({
        "id": ID, "price": {"amount": 5, "currency": "EUR"}, "quantity": -3, "share": 1, "gift": true,
        "lines": [{"amount": 1, "currency": "SEK"}], "colour": "green", "code": "ab", "tags": {"a": 255},
        "unknown": [{}],
    });
    let order: Order = from_json(text.to_string().as_bytes()).unwrap();
    let price = |amount, currency: &str| Price {
        amount,
        currency: currency.to_owned(),
    };
    assert_eq!(
        order,
        Order {
            id: ID.parse().unwrap(),
            price: Some(price(5, "EUR")),
            quantity: -3,
            share: Some(1.0),
            gift: true,
            lines: vec![price(1, "SEK")],
            colour: Some(Colour::Green),
            code: Some(Even("ab".to_owned())),
            tags: BTreeMap::from([("a".to_owned(), 255)]),
        }
    );
}

#[test]
fn a_list_is_no_object_at_any_depth() {
    assert_eq!(
        refusal(&format!("[\"{ID}\"]")),
        pair("", "must be an object")
    );
    assert_eq!(
        wrong("price", json!([5, "EUR"])),
        pair("price", "must be an object")
    );
    assert_eq!(
        wrong("lines", json!([[5, "EUR"]])),
        pair("lines[0]", "must be an object")
    );
}

#[test]
fn each_kind_of_misfit_has_a_plain_sentence_and_a_pointer() {
    for (field, value, pointer, detail) in [
        (
            "id",
            json!("x"),
            "id",
            "must be a UUID such as 0192d5a4-7c1e-7b3a-9c55-2f6d1e8a4b01",
        ),
        ("id", json!(5), "id", "must be a text"),
        ("id", json!(null), "id", "must be a text"),
        ("price", json!("x"), "price", "must be an object"),
        (
            "price",
            json!({"amount": 1}),
            "price.currency",
            "is missing",
        ),
        (
            "price",
            json!({"amount": "1", "currency": "EUR"}),
            "price.amount",
            "must be a whole number",
        ),
        (
            "price",
            json!({"amuont": 1}),
            "price.amuont",
            "is not known here; known are amount, currency",
        ),
        (
            "quantity",
            json!(1.5),
            "quantity",
            "must be a whole number from -2147483648 to 2147483647",
        ),
        (
            "quantity",
            json!(1_u64 << 40),
            "quantity",
            "must be a whole number from -2147483648 to 2147483647",
        ),
        ("share", json!("x"), "share", "must be a number"),
        ("gift", json!("true"), "gift", "must be true or false"),
        ("lines", json!({}), "lines", "must be a list"),
        (
            "lines",
            json!([{"amount": 1, "currency": "EUR"}, 1]),
            "lines[1]",
            "must be an object",
        ),
        (
            "colour",
            json!("blue"),
            "colour",
            "must be one of red, green",
        ),
        (
            "colour",
            json!({"red": 1}),
            "colour",
            "must be one of red, green",
        ),
        (
            "code",
            json!("abc"),
            "code",
            "must have an even number of letters",
        ),
        (
            "tags",
            json!({"a": 256}),
            "tags.a",
            "must be a whole number from 0 to 255",
        ),
        ("tags", json!([]), "tags", "must be an object"),
    ] {
        assert_eq!(
            wrong(field, value.clone()),
            pair(pointer, detail),
            "{field}: {value}"
        );
    }
    assert_eq!(refusal("{}"), pair("id", "is missing"));
    let twice = format!(r#"{{"id": "{ID}", "id": "{ID}"}}"#);
    assert_eq!(refusal(&twice), pair("id", "is given more than once"));
}

#[test]
fn what_is_no_json_is_told_from_what_does_not_fit() {
    for text in ["", " ", "{", "{}}", "nul", "{\"id\": 1e999}", "\u{feff}{}"] {
        let outcome = from_json::<Order>(text.as_bytes());
        assert!(matches!(outcome, Err(DecodeError::Syntax(_))), "{text:?}");
    }
}

#[test]
fn a_whole_number_may_be_written_with_a_point() {
    let quantity = |number: &str| {
        let order = format!(r#"{{"id": "{ID}", "quantity": {number}}}"#);
        from_json::<Order>(order.as_bytes()).map(|order| order.quantity)
    };
    assert_eq!(quantity("31.0").unwrap(), 31);
    assert_eq!(quantity("-3.1e1").unwrap(), -31);
    for wrong in ["31.5", "4294967296.0", "1e300"] {
        assert!(quantity(wrong).is_err(), "{wrong}");
    }
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Filter {
    q: String,
    limit: Option<u8>,
    wait: Option<u64>,
    user_id: Option<Uuid>,
    colour: Option<Colour>,
    gift: Option<bool>,
    brand: Vec<String>,
}

#[test]
fn parameters_are_read_by_what_they_are_meant_as() {
    let filter: Filter =
        from_query("limit=5&q=a%20b&brand=x&brand=y&colour=red&gift=true&other=").unwrap();
    assert_eq!(
        filter,
        Filter {
            q: "a b".to_owned(),
            limit: Some(5),
            wait: None,
            user_id: None,
            colour: Some(Colour::Red),
            gift: Some(true),
            brand: vec!["x".to_owned(), "y".to_owned()],
        }
    );
    assert_eq!(from_query::<Filter>("").unwrap(), Filter::default());
}

#[test]
fn a_parameter_without_a_value_is_refused_whatever_its_type() {
    for name in ["q", "limit", "user_id", "colour", "gift", "brand"] {
        for query in [format!("{name}="), name.to_owned()] {
            let error = from_query::<Filter>(&query).unwrap_err();
            // An item of a list is named with its place.
            assert!(error.pointer.starts_with(name), "{query}: {error:?}");
            assert_eq!(
                error.detail, "must not be empty: leave it out instead",
                "{query}"
            );
        }
    }
}

#[test]
fn a_wrong_parameter_is_named_in_plain_words() {
    for (query, pointer, detail) in [
        ("limit=x", "limit", "must be a whole number from 0 to 255"),
        ("wait=-5", "wait", "must be a whole number, and not below 0"),
        ("limit=1&limit=2", "limit", "is given more than once"),
        ("gift=yes", "gift", "must be true or false"),
        ("colour=blue", "colour", "must be one of red, green"),
        (
            "user_id=1",
            "user_id",
            "must be a UUID such as 0192d5a4-7c1e-7b3a-9c55-2f6d1e8a4b01",
        ),
    ] {
        let error = from_query::<Filter>(query).unwrap_err();
        assert_eq!(
            (error.pointer.as_str(), error.detail.as_str()),
            (pointer, detail)
        );
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[\\[\\]{}\",:a-z0-9. ]{0,60}", query in "\\PC{0,40}") {
        let _ = from_json::<Order>(text.as_bytes());
        let _ = from_query::<Filter>(&query);
    }

    #[test]
    fn objects_are_read_as_serde_json_reads_them(amount: i64, currency in "\\PC{0,5}", share in proptest::option::of(-1e9..1e9_f64)) {
        let text = json!({"id": ID, "price": {"amount": amount, "currency": currency}, "share": share}).to_string();
        let ours = from_json::<Order>(text.as_bytes()).unwrap();
        prop_assert_eq!(ours, serde_json::from_str::<Order>(&text).unwrap());
    }
}
