//! `claimgate import`: what it writes lets nothing through that the source refuses. The sources are read
//! here a second time, by evaluators of their own, and both are asked for a grid of requests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod envoy;
mod envoy_tests;
mod grid;
mod harness;
mod istio;
mod istio_tests;
mod manifests;
mod messages;
