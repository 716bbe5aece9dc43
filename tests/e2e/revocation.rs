//! Tokens that were taken back: by what is pushed with the configuration, and by lists that are fetched.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::idp::Answer;
use crate::harness::keys::P256;
use crate::harness::{
    IdentityProvider, Proxy, Request, Setup, Table, changed, claims, eventually, filter,
};

/// Long enough ago that no clock is in the way, and not yet expired.
const ISSUED: &str = "2026-01-01T00:00:00Z";

fn configuration(revocation: Value) -> Value {
    let routes = json!([
        {"name": "open", "paths": ["/open"], "token": "none"},
        {"name": "lenient", "paths": ["/lenient"], "token": "lenient"},
        {"name": "all", "paths": ["/**"]},
    ]);
    changed(filter(routes), json!({"issuers": {"corp": {"revocation": revocation}}}))
}

fn fetching(provider: &IdentityProvider, remote: Value) -> Proxy {
    let usual = json!({"cluster": "idp", "url": "https://idp.test/revoked.json", "refresh": "1s"});
    let config = configuration(json!({"remote": changed(usual, remote)}));
    Proxy::start(Setup::new(config).idp(provider.address))
}

fn publish(provider: &IdentityProvider, list: &Value) {
    provider.answer(Answer::Http(200, String::new(), list.to_string()));
}

/// A token of this id.
fn token(jti: &str) -> String {
    claims().with("jti", jti).sign(&P256)
}

fn outcome(proxy: &Proxy, token: &str) -> String {
    proxy.send(Request::get("/").bearer(token)).outcome()
}

fn becomes(proxy: &Proxy, token: &str, wanted: &str) {
    let mut last = String::new();
    let reached = eventually(Duration::from_secs(20), || {
        last = outcome(proxy, token);
        (last == wanted).then_some(())
    });
    assert!(reached.is_some(), "{last}, not {wanted}");
}

#[test]
fn each_kind_of_entry_takes_back_what_it_names() {
    let list = json!({
        "tokens": ["stolen"], "sessions": ["s-1"], "subjects": {"alice": "2100-01-01T00:00:00Z", "carol": ISSUED},
    });
    let proxy = Proxy::start(Setup::new(configuration(list)));
    let mut table = Table::new();
    for (name, claims, want) in [
        ("its id", claims().with("sub", "bob").with("jti", "stolen"), "token_revoked"),
        ("another id", claims().with("sub", "bob").with("jti", "Stolen"), "allowed"),
        ("its session", claims().with("sub", "bob").with("sid", "s-1"), "token_revoked"),
        ("another session", claims().with("sub", "bob").with("sid", "s-10"), "allowed"),
        ("its subject", claims().with("sub", "alice"), "token_revoked"),
        ("another subject", claims().with("sub", "alice2"), "allowed"),
        ("issued later", claims().with("sub", "carol"), "allowed"),
        (
            "issued before",
            claims().with("sub", "carol").with("iat", 1_700_000_000),
            "token_revoked",
        ),
        ("issued at no time", claims().with("sub", "carol").without("iat"), "token_revoked"),
    ] {
        let token = claims.sign(&P256);
        table.row(name, outcome(&proxy, &token), want);
        table.row(format!("{name}, again"), outcome(&proxy, &token), want);
    }
    table.check();
    let refused = proxy.send(Request::get("/secret").bearer(token("stolen")));
    refused.refused("token_revoked");
    assert_eq!(refused.response.status, 401);
    let challenge = refused.header("www-authenticate").unwrap_or_default().to_owned();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    assert_eq!(refused.audit()["event.code"], "token_revoked");
    assert_eq!(refused.access()["details"], "claimgate.token_revoked");
    let lenient = proxy.send(Request::get("/lenient").bearer(token("stolen")));
    lenient.allowed();
    assert_eq!(lenient.audit()["event.code"], "token_revoked");
    assert!(lenient.audit().get("user.id").is_none());
}

#[test]
fn everything_before_a_time_is_taken_back_by_a_push_also_what_was_verified() {
    let proxy = Proxy::start(Setup::new(configuration(json!({"tokens": ["other"]}))).pushed());
    let (before, after) = (claims().with("iat", 1_700_000_000).sign(&P256), claims().sign(&P256));
    assert_eq!([outcome(&proxy, &before), outcome(&proxy, &after)], ["allowed", "allowed"]);
    proxy.push(configuration(json!({"issued_before": ISSUED}))).unwrap();
    assert_eq!([outcome(&proxy, &before), outcome(&proxy, &after)], ["token_revoked", "allowed"]);
}

