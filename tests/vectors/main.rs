//! Third-party test data, read in place: `../shared/vectors` from the project's root, or where
//! `CLAIMGATE_VECTORS` points. A clone without it runs every other test and is told so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod json_suite;
mod key_sets;
mod signatures;
mod tokens;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Once;

/// The folder of the data, if it is there.
fn folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors");
    let folder = std::env::var_os("CLAIMGATE_VECTORS").map_or_else(|| beside.into(), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        let told = "\nNOT RUN: the suites of tests/vectors, whose data is not here; \
                    CLAIMGATE_VECTORS names its folder\n";
        // Not captured by the test harness, unlike `eprintln`.
        std::io::stderr().write_all(told.as_bytes()).unwrap();
    });
    None
}

/// One file of it as text.
fn text(name: &str) -> Option<String> {
    let path = folder()?.join(name);
    Some(std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")))
}

/// One file of it as JSON.
fn data(name: &str) -> Option<Value> {
    Some(serde_json::from_str(&text(name)?).unwrap_or_else(|error| panic!("{name}: {error}")))
}

fn b64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}
