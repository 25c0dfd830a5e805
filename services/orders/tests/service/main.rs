//! Orders over HTTP and NATS, on a real PostgreSQL and a real NATS, with payments played by the test.

mod cart;
mod checkout;
mod events;
mod expectations;
mod faults;
mod growth;
mod orders;
mod payments;
mod saga;
mod shop;
mod stock;
