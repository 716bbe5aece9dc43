//! Identities in buckets: a bucket has eight, each with the moment up to which its requests are paid for.
//!
//! Who finds no free place in its bucket takes the one with the least debt, and that debt: so no flood of identities sets a
//! limit back that is in force, and what is kept never grows.

use super::rate::{Rate, Room};
use super::{Counted, LimitId};
use crate::shelf::{Memory, Shelf, Unavailable};
use crate::time::Timestamp;
use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};

/// How many identities a bucket has.
const WAYS: usize = 8;
/// What a part of an entry takes, in bytes.
const WORD: usize = size_of::<u64>();
/// What a bucket takes, in bytes: two words an entry.
pub const BUCKET: usize = WAYS * 2 * WORD;
/// How often a bucket is written again that others write at the same time: each time one of them succeeded.
const TRIES: usize = 256;

/// How far apart two workers may read the clock, in nanoseconds: a debt that is this much more than a whole bucket is of a clock
/// that was set back, or of a slower rate.
const CLOCKS_APART: u64 = 1_000_000_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Table {
    hasher: Seeded,
    /// A power of two.
    buckets: u32,
    /// The longest that any identity can owe, in nanoseconds.
    longest: u64,
    shelf: Box<dyn Shelf>,
    /// How many took over a debt.
    pub evictions: Cell<u32>,
}

struct Seeded(SeedableRandomState);

/// Shows no seed.
impl std::fmt::Debug for Seeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seeded")
    }
}

impl Seeded {
    fn new(seed: u64) -> Self {
        // Only the first is secret; all workers must have both alike.
        Self(SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()))
    }
}

/// An identity's part of a limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub limit: LimitId,
    /// A hash of the limit and all that is counted together.
    pub identity: u64,
    pub rate: Rate,
    pub counted: Counted,
}

/// A bucket as it was read.
struct Read {
    bucket: u32,
    bytes: Vec<u8>,
    version: u32,
}

impl Table {
    /// For so many identities at least, none of which owes for `longest` nanoseconds, counted on a shelf of its own until [`Self::open`].
    pub fn new(identities: u32, longest: u64) -> Self {
        let buckets = identities.div_ceil(WAYS as u32).max(1).next_power_of_two();
        let hasher = Seeded::new(0);
        Self {
            hasher,
            buckets,
            longest,
            shelf: Box::new(Memory::default()),
            evictions: Cell::new(0),
        }
    }

    pub fn open(&mut self, seed: u64, shelf: Box<dyn Shelf>) {
        self.hasher = Seeded::new(seed);
        self.shelf = shelf;
    }

    pub fn buckets(&self) -> u32 {
        self.buckets
    }

    pub fn hasher(&self) -> impl Hasher + use<> {
        self.hasher.0.build_hasher()
    }

    /// How a claim stands.
    pub fn peek(&self, claim: &Claim, now: Timestamp) -> Result<Room, Unavailable> {
        let read = self.read(claim)?;
        let room = claim.rate.take(read.place(claim).1.debt(now)).0;
        if !room.passes() {
            self.set_right(claim, read, now)?;
        }
        Ok(room)
    }

    /// Takes a claim, if there is room.
    pub fn take_one(&self, claim: &Claim, now: Timestamp) -> Result<Room, Unavailable> {
        let read = self.read(claim)?;
        self.pay(claim, read, now)
    }

    /// Takes each claim; none where one has no room that `refuses`.
    pub fn take(
        &self,
        claims: &[Claim],
        refuses: impl Fn(usize) -> bool,
        now: Timestamp,
    ) -> Result<Vec<Room>, Unavailable> {
        let reads = claims.iter().map(|claim| self.read(claim)).collect::<Result<Vec<_>, _>>()?;
        let room =
            |(claim, read): (&Claim, &Read)| claim.rate.take(read.place(claim).1.debt(now)).0;
        let rooms: Vec<Room> = claims.iter().zip(&reads).map(room).collect();
        let refused = |rooms: &[Room]| {
            rooms.iter().enumerate().any(|(at, room)| !room.passes() && refuses(at))
        };
        if refused(&rooms) {
            let over = claims.iter().zip(reads).zip(&rooms).filter(|(_, room)| !room.passes());
            for ((claim, read), _) in over {
                self.set_right(claim, read, now)?;
            }
            return Ok(untaken(claims, rooms));
        }
        let mut paid = Vec::with_capacity(claims.len());
        for (claim, read) in claims.iter().zip(reads) {
            paid.push(self.pay(claim, read, now)?);
            if refused(&paid) {
                // Another worker was faster; what was paid so far is for a request that does not pass.
                let mut passed = claims.iter().zip(&paid).filter(|(_, room)| room.passes());
                passed.try_for_each(|(claim, _)| self.give_back(claim))?;
                let rest = rooms.get(paid.len()..).unwrap_or_default();
                paid.extend_from_slice(rest);
                return Ok(untaken(claims, paid));
            }
        }
        Ok(paid)
    }

