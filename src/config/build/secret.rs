//! Secrets: from the environment, or inline.

use super::Builder;
use crate::audit::sign::Signer;
use crate::config::error::{ConfigError, Place};
use crate::config::raw;
use crate::token::asn1;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

impl Builder<'_> {
    /// The bytes of a secret. No error shows any of them.
    pub(super) fn secret(
        &mut self,
        secret: &raw::Secret,
        place: &Place,
    ) -> Result<Vec<u8>, ConfigError> {
        let (text, encoding, place) = self.secret_text(secret, place)?;
        match encoding {
            raw::Encoding::Utf8 => Ok(text.into_bytes()),
            raw::Encoding::Base64 => {
                decode(&text).ok_or_else(|| place.error("the secret is not base64"))
            }
            raw::Encoding::Pem => match asn1::parse_pem(&text) {
                Ok(_) => Err(place.error("a public key is no secret: use `pem`")),
                Err(_) => Err(place.error("`encoding: pem` is for signing keys, not for HMAC")),
            },
        }
    }

    /// An Ed25519 private key in PEM or as a JWK. No error shows any of it.
    pub(super) fn signer(
        &mut self,
        secret: &raw::Secret,
        key_id: Option<&str>,
        place: &Place,
    ) -> Result<Signer, ConfigError> {
        let (text, encoding, place) = self.secret_text(secret, place)?;
        let key = match encoding {
            raw::Encoding::Utf8 | raw::Encoding::Pem => Some(text),
            raw::Encoding::Base64 => decode(&text).and_then(|key| String::from_utf8(key).ok()),
        };
        let key = key.ok_or_else(|| place.error("not the base64 of a PEM or a JWK"))?;
        Signer::parse(&key, key_id).map_err(|reason| place.error(reason))
    }

    /// A secret as it is written, how, and where.
    fn secret_text(
        &mut self,
        secret: &raw::Secret,
        place: &Place,
    ) -> Result<(String, raw::Encoding, Place), ConfigError> {
        let (text, encoding, place) = match (&secret.env, &secret.base64, &secret.utf8) {
            (Some(name), None, None) => {
                let place = place.key("env");
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
                    // Not shown: it may be the secret itself.
                    return Err(place.error(
                        "not the name of an environment variable: letters, digits and `_`",
                    ));
                }
                let value = (self.environment)(name).ok_or_else(|| {
                    place.error(format!(
                        "environment variable `{name}` is not set: export it where Envoy \
                         starts, and hand it over by `vm_config.environment_variables`"
                    ))
                })?;
                (value, secret.encoding.unwrap_or(raw::Encoding::Utf8), place)
            }
            (None, Some(text), None) => (text.clone(), raw::Encoding::Base64, place.key("base64")),
            (None, None, Some(text)) => (text.clone(), raw::Encoding::Utf8, place.key("utf8")),
            _ => return Err(place.error("expected exactly one of `env`, `base64`, `utf8`")),
        };
        if secret.env.is_none() {
            if secret.encoding.is_some() {
                return Err(place.error("`encoding` goes with `env` only"));
            }
            self.warnings.push(
                place.warning("an inline secret shows in `/config_dump`: use `env`".to_owned()),
            );
        }
        Ok((text, encoding, place))
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
        .iter()
        .find_map(|engine| engine.decode(text).ok())
}
