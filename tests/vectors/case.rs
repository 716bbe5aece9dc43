//! One signature to verify, here or by the module of `tests/host` inside of Envoy.

use claimgate::token::key::{Key, parse_jwks, parse_pem, parse_secret};
use claimgate::token::signature::{Algorithm, SignatureBackend};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A signature, and the keys of which one may have made it.
#[derive(Serialize, Deserialize)]
pub struct Case {
    /// Where it is from.
    pub name: String,
    /// The keys.
    pub keys: Keys,
    /// The `alg` of the header.
    pub algorithm: String,
    /// What is signed.
    pub message: Vec<u8>,
    /// What is to be verified.
    pub signature: Vec<u8>,
    /// Whether it verifies. `None` for a legacy encoding that may be refused or not.
    pub expected: Option<bool>,
}

/// Keys as a suite has them.
#[derive(Clone, Serialize, Deserialize)]
pub enum Keys {
    /// PEM texts.
    Pem(Vec<String>),
    /// A JWK Set.
    Jwks(Value),
    /// A secret.
    Secret(Vec<u8>),
}

impl Case {
    /// Whether the signature verifies with one of the keys. Keys of a set that cannot be used are skipped.
    pub fn verified(&self, backend: &dyn SignatureBackend) -> bool {
        let keys: Result<Vec<Key>, String> = match &self.keys {
            Keys::Pem(texts) => {
                let parse = |text: &String| Ok(parse_pem(text, None, None, backend)?);
                texts.iter().map(parse).collect()
            }
            Keys::Jwks(set) => parse_jwks(set, None, backend).map(|(keys, _)| keys),
            Keys::Secret(secret) => parse_secret(secret.clone(), None, None, backend)
                .map(|key| vec![key])
                .map_err(str::to_owned),
        };
        let keys = keys.unwrap_or_else(|wrong| panic!("the key of {}: {wrong}", self.name));
        Algorithm::parse(&self.algorithm).is_some_and(|algorithm| {
            keys.iter().any(|key| key.verify(algorithm, &self.message, &self.signature))
        })
    }
}
