//! What Claimgate costs, beside Envoy's own filters, an empty Wasm filter and no filter: all in one Envoy, with the same
//! tokens. `make bench` runs it and writes `BENCHMARKS.md`.
//!
//! `ENVOY` names Envoy's binary and `CLAIMGATE_WASM` the filter. `-- --only rs256,routes-100` measures the rows of these
//! names, or whose names begin so, and prints them without writing the file; `--without-native` leaves the native side out;
//! `--upstream` has requests go through Envoy to an upstream, where Envoy otherwise answers those let through by itself.
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
mod process;
mod rows;
mod table;
mod tokens;
#[path = "../e2e/harness/wire.rs"]
#[allow(dead_code, reason = "the end-to-end tests use all of it")]
mod wire;

use std::path::{Path, PathBuf};
use std::process::Command;

use bootstrap::Bootstrap;
use callgrind::Counter;
use filters::Policy;
use rows::Row;
use table::Measured;

fn main() {
    let options = Options::read();
    let rows = rows::rows(callgrind::TOKENS, |name| options.wants(name));
    let claimgate = claimgate_wasm();
    let empty = empty_wasm();
    let mut bootstrap = Bootstrap::default();
    let none_at = bootstrap.listener(Vec::new(), false);
    let empty_at = bootstrap.listener(filters::empty(&empty), false);
    let places: Vec<_> = rows
        .into_iter()
        .map(|row| {
            let native = (row.native && !options.without_native)
                .then(|| bootstrap.listener(row.policy.native(), row.policy.audit));
            let guarded = bootstrap.listener(row.policy.claimgate(&claimgate), false);
            (row, native, guarded)
        })
        .collect();
    let mut counter = Counter::start(&bootstrap.to_json(options.upstream.then(client::upstream)));
    let mut count = |row: &Row, listener: &str| {
        let address = counter.address(listener);
        counter.count(row, address)
    };
    let plain = rows::plain(Policy::new("RS256"));
    let none = count(&plain, &none_at);
    println!("{:<16} {none:>10.1}", "none");
    println!("{:<16} {:>10.1}", "empty filter", count(&plain, &empty_at) - none);
    println!("{:<16} {:>10} {:>10} {:>7}", "added by", "native", "claimgate", "ratio");
    let mut measured: Vec<Measured> = Vec::new();
    for (row, native, guarded) in places {
        let native = native.map(|listener| count(&row, &listener) - none);
        let claimgate = count(&row, &guarded) - none;
        measured.push(Measured { row, native, claimgate });
        println!("{}", measured[measured.len() - 1].line(&measured));
    }
}

/// What the command line asks for.
#[derive(Default)]
struct Options {
    only: Vec<String>,
    without_native: bool,
    upstream: bool,
}

impl Options {
    fn read() -> Self {
        let mut options = Options::default();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--only" => {
                    let names = words.next().expect("--only takes names of rows");
                    options.only.extend(names.split(',').map(str::to_owned));
                }
                "--upstream" => options.upstream = true,
                "--without-native" => options.without_native = true,
                // Cargo says so to every benchmark.
                "--bench" => {}
                other => panic!(
                    "unknown option {other}; there are --only, --without-native and --upstream"
                ),
            }
        }
        options
    }

    fn wants(&self, name: &str) -> bool {
        let mut wanted = self.only.iter();
        self.only.is_empty()
            || wanted.any(|wanted| {
                name.strip_prefix(wanted.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            })
    }
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
