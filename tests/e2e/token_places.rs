//! Tokens in headers, cookies, queries and WebSocket protocols; and what a cookie may do.

use std::sync::LazyLock;

use serde_json::json;

use crate::harness::keys::P256;
use crate::harness::{Echo, Proxy, Request, Setup, Table, changed, claims, filter};

static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    let partner = json!({
        "issuer": "https://partner.test", "any_audience": true, "keys": [{"jwks": {"keys": [P256.jwk]}}],
        "token_from": [{"header": "x-partner-token"}],
    });
    let patch = json!({"issuers": {
        "corp": {"token_from": [
            {"header": "authorization", "scheme": "Bearer"},
            {"header": "x-token"},
            {"header": "x-schemed", "scheme": "Token"},
            {"cookie": "session", "origins": ["https://app.example.com"]},
            {"query": "access_token"},
            {"websocket_protocol": "bearer."},
        ]},
        "partner": partner,
    }});
    let routes = json!([
        {"name": "closed", "paths": ["/closed"], "issuers": ["corp"]},
        {"name": "socket", "paths": ["/socket"], "issuers": ["corp"], "upgrade": ["websocket"]},
        {"name": "both", "paths": ["/both"], "issuers": ["corp", "partner"]},
        {"name": "none", "paths": ["/none"], "token": "none"},
    ]);
    Proxy::start(Setup::new(changed(filter(routes), patch)))
});

fn token() -> String {
    claims().sign(&P256)
}

#[test]
#[rustfmt::skip]
fn a_token_is_found_in_each_place_and_only_there() {
    let token = token();
    let get = || Request::get("/closed");
    let mut table = Table::new();
    for (name, request, expected) in [
        ("a bare header", get().header("x-token", &token), "allowed"),
        ("a header with a scheme", get().header("x-schemed", format!("token {token}")), "allowed"),
        ("a header without its scheme", get().header("x-schemed", &token), "token_missing"),
        ("a cookie", get().header("cookie", format!("session={token}")), "allowed"),
        ("a cookie among others", get().header("cookie", format!("a=b; session={token}; c=d")), "allowed"),
        (
            "a cookie in a second header",
            get().header("cookie", "a=b").header("cookie", format!("session={token}")),
            "allowed",
        ),
        ("a cookie of another name", get().header("cookie", format!("xsession={token}")), "token_missing"),
        ("a query parameter", Request::get(format!("/closed?access_token={token}")), "allowed"),
        ("a query parameter among others", Request::get(format!("/closed?a=1&access_token={token}&b=2")), "allowed"),
        ("a query parameter of another name", Request::get(format!("/closed?Access_Token={token}")), "token_missing"),
        ("a WebSocket protocol", get().header("sec-websocket-protocol", format!("chat, bearer.{token}")), "allowed"),
        ("a WebSocket protocol without the prefix", get().header("sec-websocket-protocol", &token), "token_missing"),
        ("the place of another issuer", get().header("x-partner-token", &token), "token_missing"),
        ("an unlisted header", get().header("x-access-token", &token), "token_missing"),
    ] {
        table.row(name, PROXY.send(request).outcome(), expected);
    }
    table.check();
}

#[test]
fn an_issuer_is_believed_only_in_its_own_places() {
    let corp = token();
    let partner = claims().with("iss", "https://partner.test").sign(&P256);
    let ask =
        |name: &str, token: &str| PROXY.send(Request::get("/both").header(name, token)).outcome();
    assert_eq!(ask("x-token", &corp), "allowed");
    assert_eq!(ask("x-partner-token", &partner), "allowed");
    assert_ne!(ask("x-partner-token", &corp), "allowed");
    assert_ne!(ask("x-token", &partner), "allowed");
}

#[test]
#[rustfmt::skip]
fn several_tokens_have_to_be_one() {
    let (one, other) = (token(), token());
    let mut table = Table::new();
    for (name, request, expected) in [
        ("the same in two places", Request::get("/closed").bearer(&one).header("x-token", &one), "allowed"),
        ("two in two places", Request::get("/closed").bearer(&one).header("x-token", &other), "token_ambiguous"),
        ("header and query", Request::get(format!("/closed?access_token={other}")).bearer(&one), "token_ambiguous"),
        (
            "header and cookie",
            Request::get("/closed").bearer(&one).header("cookie", format!("session={other}")),
            "token_ambiguous",
        ),
        ("two of a header", Request::get("/closed").header("x-token", &one).header("x-token", &other), "token_ambiguous"),
        (
            "two cookies",
            Request::get("/closed").header("cookie", format!("session={one}; session={other}")),
            "token_ambiguous",
        ),
        ("two parameters", Request::get(format!("/closed?access_token={one}&access_token={other}")), "token_ambiguous"),
        ("a good and a bad one", Request::get("/closed").bearer(&one).header("x-token", "garbage"), "token_ambiguous"),
    ] {
        table.row(name, PROXY.send(request).outcome(), expected);
    }
    table.check();
}

