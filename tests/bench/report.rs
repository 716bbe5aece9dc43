//! `BENCHMARKS.md`, made whole from one run.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::load::{Load, Start};
use crate::table::Measured;

/// Everything that a run measured.
pub struct Report {
    /// What a request takes without a filter, in thousand instructions.
    pub none: f64,
    /// What the empty filter adds.
    pub empty: f64,
    /// The rows.
    pub rows: Vec<Measured>,
    /// Starts and memory.
    pub starts: Vec<Start>,
    /// Throughput and CPU time.
    pub loads: Vec<Load>,
    /// The size of the filter in bytes.
    pub size: u64,
}

impl Report {
    /// Writes it to the root of the project.
    pub fn write(&self) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("BENCHMARKS.md");
        std::fs::write(file, self.text()).unwrap();
    }

    fn text(&self) -> String {
        let times = times(&self.starts, &self.loads);
        let size = thousands(self.size as f64 / 1024.0, 0);
        let size = format!("`claimgate.wasm` has {size} KiB.\n");
        let parts = [INTRODUCTION.to_owned(), self.counts(), times, size, machine()];
        parts.join("\n")
    }

    fn counts(&self) -> String {
        let mut text = COUNTS.to_owned();
        let mut section = "";
        for measured in &self.rows {
            if section != measured.row.section {
                section = measured.row.section;
                let _ = write!(
                    text,
                    "\n| {section} | native | Claimgate | ratio | bar | |\n| --- | ---: | ---: | ---: | --- | --- |\n"
                );
            }
            let verdicts = measured.verdicts(&self.rows);
            let bars: Vec<&str> = verdicts.iter().map(|verdict| verdict.text.as_str()).collect();
            let holds = match verdicts.iter().all(|verdict| verdict.holds) {
                _ if verdicts.is_empty() => "",
                true => "holds",
                false => "**broken**",
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {holds} |",
                measured.row.title,
                measured.native.map_or_else(String::new, |native| thousands(native, 1)),
                thousands(measured.claimgate, 1),
                measured.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                bars.join("; "),
            );
        }
        let (none, empty) = (thousands(self.none, 1), thousands(self.empty, 1));
        text.replace("{none}", &none).replace("{empty}", &empty)
    }
}

/// The tables of throughput, starts and memory.
pub fn times(starts: &[Start], loads: &[Load]) -> String {
    let mut text = TIMES.to_owned();
    text += "\n| | requests a second | CPU time of Envoy a request |\n| --- | ---: | ---: |\n";
    for load in loads {
        let Load { name, throughput, microseconds } = load;
        let throughput = thousands(*throughput, 0);
        let _ = writeln!(text, "| {name} | {throughput} | {microseconds:.1} µs |");
    }
    text += STARTS;
    text += "\n| | start to first answer | resident memory | more than without |\n| --- | ---: | ---: | ---: |\n";
    let without = starts.first().map_or(0.0, |start| start.mebibytes);
    for Start { name, milliseconds, mebibytes } in starts {
        let more = mebibytes - without;
        let _ = writeln!(
            text,
            "| {name} | {milliseconds:.0} ms | {mebibytes:.1} MiB | {more:.1} MiB |"
        );
    }
    text
}

/// Where and with what it was measured.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut models = cpu.lines().filter_map(|line| line.strip_prefix("model name"));
    let model = models.next().map_or("unknown", |model| model.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let envoy = first_line(crate::process::binary().to_str().unwrap(), "--version");
    // `…/envoy  version: <commit>/<number>/<state>/<kind>/<library>`
    let envoy = envoy.split('/').rev().nth(3).unwrap_or("unknown").to_owned();
    let lines = [
        ("CPU", format!("{model}, {cores} cores")),
        ("system", first_line("uname", "-s")),
        ("Envoy", envoy),
        ("Claimgate", env!("CARGO_PKG_VERSION").to_owned()),
        ("compiler", first_line("rustc", "--version")),
        ("counted with", first_line("valgrind", "--version")),
        ("load by", first_line("wrk", "--version").split(" [").next().unwrap_or("wrk").to_owned()),
    ];
    let mut text = MACHINE.to_owned();
    for (name, value) in lines {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text
}

fn first_line(program: &str, option: &str) -> String {
    let output = Command::new(program).arg(option).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("unknown").trim().to_owned()
}

/// A number with a comma before each three digits.
fn thousands(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let whole = text.split('.').next().unwrap_or_default().len();
    let separated = |(at, digit): (usize, char)| {
        let left = whole.saturating_sub(at);
        let follows_digit = at > usize::from(value < 0.0);
        let comma = follows_digit && left > 0 && left.is_multiple_of(3);
        comma.then_some(',').into_iter().chain([digit])
    };
    text.chars().enumerate().flat_map(separated).collect()
}

const INTRODUCTION: &str = "\
<!-- Made by `make bench`. Do not edit: run it again. -->

# Benchmarks

What Claimgate costs, beside Envoy's own filters with the same policy (`jwt_authn`, `rbac` and claims to headers), an
empty Wasm filter and no filter. `make bench` measures all of it, writes this file, and fails where a bar is broken;
`make bench ONLY=rs256,routes-1000` prints some rows and writes nothing.
";

const COUNTS: &str = "\
## Instructions

Instructions are the yardstick: they repeat on any machine, busy or not, where times do not. One Envoy runs under
valgrind's callgrind with one worker and a listener for each filter chain, so that both sides get the same tokens in the same
process. 1,500 requests warm up (new tokens too, where every token is new), 500 are counted; a row that takes long is
counted over fewer. All go over one connection, and Envoy answers those that are let through by itself, so that a request
let through costs no more than one that is refused.

The tokens have a subject, an e-mail address and two roles. Both sides verify the signature, the issuer, the audience and
the times, ask for a role, set two headers for the upstream and remove the token. Both remember verified tokens, but for
`jwt_authn` where every token is new: there its cache is off, which is the cheaper. Nothing is recorded but in the table of
records: by Claimgate in its audit lines, on the native side in a JSON access log of eleven fields.

In thousand instructions a request, added to the {none} of a request without a filter. An empty Wasm filter adds {empty}.
";

const TIMES: &str = "\
## Throughput

Envoy with one worker, without valgrind, before an upstream that answers at once; wrk asks over 16 connections. All share this
machine's cores, so that the requests a second say little by themselves: the CPU time is Envoy's alone. The tokens are signed with
RS256. Each is the middle of five runs of one to three seconds in five Envoys.
";

const STARTS: &str = "
## Start and memory

From the start of the process to the first answer with a token, the middle of seven starts; the memory after 5,000 requests. A Wasm
filter runs in a VM a worker and one more in the main thread: with one worker, two.
";

const MACHINE: &str = "\
## Where

| | |
| --- | --- |
";
