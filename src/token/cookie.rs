//! Cookies that hold a token: in pieces where it is longer than browsers keep (RFC 6265 section 6.1 asks for 4,096 bytes).

use crate::request::Request;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};
use std::borrow::Cow;

/// The longest value of one cookie, in bytes. Only a value of exactly this length is continued in another cookie.
pub const PIECE: usize = 3_800;
/// How many pieces there are at most.
const MAX_PIECES: usize = 16;

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
