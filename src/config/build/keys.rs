//! Keys and secrets of an issuer.

use super::{Builder, advice, check_not_empty, duration, list};
use crate::config::error::{ConfigError, Place};
use crate::config::raw;
use crate::token::remote::Source;
use crate::token::signature::{Algorithm, AlgorithmSet};
use crate::token::{Key, key};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

/// The keys of one issuer.
#[derive(Default)]
pub(super) struct Keys {
    /// Those that the configuration holds.
    pub own: Vec<Rc<Key>>,
    /// Those that are fetched.
    pub remote: Vec<Source>,
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
                keys.remote.push(remote_source(remote, narrow, &place.key("remote"))?);
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
fn remote_source(
    raw: &raw::Remote,
    algorithms: Option<AlgorithmSet>,
    place: &Place,
) -> Result<Source, ConfigError> {
    let cluster = raw.cluster.as_deref().filter(|cluster| !cluster.is_empty());
    let cluster = cluster
        .ok_or_else(|| place.error("`cluster` is missing: the Envoy cluster that leads there"))?;
    let url = raw.url.as_deref().ok_or_else(|| place.error("`url` is missing: the key set's"))?;
    let url_place = place.key("url");
    let bad = || url_place.error("expected `https://idp.example.com/jwks.json`");
    let uri: http::Uri = url.parse().map_err(|_| bad())?;
    let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority())
    else {
        return Err(bad());
    };
    if authority.as_str().contains('@') || url.contains('#') {
        return Err(url_place.error("user info and fragments are not sent: leave them out"));
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let time = |name: &str, text: &Option<String>, default: u64, range: RangeInclusive<u64>| {
        let place = place.key(name);
        let time = text.as_deref().map(|text| duration(text, &place)).transpose()?;
        let time = time.unwrap_or(Duration::from_secs(default));
        if time < Duration::from_secs(*range.start()) || time > Duration::from_secs(*range.end()) {
            let (least, most) = range.into_inner();
            return Err(place.error(format!("expected between {least}s and {most}s")));
        }
        Ok(time.as_millis() as i64)
    };
    let refresh = time("refresh", &raw.refresh, 300, 1..=DAY)?;
    let max_stale = time("max_stale", &raw.max_stale, DAY, 1..=30 * DAY)?;
    if max_stale < refresh {
        let place = place.key("max_stale");
        return Err(place.error("shorter than `refresh`: keys would be gone between two fetches"));
    }
    if algorithms.is_some_and(|narrow| narrow.intersection(AlgorithmSet::asymmetric()).is_empty()) {
        return Err(place.error("`algorithms` admits HMAC only, and a key set has no secrets"));
    }
    Ok(Source {
        cluster: cluster.into(),
        scheme: scheme.into(),
        authority: authority.as_str().into(),
        path: path.into(),
        refresh,
        timeout: time("timeout", &raw.timeout, 2, 1..=30)?,
        max_stale,
        algorithms,
    })
}

const DAY: u64 = 86_400;
