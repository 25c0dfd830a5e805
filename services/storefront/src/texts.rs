//! All words of the pages, in each language. A word that a language lacks does not compile.

mod english;
mod german;

pub(crate) use english::ENGLISH;
pub(crate) use german::GERMAN;

/// The words of one language. Braces hold what is put in: `{count}`.
#[derive(Debug)]
pub(crate) struct Texts {
    /// BCP 47
    pub(crate) code: &'static str,
    pub(crate) name: &'static str,
    pub(crate) decimal: char,
    pub(crate) thousands: char,
    /// `€19.99` and not `19.99 €`.
    pub(crate) symbol_first: bool,
    pub(crate) after_day: &'static str,
    pub(crate) months: [&'static str; 12],

    pub(crate) shop: &'static str,
    pub(crate) skip: &'static str,
    pub(crate) menu: &'static str,
    pub(crate) language: &'static str,
    pub(crate) cart: &'static str,
    pub(crate) orders: &'static str,
    pub(crate) log_in: &'static str,
    pub(crate) log_out: &'static str,
    pub(crate) log_out_everywhere: &'static str,
    pub(crate) product_changed_meanwhile: &'static str,
    pub(crate) sku_is_taken: &'static str,
    pub(crate) stock_changed: &'static str,
    pub(crate) logged_out_everywhere: &'static str,
    pub(crate) register: &'static str,
    pub(crate) footer: &'static str,

    pub(crate) search: &'static str,
    pub(crate) search_hint: &'static str,
    pub(crate) filters: &'static str,
    pub(crate) category: &'static str,
    pub(crate) brand: &'static str,
    pub(crate) price: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    pub(crate) only_in_stock: &'static str,
    pub(crate) sort: &'static str,
    pub(crate) by_relevance: &'static str,
    pub(crate) by_price: &'static str,
    pub(crate) by_price_down: &'static str,
    pub(crate) by_newest: &'static str,
    pub(crate) apply: &'static str,
    pub(crate) clear: &'static str,
    pub(crate) products: &'static str,
    pub(crate) one_product: &'static str,
    pub(crate) no_products: &'static str,
    pub(crate) partial: &'static str,
    pub(crate) more: &'static str,
    pub(crate) wrong_price: &'static str,
    pub(crate) in_stock: &'static str,
    pub(crate) sold_out: &'static str,
    pub(crate) units_left: &'static str,
    pub(crate) stock_unknown: &'static str,
    pub(crate) back_to_search: &'static str,
    pub(crate) details: &'static str,
    pub(crate) article: &'static str,
    pub(crate) quantity: &'static str,
    pub(crate) add_to_cart: &'static str,

    pub(crate) cart_empty: &'static str,
    pub(crate) each: &'static str,
    pub(crate) total: &'static str,
    pub(crate) change: &'static str,
    pub(crate) take_out: &'static str,
    pub(crate) not_sold_any_more: &'static str,
    pub(crate) not_looked_up: &'static str,
    pub(crate) only_so_many: &'static str,
    pub(crate) check_out: &'static str,
    pub(crate) check_out_after_log_in: &'static str,
    pub(crate) price_unknown: &'static str,
    pub(crate) no_total: &'static str,

    pub(crate) email: &'static str,
    pub(crate) password: &'static str,
    pub(crate) password_hint: &'static str,
    pub(crate) your_name: &'static str,
    pub(crate) no_account: &'static str,
    pub(crate) have_account: &'static str,
    pub(crate) wrong_credentials: &'static str,
    pub(crate) email_taken: &'static str,
    pub(crate) too_often: &'static str,
    pub(crate) look_again: &'static str,

    pub(crate) pay_with: &'static str,
    pub(crate) test_cards: &'static str,
    pub(crate) card_good: &'static str,
    pub(crate) card_declined: &'static str,
    pub(crate) card_slow: &'static str,
    pub(crate) card_unclear: &'static str,
    pub(crate) pay: &'static str,
    pub(crate) back_to_cart: &'static str,
    pub(crate) order_changed: &'static str,
    pub(crate) order_changed_from: &'static str,
    pub(crate) not_enough: &'static str,
    pub(crate) too_many_unpaid: &'static str,

    pub(crate) order: &'static str,
    pub(crate) placed: &'static str,
    pub(crate) state: &'static str,
    pub(crate) state_pending: &'static str,
    pub(crate) state_confirmed: &'static str,
    pub(crate) state_paid: &'static str,
    pub(crate) state_cancelled: &'static str,
    pub(crate) reason_declined: &'static str,
    pub(crate) reason_refused: &'static str,
    pub(crate) reason_timed_out: &'static str,
    pub(crate) back_in_cart: &'static str,
    pub(crate) refunded: &'static str,
    pub(crate) give_back: &'static str,
    pub(crate) amount: &'static str,
    pub(crate) at_most: &'static str,
    pub(crate) not_an_amount: &'static str,
    pub(crate) given_back: &'static str,
    pub(crate) refund_taken: &'static str,
    pub(crate) refund_too_large: &'static str,
    pub(crate) refund_too_old: &'static str,
    pub(crate) refund_busy: &'static str,
    pub(crate) refund_refused: &'static str,
    pub(crate) refund_not_paid: &'static str,
    pub(crate) refund_sent_before: &'static str,
    pub(crate) refund_unknown: &'static str,
    pub(crate) no_orders: &'static str,
    pub(crate) story: &'static str,
    pub(crate) story_empty: &'static str,
    pub(crate) attempt: &'static str,
    pub(crate) trace: &'static str,
    pub(crate) logs: &'static str,

    pub(crate) added_to_cart: &'static str,
    pub(crate) cart_changed: &'static str,
    pub(crate) cart_full: &'static str,
    pub(crate) not_sold: &'static str,
    pub(crate) mixed_currencies: &'static str,
    pub(crate) logged_in: &'static str,
    pub(crate) logged_out: &'static str,
    pub(crate) registered: &'static str,
    pub(crate) cart_merged: &'static str,
    pub(crate) cart_merged_in_part: &'static str,
    pub(crate) cart_not_merged: &'static str,

    pub(crate) staff: &'static str,
    pub(crate) all_orders: &'static str,
    pub(crate) all: &'static str,
    pub(crate) buyer: &'static str,
    pub(crate) order_number: &'static str,
    pub(crate) new_product: &'static str,
    pub(crate) edit: &'static str,
    pub(crate) save: &'static str,
    pub(crate) remove: &'static str,
    pub(crate) title_field: &'static str,
    pub(crate) description: &'static str,
    pub(crate) currency: &'static str,
    pub(crate) attributes: &'static str,
    pub(crate) attributes_hint: &'static str,
    pub(crate) stock: &'static str,
    pub(crate) on_hand: &'static str,
    pub(crate) reserved: &'static str,
    pub(crate) available: &'static str,
    pub(crate) count: &'static str,
    pub(crate) wrong_sku: &'static str,
    pub(crate) not_a_price: &'static str,
    pub(crate) wrong_currency: &'static str,
    pub(crate) wrong_attributes: &'static str,
    pub(crate) import: &'static str,
    pub(crate) import_hint: &'static str,
    pub(crate) import_do: &'static str,
    pub(crate) and_more: &'static str,
    pub(crate) import_broken_off: &'static str,
    pub(crate) import_too_large: &'static str,
    pub(crate) created: &'static str,
    pub(crate) updated: &'static str,
    pub(crate) unchanged: &'static str,
    pub(crate) failed_lines: &'static str,
    pub(crate) line: &'static str,
    pub(crate) saved: &'static str,
    pub(crate) removed: &'static str,
    pub(crate) not_counted: &'static str,
    pub(crate) mail_queued: &'static str,
    pub(crate) mail_sending: &'static str,
    pub(crate) mail_sent: &'static str,
    pub(crate) mail_kept: &'static str,
    pub(crate) mail_failed: &'static str,
    pub(crate) sent_again: &'static str,
    pub(crate) not_sent_again: &'static str,
    pub(crate) send_again: &'static str,
    pub(crate) operations: &'static str,
    pub(crate) service: &'static str,
    pub(crate) version: &'static str,
    pub(crate) last_whole: &'static str,
    pub(crate) is_ready: &'static str,
    pub(crate) not_ready: &'static str,
    pub(crate) release: &'static str,
    pub(crate) room_for_events: &'static str,
    pub(crate) checkouts: &'static str,
    pub(crate) oldest: &'static str,
    pub(crate) pods: &'static str,
    pub(crate) requests_per_second: &'static str,
    pub(crate) waiting_events: &'static str,
    pub(crate) dead_letters: &'static str,
    pub(crate) unknown: &'static str,
    pub(crate) operations_story: &'static str,
    pub(crate) operations_not_asked: &'static str,
    pub(crate) operations_no_right: &'static str,
    pub(crate) operations_away: &'static str,
    pub(crate) more_letters: &'static str,
    pub(crate) no_letters: &'static str,
    pub(crate) letters_unknown: &'static str,
    pub(crate) event: &'static str,
    pub(crate) cause: &'static str,
    pub(crate) attempts: &'static str,
    pub(crate) first_failed: &'static str,
    pub(crate) payload: &'static str,
    pub(crate) apply_now: &'static str,
    pub(crate) discard: &'static str,
    pub(crate) letter_applied: &'static str,
    pub(crate) letter_still_broken: &'static str,
    pub(crate) letter_discarded: &'static str,
    pub(crate) letter_gone: &'static str,
    pub(crate) not_reached: &'static str,
    pub(crate) subject: &'static str,
    pub(crate) written_at: &'static str,

    pub(crate) pictures: &'static str,
    pub(crate) pictures_hint: &'static str,
    pub(crate) wrong_pictures: &'static str,
    pub(crate) users_away: &'static str,
    pub(crate) search_away: &'static str,
    pub(crate) orders_away: &'static str,
    pub(crate) email_away: &'static str,
    pub(crate) mails: &'static str,
    pub(crate) to_address: &'static str,
    pub(crate) back_to_order: &'static str,
    pub(crate) not_found: &'static str,
    pub(crate) not_found_detail: &'static str,
    pub(crate) went_wrong: &'static str,
    pub(crate) try_again: &'static str,
    pub(crate) too_many_at_once: &'static str,
    pub(crate) took_too_long: &'static str,
    pub(crate) foreign_form: &'static str,
    pub(crate) order_unknown: &'static str,
    pub(crate) order_again: &'static str,
    pub(crate) nothing_to_order: &'static str,
    pub(crate) to_start: &'static str,
}

/// All languages, the one of those who ask for none of them first.
pub(crate) const LANGUAGES: [&Texts; 2] = [&ENGLISH, &GERMAN];

impl Texts {
    /// The language of this code.
    pub(crate) fn of(code: &str) -> Option<&'static Self> {
        LANGUAGES.into_iter().find(|texts| texts.code == code)
    }

