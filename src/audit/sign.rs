//! Signs checkpoints, with EdDSA by jwt-simple.

use super::chain::Checkpoint;
use jwt_simple::prelude::*;

/// The `typ` of a checkpoint (RFC 8725 section 3.11): nothing else takes it for a token.
pub const TYPE: &str = "claimgate-checkpoint+jwt";

/// The private key of an operator's, with its id.
pub struct Signer {
    key: Ed25519KeyPair,
    key_id: String,
}

impl Signer {
    /// Reads an Ed25519 key in PKCS#8 PEM. No error shows any of it.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn from_pem(pem: &str, key_id: &str) -> Result<Self, &'static str> {
        let key = Ed25519KeyPair::from_pem(pem.trim())
            .map_err(|_| "not an Ed25519 private key in PKCS#8 PEM (`claimgate keys new`)")?;
        Ok(Self { key: key.with_key_id(key_id), key_id: key_id.to_owned() })
    }

    /// The id of the key.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The public key, raw.
    pub fn public_key(&self) -> Vec<u8> {
        self.key.public_key().to_bytes()
    }

    /// What only who holds the private key can derive: for messages among its own workers.
    pub(super) fn derive(&self, purpose: &str) -> [u8; 32] {
        blake3::derive_key(purpose, &self.key.to_bytes())
    }

    /// Signs a checkpoint at a time in seconds. `None` where it cannot be written.
    pub(super) fn sign(&self, checkpoint: &Checkpoint, now: u64) -> Option<String> {
        let claims = JWTClaims {
            issued_at: Some(Duration::from_secs(now)),
            expires_at: None,
            invalid_before: None,
            issuer: None,
            subject: None,
            audiences: None,
            jwt_id: None,
            nonce: None,
            custom: checkpoint,
        };
        let options =
            HeaderOptions { signature_type: Some(TYPE.to_owned()), ..HeaderOptions::default() };
        self.key.sign_with_options(claims, &options).ok()
    }
}

/// Shows nothing of the key.
impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A new key.
    pub(in crate::audit) fn signer() -> Signer {
        Signer::from_pem(&Ed25519KeyPair::generate().to_pem(), "2026-11").unwrap()
    }

    #[test]
    fn reads_private_keys_only() {
        let pair = Ed25519KeyPair::generate();
        for pem in ["", "x", &pair.public_key().to_pem()] {
            assert!(Signer::from_pem(pem, "1").is_err(), "{pem}");
        }
        let signer = Signer::from_pem(&pair.to_pem(), "1").unwrap();
        assert_eq!(format!("{signer:?}"), "Signer { key_id: \"1\", .. }");
    }
}
