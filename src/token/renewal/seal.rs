//! What a refresh token opens: the name under which its renewal is recorded, and the key of what is recorded.

use super::{Auth, Renewal, Secret, Tokens};
use chacha20poly1305::aead::Aead;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use serde::{Deserialize, Serialize};

/// The length of a nonce, in bytes.
pub const NONCE: usize = 24;
/// The length of a name, in bytes.
pub const NAME: usize = 16;

/// See the module.
#[derive(Clone)]
pub struct Keys {
    name: [u8; NAME],
    key: [u8; 32],
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    token: String,
    refresh: Option<String>,
}

impl Keys {
    /// Those of a refresh token, of one client at one endpoint.
    pub fn of(refresh: &str, renewal: &Renewal) -> Self {
        let secret = match &renewal.client.auth {
            Auth::Basic(secret) | Auth::Post(secret) => secret.expose(),
            Auth::None => "",
        };
        let derive = |purpose: &str| {
            let mut hasher = blake3::Hasher::new_derive_key(purpose);
            let endpoint = &renewal.endpoint;
            for part in [&endpoint.authority, &endpoint.path, &renewal.client.id, secret, refresh] {
                // With its length, so that no two lists of parts are the same.
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
            *hasher.finalize().as_bytes()
        };
        let mut name = [0; NAME];
        let named = derive("claimgate 2026-11 name of a renewal");
        name.iter_mut().zip(named).for_each(|(to, from)| *to = from);
        Self { name, key: derive("claimgate 2026-11 seal of a renewal") }
    }

    /// The name.
    pub fn name(&self) -> &[u8; NAME] {
        &self.name
    }

    /// Seals tokens, the nonce in front.
    pub fn seal(&self, tokens: &Tokens, nonce: [u8; NONCE]) -> Option<Vec<u8>> {
        let refresh = tokens.refresh.as_ref().map(|refresh| refresh.expose().to_owned());
        let sealed = Sealed { token: tokens.token.expose().to_owned(), refresh };
        let text = serde_json::to_vec(&sealed).ok()?;
        let cipher = XChaCha20Poly1305::new(&self.key.into());
        let sealed = cipher.encrypt(&nonce.into(), text.as_slice()).ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    /// Opens what [`Self::seal`] made; `None` where it was made by another key, or changed.
    pub fn open(&self, sealed: &[u8]) -> Option<Tokens> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let cipher = XChaCha20Poly1305::new(&self.key.into());
        let text = cipher.decrypt(&(*nonce).into(), sealed).ok()?;
        let Sealed { token, refresh } = serde_json::from_slice(&text).ok()?;
        Some(Tokens { token: Secret(token), refresh: refresh.map(Secret) })
    }
}
