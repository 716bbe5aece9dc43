//! Requests that mean harm: none of them traps the filter, hangs, or opens the gate.

use std::sync::LazyLock;

use serde_json::json;

use crate::harness::keys::{P256, base64url, random};
use crate::harness::{Proxy, Request, Setup, Table, changed, claims, filter};

static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    let routes = json!([
        {"name": "closed", "paths": ["/closed"]},
        {
            "name": "conditions", "paths": ["/conditions/{part}"], "token": "optional",
            "require": {"any": [
                {"header": "x-tag", "equals": "good"}, {"cookie": "c", "equals": "good"}, {"query": "q", "equals": "good"},
                {"header": "x-tag", "equals": "${path.part}"}, {"header": "x-tag", "matches": "[a-z]{3}"},
            ]},
        },
        {"name": "open", "paths": ["/open"], "token": "none"},
    ]);
    let identity = json!({"identity": {"headers": {"x-user-id": {"attribute": "subject"}}, "strip": ["x-internal-*"]}});
    Proxy::start(Setup::new(changed(filter(routes), identity)))
});

/// The filter still decides properly after what was just done to it.
fn assert_well(proxy: &Proxy) {
    proxy.send(Request::get("/closed")).refused("token_missing");
    proxy.send(Request::get("/closed").bearer(claims().sign(&P256))).allowed();
    let traps = proxy.stat("wasm.envoy.wasm.runtime.v8.crashed")
        + proxy.stat("vm_failed")
        + proxy.stat("vm_reload");
    assert_eq!(traps, 0, "the VM trapped");
}

#[test]
#[rustfmt::skip]
fn header_values_that_are_not_text() {
    let odd: [&[u8]; 5] = [b"\xff", b"\xc3\x28", b"caf\xe9", b"\x80\x80\x80", b"\xf0\x9f\x94"];
    let mut table = Table::new();
    for value in odd {
        let shown = value.escape_ascii();
        let bearer = [b"Bearer ", value].concat();
        let credentials = Request::get("/closed").header("authorization", &bearer);
        table.row(format!("authorization: {shown}"), PROXY.send(credentials).outcome(), "token_malformed");
        let beside =
            Request::get("/closed").bearer(claims().sign(&P256)).header("user-agent", value).header("x-tag", value);
        let beside = PROXY.send(beside.header("cookie", [b"c=", value].concat()).header("referer", value));
        table.row(format!("beside a token: {shown}"), beside.outcome(), "allowed");
        table.hold(format!("audit: {shown}"), beside.audit()["event.code"].is_string(), "no code");
        let tag = Request::get("/conditions/x").header("x-tag", value).header("cookie", [b"c=", value].concat());
        table.row(format!("in a condition: {shown}"), PROXY.send(tag).outcome(), "claims_insufficient|token_missing");
        let open = PROXY.send(Request::get("/open").header("x-tag", value).header("origin", value));
        let kept = open.allowed().header("x-tag").map(str::to_owned);
        table.row(format!("untouched: {shown}"), kept.unwrap_or_default(), crate::harness::wire::latin1(value));
    }
    table.check();
    assert_well(&PROXY);
}

#[test]
#[rustfmt::skip]
fn a_hundred_repetitions_of_a_header() {
    let repeated =
        |name: &str, value: &str| (0..100).fold(Request::get("/closed"), |request, _| request.header(name, value));
    let token = claims().sign(&P256);
    let mut table = Table::new();
    table.row("a plain header", PROXY.send(repeated("x-tag", "v").bearer(&token)).outcome(), "allowed");
    table.row("a managed header", PROXY.send(repeated("x-user-id", "admin").bearer(&token)).outcome(), "allowed");
    // Envoy joins them to one value.
    let tokens = repeated("authorization", &format!("Bearer {token}"));
    table.row("the token", PROXY.send(tokens).outcome(), "token_ambiguous|token_too_large");
    table.row("cookies", PROXY.send(repeated("cookie", "a=b; c=d").bearer(&token)).outcome(), "allowed");
    table.row("addresses", PROXY.send(repeated("x-forwarded-for", "10.0.0.1").bearer(&token)).outcome(), "allowed");
    let managed = PROXY.send(repeated("x_user_id", "admin").bearer(&token)).allowed();
    table.row("underscores", managed.headers("x_user_id").len().to_string(), "0");
    table.check();
    assert_well(&PROXY);
}

#[test]
fn tokens_beyond_all_bounds() {
    let padded = |size: usize| claims().with("padding", "x".repeat(size * 3 / 4)).sign(&P256);
    let mut table = Table::new();
    for (name, token) in [
        ("20 kB, well signed", padded(20_000)),
        ("60 kB, well signed", padded(60_000)),
        ("1 MiB, well signed", padded(1 << 20)),
        ("1 MiB of letters", "a".repeat(1 << 20)),
        ("1 MiB of dots", ".".repeat(1 << 20)),
        ("1 MiB of header", format!("{}.e30.e30", base64url("[".repeat(1 << 20)))),
    ] {
        table.row(
            name,
            PROXY.send(Request::get("/closed").bearer(token)).outcome(),
            "token_too_large",
        );
    }
    table.check();
    assert_well(&PROXY);
}

