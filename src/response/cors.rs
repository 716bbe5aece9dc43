//! Cross-origin requests (the Fetch standard, section 3.2): preflights are answered, and refusals carry what
//! lets a browser show them. What the upstream answers is its own affair.

use super::Response;
use crate::request::Request;
use std::fmt;

/// Who may ask from another origin.
#[derive(Debug)]
pub struct Cors {
    /// The origins.
    pub origins: Vec<OriginPattern>,
    /// Whether cookies and `Authorization` may come along.
    pub credentials: bool,
    /// The headers of a response that a page may read.
    pub expose: Vec<Box<str>>,
    /// How long a browser may remember the answer to a preflight, in seconds.
    pub max_age_secs: Option<u64>,
}

/// Origins: one, or all of the hosts under one.
#[derive(Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// This one, as a browser writes it (RFC 6454 section 6.2).
    Exact(Box<str>),
    /// Every host under another one, by the same scheme and port.
    Under {
        /// What stands before the host, as `https://`.
        scheme: Box<str>,
        /// What the origin ends with, as `.example.com:8443`.
        suffix: Box<str>,
    },
    /// Every origin.
    Every,
}

impl OriginPattern {
    /// Reads `https://app.example.com`, `https://*.example.com` or `*`.
    ///
    /// # Errors
    /// Says what is expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "an origin is written `https://app.example.com` or `https://*.example.com`, in lower \
             case, with no slash; or `*`";
        if text == "*" {
            return Ok(Self::Every);
        }
        let (scheme, rest) = ["https://", "http://"]
            .into_iter()
            .find_map(|scheme| Some((scheme, text.strip_prefix(scheme)?)))
            .ok_or(EXPECTED)?;
        let (host, port) = rest.split_once(':').unwrap_or((rest, "0"));
        let (under, host) = match host.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, host),
        };
        let default = matches!((scheme, port), ("https://", "443") | ("http://", "80"));
        let labels = !host.is_empty() && host.split('.').all(is_label);
        if !labels || port.parse::<u16>().is_err() || default || rest.ends_with(":0") {
            return Err(EXPECTED);
        }
        Ok(match rest.strip_prefix('*') {
            Some(suffix) if under => Self::Under { scheme: scheme.into(), suffix: suffix.into() },
            _ => Self::Exact(text.into()),
        })
    }

    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Exact(exact) => **exact == *origin,
            Self::Under { scheme, suffix } => origin
                .strip_prefix(&**scheme)
                .and_then(|rest| rest.strip_suffix(&**suffix))
                .is_some_and(|labels| labels.split('.').all(is_label)),
        }
    }
}

fn is_label(label: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    !label.is_empty() && label.bytes().all(plain)
}