    /// Takes one, if there is room.
    fn pay(&self, claim: &Claim, mut read: Read, now: Timestamp) -> Result<Room, Unavailable> {
        for _ in 0..TRIES {
            let (place, entry) = read.place(claim);
            let debt = entry.debt(now);
            let (room, debt_after) = claim.rate.take(debt);
            if !room.passes() && !self.is_lost(claim, entry, now) {
                return Ok(self.refuse(claim, entry, room, now));
            }
            let paid = now.as_nanos().saturating_add(debt_after);
            read.put(place, Entry { identity: claim.identity, paid });
            if self.shelf.write(read.bucket, &read.bytes, read.version)? {
                if entry.identity != claim.identity && debt > 0 {
                    self.evictions.set(self.evictions.get().saturating_add(1));
                }
                return Ok(room);
            }
            read = self.read(claim)?;
        }
        Err(Unavailable("too many workers write the same part of the shelf"))
    }

    /// How a claim stands that takes nothing, maybe for another one's debt, which may be longer than its own ever is.
    #[cold]
    fn refuse(&self, claim: &Claim, entry: Entry, room: Room, now: Timestamp) -> Room {
        if entry.identity != claim.identity {
            self.evictions.set(self.evictions.get().saturating_add(1));
        }
        let own = claim.rate.refill() - claim.rate.period();
        Room { wait: entry.debt(now).saturating_sub(own), ..room }
    }

    /// Writes what is left of a debt that is lost, of a claim that takes nothing.
    fn set_right(&self, claim: &Claim, mut read: Read, now: Timestamp) -> Result<(), Unavailable> {
        for _ in 0..TRIES {
            let (place, entry) = read.place(claim);
            if !self.is_lost(claim, entry, now) {
                return Ok(());
            }
            let paid = now.as_nanos().saturating_add(claim.rate.refill());
            read.put(place, Entry { identity: claim.identity, paid });
            if self.shelf.write(read.bucket, &read.bytes, read.version)? {
                return Ok(());
            }
            // Another limit of the same request may have its place in the same bucket.
            read = self.read(claim)?;
        }
        Ok(())
    }

    fn give_back(&self, claim: &Claim) -> Result<(), Unavailable> {
        for _ in 0..TRIES {
            let mut read = self.read(claim)?;
            let (place, entry) = read.place(claim);
            if entry.identity != claim.identity {
                return Ok(());
            }
            let paid = entry.paid.saturating_sub(claim.rate.period());
            read.put(place, Entry { paid, ..entry });
            if self.shelf.write(read.bucket, &read.bytes, read.version)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn read(&self, claim: &Claim) -> Result<Read, Unavailable> {
        let bucket = self.bucket(claim);
        let (mut bytes, version) = self.shelf.read(bucket)?;
        if bytes.len() != BUCKET {
            // Nobody counted yet, or somebody else wrote over it.
            bytes = vec![0; BUCKET];
        }
        Ok(Read { bucket, bytes, version })
    }

    /// Whether a debt is more than whoever has it can owe. If it stayed, a clock that was set back would refuse until it is where
    /// it was.
    fn is_lost(&self, claim: &Claim, entry: Entry, now: Timestamp) -> bool {
        let own = entry.identity == claim.identity;
        let most = if own { claim.rate.refill() } else { self.longest };
        entry.debt(now).saturating_sub(most) > CLOCKS_APART
    }

    /// Guesses, which anybody can make from many addresses, have a quarter of the buckets to themselves.
    #[inline]
    fn bucket(&self, claim: &Claim) -> u32 {
        let guesses = self.buckets / 4;
        let (first, count) = match claim.counted {
            Counted::Requests => (guesses, self.buckets - guesses),
            Counted::Refused if guesses > 0 => (0, guesses),
            Counted::Refused => (0, self.buckets),
        };
        first + (((claim.identity >> 32) * u64::from(count)) >> 32) as u32
    }
}

/// How claims stand of which none was taken in the end.
fn untaken(claims: &[Claim], mut rooms: Vec<Room>) -> Vec<Room> {
    for (claim, room) in claims.iter().zip(&mut rooms) {
        *room = claim.rate.untaken(*room);
    }
    rooms
}

/// An identity, and the moment up to which its requests are paid for, in nanoseconds since the Unix epoch. All zeros is a
/// free place.
#[derive(Clone, Copy)]
struct Entry {
    identity: u64,
    paid: u64,
}

impl Entry {
    fn debt(self, now: Timestamp) -> u64 {
        self.paid.saturating_sub(now.as_nanos())
    }
}

impl Read {
    /// The place of a claim's identity, or else the one that it would take: that of the least debt.
    fn place(&self, claim: &Claim) -> (usize, Entry) {
        let mut least = (0, Entry { identity: 0, paid: u64::MAX });
        for (place, [identity, paid]) in
            self.bytes.as_chunks::<WORD>().0.as_chunks::<2>().0.iter().enumerate()
        {
            let entry =
                Entry { identity: u64::from_le_bytes(*identity), paid: u64::from_le_bytes(*paid) };
            if entry.identity == claim.identity {
                return (place, entry);
            }
            if entry.paid < least.1.paid {
                least = (place, entry);
            }
        }
        least
    }

    fn put(&mut self, place: usize, entry: Entry) {
        let words = self.bytes.as_chunks_mut::<WORD>().0.as_chunks_mut::<2>().0;
        if let Some(words) = words.get_mut(place) {
            *words = [entry.identity.to_le_bytes(), entry.paid.to_le_bytes()];
        }
    }
}
