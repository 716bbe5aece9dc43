//! The tokens of the benchmark: what an identity provider issues, 500 to 750 bytes each.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::keys::{self, Key, base64url};

/// The `iss` of every token.
pub const ISSUER: &str = "https://idp.example.com";
/// The `aud` of every token.
pub const AUDIENCE: &str = "logs-api";
/// The role that every policy asks for.
pub const ROLE: &str = "log-reader";

/// What a row sends.
pub enum Tokens {
    /// The same one with every request.
    Same(String),
    /// Another one with every request.
    Each(Vec<String>),
}

impl Tokens {
    /// The token of the request of this number.
    pub fn of(&self, request: usize) -> &str {
        match self {
            Tokens::Same(token) => token,
            Tokens::Each(tokens) => &tokens[request],
        }
    }
}

/// The key for an algorithm.
pub fn key(algorithm: &str) -> &'static Key {
    match algorithm {
        "RS256" | "PS256" => &keys::RSA,
        "ES256" => &keys::P256,
        "EdDSA" => &keys::ED25519,
        "HS256" => &keys::SECRET,
        other => panic!("no key for {other}"),
    }
}

/// A valid token for each number, signed on every core.
pub fn mint(algorithm: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    in_parallel(numbers, |number| assemble(algorithm, key(algorithm), number, 86_400))
}

/// Tokens as [`mint`] has them, each with the signature of another message by the same key: the signature of another key
/// may be too large for this one, which is found out early, by chance.
pub fn mint_forged(numbers: std::ops::Range<usize>) -> Vec<String> {
    let mut tokens = mint("RS256", numbers);
    let other = base64url(keys::RSA.sign("RS256", b"another message"));
    for token in &mut tokens {
        let end = token.rfind('.').unwrap() + 1;
        token.replace_range(end.., &other);
    }
    tokens
}

/// One token that ended an hour ago.
pub fn expired() -> String {
    assemble("RS256", &keys::RSA, 0, -3600)
}

fn in_parallel(
    numbers: std::ops::Range<usize>,
    make: impl Fn(usize) -> String + Sync,
) -> Vec<String> {
    let all: Vec<usize> = numbers.collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let make = &make;
    std::thread::scope(|scope| {
        let parts = all.chunks(all.len().div_ceil(cores).max(1));
        let threads: Vec<_> = parts
            .map(|part| {
                scope.spawn(move || part.iter().map(|number| make(*number)).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn assemble(algorithm: &str, key: &Key, number: usize, seconds_left: i64) -> String {
    let header = json!({"alg": algorithm, "kid": key.kid, "typ": "JWT"});
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let claims: Value = json!({
        "iss": ISSUER,
        "sub": format!("5f1c9a52-77e4-4c39-9d0b-{number:012}"),
        "aud": AUDIENCE,
        "exp": now + seconds_left,
        "iat": now - 7200,
        "jti": format!("b0f3{number:08}"),
        "email": "alice.liddell@example.com",
        "roles": ["developer", ROLE],
    });
    let signed = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
    format!("{signed}.{}", base64url(key.sign(algorithm, signed.as_bytes())))
}
