//! Cookies that hold a token: in pieces where it is longer than browsers keep (RFC 6265 section 6.1 asks for 4,096 bytes).

use crate::request::Request;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};
use std::borrow::Cow;

/// The longest value of one cookie, in bytes. Only a value of exactly this length is continued in another cookie.
pub const PIECE: usize = 3_800;
/// How many pieces there are at most.
const MAX_PIECES: usize = 16;
/// The longest text that is held without escapes, in bytes.
pub const LONGEST: usize = PIECE * MAX_PIECES;

/// What no cookie holds as it is (RFC 6265 section 4.1.1), and what is escaped by.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b',').add(b';').add(b'\\').add(b'%');

/// A value with what follows it in `name.1`, `name.2` and so on.
pub fn whole<'a>(request: &Request<'a>, name: &str, value: &'a [u8]) -> Cow<'a, [u8]> {
    if value.len() != PIECE {
        return Cow::Borrowed(value);
    }
    let mut whole = value.to_vec();
    for number in 1..MAX_PIECES {
        let Some(piece) = request.cookies(&format!("{name}.{number}")).next() else { break };
        whole.extend(piece);
        if piece.len() != PIECE {
            break;
        }
    }
    Cow::Owned(whole)
}

/// Whether a cookie is that of this name, or a piece of it.
pub fn is_of(cookie: &[u8], name: &str) -> bool {
    match cookie.strip_prefix(name.as_bytes()) {
        Some([]) => true,
        Some([b'.', number @ ..]) => !number.is_empty() && number.iter().all(u8::is_ascii_digit),
        Some(_) | None => false,
    }
}

/// The text of a cookie that a person's browser holds for nobody else: the one that all cookies of this name have. Escapes are
/// undone.
pub fn text(request: &Request<'_>, name: &str) -> Option<String> {
    let mut values = request.cookies(name).filter(|value| !value.is_empty());
    let first = whole(request, name, values.next()?);
    if values.any(|value| whole(request, name, value) != first) {
        return None;
    }
    percent_decode(&first).decode_utf8().ok().map(Cow::into_owned)
}

/// When a browser sends a cookie along from another site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// With a navigation.
    Lax,
    /// Always.
    None,
}

/// What is said of a cookie that is set.
#[derive(Clone, Debug)]
pub struct Attributes {
    /// The paths that it is sent to.
    pub path: Box<str>,
    /// The domain that it is sent to, with all under it; else the host that set it, alone.
    pub domain: Option<Box<str>>,
    /// When it is sent along from another site.
    pub same_site: SameSite,
    /// Whether it is sent over TLS only.
    pub secure: bool,
    /// How long it is kept, in seconds.
    pub max_age: u64,
}

impl Attributes {
    /// The values of `Set-Cookie` that make a browser hold this text under a name, and no piece of an older one that the
    /// request has.
    pub fn set(&self, request: &Request<'_>, name: &str, text: &str) -> Vec<String> {
        let escaped = utf8_percent_encode(text, ESCAPED).to_string();
        // Escapes are ASCII, so that any byte is a place to cut at.
        let pieces =
            escaped.as_bytes().chunks(PIECE).filter_map(|piece| std::str::from_utf8(piece).ok());
        let mut set: Vec<String> =
            pieces.enumerate().map(|(at, piece)| self.one(name, at, piece, self.max_age)).collect();
        set.extend(self.rest(request, name, set.len()));
        set
    }

    /// The values of `Set-Cookie` that make a browser forget a cookie.
    pub fn clear(&self, request: &Request<'_>, name: &str) -> Vec<String> {
        std::iter::once(self.one(name, 0, "", 0)).chain(self.rest(request, name, 1)).collect()
    }

    /// Clears the pieces from this one on, which the request has.
    fn rest(&self, request: &Request<'_>, name: &str, from: usize) -> Vec<String> {
        let has = |at: &usize| request.cookies(&format!("{name}.{at}")).next().is_some();
        let left = (from.max(1)..MAX_PIECES).take_while(has);
        left.map(|at| self.one(name, at, "", 0)).collect()
    }

