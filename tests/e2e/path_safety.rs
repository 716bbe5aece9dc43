//! Policy sees the path that the upstream acts on, or the request is refused.

use std::sync::LazyLock;

use serde_json::json;

use crate::harness::{Proxy, Request, Setup, Table, changed, filter};

/// `/open/**` is open, everything under `/secret` takes a token.
static STRICT: LazyLock<Proxy> = LazyLock::new(|| {
    Proxy::start(Setup::new(filter(json!([
        {"name": "open", "paths": ["/open/**", "/@me", "/~u/**"], "token": "none"},
        {"name": "secret", "paths": ["/secret/**"]},
    ]))))
});

/// As [`STRICT`], but each relaxation is allowed on a route of its own.
static RELAXED: LazyLock<Proxy> = LazyLock::new(|| {
    let route = |name: &str, safety| json!({"name": name, "paths": [format!("/{name}/**")], "token": "none", "path_safety": safety});
    Proxy::start(Setup::new(filter(json!([
        route("slash", json!({"encoded_slash": "allow"})),
        route("parameters", json!({"parameters": "allow"})),
        route("empty", json!({"empty_segment": "allow"})),
        route("strict", json!({})),
        {"name": "slash-private", "paths": ["/slash/private/**"]},
        {"name": "parameters-private", "paths": ["/parameters/private/**"]},
        {"name": "empty-private", "paths": ["/empty/private/**"]},
    ]))))
});

fn check(proxy: &Proxy, cases: &[(&[u8], &str)]) {
    let mut table = Table::new();
    for (path, expected) in cases {
        let name = path.escape_ascii().to_string();
        table.row(name, proxy.send(Request::get(path)).outcome(), expected);
    }
    table.check();
}

#[test]
fn ordinary_paths_pass_untouched() {
    let mut table = Table::new();
    for path in [
        "/open",
        "/open/",
        "/open/a.b/c..d/...",
        "/open/.hidden/..x/x..",
        "/open/a-b_c~d!$&'()*+,=:@",
        "/open/%41%2D%2e%2Ehidden",
        "/open/%20%22%3C%3E%7B%7D",
        "/open/%C3%A9/%e2%82%ac",
        "/%6Fpen/x",
        "/@me",
        "/%40me",
        "/%7eu/x",
        "/~u/x",
        "/open/100%25",
        "/open/50%25-off",
        "/open/x?next=/../secret//;%2f%5c%00",
        "/open/x?%zz",
        "/open?",
    ] {
        let exchange = STRICT.send(Request::get(path));
        let got = if exchange.outcome() == "allowed" {
            exchange.allowed().path().to_owned()
        } else {
            exchange.outcome()
        };
        table.row(path, got, path);
    }
    table.check();
}

#[test]
fn paths_with_two_readings_are_refused() {
    check(
        &STRICT,
        &[
            // Dot segments in any encoding.
            (b"/open/../secret", "path_ambiguous"),
            (b"/open/./x", "path_ambiguous"),
            (b"/open/..", "path_ambiguous"),
            (b"/open/.", "path_ambiguous"),
            (b"/../secret", "path_ambiguous"),
            (b"/open/%2e%2e/secret", "path_ambiguous"),
            (b"/open/%2E%2E/secret", "path_ambiguous"),
            (b"/open/.%2e/secret", "path_ambiguous"),
            (b"/open/%2e/secret", "path_ambiguous"),
            (b"/open/..?x", "path_ambiguous"),
            // Empty segments.
            (b"//open", "path_ambiguous"),
            (b"//secret/x", "path_ambiguous"),
            (b"/open//x", "path_ambiguous"),
            (b"/open/x//", "path_ambiguous"),
            // Slashes of other kinds.
            (b"/open/..\\secret", "path_ambiguous"),
            (b"/open\\x", "path_ambiguous"),
            (b"/open/%5c..%5csecret", "path_ambiguous"),
            (b"/open/x%5Cy", "path_ambiguous"),
            (b"/open%2fx", "path_ambiguous"),
            (b"/open/x%2Fy", "path_ambiguous"),
            (b"/open/..%2fsecret", "path_ambiguous"),
            (b"/open/%c0%af", "path_ambiguous"),
            (b"/open/%e0%80%af", "path_ambiguous"),
            // Parameters.
            (b"/open/x;y=z", "path_ambiguous"),
            (b"/open/..;/secret", "path_ambiguous"),
            (b"/secret;/x", "path_ambiguous"),
            (b"/open/x;", "path_ambiguous"),
            // Double encoding.
            (b"/open/%252e%252e/secret", "path_ambiguous"),
            (b"/open/%252fsecret", "path_ambiguous"),
            (b"/open/%25%32%65", "path_ambiguous"),
            (b"/open/%2541", "path_ambiguous"),
            // Broken encoding.
            (b"/open/%", "path_ambiguous"),
            (b"/open/%4", "path_ambiguous"),
            (b"/open/%zz", "path_ambiguous"),
            (b"/open/%u002e", "path_ambiguous"),
            (b"/open/%+41", "path_ambiguous"),
            // Control characters.
            (b"/open/%00", "path_ambiguous"),
            (b"/open/x%00.html", "path_ambiguous"),
            (b"/open/%0a", "path_ambiguous"),
            (b"/open/%0d%0aset-cookie:x", "path_ambiguous"),
            (b"/open/%1f", "path_ambiguous"),
            (b"/open/%7f", "path_ambiguous"),
            (b"/open/%09", "path_ambiguous"),
            // Not UTF-8, encoded.
            (b"/open/%ff", "path_ambiguous"),
            (b"/open/%c3", "path_ambiguous"),
            (b"/open/%c3%28", "path_ambiguous"),
            (b"/open/%ed%a0%80", "path_ambiguous"),
            // What Envoy's own parser may refuse first.
            (b"/open/\xc3\xa9", "path_ambiguous|HTTP 400"),
            (b"/open/\xff", "path_ambiguous|HTTP 400"),
            (b"/open/\x00", "path_ambiguous|HTTP 400"),
            (b"/open/\x01", "path_ambiguous|HTTP 400"),
            (b"/open/\x7f", "path_ambiguous|HTTP 400"),
            (b"/open/a\tb", "path_ambiguous|HTTP 400"),
            (b"/open/x#/secret", "path_ambiguous|HTTP 400"),
            (b"open/x", "path_ambiguous|HTTP 400"),
        ],
    );
}

