//! The public keys that verify checkpoints.

use crate::{Failure, read};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claimgate::audit::sign::TYPE;
use claimgate::json;
use claimgate::token::Algorithm;
use claimgate::token::key::{Key, KeySet, NoCandidate, parse_jwks, parse_pem};
use claimgate::token::signature::{AlgorithmSet, Portable};
use serde_json::{Value, json};
use std::rc::Rc;

/// Reads files of keys: PEM, a JWK or a JWK Set.
pub fn load(paths: &[String]) -> Result<KeySet, Failure> {
    let mut keys = Vec::new();
    for path in paths {
        let of_file = parse(&read(path)?).map_err(|why| format!("`{path}`: {why}"))?;
        keys.extend(of_file.into_iter().map(Rc::new));
    }
    Ok(KeySet::new(keys))
}

fn parse(text: &str) -> Result<Vec<Key>, String> {
    let narrow = Some(AlgorithmSet::of(&[Algorithm::EdDSA]));
    if !text.trim_start().starts_with('{') {
        let key = parse_pem(text, None, narrow, &Portable);
        return Ok(vec![key.map_err(|why| format!("{why}; expected an Ed25519 public key"))?]);
    }
    let value = json::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    let set = if value.get("keys").is_some() { value } else { json!({"keys": [value]}) };
    let (keys, skipped) = parse_jwks(&set, narrow, &Portable)?;
    match (keys.is_empty(), skipped.first()) {
        (false, _) => Ok(keys),
        (true, Some(skipped)) => Err(format!("no Ed25519 key is usable: {}", skipped.reason)),
        (true, None) => Err("no key is in it".to_owned()),
    }
}

/// The payload of a checkpoint that one of these keys signed; of any where there are no keys.
pub fn check(keys: Option<&KeySet>, jws: &str) -> Result<Vec<u8>, String> {
    let mut parts = jws.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("`claimgate.checkpoint` is no compact JWS".to_owned());
    };
    let decode = |part: &str| {
        URL_SAFE_NO_PAD.decode(part).map_err(|_| "the JWS is not base64url".to_owned())
    };
    let members = json::parse(&decode(header)?).map_err(|_| "its header is not JSON".to_owned())?;
    let text = |name| members.get(name).and_then(Value::as_str);
    if text("typ") != Some(TYPE) {
        return Err(format!("its `typ` is not `{TYPE}`"));
    }
    if text("alg") != Some(Algorithm::EdDSA.name()) || members.get("crit").is_some() {
        return Err("its `alg` is not EdDSA, or it demands an extension".to_owned());
    }
    let payload_bytes = decode(payload)?;
    let Some(keys) = keys else { return Ok(payload_bytes) };
    let kid = text("kid");
    let candidates = keys.candidates(kid, Algorithm::EdDSA).map_err(|why| match why {
        NoCandidate::Kid => {
            format!("key unknown: no key that was given has the kid `{}`", kid.unwrap_or_default())
        }
        NoCandidate::Algorithm => "key unknown: none that was given is an Ed25519 key".to_owned(),
    })?;
    let (message, signature) = (format!("{header}.{payload}"), decode(signature)?);
    let mut candidates = candidates;
    if candidates.any(|key| key.verify(Algorithm::EdDSA, message.as_bytes(), &signature)) {
        Ok(payload_bytes)
    } else {
        Err("its signature is not by a key that was given".to_owned())
    }
}
