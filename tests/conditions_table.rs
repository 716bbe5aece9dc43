//! What `docs/conditions.md` says of conditions, row by row: the route opens on true, its negation on false, and
//! neither on unknown.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claimgate::config;
use claimgate::request::{Header, Request, UnknownPeer};
use claimgate::time::Timestamp;
use claimgate::token::signature::Portable;
use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("../docs/conditions.md");
const SECRET: &str = "the secret of these tests, of 32 bytes";
const NOW: u64 = 1_800_000_000;

/// The rows of the table in a section: the code spans of its first cell, the condition, what that is.
fn rows(section: &str) -> Vec<(Vec<&'static str>, &'static str, &'static str)> {
    let (_, rest) = DOCUMENT.split_once(&format!("\n## {section}\n")).unwrap();
    let text = rest.split("\n## ").next().unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split("` | ").collect();
        let [first, condition, is] = cells[..] else { panic!("three cells: {row}") };
        (first.split("` `").collect(), condition.trim_start_matches('`'), is)
    })
    .collect()
}

fn token(claims: &Value) -> String {
    let mut payload = json!({"iss": "corp", "exp": NOW + 60, "sub": "alice"});
    for (name, value) in claims.as_object().unwrap() {
        payload[name] = value.clone();
    }
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let input = format!("{}.{}", encode(r#"{"alg":"HS256"}"#), encode(&payload.to_string()));
    let tag = hmac_sha256::HMAC::mac(input.as_bytes(), SECRET.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Whether a route with this condition opens.
fn opens(condition: Value, claims: &Value, path: &str, further: &[&str]) -> bool {
    let issuer = |iss: &str| json!({"issuer": iss, "any_audience": true, "keys": [{"secret": {"utf8": SECRET}}]});
    let configuration = json!({
        "issuers": {"corp": issuer("corp"), "partner": issuer("partner")},
        "defaults": {"issuers": ["corp", "partner"]},
        "routes": [{"name": "r", "hosts": ["{h}.test"], "paths": ["/{seg}"], "require": condition}],
    });
    let loaded = config::load_value(configuration, "test", &|_| None, &Portable)
        .unwrap_or_else(|error| panic!("{condition}: {error}"));
    let bearer = format!("Bearer {}", token(claims));
    let mut headers: Vec<Header<'_>> = vec![
        (b":method", b"GET"),
        (b":authority", b"app.test"),
        (b":path", path.as_bytes()),
        (b"authorization", bearer.as_bytes()),
    ];
    headers.extend(further.iter().map(|header| {
        let (name, value) = header.split_once(": ").unwrap();
        (name.as_bytes(), value.as_bytes())
    }));
    let request = Request::new(&headers, &UnknownPeer);
    let outcome = loaded.engine.decide(&request, Timestamp::from_secs(NOW));
    match &outcome.refusal {
        None => true,
        Some(refusal) => {
            let code = refusal.code.name();
            assert!(matches!(code, "claims_insufficient" | "scope_insufficient"), "{code}");
            false
        }
    }
}

/// What a condition is, as far as routes can tell.
fn truth(condition: &str, claims: &Value, path: &str, further: &[&str]) -> &'static str {
    let condition: Value = serde_saphyr::from_str(condition).unwrap();
    let plain = opens(condition.clone(), claims, path, further);
    let negated = opens(json!({"not": condition}), claims, path, further);
    match (plain, negated) {
        (true, false) => "true",
        (false, true) => "false",
        (false, false) => "unknown",
        (true, true) => "both",
    }
}

fn check(rows: &[(String, &str, &str, &str)], least: usize) {
    assert!(rows.len() >= least, "only {} rows", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .filter(|(_, _, is, got)| is != got)
        .map(|(what, condition, is, got)| format!("{what} {condition}: {is} it says, {got} it is"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn claims_mean_what_the_table_says() {
    let rows: Vec<_> = rows("Claims")
        .into_iter()
        .map(|(cells, condition, is)| {
            let claims = serde_json::from_str(cells[0]).unwrap();
            (cells[0].to_owned(), condition, is, truth(condition, &claims, "/x", &[]))
        })
        .collect();
    check(&rows, 90);
}

#[test]
fn requests_mean_what_the_table_says() {
    let claims = json!({"tenant": "acme"});
    let rows: Vec<_> = rows("The request")
        .into_iter()
        .map(|(cells, condition, is)| {
            (cells.join(" "), condition, is, truth(condition, &claims, cells[0], &cells[1..]))
        })
        .collect();
    check(&rows, 25);
}
