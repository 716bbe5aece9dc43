//! Identity headers.

use super::Builder;
use super::issuer::{claim_path, header_name};
use crate::config::error::{ConfigError, Place};
use crate::config::raw;
use crate::identity::{self, Format, Identity, IdentityHeader, OVERRIDES, Source};
use crate::token::{ClaimPath, Issuer};

/// Hop-by-hop names (RFC 9110 section 7.6.1) and those that make a request what it is.
const REFUSED: [&str; 14] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
    "content-type",
    "cookie",
    "authorization",
];

impl Builder<'_> {
    pub(super) fn identity(
        &mut self,
        raw: &raw::Identity,
        issuers: &[Issuer],
        place: &Place,
    ) -> Result<Identity, ConfigError> {
        let mut headers = Vec::new();
        for (name, raw) in &raw.headers {
            let place = place.key("headers").key(name);
            let name = settable(name, &place)?;
            if issuers.is_empty() {
                return Err(place.error("without `issuers` no token ever sets it"));
            }
            let source = match (&raw.claim, &raw.attribute) {
                (Some(claim), None) => Source::Claim(claim_path(claim, &place.key("claim"))?),
                (None, Some(name)) if name == "issuer" => Source::Issuer,
                (None, Some(name)) => {
                    Source::Attribute(self.attribute_paths(name, &place.key("attribute"))?)
                }
                _ => return Err(place.error("expected exactly one of `claim`, `attribute`")),
            };
            let starred = match &source {
                Source::Claim(path) => path.has_star(),
                Source::Attribute(paths) => paths.iter().flatten().any(ClaimPath::has_star),
                Source::Issuer => false,
            };
            if starred {
                return Err(place.error("`*` names several values, a header takes one claim"));
            }
            let format = match raw.format {
                None | Some(raw::Format::Text) => Format::Text,
                Some(raw::Format::Csv) => Format::Csv,
                Some(raw::Format::Json) => Format::Json,
                Some(raw::Format::Base64) => Format::Base64,
            };
            headers.push(IdentityHeader { name, source, format });
        }
        let payload = raw.payload_header.as_deref();
        let payload =
            payload.map(|name| settable(name, &place.key("payload_header"))).transpose()?;
        let names = headers.iter().map(|header: &IdentityHeader| &*header.name);
        let mut names: Vec<String> =
            names.chain(payload.as_deref()).map(identity::normal).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair.first() == pair.last()) {
            let name = pair.first().map(String::as_str).unwrap_or_default();
            return Err(place.error(format!(
                "two identity headers whose names differ only in case or separators: `{name}`"
            )));
        }
        let strip = &place.key("strip");
        let strip = raw
            .strip
            .iter()
            .enumerate()
            .map(|(index, text)| stripped(text, &strip.index(index)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Identity::new(headers, payload, &strip))
    }
}

/// The name of a header that the filter may set.
fn settable(name: &str, place: &Place) -> Result<Box<str>, ConfigError> {
    let name = header_name(name, place)?;
    let normal = identity::normal(&name);
    if REFUSED.contains(&normal.as_str()) || normal.starts_with("x-envoy-") {
        return Err(
            place.error(format!("`{name}` cannot be an identity header: Envoy or HTTP owns it"))
        );
    }
    if OVERRIDES.contains(&normal.as_str()) {
        return Err(place.error(format!("`{name}` overrides what policy has judged")));
    }
    Ok(name)
}

/// A name to strip, with a final `*` for a family.
fn stripped(text: &str, place: &Place) -> Result<Box<str>, ConfigError> {
    let (name, family) = match text.strip_suffix('*') {
        Some(name) => (name, true),
        None => (text, false),
    };
    let name = header_name(name, place)?;
    if name.contains('*') {
        return Err(place.error("`*` stands at the end only: `x-internal-*`"));
    }
    let normal = identity::normal(&name);
    let needed = REFUSED
        .iter()
        .chain(&["x-request-id"])
        .any(|needed| if family { needed.starts_with(&normal) } else { *needed == normal });
    if needed || "x-envoy-".starts_with(&normal) || normal.starts_with("x-envoy-") {
        return Err(place.error(format!("`{text}` takes headers that a request needs")));
    }
    Ok(if family { format!("{name}*").into() } else { name })
}
