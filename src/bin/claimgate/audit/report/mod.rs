//! `claimgate audit report`: who accessed what.

mod counts;
mod document;
mod html;
mod tally;
mod terminal;

use super::read::{self, Found};
use crate::Failure;
use crate::output::Format;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::SystemTime;

/// How many bytes are read between two signs of progress: some tenths of a second's.
const STEP: u64 = 16 << 20;

#[derive(clap::Args)]
pub struct Arguments {
    /// Envoy's log, plain or gzip, in any order; `-` is standard input.
    #[arg(required = true)]
    files: Vec<String>,
    /// Counts what came at or after this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<String>,
    /// Counts what came before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<String>,
    /// How many entries each list has.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Writes the report into this file as a page for a browser, which loads nothing from anywhere.
    #[arg(long, value_name = "FILE")]
    html: Option<String>,
}

/// A time in the form of the records, whose texts compare as they do.
fn time(text: &str) -> Result<String, String> {
    let time: SystemTime = humantime::parse_rfc3339(text)
        .map_err(|_| "expected a time such as 2026-11-25T00:00:00Z".to_owned())?;
    Ok(humantime::format_rfc3339_millis(time).to_string())
}

pub fn run(arguments: &Arguments, format: Format) -> Result<ExitCode, Failure> {
    let mut tally = tally::Tally::default();
    let mut progress = Progress::new(read::size(&arguments.files));
    let (since, until) = (arguments.since.as_deref(), arguments.until.as_deref());
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

/// How far it is, on standard error where that is a terminal.
struct Progress {
    size: Option<u64>,
    terminal: bool,
    /// How many bytes are read when it is shown next.
    next: u64,
}

impl Progress {
    fn new(size: Option<u64>) -> Self {
        Self { size, terminal: std::io::stderr().is_terminal(), next: STEP }
    }

    fn at(&mut self, read: u64) {
        if !self.terminal || read < self.next {
            return;
        }
        self.next = read.saturating_add(STEP);
        let megabytes = |bytes: u64| bytes / 1_000_000;
        let shown = match self.size.filter(|size| *size > 0) {
            Some(size) => {
                let tenth = usize::try_from((read.saturating_mul(20) / size).min(20)).unwrap_or(0);
                let (done, left) = ("#".repeat(tenth), "-".repeat(20 - tenth));
                let percent = (read.saturating_mul(100) / size).min(100);
                format!("[{done}{left}] {percent:>3} % of {} MB", megabytes(size))
            }
            None => format!("{} MB", megabytes(read)),
        };
        let _ = write!(std::io::stderr().lock(), "\r{shown}");
    }

    fn end(&self) {
        if self.next > STEP {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}
