//! The command line: makes keys and tokens to try with, and checks a configuration by the filter's
//! own code. Each verb has a file; this one only names them.

mod check;
mod document;
mod import;
mod keys;
mod token;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Checks configurations of the Claimgate filter, and makes keys and tokens to try them with.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Loads a configuration through the filter's own code. Exit status: 0 fine, 1 warnings under
    /// `--strict`, 2 refused.
    Check(check::Arguments),
    /// Makes a configuration from Envoy's `jwt_authn` and `rbac` filters, or from Istio's manifests, that
    /// lets nothing through which these refuse. Exit status: 0 all is carried over, 1 something was
    /// left out or is stricter, 2 cannot run.
    Import(import::Arguments),
    /// Makes keys, and prints the public half of them.
    #[command(subcommand)]
    Keys(keys::Verb),
    /// Issues development tokens, and shows what a token says.
    #[command(subcommand)]
    Token(token::Verb),
}

/// Why a verb could not do its work: one sentence in lower case.
type Failure = String;

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Import(arguments) => import::run(&arguments),
        Verb::Keys(verb) => keys::run(&verb).map(|()| ExitCode::SUCCESS),
        Verb::Token(verb) => token::run(&verb).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::from(2)
    })
}

/// Reads a file, or standard input where it is `-`.
fn read(path: &str) -> Result<String, Failure> {
    if path == "-" {
        std::io::read_to_string(std::io::stdin())
            .map_err(|error| format!("standard input: {error}"))
    } else {
        std::fs::read_to_string(path).map_err(|error| format!("`{path}`: {error}"))
    }
}
