//! Which route a request takes: hosts, paths, methods, precedence, and no falling back.

use std::sync::LazyLock;

use serde_json::json;

use crate::harness::{Proxy, Request, Setup, Table, filter};

/// Routes without tokens, so that only the choice of the route decides.
static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    let mut routes = json!([
        // Hosts.
        {"name": "everywhere", "paths": ["/x/**"]},
        {"name": "exact", "hosts": ["a.example.com"], "paths": ["/x/**", "/exact-only"]},
        {"name": "captured", "hosts": ["{tenant}.example.com"], "paths": ["/x/**", "/captured-only"]},
        {"name": "wild", "hosts": ["*.example.com"], "paths": ["/x/**", "/wild-only"]},
        {"name": "longer-wild", "hosts": ["*.eu.example.com"], "paths": ["/x/**"]},
        {"name": "narrow-everywhere", "paths": ["/x/y"]},
        // Paths.
        {"name": "root", "paths": ["/"]},
        {"name": "logs", "paths": ["/logs/**"]},
        {"name": "logs-env", "paths": ["/logs/{env}/tail"]},
        {"name": "logs-prod", "paths": ["/logs/prod/tail"]},
        {"name": "logs-mixed", "paths": ["/logs/p{rest}/tail"]},
        {"name": "logs-mixed-longer", "paths": ["/logs/pre*/tail"]},
        {"name": "index", "paths": ["/logs-{env}-*/_search"]},
        {"name": "star", "paths": ["/star/*/end"]},
        {"name": "no-slash", "paths": ["/plain"]},
        {"name": "at", "paths": ["/@me"]},
        {"name": "umlaut", "paths": ["/caf\u{e9}"]},
        // Methods.
        {"name": "m-read", "paths": ["/m"], "methods": ["GET", "HEAD"]},
        {"name": "m-write", "paths": ["/m"], "methods": ["POST"]},
        {"name": "n-broad", "paths": ["/n/**"]},
        {"name": "n-admin", "paths": ["/n/admin"], "methods": ["POST"]},
        {"name": "h-broad", "paths": ["/h"]},
        {"name": "h-host", "hosts": ["h.test"], "paths": ["/h"], "methods": ["POST"]},
        {"name": "l-any", "paths": ["/l"]},
        {"name": "l-put", "paths": ["/l"], "methods": ["PUT"]},
        {"name": "propfind", "paths": ["/dav"], "methods": ["PROPFIND"]},
        // Deny.
        {"name": "no-internal", "paths": ["/internal/**", "/x/internal"], "deny": true},
        {"name": "internal-page", "hosts": ["a.example.com"], "paths": ["/internal/page"]},
        {"name": "no-delete", "paths": ["/kept/**"], "methods": ["DELETE"], "deny": true},
        {"name": "kept", "paths": ["/kept/**"]},
        // Upgrades.
        {"name": "socket", "paths": ["/socket"], "upgrade": ["websocket"]},
    ]);
    for route in routes.as_array_mut().unwrap() {
        if route["deny"] != true {
            route["token"] = json!("none");
        }
    }
    Proxy::start(Setup::new(filter(routes)))
});

/// The route that was taken, or the code of the refusal.
fn route(request: Request) -> String {
    let exchange = PROXY.send(request);
    match exchange.outcome().as_str() {
        "allowed" => exchange.audit()["claimgate.route"].as_str().unwrap_or("no route").to_owned(),
        code => code.to_owned(),
    }
}

#[test]
fn the_most_specific_host_that_any_route_names_counts() {
    let mut table = Table::new();
    for (host, path, expected) in [
        ("a.example.com", "/x/1", "exact"),
        ("b.example.com", "/x/1", "captured"),
        ("c.b.example.com", "/x/1", "wild"),
        ("b.eu.example.com", "/x/1", "longer-wild"),
        ("c.b.eu.example.com", "/x/1", "longer-wild"),
        ("example.com", "/x/1", "everywhere"),
        ("aexample.com", "/x/1", "everywhere"),
        ("a.example.com.evil.test", "/x/1", "everywhere"),
        ("A.EXAMPLE.com", "/x/1", "exact"),
        ("a.example.com:8443", "/x/1", "exact"),
        ("a.example.com.", "/x/1", "exact"),
        ("other.test", "/x/1", "everywhere"),
        // The narrower path wins before the host does.
        ("a.example.com", "/x/y", "narrow-everywhere"),
        // What a less specific host has is not there for a more specific one.
        ("a.example.com", "/captured-only", "no_route"),
        ("a.example.com", "/wild-only", "no_route"),
        ("b.example.com", "/captured-only", "captured"),
        ("b.example.com", "/wild-only", "no_route"),
        ("c.b.example.com", "/wild-only", "wild"),
        ("b.example.com", "/exact-only", "no_route"),
    ] {
        table.row(format!("{host} {path}"), route(Request::get(path).host(host)), expected);
    }
    table.check();
}

