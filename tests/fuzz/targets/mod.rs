//! What the fuzzer does with an input: each target is one function from bytes to nothing that panics where a promise of the
//! engine is broken. The binaries of this workspace search with them; `tests/corpus.rs` replays what they found.

pub mod claims;
pub mod compact;
pub mod config;
pub mod keys;
mod naive;
mod policy;
pub mod request;

/// A target: what checks an input.
pub type Check = fn(&[u8]);
