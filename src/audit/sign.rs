//! Signs checkpoints, with EdDSA by jwt-simple.

use super::digest;
use super::link::Named;
use crate::time::Timestamp;
use jwt_simple::prelude::*;

/// The `typ` of a checkpoint (RFC 8725 section 3.11): nothing else takes it for a token.
pub const TYPE: &str = "claimgate-checkpoint+jwt";

/// The private key of an operator's, with its id.
pub struct Signer {
    key: Ed25519KeyPair,
    key_id: String,
}

impl Signer {
    /// Reads an Ed25519 key: PKCS#8 PEM, or a private JWK, whose `kid` is its id. No error shows any of it.
    ///
    /// # Errors
    /// Where it is something else, has no id, or another one than it is given.
    pub fn parse(text: &str, key_id: Option<&str>) -> Result<Self, &'static str> {
        let text = text.trim();
        let jwk = text.starts_with('{');
        let read = if jwk { Ed25519KeyPair::from_jwk } else { Ed25519KeyPair::from_pem };
        let key = read(text).map_err(|_| {
            "not an Ed25519 private key in PKCS#8 PEM or as a JWK (`claimgate keys new --alg EdDSA`)"
        })?;
        let key_id = match (key.key_id().as_deref(), key_id) {
            (Some(own), Some(said)) if own != said => {
                return Err("`key_id` is not the `kid` of the key");
            }
            (Some(id), _) | (None, Some(id)) => id.to_owned(),
            (None, None) => {
                return Err("`key_id` is missing: it tells who verifies which key signed");
            }
        };
        Ok(Self { key: key.with_key_id(&key_id), key_id })
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

    /// Signs that `last` is the newest record of its chain, or the last one, and that the other chains of the process
    /// have come so far; `said` is the digest of what the checkpoint's own record says before this. `None` where that
    /// cannot be written.
    pub(super) fn sign(
        &self,
        last: &Named,
        said: &digest::Head,
        closed: bool,
        heads: &[Named],
        now: Timestamp,
    ) -> Option<String> {
        let claims = JWTClaims {
            issued_at: Some(Duration::from_secs(now.as_nanos() / 1_000_000_000)),
            expires_at: None,
            invalid_before: None,
            issuer: None,
            subject: None,
            audiences: None,
            jwt_id: None,
            nonce: None,
            custom: Claims {
                chain: &last.chain,
                seq: last.seq,
                head: digest::text(&last.head),
                said: digest::text(said),
                closed,
                heads: heads.iter().map(ToString::to_string).collect(),
            },
        };
        let options =
            HeaderOptions { signature_type: Some(TYPE.to_owned()), ..HeaderOptions::default() };
        self.key.sign_with_options(claims, &options).ok()
    }
}

/// What is signed, beside the time; [`super::link::Checkpoint`] reads it.
#[derive(serde::Serialize)]
struct Claims<'a> {
    chain: &'a str,
    seq: u64,
    head: String,
    said: String,
    closed: bool,
    heads: Vec<String>,
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
    use crate::audit::link::{Checkpoint, Stamp};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    /// A new key.
    pub(in crate::audit) fn signer() -> Signer {
        Signer::parse(&Ed25519KeyPair::generate().to_pem(), Some("2026-11")).unwrap()
    }

    #[test]
    fn reads_private_keys_only() {
        let pair = Ed25519KeyPair::generate();
        let (pem, jwk) = (pair.to_pem(), pair.clone().with_key_id("a").to_jwk());
        let public = pair.public_key();
        let cases = [
            ("", Some("a"), None),
            ("x", Some("a"), None),
            ("{}", Some("a"), None),
            (&public.to_pem(), Some("a"), None),
            (&public.to_jwk(), Some("a"), None),
            (&pem, None, None),
            (&pem, Some("a"), Some("a")),
            (&jwk, None, Some("a")),
            (&jwk, Some("a"), Some("a")),
            (&jwk, Some("b"), None),
        ];
        for (text, key_id, want) in cases {
            let got = Signer::parse(text, key_id);
            assert_eq!(got.as_ref().ok().map(Signer::key_id), want, "{got:?}");
        }
        let signer = Signer::parse(&pem, Some("1")).unwrap();
        assert_eq!(format!("{signer:?}"), "Signer { key_id: \"1\", .. }");
    }

    #[test]
    fn what_is_signed_is_what_is_read() {
        let pair = Ed25519KeyPair::generate();
        let signer = Signer::parse(&pair.to_pem(), Some("1")).unwrap();
        let named =
            |chain: &str, seq| Named { chain: chain.repeat(22), seq, head: [7; 32], time: 1000 };
        let (last, heads) = (named("a", 3), vec![named("b", 8)]);
        let jws = signer.sign(&last, &[8; 32], true, &heads, Timestamp::from_secs(1000)).unwrap();
        assert!(pair.public_key().verify_token::<NoCustomClaims>(&jws, None).is_ok());
        let metadata = Token::decode_metadata(&jws).unwrap();
        assert_eq!((metadata.key_id(), metadata.signature_type()), (Some("1"), Some(TYPE)));
        let payload = URL_SAFE_NO_PAD.decode(jws.split('.').nth(1).unwrap()).unwrap();
        let time = Stamp::parse("1970-01-01T00:16:40.000Z").unwrap();
        assert_eq!(
            Checkpoint::parse(&payload),
            Some(Checkpoint { last, said: [8; 32], time, closed: true, heads })
        );
    }
}
