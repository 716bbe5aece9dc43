//! Limits of whole configurations, natively: what is counted together, what is counted at all, and who is refused.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests"
)]

mod gate;
mod guesses;
mod mistakes;
mod passing;
mod together;
