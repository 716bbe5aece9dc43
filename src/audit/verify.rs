//! Whether a log of audit records is as it was written (integrity) and whole (completeness).
//!
//! Fed record by record, in any interleaving of chains; what is held is some 8 KiB for each chain, however long the
//! log is.

use super::digest::{self, Head};
use super::finding::{Finding, Judgement, Kind, Spot};
use super::link::{Checkpoint, Event, Link, Named, Stamp};
use std::collections::{HashMap, VecDeque};

/// How many of the last records of a chain are remembered, to tell one that is doubled or swapped from one that
/// never was.
const RECENT: usize = 64;

/// How many gaps of a chain may still be filled by records that come late; older ones are settled.
const GAPS: usize = 64;

/// By how many seconds a chain that begins in its middle may lie before what was read already: an idle worker's
/// first record comes with its next checkpoint.
const LATE: u64 = 60;

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
    /// Until when others or its own checkpoints show that it has no more records.
    shown_until: Option<Stamp>,
    recent: VecDeque<Seen>,
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
    time: Option<Stamp>,
    /// By the opening record of the chain after it, not by a checkpoint.
    before: bool,
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
        let time = Stamp::of(record);
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
                self.begin(&link, spot, time, before, lasted(record));
                self.report.chains.len().saturating_sub(1)
            }
        };
        let fits = self.place(index, seen, time);
        if fits {
            self.claimed(link.chain, &seen);
            match Event::of(record) {
                None | Some(Event::Opened(None)) => {}
                Some(Event::Opened(Some(named))) => {
                    self.claim(Claim { named, spot, time, before: true });
                }
                Some(Event::Signed { closes, jws }) => {
                    self.checkpoint(index, &seen, closes, &jws);
                }
            }
        }
    }

    fn begin(
        &mut self,
        link: &Link<'_>,
        spot: Spot,
        time: Option<Stamp>,
        before: Option<Stamp>,
        lasted: u64,
    ) {
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
            shown_until: None,
            recent: VecDeque::with_capacity(RECENT),
            gaps: if middle { vec![(0, link.seq - 1, spot)] } else { Vec::new() },
        });
        let late = before.zip(time).map_or(0, |(before, time)| before.since(&time));
        // A record has the time when its stream began, and is written when that ends.
        let late = late.saturating_sub(lasted);
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

    /// Verifies a checkpoint, and what it says.
    fn checkpoint(&mut self, index: usize, seen: &Seen, closes: bool, jws: &str) {
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
        chain.checkpoints += 1;
        chain.signed = chain.signed.max(Some(last));
        chain.shown_until = chain.shown_until.max(Some(said.time));
        chain.closed |= closes;
        for named in said.heads {
            self.claim(Claim { named, spot: seen.spot, time: Some(said.time), before: false });
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
        if let Some(chain) = index.and_then(|index| self.report.chains.get_mut(index)) {
            let seen = chain.recent.iter().find(|seen| seen.seq == named.seq).copied();
            if let Some(seen) = seen {
                if seen.head != named.head {
                    let (chain, why) = (named.chain.clone(), "another chain names another head");
                    return self.add(
                        Kind::Altered,
                        Some(seen.spot),
                        Some((&chain, seen.seq)),
                        why.to_owned(),
                    );
                }
                if seen.seq == chain.last_seq {
                    chain.shown_until = chain.shown_until.max(claim.time);
                }
            }
        }
        let later = |known: &Claim| known.named.seq <= claim.named.seq;
        if self.claims.get(&claim.named.chain).is_none_or(later) {
            self.claims.insert(claim.named.chain.clone(), claim);
        }
    }

    /// Ends the log, and says what is wrong with it.
    pub fn finish(mut self) -> Report {
        let chains = std::mem::take(&mut self.report.chains);
        let any_signed = chains.iter().any(|chain| chain.signed.is_some());
        for chain in &chains {
            self.end(chain, any_signed);
        }
        for claim in std::mem::take(&mut self.claims).into_values() {
            self.absent(&chains, &claim);
        }
        if chains.is_empty() {
            let why = if self.report.records == 0 {
                "no audit record is in the log"
            } else {
                "no record is in a chain: `audit.integrity` is not configured"
            };
            self.add(Kind::NoChain, None, None, why.to_owned());
        } else if let Some(spot) = self.first_unchained {
            let count = self.report.unchained;
            let why = format!("{count} of the records are in no chain, this is the first");
            self.add(Kind::Inserted, Some(spot), None, why);
        }
        self.coverage();
        self.report.chains = chains;
        self.report
    }

    /// What is wrong with a chain when all is read.
    fn end(&mut self, chain: &Chain, any_signed: bool) {
        for gap in &chain.gaps {
            // What came before the time that is asked for may be gone.
            let excused = gap.0 == 0 && chain.first_time <= self.period.since;
            if !excused || chain.first_time.is_none() {
                self.gap(&chain.id, *gap);
            }
        }
        if chain.first_seq > 0 && chain.signed.is_none() && any_signed {
            let why = "neither an opening record nor a checkpoint ties these records to the log";
            self.add(
                Kind::Spliced,
                Some(chain.spot),
                Some((&chain.id, chain.first_seq)),
                why.to_owned(),
            );
        }
        let open = self.period.until.is_none_or(|until| chain.shown_until < Some(until));
        if !chain.closed && open {
            let unsigned = match chain.signed {
                Some(signed) => chain.last_seq.saturating_sub(signed),
                None => chain.records,
            };
            let why = format!("no record closes the chain; its last {unsigned} are not signed");
            self.add(
                Kind::NotClosed,
                Some(chain.last_spot),
                Some((&chain.id, chain.last_seq)),
                why,
            );
        }
    }

    fn gap(&mut self, chain: &str, (from, to, spot): (u64, u64, Spot)) {
        let kind = if from == 0 { Kind::MissingBeginning } else { Kind::MissingRecords };
        let which =
            if from == to { format!("record {from}") } else { format!("records {from} to {to}") };
        let verb = if from == to { "is" } else { "are" };
        self.add(
            kind,
            Some(spot),
            Some((chain, from)),
            format!("{which} {verb} missing before this"),
        );
    }

    /// Whether the log lacks what a record of it names.
    fn absent(&mut self, chains: &[Chain], claim: &Claim) {
        let Named { chain: id, seq, .. } = &claim.named;
        let chain = self.places.get(id).and_then(|index| chains.get(*index));
        match chain {
            // The chain before the first that is asked for.
            None if claim.before && claim.time.is_some() && claim.time <= self.period.since => {}
            None => {
                let why =
                    format!("this names chain {id} up to record {seq}, which is not in the log");
                self.add(Kind::ChainMissing, Some(claim.spot), Some((id, *seq)), why);
            }
            Some(chain) if chain.last_seq < *seq => {
                let why = format!(
                    "this names record {seq} of chain {id}, which ends in the log at {}",
                    chain.last_seq
                );
                self.add(Kind::CutOff, Some(claim.spot), Some((id, *seq)), why);
            }
            Some(_) => {}
        }
    }

    /// Whether the log covers the time that is asked for.
    fn coverage(&mut self) {
        let text = |time: Option<Stamp>| {
            time.map_or_else(|| "never".to_owned(), |time| time.as_str().to_owned())
        };
        let Period { since, until } = self.period;
        if let Some(since) = since {
            if self.first_time.is_none_or(|first| first > since) {
                let why = format!("the log begins {}, after `--since`", text(self.first_time));
                self.add(Kind::BeginsLate, None, None, why);
            }
            if self.latest.is_some_and(|latest| latest < since) {
                let why = format!("the log is an older one: it ends {}", text(self.latest));
                self.add(Kind::Replayed, None, None, why);
            }
        }
        if until.is_some() && self.latest < until {
            let why = format!("the log ends {}, before `--until`", text(self.latest));
            self.add(Kind::EndsEarly, None, None, why);
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

/// How many seconds the stream of a record was open.
fn lasted(record: &str) -> u64 {
    let nanos = record.split_once("\"event.duration\":").map_or("", |(_, rest)| rest);
    let end = nanos.find(|c: char| !c.is_ascii_digit()).unwrap_or(nanos.len());
    nanos.get(..end).and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0) / 1_000_000_000
}
