//! Keys: an arbitrary JWK Set, PEM text or secret.

use super::naive;
use claimgate::token::key::{self, Key, KeySet};
use claimgate::token::signature::{Algorithm, AlgorithmSet, Portable};
use serde_json::{Value, json};
use std::rc::Rc;

const MESSAGE: &[u8] = b"message";

pub fn check(data: &[u8]) {
    if let Ok(set) = claimgate::json::parse(data) {
        check_set(&set);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        check_pem(text);
    }
    check_secret(data);
}

fn check_set(set: &Value) {
    let Ok((keys, skipped)) = key::parse_jwks(set, None, &Portable) else {
        assert!(set.get("keys").is_none_or(|keys| !keys.is_array()));
        return;
    };
    let jwks = set["keys"].as_array().unwrap();
    assert_eq!(keys.len() + skipped.len(), jwks.len());
    assert!(skipped.iter().all(|skipped| skipped.index < jwks.len()));
    assert!(skipped.is_sorted_by(|one, next| one.index < next.index));
    let used =
        jwks.iter().enumerate().filter(|(index, _)| skipped.iter().all(|s| s.index != *index));
    for (key, (_, jwk)) in keys.iter().zip(used) {
        let algorithms = fitting(jwk);
        assert!(!algorithms.is_empty(), "not a key that verifies: {jwk}");
        assert_eq!(key.kid(), jwk.get("kid").and_then(Value::as_str));
        check_forged(key, jwk);
        check_spoiled(jwk);
    }
    // What is narrowed to one kind holds no other, and no key that was not there.
    let narrow = AlgorithmSet::of(&[Algorithm::EdDSA]);
    let (narrowed, _) = key::parse_jwks(set, Some(narrow), &Portable).unwrap();
    let fits = |jwk: &&Value| jwk["kty"] == "OKP";
    assert!(narrowed.len() <= jwks.iter().filter(fits).count().min(keys.len()));
    let set = KeySet::new(keys.into_iter().map(Rc::new).collect());
    for algorithm in Algorithm::ALL {
        let kid = set.iter().find_map(Key::kid).map(str::to_owned);
        for kid in [None, kid.as_deref(), Some("none has this one")] {
            let Ok(candidates) = set.candidates(kid, algorithm) else { continue };
            let candidates: Vec<&Key> = candidates.collect();
            assert!((1..=8).contains(&candidates.len()));
            let own = |key: &&Key| kid.is_none() || key.kid() == kid || key.kid().is_none();
            assert!(candidates.iter().all(own), "a key of another `kid`");
        }
    }
}

/// The algorithms that a JWK may verify by its own words (RFC 7517 section 4).
fn fitting(jwk: &Value) -> Vec<&'static str> {
    let length = |name| naive::base64url(jwk[name].as_str()?.as_bytes()).map(|bytes| bytes.len());
    let of = |size| length("x") == Some(size) && length("y") == Some(size);
    let all: &[&'static str] = match (jwk["kty"].as_str(), jwk["crv"].as_str()) {
        (Some("RSA"), _) if length("n").is_some_and(|n| n >= 256) || jwk.get("n").is_none() => {
            &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
        }
        (Some("EC"), Some("P-256")) if of(32) => &["ES256"],
        (Some("EC"), Some("P-384")) if of(48) => &["ES384"],
        (Some("EC"), Some("P-521")) if of(66) => &["ES512"],
        (Some("EC"), Some("secp256k1")) if of(32) => &["ES256K"],
        (Some("OKP"), Some("Ed25519")) if length("x") == Some(32) => &["EdDSA"],
        _ => &[],
    };
    let operations = jwk.get("key_ops").is_none_or(|operations| {
        operations.as_array().is_some_and(|list| list.iter().any(|one| one == "verify"))
    });
    if jwk.get("d").is_some() || jwk.get("use").is_some_and(|usage| usage != "sig") || !operations {
        return Vec::new();
    }
    let named = |name: &&str| jwk.get("alg").is_none_or(|alg| alg == *name);
    all.iter().copied().filter(named).collect()
}

