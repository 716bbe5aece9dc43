//! `claimgate audit`: what can be told from the audit records in Envoy's log.

mod keys;
mod read;
mod report;
mod verify;

use crate::Failure;
use crate::output::Format;
use std::process::ExitCode;

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
