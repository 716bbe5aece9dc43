//! Keys: from a JWK, PEM or a secret to a key that is bound to its algorithms.

use super::asn1;
use super::signature::{
    Algorithm, AlgorithmSet, Curve, Material, Secret, SignatureBackend, Verifier,
};
use crate::json::kind;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use std::fmt;
use std::rc::Rc;

/// How many keys a token without `kid` may try: each costs a signature check.
const MAX_CANDIDATES: usize = 8;

/// A key that is bound to its algorithms: the token's `alg` only chooses among them (RFC 8725
/// section 3.1).
pub struct Key {
    kid: Option<Box<str>>,
    algorithms: AlgorithmSet,
    verifier: Box<dyn Verifier>,
}

impl Key {
    /// Binds a key to the algorithms that its kind admits and `narrow`, if given, names.
    ///
    /// # Errors
    /// Says what is wrong with the key.
    pub fn new(
        material: &Material,
        kid: Option<&str>,
        narrow: Option<AlgorithmSet>,
        backend: &dyn SignatureBackend,
    ) -> Result<Self, &'static str> {
        let admitted = material.algorithms();
        if admitted.is_empty() {
            return Err("secret shorter than 32 bytes, the least that HS256 needs");
        }
        let algorithms = narrow.map_or(admitted, |narrow| admitted.intersection(narrow));
        if algorithms.is_empty() {
            return Err("key admits none of the named algorithms");
        }
        let verifier = backend.prepare(material)?;
        Ok(Self { kid: kid.map(Into::into), algorithms, verifier })
    }

    /// The key's id.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether this key made this signature, by an algorithm that it is bound to.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.algorithms.contains(algorithm) && self.verifier.verify(algorithm, message, signature)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key {{ kid: {:?}, algorithms: {:?} }}", self.kid, self.algorithms)
    }
}

/// The keys of one issuer.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Rc<Key>>,
}

/// Why no key can be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCandidate {
    /// None has the token's `kid`.
    Kid,
    /// Those that could be meant do not admit its algorithm.
    Algorithm,
}

impl KeySet {
    /// A set of these.
    pub fn new(keys: Vec<Rc<Key>>) -> Self {
        Self { keys }
    }

    /// All keys.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().map(|key| &**key)
    }

    /// The keys that may have signed a token: those of its `kid`, else those without one; all of
    /// them where the token names none. Of these, the ones that admit the algorithm.
    ///
    /// # Errors
    /// Why there is none.
    pub fn candidates(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<impl Iterator<Item = &Key>, NoCandidate> {
        let admits = move |key: &Key| key.algorithms.contains(algorithm);
        if !self.iter().any(admits) {
            return Err(NoCandidate::Algorithm);
        }
        let meant: fn(&Key, Option<&str>) -> bool = match kid {
            None => |_, _| true,
            Some(_) if self.keys.iter().any(|key| key.kid() == kid) => |key, kid| key.kid() == kid,
            Some(_) => |key, _| key.kid().is_none(),
        };
        if !self.iter().any(|key| meant(key, kid)) {
            return Err(NoCandidate::Kid);
        }
        let fits = move |key: &&Key| meant(key, kid) && admits(key);
        let mut fitting = self.iter().filter(fits).take(MAX_CANDIDATES).peekable();
        if fitting.peek().is_none() {
            return Err(NoCandidate::Algorithm);
        }
        Ok(fitting)
    }
}

/// A key of a set that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its place in `keys`.
    pub index: usize,
    /// Its id.
    pub kid: Option<String>,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Reads a JWK Set (RFC 7517 section 5): tolerant as a set, strict per key. Unusable keys are
/// skipped and reported; section 5 says "SHOULD ignore JWKs within a JWK Set that use kty values
/// that are not understood".
///
/// # Errors
/// Where it is no JWK Set.
pub fn parse_jwks(
    set: &Value,
    narrow: Option<AlgorithmSet>,
    backend: &dyn SignatureBackend,
) -> Result<(Vec<Key>, Vec<Skipped>), String> {
    let Some(Value::Array(jwks)) = set.get("keys") else {
        return Err(format!(
            "expected a JWK Set, an object with a list `keys`, found {} without",
            kind(set)
        ));
    };
    let (mut keys, mut skipped) = (Vec::new(), Vec::new());
    for (index, jwk) in jwks.iter().enumerate() {
        let kid = text(jwk, "kid").map(str::to_owned);
        match parse_jwk(jwk, narrow, backend) {
            Ok(key) => keys.push(key),
            Err(reason) => skipped.push(Skipped { index, kid, reason }),
        }
    }
    Ok((keys, skipped))
}

