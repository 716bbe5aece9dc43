//! Whole tokens and their claims, as Envoy, Istio and other libraries test them.

use super::files::{data, text};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claimgate::config::{self, Loaded};
use claimgate::json;
use claimgate::response::Code;
use claimgate::time::Timestamp;
use claimgate::token::claims::{Registered, check_audience};
use claimgate::token::compact;
use claimgate::token::signature::Portable;
use serde_json::{Value, json};

const LIMIT: usize = 16_384;

fn load(issuer: Value) -> Loaded {
    let configuration = json!({
        "issuers": {"test": issuer},
        "routes": [{"name": "all", "paths": ["/**"]}],
    });
    let loaded = config::load_value(configuration, "test", &|_| None, &Portable).unwrap();
    loaded.engine.trust.borrow_mut().remember(7);
    loaded
}

/// What becomes of a token: for the first time, and when it is remembered.
fn code(loaded: &Loaded, token: impl AsRef<[u8]>, now: u64) -> &'static str {
    let judge = || {
        let mut trust = loaded.engine.trust.borrow_mut();
        let now = Timestamp::from_secs(now);
        trust
            .verify(token.as_ref(), &loaded.engine.issuers, |_| true, LIMIT, now)
            .map_or_else(|failure| Code::of(&failure.error).name(), |_| "ok")
    };
    let first = judge();
    assert_eq!(judge(), first, "the same token again");
    first
}

#[test]
fn envoys_own_constants() {
    let Some(constants) = data("envoy_jwt_authn/test_common_constants.json") else {
        return;
    };
    let constant = |name: &str| constants["constants"][name].as_str().unwrap().trim().to_owned();
    let keys: Value = serde_json::from_str(&constant("PublicKey")).unwrap();
    let loaded = load(json!({
        "issuer": "https://example.com",
        "audiences": ["example_service"],
        "keys": [{"jwks": keys}],
    }));
    let cases = [
        ("GoodToken", "ok"),
        ("ExpiredToken", "token_expired"),
        ("InvalidAudToken", "audience_mismatch"),
        ("OtherGoodToken", "issuer_unknown"),
        // Envoy accepts a token without `iss` from any provider.
        ("ES256WithoutIssToken", "issuer_unknown"),
        // Their claims are changed beneath the signature; Envoy's tests do not get that far.
        ("NonExpiringToken", "signature_invalid"),
        ("NotYetValidToken", "signature_invalid"),
        ("NonExistKidToken", "signature_invalid"),
    ];
    for (name, want) in cases {
        assert_eq!(code(&loaded, constant(name), 1_700_000_000), want, "{name}");
    }
}

#[test]
fn istios_samples() {
    let Some(keys) = data("istio/samples/jwks.json") else {
        return;
    };
    let loaded = load(json!({
        "issuer": "testing@secure.istio.io",
        "any_audience": true,
        "keys": [{"jwks": keys}],
    }));
    for file in ["demo.jwt", "groups-scope.jwt"] {
        let token = text(&format!("istio/samples/{file}")).unwrap();
        let token = token.trim();
        assert_eq!(code(&loaded, token, 1_700_000_000), "ok", "{file}");
        for end in [token.len() - 1, token.len() / 2, 1] {
            assert_ne!(code(&loaded, &token[..end], 1_700_000_000), "ok", "{file} cut at {end}");
        }
    }
}

/// Signs claims with a secret of the test's own.
fn sign(claims: &Value) -> (Value, String) {
    let secret = "a secret of this test, and of 32 bytes at least";
    let issuer = json!({
        "issuer": "test",
        "any_audience": true,
        "allow_no_expiry": true,
        "keys": [{"secret": {"utf8": secret}, "algorithms": ["HS256"]}],
    });
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let input =
        format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(claims.to_string().as_bytes()));
    let tag = hmac_sha256::HMAC::mac(input.as_bytes(), secret.as_bytes());
    (issuer, format!("{input}.{}", encode(&tag)))
}

#[test]
fn time_claims() {
    let Some(suite) = data("jwt_verify_lib/time_cases.json") else {
        return;
    };
    for case in suite["cases"].as_array().unwrap() {
        let mut claims = json!({"iss": "test"});
        for name in case["claims_present"].as_array().unwrap() {
            let name = name.as_str().unwrap();
            if suite.get(name).is_some() {
                claims[name] = suite[name].clone();
            }
        }
        let (mut issuer, token) = sign(&claims);
        issuer["clock_skew"] = format!("{}s", case["skew"]).into();
        let want = match case["expected"].as_str().unwrap() {
            "Ok" => "ok",
            "JwtExpired" => "token_expired",
            "JwtNotYetValid" => "token_not_yet_valid",
            other => panic!("{other}"),
        };
        let now = case["now"].as_u64().unwrap_or(u64::MAX);
        assert_eq!(code(&load(issuer), &token, now), want, "{}", case["name"]);
    }
}

