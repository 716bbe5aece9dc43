//! `claimgate check`: what the filter would say of a configuration when it loads.

use crate::output::{Finding, Format, Severity};
use crate::{Failure, document, read};
use claimgate::config;
use claimgate::token::signature::Portable;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// A configuration in JSON or YAML, alone or inside an envoy.yaml, an ECDS resource file or an
    /// Istio WasmPlugin; `-` is standard input.
    file: String,
    /// Warnings fail too.
    #[arg(long)]
    strict: bool,
}

/// A configuration that was looked at.
#[derive(serde::Serialize)]
struct Checked {
    file: String,
    place: String,
    loads: bool,
    name: Option<String>,
    routes: usize,
    issuers: usize,
}

pub fn run(arguments: &Arguments, format: Format) -> Result<ExitCode, Failure> {
    let file = &arguments.file;
    let found =
        document::configurations(&read(file)?).map_err(|failure| format!("`{file}`: {failure}"))?;
    let (mut checked, mut warned) = (Vec::new(), false);
    for document::Found { place, value, name } in found {
        let tell = |severity, inside: &config::Place, message: String| {
            let place = match (place.is_empty(), inside.is_top()) {
                (true, _) => inside.to_string(),
                (false, true) => place.clone(),
                (false, false) => format!("{place}: {inside}"),
            };
            format.tell(&Finding { severity, file: file.clone(), place, message });
        };
        let loaded = config::load_value(value, &name, &environment, &Portable);
        let engine = match &loaded {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    tell(Severity::Warning, &warning.place, warning.reason.clone());
                    warned = true;
                }
                Some(&loaded.engine)
            }
            Err(error) => {
                tell(Severity::Error, &error.place, error.reason.clone());
                None
            }
        };
        checked.push(Checked {
            file: file.clone(),
            place: place.clone(),
            loads: engine.is_some(),
            name: engine.map(|engine| engine.name.clone()),
            routes: engine.map_or(0, |engine| engine.routes.len()),
            issuers: engine.map_or(0, |engine| engine.issuers.len()),
        });
    }
    format.print(&checked, || checked.iter().map(Checked::line).collect());
    let refused = checked.iter().any(|one| !one.loads);
    Ok(match (refused, warned && arguments.strict) {
        (true, _) => ExitCode::from(2),
        (false, true) => ExitCode::from(1),
        (false, false) => ExitCode::SUCCESS,
    })
}

impl Checked {
    fn line(&self) -> String {
        let Some(name) = &self.name else { return String::new() };
        let inside =
            if self.place.is_empty() { String::new() } else { format!(": {}", self.place) };
        let Self { file, routes, issuers, .. } = self;
        format!("{file}{inside}: `{name}` loads, routes: {routes}, issuers: {issuers}\n")
    }
}

#[allow(clippy::disallowed_methods, reason = "the command line has an environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
