//! Whether a log of audit records is as it was written (integrity) and whole (completeness).
//!
//! Fed record by record, in any interleaving of chains; what is held is some 16 KiB for each chain at most, however long
//! the log is.

mod judge;

use super::digest::{self, Head};
use super::finding::{Finding, Judgement, Kind, Spot};
use super::link::{Checkpoint, Event, Link, Named, Stamp};
use std::collections::{HashMap, VecDeque};

/// How many of the last records of a chain are remembered, to tell one that is doubled or swapped from one that
/// never was.
const RECENT: usize = 64;

/// How many gaps of a chain may still be filled by records that come late; older ones are settled.
const GAPS: usize = 64;

/// By how many seconds a record may say that it is older than what it follows: clocks are corrected.
const LATE: u64 = 300;

/// How many of a chain's own checkpoints are remembered: these are what other chains name.
const CHECKPOINTS: usize = 64;

/// Gives the payload of a compact JWS whose signature it verified.
pub type Check<'a> = dyn Fn(&str) -> Result<Vec<u8>, String> + 'a;

/// The time that a log has to cover.
#[derive(Clone, Copy, Debug, Default)]
pub struct Period {
    /// The log begins no later; what came before may be gone.
    pub since: Option<Stamp>,
    /// The log reaches at least this; chains may be open after it.
    pub until: Option<Stamp>,
}

/// The records of one VM and configuration.
#[derive(Debug)]
pub struct Chain {
    /// Its id.
    pub id: String,
    /// How many records were read.
    pub records: u64,
    /// The lowest number.
    pub first_seq: u64,
    /// The highest number.
    pub last_seq: u64,
    /// The time of the first record read.
    pub first_time: Option<Stamp>,
    /// The time of the last record read.
    pub last_time: Option<Stamp>,
    /// How many valid checkpoints it has.
    pub checkpoints: u64,
    /// The highest number that a valid checkpoint covers.
    pub signed: Option<u64>,
    /// Whether a valid closing record ends it.
    pub closed: bool,
    spot: Spot,
    last_spot: Spot,
    /// When the first checkpoint was signed that was read.
    first_signed: Option<Stamp>,
    /// Until when its own checkpoints show that it has no more records.
    shown_until: Option<Stamp>,
    recent: VecDeque<Seen>,
    /// Records of the chain itself: what others name.
    named: VecDeque<Seen>,
    /// Runs of numbers that were passed over, and what came after them.
    gaps: Vec<(u64, u64, Spot)>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    seq: u64,
    head: Head,
    prev: Option<Head>,
    spot: Spot,
}

/// A record that must be in the log, as another one says.
struct Claim {
    named: Named,
    spot: Spot,
}

/// What was found, and of which chains.
#[derive(Debug)]
pub struct Report {
    /// Whether records were altered, added or put elsewhere.
    pub integrity: Judgement,
    /// Whether records are missing.
    pub completeness: Judgement,
    /// The chains in the order of their first records.
    pub chains: Vec<Chain>,
    /// How many records were read.
    pub records: u64,
    /// Of these, how many are in no chain.
    pub unchained: u64,
}

/// The state of a log so far.
pub struct Verifier<'a> {
    check: &'a Check<'a>,
    period: Period,
    report: Report,
    places: HashMap<String, usize>,
    claims: HashMap<String, Claim>,
    first_unchained: Option<Spot>,
    first_time: Option<Stamp>,
    latest: Option<Stamp>,
}

impl<'a> Verifier<'a> {
    /// Begins a log whose checkpoints this verifies.
    pub fn new(check: &'a Check<'a>, period: Period) -> Self {
        let report = Report {
            integrity: Judgement::default(),
            completeness: Judgement::default(),
            chains: Vec::new(),
            records: 0,
            unchained: 0,
        };
        let (places, claims) = (HashMap::new(), HashMap::new());
        let (first_unchained, first_time, latest) = (None, None, None);
        Self { check, period, report, places, claims, first_unchained, first_time, latest }
    }

    /// Takes something in that is no record although it should be one.
    pub fn unreadable(&mut self, spot: Spot, why: &str) {
        self.add(Kind::Unreadable, Some(spot), None, why.to_owned());
    }

    /// Takes the next record in, from `{` to `}`.
    pub fn record(&mut self, record: &str, spot: Spot) {
        self.report.records += 1;
        let time = Stamp::written(record);
        self.first_time = self.first_time.or(time);
        let before = self.latest;
        self.latest = self.latest.max(time);
        let Some(link) = Link::of(record) else {
            self.report.unchained += 1;
            self.first_unchained.get_or_insert(spot);
            return;
        };
        let seen = Seen { seq: link.seq, head: digest::head(record), prev: link.prev, spot };
        let index = match self.places.get(link.chain) {
            Some(index) => *index,
            None => {
                self.begin(&link, spot, time, before);
                self.report.chains.len().saturating_sub(1)
            }
        };
        let fits = self.place(index, seen, time);
        if fits {
            self.claimed(link.chain, &seen);
            let event = Event::of(record);
            if event.is_some() {
                self.keep(index, seen);
            }
            match event {
                None | Some(Event::Opened(None)) => {}
                Some(Event::Opened(Some(named))) => self.claim(Claim { named, spot }),
                Some(Event::Signed { closes, jws, said }) => {
                    self.checkpoint(index, &seen, closes, &jws, said);
                }
            }
        }
    }

