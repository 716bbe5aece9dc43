//! What is counted at all, and how much of it passes.

use crate::gate::*;
use claimgate::audit::Verdict;
use claimgate::response::Code;
use claimgate::time::Timestamp;
use serde_json::{Value, json};

#[test]
fn a_bucket_is_refilled_one_by_one() {
    let gate = three(json!({"requests": 60, "per": "1m", "burst": 5}));
    assert_eq!(gate.passed(&by("alice"), 9), 5);
    assert_eq!(gate.passed(&by("alice").after(1), 9), 1);
    assert_eq!(gate.passed(&by("alice").after(4), 9), 3);
    assert_eq!(gate.passed(&by("alice").after(3600), 9), 5, "never more than the burst");
}

#[test]
fn a_claim_says_how_much_passes() {
    let gate = || {
        let tiers = json!({
            "free": {"requests": 2, "per": "1h"},
            "pro": {"requests": 5, "per": "1h"},
            "odd": {"requests": 1, "per": "1h", "burst": 4},
            "default": {"requests": 1, "per": "1h"},
        });
        let limit =
            json!({"name": "plans", "by": ["subject"], "tier": {"claim": "plan"}, "tiers": tiers});
        Gate::of(configuration(json!([limit])))
    };
    for (plan, want) in [
        (json!("free"), 2),
        (json!("pro"), 5),
        (json!("odd"), 4),
        (json!("default"), 1),
        (json!("Pro"), 1),
        (json!(["pro"]), 1),
        (json!(5), 1),
        (json!(null), 1),
    ] {
        let of = ask(Some(&token("a", &json!({ "plan": plan }))));
        assert_eq!(gate().passed(&of, 9), want, "{plan}");
    }
    assert_eq!(gate().passed(&ask(None).to("/open"), 9), 1, "nobody has a plan");
    // Who changes the plan keeps the debt, as far as the new bucket has room for it.
    let [free, pro] = ["free", "pro"].map(|plan| ask(Some(&token("a", &json!({ "plan": plan })))));
    let gate = gate();
    assert_eq!(gate.passed(&free, 9), 2);
    assert!(gate.passed(&pro, 9) < 5);
}

#[test]
fn a_limit_is_for_what_its_condition_does_not_exclude() {
    let of = |claims: Value| ask(Some(&token("a", &claims)));
    let gate = || three(json!({"when": {"claim": "internal", "equals": false}}));
    assert_eq!(gate().passed(&of(json!({"internal": false})), 9), 3, "true");
    assert_eq!(gate().passed(&of(json!({})), 9), 3, "unknown");
    assert_eq!(gate().passed(&of(json!({"internal": true})), 9), 9, "false");
    assert_eq!(gate().passed(&ask(None).to("/open"), 9), 3, "unknown without a token");
    let gate = three(json!({"when": {"client_address": ["192.0.2.0/24"]}}));
    assert_eq!(gate.passed(&by("alice"), 9), 3);
    assert_eq!(gate.passed(&by("alice").from("203.0.113.9"), 9), 9);
    let gate = three(json!({"when": {"method": true, "equals": "POST"}}));
    assert_eq!(gate.passed(&by("alice"), 9), 9);
    assert_eq!(gate.passed(&Ask { method: "POST", ..by("alice") }, 9), 3);
}

#[test]
fn a_limit_is_for_its_routes() {
    let gate = three(json!({"routes": ["two", "open", "two"]}));
    assert_eq!(gate.passed(&by("alice"), 9), 9);
    assert_eq!(gate.passed(&by("alice").to("/two"), 9), 3);
    assert_eq!(gate.passed(&ask(None).to("/open"), 9), 3);
}

#[test]
fn what_is_refused_for_another_reason_is_not_counted() {
    let gate = three(json!({}));
    let refused = [
        (ask(None), "token_missing"),
        (by("alice").to("/closed"), "route_denied"),
        (by("alice").to("/nowhere"), "no_route"),
        (by("alice").to("/admins"), "claims_insufficient"),
        (by("alice").after(90_000), "token_expired"),
    ];
    for (refused, want) in refused {
        for _ in 0..9 {
            assert_eq!(gate.send(&refused), want);
        }
    }
    assert_eq!(gate.passed(&by("alice"), 9), 3);
}

