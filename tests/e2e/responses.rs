//! What a refusal looks like: status, challenge, body, response code details.

use std::sync::LazyLock;

use serde_json::json;

use crate::harness::exchange::status_of;
use crate::harness::keys::{P256, P384};
use crate::harness::{Proxy, Request, Setup, Table, changed, claims, filter, now};

static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    let routes = json!([
        {"name": "plain", "paths": ["/plain"], "methods": ["GET", "HEAD"]},
        {"name": "roles", "paths": ["/roles"], "require": {"claim": "roles", "any_of": ["confidential-role"]}},
        {"name": "scopes", "paths": ["/scopes"], "require": {"scopes": ["logs:read"]}},
        {"name": "denied", "paths": ["/denied"], "deny": true},
    ]);
    let issuer = json!({"issuers": {"corp": {
        "max_lifetime": "1h", "type": "JWT", "require_claims": ["tid"],
        "token_from": [{"header": "authorization", "scheme": "Bearer"}, {"cookie": "session"}],
    }}});
    Proxy::start(Setup::new(changed(filter(routes), issuer)))
});

/// One request for every code that needs neither remote keys nor limits, revocation or renewal.
#[rustfmt::skip]
fn refusals() -> Vec<(&'static str, Request)> {
    let good = || claims().with("tid", "acme");
    let plain = |token: String| Request::get("/plain").bearer(token);
    let signed = |header| plain(good().sign_under(&P256, &header));
    let forged = good().sign_under(&P384, &json!({"alg": "ES256", "typ": "JWT"}));
    vec![
        ("host_ambiguous", Request::get("/plain").host("a..test")),
        ("path_ambiguous", Request::get("/plain//x")),
        ("token_ambiguous", plain(good().sign(&P256)).header("authorization", "Bearer x")),
        ("token_missing", Request::get("/plain")),
        ("token_malformed", plain("malformed".to_owned())),
        ("token_too_large", plain("x".repeat(20_000))),
        ("algorithm_not_allowed", signed(json!({"alg": "ES384", "kid": "p256-1", "typ": "JWT"}))),
        ("key_unknown", signed(json!({"alg": "ES256", "kid": "nobody", "typ": "JWT"}))),
        ("signature_invalid", plain(forged)),
        ("token_expired", plain(good().with("exp", now() - 1000).sign(&P256))),
        ("token_not_yet_valid", plain(good().with("nbf", now() + 1000).sign(&P256))),
        ("token_lifetime_too_long", plain(good().with("exp", now() + 9000).sign(&P256))),
        ("issuer_unknown", plain(good().with("iss", "https://evil.test").sign(&P256))),
        ("audience_mismatch", plain(good().with("aud", "other").sign(&P256))),
        ("type_mismatch", signed(json!({"alg": "ES256", "typ": "at+jwt"}))),
        ("claim_missing", plain(claims().sign(&P256))),
        ("critical_header_unsupported", signed(json!({"alg": "ES256", "typ": "JWT", "crit": ["b64"], "b64": true}))),
        ("no_route", Request::get("/nowhere")),
        ("route_denied", Request::get("/denied")),
        ("claims_insufficient", Request::get("/roles").bearer(good().sign(&P256))),
        ("scope_insufficient", Request::get("/scopes").bearer(good().sign(&P256))),
        ("origin_refused", Request::new("POST", "/scopes").header("cookie", format!("session={}", good().sign(&P256)))),
        ("method_not_allowed", Request::new("DELETE", "/plain")),
    ]
}

