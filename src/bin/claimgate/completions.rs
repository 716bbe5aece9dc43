//! `claimgate completions`: what a shell loads to complete the command line.

use clap_complete::Shell;
use std::io::Write as _;

#[derive(clap::Args)]
pub struct Arguments {
    /// The shell; `source <(claimgate completions bash)` loads it into a running one.
    shell: Shell,
}

pub fn run(arguments: &Arguments, command: &mut clap::Command) {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, command, "claimgate", &mut script);
    // A reader that went away, as `head` does, wants no more.
    let _ = std::io::stdout().lock().write_all(&script);
}
