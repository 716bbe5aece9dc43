//! `claimgate test`: policy tests. A request and the claims of its caller, and what is to be decided.

pub mod ask;
pub mod cases;
mod coverage;
mod expect;
mod junit;
pub mod policy;
pub mod read;
mod report;
pub mod run;
pub mod tree;

pub use expect::mode_name;
pub use report::printable;

use crate::output::{Finding, Format};
use crate::{Failure, read as read_file};
use cases::Case;
use claimgate::time::Timestamp;
use coverage::{Coverage, Tried};
use policy::Policy;
use run::Ran;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

#[derive(clap::Args)]
pub struct Arguments {
    /// Files of cases; each names the configuration that it tests.
    #[arg(required = true, value_name = "CASES.yaml")]
    files: Vec<String>,
    /// Runs only the cases with this text in their names.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Tells what of each configuration the cases have tried. Of a route that can allow and refuse, each
    /// is a point, any other route is one; each leaf of a route's condition is two: that it holds, and
    /// that it does not.
    #[arg(long)]
    coverage: bool,
    /// Fails where less of a configuration is covered; shows the coverage.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    min_coverage: Option<u8>,
    /// Writes a report in JUnit XML too, as CI systems read it.
    #[arg(long, value_name = "FILE")]
    junit: Option<String>,
}

/// A file that was read.
struct Suite {
    file: String,
    now: Timestamp,
    cases: Vec<Case>,
    /// Which of the policies it tests.
    policy: usize,
}

/// What was run of a file.
struct Run<'s> {
    suite: &'s Suite,
    policy: &'s Policy,
    ran: Vec<Ran<'s>>,
}

pub fn run(arguments: &Arguments, format: Format) -> Result<ExitCode, Failure> {
    let now = now();
    let (mut suites, mut policies) = (Vec::new(), Vec::new());
    let mut findings = Vec::new();
    for file in &arguments.files {
        match suite(file, now, &mut policies) {
            Ok(suite) => suites.push(suite),
            Err(finding) => findings.push(finding),
        }
    }
    if !findings.is_empty() {
        findings.iter().for_each(|finding| format.tell(finding));
        return Ok(ExitCode::from(2));
    }
    let filter = arguments.filter.as_deref();
    let mut runs = Vec::new();
    for suite in &suites {
        let Some(policy) = policies.get(suite.policy) else { continue };
        let cases = cases::filtered(&suite.cases, filter);
        let ran: Result<Vec<Ran<'_>>, Finding> =
            cases.map(|case| run::run(policy, case, suite.now, &suite.file)).collect();
        match ran {
            Ok(ran) => runs.push(Run { suite, policy, ran }),
            Err(finding) => {
                format.tell(&finding);
                return Ok(ExitCode::from(2));
            }
        }
    }
    if runs.iter().all(|run| run.ran.is_empty()) {
        let filter = filter.unwrap_or_default();
        return Err(format!("`--filter {filter}`: no case has this in its name"));
    }
    let least = arguments.min_coverage;
    let coverage =
        if arguments.coverage || least.is_some() { covered(&policies, &runs) } else { Vec::new() };
    let short = coverage.iter().any(|one| least.is_some_and(|percent| !one.reaches(percent)));
    let report = report::Report::new(runs, coverage, least);
    if let Some(path) = &arguments.junit {
        let written = junit::document(&report).and_then(|xml| std::fs::write(path, xml));
        written.map_err(|error| format!("`{path}`: {error}"))?;
    }
    format.print(&report, || report.text());
    Ok(if report.failed == 0 && !short { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The coverage of each configuration, by all of its files.
fn covered(policies: &[Policy], runs: &[Run<'_>]) -> Vec<Coverage> {
    let tried = policies.iter().enumerate().map(|(index, policy)| {
        let mut tried = Tried::new(policy);
        let own = runs.iter().filter(|run| run.suite.policy == index);
        own.flat_map(|run| &run.ran).for_each(|ran| tried.count(&ran.decided));
        tried.sum()
    });
    tried.collect()
}

/// Reads a file of cases, and loads the configuration that it names, if no other file did.
fn suite(file: &str, now: Timestamp, policies: &mut Vec<Policy>) -> Result<Suite, Finding> {
    let text = read_file(file).map_err(Finding::error)?;
    let read = cases::read(&text).map_err(|error| Finding {
        file: file.to_owned(),
        place: policy::place_of(&error.place),
        ..Finding::error(error.reason)
    })?;
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let configuration = folder.join(&read.configuration).to_string_lossy().into_owned();
    let loaded = Policy::load(&configuration, read.at.as_deref())?;
    let known = policies.iter().position(|known| known.is(&loaded));
    let policy = known.unwrap_or(policies.len());
    if known.is_none() {
        policies.push(loaded);
    }
    let now = read.now.unwrap_or(now);
    Ok(Suite { file: file.to_owned(), now, cases: read.cases, policy })
}

/// The time of the machine.
#[allow(clippy::disallowed_methods, reason = "the command line has a clock")]
pub fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(now.as_nanos().try_into().unwrap_or(u64::MAX))
}
