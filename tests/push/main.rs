//! `claimgate keys push` and `claimgate issuer` as they are run, against a provider on this machine.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "tests"
)]

#[allow(dead_code, reason = "the end-to-end tests use all of it")]
#[path = "../e2e/harness/certificate.rs"]
mod certificate;
#[allow(dead_code, reason = "the end-to-end tests use all of it")]
#[path = "../e2e/harness/keys.rs"]
mod keys;

mod documents;
mod files;
mod fixture;
mod issuer;
mod provider;
mod refusals;
mod rotation;
