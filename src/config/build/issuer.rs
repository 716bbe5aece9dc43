//! Issuers: what their tokens must say, and where these are carried.

use super::keys::{Keys, algorithms};
use super::{Builder, check_name, check_not_empty, duration};
use crate::config::error::{ConfigError, Place};
use crate::config::raw;
use crate::token::Issuer;
use crate::token::claims::{self, ClaimPath};
use crate::token::extract::Source;
use std::time::Duration;

const CLOCK_SKEW: Duration = Duration::from_secs(30);
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(86_400);

impl Builder<'_> {
    pub(super) fn issuer(
        &mut self,
        name: &str,
        raw: &raw::Issuer,
        place: &Place,
    ) -> Result<(Issuer, Keys), ConfigError> {
        let iss = match raw.issuer.as_deref() {
            None => return Err(place.error("`issuer` is missing: the exact `iss` of its tokens")),
            Some("") => {
                return Err(place.key("issuer").error("empty: the exact `iss` of its tokens"));
            }
            Some(iss) => iss,
        };
        let audiences = match (&raw.audiences, raw.any_audience) {
            (Some(_), true) => {
                return Err(place.key("any_audience").error("contradicts `audiences`: keep one"));
            }
            (None, false) => {
                return Err(place.error(
                    "`audiences` is missing: name what `aud` must hold, or say `any_audience: true`",
                ));
            }
            (None, true) => None,
            (Some(audiences), false) => {
                check_not_empty(audiences, &place.key("audiences"))?;
                Some(audiences.iter().map(|audience| audience.as_str().into()).collect())
            }
        };
        let narrow = algorithms(raw.algorithms.as_deref(), &place.key("algorithms"))?;
        let keys = self.keys(&raw.keys, narrow, place)?;
        let skew = &place.key("clock_skew");
        let skew = raw.clock_skew.as_deref().map(|text| duration(text, skew)).transpose()?;
        let lifetime = &place.key("max_lifetime");
        let lifetime =
            raw.max_lifetime.as_deref().map(|text| duration(text, lifetime)).transpose()?;
        if skew.is_some_and(|skew| skew > MAX_CLOCK_SKEW) {
            return Err(place.key("clock_skew").error("more than a day: no clock is that wrong"));
        }
        if lifetime.is_some() && raw.allow_no_expiry {
            return Err(place.key("allow_no_expiry").error("contradicts `max_lifetime`: keep one"));
        }
        let attributes = raw
            .attributes
            .iter()
            .map(|(name, claim)| {
                let place = place.key("attributes").key(name);
                check_name(name, &place)?;
                if name == "issuer" {
                    return Err(place.error("`issuer` is built in: the operator's name for it"));
                }
                Ok((name.clone(), claim_path(claim, &place)?))
            })
            .collect::<Result<std::collections::BTreeMap<_, _>, _>>()?;
        let subject = attributes.get("subject").cloned();
        let subject = subject.unwrap_or_else(|| ClaimPath::Name("sub".into()));
        if subject.has_star() {
            let place = place.key("attributes").key("subject");
            return Err(place.error("`*` names several values, a subject is one"));
        }
        let mut named = attributes;
        named.insert("subject".to_owned(), subject.clone());
        self.attributes.push(named);
        let require_claims = raw
            .require_claims
            .iter()
            .enumerate()
            .map(|(index, claim)| claim_path(claim, &place.key("require_claims").index(index)))
            .collect::<Result<_, _>>()?;
        let issuer = Issuer {
            name: name.into(),
            iss: iss.into(),
            audiences,
            sources: sources(raw.token_from.as_deref(), &place.key("token_from"))?,
            forward_token: raw.forward_token,
            clock_skew_ms: skew.unwrap_or(CLOCK_SKEW).as_millis() as i64,
            max_lifetime_ms: lifetime.map(|lifetime| lifetime.as_millis() as i64),
            typ: raw.r#type.as_deref().map(|typ| claims::normal_type(typ).into()),
            require_claims,
            allow_no_expiry: raw.allow_no_expiry,
            subject,
            renews: raw.renew.is_some(),
        };
        Ok((issuer, keys))
    }
}

