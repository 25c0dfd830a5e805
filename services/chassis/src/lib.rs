//! What makes a process a good citizen of a cluster: settings that fail with one clear sentence, a start that waits for
//! nothing, a stop that loses nothing, an HTTP edge with limits, a pooled database, events that survive crashes, logs and
//! traces that belong together.
//!
//! The chassis knows no word of the shop but those in [`application`]. A service implements [`Service`] and calls [`run`];
//! everything else here is reached through the [`Chassis`] handed to [`Service::start`] and through the free functions of
//! the modules.

pub mod application;
pub mod auth;
pub mod backoff;
pub mod client;
mod command;
pub mod db;
pub mod deadline;
pub mod events;
pub mod grpc;
mod health;
pub mod http;
pub mod idempotency;
pub mod metrics;
mod process;
mod server;
pub mod service;
pub mod settings;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod together;
mod worker;

pub use command::{run, run_stateless};
pub use events::contract::{Event, EventContract};
pub use events::handler::{Handler, Outcome, Received};
pub use events::{inbox, outbox, parked};
pub use health::Condition;
pub use process::Hosted;
pub use service::{Chassis, Service, Stateless, StatelessChassis};
pub use settings::{Env, SettingError};
pub use together::run_together;
pub use tokio_util::sync::CancellationToken;

/// Half the CPU of the system allocator on JSON endpoints; every service uses it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
