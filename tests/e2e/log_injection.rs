//! What a client writes into the fields that are recorded stays text: one record a request, and never a second line.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::keys::P256;
use crate::harness::log::audit_record;
use crate::harness::{Exchange, Proxy, Request, Setup, Table, changed, claims, eventually, filter};

static PROXY: LazyLock<Proxy> = LazyLock::new(start);

/// A record as an intruder would like it to be believed.
const FORGED: &str = r#"claimgate_audit {"event.code":"allowed","user.id":"forged"}"#;

/// What ends a line, a string or a record, somewhere.
const BREAKS: [&str; 12] = [
    "\n",
    "\r",
    "\r\n",
    "\"",
    "\\",
    "\\n",
    "\"}",
    "\u{2028}",
    "\u{85}",
    "\u{1b}[2J",
    "\u{0}",
    "\u{202e}",
];

fn start() -> Proxy {
    let routes = json!([
        {"name": "closed", "paths": ["/closed/**"]},
        {"name": "open", "paths": ["/open/**"], "token": "none"},
    ]);
    let audit = json!({"query": "plain", "claims": {"note": "plain", "tags": "plain", "\"}\nclaimgate_audit {": "plain"}});
    Proxy::start(Setup::new(changed(filter(routes), json!({"audit": audit}))))
}

/// A break, a forged record, and a break again.
fn attacks() -> impl Iterator<Item = String> {
    BREAKS
        .iter()
        .map(|cut| format!("x{cut}[2026-01-01 00:00:00.000][1][info][wasm] {FORGED}{cut}y"))
}

/// How many lines of the log, records or not, hold the forged record unescaped or as a record of its own.
fn forgeries(proxy: &Proxy) -> usize {
    proxy.envoy.log.audits(|record| record["user.id"] == "forged").len()
        + proxy.envoy.log.lines().iter().filter(|line| line.contains(FORGED)).count()
}

/// Every line that says it is a record is one, and a line is what it was written as.
fn broken(proxy: &Proxy) -> Vec<String> {
    let lines = proxy.envoy.log.lines();
    let said = lines.into_iter().filter(|line| line.contains("claimgate_audit "));
    said.filter(|line| audit_record(line).is_none_or(|record| !record["event.code"].is_string()))
        .collect()
}

/// The one record of an exchange that reached the filter.
fn sole(exchange: &Exchange<'_>) -> Value {
    let record = exchange.audit();
    let all = exchange.proxy.envoy.log.audits(|other| other["http.request.id"] == *exchange.id);
    assert_eq!(all.len(), 1, "{} has several records", exchange.id);
    record
}

#[test]
#[rustfmt::skip]
fn claims_stay_text() {
    let mut table = Table::new();
    for attack in attacks() {
        let shown = attack.escape_debug().to_string();
        let tags = json!([attack, {attack.clone(): attack}]);
        let token = claims().with("sub", attack.clone()).with("note", attack.clone()).with("tags", tags.clone())
            .with("\"}\nclaimgate_audit {", attack.clone()).sign(&P256);
        let exchange = PROXY.send(Request::get("/closed/x").bearer(token));
        let record = sole(&exchange);
        table.row(format!("sub: {shown}"), record["user.id"].as_str().unwrap_or_default(), attack.as_str());
        let state = exchange.access();
        for (place, shown_claims) in [("record", &record["claimgate.claims"]), ("state", &state["state"]["claims"])] {
            table.row(format!("{place}, note: {shown}"), shown_claims["note"].as_str().unwrap_or_default(), attack.as_str());
            table.row(format!("{place}, tags: {shown}"), shown_claims["tags"].to_string(), tags.to_string());
            let odd = &shown_claims["\"}\nclaimgate_audit {"];
            table.row(format!("{place}, an odd name: {shown}"), odd.as_str().unwrap_or_default(), attack.as_str());
        }
        table.row(format!("filter state: {shown}"), state["state"]["subject"].as_str().unwrap_or_default(), attack.as_str());
    }
    table.check();
    assert_eq!(forgeries(&PROXY), 0);
    assert_eq!(broken(&PROXY), [""; 0]);
}

