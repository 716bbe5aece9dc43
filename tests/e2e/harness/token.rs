//! Tokens: ordinary ones from a set of claims, and odd ones from arbitrary bytes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::keys::{Key, base64url};
use super::policy::{AUDIENCE, ISSUER};
use super::secrets;

/// Seconds since the epoch.
pub fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(elapsed.as_secs()).unwrap()
}

/// The claims of a token that every check of [`super::policy::corp`] accepts, to be varied.
#[derive(Clone)]
pub struct Claims(pub Map<String, Value>);

/// How every `jti` begins: a claim that no test lists for records, and no log may hold.
const UNLISTED: &str = "jti-that-no-log-may-hold";

/// Claims of alice, valid for ten minutes, with a `jti` of their own.
pub fn claims() -> Claims {
    secrets::keep_out_of_logs(UNLISTED);
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    let Value::Object(members) = json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "iat": now(),
        "exp": now() + 600,
        "jti": format!("{UNLISTED}-{}", SERIAL.fetch_add(1, Ordering::Relaxed)),
    }) else {
        panic!("claims are an object");
    };
    Claims(members)
}

impl Claims {
    /// Sets one claim.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Sets every member of the object `changes`; null removes the claim.
    pub fn patched(mut self, changes: &Value) -> Self {
        for (name, value) in changes.as_object().unwrap() {
            self = match value {
                Value::Null => self.without(name),
                value => self.with(name, value.clone()),
            };
        }
        self
    }

    /// Leaves one claim out.
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// The payload's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        Value::Object(self.0.clone()).to_string().into_bytes()
    }

    /// The token with the usual header of `key`.
    pub fn sign(&self, key: &Key) -> String {
        self.sign_as(key, key.algorithm)
    }

    /// The token with an algorithm of the caller's choice among those of `key`.
    pub fn sign_as(&self, key: &Key, algorithm: &str) -> String {
        self.sign_under(key, &json!({"alg": algorithm, "kid": key.kid, "typ": "JWT"}))
    }

    /// The token with a header of the caller's; the signature is of the `alg` in it, as far as `key` can.
    pub fn sign_under(&self, key: &Key, header: &Value) -> String {
        let algorithm = header["alg"].as_str().unwrap_or(key.algorithm);
        sign_bytes(key, algorithm, header.to_string().as_bytes(), &self.to_bytes())
    }
}

/// A token whose header and payload are exactly these bytes.
pub fn sign_bytes(key: &Key, algorithm: &str, header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", base64url(header), base64url(payload));
    let signature = key.sign(algorithm, signed.as_bytes());
    assemble(&signed, &signature)
}

/// The compact form; the token becomes one that no log may hold.
pub fn assemble(signed: &str, signature: &[u8]) -> String {
    let token = format!("{signed}.{}", base64url(signature));
    secrets::keep_out_of_logs(&token);
    token
}

/// The parts of `token`, to build a damaged one of them.
pub fn split(token: &str) -> (String, String, String) {
    let mut parts = token.split('.').map(str::to_owned);
    let mut next = || parts.next().unwrap();
    (next(), next(), next())
}
