//! The boards. A figure that each replica says of all of them together is asked for by `max`, one that each counts for itself by `sum`.
//! What is counted only once it has happened has a zero beside it (`or 0 * …`), so that a quiet panel is not an empty one.

mod back_ends;
mod operator;
mod service;
mod shop;

pub(super) use back_ends::BACK_ENDS;
pub(super) use operator::OPERATOR;
pub(super) use service::SERVICE;
pub(super) use shop::SHOP;

use super::Board;

pub(super) const ALL: [&Board; 4] = [&SHOP, &SERVICE, &BACK_ENDS, &OPERATOR];