impl Cors {
    /// How the request's origin is named in an answer, if it may ask.
    fn allowed<'r>(&self, request: &Request<'r>) -> Option<&'r str> {
        let mut values = request.values("origin");
        let (Some(origin), None) = (values.next(), values.next()) else { return None };
        let origin = std::str::from_utf8(origin).ok()?;
        match self.origins.iter().find(|pattern| pattern.matches(origin))? {
            OriginPattern::Every => Some("*"),
            OriginPattern::Exact(_) | OriginPattern::Under { .. } => Some(origin),
        }
    }

    /// Adds what lets a page of an allowed origin see a refusal. `own` are headers of the answer itself
    /// that a page may read.
    pub(super) fn mark(
        &self,
        request: &Request<'_>,
        own: &str,
        headers: &mut Vec<(&'static str, String)>,
    ) {
        headers.push(("vary", "origin".to_owned()));
        let Some(origin) = self.allowed(request) else { return };
        self.allow(origin, headers);
        let expose = self.expose.iter().map(|name| &**name).chain([own]);
        let expose: Vec<&str> = expose.filter(|name| !name.is_empty()).collect();
        if !expose.is_empty() {
            headers.push(("access-control-expose-headers", expose.join(", ")));
        }
    }

    fn allow(&self, origin: &str, headers: &mut Vec<(&'static str, String)>) {
        headers.push(("access-control-allow-origin", origin.to_owned()));
        if self.credentials {
            headers.push(("access-control-allow-credentials", "true".to_owned()));
        }
    }

    /// Takes a request for a preflight that may be answered.
    pub(super) fn preflight<'a>(&'a self, request: &Request<'a>) -> Option<Preflight<'a>> {
        if request.first(":method") != Some(b"OPTIONS") || request.has_body() {
            return None;
        }
        let mut methods = request.values("access-control-request-method");
        let (Some(method), None) = (methods.next(), methods.next()) else { return None };
        let mut headers = request.values("access-control-request-headers");
        let (asked, None) = (headers.next(), headers.next()) else { return None };
        let list = |value: &&[u8]| value.iter().all(|b| is_token(*b) || matches!(b, b',' | b' '));
        if !method.iter().all(|b| is_token(*b)) || !asked.as_ref().is_none_or(list) {
            return None;
        }
        Some(Preflight {
            cors: self,
            origin: self.allowed(request)?,
            method: std::str::from_utf8(method).ok().filter(|method| !method.is_empty())?,
            headers: asked.and_then(|value| std::str::from_utf8(value).ok()),
        })
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A browser's question whether it may send a request.
#[derive(Clone, Copy)]
pub struct Preflight<'a> {
    cors: &'a Cors,
    origin: &'a str,
    method: &'a str,
    headers: Option<&'a str>,
}

impl<'a> Preflight<'a> {
    /// The method of the request that is to come.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// Yes: whether the request itself may pass is decided when it comes.
    pub fn answer(&self) -> Response {
        const VARY: &str = "origin, access-control-request-method, access-control-request-headers";
        let mut headers = vec![("vary", VARY.to_owned())];
        self.cors.allow(self.origin, &mut headers);
        headers.push(("access-control-allow-methods", self.method.to_owned()));
        if let Some(asked) = self.headers {
            headers.push(("access-control-allow-headers", asked.to_owned()));
        }
        if let Some(secs) = self.cors.max_age_secs {
            headers.push(("access-control-max-age", secs.to_string()));
        }
        Response {
            status: 204,
            headers,
            body: Vec::new(),
            grpc_status: None,
            details: "claimgate.preflight",
        }
    }
}

impl fmt::Debug for Preflight<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Preflight({} from {})", self.method, self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Header, UnknownPeer};

    #[test]
    fn origins_match_whole_labels() {
        let cases = [
            ("https://app.example.com", "https://app.example.com", true),
            ("https://app.example.com", "http://app.example.com", false),
            ("https://app.example.com", "https://app.example.com:8443", false),
            ("https://app.example.com", "https://app.example.com.evil.test", false),
            ("http://localhost:3000", "http://localhost:3000", true),
            ("https://*.example.com", "https://a.example.com", true),
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://.example.com", false),
            ("https://*.example.com", "https://evilexample.com", false),
            ("https://*.example.com", "https://evil.test/.example.com", false),
            ("https://*.example.com", "https://evil.test:1.example.com", false),
            ("https://*.example.com", "null", false),
            ("https://*.example.com:8443", "https://a.example.com:8443", true),
            ("https://*.example.com:8443", "https://a.example.com", false),
            ("*", "https://anything.test", true),
            ("*", "null", true),
        ];
        for (pattern, origin, want) in cases {
            let pattern = OriginPattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(origin), want, "{pattern:?} {origin}");
        }
        for text in [
            "",
            "null",
            "app.example.com",
            "https://",
            "https://App.example.com",
            "https://a/",
            "https://a:443",
            "http://a:80",
            "https://a:0",
            "https://a:x",
            "https://*",
            "https://a.*.b",
            "https://*.*.b",
            "ftp://a",
            "https://u@a",
            "https://a b",
        ] {
            assert!(OriginPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_preflight_is_told_from_other_requests() {
        let cors = Cors {
            origins: vec![OriginPattern::parse("https://a.test").unwrap()],
            credentials: true,
            expose: Vec::new(),
            max_age_secs: Some(600),
        };
        let options: Header<'_> = (b":method", b"OPTIONS");
        let origin: Header<'_> = (b"origin", b"https://a.test");
        let asks: Header<'_> = (b"access-control-request-method", b"PUT");
        let names: Header<'_> = (b"access-control-request-headers", b"x-a, authorization");
        let cases: [(&[Header<'_>], bool); 10] = [
            (&[options, origin, asks], true),
            (&[options, origin, asks, names], true),
            (&[(b":method", b"GET"), origin, asks], false),
            (&[options, asks], false),
            (&[options, origin], false),
            (&[options, origin, origin, asks], false),
            (&[options, origin, asks, asks], false),
            (&[options, (b"origin", b"https://b.test"), asks], false),
            (&[options, origin, (b"access-control-request-method", b"P T")], false),
            (&[options, origin, asks, (b"access-control-request-headers", b"x\x01")], false),
        ];
        for (headers, want) in cases {
            let request = Request::new(headers, &UnknownPeer);
            assert_eq!(cors.preflight(&request).is_some(), want, "{headers:?}");
            assert!(cors.preflight(&request.with_body(true)).is_none());
        }
        let headers = [options, origin, asks, names];
        let answer = cors.preflight(&Request::new(&headers, &UnknownPeer)).unwrap().answer();
        let lines: Vec<String> =
            answer.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            lines,
            [
                "vary: origin, access-control-request-method, access-control-request-headers",
                "access-control-allow-origin: https://a.test",
                "access-control-allow-credentials: true",
                "access-control-allow-methods: PUT",
                "access-control-allow-headers: x-a, authorization",
                "access-control-max-age: 600",
            ]
        );
    }
}
