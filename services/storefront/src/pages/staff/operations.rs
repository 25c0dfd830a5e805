//! The running shop: versions, pods, releases, load, and how long events and checkouts wait; live, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use askama::Template;
use axum::extract::State as Of;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chassis::CancellationToken;
use chassis::http::Taken;
use futures::Stream;

use super::Staff;
use crate::failure::Failure;
use crate::operations::{Lack, Look, Operations};
use crate::pages::{State, page};
use crate::texts::Texts;
use crate::upstream::Service;
use crate::visitor::Visitor;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// The browser asks again then, and whoever is no longer staff is told nothing more.
const LONGEST: Duration = Duration::from_secs(300);

#[derive(Template)]
#[template(path = "staff/operations.html")]
struct OperationsPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'static str,
    now: Now,
}

/// The part of the page that is sent again and again.
#[derive(Template)]
#[template(path = "staff/now.html")]
struct Now {
    t: &'static Texts,
    look: Result<Arc<Look>, &'static str>,
}

impl Now {
    async fn of(operations: &Operations, t: &'static Texts) -> Self {
        let look = operations.look().await.map_err(|lack| in_words(lack, t));
        Self { t, look }
    }
}

/// Why nothing is shown, and what to do about it.
pub(super) fn in_words(lack: Lack, t: &Texts) -> &'static str {
    match lack {
        Lack::NotAsked => t.operations_not_asked,
        Lack::NoRight => t.operations_no_right,
        Lack::Away => t.operations_away,
    }
}

pub(super) async fn show(
    Of(state): Of<State>,
    Staff(_): Staff,
    visitor: Visitor,
) -> Result<Response, Failure> {
    let t = visitor.texts;
    Ok(page(&OperationsPage {
        v: &visitor,
        t,
        title: t.operations,
        now: Now::of(&state.operations, t).await,
    }))
}

pub(super) async fn follow(
    Of(state): Of<State>,
    Staff(_): Staff,
    visitor: Visitor,
) -> Result<Response, Failure> {
    let place = state.live.try_take(visitor.client);
    let place = place.ok_or(Failure::Away(Service::Orders))?;
    let looks = looks(state.operations, visitor.texts, state.stop, place);
    Ok(Sse::new(looks)
        .keep_alive(KeepAlive::default())
        .into_response())
}

fn looks(
    operations: Operations,
    t: &'static Texts,
    stop: CancellationToken,
    place: Taken,
) -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        // It is taken as long as somebody listens.
        let _place = place;
        let mut last = String::new();
        let began = Instant::now();
        while began.elapsed() < LONGEST {
            let html = Now::of(&operations, t).await.render().unwrap_or_default();
            if html != last {
                yield Ok(Event::default().event("part").data(&html));
                last = html;
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                // Another replica answers when the browser asks again.
                () = stop.cancelled() => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::look_at;
    use crate::texts::{ENGLISH, LANGUAGES};

    const PLANTED: &str = "\"><script>alert(1)</script>";

    fn shown(t: &'static Texts, shop: serde_json::Value) -> String {
        let look = Ok(Arc::new(look_at(shop)));
        Now { t, look }.render().expect("a page")
    }

    #[test]
    fn a_script_in_any_field_of_the_shop_stays_text() {
        let service = json!({"name": PLANTED, "version": PLANTED, "phase": PLANTED, "message": PLANTED, "host": PLANTED});
        let shop = json!({
            "spec": {"version": PLANTED, "telemetry": {"links": {"trace": format!("https://x.example/{PLANTED}")}}},
            "status": {
                "version": "1", "services": [service],
                "conditions": [{"type": "Ready", "status": "False", "message": PLANTED}],
                "release": {"version": PLANTED, "stage": PLANTED, "service": PLANTED, "cause": PLANTED},
                "releases": [{"name": PLANTED, "stage": PLANTED, "cause": PLANTED, "held": {"message": PLANTED}}],
            },
        });
        for t in LANGUAGES {
            let html = shown(t, shop.clone());
            assert!(!html.contains("<script"), "{html}");
            assert!(html.matches("alert(1)").count() >= 14, "{html}");
        }
    }

    #[test]
    fn a_service_whose_pods_do_not_answer_blanks_its_own_figures_alone() {
        let orders =
            json!({"name": "orders", "version": "2", "phase": "Rolling", "ready": 0, "desired": 1});
        let shop = json!({"spec": {"version": "2"}, "status": {"services": [orders]}});
        let html = shown(&ENGLISH, shop);
        assert!(
            html.contains("orders") && html.contains("0/1") && html.contains("not known"),
            "{html}"
        );
        assert!(!html.contains(ENGLISH.checkouts), "nobody has said: {html}");
    }
}
