//! The pages, made from the real users, search, orders and payments, each behind a proxy that can be cut.

mod account;
mod away;
mod browser;
mod buying;
mod cart;
mod catalogue;
mod edge;
mod graphql;
mod refunds;
mod safety;
mod shop;
mod staff;
