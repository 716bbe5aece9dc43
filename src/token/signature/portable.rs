//! The backend that runs anywhere: jwt-simple's keys and the primitives beneath them, and `p521`
//! for ES512, which jwt-simple does not have.
//!
//! jwt-simple's own `verify_token` is not used: it would parse and judge the claims a second time,
//! by other rules (a `typ` it does not know, a tolerance of 15 minutes).

use super::{Algorithm, Curve, Material, SignatureBackend, Verifier};
use jwt_simple::algorithms::{
    ECDSAP256PublicKeyLike as _, ECDSAP256kPublicKeyLike as _, ECDSAP384PublicKeyLike as _,
    ES256PublicKey, ES256kPublicKey, ES384PublicKey, Ed25519PublicKey, EdDSAPublicKeyLike as _,
    HS256Key, HS384Key, HS512Key, MACLike, RS256PublicKey, RSAPublicKeyLike as _,
};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use superboring::hash::MessageDigest;
use superboring::pkey::{PKey, Public};
use superboring::rsa::Padding;

/// See the module.
#[derive(Debug)]
pub struct Portable;

impl SignatureBackend for Portable {
    fn prepare(&self, material: &Material) -> Result<Box<dyn Verifier>, &'static str> {
        match material {
            Material::Rsa { n, e } => Ok(Box::new(Rsa::new(n, e)?)),
            Material::Ec { curve, point } => elliptic(*curve, point),
            Material::Ed25519(bytes) => Ed25519PublicKey::from_bytes(bytes)
                .map(|key| Box::new(key) as Box<dyn Verifier>)
                .map_err(|_| "not a usable Ed25519 public key"),
            Material::Hmac(secret) => {
                let secret = secret.as_bytes();
                Ok(Box::new(Hmac {
                    hs256: HS256Key::from_bytes(secret),
                    hs384: HS384Key::from_bytes(secret),
                    hs512: HS512Key::from_bytes(secret),
                }))
            }
        }
    }
}

struct Rsa {
    key: PKey<Public>,
    signature_length: usize,
}

impl Rsa {
    fn new(n: &[u8], e: &[u8]) -> Result<Self, &'static str> {
        let n = n.get(n.iter().position(|byte| *byte != 0).unwrap_or(n.len())..).unwrap_or(n);
        // RFC 7518 section 3.3: "A key of size 2048 bits or larger MUST be used".
        let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
        if bits < 2048 {
            return Err("RSA key shorter than 2048 bits");
        }
        let key = RS256PublicKey::from_components(n, e)
            .map_err(|_| "not a usable RSA public key: 2048 to 8192 bits, exponent 65537")?;
        let key = PKey::from_rsa(key.public_key().as_ref().clone())
            .map_err(|_| "not a usable RSA public key")?;
        Ok(Self { key, signature_length: n.len() })
    }
}

impl Verifier for Rsa {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let (digest, padding) = match algorithm {
            Algorithm::RS256 => (MessageDigest::sha256(), Padding::PKCS1),
            Algorithm::RS384 => (MessageDigest::sha384(), Padding::PKCS1),
            Algorithm::RS512 => (MessageDigest::sha512(), Padding::PKCS1),
            Algorithm::PS256 => (MessageDigest::sha256(), Padding::PKCS1_PSS),
            Algorithm::PS384 => (MessageDigest::sha384(), Padding::PKCS1_PSS),
            Algorithm::PS512 => (MessageDigest::sha512(), Padding::PKCS1_PSS),
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => return false,
            Algorithm::ES256 | Algorithm::ES384 | Algorithm::ES512 | Algorithm::ES256K => {
                return false;
            }
            Algorithm::EdDSA => return false,
        };
        // RFC 8017 section 8.2.2 step 1.
        if signature.len() != self.signature_length {
            return false;
        }
        let Ok(mut verifier) = superboring::sign::Verifier::new(digest, &self.key) else {
            return false;
        };
        verifier.set_rsa_padding(padding).is_ok()
            && verifier.update(message).is_ok()
            && verifier.verify(signature).unwrap_or(false)
    }
}

fn elliptic(curve: Curve, point: &[u8]) -> Result<Box<dyn Verifier>, &'static str> {
    let bad = "not a point on the key's curve";
    Ok(match curve {
        Curve::P256 => Box::new(ES256PublicKey::from_bytes(point).map_err(|_| bad)?),
        Curve::P384 => Box::new(ES384PublicKey::from_bytes(point).map_err(|_| bad)?),
        Curve::Secp256k1 => Box::new(ES256kPublicKey::from_bytes(point).map_err(|_| bad)?),
        Curve::P521 => {
            Box::new(p521::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| bad)?)
        }
    })
}

impl Verifier for ES256PublicKey {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        algorithm == Algorithm::ES256
            && p256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
                let hash = hmac_sha256::Hash::hash(message);
                self.public_key().as_ref().verify_prehash(&hash, &signature).is_ok()
            })
    }
}

impl Verifier for ES384PublicKey {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        algorithm == Algorithm::ES384
            && p384::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
                let hash = hmac_sha512::sha384::Hash::hash(message);
                self.public_key().as_ref().verify_prehash(&hash, &signature).is_ok()
            })
    }
}

impl Verifier for ES256kPublicKey {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        algorithm == Algorithm::ES256K
            && k256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
                let hash = hmac_sha256::Hash::hash(message);
                // RFC 8812 does not ask for a low s, the crate does.
                let signature = signature.normalize_s();
                self.public_key().as_ref().verify_prehash(&hash, &signature).is_ok()
            })
    }
}

impl Verifier for p521::ecdsa::VerifyingKey {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        algorithm == Algorithm::ES512
            && p521::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
                let hash = hmac_sha512::Hash::hash(message);
                self.verify_prehash(&hash, &signature).is_ok()
            })
    }
}

impl Verifier for Ed25519PublicKey {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        algorithm == Algorithm::EdDSA
            && ed25519_compact::Signature::from_slice(signature).is_ok_and(|signature| {
                self.public_key().as_ref().verify(message, &signature).is_ok()
            })
    }
}

struct Hmac {
    hs256: HS256Key,
    hs384: HS384Key,
    hs512: HS512Key,
}

impl Verifier for Hmac {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let tag = match algorithm {
            Algorithm::HS256 => self.hs256.authentication_tag(message),
            Algorithm::HS384 => self.hs384.authentication_tag(message),
            Algorithm::HS512 => self.hs512.authentication_tag(message),
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => return false,
            Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 => return false,
            Algorithm::ES256 | Algorithm::ES384 | Algorithm::ES512 | Algorithm::ES256K => {
                return false;
            }
            Algorithm::EdDSA => return false,
        };
        // In constant time, so that the answer's delay tells nothing of the tag.
        ct_codecs::verify(&tag, signature)
    }
}
