//! What the claims of a verified token have to say: time, audience, type, presence.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::harness::keys::{P256, P384};
use crate::harness::policy::corp;
use crate::harness::token::{self, Claims};
use crate::harness::{Proxy, Request, Setup, Table, changed, claims, now};

/// One issuer for each rule, each with an `iss` of its own: `https://NAME`.
static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    let rules = [
        ("plain", json!({})),
        ("exact", json!({"clock_skew": "0s"})),
        ("tolerant", json!({"clock_skew": "5m"})),
        ("brief", json!({"max_lifetime": "1h"})),
        ("eternal", json!({"allow_no_expiry": true})),
        ("typed", json!({"type": "at+jwt"})),
        ("strict", json!({"require_claims": ["sub", "jti", "https://example.com/tenant"]})),
        ("several", json!({"audiences": ["logs-api", "https://logs.example.com"]})),
        ("any", json!({"audiences": null, "any_audience": true})),
    ];
    let issuers = rules.map(|(name, rule)| {
        let base = changed(corp(), json!({"issuer": format!("https://{name}")}));
        (name.to_owned(), changed(base, rule))
    });
    let names = issuers.clone().map(|(name, _)| name);
    Proxy::start(Setup::new(json!({
        "issuers": Value::Object(issuers.into_iter().collect()),
        "defaults": {"issuers": names},
        "routes": [{"name": "all", "paths": ["/**"]}],
    })))
});

fn outcome(token: &str) -> String {
    PROXY.send(Request::get("/").bearer(token)).outcome()
}

fn of(issuer: &str) -> Claims {
    claims().with("iss", format!("https://{issuer}"))
}

/// Each case: the issuer, what its token has differently (null: has not), and what comes of it.
fn check(cases: &[(&str, Value, &str)]) {
    let mut table = Table::new();
    for (issuer, changes, expected) in cases {
        let token = of(issuer).patched(changes).sign(&P256);
        table.row(format!("{issuer}: {changes}"), outcome(&token), expected);
    }
    table.check();
}

#[test]
fn expiry_is_checked_with_the_skew_of_the_issuer() {
    let now = now();
    check(&[
        ("plain", json!({"exp": now + 600}), "allowed"),
        ("plain", json!({"exp": now - 10}), "allowed"),
        ("plain", json!({"exp": now - 60}), "token_expired"),
        ("plain", json!({"exp": 0}), "token_expired"),
        ("plain", json!({"exp": -1}), "token_expired"),
        ("plain", json!({"exp": now as f64 + 600.5}), "allowed"),
        ("plain", json!({"exp": now as f64 - 600.5}), "token_expired"),
        ("plain", json!({"exp": 1e9}), "token_expired"),
        ("plain", json!({"exp": null}), "claim_missing"),
        ("exact", json!({"exp": now + 60}), "allowed"),
        ("exact", json!({"exp": now - 2}), "token_expired"),
        ("tolerant", json!({"exp": now - 200}), "allowed"),
        ("tolerant", json!({"exp": now - 400}), "token_expired"),
        ("eternal", json!({"exp": null}), "allowed"),
        ("eternal", json!({"exp": now - 60}), "token_expired"),
    ]);
}

#[test]
fn a_token_is_not_valid_before_its_time() {
    let now = now();
    check(&[
        ("plain", json!({"nbf": now - 60}), "allowed"),
        ("plain", json!({"nbf": now + 10}), "allowed"),
        ("plain", json!({"nbf": now + 120}), "token_not_yet_valid"),
        ("plain", json!({"nbf": now as f64 + 120.5}), "token_not_yet_valid"),
        ("exact", json!({"nbf": now + 30}), "token_not_yet_valid"),
        ("tolerant", json!({"nbf": now + 120}), "allowed"),
        ("plain", json!({"iat": null}), "allowed"),
        ("plain", json!({"iat": now + 10}), "allowed"),
        ("plain", json!({"iat": now + 120}), "token_not_yet_valid"),
        ("exact", json!({"iat": now + 30}), "token_not_yet_valid"),
        ("tolerant", json!({"iat": now + 120}), "allowed"),
    ]);
}