#[test]
fn a_limit_in_shadow_mode_refuses_nothing_and_tells_it() {
    let gate = three(json!({"mode": "shadow"}));
    for _ in 0..3 {
        assert_eq!(gate.in_shadow(&by("alice")), (Verdict::Allowed, vec![]));
    }
    assert_eq!(gate.in_shadow(&by("alice")), (Verdict::Allowed, vec!["three".to_owned()]));
    let told = gate.decide(&by("alice"), |request, outcome| {
        let engine = &gate.0.engine;
        let identity = engine.identity_headers(&outcome);
        assert_eq!(identity, [("x-user-id".into(), "alice".to_owned())]);
        assert_eq!(engine.quotas(&outcome).count(), 0, "clients are told nothing of it");
        let note = engine.note(&outcome);
        engine.draft(request, &outcome, &note, "node", None, Timestamp::from_secs(NOW))
    });
    assert!(format!("{told:?}").contains("limits_in_shadow"), "{told:?}");
    // Its bucket is not emptied further by what another limit refuses.
    let both = json!([limit(json!({"mode": "shadow"})), {"name": "two", "by": ["subject"], "requests": 2, "per": "1h"}]);
    let gate = Gate::of(configuration(both));
    assert_eq!(gate.passed(&by("alice"), 9), 2);
    assert_eq!(gate.in_shadow(&by("alice")), (Verdict::Denied, vec![]));
}

#[test]
fn a_route_or_a_filter_in_shadow_mode_lets_pass_what_is_over() {
    let gate = three(json!({}));
    let trial = by("alice").to("/trial");
    for _ in 0..3 {
        assert_eq!(gate.send(&trial), "allowed");
    }
    assert_eq!(gate.send(&trial), "shadow rate_limited");
    assert_eq!(gate.send(&by("alice")), "rate_limited", "it is the same bucket");
    let mut shadow = configuration(json!([limit(json!({}))]));
    shadow["mode"] = json!("shadow");
    let gate = Gate::of(shadow);
    for _ in 0..3 {
        assert_eq!(gate.send(&by("alice")), "allowed");
    }
    for _ in 0..3 {
        assert_eq!(gate.send(&by("alice")), "shadow rate_limited");
    }
    gate.decide(&by("alice"), |_, outcome| {
        assert!(gate.0.engine.identity_headers(&outcome).is_empty(), "it passed not every check");
        assert_eq!(gate.0.engine.quotas(&outcome).count(), 0);
    });
    // A preflight is not counted here either, where it passes.
    let preflight = preflight("/two").from("203.0.113.9");
    for _ in 0..9 {
        assert_eq!(gate.send(&preflight), "allowed");
    }
}

#[test]
fn a_request_takes_of_every_limit_or_of_none() {
    let limits = json!([
        {"name": "wide", "by": ["issuer"], "requests": 10, "per": "1h"},
        {"name": "narrow", "by": ["subject"], "requests": 2, "per": "1h"},
    ]);
    let gate = Gate::of(configuration(limits));
    assert_eq!(gate.passed(&by("alice"), 50), 2);
    assert_eq!(gate.passed(&by("bob"), 50), 2);
    let others = (0..20).map(|other| gate.passed(&by(&format!("other-{other}")), 1));
    assert_eq!(others.sum::<usize>(), 6, "what was refused took nothing of the wide one");
}

fn preflight(path: &'static str) -> Ask {
    let ask = Ask { method: "OPTIONS", ..ask(None) }.to(path);
    ask.header("origin", "https://app.test").header("access-control-request-method", "GET")
}

#[test]
fn preflights_are_not_counted() {
    let gate = three(json!({"by": ["client_address"]}));
    for _ in 0..9 {
        let answered = gate.decide(&preflight("/one"), |_, outcome| outcome.preflight.is_some());
        assert!(answered);
    }
    assert_eq!(gate.passed(&by("alice"), 9), 3);
}

#[test]
fn a_candidate_counts_nothing() {
    let mut configuration = configuration(json!([limit(json!({})), guesses(json!({}))]));
    configuration["candidate"] = json!({"routes": [
        {"name": "one", "paths": ["/**"]},
    ]});
    let gate = Gate::of(configuration);
    let differs = |ask: &Ask| {
        gate.decide(ask, |_, outcome| {
            let code = outcome.difference.map(|difference| difference.code.map(Code::name));
            (outcome.refusal.map(|refusal| refusal.code.name()), code)
        })
    };
    for _ in 0..3 {
        assert_eq!(differs(&by("alice")), (None, None));
    }
    assert_eq!(differs(&by("alice")), (Some("rate_limited"), None), "that is no difference");
    for guess in 0..3 {
        assert_eq!(differs(&forged(guess)), (Some("signature_invalid"), None));
    }
    // It is not tried, so that its signature is not checked after all.
    assert_eq!(differs(&forged(3)), (Some("rate_limited"), None));
}
