//! The story of an order while it happens, as server-sent events: the part of the page anew whenever it has grown.

use std::convert::Infallible;
use std::time::Duration;

use askama::Template;
use axum::extract::State as Of;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chassis::http::{Path, Taken};
use futures::Stream;
use secrecy::SecretString;
use uuid::Uuid;

use super::State;
use super::orders::Story;
use crate::failure::Failure;
use crate::texts::Texts;
use crate::upstream::orders::{Timeline, is_final};
use crate::upstream::{Service, refusal};
use crate::visitor::Visitor;

/// Between two looks at the story.
const PAUSE: Duration = Duration::from_secs(1);
/// A story without news for so many looks in a final state has ended: the mail about it has gone out by then.
const QUIET: u32 = 15;
/// The browser asks again then, with a new access token where the old one has ended.
const LONGEST: u32 = 300;

pub(super) async fn follow(
    Of(state): Of<State>,
    visitor: Visitor,
    Path(id): Path<Uuid>,
) -> Result<Response, Failure> {
    let member = visitor.known()?.ok_or(Failure::NotFound)?;
    let token = member.token.clone();
    let first = state.orders.timeline(&token, id).await;
    let first = first.map_err(|error| Failure::of(Service::Orders, &error))?;
    let place = state.live.try_take(visitor.client);
    let place = place.ok_or(Failure::Away(Service::Orders))?;
    let stories = stories(state, token, id, visitor.texts, first, place);
    Ok(Sse::new(stories)
        .keep_alive(KeepAlive::default())
        .into_response())
}

fn stories(
    state: State,
    token: SecretString,
    id: Uuid,
    texts: &'static Texts,
    first: Timeline,
    place: Taken,
) -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        // It is taken as long as somebody listens.
        let _place = place;
        let mut timeline = Ok(first);
        let (mut last, mut quiet) = (String::new(), 0);
        for _ in 0..LONGEST {
            // The access token has ended: the browser comes back with a new one.
            if timeline.as_ref().is_err_and(|error| refusal(error).is_some()) {
                return;
            }
            // An orders that is away for a moment is asked again like one that has no news.
            if let Ok(timeline) = timeline {
                let is_final = is_final(&timeline.state);
                let html = Story::new(texts, timeline).render().unwrap_or_default();
                quiet = if html == last && is_final { quiet + 1 } else { 0 };
                if html != last {
                    yield Ok(Event::default().event("part").data(&html));
                    last = html;
                }
            }
            if quiet >= QUIET {
                yield Ok(Event::default().event("end").data("."));
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                // Another replica answers when the browser asks again.
                () = state.stop.cancelled() => return,
            }
            timeline = state.orders.timeline(&token, id).await;
        }
    }
}
