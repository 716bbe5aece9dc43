//! The chain of one VM's records: each holds the digest of the one before, and what is signed from time to time
//! closes all that stands before it.

use super::digest;
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

/// The newest record of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The id of the chain.
    pub chain: Box<str>,
    /// The record's number.
    pub seq: u64,
    /// The record's digest.
    pub digest: Box<str>,
}

/// `chain:seq:digest`.
impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.chain, self.seq, self.digest)
    }
}

impl std::str::FromStr for Head {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(':');
        let (Some(chain), Some(seq), Some(digest), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        let seq = seq.parse().map_err(|_| ())?;
        Ok(Self { chain: chain.into(), seq, digest: digest.into() })
    }
}

/// What is signed.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Checkpoint {
    /// The id of the chain.
    pub chain: String,
    /// The number of the record before this one.
    pub seq: u64,
    /// Its digest.
    pub head: String,
    /// Whether no record follows.
    pub closed: bool,
    /// The heads of the other chains of the same process, as [`Head`] prints them.
    pub heads: Vec<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Chain {
    head: Head,
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
        before: Option<&Head>,
        now: Timestamp,
    ) -> (Self, String) {
        let id = URL_SAFE_NO_PAD.encode(id);
        let mut chain = Self {
            before_number: format!(",\"claimgate.chain\":\"{id}\",\"claimgate.seq\":"),
            head: Head { chain: id.into(), seq: 0, digest: Box::default() },
            records: 0,
            signed: 0,
            checkpointed: now,
        };
        let mut members = internal.members("audit-opened", "start", now);
        members.text("claimgate.key_id", integrity.signer.key_id());
        if let Some(before) = before {
            members.raw("claimgate.before", &format!("\"{before}\""));
        }
        let line = chain.seal(members);
        (chain, line)
    }

    /// Makes a record the next one of the chain, and returns its line, marker and all.
    pub fn seal(&mut self, mut members: Members) -> String {
        let mut number = itoa::Buffer::new();
        members.push(&self.before_number);
        members.push(number.format(self.records));
        if self.records > 0 {
            members.push(",\"claimgate.prev\":\"");
            members.push(&self.head.digest);
            members.push("\"");
        }
        let line = members.close();
        let record = line.strip_prefix(MARKER).unwrap_or(&line);
        self.head.digest = digest::text(&digest::head(record)).into();
        self.head.seq = self.records;
        self.records += 1;
        line
    }

    /// The newest record.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Whether there are records that a checkpoint is to close now.
    pub fn is_due(&self, integrity: &Integrity, now: Timestamp) -> bool {
        let since = now.as_nanos().checked_sub(self.checkpointed.as_nanos());
        // A clock that was set back does not put a checkpoint off.
        self.signed < self.records
            && since.is_none_or(|nanos| u128::from(nanos) >= integrity.checkpoint.as_nanos())
    }

    /// Writes a signed checkpoint, the last record where `closed`. `None` where it cannot be signed.
    pub fn checkpoint(
        &mut self,
        integrity: &Integrity,
        internal: &Internal<'_>,
        heads: &[Head],
        closed: bool,
        now: Timestamp,
    ) -> Option<String> {
        let checkpoint = Checkpoint {
            chain: self.head.chain.to_string(),
            seq: self.head.seq,
            head: self.head.digest.to_string(),
            closed,
            heads: heads.iter().map(ToString::to_string).collect(),
        };
        let signed = integrity.signer.sign(&checkpoint, now.as_nanos() / 1_000_000_000)?;
        let (action, kind) =
            if closed { ("audit-closed", "end") } else { ("audit-checkpoint", "info") };
        let mut members = internal.members(action, kind, now);
        // As it is: it is no token of anyone's, and what verifies needs all of it.
        members.raw("claimgate.checkpoint", &format!("\"{signed}\""));
        let line = self.seal(members);
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
        let before = Head { chain: "old".into(), seq: 8, digest: "x".into() };
        let (mut chain, first) =
            Chain::open([7; 16], &integrity, &internal, Some(&before), at(1000));
        let (first_text, first) = record(&first);
        assert_eq!(first["claimgate.before"], "old:8:x");
        assert_eq!(first["claimgate.seq"], 0);
        assert_eq!(first["claimgate.prev"], Value::Null);
        assert_eq!(first["service.node.name"], "n\"1");
        let second = chain.seal(Members::after("claimgate_audit {\"a\":1", 64));
        let (second_text, second) = record(&second);
        assert_eq!(second["claimgate.prev"], digest::text(&digest::head(first_text)));
        assert!(!chain.is_due(&integrity, at(1009)));
        assert!(chain.is_due(&integrity, at(1010)));
        assert!(chain.is_due(&integrity, at(1)), "the clock was set back");
        let line = chain.checkpoint(&integrity, &internal, &[before], false, at(1010)).unwrap();
        let (_, checkpoint) = record(&line);
        assert_eq!(checkpoint["claimgate.seq"], 2);
        assert_eq!(checkpoint["claimgate.prev"], digest::text(&digest::head(second_text)));
        assert!(!chain.is_due(&integrity, at(2000)), "nothing to sign");
        assert_eq!(chain.head().to_string().parse(), Ok(chain.head().clone()));
    }
}
