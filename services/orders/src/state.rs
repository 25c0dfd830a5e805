//! What the handlers work with.

use std::sync::Arc;

use axum::extract::FromRef;
use chassis::{CancellationToken, auth::Verifier, db::Db};
use tokio::sync::{Notify, Semaphore, broadcast};
use uuid::Uuid;

use crate::links::LinkTemplates;
use crate::metrics::Metrics;
use crate::payments_client::PaymentsClient;

#[derive(Clone)]
pub struct State {
    pub(crate) db: Db,
    pub(crate) verifier: Verifier,
    pub(crate) metrics: Metrics,
    pub(crate) links: LinkTemplates,
    pub(crate) payments: PaymentsClient,
    pub(crate) signals: Signals,
    /// Places for requests that wait for an order.
    pub(crate) waits: Arc<Semaphore>,
    /// Cancelled when the process is told to stop.
    pub(crate) stop: CancellationToken,
}

impl FromRef<State> for Verifier {
    fn from_ref(state: &State) -> Self {
        state.verifier.clone()
    }
}

/// Each who waits holds a place for requests and asks the database twice a second. While payments is away every order is
/// waited for, and the rest of the service must go on.
pub(crate) const WAITS: usize = 64;

/// What the parts of this process tell one another. Other replicas do not hear it: whoever waits for a signal also looks
/// for himself from time to time.
#[derive(Clone)]
pub(crate) struct Signals {
    saga_due: Arc<Notify>,
    order_changed: broadcast::Sender<Uuid>,
}

/// Changes kept for a slow listener; one that missed some looks for himself.
const CHANGES: usize = 256;

impl Signals {
    pub(crate) fn new() -> Self {
        Self {
            saga_due: Arc::new(Notify::new()),
            order_changed: broadcast::Sender::new(CHANGES),
        }
    }

    /// A saga became due: the runner need not wait for its next look.
    pub(crate) fn saga_is_due(&self) {
        self.saga_due.notify_one();
    }

    /// Waits for the next saga to become due.
    pub(crate) async fn saga_due(&self) {
        self.saga_due.notified().await;
    }

    pub(crate) fn order_has_changed(&self, order: Uuid) {
        // An error means that nobody waits.
        let _ = self.order_changed.send(order);
    }

    /// Starts to listen for changes of one order.
    pub(crate) fn changes_of(&self, order: Uuid) -> Changes {
        Changes {
            order,
            receiver: self.order_changed.subscribe(),
        }
    }
}

/// Listens for changes of one order.
pub(crate) struct Changes {
    order: Uuid,
    receiver: broadcast::Receiver<Uuid>,
}

impl Changes {
    /// Waits until the order may have changed.
    pub(crate) async fn next(&mut self) {
        while let Ok(changed) = self.receiver.recv().await {
            if changed == self.order {
                return;
            }
        }
    }
}
