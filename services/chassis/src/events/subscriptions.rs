//! The kinds of events that a service subscribes to, each with its handler.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures::FutureExt;

use super::handler::{Handler, Outcome, Received};
use crate::db::{self, Transaction};

/// What came of calling a handler.
pub(crate) enum Called {
    Answered(Outcome),
    /// It panicked, with these words.
    Panicked(String),
}

type Calling<'a> = Pin<Box<dyn Future<Output = Result<Called, db::Error>> + Send + 'a>>;

/// A handler of whatever data.
pub(crate) trait AnyHandler: Send + Sync {
    fn handle<'a>(&'a self, tx: &'a Transaction<'a>, event: &'a Received) -> Calling<'a>;
    fn committed(&self, event: &Received);
}

impl<H: Handler> AnyHandler for H {
    fn handle<'a>(&'a self, tx: &'a Transaction<'a>, event: &'a Received) -> Calling<'a> {
        Box::pin(async move {
            let data = match event.data() {
                Ok(data) => data,
                Err(cause) => return Ok(Called::Answered(Outcome::Dead { cause })),
            };
            // What a panic leaves behind is the transaction, which is rolled back.
            let calling = AssertUnwindSafe(Handler::handle(self, tx, event, data));
            match calling.catch_unwind().await {
                Ok(outcome) => outcome.map(Called::Answered),
                Err(panic) => Ok(Called::Panicked(words_of(panic.as_ref()))),
            }
        })
    }

    fn committed(&self, event: &Received) {
        Handler::committed(self, event);
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without words").to_owned()
}

/// All handlers of a service, by the kind of event that they handle.
#[derive(Clone, Default)]
pub(crate) struct Subscriptions {
    handlers: BTreeMap<&'static str, Arc<dyn AnyHandler>>,
}

impl Subscriptions {
    /// Adds a handler. A second one for the same kind takes the place of the first.
    pub(crate) fn add(&mut self, handler: impl Handler) {
        self.handlers.insert(handler.kind(), Arc::new(handler));
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.handlers.keys().copied()
    }

    pub(crate) fn handler_of(&self, kind: &str) -> Option<&dyn AnyHandler> {
        self.handlers.get(kind).map(AsRef::as_ref)
    }
}