    fn one(&self, name: &str, piece: usize, value: &str, max_age: u64) -> String {
        let Self { path, domain, same_site, secure, .. } = self;
        let number = if piece == 0 { String::new() } else { format!(".{piece}") };
        let mut cookie =
            format!("{name}{number}={value}; Path={path}; Max-Age={max_age}; HttpOnly");
        if let Some(domain) = domain {
            cookie.push_str("; Domain=");
            cookie.push_str(domain);
        }
        if *secure {
            cookie.push_str("; Secure");
        }
        cookie.push_str(match same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
        cookie
    }
}

/// The name of the cookie that a `Set-Cookie` is about, without the number of a piece.
pub fn set_name(set_cookie: &[u8]) -> &[u8] {
    let name = set_cookie.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
    match memchr::memrchr(b'.', name).and_then(|dot| name.split_at_checked(dot)) {
        Some((whole, [_, number @ ..]))
            if !number.is_empty() && number.iter().all(u8::is_ascii_digit) =>
        {
            whole
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Header, UnknownPeer};

    fn attributes() -> Attributes {
        Attributes {
            path: "/".into(),
            domain: None,
            same_site: SameSite::Lax,
            secure: true,
            max_age: 60,
        }
    }

    fn asks<T>(cookie: &str, ask: impl Fn(&Request<'_>) -> T) -> T {
        let headers: [Header<'_>; 1] = [(b"cookie", cookie.as_bytes())];
        ask(&Request::new(&headers, &UnknownPeer))
    }

    #[test]
    fn a_text_is_what_all_cookies_of_its_name_hold() {
        let cases = [
            ("", None),
            ("r=", None),
            ("r=a", Some("a")),
            ("r=a; r=a", Some("a")),
            ("r=a; r=", Some("a")),
            ("r=a; r=b", None),
            ("R=a", None),
            ("rr=a; xr=b", None),
            ("r=a%20%3B%25b", Some("a ;%b")),
            ("r=a%2", Some("a%2")),
            ("r=%ff", None),
            ("r=\"a\"", Some("a")),
            // Not of the length that is continued.
            ("r=a; r.1=b", Some("a")),
        ];
        for (cookie, want) in cases {
            assert_eq!(asks(cookie, |request| text(request, "r")).as_deref(), want, "{cookie}");
        }
    }

    #[test]
    fn pieces_are_read_as_they_are_set() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 5 * PIECE + 7] {
            let long = "x".repeat(length);
            let set = asks("", |request| attributes().set(request, "r", &long));
            assert_eq!(set.len(), length.div_ceil(PIECE), "{length}");
            let pairs: Vec<&str> = set.iter().map(|one| one.split(';').next().unwrap()).collect();
            // In any order.
            let cookie = pairs.iter().rev().copied().collect::<Vec<_>>().join("; ");
            let read = asks(&cookie, |request| text(request, "r"));
            assert_eq!(read.unwrap_or_default(), long, "{length}");
        }
        // What is missing is missing.
        let (first, last) = ("x".repeat(PIECE), "y");
        let read = asks(&format!("r={first}; r.2={last}"), |request| text(request, "r"));
        assert_eq!(read, Some(first));
    }

    #[test]
    fn what_a_cookie_cannot_hold_is_escaped() {
        for text in ["a b", "a;b,c", "\"quoted\"", "100%", "\\", "\u{e4}", "\u{7f}", "a=b/c+d~"] {
            let set = asks("", |request| attributes().set(request, "r", text));
            let (pair, said) = set[0].split_once("; ").unwrap();
            assert_eq!(said, "Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax");
            // RFC 6265 section 4.1.1, cookie-octet.
            let value = pair.strip_prefix("r=").unwrap();
            assert!(value.bytes().all(|b| matches!(b, b'!'..=b'~') && !b"\",;\\".contains(&b)));
            assert_eq!(asks(pair, |request| super::text(request, "r")).as_deref(), Some(text));
        }
    }

    #[test]
    fn no_piece_of_an_older_cookie_stays() {
        let cookie = "r=a; r.1=b; r.2=c; r.4=d; s.1=e";
        let names = |set: Vec<String>| -> Vec<String> {
            set.iter().map(|one| one.split(" Path").next().unwrap().to_owned()).collect()
        };
        let set = asks(cookie, |request| attributes().set(request, "r", "new"));
        assert_eq!(names(set), ["r=new;", "r.1=;", "r.2=;"]);
        let cleared = asks(cookie, |request| attributes().clear(request, "r"));
        assert!(cleared.iter().all(|one| one.contains("; Max-Age=0; ")));
        assert_eq!(names(cleared), ["r=;", "r.1=;", "r.2=;"]);
    }

    #[test]
    fn a_piece_is_known_by_its_name() {
        let cases = [
            ("r", true),
            ("r.1", true),
            ("r.12", true),
            ("r.", false),
            ("r.x", false),
            ("r1", false),
            ("rr", false),
            ("", false),
        ];
        for (name, want) in cases {
            assert_eq!(is_of(name.as_bytes(), "r"), want, "{name}");
        }
        for (line, want) in
            [("r=a", "r"), (" r.1 = a; Path=/", "r"), ("r.x=a", "r.x"), ("r", "r"), ("", "")]
        {
            assert_eq!(set_name(line.as_bytes()), want.as_bytes(), "{line}");
        }
    }

    #[test]
    fn attributes_are_said() {
        let all = Attributes {
            path: "/app".into(),
            domain: Some("example.com".into()),
            same_site: SameSite::None,
            secure: false,
            max_age: 1,
        };
        let set = asks("", |request| all.set(request, "r", "v"));
        assert_eq!(set, ["r=v; Path=/app; Max-Age=1; HttpOnly; Domain=example.com; SameSite=None"]);
        let strict = Attributes { same_site: SameSite::Strict, ..attributes() };
        assert!(
            asks("", |request| strict.set(request, "r", "v"))[0].ends_with("; SameSite=Strict")
        );
    }
}
