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

    /// The algorithms that it is bound to.
    pub fn algorithms(&self) -> AlgorithmSet {
        self.algorithms
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::samples::jwk;
    use crate::token::signature::Portable;
    use serde_json::json;

    const EC_CERTIFICATE: &str = "\
        MIIBbjCCARWgAwIBAgIUfBbvCECtMlLPICr19xCDHwTaQ3IwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBdDAg\
        Fw0yNjExMjQwNDQxMzNaGA8yMTI2MTAzMTA0NDEzM1owDDEKMAgGA1UEAwwBdDBZMBMGByqGSM49AgEGCCqG\
        SM49AwEHA0IABC43WggHH6Mt703v2d48eRkrYBZksejkcIud0Aa1SvWP+y7JgrbaXu9nbfxGSEOBSz2bF7c2\
        ElzoY5OVYy6oKFyjUzBRMB0GA1UdDgQWBBTof4OLSkKLIkbqUKotg43iG1xMCDAfBgNVHSMEGDAWgBTof4OL\
        SkKLIkbqUKotg43iG1xMCDAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIBdeOoniWKSiMrgD\
        pe+sc0aqxTyQtXhrOcVKU0+3VCmEAiA5YtkfPSxSiQfdx/l9ZaSd5cgsoBEngY1vNsff+GeMEg==";
    const EC_POINT: [&str; 2] = [
        "LjdaCAcfoy3vTe_Z3jx5GStgFmSx6ORwi53QBrVK9Y8",
        "-y7JgrbaXu9nbfxGSEOBSz2bF7c2ElzoY5OVYy6oKFw",
    ];
    const ED_CERTIFICATE: &str = "\
        MIIBLjCB4aADAgECAhQ8FNGC0ReLY620wyZ9fpcIVTrEKzAFBgMrZXAwDDEKMAgGA1UEAwwBdDAgFw0yNjEx\
        MjQwNDQxMzNaGA8yMTI2MTAzMTA0NDEzM1owDDEKMAgGA1UEAwwBdDAqMAUGAytlcAMhAPtVz4L3GAtTFvdR\
        2GJcBh7cPcnpGowTzTENnmW4C48Xo1MwUTAdBgNVHQ4EFgQU14o9gFMEWmjGMtyj8j60VPmW/HYwHwYDVR0j\
        BBgwFoAU14o9gFMEWmjGMtyj8j60VPmW/HYwDwYDVR0TAQH/BAUwAwEB/zAFBgMrZXADQQCHfl3XblKQIF6x\
        5gPa3ZG46y02A3S1exYEYRNUhLkX9v6t5ro57OPj3oCKa401vqg2JGX2hRUQDFpN0B2llKQK";
    const RSA_CERTIFICATE: &str = "\
        MIIC+zCCAeOgAwIBAgIUZeZBYxNtQv3FQO5resLtz9SE74EwDQYJKoZIhvcNAQELBQAwDDEKMAgGA1UEAwwB\
        dDAgFw0yNjExMjQwNDQxMzRaGA8yMTI2MTAzMTA0NDEzNFowDDEKMAgGA1UEAwwBdDCCASIwDQYJKoZIhvcN\
        AQEBBQADggEPADCCAQoCggEBAL2Ja5KTuEvNX4IYJSWdtkkA+AHnvcZVmdUspZvhlW2vOGjsrGxkIUeO8GRf\
        Lw+ocHdZnvBDJnOip64EiyaswhXxkSdIVO9b0UhN6zRZ9mxW9tLT6HARGI6FCGVbd7nM2IrUY8Vy9GZUClH1\
        XbJBSyU5JGVKtmAev+pKG14HTTMpF4zRUXM4wJ1OKUy4MwqkxygMiYswRMz7wGKIHIjXM812LrNl4VsP6vFN\
        WYEELS/zMBxw34ovfFbgSiRtB9JNIi7U2LhVKVK5LNmUVeUEz21QTRF7Bwr1w0AcPgp7iQe83AXBoewqnSZJ\
        KCNY4poKFr3b35qEdsmxvv6mnvA5XqcCAwEAAaNTMFEwHQYDVR0OBBYEFFCzjjlLAOhBgDqBOY781rKDGLop\
        MB8GA1UdIwQYMBaAFFCzjjlLAOhBgDqBOY781rKDGLopMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQEL\
        BQADggEBAHUhwH9zzziCF4ZOXiMfjol5mx+Se5pE1h8rus3WnRE4B5vKWfeSL8DnrKC5Nd0ZjirqoAkIXxwc\
        GCtqiG95D+u1Uj3oDdcaA3/qtbUctZXvly+OozC2yRGY4FKazDioM5f6Ic4B1hlYg/rN4lNiKmwH1OhPJlg3\
        Oe7SeUz3EpfE/qxye+/EmMyDxcNB9qkhIAbG/fz4qYkStXxIJq2PwVC6J91XbFnJ3IC2HDD8hWfzII8yb3XM\
        kAkyGXY8ajgad1ZcpBZVq8tvrjSM9uP7wfDAdfGJkeY1AZ6XOvjpCcAQTqH07HIULnqlNSGDu9Gh1USIdtxs\
        pfbdlDUDVYA+25M=";
    const RSA_2048: &str = "\
        vYlrkpO4S81fghglJZ22SQD4Aee9xlWZ1Sylm-GVba84aOysbGQhR47wZF8vD6hwd1me8EMmc6KnrgSLJqzC\
        FfGRJ0hU71vRSE3rNFn2bFb20tPocBEYjoUIZVt3uczYitRjxXL0ZlQKUfVdskFLJTkkZUq2YB6_6kobXgdN\
        MykXjNFRczjAnU4pTLgzCqTHKAyJizBEzPvAYogciNczzXYus2XhWw_q8U1ZgQQtL_MwHHDfii98VuBKJG0H\
        0k0iLtTYuFUpUrks2ZRV5QTPbVBNEXsHCvXDQBw-CnuJB7zcBcGh7CqdJkkoI1jimgoWvdvfmoR2ybG-_qae\
        8Dlepw";
    const RSA_1024: &str = "\
        mOFu6feW2qwyv8wgkTMwHZ26-TlOP7EsJL7s5izd2cTsOsD5yPAyPS57ykT60EiDjDeAu9LrZFrXHvZUfbqr\
        opXdACBfQcDH5uiTktRSYZNnorjJEvkpZXzUBr6m6ghtIc1UbRyFtbKHqb2C7KwobhSjMmp_0woYMACGoEUt\
        A2k";

    fn rsa() -> Value {
        json!({"kty": "RSA", "n": RSA_2048, "e": "AQAB"})
    }

    fn ec() -> Value {
        json!({"kty": "EC", "crv": "P-256", "x": EC_POINT[0], "y": EC_POINT[1]})
    }

    fn ed() -> Value {
        jwk(1, None)
    }

    /// A key with further members, or without those that are null.
    fn with(mut key: Value, members: Value) -> Value {
        for (name, value) in members.as_object().unwrap() {
            match value {
                Value::Null => key.as_object_mut().unwrap().remove(name),
                value => key.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        key
    }

    fn x5c(kty: &str, certificate: &str) -> Value {
        json!({"kty": kty, "x5c": [certificate]})
    }

    /// The algorithms that a key is bound to, or what is wrong with it.
    fn read(key: &Value) -> String {
        let set = json!({"keys": [key]});
        let (keys, skipped) = parse_jwks(&set, None, &Portable).unwrap();
        match (keys.as_slice(), skipped.as_slice()) {
            ([key], []) => format!("{:?}", key.algorithms).replace(['{', '}', ','], ""),
            ([], [skipped]) => skipped.reason.to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_keys_as_they_are_published() {
        let any_rsa = "RS256 RS384 RS512 PS256 PS384 PS512";
        let other_kty = "`kty` is not the one of the certificate's key";
        let no_certificate = "`x5c` is not a list of base64 certificates";
        let private = "holds a private key: publish its public half only";
        let symmetric = "a symmetric key in a key set never counts: use `secret`";
        let point = "`x` or `y` is not of the curve's full length";
        let (usage, operations) = ("`use` is not `sig`", "`key_ops` does not hold `verify`");
        let (alg, none) =
            ("`alg` is no JWS algorithm here", "key admits none of the named algorithms");
        let cases = [
            (rsa(), any_rsa),
            (ec(), "ES256"),
            (ed(), "EdDSA"),
            // What it is for.
            (with(rsa(), json!({"use": "sig", "alg": "RS256"})), "RS256"),
            (with(rsa(), json!({"use": "sig", "key_ops": ["sign", "verify"]})), any_rsa),
            (with(rsa(), json!({"use": "enc"})), usage),
            (with(rsa(), json!({"use": ["sig"]})), usage),
            (with(rsa(), json!({"use": "SIG"})), usage),
            (with(rsa(), json!({"key_ops": ["sign"]})), operations),
            (with(rsa(), json!({"key_ops": []})), operations),
            (with(rsa(), json!({"key_ops": "verify"})), "`key_ops` is not a list"),
            (with(rsa(), json!({"alg": "PS512"})), "PS512"),
            (with(rsa(), json!({"alg": "ES256"})), none),
            (with(rsa(), json!({"alg": "HS256"})), none),
            (with(ec(), json!({"alg": "ES384"})), none),
            (with(rsa(), json!({"alg": "none"})), alg),
            (with(rsa(), json!({"alg": "rs256"})), alg),
            (with(rsa(), json!({"alg": "RSA-OAEP"})), alg),
            (with(rsa(), json!({"alg": 256})), alg),
            // What else is in it.
            (with(rsa(), json!({"kid": "", "x5t": "x", "issuer": "y", "ext": true})), any_rsa),
            (with(rsa(), json!({"x5c": [EC_CERTIFICATE], "x5u": "https://evil"})), any_rsa),
            (with(rsa(), json!({"kid": 7})), "`kid` is not a string"),
            (with(rsa(), json!({"d": "AQAB"})), private),
            (with(ed(), json!({"d": 7})), private),
            (json!({"kty": "oct", "k": "AAAA"}), symmetric),
            (json!({"kty": "oct", "k": "AAAA", "alg": "HS256"}), symmetric),
            // Its kind.
            (with(rsa(), json!({"kty": null})), "`kty` is missing"),
            (with(rsa(), json!({"kty": 7})), "`kty` is missing"),
            (with(rsa(), json!({"kty": "rsa"})), "`kty` is not RSA, EC or OKP"),
            (with(rsa(), json!({"kty": "AKP"})), "`kty` is not RSA, EC or OKP"),
            (with(ed(), json!({"crv": "X25519"})), "`crv` is not Ed25519"),
            (with(ed(), json!({"crv": null})), "`crv` is not Ed25519"),
            (with(ec(), json!({"crv": "P-224"})), "`crv` is not P-256, P-384, P-521 or secp256k1"),
            (with(ec(), json!({"crv": "P-384"})), point),
            (json!("RSA"), "not an object"),
            (Value::Null, "not an object"),
            // Its numbers.
            (with(rsa(), json!({"n": RSA_1024})), "RSA key shorter than 2048 bits"),
            (with(rsa(), json!({"n": ""})), "RSA key shorter than 2048 bits"),
            (with(rsa(), json!({"n": null})), "`n` or `e` is not base64url"),
            (with(rsa(), json!({"e": null})), "`n` or `e` is not base64url"),
            (with(rsa(), json!({"e": 65537})), "`n` or `e` is not base64url"),
            (with(rsa(), json!({"e": "AQAB="})), "`n` or `e` is not base64url"),
            (with(ec(), json!({"x": ""})), point),
            (with(ec(), json!({"y": null})), "`x` or `y` is not base64url"),
            (with(ec(), json!({"x": "a+b/"})), "`x` or `y` is not base64url"),
            (with(ed(), json!({"x": "AAAA"})), "not a usable Ed25519 public key"),
            (with(ed(), json!({"x": null})), "`x` is not base64url"),
            // A certificate instead of numbers.
            (x5c("RSA", RSA_CERTIFICATE), any_rsa),
            (x5c("EC", EC_CERTIFICATE), "ES256"),
            (x5c("OKP", ED_CERTIFICATE), "EdDSA"),
            (with(x5c("RSA", RSA_CERTIFICATE), json!({"alg": "RS256"})), "RS256"),
            (with(x5c("RSA", RSA_CERTIFICATE), json!({"use": "enc"})), usage),
            (x5c("EC", RSA_CERTIFICATE), other_kty),
            (x5c("RSA", EC_CERTIFICATE), other_kty),
            (x5c("OKP", EC_CERTIFICATE), other_kty),
            (x5c("oct", RSA_CERTIFICATE), other_kty),
            (x5c("X", RSA_CERTIFICATE), other_kty),
            (with(x5c("RSA", RSA_CERTIFICATE), json!({"kty": null})), "`kty` is missing"),
            (x5c("RSA", "AAAA"), "not an X.509 certificate"),
            (x5c("RSA", "a_-b"), no_certificate),
            (json!({"kty": "RSA", "x5c": []}), no_certificate),
            (json!({"kty": "RSA", "x5c": RSA_CERTIFICATE}), no_certificate),
        ];
        for (key, want) in cases {
            assert_eq!(read(&key), want, "{key}");
        }
    }

    #[test]
    fn numbers_and_certificate_are_one_key() {
        let pairs = [(rsa(), x5c("RSA", RSA_CERTIFICATE)), (ec(), x5c("EC", EC_CERTIFICATE))];
        for (numbers, certificate) in pairs {
            let spki = |key: &Value| asn1::to_spki(&material(key.as_object().unwrap()).ok()?);
            assert!(spki(&numbers).is_some());
            assert_eq!(spki(&numbers), spki(&certificate), "{numbers}");
        }
    }

    #[test]
    fn a_broken_key_leaves_the_others() {
        let set = json!({"extra": 1, "keys": [
            with(rsa(), json!({"kid": "1"})),
            with(rsa(), json!({"kid": "2", "use": "enc"})),
            {"kty": "oct", "k": "AAAA"},
            with(ec(), json!({"kid": "1"})),
            7,
            ed(),
        ]});
        let (keys, skipped) = parse_jwks(&set, None, &Portable).unwrap();
        let kids: Vec<Option<&str>> = keys.iter().map(Key::kid).collect();
        assert_eq!(kids, [Some("1"), Some("1"), None]);
        let skipped: Vec<_> = skipped
            .iter()
            .map(|skipped| (skipped.index, skipped.kid.as_deref(), skipped.reason))
            .collect();
        let want = [
            (1, Some("2"), "`use` is not `sig`"),
            (2, None, "a symmetric key in a key set never counts: use `secret`"),
            (4, None, "not an object"),
        ];
        assert_eq!(skipped, want);
        // Narrowed, others are left.
        let narrow = Some(AlgorithmSet::of(&[Algorithm::ES256, Algorithm::PS256]));
        let (keys, skipped) = parse_jwks(&set, narrow, &Portable).unwrap();
        let bound: Vec<_> = keys.iter().map(|key| key.algorithms).collect();
        let want = [AlgorithmSet::of(&[Algorithm::PS256]), AlgorithmSet::of(&[Algorithm::ES256])];
        assert_eq!((bound.as_slice(), skipped.len()), (&want[..], 4));
    }

    #[test]
    fn a_set_is_an_object_with_a_list() {
        let cases = [
            (json!({"keys": []}), true),
            (json!({"keys": [{"kty": "oct"}]}), true),
            (json!({}), false),
            (json!({"keys": {}}), false),
            (json!({"keys": null}), false),
            (json!({"Keys": []}), false),
            (json!([]), false),
            (rsa(), false),
            (Value::Null, false),
        ];
        for (set, want) in cases {
            let keys = parse_jwks(&set, None, &Portable);
            assert_eq!(keys.map(|(keys, _)| keys.len()).ok(), want.then_some(0), "{set}");
        }
    }

    #[test]
    fn secrets_are_as_long_as_the_hash() {
        use Algorithm::{HS256, HS384, HS512, RS256};
        let short = "secret shorter than 32 bytes, the least that HS256 needs";
        let shorter = "secret shorter than the hash of a named algorithm (RFC 7518 section 3.2), \
                       or an algorithm is not an HMAC one";
        type Algorithms = &'static [Algorithm];
        let cases: [(usize, Algorithms, Result<Algorithms, &str>); 16] = [
            (0, &[], Err(short)),
            (31, &[], Err(short)),
            (31, &[HS256], Err(short)),
            (32, &[], Ok(&[HS256])),
            (47, &[], Ok(&[HS256])),
            (48, &[], Ok(&[HS256, HS384])),
            (63, &[], Ok(&[HS256, HS384])),
            (64, &[], Ok(&[HS256, HS384, HS512])),
            (1000, &[], Ok(&[HS256, HS384, HS512])),
            (32, &[HS256], Ok(&[HS256])),
            (64, &[HS256], Ok(&[HS256])),
            (64, &[HS512], Ok(&[HS512])),
            (47, &[HS384], Err(shorter)),
            (63, &[HS256, HS512], Err(shorter)),
            (64, &[RS256], Err(shorter)),
            (64, &[HS256, RS256], Err(shorter)),
        ];
        for (length, narrow, want) in cases {
            let narrow = (!narrow.is_empty()).then(|| AlgorithmSet::of(narrow));
            let got = parse_secret(vec![b'x'; length], None, narrow, &Portable);
            let got = got.map(|key| key.algorithms);
            assert_eq!(got, want.map(AlgorithmSet::of), "{length} bytes, {narrow:?}");
        }
        let pem =
            format!("-----BEGIN CERTIFICATE-----\n{EC_CERTIFICATE}\n-----END CERTIFICATE-----");
        let refused = parse_secret(pem.into_bytes(), None, None, &Portable).map(|_| ());
        assert_eq!(refused, Err("a public key is no secret: use `pem`"));
    }

    #[test]
    fn the_key_id_chooses() {
        use Algorithm::{ES256, EdDSA, HS256, RS256};
        let (named, one, two) = ("named", "one", "two");
        let set = |keys: &[Value]| {
            let (keys, skipped) = parse_jwks(&json!({"keys": keys}), None, &Portable).unwrap();
            assert_eq!(skipped, []);
            KeySet::new(keys.into_iter().map(Rc::new).collect())
        };
        let named_set = set(&[
            with(ec(), json!({"kid": one})),
            with(ec(), json!({"kid": two})),
            with(ed(), json!({"kid": two})),
        ]);
        let mixed_set = set(&[with(ec(), json!({"kid": named})), ec(), ed()]);
        let many_set = set(&vec![ec(); 20]);
        let twins_set = set(&vec![with(ec(), json!({"kid": one})); 20]);
        let cases = [
            (&named_set, Some(one), ES256, Ok(1)),
            (&named_set, Some(two), ES256, Ok(1)),
            (&named_set, Some(two), EdDSA, Ok(1)),
            (&named_set, None, ES256, Ok(2)),
            (&named_set, None, EdDSA, Ok(1)),
            (&named_set, Some(one), EdDSA, Err(NoCandidate::Algorithm)),
            (&named_set, Some(named), ES256, Err(NoCandidate::Kid)),
            (&named_set, Some(""), ES256, Err(NoCandidate::Kid)),
            (&named_set, Some("ONE"), ES256, Err(NoCandidate::Kid)),
            (&named_set, None, RS256, Err(NoCandidate::Algorithm)),
            (&named_set, Some(named), HS256, Err(NoCandidate::Algorithm)),
            (&mixed_set, Some(named), ES256, Ok(1)),
            // Those without a `kid` may be meant by any.
            (&mixed_set, Some(one), ES256, Ok(1)),
            (&mixed_set, Some(one), EdDSA, Ok(1)),
            (&mixed_set, Some(named), EdDSA, Err(NoCandidate::Algorithm)),
            (&mixed_set, None, ES256, Ok(2)),
            (&many_set, None, ES256, Ok(MAX_CANDIDATES)),
            (&many_set, Some(one), ES256, Ok(MAX_CANDIDATES)),
            (&twins_set, Some(one), ES256, Ok(MAX_CANDIDATES)),
            (&KeySet::default(), None, ES256, Err(NoCandidate::Algorithm)),
        ];
        for (keys, kid, algorithm, want) in cases {
            let got = keys.candidates(kid, algorithm).map(Iterator::count);
            assert_eq!(got, want, "{kid:?} {algorithm:?} of {keys:?}");
        }
    }
}
