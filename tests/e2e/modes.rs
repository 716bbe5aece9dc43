//! What a route does with a token: `required`, `optional`, `lenient`, `none`.

use std::sync::LazyLock;

use serde_json::json;

use crate::harness::keys::P256;
use crate::harness::{Proxy, Request, Setup, Table, changed, claims, filter, now};

static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    let routes = json!([
        {"name": "required", "paths": ["/required"]},
        {"name": "explicit", "paths": ["/explicit"], "token": "required"},
        {"name": "optional", "paths": ["/optional"], "token": "optional"},
        {"name": "lenient", "paths": ["/lenient"], "token": "lenient"},
        {"name": "none", "paths": ["/none"], "token": "none"},
        {
            "name": "anonymous-or-sre", "paths": ["/anonymous-or-sre"], "token": "optional",
            "require": {"claim": "roles", "any_of": ["sre"], "absent": true},
        },
        {"name": "sre", "paths": ["/sre"], "token": "lenient", "require": {"claim": "roles", "any_of": ["sre"]}},
    ]);
    let identity = json!({"identity": {"headers": {"x-user-id": {"attribute": "subject"}}}});
    Proxy::start(Setup::new(changed(filter(routes), identity)))
});

#[test]
fn each_mode_takes_a_token_in_its_way() {
    let good = claims().sign(&P256);
    let expired = claims().with("exp", now() - 1000).sign(&P256);
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    let (good, expired, forged, garbage) =
        (Some(good), Some(expired), Some(forged), Some("garbage".to_owned()));
    let mut table = Table::new();
    for (path, token, expected) in [
        ("/required", &good, "allowed"),
        ("/required", &None, "token_missing"),
        ("/required", &expired, "token_expired"),
        ("/required", &forged, "signature_invalid"),
        ("/explicit", &None, "token_missing"),
        ("/optional", &good, "allowed"),
        ("/optional", &None, "allowed"),
        ("/optional", &expired, "token_expired"),
        ("/optional", &forged, "signature_invalid"),
        ("/optional", &garbage, "token_malformed"),
        ("/lenient", &good, "allowed"),
        ("/lenient", &None, "allowed"),
        ("/lenient", &expired, "allowed"),
        ("/lenient", &forged, "allowed"),
        ("/lenient", &garbage, "allowed"),
        ("/none", &good, "allowed"),
        ("/none", &None, "allowed"),
        ("/none", &expired, "allowed"),
        ("/none", &garbage, "allowed"),
    ] {
        let request = Request::get(path);
        let request = token.iter().fold(request, |request, token| request.bearer(token));
        let kind = token.as_ref().map_or("no token", |token| &token[token.len() - 7..]);
        table.row(format!("{path} with …{kind}"), PROXY.send(request).outcome(), expected);
    }
    table.check();
}

#[test]
fn only_a_verified_token_is_an_identity() {
    let good = claims().sign(&P256);
    let expired = claims().with("exp", now() - 1000).sign(&P256);
    for (path, token, identity) in [
        ("/optional", Some(&good), Some("alice")),
        ("/optional", None, None),
        ("/lenient", Some(&good), Some("alice")),
        ("/lenient", Some(&expired), None),
        ("/none", Some(&good), None),
    ] {
        let request = Request::get(path).header("x-user-id", "mallory");
        let request = token.iter().fold(request, |request, token| request.bearer(token));
        assert_eq!(PROXY.send(request).allowed().header("x-user-id"), identity, "{path} {token:?}");
    }
}

#[test]
fn a_lenient_route_records_what_was_wrong() {
    let expired = claims().with("exp", now() - 1000).sign(&P256);
    let exchange = PROXY.send(Request::get("/lenient").bearer(expired));
    exchange.allowed();
    let record = exchange.audit();
    assert!(record.to_string().contains("token_expired"), "{record}");
    assert_eq!(record["event.outcome"], "success", "{record}");
}

#[test]
fn a_route_without_tokens_leaves_them_alone() {
    let token = claims().sign(&P256);
    let echo = PROXY.send(Request::get("/none").bearer(&token));
    assert_eq!(echo.allowed().header("authorization"), Some(format!("Bearer {token}").as_str()));
    let echo = PROXY.send(Request::get("/none").header("authorization", "Basic YWxpY2U6cGFzcw=="));
    assert_eq!(echo.allowed().header("authorization"), Some("Basic YWxpY2U6cGFzcw=="));
}

#[test]
fn conditions_hold_for_the_anonymous_too() {
    let sre = claims().with("roles", json!(["sre"])).sign(&P256);
    let guest = claims().with("roles", json!(["guest"])).sign(&P256);
    let expired = claims().with("roles", json!(["sre"])).with("exp", now() - 1000).sign(&P256);
    PROXY.send(Request::get("/anonymous-or-sre")).allowed();
    PROXY.send(Request::get("/anonymous-or-sre").bearer(&sre)).allowed();
    PROXY.send(Request::get("/anonymous-or-sre").bearer(&guest)).refused("claims_insufficient");
    PROXY.send(Request::get("/sre").bearer(&sre)).allowed();
    PROXY.send(Request::get("/sre").bearer(&guest)).refused("claims_insufficient");
    // Without a verified token nothing about its claims is true; whether that is 401 or 403 is left open.
    for request in [Request::get("/sre"), Request::get("/sre").bearer(&expired)] {
        let outcome = PROXY.send(request).outcome();
        assert_ne!(outcome, "allowed");
    }
}
