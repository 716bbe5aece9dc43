//! What is wrong with a log of audit records: the kinds, and a verdict of bounded size.

use std::collections::BTreeMap;

/// How many findings of a verdict are kept in full; the rest are counted.
const KEPT: usize = 100;

/// Where a record stands: the files and their lines are the caller's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The file, in the order of reading.
    pub file: usize,
    /// The line in it, from 1.
    pub line: u64,
}

/// A kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "`explanation` says what each is")]
pub enum Kind {
    Altered,
    Duplicated,
    Reordered,
    Inserted,
    Spliced,
    ForgedCheckpoint,
    Replayed,
    MissingRecords,
    MissingBeginning,
    NotClosed,
    ChainMissing,
    CutOff,
    NoChain,
    Unreadable,
    BeginsLate,
    EndsEarly,
}

impl Kind {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Duplicated => "duplicated",
            Self::Reordered => "reordered",
            Self::Inserted => "inserted",
            Self::Spliced => "spliced",
            Self::ForgedCheckpoint => "forged_checkpoint",
            Self::Replayed => "replayed",
            Self::MissingRecords => "missing_records",
            Self::MissingBeginning => "missing_beginning",
            Self::NotClosed => "not_closed",
            Self::ChainMissing => "chain_missing",
            Self::CutOff => "cut_off",
            Self::NoChain => "no_chain",
            Self::Unreadable => "unreadable",
            Self::BeginsLate => "begins_late",
            Self::EndsEarly => "ends_early",
        }
    }

    /// Whether it is one of integrity; else it is one of completeness.
    pub fn is_of_integrity(self) -> bool {
        match self {
            Self::Altered
            | Self::Duplicated
            | Self::Reordered
            | Self::Inserted
            | Self::Spliced
            | Self::ForgedCheckpoint
            | Self::Replayed => true,
            Self::MissingRecords
            | Self::MissingBeginning
            | Self::NotClosed
            | Self::ChainMissing
            | Self::CutOff
            | Self::NoChain
            | Self::Unreadable
            | Self::BeginsLate
            | Self::EndsEarly => false,
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The record that it is about, or the next after it.
    pub spot: Option<Spot>,
    /// Its chain.
    pub chain: Option<String>,
    /// Its number in the chain.
    pub seq: Option<u64>,
    /// What was found, in words.
    pub message: String,
}

/// Whether all is well, and else what is not.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// How many of each kind.
    pub counts: BTreeMap<Kind, u64>,
    /// The first ones that came up, at most 100.
    pub findings: Vec<Finding>,
    first: Option<Finding>,
}

impl Judgement {
    /// Whether nothing was found.
    pub fn is_intact(&self) -> bool {
        self.counts.is_empty()
    }

    /// The finding that comes first in the log; those without a place come last.
    pub fn first(&self) -> Option<&Finding> {
        self.first.as_ref()
    }

    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        let count = self.counts.entry(finding.kind).or_default();
        *count = count.saturating_add(1);
        let place = |finding: &Finding| (finding.spot.is_none(), finding.spot);
        if self.first.as_ref().is_none_or(|first| place(&finding) < place(first)) {
            self.first = Some(finding.clone());
        }
        if self.findings.len() < KEPT {
            self.findings.push(finding);
        }
    }
}
