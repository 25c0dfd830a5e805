use super::*;

fn line(sku: &str, quantity: i32, amount: i64) -> CartLine {
    CartLine {
        offer: Offer {
            sku: sku.parse().unwrap(),
            title: sku.to_owned(),
            price: Money::new(amount, Currency::EUR),
            removed: false,
        },
        quantity,
        available: 5,
    }
}

fn contents(lines: &[CartLine]) -> Contents {
    Contents {
        version: 7,
        lines: lines.to_vec(),
    }
}

fn removed(mut line: CartLine) -> CartLine {
    line.offer.removed = true;
    line
}

fn in_dollars(mut line: CartLine) -> CartLine {
    line.offer.price.currency = Currency::USD;
    line
}

#[test]
fn a_cart_takes_fifty_lines_of_one_currency_that_are_sold() {
    let full: Vec<_> = (0..50).map(|n| line(&format!("sku-{n}"), 1, 100)).collect();
    let offer = |line: CartLine| line.offer;
    assert_eq!(admits(&full, &offer(line("sku-7", 1, 100))), Ok(()));
    assert_eq!(
        admits(&full, &offer(line("new", 1, 100))),
        Err(NotAdmitted::CartFull)
    );
    assert_eq!(admits(&full[1..], &offer(line("new", 1, 100))), Ok(()));
    assert_eq!(
        admits(&[], &offer(removed(line("a", 1, 1)))),
        Err(NotAdmitted::Removed)
    );
    let dollars = offer(in_dollars(line("b", 1, 1)));
    assert_eq!(
        admits(&[line("a", 1, 1)], &dollars),
        Err(NotAdmitted::OtherCurrency(Currency::EUR))
    );
    assert_eq!(admits(&[removed(line("a", 1, 1))], &dollars), Ok(()));
    assert_eq!(admits(&[line("b", 1, 1)], &dollars), Ok(()));
}

#[test]
fn a_cart_adds_up_what_is_still_sold() {
    let lines = vec![
        line("a", 2, 150),
        removed(line("b", 1, 9000)),
        line("c", 1, 1),
    ];
    let cart = Cart::priced(contents(&lines)).unwrap();
    assert_eq!(cart.total, Some(Money::new(301, Currency::EUR)));
    assert_eq!(cart.items[0].line_total, Money::new(300, Currency::EUR));
    assert_eq!(Cart::priced(contents(&[])).unwrap().total, None);
}

#[test]
fn only_a_cart_that_is_sold_whole_in_one_currency_is_ordered() {
    assert_eq!(total(&[line("a", 3, 5)]), Ok(Money::new(15, Currency::EUR)));
    assert_eq!(total(&[]), Err(Refusal::CartEmpty));
    assert_eq!(
        total(&[line("a", 1, 5), removed(line("b", 1, 5))]),
        Err(Refusal::Removed(vec!["b".parse().unwrap()]))
    );
    assert_eq!(
        total(&[line("a", 1, 5), in_dollars(line("b", 1, 5))]),
        Err(Refusal::Money(MoneyError::MixedCurrencies(
            Currency::EUR,
            Currency::USD
        )))
    );
    assert_eq!(
        total(&[line("a", 99, i64::MAX / 2)]),
        Err(Refusal::Money(MoneyError::TooLarge))
    );
}

#[test]
fn only_the_cart_that_the_buyer_saw_is_ordered() {
    let now = contents(&[line("a", 3, 5)]);
    let order = |cart_version, amount| {
        let total = Money::new(amount, Currency::EUR);
        let expected = Expected {
            cart_version,
            total,
        };
        match total_to_order(&now, expected) {
            Ok(_) => "ordered",
            Err(Refusal::CartChanged(said, cart)) => {
                assert_eq!((said, cart.version), (expected, 7));
                "cart changed"
            }
            Err(Refusal::PriceChanged(said, cart)) => {
                assert_eq!((said, cart.total.unwrap().amount), (expected, 15));
                "price changed"
            }
            Err(other) => panic!("{other:?}"),
        }
    };
    assert_eq!(order(7, 15), "ordered");
    assert_eq!(order(7, 14), "price changed");
    assert_eq!(order(7, 16), "price changed", "a lower price too");
    assert_eq!(order(6, 15), "cart changed", "whatever it costs");
    assert_eq!(order(6, 14), "cart changed");
}

#[test]
fn the_same_amount_of_another_currency_is_another_price() {
    let expected = Expected {
        cart_version: 7,
        total: Money::new(15, Currency::USD),
    };
    let refused = total_to_order(&contents(&[line("a", 3, 5)]), expected);
    assert!(matches!(refused, Err(Refusal::PriceChanged(..))));
}

#[test]
fn what_comes_back_is_what_is_sold_and_fits_and_was_not_put_in_again() {
    let back = |cart: &[CartLine], ordered: &[CartLine]| -> Vec<(String, i32)> {
        to_put_back(cart.to_vec(), ordered.to_vec())
            .into_iter()
            .map(|line| (line.offer.sku.to_string(), line.quantity))
            .collect()
    };
    let ordered = [line("a", 2, 1), removed(line("b", 1, 1)), line("c", 3, 1)];
    let named = |lines: &[(&str, i32)]| -> Vec<(String, i32)> {
        lines.iter().map(|(s, n)| ((*s).to_owned(), *n)).collect()
    };
    assert_eq!(back(&[], &ordered), named(&[("a", 2), ("c", 3)]));
    assert_eq!(back(&[line("a", 9, 1)], &ordered), named(&[("c", 3)]));
    assert_eq!(back(&[in_dollars(line("d", 1, 1))], &ordered), named(&[]));
    let almost_full: Vec<_> = (0..49).map(|n| line(&format!("sku-{n}"), 1, 1)).collect();
    assert_eq!(back(&almost_full, &ordered), named(&[("a", 2)]));
}

#[test]
fn only_what_payments_takes_is_ordered() {
    let most = Money::new(9_999_999_999, Currency::EUR);
    assert_eq!(total(&[line("a", 1, most.amount)]), Ok(most));
    assert_eq!(
        total(&[line("a", 1, most.amount), line("b", 1, 1)]),
        Err(Refusal::Money(MoneyError::TooLarge))
    );
    let nothing = Money::new(0, Currency::EUR);
    assert_eq!(total(&[line("a", 9, 0)]), Err(Refusal::NotPayable(nothing)));
    let mut gold = line("a", 1, 5);
    gold.offer.price.currency = Currency::XAU;
    let price = gold.offer.price;
    assert_eq!(total(&[gold]), Err(Refusal::NotPayable(price)));
}

#[test]
fn every_line_that_cannot_be_filled_is_named() {
    let lines = [line("a", 2, 1), line("b", 1, 1), line("c", 5, 1)];
    let short = shortages(&lines, |sku| if sku.as_str() == "a" { 2 } else { 0 });
    let named: Vec<_> = short
        .iter()
        .map(|s| (s.sku.as_str(), s.wanted, s.available))
        .collect();
    assert_eq!(named, [("b", 1, 0), ("c", 5, 0)]);
}