#[test]
fn the_bound_of_a_token_is_the_configured_one() {
    let limited = |bytes: usize| {
        let routes = json!([{"name": "closed", "paths": ["/closed"]}]);
        changed(filter(routes), json!({"max_token_bytes": bytes}))
    };
    let token = claims().with("padding", "x".repeat(40_000)).sign(&P256);
    let proxy = Proxy::start(Setup::new(limited(token.len())).pushed());
    proxy.send(Request::get("/closed").bearer(&token)).allowed();
    proxy.push(limited(token.len() - 1)).unwrap();
    proxy.send(Request::get("/closed").bearer(&token)).refused("token_too_large");
}

#[test]
#[rustfmt::skip]
fn long_and_odd_request_parts() {
    let token = claims().sign(&P256);
    let long = "x".repeat(100_000);
    let pairs = "a=b&".repeat(20_000);
    let mut table = Table::new();
    for (name, request, expected) in [
        ("a long path", Request::get(format!("/open/{long}")), "no_route"),
        ("a deep path", Request::get("/a".repeat(50_000)), "no_route"),
        ("a long query", Request::get(format!("/open?{long}")), "allowed"),
        ("many parameters", Request::get(format!("/conditions/x?{pairs}q=good")), "allowed"),
        (
            "a long cookie",
            Request::get("/conditions/x").header("cookie", format!("{}c=good", "a=b; ".repeat(10_000))),
            "allowed",
        ),
        ("a long header", Request::get("/closed").bearer(&token).header("x-tag", &long), "allowed"),
        ("a long host", Request::get("/open").host(&long), "allowed|host_ambiguous"),
        ("a long method", Request::new(&long.to_uppercase(), "/open"), "allowed|HTTP 400"),
        (
            "broken cookies",
            Request::get("/conditions/x").header("cookie", ";;=;c;=good;c=;"),
            "claims_insufficient|token_missing",
        ),
        ("broken parameters", Request::get("/conditions/x?&=&%&q&%zz=%zz&q=%ff"), "claims_insufficient|token_missing"),
        ("an empty query", Request::get("/open?"), "allowed"),
        ("many headers", (0..600).fold(Request::get("/open"), |r, n| r.header(format!("x-{n}"), "v")), "allowed"),
    ] {
        table.row(name, PROXY.send(request).outcome(), expected);
    }
    table.check();
    assert_well(&PROXY);
}

#[test]
fn a_request_without_end_is_refused_at_its_head() {
    // The refusal does not wait for the body.
    let request = Request::new("POST", "/closed")
        .headers(&[("content-length", "1000000"), ("expect", "100-continue")]);
    PROXY.send(request).refused("token_missing");
    assert_well(&PROXY);
}

#[test]
fn no_change_of_a_token_keeps_it_valid() {
    let token = claims().sign(&P256).into_bytes();
    let mut table = Table::new();
    for _ in 0..400 {
        let dice = random(4);
        let at = usize::from(u16::from_be_bytes([dice[0], dice[1]])) % token.len();
        let mut changed = token.clone();
        match dice[2] % 4 {
            0 => changed[at] = b"ABCabc019-_.=+/%"[usize::from(dice[3] % 16)],
            1 => drop(changed.remove(at)),
            2 => changed.insert(at, b"Aa0-_."[usize::from(dice[3] % 6)]),
            _ => changed.truncate(at),
        }
        if changed != token {
            let changed = String::from_utf8(changed).unwrap();
            let outcome = PROXY.send(Request::get("/closed").bearer(&changed)).outcome();
            table.hold(&changed, outcome != "allowed", "passed");
        }
    }
    table.check();
    assert_well(&PROXY);
}

#[test]
fn requests_of_one_connection_share_nothing() {
    let alice = claims().sign(&P256);
    let bob = claims().with("sub", "bob").sign(&P256);
    let closed = || Request::get("/closed").header("connection", "keep-alive");
    let exchanges = PROXY.send_in_turn(vec![
        closed().bearer(&alice),
        closed(),
        closed().bearer(&bob),
        closed().bearer("garbage"),
        Request::get("/open").header("connection", "close"),
    ]);
    assert_eq!(exchanges[0].allowed().header("x-user-id"), Some("alice"));
    exchanges[1].refused("token_missing");
    assert_eq!(exchanges[2].allowed().header("x-user-id"), Some("bob"));
    exchanges[3].refused("token_malformed");
    assert_eq!(exchanges[4].allowed().header("x-user-id"), None);
    let record = exchanges[4].audit();
    assert!(record["user.id"].is_null(), "{record}");
}
