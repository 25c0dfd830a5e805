//! A mutex around a map or a counter, whatever became of who held it before.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock. A panic while it was held left at worst one entry out: what it guards is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
