//! End-to-end tests: a real Envoy, the built filter, an upstream that echoes, and effects to look at (statuses, headers
//! seen by the upstream, audit lines, access log, stats).
//!
//! `CLAIMGATE_WASM` names the filter and `ENVOY` the command that starts Envoy; `make test` builds and fetches both.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads the clock and the environment"
)]

mod harness;

mod access_logs;
mod algorithms;
mod audit;
mod audit_chain;
mod audit_settings;
mod candidate;
mod certificates;
mod claims;
mod compact;
mod conditions;
mod configuration;
mod cross_origin;
mod grpc;
mod host_denies;
mod host_safety;
mod hostile;
mod http2;
mod identity;
mod log_injection;
mod metrics;
mod modes;
mod path_attacks;
mod path_bypass;
mod path_safety;
mod placeholders;
mod pushed_keys;
mod refused_configurations;
mod reload;
mod remote_keys;
mod rendered;
mod renewal;
mod responses;
mod revocation;
mod routes;
mod secrecy;
mod shadow;
mod signature_vectors;
mod signatures;
mod token_places;
mod workers;
