//! A browser that lacks a token is sent to where it gets one.

use super::Protocol;
use crate::policy::host;
use crate::request::Request;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;

/// Where browsers log in.
#[derive(Debug)]
pub struct Login {
    /// What stands before and after the place of the address that was asked for; one part has none.
    parts: Vec<Box<str>>,
}

/// All but the unreserved characters (RFC 3986 section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Login {
    /// Reads an address such as `https://login.example.com/?rd={url}`.
    ///
    /// # Errors
    /// Says what is expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let absolute = ["https://", "http://"].iter().any(|scheme| {
            text.strip_prefix(scheme)
                .is_some_and(|rest| !rest.starts_with(['/', '?', '#', '{']) && !rest.is_empty())
        });
        let own = text.starts_with('/') && !text.starts_with("//");
        if !(absolute || own) || !text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
            return Err(
                "an address is written `https://login.example.com/?rd={url}` or `/login?rd={url}`",
            );
        }
        let parts: Vec<Box<str>> = text.split("{url}").map(Into::into).collect();
        if parts.iter().any(|part| part.contains(['{', '}'])) {
            return Err("`{url}` is the only placeholder: the address that was asked for");
        }
        Ok(Self { parts })
    }

    /// Where to send a request, if a person's browser goes from page to page with it. `path` is the
    /// request's, without any token.
    pub(super) fn location(&self, request: &Request<'_>, path: &[u8]) -> Option<String> {
        if !is_navigation(request) {
            return None;
        }
        let host = host::normalise(request.first(":authority")).ok()?;
        let authority = std::str::from_utf8(request.first(":authority")?).ok()?;
        let port = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
        let port = port.map(|(_, port)| format!(":{port}")).unwrap_or_default();
        let scheme = request.first("x-forwarded-proto").or(request.first(":scheme"));
        let scheme = if scheme == Some(b"http") { "http" } else { "https" };
        let path = String::from_utf8_lossy(path);
        let url = format!("{scheme}://{host}{port}{path}");
        let url: Cow<'_, str> = utf8_percent_encode(&url, RESERVED).into();
        Some(self.parts.join(&url))
    }
}

/// What a browser says of itself (Fetch Metadata), or, where it is an old one, that it wants a page.
fn is_navigation(request: &Request<'_>) -> bool {
    if Protocol::of(request.first("content-type")) != Protocol::Http
        || !matches!(request.first(":method"), Some(b"GET" | b"HEAD"))
        || request.first("upgrade").is_some()
    {
        return false;
    }
    match request.first("sec-fetch-mode") {
        Some(mode) => mode == b"navigate",
        None => {
            let page = |accept: &[u8]| {
                accept.split(|b| *b == b',').any(|one| one.trim_ascii().starts_with(b"text/html"))
            };
            request.first("x-requested-with").is_none() && request.values("accept").any(page)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Header, UnknownPeer};

    #[test]
    fn sends_browsers_only() {
        let login = Login::parse("https://login.test/?rd={url}&x=1").unwrap();
        let base: [Header<'_>; 3] =
            [(b":method", b"GET"), (b":authority", b"App.test:8443"), (b":scheme", b"http")];
        let page: Header<'_> = (b"accept", b"text/html,application/xml;q=0.9");
        let want = "https://login.test/?rd=http%3A%2F%2Fapp.test%3A8443%2Fa%3Fb%3D1%26c&x=1";
        let cases: [(&[Header<'_>], Option<&str>); 8] = [
            (&[(b"sec-fetch-mode", b"navigate")], Some(want)),
            (&[page], Some(want)),
            (&[(b"accept", b"application/json"), page], Some(want)),
            (&[(b"sec-fetch-mode", b"cors"), page], None),
            (&[(b"x-requested-with", b"XMLHttpRequest"), page], None),
            (&[(b"accept", b"*/*")], None),
            (&[(b"content-type", b"application/grpc-web"), page], None),
            (&[(b"upgrade", b"websocket"), page], None),
        ];
        for (further, want) in cases {
            let headers = [&base[..], further].concat();
            let request = Request::new(&headers, &UnknownPeer);
            assert_eq!(login.location(&request, b"/a?b=1&c").as_deref(), want, "{further:?}");
        }
        let post: [Header<'_>; 3] = [(b":method", b"POST"), (b":authority", b"app.test"), page];
        assert_eq!(login.location(&Request::new(&post, &UnknownPeer), b"/"), None);
        for text in [
            "",
            "login",
            "//evil.test",
            "ftp://a",
            "https://",
            "https:///x",
            "https://{url}",
            "/a b",
            "/{path}",
            "https://a/\\b",
            "javascript:alert(1)",
        ] {
            assert!(Login::parse(text).is_err(), "{text}");
        }
        assert!(Login::parse("/login").is_ok());
    }
}
