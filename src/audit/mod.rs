//! What is said of a decision: the audit record and the filter state.

pub mod record;

pub use record::{Draft, End, INTERNAL_ERROR_STATE, filter_state};
