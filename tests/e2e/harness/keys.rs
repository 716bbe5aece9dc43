//! Signing keys, made anew in every run: nothing secret is committed.

use std::sync::LazyLock;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use rsa_signer::pkcs1::EncodeRsaPublicKey;
use rsa_signer::sha2::{Digest, Sha256, Sha384, Sha512};
use rsa_signer::traits::PublicKeyParts;
use serde_json::{Value, json};

/// Signs a message with one of the algorithms that the key admits.
type Signer = Box<dyn Fn(&str, &[u8]) -> Vec<u8> + Send + Sync>;

/// A key pair, or a shared secret, with its public side in every form that a configuration takes.
pub struct Key {
    /// The key's identifier, in its JWK and in the header of the tokens it signs.
    pub kid: String,
    /// The algorithm that it signs with when a test does not choose one.
    pub algorithm: &'static str,
    /// The public JWK with `kid` but without `alg`; `oct` for a shared secret.
    pub jwk: Value,
    /// The public key as SPKI; for a shared secret the text of the secret.
    pub pem: String,
    /// An RSA key as PKCS#1, else nothing.
    pub pkcs1: Option<String>,
    /// The private key of an elliptic curve, for a TLS endpoint, else nothing.
    pub private_pem: Option<String>,
    signer: Signer,
}

/// RSA with 2048 bits, for RS* and PS*.
pub static RSA: LazyLock<Key> = LazyLock::new(|| Key::rsa("rsa-1"));
/// NIST P-256, for ES256.
pub static P256: LazyLock<Key> = LazyLock::new(|| Key::p256("p256-1"));
/// NIST P-384, for ES384.
pub static P384: LazyLock<Key> = LazyLock::new(|| Key::p384("p384-1"));
/// NIST P-521, for ES512.
pub static P521: LazyLock<Key> = LazyLock::new(|| Key::p521("p521-1"));
/// secp256k1, for ES256K.
pub static K256: LazyLock<Key> = LazyLock::new(|| Key::k256("k256-1"));
/// Ed25519, for EdDSA.
pub static ED25519: LazyLock<Key> = LazyLock::new(|| Key::ed25519("ed-1"));
/// A shared secret of 64 random bytes, for HS*.
pub static SECRET: LazyLock<Key> = LazyLock::new(|| Key::secret("hs-1"));

macro_rules! elliptic {
    ($name:ident, $curve:literal, $algorithm:literal, $bytes:literal) => {
        #[doc = concat!("A fresh ", $curve, " key for ", $algorithm, ".")]
        pub fn $name(kid: &str) -> Self {
            use $name::ecdsa::{Signature, SigningKey, signature::Signer};
            let key = std::iter::repeat_with(|| {
                let mut scalar = random($bytes);
                if $bytes == 66 {
                    scalar[0] &= 1;
                }
                SigningKey::from_slice(&scalar)
            })
            .find_map(Result::ok)
            .unwrap();
            let public = key.verifying_key().to_sec1_point(false);
            let private = $name::SecretKey::from(&key).to_sec1_pem(Default::default()).unwrap();
            let (x, y) = public.as_bytes()[1..].split_at($bytes);
            Key {
                kid: kid.to_owned(),
                algorithm: $algorithm,
                jwk: json!({"kty": "EC", "crv": $curve, "kid": kid, "x": base64url(x), "y": base64url(y)}),
                pem: $name::PublicKey::from(key.verifying_key()).to_string(),
                pkcs1: None,
                private_pem: Some(private.to_string()),
                signer: Box::new(move |_, message| {
                    let signature: Signature = key.sign(message);
                    signature.to_bytes().to_vec()
                }),
            }
        }
    };
}

impl Key {
    elliptic!(p256, "P-256", "ES256", 32);
    elliptic!(p384, "P-384", "ES384", 48);
    elliptic!(p521, "P-521", "ES512", 66);
    elliptic!(k256, "secp256k1", "ES256K", 32);

