//! How refusals and preflights are answered.

use super::issuer::header_name;
use super::{check_not_empty, duration, list};
use crate::config::error::{ConfigError, Place};
use crate::config::raw;
use crate::response::cors::OriginPattern;
use crate::response::{Body, Code, Cors, Login, Responses};
use crate::token::extract::Source;

/// The longest body of a refusal, in bytes: one is made for every refused request.
const MAX_BODY: usize = 65_536;

/// Response headers of HTTP's, Envoy's and the filter's own.
const TAKEN: [&str; 17] = [
    "age",
    "allow",
    "cache-control",
    "connection",
    "date",
    "etag",
    "expires",
    "last-modified",
    "location",
    "retry-after",
    "server",
    "set-cookie",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "www-authenticate",
];
const TAKEN_FAMILIES: [&str; 6] =
    ["access-control-", "content-", "grpc-", "proxy-", "ratelimit", "x-envoy-"];

pub(super) fn responses(
    raw: &raw::Responses,
    query_sources: Vec<Source>,
    place: &Place,
) -> Result<Responses, ConfigError> {
    let cors = raw.cors.as_ref().map(|raw| cors(raw, &place.key("cors"))).transpose()?;
    let bodies = raw
        .body
        .iter()
        .map(|(name, raw)| body(name, raw, &place.key("body").key(name)))
        .collect::<Result<_, _>>()?;
    let login = raw.login.as_ref().map(|raw| login(raw, &place.key("login"))).transpose()?;
    let expires_in = &place.key("expires_in_header");
    let expires_in = raw.expires_in_header.as_deref().map(|name| {
        let name = header_name(name, expires_in)?;
        match TAKEN.contains(&&*name) || TAKEN_FAMILIES.iter().any(|of| name.starts_with(of)) {
            false => Ok(name),
            true => Err(expires_in.error(format!(
                "`{name}` says something else already: write `x-token-expires-in`"
            ))),
        }
    });
    Ok(Responses {
        cors,
        bodies,
        login,
        query_sources,
        ratelimit_headers: raw.ratelimit_headers,
        expires_in_header: expires_in.transpose()?,
    })
}

fn cors(raw: &raw::Cors, place: &Place) -> Result<Cors, ConfigError> {
    let Some(origins) = &raw.allow_origins else {
        return Err(place.error("`allow_origins` is missing: name the origins that may ask"));
    };
    let origins_place = place.key("allow_origins");
    check_not_empty(origins, &origins_place)?;
    let origin = |(index, text): (usize, &String)| {
        OriginPattern::parse(text)
            .map_err(|reason| origins_place.index(index).error(format!("`{text}`: {reason}")))
    };
    let origins = origins.iter().enumerate().map(origin).collect::<Result<Vec<_>, _>>()?;
    if raw.allow_credentials && origins.contains(&OriginPattern::Every) {
        return Err(place.key("allow_credentials").error(
            "contradicts the origin `*`: any page could then act for whoever visits it; name the \
             origins",
        ));
    }
    let expose = raw.expose_headers.iter().enumerate();
    let expose =
        expose.map(|(index, name)| header_name(name, &place.key("expose_headers").index(index)));
    let max_age = raw.max_age.as_deref().map(|text| duration(text, &place.key("max_age")));
    Ok(Cors {
        origins,
        credentials: raw.allow_credentials,
        expose: expose.collect::<Result<_, _>>()?,
        max_age_secs: max_age.transpose()?.map(|age| age.as_secs()),
    })
}

fn body(name: &str, raw: &raw::Body, place: &Place) -> Result<(Code, Body), ConfigError> {
    let Some(code) = Code::ALL.into_iter().find(|code| code.name() == name) else {
        let known = list(Code::ALL.iter().map(|code| code.name()));
        return Err(place.error(format!("no code `{}`, there are: {known}", name.escape_debug())));
    };
    let Some(text) = raw.text.as_deref() else {
        return Err(place.error("`text` is missing: the body of the answer"));
    };
    if text.len() > MAX_BODY {
        return Err(place.key("text").error("longer than 64 KiB: link to a page instead"));
    }
    let content_type = raw.content_type.as_deref().unwrap_or("text/plain; charset=utf-8");
    let visible = content_type.bytes().all(|b| matches!(b, b' '..=b'~'));
    if !visible || !content_type.contains('/') {
        return Err(place.key("content_type").error("no media type: write `text/html`"));
    }
    Ok((code, Body { content_type: content_type.into(), text: text.into() }))
}

fn login(raw: &raw::Login, place: &Place) -> Result<Login, ConfigError> {
    let Some(url) = raw.url.as_deref() else {
        return Err(place.error("`url` is missing: where browsers log in"));
    };
    Login::parse(url).map_err(|reason| place.key("url").error(reason))
}
