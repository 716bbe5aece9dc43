//! A borrowed view of one request: header bytes as the host has them, and what is asked for lazily.

use percent_encoding::percent_decode;
use std::borrow::Cow;
use std::net::IpAddr;

/// One header: name in lower case as Envoy hands it over, value as raw bytes.
pub type Header<'a> = (&'a [u8], &'a [u8]);

/// A field of the client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateField {
    /// The first URI among the subject's alternative names.
    UriSan,
    /// The first DNS name among the subject's alternative names.
    DnsSan,
    /// The subject's distinguished name.
    Subject,
    /// SHA-256 of the certificate, hexadecimal.
    Sha256,
}

/// What is known of the connection; asked only when a policy needs it, since each answer is dear.
pub trait Peer {
    /// Envoy's client address.
    fn client_address(&self) -> Option<IpAddr>;
    /// A field of the client certificate.
    fn certificate(&self, field: CertificateField) -> Option<String>;
}

/// A peer of whom nothing is known.
#[derive(Debug)]
pub struct UnknownPeer;

impl Peer for UnknownPeer {
    fn client_address(&self) -> Option<IpAddr> {
        None
    }
    fn certificate(&self, _: CertificateField) -> Option<String> {
        None
    }
}

/// The request as it arrived.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    headers: &'a [Header<'a>],
    peer: &'a dyn Peer,
    body: bool,
}

impl<'a> Request<'a> {
    /// A request with these headers, pseudo-headers included, in the order in which they arrived.
    pub fn new(headers: &'a [Header<'a>], peer: &'a dyn Peer) -> Self {
        Self { headers, peer, body: false }
    }

    /// The same, with or without a body.
    pub fn with_body(self, body: bool) -> Self {
        Self { body, ..self }
    }

    /// Whether a body follows.
    pub fn has_body(&self) -> bool {
        self.body
    }

    /// All headers.
    pub fn headers(&self) -> &'a [Header<'a>] {
        self.headers
    }

    /// The connection.
    pub fn peer(&self) -> &'a dyn Peer {
        self.peer
    }

    /// Every value of a header, by its name in lower case.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.headers.iter().filter(move |(n, _)| *n == name.as_bytes()).map(|(_, value)| *value)
    }

    /// The first value of a header.
    pub fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// The raw query, without its question mark; empty where there is none.
    pub fn query(&self) -> &'a [u8] {
        self.first(":path").map_or(&[], |path| split_query(path).1)
    }

    /// Every value of a query parameter, decoded; `None` for one that is not UTF-8.
    pub fn query_values<'n>(
        &self,
        name: &'n str,
    ) -> impl Iterator<Item = Option<Cow<'a, str>>> + use<'a, 'n> {
        parameters(self.query())
            .filter(move |(n, _)| form_decode(n).is_some_and(|n| n == name))
            .map(|(_, value)| form_decode(value))
    }

    /// Every value of a cookie, as it is (RFC 6265 section 5.4 splits at semicolons).
    pub fn cookies<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.values("cookie")
            .flat_map(cookie_pairs)
            .filter(move |(n, _)| *n == name.as_bytes())
            .map(|(_, value)| value)
    }
}

/// Splits a `:path` at its first question mark.
pub fn split_query(path: &[u8]) -> (&[u8], &[u8]) {
    split_once(path, b'?').unwrap_or((path, &[]))
}

/// The parameters of a raw query: name and value, neither decoded.
pub fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| split_once(pair, b'=').unwrap_or((pair, &[])))
}

/// The pairs of one `Cookie` value, white space and surrounding quotes removed.
pub fn cookie_pairs(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    split(value, b';').filter_map(|pair| {
        let (name, value) = split_once(pair, b'=')?;
        let value = value.trim_ascii();
        let unquoted = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\""));
        Some((name.trim_ascii(), unquoted.unwrap_or(value)))
    })
}

/// Decodes `application/x-www-form-urlencoded`: plus is a space. `None` where that is not UTF-8.
pub fn form_decode(raw: &[u8]) -> Option<Cow<'_, str>> {
    if !raw.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return std::str::from_utf8(raw).ok().map(Cow::Borrowed);
    }
    let spaced: Vec<u8> = raw.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    String::from_utf8(percent_decode(&spaced).collect()).ok().map(Cow::Owned)
}

/// Splits at every such byte, which belongs to no part. Many bytes at once are looked at: cookies are long.
pub fn split(bytes: &[u8], at: u8) -> impl Iterator<Item = &[u8]> + Clone {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let part = rest?;
        let (part, after) = match split_once(part, at) {
            Some((part, after)) => (part, Some(after)),
            None => (part, None),
        };
        rest = after;
        Some(part)
    })
}

/// Splits at the first such byte, which belongs to neither part.
pub fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let index = memchr::memchr(at, bytes)?;
    Some((bytes.get(..index)?, bytes.get(index + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cookies_and_queries() {
        let headers: [Header<'_>; 4] = [
            (b":path", b"/a?x=1&y=a+b%21&x=%ff&empty&x"),
            (b"cookie", b"a=1; b=\"2\"; a = 3"),
            (b"cookie", b"a=4=4; c"),
            (b"x-h", b"\xff"),
        ];
        let request = Request::new(&headers, &UnknownPeer);
        let x: Vec<_> = request.query_values("x").collect();
        assert_eq!(x, [Some("1".into()), None, Some("".into())]);
        assert_eq!(request.query_values("y").next(), Some(Some("a b!".into())));
        assert_eq!(request.query_values("empty").next(), Some(Some("".into())));
        let a: Vec<_> = request.cookies("a").collect();
        assert_eq!(a, [&b"1"[..], b"3", b"4=4"]);
        assert_eq!(request.cookies("b").next(), Some(&b"2"[..]));
        assert_eq!(request.cookies("c").next(), None);
        assert_eq!(request.first("x-h"), Some(&b"\xff"[..]));
    }
}
