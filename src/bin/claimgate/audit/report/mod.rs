//! `claimgate audit report`: who accessed what.

mod counts;
mod document;
mod html;
mod tally;
mod terminal;

pub use terminal::visible;

use super::progress::Progress;
use super::read::{self, Found};
use crate::Failure;
use crate::output::Format;
use claimgate::audit::link::Stamp;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// Envoy's log, plain or gzip, in any order; `-` is standard input.
    #[arg(required = true)]
    files: Vec<String>,
    /// Counts what came at or after this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    since: Option<Stamp>,
    /// Counts what came before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    until: Option<Stamp>,
    /// How many entries each list has.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Writes the report into this file as a page for a browser, which loads nothing from anywhere.
    #[arg(long, value_name = "FILE")]
    html: Option<String>,
}

pub fn run(arguments: &Arguments, format: Format) -> Result<ExitCode, Failure> {
    let mut tally = tally::Tally::default();
    let mut progress = Progress::new(read::size(&arguments.files));
    let (since, until) = (arguments.since, arguments.until);
    read::each(&arguments.files, &mut |found, place| {
        match found {
            Found::Record(text) => tally.add(text, since, until),
            Found::Unreadable(_) => tally.unreadable += 1,
        }
        progress.at(place.read);
    })?;
    progress.end();
    let report = document::Document::new(tally, arguments.top);
    if let Some(file) = &arguments.html {
        std::fs::write(file, html::render(&report))
            .map_err(|error| format!("`{file}`: {error}"))?;
    }
    format.print(&report, || terminal::render(&report));
    Ok(ExitCode::SUCCESS)
}