#[test]
fn no_spelling_reaches_what_takes_a_token() {
    let mut table = Table::new();
    for path in [
        "/secret",
        "/secret/",
        "/secret/x",
        "/%73ecret/x",
        "/secre%74/x",
        "/%73%65%63%72%65%74",
        "/secret/%41",
        "/secret?x",
        "/secret/?",
        "http://app.test/secret/x",
        "http://other.test/secret",
    ] {
        table.row(path, STRICT.send(Request::get(path)).outcome(), "token_missing");
    }
    table.check();
}

#[test]
fn a_request_without_a_path_is_refused() {
    let mut table = Table::new();
    // Envoy answers this one itself.
    // Envoy answers this one itself.
    let asterisk = STRICT.send(Request::new("OPTIONS", "*")).outcome();
    table.row("OPTIONS *", asterisk, "path_ambiguous|HTTP 400|HTTP 404");
    let connect = STRICT.send(Request::new("CONNECT", "app.test:443")).outcome();
    table.row(
        "CONNECT",
        connect,
        "path_ambiguous|HTTP 400|HTTP 403|HTTP 404|no_route|method_not_allowed",
    );
    table.check();
}

#[test]
fn a_relaxation_opens_what_it_says_and_no_more() {
    check(
        &RELAXED,
        &[
            (b"/slash/a%2fb", "allowed"),
            (b"/slash/a%2Fb/c", "allowed"),
            (b"/slash/a;b", "path_ambiguous"),
            (b"/slash//b", "path_ambiguous"),
            (b"/slash/a%5cb", "path_ambiguous"),
            (b"/slash/..%2fx", "path_ambiguous"),
            (b"/slash/x%2f..%2f..%2fsecret", "path_ambiguous"),
            (b"/slash/%252f", "path_ambiguous"),
            (b"/parameters/a;b=c/d", "allowed"),
            (b"/parameters/..;/x", "path_ambiguous"),
            (b"/parameters/a%2fb", "path_ambiguous"),
            (b"/empty//x", "allowed"),
            (b"/empty/x//", "allowed"),
            (b"/empty/x;y", "path_ambiguous"),
            (b"/strict/a%2fb", "path_ambiguous"),
            (b"/strict/a;b", "path_ambiguous"),
            (b"/strict//b", "path_ambiguous"),
        ],
    );
}

#[test]
fn a_relaxation_counts_only_where_its_route_wins_under_every_reading() {
    check(
        &RELAXED,
        &[
            (b"/slash/private/x", "token_missing"),
            (b"/slash/private%2fx", "path_ambiguous"),
            (b"/slash%2fx", "path_ambiguous"),
            (b"/slash%2fprivate%2fx", "path_ambiguous"),
            (b"/parameters/private;x/y", "path_ambiguous"),
            (b"/parameters;x/y", "path_ambiguous"),
            (b"/empty//private/x", "path_ambiguous"),
            (b"//empty/x", "path_ambiguous"),
        ],
    );
}

#[test]
fn the_case_can_be_folded_for_upstreams_that_do() {
    let routes = json!([
        {"name": "open", "paths": ["/**"], "token": "none"},
        {"name": "secret", "paths": ["/Secret/{Name}"]},
    ]);
    let config = changed(filter(routes), json!({"path_safety": {"case": "insensitive"}}));
    let proxy = Proxy::start(Setup::new(config));
    check(
        &proxy,
        &[
            (b"/secret/x", "token_missing"),
            (b"/SECRET/x", "token_missing"),
            (b"/%53eCret/x", "token_missing"),
            (b"/other", "allowed"),
        ],
    );
}

#[test]
fn a_relaxation_can_be_for_all() {
    let safety = json!({"encoded_slash": "allow", "parameters": "allow", "empty_segment": "allow"});
    let routes = json!([
        {"name": "open", "paths": ["/open/**"], "token": "none"},
        {"name": "secret", "paths": ["/open/secret/**"]},
    ]);
    let config = changed(filter(routes), json!({"path_safety": safety}));
    let proxy = Proxy::start(Setup::new(config));
    check(
        &proxy,
        &[
            (b"/open/a%2fb", "allowed"),
            (b"/open/a;b", "allowed"),
            (b"/open//b", "allowed"),
            (b"/open/secret/x", "token_missing"),
            (b"/open%2fsecret/x", "path_ambiguous|token_missing|no_route"),
            (b"/open/secret%2fx", "path_ambiguous|token_missing"),
            (b"/open/secret;x/y", "path_ambiguous|token_missing"),
            (b"/open//secret/x", "path_ambiguous|token_missing"),
            (b"/open/..;/x", "path_ambiguous"),
            (b"/open/%2e%2e%2fx", "path_ambiguous"),
        ],
    );
}
