//! Which service a thread works for, where several share a process. Each has a runtime of its own, so that whatever runs on a thread
//! of it is its work; logs and spans are called after it.

use std::cell::Cell;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

use crate::application::{CORRELATION, CORRELATION_ATTRIBUTE};

thread_local! {
    static SERVICE: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// From here on this thread works for `service`, or for the process of this name.
pub(crate) fn work_for(service: &'static str) {
    SERVICE.set(Some(service));
}

/// What this thread works for; none on threads that a library has started by itself.
pub(super) fn current() -> Option<&'static str> {
    SERVICE.get()
}

/// Exports the spans that end on threads of one service, under its name.
#[derive(Debug)]
pub(super) struct SpansOf<P> {
    pub(super) service: &'static str,
    pub(super) resource: Resource,
    pub(super) inner: P,
}

impl<P: SpanProcessor> SpanProcessor for SpansOf<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, mut span: SpanData) {
        if current() == Some(self.service) {
            for attribute in &mut span.attributes {
                if attribute.key.as_str() == CORRELATION {
                    attribute.key = CORRELATION_ATTRIBUTE.into();
                }
            }
            self.inner.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: std::time::Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    /// The process has one resource, a service its own.
    fn set_resource(&mut self, _: &Resource) {
        self.inner.set_resource(&self.resource);
    }
}
