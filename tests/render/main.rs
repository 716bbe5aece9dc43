//! `claimgate render`: what it writes is what a host takes (its own schema, a real Envoy), says what the source says, and
//! passes `check` without a warning; what a host cannot say is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod bootstraps;
mod examples;
mod harness;
mod image;
mod manifests;
mod refusals;
mod schemas;
