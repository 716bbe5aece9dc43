//! The heads of the chains of one process, as its workers tell them to each other.
//!
//! They lie where other plugins of the process can write too: a code that only who holds the signing key can make tells
//! theirs from forged ones.

use super::chain::Integrity;
use super::link::Named;
use crate::time::Timestamp;
use std::fmt::Write as _;

/// The most chains that are told of; the one that was told of longest ago goes first. More than Envoy has workers.
const MAX_HEADS: usize = 256;

/// How many idle times pass before a chain of which nothing more was told, since its VM is gone, is forgotten: the others
/// have named it several times by then.
const FORGOTTEN: u32 = 3;

/// Reads and writes the table.
#[derive(Clone)]
pub struct Heads {
    key: [u8; 32],
    name: String,
    /// For how many seconds a chain is told of.
    lasting: u64,
}

impl Heads {
    /// For the chains that this signs.
    pub fn new(integrity: &Integrity) -> Self {
        let Integrity { signer, .. } = integrity;
        let owner = blake3::hash(&signer.public_key()).to_hex();
        let owner: String = owner.chars().take(16).collect();
        Self {
            key: signer.derive("claimgate 2026-11 heads of audit chains"),
            name: format!("{owner}.claimgate.heads"),
            lasting: integrity.idle().as_secs().saturating_mul(FORGOTTEN.into()),
        }
    }

    /// The name under which the table lies.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a table, without what is forgotten by now; one that its own workers did not write is empty.
    pub fn read(&self, bytes: &[u8], now: Timestamp) -> Table {
        let read = || {
            let text = std::str::from_utf8(bytes).ok()?;
            let (code, lines) = text.split_once('\n')?;
            // Compared in constant time.
            let code = blake3::Hash::from_hex(code).ok()?;
            if code != blake3::keyed_hash(&self.key, lines.as_bytes()) {
                return None;
            }
            lines.lines().map(entry).collect()
        };
        let oldest = (now.as_nanos() / 1_000_000_000).saturating_sub(self.lasting);
        let mut table: Vec<Entry> = read().unwrap_or_default();
        table.retain(|entry| entry.head.time >= oldest);
        Table(table)
    }

    /// Writes a table.
    pub fn write(&self, table: &Table) -> Vec<u8> {
        let mut lines = String::new();
        for Entry { head, ended } in &table.0 {
            // Writing to a String does not fail.
            let _ = writeln!(lines, "{} {head}", if *ended { "ended" } else { "lives" });
        }
        let code = blake3::keyed_hash(&self.key, lines.as_bytes());
        format!("{}\n{lines}", code.to_hex()).into_bytes()
    }
}

/// Shows nothing of the key.
impl std::fmt::Debug for Heads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heads").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The chains, the one that was told of longest ago first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    head: Named,
    ended: bool,
}

fn entry(line: &str) -> Option<Entry> {
    let (state, head) = line.split_once(' ')?;
    Some(Entry { head: Named::parse(head)?, ended: state == "ended" })
}

impl Table {
    /// Tells of the newest record of a chain.
    pub fn tell(&mut self, head: &Named, ended: bool) {
        self.0.retain(|entry| entry.head.chain != head.chain);
        self.0.push(Entry { head: head.clone(), ended });
        if self.0.len() > MAX_HEADS {
            self.0.remove(0);
        }
    }

    /// The chains but for this one.
    pub fn others(&self, chain: &str) -> Vec<Named> {
        let heads = self.0.iter().map(|entry| &entry.head);
        heads.filter(|head| *head.chain != *chain).cloned().collect()
    }

    /// Takes out a chain that has ended, for the one that follows it to name.
    pub fn take_ended(&mut self) -> Option<Named> {
        let index = self.0.iter().position(|entry| entry.ended)?;
        Some(self.0.remove(index).head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::sign::tests::signer;
    use std::time::Duration;

    fn head(chain: &str, seq: u64) -> Named {
        Named { chain: format!("{chain:_>22}"), seq, head: [9; 32], time: 1000 }
    }

    #[test]
    fn workers_read_what_they_wrote_and_nothing_else() {
        let integrity = Integrity { signer: signer(), checkpoint: Duration::from_secs(1) };
        let heads = Heads::new(&integrity);
        let at = Timestamp::from_secs;
        let mut table = Table::default();
        table.tell(&head("a", 3), false);
        table.tell(&head("b", 7), true);
        table.tell(&head("a", 4), false);
        let bytes = heads.write(&table);
        assert_eq!(heads.read(&bytes, at(1090)), table);
        assert_eq!(heads.read(&bytes, at(1091)), Table::default(), "long ago");
        assert_eq!(table.others(&head("a", 0).chain), [head("b", 7)]);
        let mut forged = bytes.clone();
        *forged.last_mut().unwrap() ^= 1;
        for bytes in [&b""[..], b"x\n", b"\xff", &forged, &bytes[1..]] {
            assert_eq!(heads.read(bytes, at(1000)), Table::default());
        }
        assert_eq!(table.take_ended(), Some(head("b", 7)));
        assert_eq!(table.take_ended(), None);
        for chain in 0..1000 {
            table.tell(&head(&chain.to_string(), 1), false);
        }
        assert_eq!(table.0.len(), MAX_HEADS);
        assert!(!format!("{heads:?}").contains("key"));
    }
}
