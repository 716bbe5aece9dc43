//! `claimgate check`: what the filter would say of a configuration when it loads.

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

pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let found = document::configurations(&read(&arguments.file)?)
        .map_err(|failure| format!("`{}`: {failure}", arguments.file))?;
    let (mut refused, mut warned) = (false, false);
    for document::Found { place, value, name } in found {
        let inside = if place.is_empty() { String::new() } else { format!(" at {place}") };
        match config::load_value(value, &name, &environment, &Portable) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    eprintln!("warning: {}{inside}: {warning}", arguments.file);
                    warned = true;
                }
                let engine = &loaded.engine;
                println!(
                    "{}{inside}: `{}` loads, routes: {}, issuers: {}",
                    arguments.file,
                    engine.name,
                    engine.routes.len(),
                    engine.issuers.len()
                );
            }
            Err(error) => {
                eprintln!("error: {}{inside}: {error}", arguments.file);
                refused = true;
            }
        }
    }
    Ok(match (refused, warned && arguments.strict) {
        (true, _) => ExitCode::from(2),
        (false, true) => ExitCode::from(1),
        (false, false) => ExitCode::SUCCESS,
    })
}

#[allow(clippy::disallowed_methods, reason = "the command line has an environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
