//! Where the data is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Once;

/// The folder of the data, if it is there.
pub fn folder() -> Option<PathBuf> {
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
pub fn text(name: &str) -> Option<String> {
    let path = folder()?.join(name);
    Some(std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")))
}

/// One file of it as JSON.
pub fn data(name: &str) -> Option<Value> {
    Some(serde_json::from_str(&text(name)?).unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// Decodes base64url.
pub fn b64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}
