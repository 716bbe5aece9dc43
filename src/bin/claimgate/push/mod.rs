//! `claimgate keys push`: takes the keys that an identity provider publishes into a deployed configuration. What the
//! filter could not use never replaces keys that it uses.

mod edit;
mod jwk;
mod report;
mod target;
mod tree;
mod wait;

pub use edit::flow;
pub use jwk::published;

use crate::fetch::Reach;
use crate::output::{Finding, Format, Severity};
use crate::{Failure, document, put, read};
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};
use target::Target;

pub const STATUS: &str = "Exit status: 0 pushed, or nothing changed; 1 under `--dry-run`, something would change; 2 refused, and the \
                          file is as it was. With `--every`, 0 once a signal ends it.";

#[derive(clap::Args)]
pub struct Arguments {
    /// The file to push into: a configuration in JSON or YAML, alone or inside an ECDS resource file, an envoy.yaml
    /// or a manifest. `-` reads it from standard input and writes it to standard output.
    file: String,
    /// The provider's key set: the address that its `jwks_uri` names, or a file.
    #[arg(long, value_name = "URL")]
    from: String,
    /// Whose keys, where the configuration has several issuers.
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// How long a key stays that the provider no longer lists.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = overlap)]
    overlap: Duration,
    /// Pushes again and again, sooner after failures, until SIGTERM or SIGINT.
    #[arg(long, value_name = "TIME", value_parser = period, conflicts_with = "dry_run")]
    every: Option<Duration>,
    /// Tells what would change, and writes nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reach: Reach,
}

/// An overlap: up to ten years, which no key should outlive.
fn overlap(text: &str) -> Result<Duration, String> {
    const MOST: Duration = Duration::from_secs(10 * 366 * 86_400);
    let overlap = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if overlap > MOST { Err("more than ten years".to_owned()) } else { Ok(overlap) }
}

/// How often a file may change under a push before it gives up.
const ATTEMPTS: usize = 5;

pub fn run(arguments: &Arguments, format: Format) -> Result<ExitCode, Failure> {
    let Some(period) = arguments.every else {
        let report = arguments.push(format)?;
        arguments.tell(&report, format);
        return Ok(ExitCode::from(u8::from(report.dry_run && report.changed)));
    };
    if arguments.file == "-" || arguments.from == "-" {
        return Err(
            "`--every` needs a file and a provider to read again, not standard input".to_owned()
        );
    }
    wait::end_on_signals()?;
    let (mut failures, mut first) = (0, true);
    loop {
        match arguments.push(format) {
            Ok(report) => {
                // One that changes nothing is told of once, or when it ends a series of failures.
                if report.changed || first || failures > 0 {
                    arguments.tell(&report, format);
                }
                failures = 0;
                first = false;
            }
            Err(why) => {
                format.tell(&Finding::error(why));
                failures += 1;
            }
        }
        std::thread::sleep(wait::before_next(period, failures));
    }
}

/// A period of `--every`.
fn period(text: &str) -> Result<Duration, String> {
    let period = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if period < Duration::from_secs(1) { Err("at least `1s`".to_owned()) } else { Ok(period) }
}

impl Arguments {
    /// Fetches the keys and writes them, once.
    fn push(&self, format: Format) -> Result<Report, Failure> {
        let body = self.reach.read(&self.from)?;
        for _ in 0..ATTEMPTS {
            let path = match self.file.as_str() {
                "-" => None,
                // What a symbolic link leads to is replaced, not the link.
                file => Some(
                    std::fs::canonicalize(file).map_err(|error| format!("`{file}`: {error}"))?,
                ),
            };
            let shown = path.as_ref().map_or("-".into(), |path| path.to_string_lossy());
            let old = read(&shown)?;
            let within = |why: Failure| format!("`{}`: {why}", self.file);
            let (report, new) = self.edited(&old, &body, &path, format).map_err(within)?;
            match (&new, &path) {
                (Some(_), _) if self.dry_run => return Ok(report),
                (Some(new), Some(path)) if !put::replace(path, &old, new)? => continue,
                (new, None) if !self.dry_run => print(new.as_deref().unwrap_or(&old))?,
                _ => {}
            }
            return Ok(report);
        }
        Err(format!("`{}`: it changes again and again while keys are pushed into it", self.file))
    }

    /// The file with the keys of `body`, if anything changes.
    fn edited(
        &self,
        old: &str,
        body: &[u8],
        path: &Option<PathBuf>,
        format: Format,
    ) -> Result<(Report, Option<String>), Failure> {
        let documents = document::parse(old)?;
        let target = Target::find(&documents, self.issuer.as_deref())?;
        let algorithms = target.algorithms();
        let (listed, skipped) = jwk::published(body, algorithms)
            .map_err(|why| format!("the keys stay as they are: `{}`: {why}", self.from))?;
        let plan = jwk::plan(&target.keys(), &listed, algorithms, self.overlap, now());
        let mut report = Report::new(self, path, &target, &skipped);
        if !plan.changed {
            report.kept = plan.kept;
            return Ok((report, None));
        }
        let meant = target.with(&plan.entries);
        target.judge(meant.clone())?;
        let new = edit::replace(old, &target.at(), &plan.entries)?;
        target.confirm(&documents, &document::parse(&new)?, &meant)?;
        for warning in report.take(plan) {
            let (file, place) = (self.file.clone(), target.place());
            format.tell(&Finding { severity: Severity::Warning, file, place, message: warning });
        }
        Ok((report, Some(new)))
    }

    /// Tells what was done, where the file itself is not on standard output.
    fn tell(&self, report: &Report, format: Format) {
        if self.file == "-" && !self.dry_run {
            format.tell_as(report, || report.text());
        } else {
            format.print(report, || report.text());
        }
    }
}

/// The whole of a file on standard output: a part of it is no configuration.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| format!("standard output: {error}"))
}

fn now() -> SystemTime {
    #[allow(clippy::disallowed_methods, reason = "the command line has a clock")]
    SystemTime::now()
}