/// A public key verifies nothing that was made without its private half, least of all by HMAC.
fn check_forged(key: &Key, jwk: &Value) {
    let algorithms = fitting(jwk);
    let mut one = vec![0; 64];
    one[0] = 1;
    for algorithm in Algorithm::ALL {
        let public = ["n", "x"].iter().find_map(|name| jwk[*name].as_str()).unwrap_or_default();
        let bytes = naive::base64url(public.as_bytes()).unwrap_or_default();
        let tags = [public.as_bytes(), &bytes]
            .map(|secret| hmac_sha256::HMAC::mac(MESSAGE, secret).to_vec());
        let zeros = [64, 96, 132, 256].map(|length| vec![0; length]);
        for signature in tags.iter().chain(&zeros).chain([&one]) {
            if algorithms.contains(&algorithm.name()) || signature.len() == 32 {
                let verified = key.verify(algorithm, MESSAGE, signature);
                assert!(!verified, "{} with {signature:02x?}", algorithm.name());
            }
        }
    }
}

/// A key that counts no longer does once its own words forbid it.
fn check_spoiled(jwk: &Value) {
    let spoiled = [
        ("d", json!("AA")),
        ("use", json!("enc")),
        ("key_ops", json!(["sign"])),
        ("kty", json!("oct")),
        ("kid", json!(7)),
        ("alg", json!("HS256")),
    ];
    for (name, value) in spoiled {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        let (keys, skipped) = key::parse_jwks(&json!({"keys": [jwk]}), None, &Portable).unwrap();
        assert!(keys.is_empty() && skipped.len() == 1, "a key with {name} as {}", jwk[name]);
    }
}

fn check_pem(text: &str) {
    let Ok(key) = key::parse_pem(text, Some("k"), None, &Portable) else { return };
    assert_eq!(key.kid(), Some("k"));
    assert!(!text.contains("PRIVATE KEY-----"), "a private key");
    // However YAML folds it.
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let (first, last) = (lines[0], lines[lines.len() - 1]);
    let folded = format!("  {first}\n\n {}\n{last}", lines[1..lines.len() - 1].concat());
    assert!(key::parse_pem(&folded, None, None, &Portable).is_ok(), "{folded}");
    for text in [text, &folded] {
        let secret = key::parse_secret(text.as_bytes().to_vec(), None, None, &Portable);
        assert!(secret.is_err(), "a public key as a secret");
    }
    let tag = hmac_sha256::HMAC::mac(MESSAGE, text.as_bytes());
    assert!(Algorithm::ALL.iter().all(|algorithm| !key.verify(*algorithm, MESSAGE, &tag)));
}

fn check_secret(secret: &[u8]) {
    let key = match key::parse_secret(secret.to_vec(), None, None, &Portable) {
        Ok(key) => key,
        Err(_) => {
            let pem = secret.trim_ascii().starts_with(b"-----BEGIN ");
            assert!(secret.len() < 32 || pem, "a secret of {} bytes is refused", secret.len());
            return;
        }
    };
    assert!(secret.len() >= 32, "a secret of {} bytes", secret.len());
    let mut tag = hmac_sha256::HMAC::mac(MESSAGE, secret);
    assert!(key.verify(Algorithm::HS256, MESSAGE, &tag));
    assert!(!key.verify(Algorithm::HS256, MESSAGE, &tag[..31]));
    assert!(!key.verify(Algorithm::HS384, MESSAGE, &tag));
    tag[usize::from(secret[0]) % 32] ^= 1;
    assert!(!key.verify(Algorithm::HS256, MESSAGE, &tag));
    let other = key::parse_secret(vec![b'x'; secret.len()], None, None, &Portable).unwrap();
    assert_eq!(format!("{key:?}"), format!("{other:?}"), "more than its length is shown");
}
