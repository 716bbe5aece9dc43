//! What is said of a decision: the audit record and the filter state.

pub mod record;

pub use record::{Decision, Draft, End, NO_CODE, Selection, Verdict};