#[test]
fn requests_wait_for_the_first_list() {
    let provider = IdentityProvider::start(Answer::Stall);
    let proxy = fetching(&provider, json!({"timeout": "10s"}));
    provider.wait_until_asked(1);
    std::thread::scope(|scope| {
        let ask = |jti: &str| {
            let request = Request::get("/").bearer(token(jti));
            scope.spawn(|| proxy.send(request).outcome())
        };
        let (good, stolen) = (ask("good"), ask("stolen"));
        proxy.send(Request::get("/open")).allowed();
        std::thread::sleep(Duration::from_millis(300));
        publish(&provider, &json!({"tokens": ["stolen"]}));
        assert_eq!(good.join().unwrap(), "allowed");
        assert_eq!(stolen.join().unwrap(), "token_revoked");
    });
}

#[test]
fn a_list_that_is_fetched_is_followed_and_kept_through_failures() {
    let provider = IdentityProvider::start(Answer::Close);
    publish(&provider, &json!({"tokens": ["one"]}));
    let proxy = fetching(&provider, json!({}));
    let [one, two, three] = ["one", "two", "three"].map(token);
    assert_eq!(
        [&one, &two, &three].map(|token| outcome(&proxy, token)),
        ["token_revoked", "allowed", "allowed"]
    );
    publish(&provider, &json!({"tokens": ["two"], "issued_before": "2020-01-01T00:00:00Z"}));
    becomes(&proxy, &two, "token_revoked");
    assert_eq!(outcome(&proxy, &one), "allowed");
    for broken in [
        Answer::Http(500, String::new(), String::new()),
        Answer::Http(200, String::new(), "<html>".into()),
        Answer::Http(200, String::new(), "[]".into()),
        Answer::Http(200, String::new(), r#"{"token": ["three"]}"#.into()),
        Answer::Http(200, String::new(), r#"{"tokens": ["three""#.into()),
        Answer::Http(304, String::new(), String::new()),
        Answer::Close,
    ] {
        provider.answer(broken);
        provider.wait_until_asked(provider.asked() + 1);
        assert_eq!(
            [&one, &two, &three].map(|token| outcome(&proxy, token)),
            ["allowed", "token_revoked", "allowed"]
        );
    }
    publish(&provider, &json!({"tokens": ["three"]}));
    becomes(&proxy, &three, "token_revoked");
    let told = eventually(Duration::from_secs(5), || {
        let entries = proxy.envoy.admin("/stats?filter=issuer=.=corp;.;claimgate_revocations");
        entries.trim_end().ends_with(": 1").then_some(())
    });
    assert!(told.is_some(), "{}", proxy.envoy.admin("/stats?filter=claimgate_revocation"));
    assert!(proxy.counted("claimgate_revocation_last_success_seconds", &[("issuer", "corp")]));
}

#[test]
fn a_stale_list_refuses_or_is_gone_by() {
    for (on_stale, unlisted) in [("refuse", "revocation_unavailable"), ("allow", "allowed")] {
        let provider = IdentityProvider::start(Answer::Close);
        publish(&provider, &json!({"tokens": ["stolen"]}));
        let proxy = fetching(&provider, json!({"max_stale": "2s", "on_stale": on_stale}));
        let (good, stolen) = (token("good"), token("stolen"));
        becomes(&proxy, &stolen, "token_revoked");
        assert_eq!(outcome(&proxy, &good), "allowed");
        provider.answer(Answer::Close);
        std::thread::sleep(Duration::from_secs(3));
        becomes(&proxy, &good, unlisted);
        assert_eq!(outcome(&proxy, &stolen), "token_revoked");
        if on_stale == "refuse" {
            let refused = proxy.send(Request::get("/").bearer(&good));
            refused.refused("revocation_unavailable");
            assert_eq!(
                (refused.response.status, &refused.audit()["event.code"]),
                (503, &json!("revocation_unavailable"))
            );
        }
        assert!(
            proxy
                .envoy
                .log
                .own_lines_from(0)
                .contains("revocations of issuer `corp` are older than `max_stale`")
        );
        publish(&provider, &json!({"tokens": ["good"]}));
        becomes(&proxy, &good, "token_revoked");
        becomes(&proxy, &stolen, "allowed");
    }
}

#[test]
fn before_any_list_it_is_as_the_operator_says() {
    for (on_stale, want) in [("refuse", "revocation_unavailable"), ("allow", "allowed")] {
        let provider = IdentityProvider::start(Answer::Close);
        let proxy = fetching(&provider, json!({"on_stale": on_stale}));
        provider.wait_until_asked(1);
        assert_eq!(outcome(&proxy, &token("good")), want, "{on_stale}");
    }
}

#[test]
fn a_million_tokens_are_fetched_and_known() {
    let provider = IdentityProvider::start(Answer::Close);
    let ids: Vec<String> = (0..1_000_000).map(|id| format!("{id:022}")).collect();
    publish(&provider, &json!({"tokens": ids}));
    let proxy = fetching(&provider, json!({"refresh": "1h", "max_stale": "1h", "timeout": "30s"}));
    for id in [0, 1, 500_000, 999_999] {
        becomes(&proxy, &token(&ids[id]), "token_revoked");
    }
    assert_eq!(outcome(&proxy, &token(&format!("{:022}", 1_000_000))), "allowed");
}
