//! `claimgate audit verify`.

use super::keys;
use super::progress::Progress;
use super::read::{self, Found};
use super::report::visible;
use crate::Failure;
use crate::output::Format;
use crate::table::Table;
use claimgate::audit::finding::{Finding, Judgement, Spot};
use claimgate::audit::link::Stamp;
use claimgate::audit::verify::{Chain, Period, Report, Verifier};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// How many chains are listed for people.
const SHOWN: usize = 200;

#[derive(clap::Args)]
pub struct Arguments {
    /// Envoy's log, plain or gzip; the files of a rotated one in any order; `-` is standard input.
    #[arg(required = true)]
    files: Vec<String>,
    /// A public Ed25519 key that signs checkpoints: PEM, a JWK or a JWK Set; may be given several times.
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<String>,
    /// Verifies the links of the records alone: whoever can write the log can make these anew.
    #[arg(long, conflicts_with = "keys")]
    without_key: bool,
    /// The log begins no later than this time, RFC 3339; what was before it may be gone.
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    since: Option<Stamp>,
    /// The log reaches at least this time, RFC 3339; chains may be open after it.
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    until: Option<Stamp>,
}

pub fn run(arguments: &Arguments, format: Format) -> Result<ExitCode, Failure> {
    if arguments.keys.is_empty() && !arguments.without_key {
        return Err(
            "no key verifies the checkpoints: give the public one by `--key`, or `--without-key` \
                    to verify the links of the records alone"
                .to_owned(),
        );
    }
    let keys = if arguments.without_key { None } else { Some(keys::load(&arguments.keys)?) };
    let check = |jws: &str| keys::check(keys.as_ref(), jws);
    let mut verifier =
        Verifier::new(&check, Period { since: arguments.since, until: arguments.until });
    let mut files: Vec<String> = Vec::new();
    let mut progress = Progress::new(read::size(&arguments.files));
    read::each(&arguments.files, &mut |found, place| {
        if files.last().is_none_or(|last| last != place.file) {
            files.push(place.file.to_owned());
        }
        let spot = Spot { file: files.len().saturating_sub(1), line: place.line };
        match found {
            Found::Record(record) => verifier.record(record, spot),
            Found::Unreadable(why) => verifier.unreadable(spot, why),
        }
        progress.at(place.read);
    })?;
    progress.end();
    let report = Shown { report: verifier.finish(), files, signed: keys.is_some() };
    format.print(&report.document(), || report.text());
    let intact = report.report.integrity.is_intact() && report.report.completeness.is_intact();
    Ok(ExitCode::from(u8::from(!intact)))
}

/// A report, and what the spots in it mean.
struct Shown {
    report: Report,
    files: Vec<String>,
    signed: bool,
}

impl Shown {
    fn place(&self, spot: Option<Spot>) -> Option<(&str, u64)> {
        let spot = spot?;
        Some((self.files.get(spot.file)?, spot.line))
    }

    fn document(&self) -> Value {
        let chain = |chain: &Chain| {
            json!({
                "chain": chain.id,
                "records": chain.records,
                "first_time": chain.first_time.as_ref().map(Stamp::as_str),
                "last_time": chain.last_time.as_ref().map(Stamp::as_str),
                "first_seq": chain.first_seq,
                "last_seq": chain.last_seq,
                "checkpoints": chain.checkpoints,
                "signed_seq": chain.signed,
                "closed": chain.closed,
            })
        };
        json!({
            "intact": self.report.integrity.is_intact() && self.report.completeness.is_intact(),
            "signatures_verified": self.signed,
            "records": self.report.records,
            "unchained": self.report.unchained,
            "integrity": self.judgement(&self.report.integrity),
            "completeness": self.judgement(&self.report.completeness),
            "chains": self.report.chains.iter().map(chain).collect::<Vec<_>>(),
        })
    }

    fn judgement(&self, judgement: &Judgement) -> Value {
        let finding = |finding: &Finding| {
            let place = self.place(finding.spot);
            json!({
                "kind": finding.kind.name(),
                "file": place.map(|(file, _)| file),
                "line": place.map(|(_, line)| line),
                "chain": finding.chain,
                "seq": finding.seq,
                "message": finding.message,
            })
        };
        let counts = judgement.counts.iter();
        let counts: Map<String, Value> =
            counts.map(|(kind, count)| (kind.name().to_owned(), (*count).into())).collect();
        json!({
            "intact": judgement.is_intact(),
            "first": judgement.first().map(finding),
            "counts": counts,
            "findings": judgement.findings.iter().map(finding).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let mut verdicts = Table::new(["verdict", "", "found"]);
        let judgements =
            [("integrity", &self.report.integrity), ("completeness", &self.report.completeness)];
        for (name, judgement) in judgements {
            let state = if judgement.is_intact() { "intact" } else { "broken" };
            let found = judgement.counts.iter();
            let found: Vec<String> =
                found.map(|(kind, count)| format!("{count} {}", kind.name())).collect();
            verdicts.row([name.to_owned(), state.to_owned(), found.join(", ")]);
        }
        let mut text = verdicts.to_string();
        if !self.signed {
            text += "signatures of checkpoints are not verified: no --key is given\n";
        }
        for (name, judgement) in judgements {
            if let Some(first) = judgement.first() {
                text += &format!("{name} first broken at {}\n", self.sentence(first));
            }
        }
        text += &format!(
            "{} records, {} of them in no chain\n",
            self.report.records, self.report.unchained
        );
        if !self.report.chains.is_empty() {
            let mut chains =
                Table::new(["chain", "records", "seq", "first", "last", "checkpoints", "state"]);
            let time =
                |time: &Option<Stamp>| time.as_ref().map(Stamp::as_str).unwrap_or("-").to_owned();
            for chain in self.report.chains.iter().take(SHOWN) {
                chains.row([
                    chain.id.clone(),
                    chain.records.to_string(),
                    format!("{}-{}", chain.first_seq, chain.last_seq),
                    time(&chain.first_time),
                    time(&chain.last_time),
                    chain.checkpoints.to_string(),
                    state(chain),
                ]);
            }
            text += &format!("\n{chains}");
            let more = self.report.chains.len().saturating_sub(SHOWN);
            if more > 0 {
                text += &format!("and {more} more: --format json lists them\n");
            }
        }
        text
    }

    /// `FILE:LINE: KIND: chain C, record N: MESSAGE`.
    fn sentence(&self, finding: &Finding) -> String {
        let mut text = match self.place(finding.spot) {
            Some((file, line)) => format!("{file}:{line}: "),
            None => "the log as a whole: ".to_owned(),
        };
        text += finding.kind.name();
        if let (Some(chain), Some(seq)) = (&finding.chain, finding.seq) {
            text += &format!(": chain {chain}, record {seq}");
        }
        // Some of it is what a log says.
        visible(&(text + ": " + &finding.message))
    }
}

/// How far a chain is closed or signed.
fn state(chain: &Chain) -> String {
    match chain.signed {
        _ if chain.closed => "closed".to_owned(),
        None => "unsigned".to_owned(),
        Some(signed) => format!("open, signed to {signed}"),
    }
}
