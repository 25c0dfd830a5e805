//! Which service a thread works for, where several share a process. Each has a runtime of its own, so that whatever runs on a thread
//! of it is its work; logs and spans are called after it.

use std::cell::Cell;

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
