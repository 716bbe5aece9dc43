//! Where the token is, that there is one only, and how it leaves the request.

use super::{Error, IssuerId, cookie};
use crate::request::{
    Request, cookie_pairs, form_decode, parameters, split, split_once, split_query,
};
use std::borrow::Cow;

/// A place that carries tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A header, after a scheme or bare.
    Header {
        /// Its name in lower case.
        name: Box<str>,
        /// The scheme, compared without case (RFC 9110 section 11.1).
        scheme: Option<Box<str>>,
    },
    /// A cookie.
    Cookie {
        /// Its name.
        name: Box<str>,
        /// The origins, besides the request's own, from which it may do more than read.
        origins: Vec<Box<str>>,
    },
    /// A query parameter (RFC 6750 section 2.3).
    Query {
        /// Its name, decoded.
        name: Box<str>,
    },
    /// An entry of `Sec-WebSocket-Protocol`, since a browser's WebSocket can send no other header.
    WebsocketProtocol {
        /// What stands before the token.
        prefix: Box<str>,
    },
}

impl Source {
    /// The name of the cookie, where it is one.
    pub fn cookie(&self) -> Option<&str> {
        match self {
            Self::Cookie { name, .. } => Some(name),
            Self::Header { .. } | Self::Query { .. } | Self::WebsocketProtocol { .. } => None,
        }
    }
}

/// A place, and the issuers whose tokens it carries.
#[derive(Debug)]
pub struct Carrier {
    /// The place.
    pub source: Source,
    /// The issuers.
    pub issuers: Vec<IssuerId>,
}

/// The most places that one route may look at: one bit each.
pub const MAX_CARRIERS: usize = 64;

/// A token and the places where it was found, as bits.
pub struct Found<'a> {
    /// The token.
    pub token: Cow<'a, [u8]>,
    /// Bit n is set where `carriers[n]` carried it.
    pub places: u64,
}

/// Seeks the one token of a request.
///
/// # Errors
/// [`Error::Ambiguous`] where two tokens differ or `Authorization` is repeated, and
/// [`Error::Malformed`] for a scheme without a token.
pub fn find<'a>(request: &Request<'a>, carriers: &[Carrier]) -> Result<Option<Found<'a>>, Error> {
    let mut found: Option<Found<'a>> = None;
    for (index, carrier) in carriers.iter().enumerate().take(MAX_CARRIERS) {
        let mut take = |token: Cow<'a, [u8]>| match &mut found {
            Some(found) if found.token != token => {
                Err(Error::Ambiguous("two different tokens in one request"))
            }
            Some(found) => {
                found.places |= 1 << index;
                Ok(())
            }
            None => {
                found = Some(Found { token, places: 1 << index });
                Ok(())
            }
        };
        match &carrier.source {
            Source::Header { name, scheme } => {
                let is_authorization = &**name == "authorization";
                for (index, value) in request.values(name).enumerate() {
                    if is_authorization && index > 0 {
                        return Err(REPEATED);
                    }
                    match in_header(value, scheme.as_deref()) {
                        None if is_authorization && is_joined(request) => return Err(REPEATED),
                        None => {}
                        Some([]) => return Err(Error::Malformed("scheme without a token")),
                        Some(token) => take(Cow::Borrowed(token))?,
                    }
                }
            }
            Source::Cookie { name, .. } => {
                for value in request.cookies(name).filter(|value| !value.is_empty()) {
                    take(cookie::whole(request, name, value))?;
                }
            }
            Source::Query { name } => {
                for (_, value) in parameters(request.query()).filter(|(n, _)| is_named(n, name)) {
                    match form_decode(value) {
                        Some(token) if token.is_empty() => {}
                        Some(Cow::Borrowed(token)) => take(Cow::Borrowed(token.as_bytes()))?,
                        Some(Cow::Owned(token)) => take(Cow::Owned(token.into_bytes()))?,
                        None => return Err(Error::Malformed("query parameter is not UTF-8")),
                    }
                }
            }
            Source::WebsocketProtocol { prefix } => {
                for entry in websocket_entries(request) {
                    match entry.strip_prefix(prefix.as_bytes()) {
                        None | Some([]) => {}
                        Some(token) => take(Cow::Borrowed(token))?,
                    }
                }
            }
        }
    }
    Ok(found)
}

