//! The signature suites on the portable backend. `tests/e2e/signature_vectors.rs` runs them on the host.

use super::suites;
use claimgate::token::signature::Portable;

#[test]
fn signatures_verify_as_the_suites_say() {
    let Some(cases) = suites::signatures() else {
        return;
    };
    for case in cases {
        let verified = case.verified(&Portable);
        assert_eq!(verified, case.expected.unwrap_or(verified), "{}", case.name);
    }
}
