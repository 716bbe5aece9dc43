//! A real Envoy with the filter, an upstream that echoes, a client that sends any bytes, and tokens of every kind.

pub mod bootstrap;
pub mod bulk;
pub mod certificate;
pub mod collector;
pub mod decoding;
pub mod envoy;
pub mod exchange;
pub mod http;
pub mod idp;
pub mod keys;
pub mod log;
pub mod policy;
pub mod prometheus;
pub mod proxy;
pub mod recorder;
pub mod secrets;
pub mod sessions;
pub mod setup;
pub mod table;
pub mod token;
pub mod upstream;
pub mod wire;

pub use exchange::{Echo, Exchange};
pub use http::Request;
pub use idp::IdentityProvider;
pub use policy::{changed, corp, filter};
pub use proxy::Proxy;
pub use setup::{Delivery, Setup};
pub use table::Table;
pub use token::{claims, now};

use std::time::{Duration, Instant};

/// Asks `attempt` again and again until it gives something or the time is up.
pub fn eventually<T>(wait: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + wait;
    loop {
        if let Some(found) = attempt() {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The type URL of a well-known protobuf type.
pub fn protobuf(name: &str) -> String {
    format!("type.googleapis.com/google.protobuf.{name}")
}