#[test]
fn every_code_is_the_same_everywhere() {
    let mut table = Table::new();
    for (code, request) in refusals() {
        let exchange = PROXY.send(request);
        table.row(code, exchange.outcome(), code);
        let access = exchange.access();
        table.row(
            format!("{code}, details"),
            access["details"].as_str().unwrap_or_default(),
            format!("claimgate.{code}"),
        );
        table.row(
            format!("{code}, filter state"),
            access["state"]["code"].as_str().unwrap_or_default(),
            code,
        );
        table.row(
            format!("{code}, decision"),
            access["state"]["decision"].as_str().unwrap_or_default(),
            "denied",
        );
        let record = exchange.audit();
        table.row(
            format!("{code}, audit"),
            record["event.code"].as_str().unwrap_or_default(),
            code,
        );
        table.row(
            format!("{code}, outcome"),
            record["event.outcome"].as_str().unwrap_or_default(),
            "failure",
        );
        let status = record["http.response.status_code"].to_string();
        table.row(format!("{code}, audited status"), status, status_of(code).to_string());
        let counted = PROXY.counted(
            "claimgate_requests_total",
            &[("code", code), ("outcome", "denied"), ("filter", "edge")],
        );
        table.hold(code, counted, "not counted");
    }
    table.check();
}

#[test]
fn a_refusal_is_a_problem_document_that_tells_no_more_than_it_must() {
    let mut table = Table::new();
    for (code, request) in refusals() {
        let exchange = PROXY.send(request);
        let problem = exchange.problem().unwrap_or_default();
        table.row(
            code,
            exchange.header("content-type").unwrap_or_default(),
            "application/problem+json",
        );
        table.row(code, exchange.header("cache-control").unwrap_or_default(), "no-store");
        table.row(code, problem["code"].as_str().unwrap_or_default(), code);
        table.row(code, problem["status"].to_string(), exchange.response.status.to_string());
        table.hold(
            code,
            problem["title"].as_str().is_some_and(|title| !title.is_empty()),
            "no title",
        );
        table.row(code, problem["request_id"].as_str().unwrap_or_default(), &exchange.id);
        let body = String::from_utf8_lossy(&exchange.response.body);
        for told in ["confidential-role", "alice", "acme", "corp", "idp.test", "p256-1", "eyJ"] {
            table.hold(code, !body.contains(told), format!("the body tells `{told}`: {body}"));
        }
    }
    table.check();
}

#[test]
fn the_challenge_follows_rfc_6750() {
    let mut table = Table::new();
    for (code, request) in refusals() {
        let exchange = PROXY.send(request);
        let challenge = exchange.header("www-authenticate");
        let status = exchange.response.status;
        if status != 401 && status != 403 {
            table.hold(
                code,
                challenge.is_none(),
                format!("a challenge with {status}: {challenge:?}"),
            );
            continue;
        }
        let challenge = challenge.unwrap_or_default();
        table.hold(code, challenge.starts_with(r#"Bearer realm="edge""#), &challenge);
        let error = match code {
            "token_missing" | "no_route" | "route_denied" => None,
            "claims_insufficient" | "scope_insufficient" => Some("insufficient_scope"),
            "origin_refused" => continue,
            _ => Some("invalid_token"),
        };
        let holds = match error {
            Some(error) => challenge.contains(&format!(r#"error="{error}""#)),
            None => !challenge.contains("error="),
        };
        table.hold(code, holds, format!("expected {error:?}, got {challenge}"));
    }
    table.check();
}

#[test]
fn a_refused_head_request_has_no_body() {
    let exchange = PROXY.send(Request::new("HEAD", "/plain"));
    assert_eq!(exchange.response.status, 401);
    assert!(exchange.header("www-authenticate").is_some());
    assert_eq!(exchange.access()["details"], "claimgate.token_missing");
}

#[test]
fn a_refused_body_is_not_read_by_the_upstream() {
    let exchange = PROXY.send(Request::new("POST", "/scopes").body("x".repeat(200_000)));
    exchange.refused("token_missing");
}

#[test]
fn the_realm_is_the_name_of_the_plugin_by_default() {
    let config = changed(filter(json!([{"name": "all", "paths": ["/**"]}])), json!({"name": null}));
    let proxy = Proxy::start(Setup::new(config));
    let challenge = proxy.send(Request::get("/")).header("www-authenticate").unwrap();
    assert!(challenge.starts_with(r#"Bearer realm="claimgate""#), "{challenge}");
}
