//! The configuration that tests start from and vary.

use serde_json::{Value, json};

use super::keys;

/// The `iss` of the usual issuer.
pub const ISSUER: &str = "https://idp.test";
/// The audience of the usual issuer.
pub const AUDIENCE: &str = "logs-api";
/// The configured name of the filter, which is the realm of its challenges.
pub const FILTER: &str = "edge";

/// The usual issuer: one P-256 key in a JWK Set, one audience.
pub fn corp() -> Value {
    json!({
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "keys": [{"jwks": {"keys": [keys::P256.jwk]}}],
    })
}

/// A filter with the usual issuer and these routes.
pub fn filter(routes: Value) -> Value {
    json!({"name": FILTER, "issuers": {"corp": corp()}, "routes": routes})
}

/// `base` with the members of `patch` set, objects merged and null removing a member (RFC 7396).
pub fn changed(mut base: Value, patch: Value) -> Value {
    merge(&mut base, patch);
    base
}

fn merge(base: &mut Value, patch: Value) {
    let Value::Object(members) = patch else {
        *base = patch;
        return;
    };
    if !base.is_object() {
        *base = json!({});
    }
    for (name, value) in members {
        if value.is_null() {
            base.as_object_mut().unwrap().remove(&name);
        } else {
            merge(&mut base[name], value);
        }
    }
}
