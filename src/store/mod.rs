//! ClickHouse: the embedded engine.

pub mod engine;
