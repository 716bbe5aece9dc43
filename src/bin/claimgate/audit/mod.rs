//! `claimgate audit`: what can be told from the audit records in Envoy's log.

mod keys;
mod progress;
mod read;
mod report;
mod verify;

use crate::Failure;
use crate::output::Format;
use claimgate::audit::link::Stamp;
use claimgate::time::Timestamp;
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

#[derive(clap::Subcommand)]
pub enum Verb {
    /// Verifies that the audit records of a log are as they were written (integrity), and that none is missing
    /// (completeness).
    #[command(
        after_help = "Exit status: 0 intact, 1 something was altered or is missing, 2 cannot read."
    )]
    Verify(verify::Arguments),
    /// Reports who accessed what: subjects, endpoints, refusals by code and hour, invalid tokens by day.
    Report(report::Arguments),
}

pub fn run(verb: &Verb, format: Format) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Verify(arguments) => verify::run(arguments, format),
        Verb::Report(arguments) => report::run(arguments, format),
    }
}

/// A time in the form of records.
fn time(text: &str) -> Result<Stamp, String> {
    let time = humantime::parse_rfc3339(text).ok();
    let nanos =
        time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map(|time| time.as_nanos());
    let stamp = nanos.and_then(|nanos| u64::try_from(nanos).ok()).map(Timestamp::from_nanos);
    stamp
        .and_then(Stamp::at)
        .ok_or_else(|| "expected RFC 3339 in UTC, as 2026-11-25T10:00:00Z".to_owned())
}
