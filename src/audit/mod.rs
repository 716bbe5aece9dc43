//! What is said of a decision: the audit record and the filter state.

pub mod digest;
pub mod record;

pub use record::{Candidate, Decision, Draft, End, NO_CODE, Selection, Verdict, without_tokens};
