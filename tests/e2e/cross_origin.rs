//! Cross-origin requests, bodies of the operator's own, and the way to the login.

use std::sync::LazyLock;

use serde_json::json;

use crate::harness::keys::P256;
use crate::harness::{Proxy, Request, Setup, Table, changed, claims, filter, now};

const APP: &str = "https://app.test";

fn routes() -> serde_json::Value {
    json!([
        {"name": "items", "paths": ["/items/**"], "methods": ["GET", "PUT"]},
        {"name": "closed", "paths": ["/items/closed"], "deny": true},
        {"name": "trial", "paths": ["/trial"], "mode": "shadow"},
    ])
}

static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    let responses = json!({"responses": {
        "cors": {
            "allow_origins": [APP, "https://*.apps.test"],
            "allow_credentials": true,
            "expose_headers": ["www-authenticate"],
            "max_age": "10m",
        },
        "body": {"token_expired": {"content_type": "text/html", "text": "<p>Log in again</p>"}},
        "login": {"url": "https://login.test/?rd={url}"},
    }});
    let issuer = json!({"issuers": {"corp": {
        "token_from": [{"header": "authorization", "scheme": "Bearer"}, {"query": "access_token"}],
    }}});
    Proxy::start(Setup::new(changed(changed(filter(routes()), responses), issuer)))
});

static SHADOW: LazyLock<Proxy> = LazyLock::new(|| {
    let settings = json!({"mode": "shadow", "responses": {"cors": {"allow_origins": [APP]}}});
    Proxy::start(Setup::new(changed(filter(routes()), settings)))
});

fn preflight(path: &str, origin: &str, method: &str) -> Request {
    Request::new("OPTIONS", path)
        .header("origin", origin)
        .header("access-control-request-method", method)
}

#[test]
#[rustfmt::skip]
fn preflights_are_answered_and_never_forwarded() {
    let mut table = Table::new();
    for (request, want) in [
        (preflight("/items/1", APP, "PUT"), "HTTP 204"),
        (preflight("/items/1", "https://a.b.apps.test", "GET"), "HTTP 204"),
        (preflight("/items/1", APP, "DELETE"), "method_not_allowed"),
        (preflight("/items/closed", APP, "PUT"), "route_denied"),
        (preflight("/items//1", APP, "PUT"), "path_ambiguous"),
        (preflight("/nowhere", APP, "PUT"), "no_route"),
        // What is no preflight is a request like every other.
        (preflight("/items/1", "https://evil.test", "PUT"), "method_not_allowed"),
        (preflight("/items/1", "null", "PUT"), "method_not_allowed"),
        (preflight("/items/1", APP, "PUT").header("origin", APP), "method_not_allowed"),
        (preflight("/items/1", APP, "PUT").body("x"), "method_not_allowed"),
        (preflight("/items/1", APP, "PUT").chunked("x", &[]), "method_not_allowed"),
        (Request::new("OPTIONS", "/items/1").header("origin", APP), "method_not_allowed"),
        // On trial, the upstream answers.
        (preflight("/trial", APP, "PUT"), "allowed"),
    ] {
        let exchange = PROXY.send(request);
        table.row(format!("{want} {}", exchange.id), exchange.outcome(), want);
    }
    for path in ["/items/1", "/items/closed", "/nowhere"] {
        table.row(path, SHADOW.send(preflight(path, APP, "PUT")).outcome(), "allowed");
    }
    table.check();
}

#[test]
fn a_preflight_says_what_may_be_sent_and_is_recorded() {
    let request = preflight("/items/1", APP, "PUT")
        .header("access-control-request-headers", "authorization,x-a");
    let exchange = PROXY.send(request);
    for (name, want) in [
        ("access-control-allow-origin", Some(APP)),
        ("access-control-allow-credentials", Some("true")),
        ("access-control-allow-methods", Some("PUT")),
        ("access-control-allow-headers", Some("authorization,x-a")),
        ("access-control-max-age", Some("600")),
        ("www-authenticate", None),
    ] {
        assert_eq!(exchange.header(name).as_deref(), want, "{name}");
    }
    let record = exchange.audit();
    assert_eq!(record["http.response.status_code"], 204);
    assert_eq!(record["claimgate.route"], "items");
    assert_eq!(record["event.action"], "access-allowed");
}

#[test]
fn refusals_show_in_a_browser() {
    let mut table = Table::new();
    for (origin, allowed) in [(APP, Some(APP)), ("https://evil.test", None), ("null", None)] {
        let exchange = PROXY.send(Request::get("/items/1").header("origin", origin));
        table.row(origin, exchange.outcome(), "token_missing");
        let named = exchange.header("access-control-allow-origin");
        table.row(origin, named.unwrap_or_default(), allowed.unwrap_or_default());
        let exposed = exchange.header("access-control-expose-headers").unwrap_or_default();
        table.row(origin, exposed, allowed.map_or("", |_| "www-authenticate"));
        table.row(origin, exchange.header("vary").unwrap_or_default(), "origin");
    }
    // What passes is the upstream's to mark.
    let token = claims().sign(&P256);
    let passed = PROXY.send(Request::get("/items/1").header("origin", APP).bearer(token));
    table.row("passed", passed.outcome(), "allowed");
    table.row("passed", passed.header("access-control-allow-origin").unwrap_or_default(), "");
    table.check();
}

#[test]
fn the_operator_words_a_refusal() {
    let expired = claims().with("exp", now() - 1000).sign(&P256);
    let exchange = PROXY.send(Request::get("/items/1").bearer(expired));
    assert_eq!(exchange.response.status, 401);
    assert_eq!(exchange.response.body, b"<p>Log in again</p>");
    assert_eq!(exchange.header("content-type").as_deref(), Some("text/html"));
    assert!(exchange.header("www-authenticate").is_some());
    assert_eq!(exchange.audit()["event.code"], "token_expired");
}

#[test]
fn a_browser_is_sent_to_the_login_without_its_token() {
    let expired = claims().with("exp", now() - 1000).sign(&P256);
    let path = format!("/items/1?a=b&access_token={expired}");
    let page = Request::get(&path).header("sec-fetch-mode", "navigate");
    let exchange = PROXY.send(page.clone());
    assert_eq!(exchange.response.status, 302);
    let want = "https://login.test/?rd=http%3A%2F%2Fapp.test%2Fitems%2F1%3Fa%3Db";
    assert_eq!(exchange.header("location").as_deref(), Some(want));
    assert_eq!(exchange.header("www-authenticate"), None);
    let record = exchange.audit();
    assert_eq!(record["http.response.status_code"], 302);
    assert_eq!(record["event.code"], "token_expired");
    assert_eq!(record["event.action"], "access-denied");
    // A script, or a refusal that no login mends, gets what it is.
    let script = Request::get(&path).header("sec-fetch-mode", "cors");
    assert_eq!(PROXY.send(script).response.status, 401);
    let closed = Request::get("/items/closed").header("sec-fetch-mode", "navigate");
    PROXY.send(closed).refused("route_denied");
}
