//! The command line: makes keys and tokens to try with, and checks a configuration by the filter's
//! own code. Each verb has a file; this one only names them.

mod audit;
mod check;
mod completions;
mod document;
mod explain;
mod fetch;
mod import;
mod issuer;
mod keys;
mod lines;
mod output;
mod prose;
mod push;
mod put;
mod render;
mod routes;
mod schema;
mod table;
mod testing;
mod token;
mod version;
mod yaml;

use clap::{CommandFactory as _, Parser, Subcommand};
use output::{Finding, Format};
use std::process::ExitCode;

/// Checks configurations of the Claimgate filter, and makes keys and tokens to try them with.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true, after_help = STATUS)]
struct Arguments {
    /// How results and errors are printed.
    #[arg(long, global = true, value_enum, default_value = "human")]
    format: Format,
    /// Whether they are coloured; `auto` colours a terminal's, unless NO_COLOR is set.
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    color: clap::ColorChoice,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb leaves to the shell; a verb that says more has it in its own help.
const STATUS: &str = "Exit status: 0 done, 1 done and something was found, 2 refused or not possible. \
                      Results go to standard output, errors and warnings to standard error.";

#[derive(Subcommand)]
enum Verb {
    /// Reads the audit records of Envoy's log.
    #[command(subcommand)]
    Audit(audit::Verb),
    /// Loads a configuration through the filter's own code, and judges what is around it in the file.
    #[command(after_help = "Exit status: 0 fine, 1 warnings under `--strict`, 2 refused.")]
    Check(check::Arguments),
    /// Explains what is decided on one request: which route and why, what each part of its condition saw, what
    /// client and upstream get.
    #[command(after_help = "Exit status: 0 allowed, 3 denied, 2 cannot decide.")]
    Explain(explain::Arguments),
    /// Prints the routes of a host, the most specific first.
    #[command(after_help = "Exit status: 0 done, 2 refused.")]
    Routes(routes::Arguments),
    /// Makes a configuration from Envoy's `jwt_authn` and `rbac` filters, or from Istio's manifests, that lets
    /// nothing through which these refuse.
    #[command(
        after_help = "Exit status: 0 all is carried over, 1 something was left out or is stricter, 2 cannot run."
    )]
    Import(import::Arguments),
    /// Prints the block of an issuer for a configuration, from what its OpenID discovery document says.
    #[command(after_help = issuer::STATUS)]
    Issuer(issuer::Arguments),
    /// Makes keys, prints the public half of them, and pushes a provider's into a configuration.
    #[command(subcommand)]
    Keys(keys::Verb),
    /// Writes the deployment manifest around a configuration: for Envoy, for Istio, for Envoy Gateway.
    #[command(subcommand, after_help = "Exit status: 0 written, 2 refused.")]
    Render(render::Verb),
    /// Runs policy tests: requests and claims, and what is to be decided.
    #[command(
        after_help = "Exit status: 0 all hold, 1 some fail or too little is covered, 2 cannot run."
    )]
    Test(testing::Arguments),
    /// Issues development tokens, and shows what a token says.
    #[command(subcommand)]
    Token(token::Verb),
    /// Prints the JSON Schema of the configuration, for editors and pipelines.
    Schema(schema::Arguments),
    /// Prints what completes this command line in a shell.
    Completions(completions::Arguments),
    /// Prints the version of this command line, and of a built filter.
    #[command(after_help = version::STATUS)]
    Version(version::Arguments),
}

/// Why a verb could not do its work: one sentence in lower case.
type Failure = String;

fn main() -> ExitCode {
    let Arguments { format, color, verb } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return output::usage(&error),
    };
    output::color(color);
    let done = match verb {
        Verb::Audit(verb) => audit::run(&verb, format),
        Verb::Check(arguments) => check::run(&arguments, format),
        Verb::Explain(arguments) => explain::run(&arguments, format),
        Verb::Import(arguments) => import::run(&arguments, format),
        Verb::Render(verb) => render::run(&verb, format).map(|()| ExitCode::SUCCESS),
        Verb::Routes(arguments) => routes::run(&arguments, format),
        Verb::Test(arguments) => testing::run(&arguments, format),
        Verb::Issuer(arguments) => issuer::run(&arguments, format),
        Verb::Keys(verb) => keys::run(&verb, format),
        Verb::Token(verb) => token::run(&verb, format).map(|()| ExitCode::SUCCESS),
        Verb::Schema(arguments) => {
            schema::run(&arguments, format);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Version(arguments) => version::run(&arguments, format),
        Verb::Completions(arguments) => {
            completions::run(&arguments, &mut Arguments::command());
            Ok(ExitCode::SUCCESS)
        }
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
