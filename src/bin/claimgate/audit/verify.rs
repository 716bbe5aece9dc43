//! `claimgate audit verify`.

use super::read::{self, Found};
use crate::Failure;
use crate::output::Format;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// Envoy's log, plain or gzip, in any order; `-` is standard input.
    #[arg(required = true)]
    files: Vec<String>,
}

/// What was read.
#[derive(Default, serde::Serialize)]
struct Report {
    records: u64,
    unreadable: u64,
    first: Option<String>,
    last: Option<String>,
    bytes: Option<u64>,
}

pub fn run(arguments: &Arguments, format: Format) -> Result<ExitCode, Failure> {
    let mut report = Report { bytes: read::size(&arguments.files), ..Report::default() };
    read::each(&arguments.files, &mut |found, place| match found {
        Found::Record(text) => {
            report.records += 1;
            report.last = read::timestamp(text).map(str::to_owned);
            report.bytes = report.bytes.max(Some(place.read));
        }
        Found::Unreadable(why) => {
            report.unreadable += 1;
            let why = || format!("{}:{}: {why}", place.file, place.line);
            report.first.get_or_insert_with(why);
        }
    })?;
    format
        .print(&report, || format!("{} records, {} unreadable", report.records, report.unreadable));
    Ok(ExitCode::from(u8::from(report.unreadable > 0)))
}
