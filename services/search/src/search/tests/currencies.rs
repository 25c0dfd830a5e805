//! Amounts are compared within one currency only.

use super::*;

fn priced(sku: &str, amount: i64, currency: &str) -> Entry {
    with(product(sku, "Desk Lamp"), |item| {
        item.price = Money {
            amount,
            currency: CurrencyCode::stored(currency.to_owned()),
        };
    })
}

fn sorted(index: &ProductIndex, change: impl FnOnce(&mut Request)) -> Result<Vec<String>, String> {
    let mut request = request("lamp");
    change(&mut request);
    match run(index, &request, &cutoff().0) {
        Ok(page) => Ok(skus(&page).into_iter().map(str::to_owned).collect()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn prices_of_several_currencies_are_neither_sorted_nor_filtered_together() {
    let index = index(&[
        priced("e-5", 500, "EUR"),
        priced("j-3", 300, "JPY"),
        priced("e-1", 100, "EUR"),
    ]);
    assert_eq!(
        sorted(&index, |_| {}).unwrap().len(),
        3,
        "nothing is compared"
    );
    let mixed = Err("the products found have prices in EUR, JPY".to_owned());
    assert_eq!(sorted(&index, |r| r.sort = Sort::Price), mixed);
    assert_eq!(sorted(&index, |r| r.sort = Sort::PriceDescending), mixed);
    assert_eq!(sorted(&index, |r| r.min_price = Some(200)), mixed);
    assert_eq!(
        sorted(&index, |r| r.max_price = Some(200)),
        Ok(vec!["e-1".to_owned()]),
        "all that is found is in one currency"
    );
    let in_euro = |request: &mut Request| {
        request.sort = Sort::PriceDescending;
        request.currency = Some("EUR".to_owned());
    };
    assert_eq!(sorted(&index, in_euro).unwrap(), ["e-5", "e-1"]);
    let in_yen = |request: &mut Request| {
        request.min_price = Some(200);
        request.currency = Some("JPY".to_owned());
    };
    assert_eq!(sorted(&index, in_yen).unwrap(), ["j-3"]);
}
