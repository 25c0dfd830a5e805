//! The chassis under the smallest services, against a real PostgreSQL and a real NATS, both of `dev/backends.sh up`.

mod database;
mod edge;
mod events;
mod front;
mod grpc;
mod notes;
mod recovery;
mod rights;
mod running;
mod stateless;
