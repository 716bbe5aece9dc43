//! Hosts: one spelling for policy, and none that can be read in two ways.

use std::sync::LazyLock;

use serde_json::json;

use crate::harness::{Proxy, Request, Setup, Table, filter};

/// Every host is open but `admin.test`, which is denied, and `members.test`, which takes a token.
static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    Proxy::start(Setup::new(filter(json!([
        {"name": "open", "paths": ["/**"], "token": "none"},
        {"name": "no-admin", "hosts": ["admin.test"], "paths": ["/**"], "deny": true},
        {"name": "members", "hosts": ["members.test"], "paths": ["/**"]},
    ]))))
});

fn check(cases: &[(&[u8], &str)]) {
    let mut table = Table::new();
    for (host, expected) in cases {
        let name = host.escape_ascii().to_string();
        table.row(name, PROXY.send(Request::get("/x").host(host)).outcome(), expected);
    }
    table.check();
}

#[test]
fn a_host_is_one_whatever_its_spelling() {
    check(&[
        (b"app.test", "allowed"),
        (b"APP.test:8443", "allowed"),
        (b"127.0.0.1", "allowed"),
        (b"127.0.0.1:8080", "allowed"),
        (b"[::1]", "allowed"),
        (b"[::1]:8080", "allowed"),
        (b"xn--bcher-kva.test", "allowed"),
        (b"admin.test", "route_denied"),
        (b"ADMIN.test", "route_denied"),
        (b"Admin.Test:443", "route_denied"),
        (b"admin.test:80", "route_denied"),
        (b"admin.test.", "route_denied"),
        (b"admin.test.:80", "route_denied"),
        (b"members.test", "token_missing"),
        (b"MEMBERS.TEST.", "token_missing"),
        (b"members.test:1", "token_missing"),
    ]);
}

#[test]
fn a_host_with_two_readings_is_refused() {
    check(&[
        (b"", "host_ambiguous|HTTP 400"),
        (b".", "host_ambiguous"),
        (b"..", "host_ambiguous"),
        (b"admin.test..", "host_ambiguous"),
        (b"admin..test", "host_ambiguous"),
        (b".admin.test", "host_ambiguous"),
        (b":80", "host_ambiguous|HTTP 400"),
        (b"admin.test:80:80", "host_ambiguous|HTTP 400"),
        (b"admin.test:x", "host_ambiguous|HTTP 400"),
        (b"admin.test:80@app.test", "host_ambiguous|HTTP 400"),
        (b"user@admin.test", "host_ambiguous|HTTP 400"),
        (b"user:pass@admin.test", "host_ambiguous|HTTP 400"),
        (b"admin.test/x", "host_ambiguous|HTTP 400"),
        (b"admin.test?x", "host_ambiguous|HTTP 400"),
        (b"admin.test#x", "host_ambiguous|HTTP 400"),
        (b"admin.test\\x", "host_ambiguous|HTTP 400"),
        (b"%61dmin.test", "host_ambiguous|HTTP 400"),
        (b"admin.test x", "host_ambiguous|HTTP 400"),
        (b"admin.test,app.test", "host_ambiguous|HTTP 400"),
        (b"\xc3\xa4dmin.test", "host_ambiguous|HTTP 400"),
        (b"\xff.test", "host_ambiguous|HTTP 400"),
        (b"admin.test\x00", "host_ambiguous|HTTP 400"),
    ]);
}

#[test]
fn the_absolute_form_counts_before_the_host_header() {
    let ask = |target: &str, host: &str| PROXY.send(Request::get(target).host(host)).outcome();
    let mut table = Table::new();
    for (target, host, expected) in [
        ("http://app.test/x", "admin.test", "allowed"),
        ("http://admin.test/x", "app.test", "route_denied"),
        ("http://ADMIN.test:80/x", "app.test", "route_denied"),
        ("http://members.test", "app.test", "token_missing"),
        // Envoy leaves the user out.
        ("http://user@admin.test/x", "app.test", "route_denied|host_ambiguous|HTTP 400"),
    ] {
        table.row(format!("{target} for {host}"), ask(target, host), expected);
    }
    table.check();
}

#[test]
fn a_request_names_one_host() {
    let mut table = Table::new();
    let twice = Request::get("/x").header("host", "admin.test");
    table.row("two hosts", PROXY.send(twice).outcome(), "host_ambiguous|HTTP 400");
    table.row(
        "no host",
        PROXY.send(Request::get("/x").without_host()).outcome(),
        "host_ambiguous|HTTP 400",
    );
    table.check();
}