#[test]
#[rustfmt::skip]
fn the_token_is_removed_from_where_it_was() {
    let token = token();
    let clean = |echo: &Echo| assert!(!echo.0.to_string().contains(&token), "the upstream received the token: {echo:?}");

    let echo = PROXY.send(Request::get("/closed").header("cookie", format!("a=b; session={token}; c=d"))).allowed();
    clean(&echo);
    let cookies = echo.headers("cookie").join("; ");
    assert!(cookies.contains("a=b") && cookies.contains("c=d") && !cookies.contains("session"), "{cookies}");

    let exchange = PROXY.send(Request::get(format!("/closed?a=1&access_token={token}&b=%20x&a=2")));
    let echo = exchange.allowed();
    clean(&echo);
    assert_eq!(echo.path(), "/closed?a=1&b=%20x&a=2");
    assert!(!exchange.access()["path"].as_str().unwrap().contains(&token));

    let echo = PROXY.send(Request::get(format!("/closed?access_token={token}"))).allowed();
    assert_eq!(echo.path(), "/closed");
    let echo = PROXY.send(Request::get(format!("/closed?access_token={token}")).bearer(&token)).allowed();
    clean(&echo);

    let request = Request::get("/closed").header("sec-websocket-protocol", format!("chat, bearer.{token}"));
    let echo = PROXY.send(request).allowed();
    clean(&echo);
    assert_eq!(echo.header("sec-websocket-protocol"), Some("chat"));
}

#[test]
fn a_refused_token_in_the_query_is_in_no_access_log() {
    let expired = claims().with("exp", 1).sign(&P256);
    let exchange = PROXY.send(Request::get(format!("/closed?a=1&access_token={expired}")));
    exchange.refused("token_expired");
    let path = exchange.access()["path"].to_string();
    assert!(!path.contains(&expired) && path.contains("/closed"), "{path}");
}

#[test]
fn a_route_without_tokens_leaves_every_place_alone() {
    let token = token();
    let request = Request::get(format!("/none?access_token={token}"))
        .header("cookie", format!("session={token}"));
    let echo = PROXY.send(request).allowed();
    assert!(echo.path().contains(&token));
    assert_eq!(echo.header("cookie"), Some(format!("session={token}").as_str()));
}

#[test]
fn a_websocket_opens_with_a_token_in_its_protocols() {
    let request = Request::get("/socket").websocket();
    let opened = PROXY.send(
        request.clone().header("sec-websocket-protocol", format!("bearer.{}, chat", token())),
    );
    assert_eq!(opened.response.status, 101);
    PROXY.send(request).refused("token_missing");
}

#[test]
#[rustfmt::skip]
fn a_cookie_authorises_what_another_site_cannot_have_sent() {
    let cookie = format!("session={}", token());
    let mut table = Table::new();
    for (method, origin, expected) in [
        ("GET", &[][..], "allowed"),
        ("HEAD", &[], "allowed"),
        ("GET", &[("origin", "https://evil.test")], "allowed"),
        ("POST", &[], "origin_refused"),
        ("DELETE", &[], "origin_refused"),
        ("POST", &[("origin", "null")], "origin_refused"),
        ("POST", &[("origin", "https://evil.test")], "origin_refused"),
        ("POST", &[("origin", "https://app.test.evil.test")], "origin_refused"),
        ("POST", &[("origin", "https://evil.test/app.test")], "origin_refused"),
        ("POST", &[("origin", "https://app.example.com.evil.test")], "origin_refused"),
        ("POST", &[("origin", "https://app.example.com")], "allowed"),
        ("POST", &[("origin", "http://app.test")], "allowed"),
        ("POST", &[("origin", "https://app.example.com"), ("origin", "https://evil.test")], "origin_refused"),
        ("POST", &[("sec-fetch-site", "same-origin")], "allowed"),
        ("POST", &[("sec-fetch-site", "cross-site")], "origin_refused"),
        ("POST", &[("sec-fetch-site", "same-site")], "origin_refused"),
        ("POST", &[("referer", "http://app.test/x")], "origin_refused"),
    ] {
        let request = Request::new(method, "/closed").header("cookie", &cookie).headers(origin);
        table.row(format!("{method} {origin:?}"), PROXY.send(request).outcome(), expected);
    }
    let by_header = Request::new("POST", "/closed").bearer(token()).header("origin", "https://evil.test");
    table.row("a header needs no origin", PROXY.send(by_header).outcome(), "allowed");
    table.check();
}

#[test]
fn a_cookie_opens_a_websocket_only_for_its_own_site() {
    let ask = |origin: &str| {
        let request =
            Request::get("/socket").websocket().header("cookie", format!("session={}", token()));
        PROXY
            .send(if origin.is_empty() { request } else { request.header("origin", origin) })
            .response
            .status
    };
    assert_eq!(ask("http://app.test"), 101);
    assert_eq!(ask("https://app.example.com"), 101);
    assert_eq!(ask("https://evil.test"), 403);
    assert_eq!(ask(""), 403);
}
