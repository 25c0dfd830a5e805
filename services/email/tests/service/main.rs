//! The service against a real PostgreSQL, a real NATS (both of `dev/backends.sh up`) and a mail server of the tests.

mod mails;
mod refused;
mod smtp;
mod support;
