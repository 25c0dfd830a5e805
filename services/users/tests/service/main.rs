//! The service against a real PostgreSQL and a real NATS, both of `dev/backends.sh up`.

mod accounts;
mod admin;
mod common;
mod exits;
mod outages;
mod secrets;
mod sessions;
mod traces;
