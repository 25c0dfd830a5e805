//! What things are called and which labels they carry.

pub mod labels;
pub mod names;
pub mod ports;
