//! Third-party test data, read in place: `../shared/vectors` from the project's root, or where
//! `CLAIMGATE_VECTORS` points. A clone without it runs every other test and is told so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod case;
mod files;
mod json_suite;
mod key_sets;
mod signatures;
mod suites;
mod tokens;
