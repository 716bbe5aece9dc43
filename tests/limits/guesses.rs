//! Refused tokens that are counted.

use crate::gate::*;
use claimgate::audit::Verdict;
use claimgate::response::{Code, Response};
use serde_json::{Value, json};

#[test]
fn who_guesses_is_refused_before_any_signature_is_checked() {
    let gate = Gate::of(configuration(json!([guesses(json!({}))])));
    let known = by("alice");
    assert_eq!(gate.send(&known), "allowed");
    for serial in 0..3 {
        assert_eq!(gate.send(&forged(serial)), "signature_invalid");
    }
    let (code, recall) = gate.decide(&forged(3), |_, outcome| {
        (outcome.refusal.map(|refusal| refusal.code), outcome.seen)
    });
    assert_eq!((code, recall), (Some(Code::RateLimited), None), "no token was judged");
    for (name, ask, want) in [
        ("a token that is not known", by("bob"), "rate_limited"),
        ("one that is", known, "allowed"),
        ("elsewhere", forged(4).to("/two"), "rate_limited"),
        ("no token", ask(None), "token_missing"),
        ("no token, where none is needed", ask(None).to("/optional"), "allowed"),
        ("where it is not looked at", forged(5).to("/open"), "allowed"),
        ("lenient", forged(6).to("/lenient"), "rate_limited"),
        ("another address", forged(7).from("203.0.113.9"), "signature_invalid"),
        ("later", by("bob").after(1200), "allowed"),
        ("later, a guess", forged(8).after(1200), "signature_invalid"),
        ("later, another guess", forged(9).after(1200), "rate_limited"),
    ] {
        assert_eq!(gate.send(&ask), want, "{name}");
    }
}

#[test]
fn every_token_that_is_refused_is_a_guess_also_where_lenience_passes_over_it() {
    let limit = || Gate::of(configuration(json!([guesses(json!({}))])));
    let two = by("alice").header("authorization", "Bearer x.y.z");
    for (ask, want) in [
        (ask(Some("nonsense")), "token_malformed"),
        (by("alice").after(90_000), "token_expired"),
        (two, "token_ambiguous"),
        (forged(1).to("/lenient"), "allowed"),
        (forged(1).to("/optional"), "signature_invalid"),
        (forged(1).to("/trial"), "shadow signature_invalid"),
    ] {
        let gate = limit();
        for _ in 0..3 {
            assert_eq!(gate.send(&ask), want);
        }
        let over = gate.send(&ask);
        assert_eq!(over.trim_start_matches("shadow "), "rate_limited", "after {want}");
    }
    // Refused for what it may do, not for what it is.
    let gate = limit();
    for _ in 0..9 {
        assert_eq!(gate.send(&by("alice").to("/admins")), "claims_insufficient");
        assert_eq!(gate.send(&ask(None)), "token_missing");
    }
    let gate = Gate::of(configuration(json!([guesses(json!({"mode": "shadow"}))])));
    for _ in 0..3 {
        assert_eq!(gate.in_shadow(&forged(1)), (Verdict::Denied, vec![]));
    }
    assert_eq!(gate.in_shadow(&forged(1)), (Verdict::Denied, vec!["guesses".to_owned()]));
    assert_eq!(gate.send(&forged(1)), "signature_invalid");
    assert_eq!(gate.send(&by("bob")), "allowed");
}

#[test]
fn who_is_refused_is_told_when_to_come_again() {
    let slow = json!({"name": "slow", "by": ["issuer"], "requests": 3, "per": "1h"});
    let mut configuration =
        configuration(json!([limit(json!({"requests": 60, "per": "1m", "burst": 3})), slow]));
    let plain = Gate::of(configuration.clone());
    assert_eq!(plain.passed(&by("alice"), 3), 3);
    let answer = plain.answer(&by("alice"));
    let header = |answer: &Response, name: &str| {
        let values = answer.headers.iter().filter(|(own, _)| *own == name);
        values.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(answer.status, 429);
    assert_eq!(header(&answer, "retry-after"), ["1200"], "the longest wait of all");
    assert!(header(&answer, "ratelimit").is_empty());
    assert!(header(&answer, "www-authenticate").is_empty());
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&body["status"], &body["code"]), (&json!(429), &json!("rate_limited")));
    let half = plain.answer(&Ask { nanos: by("alice").nanos + 1_199_500_000_000, ..by("alice") });
    assert_eq!(header(&half, "retry-after"), ["1"], "rounded up");
    let grpc = plain.answer(&by("alice").header("content-type", "application/grpc"));
    assert_eq!(grpc.grpc_status, Some(8));

    configuration["responses"]["ratelimit_headers"] = json!(true);
    let telling = Gate::of(configuration);
    assert_eq!(telling.passed(&by("alice"), 3), 3);
    let answer = telling.answer(&by("alice"));
    assert_eq!(header(&answer, "ratelimit-policy"), [r#""three";q=3;w=3, "slow";q=3;w=3600"#]);
    assert_eq!(header(&answer, "ratelimit"), [r#""three";r=0;t=3, "slow";r=0;t=3600"#]);
    let missing = telling.answer(&ask(None));
    assert!(header(&missing, "ratelimit").is_empty(), "no limit was asked");
}
