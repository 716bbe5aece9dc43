//! The chain of one VM's records: each holds the digest of the one before, and what is signed from time to time
//! closes all that stands before it.

use super::digest;
use super::link::Named;
use super::record::{Internal, MARKER};
use super::sign::Signer;
use super::text::Members;
use crate::time::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::time::Duration;

/// Tamper evidence, as it is configured.
#[derive(Debug)]
pub struct Integrity {
    /// Who signs.
    pub signer: Signer,
    /// How often.
    pub checkpoint: Duration,
}

/// How many intervals pass before a chain without news is signed again: that shows until when it lived, and that nothing
/// is cut off.
const IDLE: u32 = 30;

impl Integrity {
    /// How long a chain without news is not signed.
    pub fn idle(&self) -> Duration {
        self.checkpoint.saturating_mul(IDLE)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Chain {
    head: Named,
    /// What stands before a record's number: the same for every record.
    before_number: String,
    /// How many records there are, and how many there were at the last checkpoint.
    records: u64,
    signed: u64,
    checkpointed: Timestamp,
}

impl Chain {
    /// Opens a chain of a random id, and returns its first record. `before` is a chain that it follows.
    pub fn open(
        id: [u8; 16],
        integrity: &Integrity,
        internal: &Internal<'_>,
        before: Option<&Named>,
        now: Timestamp,
    ) -> (Self, String) {
        let id = URL_SAFE_NO_PAD.encode(id);
        let mut chain = Self {
            before_number: format!(",\"claimgate.chain\":\"{id}\",\"claimgate.seq\":"),
            head: Named { chain: id, seq: 0, head: digest::Head::default(), time: 0 },
            records: 0,
            signed: 0,
            checkpointed: now,
        };
        let mut members = internal.members("audit-opened", "start", now);
        members.text("claimgate.key_id", integrity.signer.key_id());
        if let Some(before) = before {
            members.raw("claimgate.before", &format!("\"{before}\""));
        }
        let line = chain.seal(members, now);
        (chain, line)
    }

    /// Makes a record that is written now the next one of the chain, and returns its line, marker and all.
    pub fn seal(&mut self, mut members: Members, now: Timestamp) -> String {
        let mut number = itoa::Buffer::new();
        members.push(&self.before_number);
        members.push(number.format(self.records));
        if self.records > 0 {
            members.push(",\"claimgate.prev\":\"");
            members.push(&digest::text(&self.head.head));
            members.push("\"");
        }
        let line = members.close();
        let record = line.strip_prefix(MARKER).unwrap_or(&line);
        self.head.head = digest::head(record);
        self.head.seq = self.records;
        self.head.time = now.as_nanos() / 1_000_000_000;
        self.records += 1;
        line
    }

    /// The newest record.
    pub fn head(&self) -> &Named {
        &self.head
    }

    /// Whether a checkpoint is to close what was recorded since the last one, or to show that nothing was.
    pub fn is_due(&self, integrity: &Integrity, now: Timestamp) -> bool {
        let news = self.signed < self.records;
        let wait = if news { integrity.checkpoint } else { integrity.idle() }.as_nanos();
        let since = now.as_nanos().checked_sub(self.checkpointed.as_nanos());
        // A clock that was set back does not put a checkpoint off.
        since.is_none_or(|nanos| u128::from(nanos) >= wait)
    }

    /// Writes a signed checkpoint, the last record where `closed`. `heads` are the other chains of the process, `dropped`
    /// is how many records caps dropped since the last record. `None` where it cannot be signed.
    pub fn checkpoint(
        &mut self,
        integrity: &Integrity,
        internal: &Internal<'_>,
        heads: &[Named],
        dropped: u64,
        closed: bool,
        now: Timestamp,
    ) -> Option<String> {
        let (action, kind) =
            if closed { ("audit-closed", "end") } else { ("audit-checkpoint", "info") };
        let mut members = internal.members(action, kind, now);
        members.dropped(dropped);
        let said = members.so_far().strip_prefix(MARKER).map(digest::head)?;
        let signed = integrity.signer.sign(&self.head, &said, closed, heads, now)?;
        // As it is: it is no token of anyone's, and what verifies needs all of it.
        members.raw("claimgate.checkpoint", &format!("\"{signed}\""));
        let line = self.seal(members, now);
        self.signed = self.records;
        self.checkpointed = now;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::sign::tests::signer;
    use serde_json::Value;

    fn record(line: &str) -> (&str, Value) {
        let record = line.strip_prefix(MARKER).unwrap();
        (record, serde_json::from_str(record).unwrap())
    }

    #[test]
    fn each_record_holds_the_digest_of_the_one_before() {
        let integrity = Integrity { signer: signer(), checkpoint: Duration::from_secs(10) };
        let internal = Internal { filter: "edge", node: "n\"1" };
        let at = Timestamp::from_secs;
        let before = Named { chain: "o".repeat(22), seq: 8, head: [1; 32], time: 900 };
        let (mut chain, first) =
            Chain::open([7; 16], &integrity, &internal, Some(&before), at(1000));
        let (first_text, first) = record(&first);
        assert_eq!(first["claimgate.before"], before.to_string());
        assert_eq!(first["claimgate.seq"], 0);
        assert_eq!(first["claimgate.prev"], Value::Null);
        assert_eq!(first["service.node.name"], "n\"1");
        let second = chain.seal(Members::after("claimgate_audit {\"a\":1", 64), at(1001));
        let (second_text, second) = record(&second);
        assert_eq!(second["claimgate.prev"], digest::text(&digest::head(first_text)));
        assert!(!chain.is_due(&integrity, at(1009)));
        assert!(chain.is_due(&integrity, at(1010)));
        assert!(chain.is_due(&integrity, at(1)), "the clock was set back");
        let heads = [before];
        let line = chain.checkpoint(&integrity, &internal, &heads, 5, false, at(1010)).unwrap();
        let (_, checkpoint) = record(&line);
        assert_eq!(checkpoint["claimgate.audit.dropped"], 5);
        assert_eq!(checkpoint["claimgate.seq"], 2);
        assert_eq!(checkpoint["claimgate.prev"], digest::text(&digest::head(second_text)));
        assert!(!chain.is_due(&integrity, at(1309)), "nothing to sign");
        assert!(chain.is_due(&integrity, at(1310)), "it lives");
        assert_eq!(Named::parse(&chain.head().to_string()).as_ref(), Some(chain.head()));
    }
}
