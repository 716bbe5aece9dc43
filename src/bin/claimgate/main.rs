//! The command line: makes keys and tokens to try with, and checks a configuration by the filter's
//! own code. Each verb has a file; this one only names them.

mod check;
mod document;
mod keys;
mod output;
mod prose;
mod routes;
mod table;
mod token;

use clap::{Parser, Subcommand};
use output::{Finding, Format};
use std::process::ExitCode;

/// Checks configurations of the Claimgate filter, and makes keys and tokens to try them with.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Arguments {
    /// How results and errors are printed.
    #[arg(long, global = true, value_enum, default_value = "human")]
    format: Format,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Loads a configuration through the filter's own code. Exit status: 0 fine, 1 warnings under
    /// `--strict`, 2 refused.
    Check(check::Arguments),
    /// Prints the routes of a host, the most specific first. Exit status: 0, 2 refused.
    Routes(routes::Arguments),
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
    let Arguments { format, verb } = Arguments::parse();
    let done = match verb {
        Verb::Check(arguments) => check::run(&arguments, format),
        Verb::Routes(arguments) => routes::run(&arguments, format),
        Verb::Keys(verb) => keys::run(&verb).map(|()| ExitCode::SUCCESS),
        Verb::Token(verb) => token::run(&verb).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|failure| {
        format.tell(&Finding::error(failure));
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