    /// What `Accept-Language` asks for first of what there is (RFC 9110, 12.5.4).
    pub(crate) fn accepted(header: &str) -> &'static Self {
        let mut asked: Vec<_> = header.split(',').filter_map(range).collect();
        // Stable: of those that are wanted as much, the first.
        asked.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
        let found = asked.into_iter().find_map(|(code, _)| Self::of(&code));
        found.unwrap_or(LANGUAGES[0])
    }

    /// How many products were found.
    pub(crate) fn found(&self, total: &u64) -> String {
        match total {
            0 => self.no_products.to_owned(),
            1 => self.one_product.to_owned(),
            _ => put(self.products, "count", total),
        }
    }

    pub(crate) fn left(&self, units: impl ToString) -> String {
        put(self.units_left, "count", units)
    }

    pub(crate) fn only(&self, units: impl ToString) -> String {
        put(self.only_so_many, "count", units)
    }

    pub(crate) fn and_more(&self, count: impl ToString) -> String {
        put(self.and_more, "count", count)
    }

    pub(crate) fn attempt_of(&self, number: impl ToString) -> String {
        put(self.attempt, "count", number)
    }

    pub(crate) fn at_most_of(&self, amount: &str) -> String {
        put(self.at_most, "amount", amount)
    }

    pub(crate) fn changed_from(&self, old: &str, new: &str) -> String {
        put(&put(self.order_changed_from, "old", old), "new", new)
    }
}