    /// A fresh Ed25519 key.
    pub fn ed25519(kid: &str) -> Self {
        let pair = ed25519_compact::KeyPair::generate();
        Key {
            kid: kid.to_owned(),
            algorithm: "EdDSA",
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64url(*pair.pk)}),
            pem: pair.pk.to_pem(),
            pkcs1: None,
            private_pem: None,
            signer: Box::new(move |_, message| pair.sk.sign(message, None).to_vec()),
        }
    }

    /// A fresh RSA key of 2048 bits.
    pub fn rsa(kid: &str) -> Self {
        use rsa_signer::pkcs8::{EncodePublicKey, LineEnding};
        use rsa_signer::{Pkcs1v15Sign, Pss};
        let private =
            rsa_signer::RsaPrivateKey::new(&mut rsa_signer::rand_core::OsRng, 2048).unwrap();
        let public = private.to_public_key();
        let (n, e) = (public.n().to_bytes_be(), public.e().to_bytes_be());
        Key {
            kid: kid.to_owned(),
            algorithm: "RS256",
            jwk: json!({"kty": "RSA", "kid": kid, "n": base64url(&n), "e": base64url(&e)}),
            pem: public.to_public_key_pem(LineEnding::LF).unwrap(),
            pkcs1: Some(public.to_pkcs1_pem(LineEnding::LF).unwrap()),
            private_pem: None,
            signer: Box::new(move |algorithm, message| {
                let rng = &mut rsa_signer::rand_core::OsRng;
                match algorithm {
                    "RS384" => {
                        private.sign(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message))
                    }
                    "RS512" => {
                        private.sign(Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(message))
                    }
                    "PS256" => {
                        private.sign_with_rng(rng, Pss::new::<Sha256>(), &Sha256::digest(message))
                    }
                    "PS384" => {
                        private.sign_with_rng(rng, Pss::new::<Sha384>(), &Sha384::digest(message))
                    }
                    "PS512" => {
                        private.sign_with_rng(rng, Pss::new::<Sha512>(), &Sha512::digest(message))
                    }
                    _ => private.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message)),
                }
                .unwrap()
            }),
        }
    }

    /// A fresh shared secret of 64 bytes, printable so that every encoding of it can be configured.
    pub fn secret(kid: &str) -> Self {
        Key::of_secret(kid, &base64url(random(48)))
    }

    /// The HMAC key that `text` is.
    pub fn of_secret(kid: &str, text: &str) -> Self {
        let secret = text.as_bytes().to_vec();
        Key {
            kid: kid.to_owned(),
            algorithm: "HS256",
            jwk: json!({"kty": "oct", "kid": kid, "k": base64url(&secret)}),
            pem: text.to_owned(),
            pkcs1: None,
            private_pem: None,
            signer: Box::new(move |algorithm, message| match algorithm {
                "HS384" => hmac_sha512::sha384::HMAC::mac(message, &secret).to_vec(),
                "HS512" => hmac_sha512::HMAC::mac(message, &secret).to_vec(),
                _ => hmac_sha256::HMAC::mac(message, &secret).to_vec(),
            }),
        }
    }

    /// The public JWK bound to `algorithm`.
    pub fn jwk_for(&self, algorithm: &str) -> Value {
        let mut jwk = self.jwk.clone();
        jwk["alg"] = json!(algorithm);
        jwk
    }

    /// The signature of `message` in the form that a JWS carries.
    pub fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        (self.signer)(algorithm, message)
    }
}

/// `count` bytes from the system's random source.
pub fn random(count: usize) -> Vec<u8> {
    use rsa_signer::rand_core::RngCore;
    let mut bytes = vec![0; count];
    rsa_signer::rand_core::OsRng.fill_bytes(&mut bytes);
    bytes
}

/// Base64 for URLs, without padding.
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Base64 with the usual alphabet and padding.
pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}
