//! Keys and secrets of an issuer.

use super::source::Asked;
use super::{Builder, advice, check_not_empty, list};
use crate::config::error::{ConfigError, Place};
use crate::config::raw;
use crate::token::remote::Published;
use crate::token::signature::{Algorithm, AlgorithmSet};
use crate::token::{Key, key};
use std::rc::Rc;

/// The keys of one issuer.
#[derive(Default)]
pub(super) struct Keys {
    /// Those that the configuration holds.
    pub own: Vec<Rc<Key>>,
    /// Those that are fetched.
    pub remote: Vec<Published>,
}

impl Builder<'_> {
    pub(super) fn keys(
        &mut self,
        sources: &[raw::KeySource],
        narrow: Option<AlgorithmSet>,
        issuer: &Place,
    ) -> Result<Keys, ConfigError> {
        let place = issuer.key("keys");
        if sources.is_empty() {
            return Err(place
                .error("missing or empty: name one or more of `jwks`, `pem`, `secret`, `remote`"));
        }
        if let Some(index) = sources.iter().position(|source| source.secret.is_some())
            && sources.iter().any(|source| source.secret.is_none())
        {
            return Err(place.index(index).error(
                "a secret beside asymmetric keys: whoever holds it could sign for them; make it an \
                 issuer of its own",
            ));
        }
        let mut keys = Keys::default();
        for (index, source) in sources.iter().enumerate() {
            self.key_source(source, narrow, &place.index(index), &mut keys)?;
        }
        if keys.own.is_empty() && keys.remote.is_empty() {
            let reasons: Vec<String> = self
                .warnings
                .iter()
                .filter(|warning| warning.place.to_string().starts_with(&place.to_string()))
                .map(|warning| format!("{}: {}", warning.place, warning.reason))
                .collect();
            return Err(place.error(format!(
                "no usable key, so that no token could ever verify ({})",
                if reasons.is_empty() { "the set is empty".to_owned() } else { reasons.join("; ") }
            )));
        }
        Ok(keys)
    }

    fn key_source(
        &mut self,
        source: &raw::KeySource,
        narrow: Option<AlgorithmSet>,
        place: &Place,
        keys: &mut Keys,
    ) -> Result<(), ConfigError> {
        let own = algorithms(source.algorithms.as_deref(), &place.key("algorithms"))?;
        let narrow = match (narrow, own) {
            (Some(issuer), Some(own)) => Some(issuer.intersection(own)),
            (issuer, own) => own.or(issuer),
        };
        let kid = source.kid.as_deref();
        match (&source.jwks, &source.pem, &source.secret, &source.remote) {
            (Some(set), None, None, None) => {
                if kid.is_some() {
                    return Err(place.key("kid").error("each key of a `jwks` has its own"));
                }
                let place = place.key("jwks");
                let (usable, skipped) = key::parse_jwks(set, narrow, self.backend)
                    .map_err(|reason| place.error(reason))?;
                for skipped in skipped {
                    let kid = skipped.kid.map(|kid| format!(" (kid {kid:?})")).unwrap_or_default();
                    let place = place.key("keys").index(skipped.index);
                    self.warnings.push(place.warning(format!("{}{kid}: skipped", skipped.reason)));
                }
                keys.own.extend(usable.into_iter().map(Rc::new));
            }
            (None, Some(text), None, None) => {
                let key = key::parse_pem(text, kid, narrow, self.backend);
                keys.own.push(Rc::new(key.map_err(|reason| place.key("pem").error(reason))?));
            }
            (None, None, Some(secret), None) => {
                let place = place.key("secret");
                let bytes = self.secret(secret, &place)?;
                if advice::is_guessable(&bytes) {
                    self.warnings.push(place.warning(
                        "looks guessable, and one token is enough to try guesses on: take 32 random bytes",
                    ));
                }
                let key = key::parse_secret(bytes, kid, narrow, self.backend);
                keys.own.push(Rc::new(key.map_err(|reason| place.error(reason))?));
            }
            (None, None, None, Some(remote)) => {
                if kid.is_some() {
                    return Err(place.key("kid").error("each key of a `remote` set has its own"));
                }
                keys.remote.push(published(remote, narrow, &place.key("remote"))?);
            }
            _ => {
                return Err(
                    place.error("expected exactly one of `jwks`, `pem`, `secret`, `remote`")
                );
            }
        }
        Ok(())
    }
}

/// A set of algorithms by their names.
pub(super) fn algorithms(
    names: Option<&[String]>,
    place: &Place,
) -> Result<Option<AlgorithmSet>, ConfigError> {
    let Some(names) = names else { return Ok(None) };
    check_not_empty(names, place)?;
    let parse = |(index, name): (usize, &String)| {
        Algorithm::parse(name).ok_or_else(|| {
            let known = list(Algorithm::ALL.into_iter().map(Algorithm::name));
            place.index(index).error(format!("unknown algorithm `{name}`, accepted: {known}"))
        })
    };
    let algorithms: Vec<Algorithm> =
        names.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    Ok(Some(AlgorithmSet::of(&algorithms)))
}

/// Where a key set is fetched from.
fn published(
    raw: &raw::Remote,
    algorithms: Option<AlgorithmSet>,
    place: &Place,
) -> Result<Published, ConfigError> {
    let raw::Remote { cluster, url, refresh, timeout, max_stale } = raw;
    let asked = Asked { cluster, url, refresh, timeout, max_stale };
    let source = asked.source([300, 2, 86_400], place)?;
    if algorithms.is_some_and(|narrow| narrow.intersection(AlgorithmSet::asymmetric()).is_empty()) {
        return Err(place.error("`algorithms` admits HMAC only, and a key set has no secrets"));
    }
    Ok(Published { source, algorithms })
}
