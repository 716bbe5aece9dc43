//! The signature suites of `tests/vectors` inside of Envoy: by the host's own cryptography, and by the portable backend
//! in wasm. `CLAIMGATE_HOST_TEST` names the module of `tests/host`, which `make test` builds.

#[path = "../vectors/case.rs"]
mod case;
#[path = "../vectors/files.rs"]
mod files;
#[path = "../vectors/suites.rs"]
mod suites;

use claimgate::token::signature::Portable;
use serde::Deserialize;
use serde_json::json;

use crate::harness::{Proxy, Setup, Table, envoy};

/// What the host is asked, and how long such a signature is; every RSA key of the suites has 2,048 bits.
const HOSTED: [(&str, usize); 6] =
    [("RS256", 256), ("RS384", 256), ("RS512", 256), ("ES256", 64), ("ES384", 96), ("ES512", 132)];

/// What the module logs.
#[derive(Deserialize)]
struct Report {
    /// What the host was proven to verify.
    proven: Vec<String>,
    /// For each case: by the host, by the portable backend, and whether the host answered.
    verdicts: Vec<(bool, bool, bool)>,
}

#[test]
fn the_host_and_the_portable_backend_agree_with_the_suites() {
    let Some(cases) = suites::signatures() else {
        return;
    };
    let built = "target/wasm32-wasip1/native/claimgate_host_test.wasm";
    let module = envoy::module("CLAIMGATE_HOST_TEST", built);
    let log = Proxy::refusal(&Setup::new(json!(cases)).module(module));
    let report = log.lines().find_map(|line| Some(&line[line.find("{\"proven\"")?..]));
    let report = report.unwrap_or_else(|| panic!("no report in the log: {log}"));
    let report: Report = serde_json::from_str(report).unwrap();
    assert_eq!(report.proven, HOSTED.map(|(name, _)| name));
    assert_eq!(report.verdicts.len(), cases.len());
    let mut table = Table::new();
    for (case, (by_host, in_wasm, answered)) in cases.iter().zip(&report.verdicts) {
        // Where a suite leaves the verdict open (a `DigestInfo` without NULL), they agree all the same.
        let here = case.verified(&Portable);
        let agreed = *by_host == here && *in_wasm == here;
        let told = format!("by the host {by_host}, portable {in_wasm} in wasm and {here} here");
        table.hold(&case.name, agreed, &told);
        let right = case.expected.is_none_or(|expected| expected == *by_host);
        table.hold(&case.name, right, &told);
        // A signature of the wrong length is refused without the host.
        let asked = HOSTED.contains(&(&case.algorithm, case.signature.len()));
        table.hold(&case.name, *answered == asked, format!("the host answered: {answered}"));
    }
    table.check();
}
