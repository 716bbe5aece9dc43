//! What is said of a decision: the audit record and the filter state; and whether a log of records is whole.

pub mod digest;
pub mod finding;
pub mod link;
pub mod record;
pub mod verify;

pub use record::{Candidate, Decision, Draft, End, NO_CODE, Selection, Verdict, without_tokens};
