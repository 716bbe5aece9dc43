//! The report, as JSON has it.

use super::counts::Counts;
use super::tally::{Span, Tally};
use serde::Serialize;
use std::collections::BTreeMap;

/// A list of what was seen most.
#[derive(Serialize)]
pub struct Top {
    pub entries: Vec<Entry>,
    /// By how much a count may be too low, where more was seen than can be remembered.
    pub error: u64,
}

#[derive(Serialize)]
pub struct Entry {
    pub name: String,
    pub requests: u64,
    pub denied: u64,
}

/// See the module.
#[derive(Serialize)]
pub struct Document {
    pub records: u64,
    pub unreadable: u64,
    /// Records that caps dropped before they were written.
    pub dropped: u64,
    pub first: Option<String>,
    pub last: Option<String>,
    pub requests: u64,
    pub allowed: u64,
    pub denied: u64,
    pub shadow_denied: u64,
    pub invalid_tokens: u64,
    pub codes: BTreeMap<&'static str, u64>,
    pub subjects: Top,
    pub routes: Top,
    pub endpoints: Top,
    pub failures: Top,
    pub hours: BTreeMap<String, Span>,
    pub days: BTreeMap<String, Span>,
}

impl Document {
    /// What was counted, with lists of so many entries.
    pub fn new(tally: Tally, most: usize) -> Self {
        let top = |counts: &Counts| {
            let entry = |(name, count): (&str, super::counts::Count)| Entry {
                name: name.to_owned(),
                requests: count.requests,
                denied: count.denied,
            };
            Top {
                entries: counts.top(most).into_iter().map(entry).collect(),
                error: counts.error(),
            }
        };
        Self {
            records: tally.records,
            unreadable: tally.unreadable,
            dropped: tally.dropped,
            requests: tally.total.requests,
            allowed: tally.total.requests - tally.total.denied,
            denied: tally.total.denied,
            shadow_denied: tally.shadow_denied,
            invalid_tokens: tally.total.invalid_tokens,
            codes: tally.total.codes,
            subjects: top(&tally.subjects),
            routes: top(&tally.routes),
            endpoints: top(&tally.endpoints),
            failures: top(&tally.failures),
            first: tally.first,
            last: tally.last,
            hours: tally.hours,
            days: tally.days,
        }
    }

    /// The lists, each with its title and what its names are.
    pub fn lists(&self) -> [(&'static str, &'static str, &Top); 4] {
        [
            ("Subjects", "subject", &self.subjects),
            ("Endpoints used most", "endpoint", &self.endpoints),
            ("Routes", "route", &self.routes),
            ("Addresses that were refused most", "address", &self.failures),
        ]
    }

    /// The counts of refusals by code, the most frequent first.
    pub fn refusals(&self) -> Vec<(&'static str, u64)> {
        let mut codes: Vec<(&'static str, u64)> =
            self.codes.iter().map(|(code, count)| (*code, *count)).collect();
        codes.sort_by_key(|(code, count)| (std::cmp::Reverse(*count), *code));
        codes
    }
}
