//! What is said of a decision: the audit record and the filter state; and whether a log of records is whole.

pub mod chain;
pub mod digest;
pub mod finding;
pub mod heads;
pub mod link;
pub mod record;
pub mod redact;
pub mod sign;
pub mod text;
pub mod verify;
pub mod volume;

pub use chain::{Chain, Integrity};
pub use heads::Heads;
pub use link::Named;
pub use record::{Candidate, Decision, Draft, End, Internal, NO_CODE, Shown, Verdict};
pub use redact::Redaction;
pub use text::{Members, without_tokens};
pub use volume::{Caps, Share, Shares, Volume};

use std::time::Duration;

/// What is recorded, and how.
#[derive(Debug)]
pub struct Settings {
    /// The level of the lines; `None` is info where the host prints it, else warn.
    pub level: Option<log::Level>,
    /// Which decisions are recorded, where the route does not say otherwise.
    pub shares: Shares,
    /// How many of them in a second.
    pub caps: Caps,
    /// What they show.
    pub redaction: Redaction,
    /// How long a stream is open before its start is recorded.
    pub open_after: Duration,
    /// Tamper evidence.
    pub integrity: Option<Integrity>,
}
