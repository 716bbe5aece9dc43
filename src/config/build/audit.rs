//! What is recorded, and how.

use super::{Builder, duration, number};
use crate::audit::redact::{HashKey, Redaction, Show, ShowPath, ShowQuery, ShownClaim};
use crate::audit::{Caps, Integrity, Settings, Share, Shares};
use crate::config::error::{ConfigError, Place};
use crate::config::raw;
use crate::token::ClaimPath;
use serde_json::Value;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The most claims that a record shows: a line stays bounded.
const MAX_CLAIMS: usize = 32;

impl Builder<'_> {
    pub(super) fn audit(
        &mut self,
        raw: &raw::Audit,
        place: &Place,
    ) -> Result<Settings, ConfigError> {
        let share = |value: &Option<Value>, name: &str| share(value.as_ref(), &place.key(name));
        let shares = Shares {
            allowed: share(&raw.allowed, "allowed")?.unwrap_or(Share::All),
            denied: share(&raw.denied, "denied")?.unwrap_or(Share::All),
        };
        if raw.max_per_second.allowed == Some(0) {
            let place = place.key("max_per_second").key("allowed");
            self.warnings.push(place.warning("no access is recorded: say so by `allowed: none`"));
        }
        Ok(Settings {
            level: match raw.level {
                None | Some(raw::Level::Auto) => None,
                Some(raw::Level::Trace) => Some(log::Level::Trace),
                Some(raw::Level::Debug) => Some(log::Level::Debug),
                Some(raw::Level::Info) => Some(log::Level::Info),
                Some(raw::Level::Warn) => Some(log::Level::Warn),
                Some(raw::Level::Error) => Some(log::Level::Error),
            },
            shares,
            caps: Caps {
                allowed: raw.max_per_second.allowed,
                denied: raw.max_per_second.denied.or(Caps::default().denied),
            },
            redaction: self.redaction(raw, place)?,
            open_after: time(raw.open_after.as_deref(), 1..=86_400, &place.key("open_after"))?,
            integrity: raw
                .integrity
                .as_ref()
                .map(|raw| self.integrity(raw, &place.key("integrity")))
                .transpose()?,
        })
    }

    fn redaction(&mut self, raw: &raw::Audit, place: &Place) -> Result<Redaction, ConfigError> {
        let mut claims = Vec::with_capacity(raw.claims.len());
        let claims_place = place.key("claims");
        if raw.claims.len() > MAX_CLAIMS {
            return Err(claims_place.error(format!(
                "{} claims, at most {MAX_CLAIMS} are shown in a record",
                raw.claims.len()
            )));
        }
        for (name, show) in &raw.claims {
            let path = ClaimPath::parse(name).map_err(|why| claims_place.key(name).error(why))?;
            let show = match show {
                raw::ShowClaim::Plain => Show::Plain,
                raw::ShowClaim::Mask => Show::Mask,
                raw::ShowClaim::Hash => Show::Hash,
            };
            claims.push(ShownClaim { name: name.as_str().into(), path, show });
        }
        let subject = match raw.subject {
            None | Some(raw::Show::Plain) => Show::Plain,
            Some(raw::Show::Mask) => Show::Mask,
            Some(raw::Show::Hash) => Show::Hash,
            Some(raw::Show::None) => Show::None,
        };
        let hashes = subject == Show::Hash || claims.iter().any(|claim| claim.show == Show::Hash);
        let key_place = place.key("hash_key");
        let key = match (&raw.hash_key, hashes) {
            (Some(secret), _) => {
                let bytes = self.secret(secret, &key_place)?;
                if bytes.len() < 32 {
                    return Err(key_place.error(format!(
                        "{} bytes, at least 32 are needed: with a short key hashes can be tried out \
                         (`head -c 32 /dev/urandom | base64`)",
                        bytes.len()
                    )));
                }
                Some(HashKey::derive(&bytes))
            }
            (None, true) => {
                return Err(place.error("`hash_key` is missing: something is shown as `hash`"));
            }
            (None, false) => None,
        };
        if key.is_some() && !hashes {
            self.warnings.push(key_place.warning("nothing is shown as `hash`"));
        }
        Ok(Redaction {
            subject,
            path: match raw.path {
                None | Some(raw::ShowPath::Plain) => ShowPath::Plain,
                Some(raw::ShowPath::Route) => ShowPath::Route,
                Some(raw::ShowPath::None) => ShowPath::None,
            },
            query: match raw.query {
                None | Some(raw::ShowQuery::None) => ShowQuery::None,
                Some(raw::ShowQuery::Names) => ShowQuery::Names,
                Some(raw::ShowQuery::Plain) => ShowQuery::Plain,
            },
            claims,
            key,
        })
    }

    fn integrity(&mut self, raw: &raw::Integrity, place: &Place) -> Result<Integrity, ConfigError> {
        let sign = raw.sign.as_ref().ok_or_else(|| {
            place.error(
                "`sign` is missing: an Ed25519 private key (`claimgate keys new --alg EdDSA`)",
            )
        })?;
        let signer = self.signer(sign, raw.key_id.as_deref(), &place.key("sign"))?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let id = signer.key_id();
        if id.is_empty() || id.len() > 64 || !id.bytes().all(plain) {
            return Err(place.key("key_id").error(
                "the id of the key, here or its `kid`, is 1 to 64 letters, digits, `-`, `_`, `.`",
            ));
        }
        Ok(Integrity {
            signer,
            checkpoint: time(raw.checkpoint.as_deref(), 1..=3600, &place.key("checkpoint"))?,
        })
    }
}

/// A share, where there is one.
pub(super) fn share(value: Option<&Value>, place: &Place) -> Result<Option<Share>, ConfigError> {
    let Some(value) = value else { return Ok(None) };
    let share = match value {
        Value::String(word) if word == "all" => Some(Share::All),
        Value::String(word) if word == "none" => Some(Share::None),
        rate => number(rate).and_then(|rate| rate.as_f64()).and_then(Share::of_rate),
    };
    match share {
        Some(share) => Ok(Some(share)),
        None => Err(place.error("expected `all`, `none` or a rate above 0 and at most 1")),
    }
}

/// A time of ten seconds unless it is said, within bounds in seconds.
fn time(
    text: Option<&str>,
    range: RangeInclusive<u64>,
    place: &Place,
) -> Result<Duration, ConfigError> {
    let time = text.map(|text| duration(text, place)).transpose()?;
    let time = time.unwrap_or(Duration::from_secs(10));
    let (least, most) = range.into_inner();
    if time < Duration::from_secs(least) || time > Duration::from_secs(most) {
        return Err(place.error(format!("expected between {least}s and {most}s")));
    }
    Ok(time)
}