    fn begin(&mut self, link: &Link<'_>, spot: Spot, time: Option<Stamp>, before: Option<Stamp>) {
        self.places.insert(link.chain.to_owned(), self.report.chains.len());
        let middle = link.seq > 0;
        self.report.chains.push(Chain {
            id: link.chain.to_owned(),
            records: 0,
            first_seq: link.seq,
            last_seq: link.seq,
            first_time: time,
            last_time: time,
            checkpoints: 0,
            signed: None,
            closed: false,
            spot,
            last_spot: spot,
            first_signed: None,
            shown_until: None,
            recent: VecDeque::new(),
            named: VecDeque::new(),
            gaps: if middle { vec![(0, link.seq - 1, spot)] } else { Vec::new() },
        });
        let late = before.zip(time).map_or(0, |(before, time)| before.since(&time));
        if late > LATE {
            let message = format!("a chain begins here {late} s before records that come earlier");
            self.add(Kind::Replayed, Some(spot), Some((link.chain, link.seq)), message);
        }
    }

    /// Puts a record where it belongs in its chain; false where it has no place there.
    fn place(&mut self, index: usize, seen: Seen, time: Option<Stamp>) -> bool {
        let Some(chain) = self.report.chains.get_mut(index) else { return false };
        let at = |seq| chain.recent.iter().rev().find(move |known| known.seq == seq).copied();
        let (before, same, after) =
            (seen.seq.checked_sub(1).and_then(at), at(seen.seq), at(seen.seq.saturating_add(1)));
        let gap = chain.gaps.iter().position(|(from, to, _)| (*from..=*to).contains(&seen.seq));
        let id = chain.id.clone();
        let mut wrong: Vec<(Kind, Spot, u64, String)> = Vec::new();
        let fresh = chain.records == 0;
        let known = !fresh && seen.seq <= chain.last_seq;
        let mut fits = true;
        if known {
            let kind = match (gap, same) {
                (Some(gap), _) => {
                    let (from, to, spot) = chain.gaps.swap_remove(gap);
                    if from < seen.seq {
                        chain.gaps.push((from, seen.seq - 1, seen.spot));
                    }
                    if seen.seq < to {
                        chain.gaps.push((seen.seq + 1, to, spot));
                    }
                    chain.first_seq = chain.first_seq.min(seen.seq);
                    Some((Kind::Reordered, "it comes after records with higher numbers"))
                }
                (None, Some(same)) if same.head == seen.head && seen.seq == 0 => {
                    Some((Kind::Replayed, "the chain begins once more"))
                }
                (None, Some(same)) if same.head == seen.head => {
                    Some((Kind::Duplicated, "the same record was there before"))
                }
                (None, Some(_)) => Some((Kind::Inserted, "another record had this number before")),
                (None, None) => Some((Kind::Replayed, "this part of the chain was there before")),
            };
            fits = gap.is_some();
            wrong.extend(kind.map(|(kind, why)| (kind, seen.spot, seen.seq, why.to_owned())));
        } else if chain.closed {
            let why = "the chain was closed before";
            wrong.push((Kind::Inserted, seen.spot, seen.seq, why.to_owned()));
            fits = false;
        } else if !fresh && seen.seq - chain.last_seq > 1 {
            chain.gaps.push((chain.last_seq + 1, seen.seq - 1, seen.spot));
        }
        if fits {
            let torn = before.filter(|before| seen.prev != Some(before.head));
            wrong.extend(torn.map(|before| {
                let why = format!("record {} at the next number names another head", seen.seq);
                (Kind::Altered, before.spot, before.seq, why)
            }));
            let torn = after.filter(|after| after.prev != Some(seen.head));
            wrong.extend(torn.map(|after| {
                let why = format!("record {} names another head", after.seq);
                (Kind::Altered, seen.spot, seen.seq, why)
            }));
            let early = chain.shown_until.zip(time).map_or(0, |(signed, time)| signed.since(&time));
            if early > LATE && chain.signed < Some(seen.seq) {
                let why =
                    format!("it says that it is {early} s older than the checkpoint before it");
                wrong.push((Kind::Inserted, seen.spot, seen.seq, why));
            }
            if (seen.seq == 0) != seen.prev.is_none() {
                let why = "only the opening record, number 0, has no `claimgate.prev`";
                wrong.push((Kind::Altered, seen.spot, seen.seq, why.to_owned()));
            }
            if chain.recent.len() == RECENT {
                chain.recent.pop_front();
            }
            chain.recent.push_back(seen);
            chain.records += 1;
            chain.last_time = chain.last_time.max(time);
            if seen.seq >= chain.last_seq {
                (chain.last_seq, chain.last_spot) = (seen.seq, seen.spot);
            }
        }
        let settled = (chain.gaps.len() > GAPS).then(|| chain.gaps.remove(0));
        for (kind, spot, seq, message) in wrong {
            self.add(kind, Some(spot), Some((&id, seq)), message);
        }
        if let Some(gap) = settled {
            self.gap(&id, gap);
        }
        fits
    }

