//! Money of an order goes back to its buyer. The form is on the page of the order.

use axum::extract::State as Of;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chassis::http::Path;
use iso_currency::Currency;
use serde::Deserialize;
use uuid::Uuid;

use super::Staff;
use crate::failure::Failure;
use crate::form::Sent;
use crate::money::{Money, typed};
use crate::notice::Notice;
use crate::pages::orders::{NoRefund, order_page};
use crate::pages::unknown::Unknown;
use crate::pages::{State, go_and_say};
use crate::texts::Texts;
use crate::upstream::{self, Service, refusal, said};
use crate::visitor::Visitor;

/// What the form holds, as it was typed.
#[derive(Deserialize)]
pub(super) struct Refund {
    key: Uuid,
    amount: String,
    /// That of the order, as the page had it: what is typed is an amount of that one.
    currency: String,
}

impl Refund {
    fn money(&self) -> Option<Money> {
        let currency = Currency::from_code(&self.currency)?;
        let amount = typed(&self.amount, currency).filter(|amount| *amount > 0)?;
        Some(Money {
            amount,
            currency: self.currency.clone(),
        })
    }
}

pub(super) async fn refund(
    Of(state): Of<State>,
    Staff(member): Staff,
    visitor: Visitor,
    Path(id): Path<Uuid>,
    Sent(refund): Sent<Refund>,
) -> Result<Response, Failure> {
    let t = visitor.texts;
    let again = async |status: StatusCode, trouble| {
        let amount = &refund.amount;
        let failed = Some(NoRefund { trouble, amount });
        let shown = order_page(&state, &visitor, &member, id, failed).await?;
        Ok((status, shown).into_response())
    };
    let Some(amount) = refund.money() else {
        return again(StatusCode::UNPROCESSABLE_ENTITY, t.not_an_amount).await;
    };
    let key = refund.key.to_string();
    let outcome = state.orders.refund(&member.token, id, &key, &amount).await;
    let error = match outcome {
        Ok(done) => return Ok(go_and_say(&format!("/orders/{id}"), notice(&done))),
        Err(error) => error,
    };
    if said(&error) == Some("payments_too_old") {
        return again(StatusCode::SERVICE_UNAVAILABLE, t.refund_too_old).await;
    }
    let Some((status, code)) = refusal(&error) else {
        return Ok(unknown(&visitor, id, &refund));
    };
    match trouble(t, code) {
        Some(trouble) => again(status, trouble).await,
        None => Err(Failure::of(Service::Orders, &error)),
    }
}

fn notice(done: &upstream::orders::Refund) -> Notice {
    match done.status.as_str() {
        "processing" => Notice::RefundTaken,
        _ => Notice::GivenBack,
    }
}

/// Why orders gave nothing back.
fn trouble(t: &'static Texts, code: &str) -> Option<&'static str> {
    Some(match code {
        "refund_too_large" => t.refund_too_large,
        "payment_busy" => t.refund_busy,
        "refused_by_provider" => t.refund_refused,
        "not_paid" => t.refund_not_paid,
        "idempotency_key_reused" => t.refund_sent_before,
        "invalid" | "other_currency" => t.not_an_amount,
        _ => return None,
    })
}

fn unknown(visitor: &Visitor, id: Uuid, refund: &Refund) -> Response {
    let t = visitor.texts;
    let order = format!("/orders/{id}");
    let fields = [
        ("key", refund.key.to_string()),
        ("amount", refund.amount.clone()),
        ("currency", refund.currency.clone()),
    ];
    let unknown = Unknown {
        v: visitor,
        t,
        title: t.give_back,
        detail: t.refund_unknown,
        action: &format!("/staff/orders/{id}/refunds"),
        fields: &fields,
        instead: (&order, t.back_to_order),
    };
    unknown.page()
}
