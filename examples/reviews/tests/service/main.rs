//! Reviews over HTTP and NATS, on a real PostgreSQL and a real NATS.

mod events;
mod harness;
mod outages;
mod products;
mod reviews;
mod staff;
