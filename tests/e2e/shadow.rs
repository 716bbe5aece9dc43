//! Shadow mode: what would be refused passes, and is recorded.

use std::sync::LazyLock;

use serde_json::json;

use crate::harness::keys::P256;
use crate::harness::{Proxy, Request, Setup, Table, changed, claims, filter, now};

/// A filter that enforces, with one route in shadow mode.
static ROUTE: LazyLock<Proxy> = LazyLock::new(|| {
    let routes = json!([
        {"name": "trial", "paths": ["/trial"], "mode": "shadow", "require": {"claim": "roles", "any_of": ["sre"]}},
        {"name": "live", "paths": ["/live"], "require": {"claim": "roles", "any_of": ["sre"]}},
        {"name": "no-trial", "paths": ["/trial/denied"], "deny": true},
    ]);
    let identity = json!({"identity": {"headers": {"x-user-id": {"attribute": "subject"}}}});
    Proxy::start(Setup::new(changed(filter(routes), identity)))
});

/// A filter that is as a whole in shadow mode.
static FILTER: LazyLock<Proxy> = LazyLock::new(|| {
    let routes = json!([
        {"name": "sre", "paths": ["/sre"], "methods": ["GET"], "require": {"claim": "roles", "any_of": ["sre"]}},
        {"name": "no-internal", "paths": ["/internal"], "deny": true},
    ]);
    let settings =
        json!({"mode": "shadow", "identity": {"headers": {"x-user-id": {"attribute": "subject"}}}});
    Proxy::start(Setup::new(changed(filter(routes), settings)))
});

#[test]
fn a_route_on_trial_refuses_nothing_and_records_everything() {
    let expired = claims().with("exp", now() - 1000).sign(&P256);
    let guest = claims().sign(&P256);
    for (token, code) in [
        (None, "token_missing"),
        (Some(&expired), "token_expired"),
        (Some(&guest), "claims_insufficient"),
    ] {
        let request = Request::get("/trial").header("x-user-id", "mallory");
        let request = token.iter().fold(request, |request, token| request.bearer(token));
        let exchange = ROUTE.send(request);
        assert_eq!(exchange.allowed().headers("x-user-id"), [""; 0], "{code}");
        let record = exchange.audit();
        assert!(record.to_string().contains(code), "{record}");
        assert_eq!(record["claimgate.route"], "trial");
        let labels = [("route", "trial"), ("outcome", "shadow_denied"), ("code", code)];
        assert!(ROUTE.counted("claimgate_requests_total", &labels), "{code} was not counted");
    }
}

#[test]
fn a_route_on_trial_still_knows_who_passes_every_check() {
    let token = claims().with("roles", json!(["sre"])).sign(&P256);
    let exchange = ROUTE.send(Request::get("/trial").bearer(token));
    let echo = exchange.allowed();
    assert_eq!(echo.header("x-user-id"), Some("alice"));
    assert_eq!(echo.header("authorization"), None, "the token was left on the request");
    assert!(
        ROUTE.counted("claimgate_requests_total", &[("route", "trial"), ("outcome", "allowed")])
    );
}

#[test]
fn other_routes_are_enforced() {
    ROUTE.send(Request::get("/live")).refused("token_missing");
    ROUTE.send(Request::get("/live").bearer(claims().sign(&P256))).refused("claims_insufficient");
    ROUTE.send(Request::get("/trial/denied")).refused("route_denied");
    ROUTE.send(Request::get("/trial//x")).refused("path_ambiguous");
    ROUTE.send(Request::get("/nowhere")).refused("no_route");
}

#[test]
#[rustfmt::skip]
fn a_filter_on_trial_refuses_nothing_at_all() {
    let expired = claims().with("exp", now() - 1000).sign(&P256);
    let mut table = Table::new();
    for (request, code) in [
        (Request::get("/sre"), "token_missing"),
        (Request::get("/sre").bearer(&expired), "token_expired"),
        (Request::get("/sre").bearer("garbage"), "token_malformed"),
        (Request::get("/sre").bearer(claims().sign(&P256)), "claims_insufficient"),
        (Request::get("/nowhere"), "no_route"),
        (Request::get("/internal"), "route_denied"),
        (Request::get("/sre//x"), "path_ambiguous"),
        (Request::get("/sre").host("admin..test"), "host_ambiguous"),
        (Request::new("POST", "/sre"), "method_not_allowed"),
        (Request::get("/sre").bearer(&expired).bearer(&expired), "token_ambiguous"),
    ] {
        let exchange = FILTER.send(request.header("x-user-id", "mallory"));
        table.row(code, exchange.outcome(), "allowed");
        if exchange.outcome() == "allowed" {
            table.hold(code, exchange.allowed().headers("x-user-id").is_empty(), "the client's identity was kept");
            let record = exchange.audit().to_string();
            table.hold(code, record.contains(code), format!("not recorded: {record}"));
            let labels = [("outcome", "shadow_denied"), ("code", code)];
            table.hold(code, FILTER.counted("claimgate_requests_total", &labels), "not counted");
        }
    }
    table.check();
}

#[test]
fn a_filter_on_trial_leaves_tokens_where_they_are() {
    let token = claims().with("roles", json!(["sre"])).sign(&P256);
    let echo = FILTER.send(Request::get("/sre").bearer(&token)).allowed();
    assert_eq!(echo.header("authorization"), Some(format!("Bearer {token}").as_str()));
    assert_eq!(echo.header("x-user-id"), Some("alice"));
}