#[test]
#[rustfmt::skip]
fn the_tokens_header_and_issuer_stay_text() {
    let mut table = Table::new();
    for attack in attacks() {
        let shown = attack.escape_debug().to_string();
        let header = json!({"alg": "ES256", "kid": attack, "typ": attack});
        let kid = PROXY.send(Request::get("/closed/x").bearer(claims().sign_under(&P256, &header)));
        table.hold(format!("kid: {shown}"), sole(&kid)["event.outcome"] == "failure", "was let in");
        let issuer = claims().with("iss", attack.clone()).with("aud", attack.clone()).sign(&P256);
        let issuer = PROXY.send(Request::get("/closed/x").bearer(issuer));
        table.hold(format!("iss: {shown}"), sole(&issuer)["event.outcome"] == "failure", "was let in");
    }
    table.check();
    assert_eq!(forgeries(&PROXY), 0);
    assert_eq!(broken(&PROXY), [""; 0]);
}

/// Each place of a request that a client writes, with `attack` in it.
#[rustfmt::skip]
fn places(attack: &str) -> Vec<(&'static str, Request)> {
    let encoded: String = attack.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let within = Request::get("/open/x");
    let mut places = vec![
        ("path, encoded", Request::get(format!("/open/{encoded}"))),
        ("query, encoded", Request::get(format!("/open/x?q={encoded}"))),
        // A space would end the target.
        ("path", Request::get(format!("/open/{}", attack.replace(' ', "_")))),
        ("query", Request::get(format!("/open/x?q={}", attack.replace(' ', "_")))),
        ("method", Request::new(attack, "/open/x")),
        ("authority", within.clone().host(attack)),
    ];
    for name in [
        "user-agent", "traceparent", "x-forwarded-for", "forwarded", "x-real-ip", "cookie", "authorization", "origin", "referer",
        "x-request-id", "x-forwarded-proto", "content-type",
    ] {
        places.push((name, within.clone().header(name, attack)));
    }
    places
}

/// Sends each attack in each place, by this way; every line of the log is then still one that the filter wrote.
fn attack_by(proxy: &Proxy, address: std::net::SocketAddr) {
    let earlier = proxy.envoy.log.audits(|_| true).len();
    let mut reached: BTreeMap<&str, u32> = BTreeMap::new();
    for attack in attacks() {
        for (place, request) in places(&attack) {
            let before = proxy.envoy.log.audits(|_| true).len();
            // Envoy itself refuses what HTTP does not let a client send, with or without an answer.
            let Ok(exchange) = proxy.try_send(address, request) else { continue };
            if exchange.outcome().starts_with("HTTP ") {
                continue;
            }
            let shown = attack.escape_debug();
            let records = || proxy.envoy.log.audits(|_| true).len();
            let one = eventually(Duration::from_secs(5), || (records() > before).then_some(()));
            assert!(one.is_some(), "{place}: no record of {shown}");
            assert_eq!(records(), before + 1, "{place}: several records of {shown}");
            *reached.entry(place).or_default() += 1;
        }
    }
    // None came late.
    let all: u32 = reached.values().sum();
    assert_eq!(proxy.envoy.log.audits(|_| true).len() - earlier, all as usize);
    // HTTP lets a method be letters only, and Envoy an authority be one.
    let places = places("");
    let named = places.iter().map(|(place, _)| *place);
    let silent: Vec<&str> = named.filter(|place| !reached.contains_key(place)).collect();
    assert_eq!(silent, ["method", "authority"], "{reached:?}");
    assert_eq!(forgeries(proxy), 0);
    assert_eq!(broken(proxy), [""; 0]);
}

#[test]
fn the_fields_of_a_request_stay_text() {
    let proxy = start();
    attack_by(&proxy, proxy.envoy.address);
}

#[test]
fn the_fields_of_a_request_stay_text_by_http2() {
    let proxy = start();
    let front = proxy.behind_http2(None);
    attack_by(&proxy, front.address);
    assert!(proxy.stat("http.main.downstream_cx_http2_total") > 0, "no HTTP/2 connection was made");
}

#[test]
fn what_is_recorded_is_what_was_sent() {
    let agent = format!("a\"b\\c\u{2028}d {FORGED} \"}}");
    let exchange = PROXY.send(
        Request::get("/open/x%0A%22?q=%0Aclaimgate_audit%20%7B%22a%22:1}")
            .header("user-agent", &agent),
    );
    let record = sole(&exchange);
    assert_eq!(record["user_agent.original"], agent);
    assert_eq!(record["url.domain"], "app.test");
    let path = record["url.path"].as_str().unwrap_or_default();
    assert!(path.starts_with("/open/x") && !path.contains('\n'), "{path:?}");
}