fn put(text: &str, name: &str, value: impl ToString) -> String {
    text.replace(&format!("{{{name}}}"), &value.to_string())
}

/// The primary language of a range and its weight in thousandths; none where it is not wanted.
fn range(text: &str) -> Option<(String, u16)> {
    let (range, rest) = text.split_once(';').unwrap_or((text, ""));
    let weight = match rest.trim().strip_prefix("q=") {
        Some(weight) => (weight.trim().parse::<f32>().ok()?.clamp(0.0, 1.0) * 1000.0) as u16,
        None => 1000,
    };
    let primary = range.trim().split('-').next()?.to_ascii_lowercase();
    (weight > 0).then_some((primary, weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_the_first_language_it_asks_for_that_there_is() {
        let code = |header| Texts::accepted(header).code;
        assert_eq!(code("de-AT,de;q=0.9,en;q=0.8"), "de");
        assert_eq!(code("fr, en;q=0.5, de;q=0.7"), "de");
        assert_eq!(code("de;q=0, fr"), "en");
        assert_eq!(code(""), "en");
        assert_eq!(code(";;q=x,,"), "en");
    }

    #[test]
    fn what_is_put_in_leaves_no_braces() {
        for texts in LANGUAGES {
            for text in [
                texts.found(&0),
                texts.found(&1),
                texts.found(&12),
                texts.left(3),
                texts.only(2),
                texts.attempt_of(2),
                texts.and_more(3),
                texts.at_most_of("a"),
                texts.changed_from("a", "b"),
            ] {
                assert!(!text.contains(['{', '}']) && !text.is_empty(), "{text}");
            }
        }
    }
}
