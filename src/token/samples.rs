//! Issuers, keys and tokens for the tests of this folder.

use super::claims::ClaimPath;
use super::fetching::{Endpoint, Fetched, Source};
use super::key::{Key, parse_secret};
use super::keyring::Keyring;
use super::remote::Published;
use super::signature::Portable;
use super::verify::{VerifiedToken, verify};
use super::{Issuer, IssuerId};
use crate::time::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_compact::{KeyPair, Seed};
use serde_json::{Value, json};
use std::rc::Rc;

/// The time of the tests, in seconds.
pub const NOW: u64 = 1_800_000_000;
/// More than any token has.
pub const LIMIT: usize = 16_384;
/// HS256 is the cheapest to sign.
pub const SECRET: &str = "the secret of these tests, of 32 bytes";

/// A moment in seconds after [`NOW`].
pub fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(NOW.checked_add_signed(secs).unwrap())
}

/// An issuer that asks for nothing but `exp`, without skew.
pub fn issuer(iss: &str) -> Issuer {
    Issuer {
        name: iss.into(),
        iss: iss.into(),
        audiences: None,
        sources: Vec::new(),
        forward_token: false,
        clock_skew_ms: 0,
        max_lifetime_ms: None,
        typ: None,
        require_claims: Vec::new(),
        allow_no_expiry: false,
        subject: ClaimPath::parse("sub").unwrap(),
        renews: false,
    }
}

/// The key of [`SECRET`].
pub fn secret(kid: Option<&str>) -> Rc<Key> {
    Rc::new(parse_secret(SECRET.into(), kid, None, &Portable).unwrap())
}

/// The keys of one issuer that has [`SECRET`].
pub fn keyring(kid: Option<&str>) -> Keyring {
    let mut keyring = Keyring::default();
    keyring.push(vec![secret(kid)], Vec::new());
    keyring
}

fn input(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// Signs with [`SECRET`].
pub fn sign(header: &Value, claims: &Value) -> String {
    let input = input(header, claims);
    let tag = hmac_sha256::HMAC::mac(input.as_bytes(), SECRET.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// A token of the issuer `a` with further claims, or others than the usual ones.
pub fn token(claims: &Value) -> String {
    let mut all = json!({"iss": "a", "exp": NOW + 60});
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    sign(&json!({"alg": "HS256"}), &all)
}

/// A token of the issuer `a` by its Ed25519 key of this seed.
pub fn token_by(seed: u8, kid: Option<&str>) -> String {
    let mut header = json!({"alg": "EdDSA"});
    if let Some(kid) = kid {
        header["kid"] = kid.into();
    }
    let input = input(&header, &json!({"iss": "a", "exp": NOW + 1_000_000}));
    let signature = pair(seed).sk.sign(&input, None);
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

/// A public Ed25519 key.
pub fn jwk(seed: u8, kid: Option<&str>) -> Value {
    let x = URL_SAFE_NO_PAD.encode(pair(seed).pk.as_ref());
    let mut jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    if let Some(kid) = kid {
        jwk["kid"] = kid.into();
    }
    jwk
}

fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed(Seed::new([seed; 32]))
}

/// What the keys of `keyring` make of a token.
pub fn verified(keyring: &Keyring, token: &str) -> Rc<VerifiedToken> {
    let anyone = |_: IssuerId| true;
    Rc::new(verify(token.as_bytes(), &[issuer("a")], keyring, anyone, LIMIT, at(0)).unwrap())
}

/// Fetched every 300 s, for 5 s at most, and too old after an hour.
pub fn source() -> Source {
    Source { endpoint: endpoint("/keys"), refresh: 300_000, max_stale: 3_600_000 }
}

/// The identity provider's endpoint of this path.
pub fn endpoint(path: &str) -> Endpoint {
    Endpoint {
        cluster: "idp".into(),
        scheme: "https".into(),
        authority: "idp.test".into(),
        path: path.into(),
        timeout: 5_000,
    }
}

/// Keys published there.
pub fn published(source: Source) -> Published {
    Published { source, algorithms: None }
}

/// A good answer.
pub fn fetched(body: &str) -> Fetched<'_> {
    Fetched { status: b"200", cache_control: None, etag: None, body: body.as_bytes() }
}