fn sources(raw: Option<&[raw::TokenFrom]>, place: &Place) -> Result<Vec<Source>, ConfigError> {
    let Some(raw) = raw else {
        return Ok(vec![Source::Header {
            name: "authorization".into(),
            scheme: Some("Bearer".into()),
        }]);
    };
    check_not_empty(raw, place)?;
    let sources: Vec<Source> = raw
        .iter()
        .enumerate()
        .map(|(index, raw)| source(raw, &place.index(index)))
        .collect::<Result<_, _>>()?;
    let schemes = |name: &str| {
        let of = sources
            .iter()
            .filter(|source| matches!(source, Source::Header { name: own, .. } if **own == *name));
        of.count()
    };
    let twice = sources.iter().find_map(|source| match source {
        Source::Header { name, .. } if schemes(name) > 1 => Some(name),
        _ => None,
    });
    match twice {
        Some(name) => Err(place.error(format!("`{name}` is there twice: one scheme, or none"))),
        None => Ok(sources),
    }
}

fn source(raw: &raw::TokenFrom, place: &Place) -> Result<Source, ConfigError> {
    let source = match (&raw.header, &raw.cookie, &raw.query, &raw.websocket_protocol) {
        (Some(name), None, None, None) => {
            let scheme = raw.scheme.as_deref().map(str::trim).filter(|scheme| !scheme.is_empty());
            let name = header_name(name, &place.key("header"))?;
            if matches!(&*name, "cookie" | "host" | "sec-websocket-protocol") {
                return Err(place.key("header").error("this header carries no bare token"));
            }
            Source::Header { name, scheme: scheme.map(Into::into) }
        }
        (None, Some(name), None, None) => Source::Cookie {
            name: name.as_str().into(),
            origins: raw.origins.iter().flatten().map(|origin| origin.as_str().into()).collect(),
        },
        (None, None, Some(name), None) => Source::Query { name: name.as_str().into() },
        (None, None, None, Some(prefix)) => {
            Source::WebsocketProtocol { prefix: prefix.as_str().into() }
        }
        _ => {
            return Err(place.error(
                "expected exactly one of `header`, `cookie`, `query`, `websocket_protocol`",
            ));
        }
    };
    if raw.scheme.is_some() && raw.header.is_none() {
        return Err(place.key("scheme").error("goes with `header` only"));
    }
    if raw.origins.is_some() && raw.cookie.is_none() {
        return Err(place.key("origins").error("goes with `cookie` only"));
    }
    if let Source::Cookie { name, .. } = &source {
        header_name(name, &place.key("cookie"))?;
    }
    let origin = |text: &String| {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', '?', '#', '@', ' ']))
    };
    if let Some(index) = raw.origins.iter().flatten().position(|text| !origin(text)) {
        let place = place.key("origins").index(index);
        return Err(place.error("an origin is written `https://app.example.com`, with no slash"));
    }
    let empty = match &source {
        Source::Header { .. } => false,
        Source::Cookie { name, .. } | Source::Query { name } => name.is_empty(),
        Source::WebsocketProtocol { prefix } => prefix.is_empty(),
    };
    if empty { Err(place.error("the name is empty")) } else { Ok(source) }
}

/// A header's name in lower case (RFC 9110 section 5.6.2).
pub(super) fn header_name(name: &str, place: &Place) -> Result<Box<str>, ConfigError> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(place.error(format!("`{}` is no header name", name.escape_debug())));
    }
    Ok(name.to_ascii_lowercase().into())
}

/// The path to a claim.
pub(super) fn claim_path(text: &str, place: &Place) -> Result<ClaimPath, ConfigError> {
    ClaimPath::parse(text).map_err(|reason| place.error(reason))
}
