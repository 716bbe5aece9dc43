//! Policy tests and `explain`, driven as a user drives them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod command;
mod document;
mod explain;
mod reports;
mod verdicts;
