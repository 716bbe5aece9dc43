//! Key sets as identity providers publish them, and keys too short to use.

use super::files::data;
use claimgate::token::key::parse_jwks;
use claimgate::token::signature::Portable;
use serde_json::{Value, json};

#[test]
fn published_key_sets_load() {
    // (file, usable keys, what is skipped)
    let cases: [(&str, usize, &[&str]); 10] = [
        ("apple.jwks.json", 3, &[]),
        ("docker.jwks.json", 2, &[]),
        ("entra-common.jwks.json", 7, &[]),
        ("gitlab.jwks.json", 2, &[]),
        ("google.jwks.json", 2, &[]),
        ("http_auth0_jwks.json", 2, &[]),
        ("http_azure_jwks.json", 10, &[]),
        ("http_cognito_jwks.json", 2, &[]),
        ("http_keycloak_jwks.json", 1, &["`use` is not `sig`"]),
        ("jwks_jwks_eddsa.json", 3, &["RSA key shorter than 2048 bits"]),
    ];
    for (file, usable, reasons) in cases {
        let Some(mut set) = data(&format!("jwks/{file}")) else {
            return;
        };
        // Some are recorded HTTP responses.
        if let Some(body) = set.get("body") {
            set = match body {
                Value::String(text) => serde_json::from_str(text).unwrap(),
                body => body.clone(),
            };
        }
        let (keys, skipped) = parse_jwks(&set, None, &Portable).unwrap();
        let skipped: Vec<&str> = skipped.iter().map(|skipped| skipped.reason).collect();
        assert_eq!((keys.len(), skipped.as_slice()), (usable, reasons), "{file}");
    }
}

#[test]
fn short_rsa_keys_are_refused() {
    let Some(keys) = data("jose_panva/small_rsa_keys.json") else {
        return;
    };
    for (name, usable) in [("rsa2040", 0), ("rsa2048", 1)] {
        let public = json!({"kty": "RSA", "n": keys[name]["n"], "e": keys[name]["e"]});
        let (keys, skipped) = parse_jwks(&json!({"keys": [public]}), None, &Portable).unwrap();
        assert_eq!((keys.len(), skipped.len()), (usable, 1 - usable), "{name}");
    }
}
