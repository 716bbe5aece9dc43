//! What became of renewals, for all workers of the process.
//!
//! A fixed number of places, each with a list of entries: what is void leaves when its place is next written, and a place has a
//! bound in bytes, so that no number of sessions takes more.

use super::Tokens;
use super::seal::{Keys, NAME, NONCE};
use crate::shelf::{Memory, Shelf};
use crate::time::Timestamp;
use crate::token::fetching::LOST_AFTER;

/// How many places there are.
const PLACES: u32 = 256;
/// The most that one place holds, in bytes: 64 MiB in all.
const MAX_PLACE: usize = 256 << 10;
/// The most that it holds before one more is asked for: what was asked for has room.
const MAX_CLAIMED: usize = MAX_PLACE / 2;
/// What an entry takes besides what is sealed, in bytes.
const HEAD: usize = NAME + 1 + 8 + 4;
/// How often a place is written again that others write at the same time: each time one of them succeeded.
const TRIES: usize = 256;
/// How long a provider that failed is not asked for the same session again, in milliseconds.
const AFTER_FAILURE: i64 = 5_000;
/// How long a refresh token that was refused is not tried again, in milliseconds.
const AFTER_REFUSAL: i64 = 300_000;
/// No entry is for longer than this, in milliseconds: one that says so is of a clock that was set back.
const MAX_KEPT: i64 = 3_600_000;

/// How it stands with a session.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has asked the provider.
    Unknown,
    /// Somebody is asking.
    Pending,
    /// It gave these.
    Renewed(Tokens),
    /// It refused the refresh token.
    Refused,
    /// It did not answer, or nothing of use.
    Failed,
}

/// What became of a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Settled {
    /// It brought these.
    Renewed(Tokens),
    /// The provider refused the refresh token.
    Refused,
    /// It brought nothing of use.
    Failed,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Record {
    shelf: Box<dyn Shelf>,
}

impl Default for Record {
    fn default() -> Self {
        Self::new(Box::new(Memory::default()))
    }
}

const PENDING: u8 = 0;
const RENEWED: u8 = 1;
const REFUSED: u8 = 2;
const FAILED: u8 = 3;

/// An entry of a place, borrowed from its bytes: the name, the kind, until when it holds, and what is sealed.
#[derive(Clone, Copy)]
struct Entry<'b> {
    name: &'b [u8; NAME],
    kind: u8,
    until: i64,
    sealed: &'b [u8],
}

impl Record {
    pub fn new(shelf: Box<dyn Shelf>) -> Self {
        Self { shelf }
    }

    pub fn standing(&self, keys: &Keys, now: Timestamp) -> Result<Standing, &'static str> {
        let (bytes, _) = self.shelf.read(place(keys.name())).map_err(|gone| gone.0)?;
        let entry = entries(&bytes).find(|entry| entry.name == keys.name() && entry.holds(now));
        Ok(match entry.map(|entry| (entry.kind, entry.sealed)) {
            // There is no room to ask for it; nobody waits for that.
            None if taken(&bytes, now) + HEAD > MAX_CLAIMED => Standing::Failed,
            None => Standing::Unknown,
            Some((PENDING, _)) => Standing::Pending,
            Some((RENEWED, sealed)) => {
                keys.open(sealed).map_or(Standing::Failed, Standing::Renewed)
            }
            Some((REFUSED, _)) => Standing::Refused,
            Some(_) => Standing::Failed,
        })
    }

    pub fn claim(&self, keys: &Keys, timeout: i64, now: Timestamp) -> Result<bool, &'static str> {
        let until = now.as_millis().saturating_add(timeout).saturating_add(LOST_AFTER);
        let entry = Entry { name: keys.name(), kind: PENDING, until, sealed: &[] };
        self.write(entry, now, true)
    }

    pub fn settle(
        &self,
        keys: &Keys,
        settled: &Settled,
        reuse: i64,
        now: Timestamp,
        nonce: [u8; NONCE],
    ) -> Result<(), &'static str> {
        let (kind, kept, sealed) = match settled {
            Settled::Renewed(tokens) => {
                let sealed = keys.seal(tokens, nonce).ok_or("tokens that cannot be sealed")?;
                (RENEWED, reuse, sealed)
            }
            Settled::Refused => (REFUSED, AFTER_REFUSAL, Vec::new()),
            Settled::Failed => (FAILED, AFTER_FAILURE, Vec::new()),
        };
        let until = now.as_millis().saturating_add(kept);
        let entry = Entry { name: keys.name(), kind, until, sealed: &sealed };
        self.write(entry, now, false).map(drop)
    }

    /// Writes an entry; false where `only_new` and there is one already.
    fn write(&self, own: Entry<'_>, now: Timestamp, only_new: bool) -> Result<bool, &'static str> {
        let at = place(own.name);
        for _ in 0..TRIES {
            let (bytes, version) = self.shelf.read(at).map_err(|gone| gone.0)?;
            let mut place = Vec::with_capacity(bytes.len() + 64 + own.sealed.len());
            for entry in entries(&bytes).filter(|entry| entry.holds(now)) {
                if entry.name != own.name {
                    entry.write(&mut place);
                } else if only_new {
                    return Ok(false);
                }
            }
            own.write(&mut place);
            let most = if only_new { MAX_CLAIMED } else { MAX_PLACE };
            if place.len() > most {
                return Err("more sessions are renewed at once than there is room for");
            }
            if self.shelf.write(at, &place, version).map_err(|gone| gone.0)? {
                return Ok(true);
            }
        }
        Err("too many workers write the same part of the shelf")
    }
}

fn place(name: &[u8; NAME]) -> u32 {
    u32::from(name[0]) % PLACES
}

/// What the entries of a place take that hold, in bytes.
fn taken(bytes: &[u8], now: Timestamp) -> usize {
    entries(bytes).filter(|entry| entry.holds(now)).map(|entry| HEAD + entry.sealed.len()).sum()
}

impl Entry<'_> {
    fn holds(&self, now: Timestamp) -> bool {
        let left = self.until.saturating_sub(now.as_millis());
        (1..=MAX_KEPT).contains(&left)
    }

    fn write(&self, place: &mut Vec<u8>) {
        place.extend(self.name);
        place.push(self.kind);
        place.extend(self.until.to_le_bytes());
        place.extend((self.sealed.len() as u32).to_le_bytes());
        place.extend(self.sealed);
    }
}

/// The entries of a place, as far as they are whole.
fn entries(mut bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    std::iter::from_fn(move || {
        let (name, rest) = bytes.split_first_chunk::<NAME>()?;
        let (kind, rest) = rest.split_first()?;
        let (until, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (sealed, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        bytes = rest;
        Some(Entry { name, kind: *kind, until: i64::from_le_bytes(*until), sealed })
    })
}