/// The token of one header value; `None` where it is of another scheme, or empty.
fn in_header<'a>(value: &'a [u8], scheme: Option<&str>) -> Option<&'a [u8]> {
    let value = value.trim_ascii();
    match scheme {
        None => Some(value).filter(|value| !value.is_empty()),
        Some(scheme) => {
            let (first, mut rest) = value.split_at_checked(scheme.len())?;
            if !first.eq_ignore_ascii_case(scheme.as_bytes())
                || rest.first().is_some_and(|byte| !byte.is_ascii_whitespace())
            {
                return None;
            }
            // RFC 9110 section 11.4 has spaces between them; a tab stays, and is no base64url.
            while let Some(after) = rest.strip_prefix(b" ") {
                rest = after;
            }
            Some(rest)
        }
    }
}

/// What is wrong where `Authorization` is there twice.
pub const REPEATED: Error = Error::Ambiguous("more than one Authorization");

/// Whether `Authorization` was there twice: Envoy joins the values of a repeated one by commas, which
/// no token holds; a parameter of another scheme (RFC 9110 section 11.4) follows one without a space.
pub fn is_joined(request: &Request<'_>) -> bool {
    let Some(value) = request.first("authorization") else { return false };
    let is_bearer = in_header(value, Some("Bearer")).is_some();
    let mut further = value.split(|byte| *byte == b',').skip(1);
    let credentials = |part: &[u8]| {
        let scheme = split_once(part.trim_ascii(), b' ').map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| scheme.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-'))
    };
    further.any(|part| is_bearer || credentials(part))
}

fn is_named(raw: &[u8], name: &str) -> bool {
    form_decode(raw).is_some_and(|raw| raw == name)
}

fn websocket_entries<'a>(request: &Request<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    request
        .values("sec-websocket-protocol")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// A header to remove, or to set to what is left of it.
#[derive(PartialEq, Eq)]
pub struct Removal<'s> {
    /// The header's name.
    pub name: &'s str,
    /// What is left; `None` removes it.
    pub rest: Option<Vec<u8>>,
}

/// What takes the tokens out of a request: of every source that `chosen` names, whether or not the
/// token there was looked at.
pub fn removals<'s>(
    request: &Request<'_>,
    chosen: impl Iterator<Item = &'s Source> + Clone,
) -> Vec<Removal<'s>> {
    let mut removals = Vec::new();
    for source in chosen.clone() {
        if let Source::Header { name, scheme } = source
            && carries(request, name, scheme.as_deref())
            && !removals.iter().any(|removal: &Removal<'_>| *removal.name == **name)
        {
            removals.push(Removal { name, rest: None });
        }
    }
    let cookies = chosen.clone().filter_map(Source::cookie);
    if cookies.clone().next().is_some() {
        removals.extend(without_cookies(request, cookies));
    }
    let prefixes = chosen.clone().filter_map(|source| match source {
        Source::WebsocketProtocol { prefix } => Some(&**prefix),
        _ => None,
    });
    if prefixes.clone().next().is_some() {
        removals.extend(without_entries(request, prefixes));
    }
    if let Some(path) = without_parameters(request, chosen) {
        removals.push(Removal { name: ":path", rest: Some(path) });
    }
    removals
}

/// Whether a header holds a token, or an `Authorization` several credentials of which one may be.
fn carries(request: &Request<'_>, name: &str, scheme: Option<&str>) -> bool {
    request.values(name).any(|value| in_header(value, scheme).is_some())
        || name == "authorization" && (is_joined(request) || request.values(name).nth(1).is_some())
}

fn without_cookies<'s>(
    request: &Request<'_>,
    names: impl Iterator<Item = &'s str> + Clone,
) -> Option<Removal<'s>> {
    let gone = |pair: &[u8]| {
        cookie_pairs(pair).any(|(name, _)| names.clone().any(|gone| cookie::is_of(name, gone)))
    };
    let pairs = || {
        request
            .values("cookie")
            .flat_map(|value| split(value, b';'))
            .map(<[u8]>::trim_ascii)
            .filter(|pair| !pair.is_empty())
    };
    pairs().any(gone).then(|| {
        let left: Vec<&[u8]> = pairs().filter(|pair| !gone(pair)).collect();
        let rest = (!left.is_empty()).then(|| left.join(&b"; "[..]));
        Removal { name: "cookie", rest }
    })
}

