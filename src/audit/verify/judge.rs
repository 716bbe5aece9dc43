//! What is wrong with a log when all of it is read.

use super::{Chain, Claim, Period, Report, Verifier};
use crate::audit::finding::{Kind, Spot};
use crate::audit::link::{Named, Stamp};
use crate::time::Timestamp;

/// For how many seconds a chain may have no checkpoint: `checkpoint` is an hour at most.
const UNSIGNED: u64 = 3_700;

impl Verifier<'_> {
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
            // What was signed before the time that is asked for may be gone. Other times are anyone's to write.
            let old = chain.first_signed.is_some() && chain.first_signed <= self.period.since;
            if gap.0 > 0 || !old {
                self.gap(&chain.id, *gap);
            }
        }
        let lived =
            chain.last_time.zip(chain.first_time).map_or(0, |(last, first)| last.since(&first));
        if chain.signed.is_none() && any_signed && (chain.first_seq > 0 || lived > UNSIGNED) {
            let why = "no checkpoint ties these records to the log";
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

    pub(super) fn gap(&mut self, chain: &str, (from, to, spot): (u64, u64, Spot)) {
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
        let Named { chain: id, seq, time, .. } = &claim.named;
        let written = Stamp::at(Timestamp::from_secs(*time));
        let chain = self.places.get(id).and_then(|index| chains.get(*index));
        match chain {
            // All of it was written before the time that is asked for.
            None if written.is_some() && written <= self.period.since => {}
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
}
