//! The backend that runs anywhere, with the crate for each algorithm that is fastest in wasm among the
//! well-kept ones: `rsa`, `ed25519-dalek`, `hmac` with the secret's state kept, jwt-simple's keys for the
//! elliptic curves, and `p521` for ES512, which jwt-simple does not have.
//!
//! jwt-simple's own `verify_token` is not used: it would parse and judge the claims a second time,
//! by other rules (a `typ` it does not know, a tolerance of 15 minutes).

use super::Algorithm::*;
use super::{Algorithm, Curve, Material, SignatureBackend, Verifier};
use ed25519_dalek::VerifyingKey;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jwt_simple::algorithms::{
    ECDSAP256PublicKeyLike as _, ECDSAP256kPublicKeyLike as _, ECDSAP384PublicKeyLike as _,
    ES256PublicKey, ES256kPublicKey, ES384PublicKey,
};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::traits::PublicKeyParts as _;
use rsa::{BoxedUint, Pkcs1v15Sign, Pss};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// The longest modulus, in bits: each bit costs every check of a signature.
const MAX_RSA_BITS: usize = 8192;

/// See the module.
#[derive(Debug)]
pub struct Portable;

impl SignatureBackend for Portable {
    fn prepare(&self, material: &Material) -> Result<Box<dyn Verifier>, &'static str> {
        match material {
            Material::Rsa { n, e } => Ok(Box::new(rsa_key(n, e)?)),
            Material::Ec { curve, point } => elliptic(*curve, point),
            Material::Ed25519(bytes) => Ok(Box::new(ed25519_key(bytes)?)),
            Material::Hmac(secret) => Ok(Box::new(HmacKey::new(secret.as_bytes())?)),
        }
    }
}

fn rsa_key(n: &[u8], e: &[u8]) -> Result<rsa::PublicKey, &'static str> {
    let n = n.get(n.iter().position(|byte| *byte != 0).unwrap_or(n.len())..).unwrap_or(n);
    // RFC 7518 section 3.3: "A key of size 2048 bits or larger MUST be used".
    let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if bits < 2048 {
        return Err("RSA key shorter than 2048 bits");
    }
    if bits > MAX_RSA_BITS {
        return Err("RSA key longer than 8192 bits");
    }
    let (n, e) = (BoxedUint::from_be_slice_vartime(n), BoxedUint::from_be_slice_vartime(e));
    rsa::PublicKey::new_with_size_limits(n, e, 2048..=MAX_RSA_BITS)
        .map_err(|_| "not a usable RSA public key: an odd modulus, an odd exponent from 3 to 2^33")
}

impl Verifier for rsa::PublicKey {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        // RFC 8017 section 8.2.2 step 1.
        if signature.len() != self.size() {
            return false;
        }
        let verified = match algorithm {
            RS256 => {
                self.verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message), signature)
            }
            RS384 => {
                self.verify(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message), signature)
            }
            RS512 => {
                self.verify(Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(message), signature)
            }
            // RFC 7518 section 3.5: the salt is as long as the hash.
            PS256 => self.verify(Pss::<Sha256>::new(), &Sha256::digest(message), signature),
            PS384 => self.verify(Pss::<Sha384>::new(), &Sha384::digest(message), signature),
            PS512 => self.verify(Pss::<Sha512>::new(), &Sha512::digest(message), signature),
            HS256 | HS384 | HS512 | ES256 | ES384 | ES512 | ES256K | EdDSA => return false,
        };
        verified.is_ok()
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
        algorithm == ES256
            && p256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
                let hash = Sha256::digest(message);
                self.public_key().as_ref().verify_prehash(&hash, &signature).is_ok()
            })
    }
}

impl Verifier for ES384PublicKey {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        algorithm == ES384
            && p384::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
                let hash = Sha384::digest(message);
                self.public_key().as_ref().verify_prehash(&hash, &signature).is_ok()
            })
    }
}

impl Verifier for ES256kPublicKey {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        algorithm == ES256K
            && k256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
                let hash = Sha256::digest(message);
                // RFC 8812 does not ask for a low s, the crate does.
                let signature = signature.normalize_s();
                self.public_key().as_ref().verify_prehash(&hash, &signature).is_ok()
            })
    }
}

impl Verifier for p521::ecdsa::VerifyingKey {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        algorithm == ES512
            && p521::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
                let hash = Sha512::digest(message);
                self.verify_prehash(&hash, &signature).is_ok()
            })
    }
}

fn ed25519_key(bytes: &[u8]) -> Result<VerifyingKey, &'static str> {
    let bad = "not a usable Ed25519 public key";
    let bytes = bytes.try_into().map_err(|_| bad)?;
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| bad)?;
    // A point of small order verifies signatures that nobody made.
    if key.is_weak() { Err(bad) } else { Ok(key) }
}

impl Verifier for VerifyingKey {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        algorithm == EdDSA
            && ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| self.verify_strict(message, &signature).is_ok())
    }
}

/// An HMAC secret, hashed into the state that each message begins with.
struct HmacKey {
    hs256: Hmac<Sha256>,
    hs384: Hmac<Sha384>,
    hs512: Hmac<Sha512>,
}

impl HmacKey {
    fn new(secret: &[u8]) -> Result<Self, &'static str> {
        let bad = |_| "not a usable secret";
        Ok(Self {
            hs256: Hmac::new_from_slice(secret).map_err(bad)?,
            hs384: Hmac::new_from_slice(secret).map_err(bad)?,
            hs512: Hmac::new_from_slice(secret).map_err(bad)?,
        })
    }
}

impl Verifier for HmacKey {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        // Each compares in constant time, so that the answer's delay tells nothing of the tag.
        let verified = match algorithm {
            HS256 => self.hs256.clone().chain_update(message).verify_slice(signature),
            HS384 => self.hs384.clone().chain_update(message).verify_slice(signature),
            HS512 => self.hs512.clone().chain_update(message).verify_slice(signature),
            RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => return false,
            ES256 | ES384 | ES512 | ES256K | EdDSA => return false,
        };
        verified.is_ok()
    }
}