fn without_entries<'s>(
    request: &Request<'_>,
    prefixes: impl Iterator<Item = &'s str> + Clone,
) -> Option<Removal<'s>> {
    let gone = |entry: &[u8]| prefixes.clone().any(|prefix| entry.starts_with(prefix.as_bytes()));
    websocket_entries(request).any(gone).then(|| {
        let left: Vec<&[u8]> = websocket_entries(request).filter(|entry| !gone(entry)).collect();
        let rest = (!left.is_empty()).then(|| left.join(&b", "[..]));
        Removal { name: "sec-websocket-protocol", rest }
    })
}

/// The path without the query parameters that carry tokens; `None` where it has none of them.
pub fn without_parameters<'s>(
    request: &Request<'_>,
    sources: impl Iterator<Item = &'s Source> + Clone,
) -> Option<Vec<u8>> {
    let names = sources.filter_map(|source| match source {
        Source::Query { name } => Some(&**name),
        _ => None,
    });
    // The usual case first: no such source, or no query.
    names.clone().next()?;
    let (path, query) = split_query(request.first(":path")?);
    let gone = |pair: &[u8]| {
        let name = split_once(pair, b'=').map_or(pair, |(name, _)| name);
        names.clone().any(|gone| is_named(name, gone))
    };
    if !query.split(|byte| *byte == b'&').any(gone) {
        return None;
    }
    let left: Vec<&[u8]> = query.split(|byte| *byte == b'&').filter(|pair| !gone(pair)).collect();
    let query = left.join(&b'&');
    Some(if query.is_empty() { path.to_vec() } else { [path, b"?", &query].concat() })
}

/// Whether the request's own host, or an allowed origin, made a request that a cookie authorises:
/// what `Origin` says (RFC 6454 section 7), else `Sec-Fetch-Site`.
pub fn origin_allowed(request: &Request<'_>, origins: &[Box<str>]) -> bool {
    let mut values = request.values("origin");
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => false,
        (Some(origin), None) => {
            let Ok(origin) = std::str::from_utf8(origin) else {
                return false;
            };
            origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
                || is_own(request, origin)
        }
        (None, _) => {
            let mut sites = request.values("sec-fetch-site");
            sites.next() == Some(b"same-origin") && sites.next().is_none()
        }
    }
}