#[test]
fn audiences_are_compared_exactly() {
    let Some(suite) = data("jwt_verify_lib/audience_cases.json") else {
        return;
    };
    let mut stricter = 0;
    for case in suite["cases"].as_array().unwrap() {
        let list =
            |name: &str| -> Vec<String> { serde_json::from_value(case[name].clone()).unwrap() };
        let (configured, token) = (list("configured"), list("token_aud"));
        let exact = configured.iter().any(|audience| token.contains(audience));
        let accepted: Vec<Box<str>> = configured.iter().map(|text| text.as_str().into()).collect();
        let claims = json::parse_object(json!({"aud": token}).to_string().as_bytes()).unwrap();
        assert_eq!(check_audience(&claims, Some(&accepted)).is_ok(), exact, "{case}");
        // Envoy leaves out scheme and final slash; RFC 7519 section 4.1.3 does not.
        stricter += usize::from(case["expected"] == true && !exact);
        assert!(!(case["expected"] == false && exact), "laxer than Envoy: {case}");
    }
    assert_eq!(stricter, 31, "the cases in which Envoy is laxer");
}

#[test]
fn parsing() {
    let Some(suite) = data("jwt_verify_lib/parse_cases.json") else {
        return;
    };
    for case in suite["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap().trim_start_matches("JwtParseTest.");
        let parsed = compact::parse(
            case["token"].as_str().unwrap().as_bytes(),
            LIMIT,
            &compact::Headers::default(),
        );
        let got = parsed.and_then(|compact| {
            let registered = Registered::read(&compact.payload)?;
            check_audience(&compact.payload, None)?;
            let text = |claim: &str| compact.payload.get(claim).is_none_or(Value::is_string);
            assert!(text("iss") || name.contains("IssNotString"));
            Ok((registered, text("iss")))
        });
        let want = match name {
            // A header or payload that ends in a newline, which is white space to JSON.
            "GoodJwt" | "Copy" | "GoodJwtWithMultiAud" | "GoodNestedJwt" => true,
            "GoodJwtLongClaim" | "GoodJwtLongCustomClaims" => true,
            "TestParsePayloadIatDecimalsDrop" => true,
            // Well-formed here; it fails when the key or the issuer is sought.
            "TestParseHeaderInvalidAlg" | "TestParsePayloadIssNotString" => true,
            // Any number is a date: one before 1970, or after the year 9999, fails by the clock.
            name => ["NotPositive", "TooBig"].iter().any(|end| name.ends_with(end)),
        };
        assert_eq!(got.is_ok(), want, "{name}: {:?}", got.err());
    }
}

#[test]
fn malformed_tokens_never_verify() {
    let Some(cases) = data("jose_panva/malformed_cases.json") else {
        return;
    };
    let (issuer, good) = sign(&json!({"iss": "test"}));
    let loaded = load(issuer);
    assert_eq!(code(&loaded, &good, 1), "ok");
    let mut tokens: Vec<String> = Vec::new();
    let go_jose = data("malformed/jwt/go_jose_cases.json").unwrap();
    for case in
        cases["tokens"].as_array().unwrap().iter().chain(go_jose["cases"].as_array().unwrap())
    {
        tokens.push(case["token"].as_str().unwrap().to_owned());
    }
    for seed in ["jwks_ec", "jwks_hmac", "jwks_okp", "jwks_pem", "jwks_rsa", "jwks_x509"] {
        tokens.push(text(&format!("jwt_verify_lib/fuzz_corpus/{seed}.txt")).unwrap());
    }
    for token in tokens {
        assert_ne!(code(&loaded, &token, 1), "ok", "{token}");
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let (issuer, token) = sign(&json!({"iss": "test", "sub": "alice"}));
    let loaded = load(issuer);
    for end in 0..token.len() {
        assert_ne!(code(&loaded, &token[..end], 1), "ok", "cut at {end}");
    }
    for index in 0..token.len() {
        for bit in 0..8 {
            let mut bytes = token.clone().into_bytes();
            bytes[index] ^= 1 << bit;
            assert_ne!(code(&loaded, bytes, 1), "ok", "bit {bit} of byte {index}");
        }
    }
}
