//! Identity headers: what the client says of itself is dropped, what the token says is set.

use std::sync::LazyLock;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Value, json};

use crate::harness::keys::P256;
use crate::harness::{Echo, Proxy, Request, Setup, Table, changed, claims, filter, now};

static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    let routes = json!([
        {"name": "required", "paths": ["/required"]},
        {"name": "optional", "paths": ["/optional"], "token": "optional"},
        {"name": "lenient", "paths": ["/lenient"], "token": "lenient"},
        {"name": "none", "paths": ["/none"], "token": "none"},
        {"name": "shadow", "paths": ["/shadow"], "mode": "shadow"},
    ]);
    Proxy::start(Setup::new(changed(
        filter(routes),
        json!({
            "issuers": {"corp": {"attributes": {"tenant": "tid"}}},
            "identity": {
                "headers": {
                    "x-user-id": {"attribute": "subject"},
                    "x-user-issuer": {"attribute": "issuer"},
                    "x-user-tenant": {"attribute": "tenant"},
                    "x-user-email": "email",
                    "x-user-roles": {"claim": "/realm_access/roles", "format": "csv"},
                    "x-user-groups": {"claim": "groups", "format": "json"},
                    "x-user-note": {"claim": "note", "format": "base64"},
                    "x-user-name": {"claim": "name", "format": "text"},
                },
                "payload_header": "x-jwt-payload",
                "strip": ["x-internal-*", "x-exactly"],
            },
        }),
    )))
});

fn echo(token: &str) -> Echo {
    PROXY.send(Request::get("/required").bearer(token)).allowed()
}

#[test]
fn a_verified_token_becomes_headers() {
    let token = claims()
        .with("tid", "acme")
        .with("email", "alice@example.com")
        .with("name", "Alice")
        .with("note", "a\nb")
        .with("groups", json!([{"id": 1}, "x, y"]))
        .with("realm_access", json!({"roles": ["reader", "sre"]}))
        .sign(&P256);
    let echo = echo(&token);
    let mut table = Table::new();
    for (name, expected) in [
        ("x-user-id", "alice"),
        ("x-user-issuer", "corp"),
        ("x-user-tenant", "acme"),
        ("x-user-email", "alice@example.com"),
        ("x-user-name", "Alice"),
        ("x-user-roles", "reader,sre"),
        ("x-user-groups", r#"[{"id":1},"x, y"]"#),
        ("x-user-note", "YQpi"),
    ] {
        table.row(name, echo.header(name).unwrap_or("absent"), expected);
    }
    table.check();
    assert_eq!(echo.header("authorization"), None, "the token was left on the request");
}

#[test]
fn the_verified_claims_can_be_forwarded_whole() {
    let claims = claims().with("name", "\u{c4}lice \u{1f511}").with("list", json!([1, "b"]));
    let echo = echo(&claims.sign(&P256));
    let payload = BASE64_URL_SAFE_NO_PAD
        .decode(echo.header("x-jwt-payload").unwrap().trim_end_matches('='))
        .unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload, Value::Object(claims.0));
}