fn is_own(request: &Request<'_>, origin: &str) -> bool {
    let Some((scheme, host)) = origin.split_once("://") else {
        return false;
    };
    let default = match scheme.to_ascii_lowercase().as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return false,
    };
    let bare = |host: &str| host.strip_suffix(default).unwrap_or(host).to_ascii_lowercase();
    request
        .first(":authority")
        .and_then(|authority| std::str::from_utf8(authority).ok())
        .is_some_and(|authority| bare(authority) == bare(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Header, UnknownPeer};
    use crate::response::Code;

    fn carriers() -> Vec<Carrier> {
        [
            Source::Header { name: "authorization".into(), scheme: Some("Bearer".into()) },
            Source::Header { name: "x-token".into(), scheme: None },
            Source::Cookie { name: "session".into(), origins: Vec::new() },
            Source::Query { name: "access_token".into() },
            Source::WebsocketProtocol { prefix: "bearer.".into() },
        ]
        .map(|source| Carrier { source, issuers: vec![IssuerId(0)] })
        .into()
    }

    #[test]
    fn finds_one_token_or_none() {
        let cases: [(&[Header<'_>], &str); 23] = [
            (&[], "-"),
            (&[(b"authorization", b"Bearer t")], "t 1"),
            (&[(b"authorization", b"bEARER   t ")], "t 1"),
            (&[(b"authorization", b"Bearer")], "token_malformed"),
            (&[(b"authorization", b"Bearer ")], "token_malformed"),
            (&[(b"authorization", b"")], "-"),
            (&[(b"authorization", b"Bearer\tt")], "\tt 1"),
            (&[(b"authorization", b"Basic Bearer t")], "-"),
            (&[(b"authorization", b"Bearert")], "-"),
            (
                &[(b"authorization", b"Bearer t"), (b"authorization", b"Bearer t")],
                "token_ambiguous",
            ),
            (&[(b"authorization", b"Basic x"), (b"authorization", b"Bearer t")], "token_ambiguous"),
            (&[(b"authorization", b"Bearer t,Bearer t")], "token_ambiguous"),
            (&[(b"authorization", b"Bearer t, Basic x")], "token_ambiguous"),
            (&[(b"authorization", b"Basic x,Bearer t")], "token_ambiguous"),
            (&[(b"authorization", b"Digest a=\"b\", c=d")], "-"),
            (&[(b"authorization", b"Bearer t"), (b"x-token", b"t")], "t 3"),
            (&[(b"authorization", b"Bearer t"), (b"x-token", b"u")], "token_ambiguous"),
            (&[(b"cookie", b"a=b; session=t; session=")], "t 4"),
            (&[(b"cookie", b"session=t; session=u")], "token_ambiguous"),
            (&[(b":path", b"/?access%5Ftoken=t&access_token=t")], "t 8"),
            (&[(b":path", b"/?access_token=%ff")], "token_malformed"),
            (&[(b"sec-websocket-protocol", b"chat, bearer.t")], "t 16"),
            (&[(b"x-token", b"\xff")], "\u{fffd} 2"),
        ];
        for (headers, want) in cases {
            let request = Request::new(headers, &UnknownPeer);
            let got = match find(&request, &carriers()) {
                Ok(None) => "-".to_owned(),
                // As the engine does where the token does not verify.
                Ok(Some(_)) if is_joined(&request) => "token_ambiguous".to_owned(),
                Ok(Some(found)) => {
                    format!("{} {}", String::from_utf8_lossy(&found.token), found.places)
                }
                Err(error) => Code::of(&error).name().to_owned(),
            };
            assert_eq!(got, want, "{headers:?}");
        }
    }

    #[test]
    fn removes_tokens_and_nothing_else() {
        let headers: [Header<'_>; 6] = [
            (b":path", b"/a?x=1&access_token=t&y=%20"),
            (b"authorization", b"Basic x"),
            (b"x-token", b"t"),
            (b"cookie", b"a=1; session=t"),
            (b"cookie", b"b=\"2\""),
            (b"sec-websocket-protocol", b"bearer.t"),
        ];
        let carriers = carriers();
        let got = removals(
            &Request::new(&headers, &UnknownPeer),
            carriers.iter().map(|carrier| &carrier.source),
        );
        let want = [
            ("x-token", None),
            ("cookie", Some("a=1; b=\"2\"")),
            ("sec-websocket-protocol", None),
            (":path", Some("/a?x=1&y=%20")),
        ]
        .map(|(name, rest)| Removal { name, rest: rest.map(|rest| rest.as_bytes().to_vec()) });
        assert!(got == want);
    }

    #[test]
    fn removes_credentials_that_were_joined() {
        for value in [&b"Basic x,Bearer t"[..], b"Bearer t, Basic x"] {
            let headers = [(&b"authorization"[..], value)];
            let carriers = carriers();
            let request = Request::new(&headers, &UnknownPeer);
            let got = removals(&request, carriers.iter().map(|carrier| &carrier.source));
            assert!(got == [Removal { name: "authorization", rest: None }]);
        }
    }

    #[test]
    fn judges_origins() {
        let own: Header<'_> = (b":authority", b"App.example.com:443");
        let cases: [(&[Header<'_>], bool); 8] = [
            (&[own], false),
            (&[own, (b"origin", b"https://app.example.com")], true),
            (&[own, (b"origin", b"https://APP.example.com:443")], true),
            (&[own, (b"origin", b"https://evil.example.com")], false),
            (&[own, (b"origin", b"https://friend.example.com")], true),
            (&[own, (b"origin", b"null")], false),
            (&[own, (b"sec-fetch-site", b"same-origin")], true),
            (&[own, (b"sec-fetch-site", b"same-site")], false),
        ];
        for (headers, want) in cases {
            let got = origin_allowed(
                &Request::new(headers, &UnknownPeer),
                &["https://friend.example.com".into()],
            );
            assert_eq!(got, want, "{headers:?}");
        }
    }
}