/// Reads one JWK (RFC 7517 section 4) that is meant to verify signatures.
fn parse_jwk(
    jwk: &Value,
    narrow: Option<AlgorithmSet>,
    backend: &dyn SignatureBackend,
) -> Result<Key, &'static str> {
    let members = jwk.as_object().ok_or("not an object")?;
    if members.get("use").is_some_and(|usage| usage != "sig") {
        return Err("`use` is not `sig`");
    }
    if let Some(operations) = members.get("key_ops") {
        let operations = operations.as_array().ok_or("`key_ops` is not a list")?;
        if !operations.iter().any(|operation| operation == "verify") {
            return Err("`key_ops` does not hold `verify`");
        }
    }
    if members.contains_key("d") {
        return Err("holds a private key: publish its public half only");
    }
    let material = material(members)?;
    let kid = match members.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.as_str()),
        Some(_) => return Err("`kid` is not a string"),
    };
    let mut narrow = narrow;
    if let Some(alg) = members.get("alg") {
        let alg =
            alg.as_str().and_then(Algorithm::parse).ok_or("`alg` is no JWS algorithm here")?;
        let only = AlgorithmSet::of(&[alg]);
        narrow = Some(narrow.map_or(only, |narrow| narrow.intersection(only)));
    }
    Key::new(&material, kid, narrow, backend)
}

/// The numbers of a public JWK (RFC 7518 section 6, RFC 8037 section 2).
fn material(members: &Map<String, Value>) -> Result<Material, &'static str> {
    let number = |name| {
        let text = members.get(name).and_then(Value::as_str)?;
        URL_SAFE_NO_PAD.decode(text).ok()
    };
    let curve = members.get("crv").and_then(Value::as_str);
    let kty = members.get("kty").and_then(Value::as_str);
    if let Some(kty) = kty
        && members.contains_key("x5c")
        && !members.contains_key("n")
        && !members.contains_key("x")
    {
        return certificate(members, kty);
    }
    match kty {
        Some("RSA") => match (number("n"), number("e")) {
            (Some(n), Some(e)) => Ok(Material::Rsa { n, e }),
            _ => Err("`n` or `e` is not base64url"),
        },
        Some("EC") => {
            let curve = match curve {
                Some("P-256") => Curve::P256,
                Some("P-384") => Curve::P384,
                Some("P-521") => Curve::P521,
                Some("secp256k1") => Curve::Secp256k1,
                _ => return Err("`crv` is not P-256, P-384, P-521 or secp256k1"),
            };
            let (Some(x), Some(y)) = (number("x"), number("y")) else {
                return Err("`x` or `y` is not base64url");
            };
            // RFC 7518 section 6.2.1.2: "The length of this octet string MUST be the full size".
            if x.len() != curve.coordinate() || y.len() != curve.coordinate() {
                return Err("`x` or `y` is not of the curve's full length");
            }
            Ok(Material::Ec { curve, point: [&[4], x.as_slice(), &y].concat() })
        }
        Some("OKP") if curve == Some("Ed25519") => {
            number("x").map(Material::Ed25519).ok_or("`x` is not base64url")
        }
        Some("OKP") => Err("`crv` is not Ed25519"),
        Some("oct") => Err("a symmetric key in a key set never counts: use `secret`"),
        Some(_) => Err("`kty` is not RSA, EC or OKP"),
        None => Err("`kty` is missing"),
    }
}

/// The key of the first certificate of `x5c` (RFC 7517 section 4.7), which is base64, not base64url.
fn certificate(members: &Map<String, Value>, kty: &str) -> Result<Material, &'static str> {
    let first = members.get("x5c").and_then(|chain| chain.get(0)).and_then(Value::as_str);
    let der = first.and_then(|text| STANDARD.decode(text).ok());
    let der = der.ok_or("`x5c` is not a list of base64 certificates")?;
    let material = asn1::from_certificate(&der)?;
    match (kty, &material) {
        ("RSA", Material::Rsa { .. }) => Ok(material),
        ("EC", Material::Ec { .. }) | ("OKP", Material::Ed25519(_)) => Ok(material),
        _ => Err("`kty` is not the one of the certificate's key"),
    }
}

/// A key from a PEM text.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse_pem(
    text: &str,
    kid: Option<&str>,
    narrow: Option<AlgorithmSet>,
    backend: &dyn SignatureBackend,
) -> Result<Key, &'static str> {
    Key::new(&asn1::parse_pem(text)?, kid, narrow, backend)
}

/// A key from an HMAC secret, bound to the named algorithms or else to every HMAC one that the
/// secret is long enough for.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse_secret(
    secret: Vec<u8>,
    kid: Option<&str>,
    narrow: Option<AlgorithmSet>,
    backend: &dyn SignatureBackend,
) -> Result<Key, &'static str> {
    // RFC 8725 section 2.1: a public key is no secret.
    if std::str::from_utf8(&secret).is_ok_and(|text| asn1::parse_pem(text).is_ok()) {
        return Err("a public key is no secret: use `pem`");
    }
    let material = Material::Hmac(Secret::new(secret));
    let admitted = material.algorithms();
    if let Some(narrow) = narrow
        && !admitted.is_empty()
        && narrow.intersection(admitted) != narrow
    {
        return Err("secret shorter than the hash of a named algorithm (RFC 7518 section 3.2), \
                    or an algorithm is not an HMAC one");
    }
    Key::new(&material, kid, narrow, backend)
}

fn text<'a>(jwk: &'a Value, name: &str) -> Option<&'a str> {
    jwk.get(name).and_then(Value::as_str)
}