    /// Remembers a record of the chain itself.
    fn keep(&mut self, index: usize, seen: Seen) {
        let Some(chain) = self.report.chains.get_mut(index) else { return };
        if chain.named.len() == CHECKPOINTS {
            chain.named.pop_front();
        }
        chain.named.push_back(seen);
    }

    /// Verifies a checkpoint, and what it says.
    fn checkpoint(&mut self, index: usize, seen: &Seen, closes: bool, jws: &str, text: Head) {
        let said = (self.check)(jws).and_then(|payload| {
            Checkpoint::parse(&payload)
                .ok_or_else(|| "it does not say what a checkpoint says".into())
        });
        let Some(chain) = self.report.chains.get_mut(index) else { return };
        let id = chain.id.clone();
        let at = Some((id.as_str(), seen.seq));
        let said = match said {
            Ok(said) => said,
            Err(why) => return self.add(Kind::ForgedCheckpoint, Some(seen.spot), at, why),
        };
        let Some(last) = seen.seq.checked_sub(1) else {
            let why = "the opening record is none of a checkpoint".to_owned();
            return self.add(Kind::ForgedCheckpoint, Some(seen.spot), at, why);
        };
        if said.last.chain != id || said.last.seq != last || said.closed != closes {
            let why = format!(
                "it signs record {} of chain {}{}",
                said.last.seq,
                said.last.chain,
                if said.closed { " as the last" } else { "" }
            );
            return self.add(Kind::ForgedCheckpoint, Some(seen.spot), at, why);
        }
        let known = chain.recent.iter().rev().find(|known| known.seq == last);
        let head = known.map(|known| known.head).or(seen.prev);
        if head != Some(said.last.head) {
            let (spot, why) =
                (known.map_or(seen.spot, |known| known.spot), "the signed head is another one");
            return self.add(Kind::Altered, Some(spot), Some((&id, last)), why.to_owned());
        }
        if said.said != text {
            let why = "what this record says of itself is not what was signed".to_owned();
            return self.add(Kind::Altered, Some(seen.spot), at, why);
        }
        chain.checkpoints += 1;
        chain.first_signed = chain.first_signed.or(Some(said.time));
        chain.signed = chain.signed.max(Some(last));
        chain.shown_until = chain.shown_until.max(Some(said.time));
        chain.closed |= closes;
        for named in said.heads {
            self.claim(Claim { named, spot: seen.spot });
        }
    }

    /// Holds a record against what was said of it before.
    fn claimed(&mut self, chain: &str, seen: &Seen) {
        let Some(claim) = self.claims.get(chain) else { return };
        if claim.named.seq == seen.seq && claim.named.head != seen.head {
            let why = "another chain names another head".to_owned();
            self.add(Kind::Altered, Some(seen.spot), Some((chain, seen.seq)), why);
        }
    }

    /// Holds what is said of a record against the log so far, and keeps it for the rest.
    fn claim(&mut self, claim: Claim) {
        let named = &claim.named;
        let index = self.places.get(&named.chain).copied();
        if let Some(chain) = index.and_then(|index| self.report.chains.get(index)) {
            let seen = chain.recent.iter().chain(&chain.named);
            let other = |seen: &&Seen| seen.seq == named.seq && seen.head != named.head;
            if let Some(spot) = seen.filter(other).map(|seen| seen.spot).next() {
                let why = "another chain names another head".to_owned();
                let (chain, seq) = (named.chain.clone(), named.seq);
                return self.add(Kind::Altered, Some(spot), Some((&chain, seq)), why);
            }
        }
        let later = |known: &Claim| known.named.seq <= claim.named.seq;
        if self.claims.get(&claim.named.chain).is_none_or(later) {
            self.claims.insert(claim.named.chain.clone(), claim);
        }
    }

    fn add(&mut self, kind: Kind, spot: Option<Spot>, at: Option<(&str, u64)>, message: String) {
        let (chain, seq) = at.map(|(chain, seq)| (chain.to_owned(), seq)).unzip();
        let finding = Finding { kind, spot, chain, seq, message };
        if kind.is_of_integrity() {
            self.report.integrity.add(finding);
        } else {
            self.report.completeness.add(finding);
        }
    }
}