#[test]
fn times_beyond_all_bounds_open_nothing() {
    let mut table = Table::new();
    for exp in [
        "1e300",
        "-1e300",
        "1e9999",
        "18446744073709551616",
        "99999999999999999999999999999999",
        "-0",
        "-0.0",
    ] {
        let payload =
            format!(r#"{{"iss":"https://plain","aud":"logs-api","sub":"alice","exp":{exp}}}"#);
        let token = token::sign_bytes(&P256, "ES256", br#"{"alg":"ES256"}"#, payload.as_bytes());
        // An expiry in the far future may count or may be refused, but the past is past.
        let future = exp.starts_with(['1', '9']);
        let expected =
            if future { "allowed|token_malformed" } else { "token_expired|token_malformed" };
        table.row(format!("exp: {exp}"), outcome(&token), expected);
    }
    table.check();
}

#[test]
fn a_lifetime_can_be_limited() {
    let now = now();
    check(&[
        ("brief", json!({"iat": now, "exp": now + 3600}), "allowed"),
        ("brief", json!({"iat": now, "exp": now + 3601}), "token_lifetime_too_long"),
        ("brief", json!({"iat": now - 7000, "exp": now + 200}), "token_lifetime_too_long"),
        ("brief", json!({"iat": null}), "claim_missing"),
        ("brief", json!({"exp": null}), "claim_missing"),
        ("plain", json!({"exp": now + 400_000_000}), "allowed"),
    ]);
}

#[test]
#[rustfmt::skip]
fn the_audience_has_to_be_one_of_the_issuer() {
    check(&[
        ("plain", json!({"aud": "logs-api"}), "allowed"),
        ("plain", json!({"aud": ["logs-api"]}), "allowed"),
        ("plain", json!({"aud": ["other", "logs-api"]}), "allowed"),
        ("plain", json!({"aud": "other"}), "audience_mismatch"),
        ("plain", json!({"aud": ["other"]}), "audience_mismatch"),
        ("plain", json!({"aud": []}), "audience_mismatch"),
        ("plain", json!({"aud": ""}), "audience_mismatch"),
        ("plain", json!({"aud": "LOGS-API"}), "audience_mismatch"),
        ("plain", json!({"aud": "logs-api/"}), "audience_mismatch"),
        ("plain", json!({"aud": "logs-api other"}), "audience_mismatch"),
        ("plain", json!({"aud": null}), "audience_mismatch|claim_missing"),
        ("several", json!({"aud": "https://logs.example.com"}), "allowed"),
        ("several", json!({"aud": "logs.example.com"}), "audience_mismatch"),
        ("several", json!({"aud": "https://logs.example.com/"}), "audience_mismatch"),
        ("any", json!({"aud": "other"}), "allowed"),
        ("any", json!({"aud": null}), "allowed"),
    ]);
}

#[test]
fn the_type_of_a_token_can_be_required() {
    let mut table = Table::new();
    for (typ, expected) in [
        (json!("at+jwt"), "allowed"),
        (json!("AT+JWT"), "allowed"),
        (json!("application/at+jwt"), "allowed"),
        (json!("Application/At+Jwt"), "allowed"),
        (json!("JWT"), "type_mismatch"),
        (json!("id+jwt"), "type_mismatch"),
        (json!(""), "type_mismatch"),
        (json!(null), "type_mismatch|token_malformed"),
    ] {
        let token = of("typed").sign_under(&P256, &json!({"alg": "ES256", "typ": typ}));
        table.row(format!("typ: {typ}"), outcome(&token), expected);
    }
    table.row(
        "no typ",
        outcome(&of("typed").sign_under(&P256, &json!({"alg": "ES256"}))),
        "type_mismatch",
    );
    table.row(
        "not required",
        outcome(&of("plain").sign_under(&P256, &json!({"alg": "ES256"}))),
        "allowed",
    );
    table.check();
}

#[test]
fn claims_can_be_required() {
    let tenant = "https://example.com/tenant";
    check(&[
        ("strict", json!({tenant: "acme"}), "allowed"),
        ("strict", json!({tenant: false}), "allowed"),
        ("strict", json!({}), "claim_missing"),
        ("strict", json!({tenant: "acme", "sub": null}), "claim_missing"),
        ("strict", json!({tenant: "acme", "jti": null}), "claim_missing"),
        ("plain", json!({"sub": null, "jti": null}), "allowed"),
    ]);
}

#[test]
fn claims_are_believed_only_after_the_signature() {
    let mut table = Table::new();
    let past = now() - 1000;
    for (name, claims) in [
        ("expired", of("plain").with("exp", past)),
        ("for another audience", of("plain").with("aud", "other")),
        ("without what is required", of("strict")),
    ] {
        table.row(
            name,
            outcome(&claims.sign_under(&P384, &json!({"alg": "ES256"}))),
            "signature_invalid",
        );
    }
    table.check();
}