#[test]
fn the_most_specific_path_wins() {
    let mut table = Table::new();
    for (path, expected) in [
        ("/", "root"),
        ("/?a=b", "root"),
        ("/logs", "logs"),
        ("/logs/", "logs"),
        ("/logs/a/b/c", "logs"),
        ("/logsx", "no_route"),
        ("/log", "no_route"),
        ("/logs/dev/tail", "logs-env"),
        ("/logs/dev/tail/", "logs-env"),
        ("/logs/dev/tail?x=/logs/prod/tail", "logs-env"),
        ("/logs/prod/tail", "logs-prod"),
        ("/logs/%70rod/tail", "logs-prod"),
        ("/logs/perf/tail", "logs-mixed"),
        ("/logs/prep/tail", "logs-mixed-longer"),
        ("/logs/pre/tail", "logs-mixed"),
        ("/logs/p/tail", "logs-env"),
        ("/logs/dev/tail/x", "logs"),
        ("/logs/dev", "logs"),
        ("/logs-prod-2026/_search", "index"),
        ("/logs-prod-2026-11/_search", "index"),
        ("/logs-prod/_search", "no_route"),
        ("/logs--2026/_search", "no_route"),
        ("/logs-prod-/_search", "no_route"),
        ("/star/any/end", "star"),
        ("/star/a/b/end", "no_route"),
        ("/plain", "no-slash"),
        ("/plain/", "no-slash"),
        ("/plain/x", "no_route"),
        ("/PLAIN", "no_route"),
        ("/@me", "at"),
        ("/%40me", "at"),
        ("/caf%C3%A9", "umlaut"),
        ("/caf%c3%a9", "umlaut"),
        ("/cafe", "no_route"),
        ("/nowhere", "no_route"),
    ] {
        table.row(path, route(Request::get(path)), expected);
    }
    table.check();
}

#[test]
fn a_narrow_route_is_never_bypassed_through_a_broad_one() {
    let mut table = Table::new();
    for (method, host, path, expected) in [
        ("GET", "app.test", "/m", "m-read"),
        ("HEAD", "app.test", "/m", "m-read"),
        ("POST", "app.test", "/m", "m-write"),
        ("DELETE", "app.test", "/m", "method_not_allowed"),
        ("GET", "app.test", "/n/x", "n-broad"),
        ("POST", "app.test", "/n/admin", "n-admin"),
        ("GET", "app.test", "/n/admin", "method_not_allowed"),
        ("GET", "app.test", "/n/admin/", "method_not_allowed"),
        ("GET", "app.test", "/n/%61dmin", "method_not_allowed"),
        ("GET", "app.test", "/h", "h-broad"),
        ("POST", "h.test", "/h", "h-host"),
        ("GET", "h.test", "/h", "method_not_allowed"),
        ("GET", "app.test", "/l", "l-any"),
        ("PUT", "app.test", "/l", "l-put"),
        ("PROPFIND", "app.test", "/dav", "propfind"),
        ("GET", "app.test", "/dav", "method_not_allowed"),
    ] {
        table.row(
            format!("{method} {host} {path}"),
            route(Request::new(method, path).host(host)),
            expected,
        );
    }
    table.check();
}

#[test]
fn every_method_is_none_that_is_spelt_oddly() {
    let mut table = Table::new();
    for method in ["get", "Get", "pOST", "TRACE"] {
        table.row(method, route(Request::new(method, "/plain")), "method_not_allowed");
    }
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE", "MKCOL"] {
        table.row(method, route(Request::new(method, "/plain")), "no-slash");
    }
    table.check();
}

#[test]
fn a_refused_method_is_told_those_that_are_allowed() {
    let exchange = PROXY.send(Request::new("DELETE", "/m"));
    exchange.refused("method_not_allowed");
    let allow = exchange.header("allow").unwrap();
    let mut methods: Vec<&str> = allow.split(',').map(str::trim).collect();
    methods.sort_unstable();
    assert_eq!(methods, ["GET", "HEAD", "POST"]);
}

#[test]
fn a_deny_route_wins_over_every_other() {
    let mut table = Table::new();
    for (method, host, path, expected) in [
        ("GET", "app.test", "/internal", "route_denied"),
        ("GET", "app.test", "/internal/", "route_denied"),
        ("GET", "app.test", "/internal/deep/down", "route_denied"),
        ("GET", "a.example.com", "/internal/page", "route_denied"),
        ("POST", "b.example.com", "/internal/page", "route_denied"),
        ("get", "app.test", "/internal/page", "route_denied"),
        ("TRACE", "app.test", "/internal/page", "route_denied"),
        ("GET", "a.example.com", "/x/internal", "route_denied"),
        ("GET", "app.test", "/%69nternal/page", "route_denied"),
        ("GET", "app.test", "/kept/1", "kept"),
        ("DELETE", "app.test", "/kept/1", "route_denied"),
    ] {
        table.row(
            format!("{method} {host} {path}"),
            route(Request::new(method, path).host(host)),
            expected,
        );
    }
    table.check();
}

#[test]
fn an_upgrade_needs_a_route_that_lists_it() {
    let upgraded = PROXY.send(Request::get("/socket").websocket());
    assert_eq!(upgraded.response.status, 101);
    let capitals = [("connection", "upgrade"), ("upgrade", "WebSocket")];
    let upgraded = PROXY.send(Request::get("/socket").headers(&capitals));
    assert_eq!(upgraded.response.status, 101);
    PROXY.send(Request::get("/plain").headers(&capitals)).refused("no_route");
    PROXY.send(Request::get("/plain").websocket()).refused("no_route");
    PROXY.send(Request::get("/socket")).allowed();
}

#[test]
fn without_a_route_nothing_is_open() {
    for path in ["/healthz", "/star", "/socketx", "/logs-x"] {
        PROXY.send(Request::get(path)).refused("no_route");
    }
}
