//! What Claimgate costs, beside Envoy's own filters, an empty Wasm filter and no filter: all in one Envoy, with the same
//! tokens. `make bench` runs it and writes `BENCHMARKS.md`.
//!
//! `ENVOY` names Envoy's binary and `CLAIMGATE_WASM` the filter; [`Options`] is the command line. It fails where a bar is
//! broken.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking, and reads the clock and the environment"
)]

mod bootstrap;
mod callgrind;
mod client;
mod filters;
#[path = "../e2e/harness/keys.rs"]
#[allow(dead_code, reason = "the end-to-end tests use all of it")]
mod keys;
mod load;
mod options;
mod process;
mod report;
mod rows;
mod table;
mod tokens;
#[path = "../e2e/harness/wire.rs"]
#[allow(dead_code, reason = "the end-to-end tests use all of it")]
mod wire;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use bootstrap::Bootstrap;
use callgrind::Counter;
use options::Options;
use report::Report;
use table::Measured;

fn main() -> ExitCode {
    let options = Options::read();
    let (claimgate, empty) = (claimgate_wasm(), empty_wasm());
    if options.load {
        print!("{}", report::times(&load::starts(&claimgate), &load::loads(&claimgate)));
        return ExitCode::SUCCESS;
    }
    let (none, empty, rows) = count(&options, &claimgate, &empty);
    let broken: Vec<String> = rows
        .iter()
        .filter(|measured| measured.verdicts(&rows).iter().any(|verdict| !verdict.holds))
        .map(|measured| measured.row.name.clone())
        .collect();
    if options.only.is_empty() {
        println!("starts, memory and throughput");
        let starts = load::starts(&claimgate);
        let loads = load::loads(&claimgate);
        let size = claimgate.metadata().unwrap().len();
        Report { none, empty, rows, starts, loads, size }.write();
        println!("BENCHMARKS.md is written");
    }
    if broken.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("a bar is broken: {}", broken.join(", "));
    ExitCode::FAILURE
}

/// What a request takes without a filter, what the empty filter adds, and the rows, printed as they come.
fn count(options: &Options, claimgate: &Path, empty: &Path) -> (f64, f64, Vec<Measured>) {
    let mut bootstrap = Bootstrap::default();
    let none_at = bootstrap.listener(Vec::new(), false);
    let empty_at = bootstrap.listener(filters::empty(empty), false);
    let mut places = Vec::new();
    for row in rows::rows(callgrind::TOKENS, |name| options.wants(name)) {
        let native = (row.native && !options.without_native)
            .then(|| bootstrap.listener(row.policy.native(), row.policy.audit));
        let guarded = bootstrap.listener(row.policy.claimgate(claimgate), false);
        places.push((row, native, guarded));
    }
    let mut counter = Counter::start(&bootstrap.to_json(options.upstream.then(client::upstream)));
    let none = counter.count(&rows::plain(), &none_at);
    let empty = counter.count(&rows::plain(), &empty_at) - none;
    println!("thousand instructions a request: {none:.1} without a filter; added:");
    println!("{:<16} {empty:>21.1}", "empty filter");
    println!("{:<16} {:>10} {:>10} {:>7}", "", "native", "claimgate", "ratio");
    let mut rows: Vec<Measured> = Vec::new();
    for (row, native, guarded) in places {
        let native = native.map(|listener| counter.count(&row, &listener) - none);
        let claimgate = counter.count(&row, &guarded) - none;
        rows.push(Measured { row, native, claimgate });
        println!("{}", rows[rows.len() - 1].line(&rows));
    }
    (none, empty, rows)
}

/// The filter under test.
fn claimgate_wasm() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/claimgate.wasm");
    let file = std::env::var_os("CLAIMGATE_WASM").map_or_else(default, PathBuf::from);
    file.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The empty filter, compiled.
fn empty_wasm() -> PathBuf {
    let wasm = Path::new(env!("CARGO_TARGET_TMPDIR")).join("empty_filter.wasm");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition", "2024", "--target", "wasm32-wasip1", "--crate-type", "cdylib"]);
    rustc.args(["-C", "opt-level=3", "-C", "strip=symbols", "-o"]).arg(&wasm);
    rustc.arg("tests/bench/empty_filter.rs").current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(rustc.status().unwrap().success(), "{rustc:?}");
    wasm
}