#[test]
#[rustfmt::skip]
fn no_value_can_split_a_header_or_forge_an_element() {
    let mut table = Table::new();
    for (claim, header, value, expected) in [
        ("name", "x-user-name", json!("Alice B."), "Alice B."),
        ("name", "x-user-name", json!("a\r\nx-admin: yes"), "a%0D%0Ax-admin: yes"),
        ("name", "x-user-name", json!("J\u{fc}rgen"), "J%C3%BCrgen"),
        ("name", "x-user-name", json!("100%"), "100%25"),
        ("name", "x-user-name", json!("%0D%0A"), "%250D%250A"),
        ("name", "x-user-name", json!("a\u{0}b\u{7f}"), "a%00b%7F"),
        ("name", "x-user-name", json!("a,b"), "a,b"),
        ("name", "x-user-name", json!(42), "42"),
        ("name", "x-user-name", json!(9_007_199_254_740_993_u64), "9007199254740993"),
        ("name", "x-user-name", json!(true), "true"),
        ("realm_access", "x-user-roles", json!({"roles": ["a,b", "c"]}), "a%2Cb,c"),
        ("realm_access", "x-user-roles", json!({"roles": ["a b", "\"c\""]}), "a%20b,%22c%22"),
        ("realm_access", "x-user-roles", json!({"roles": ["a\nb"]}), "a%0Ab"),
        ("realm_access", "x-user-roles", json!({"roles": ["only"]}), "only"),
        ("realm_access", "x-user-roles", json!({"roles": "single"}), "single"),
        ("realm_access", "x-user-roles", json!({"roles": [1, true]}), "1,true"),
        ("groups", "x-user-groups", json!({"k": "\u{e9}"}), r#"{"k":"%C3%A9"}|{"k":"\u00e9"}"#),
    ] {
        let echo = echo(&claims().with(claim, value.clone()).sign(&P256));
        table.row(format!("{header} of {value}"), echo.header(header).unwrap_or("absent"), expected);
        table.hold(format!("{value}"), echo.header("x-admin").is_none(), "a header was smuggled in");
    }
    table.check();
}

/// Spoofed names, in every spelling that an upstream could take for the managed one.
const SPOOFED: [(&str, &str); 16] = [
    ("x-user-id", "admin"),
    ("X-User-Id", "admin"),
    ("x_user_id", "admin"),
    ("X_USER_ID", "admin"),
    ("x-user_id", "admin"),
    ("x.user.id", "admin"),
    ("x~user-id", "admin"),
    ("x-user-issuer", "admin"),
    ("x-user-tenant", "admin"),
    ("x-user-email", "admin"),
    ("x_user_roles", "admin"),
    ("x-jwt-payload", "e30"),
    ("x_jwt_payload", "e30"),
    ("x-internal-flag", "1"),
    ("X_Internal_Flag", "1"),
    ("x_exactly", "1"),
];

fn is_managed(name: &str) -> bool {
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    name.starts_with("x-user-")
        || name.starts_with("x-internal-")
        || name == "x-jwt-payload"
        || name == "x-exactly"
}

#[test]
fn what_the_client_says_of_itself_is_dropped_on_every_route() {
    let good = claims().sign(&P256);
    let expired = claims().with("exp", now() - 1000).sign(&P256);
    let mut table = Table::new();
    for (path, token, set) in [
        ("/required", Some(&good), vec!["x-jwt-payload", "x-user-id", "x-user-issuer"]),
        ("/optional", None, vec![]),
        ("/lenient", Some(&expired), vec![]),
        ("/none", None, vec![]),
        ("/none", Some(&good), vec![]),
        ("/shadow", None, vec![]),
        ("/shadow", Some(&expired), vec![]),
    ] {
        let request = Request::get(path).headers(&SPOOFED).header("x-kept", "1");
        let request = token.iter().fold(request, |request, token| request.bearer(token));
        let echo = PROXY.send(request).allowed();
        let mut managed: Vec<&str> =
            echo.header_names().into_iter().filter(|name| is_managed(name)).collect();
        managed.sort_unstable();
        table.row(path, format!("{managed:?}"), format!("{set:?}"));
        table.row(path, echo.header("x-kept").unwrap_or("absent"), "1");
    }
    table.check();
}

#[test]
fn what_the_client_says_in_trailers_is_dropped_too() {
    let token = claims().sign(&P256);
    for (path, token) in [("/required", Some(&token)), ("/none", None), ("/shadow", None)] {
        let spoofed: Vec<(&str, &str)> =
            SPOOFED.into_iter().chain([("x-checksum", "abc")]).collect();
        let request = Request::new("POST", path).chunked("hello", &spoofed);
        let request = token.iter().fold(request, |request, token| request.bearer(token));
        let echo = PROXY.send(request).allowed();
        assert_eq!(echo.body(), "hello");
        assert_eq!(echo.trailer_names(), ["x-checksum"], "{path}");
    }
}

#[test]
fn a_claim_that_is_absent_leaves_no_header() {
    let echo = PROXY
        .send(
            Request::get("/required")
                .bearer(claims().sign(&P256))
                .header("x-user-email", "spoofed@example.com"),
        )
        .allowed();
    assert_eq!(echo.headers("x-user-email"), [""; 0]);
}

#[test]
fn headers_that_make_upstreams_see_another_request_are_removed() {
    for path in ["/required", "/none"] {
        let request = Request::get(path).bearer(claims().sign(&P256)).headers(&[
            ("x-http-method-override", "DELETE"),
            ("X-HTTP-Method", "DELETE"),
            ("x-method-override", "DELETE"),
            ("x-original-url", "/secret"),
            ("X-Rewrite-URL", "/secret"),
        ]);
        let echo = PROXY.send(request).allowed();
        let left: Vec<&str> = echo
            .header_names()
            .into_iter()
            .filter(|name| name.contains("method") || name.ends_with("-url"))
            .collect();
        assert_eq!(left, [""; 0], "{path}");
    }
}

#[test]
fn the_token_can_be_kept_for_the_upstream() {
    let config = changed(
        filter(json!([{"name": "all", "paths": ["/**"]}])),
        json!({"issuers": {"corp": {"forward_token": true}}}),
    );
    let proxy = Proxy::start(Setup::new(config));
    let token = claims().sign(&P256);
    let echo = proxy.send(Request::get("/").bearer(&token)).allowed();
    assert_eq!(echo.header("authorization"), Some(format!("Bearer {token}").as_str()));
}

#[test]
fn the_body_arrives_whole() {
    let body = "x".repeat(300_000);
    let token = claims().sign(&P256);
    let sized = PROXY.send(Request::new("POST", "/required").bearer(&token).body(&body)).allowed();
    assert_eq!(sized.body().len(), body.len());
    let chunked =
        PROXY.send(Request::new("POST", "/required").bearer(&token).chunked(&body, &[])).allowed();
    assert_eq!(chunked.body().len(), body.len());
}

#[test]
fn envoy_chooses_its_route_by_the_verified_identity() {
    let route = |condition: Value, name: &str| {
        json!({
            "match": condition,
            "route": {"cluster": "upstream"},
            "response_headers_to_add": [{"header": {"key": "x-route", "value": name}}],
        })
    };
    let gold = json!([{"name": "x-user-tier", "string_match": {"exact": "gold"}}]);
    let routes = json!([
        route(json!({"prefix": "/", "headers": gold}), "gold"),
        route(json!({"prefix": "/"}), "plain"),
    ]);
    let config = changed(
        filter(json!([{"name": "all", "paths": ["/**"], "token": "optional"}])),
        json!({"identity": {"headers": {"x-user-tier": "tier"}}}),
    );
    let proxy = Proxy::start(Setup::new(config).routes(routes));
    let gold = claims().with("tier", "gold").sign(&P256);
    let spoofed = || Request::get("/").header("x-user-tier", "gold");
    for (request, route) in [
        (Request::get("/").bearer(gold), "gold"),
        (spoofed(), "plain"),
        (spoofed().bearer(claims().sign(&P256)), "plain"),
        (spoofed().bearer(claims().with("tier", "free").sign(&P256)), "plain"),
    ] {
        assert_eq!(proxy.send(request).header("x-route").as_deref(), Some(route));
    }
}
