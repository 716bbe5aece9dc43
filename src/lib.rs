//! Claimgate makes Envoy (and so Istio and Envoy Gateway) an access proxy: a Proxy-Wasm filter that
//! verifies the JWT of every request, enforces route policies by its claims, hands the identity to
//! the services behind, and writes an audit line for every decision.
//!
//! # The way of a request
//!
//! `filter::http` (built for `wasm32` only, by the feature `filter`) reads the headers in one host call and asks
//! [`engine::Engine::decide`], which never touches the host, the clock or the environment:
//!
//! 1. [`identity`] names every header that no client may send; they are removed in every case.
//! 2. [`policy::host`] and [`policy::path`] refuse what two servers could read differently.
//! 3. [`policy::router`] finds a deny route that matches, else the one route that owns the request.
//! 4. [`token::extract`] finds the one token, and [`token::verify`] turns it into a
//!    [`token::VerifiedToken`], the only proof that the rest accepts.
//! 5. [`policy::condition`] evaluates the route's condition in three values; only *true* opens.
//! 6. [`limit`] counts the request together with others of the same identity.
//! 7. [`identity`] sets the identity headers, or [`response`] renders the refusal.
//! 8. [`audit`] drafts the record, which the end of the stream completes; [`metrics`] names the
//!    counters.
//!
//! [`config`] builds all of these values from the configuration, and none of them imports it. [`engine::explain`]
//! tells why a request was decided as it was.
//!
//! # Invariants
//!
//! - Default deny: a request that no route owns is refused.
//! - The algorithm is the key's, never the token's word for it.
//! - No panic is reachable from a request or a configuration.
//! - What loads depends on the configuration's bytes and the named environment variables alone: a
//!   worker of Envoy whose load fails would serve open. Whatever else the host denies leaves a VM
//!   that refuses every request.
//! - No error, log line or `Debug` shows a token or a secret.
//!
//! # Example
//!
//! ```
//! use claimgate::config;
//! use claimgate::request::{Request, UnknownPeer};
//! use claimgate::time::Timestamp;
//! use claimgate::token::signature::Portable;
//!
//! let configuration = br#"{"routes": [{"name": "health", "paths": ["/healthz"], "token": "none"}]}"#;
//! let loaded = config::load(configuration, "edge", &|_| None, &Portable).unwrap();
//! let decide = |path: &'static [u8]| {
//!     let headers = [(&b":method"[..], &b"GET"[..]), (b":authority", b"example.com"), (b":path", path)];
//!     let request = Request::new(&headers, &UnknownPeer);
//!     let outcome = loaded.engine.decide(&request, Timestamp::from_secs(1_800_000_000));
//!     outcome.refusal.map(|refusal| refusal.code.name())
//! };
//! assert_eq!(decide(b"/healthz"), None);
//! assert_eq!(decide(b"/admin"), Some("no_route"));
//! assert_eq!(decide(b"/healthz/../admin"), Some("path_ambiguous"));
//! ```

pub mod ascii;
pub mod audit;
pub mod config;
pub mod engine;
pub mod identity;
pub mod json;
pub mod limit;
pub mod metrics;
pub mod policy;
pub mod request;
pub mod response;
pub mod shelf;
pub mod time;
pub mod token;

#[cfg(all(target_arch = "wasm32", feature = "filter"))]
mod filter;
