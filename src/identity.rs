//! From a [`VerifiedToken`] to header edits, and the names that no client may send.

use crate::ascii::AsciiSet;
use crate::token::verify::Headers;
use crate::token::{ClaimPath, Issuer, VerifiedToken};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::borrow::Cow;

/// Headers by which a client overrides the method or path that policy has judged: always removed.
pub const OVERRIDES: [&str; 5] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// What a header is made of.
#[derive(Clone, Debug)]
pub enum Source {
    /// A claim.
    Claim(ClaimPath),
    /// An attribute: the claim that each issuer has for it.
    Attribute(Vec<Option<ClaimPath>>),
    /// The operator's name for the issuer.
    Issuer,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A scalar as it reads; an array or object gives no header.
    Text,
    /// The scalars of an array, joined by commas.
    Csv,
    /// JSON.
    Json,
    /// Base64url of a string's bytes, or of the JSON of anything else.
    Base64,
}

/// A header that is set from a verified token.
#[derive(Clone, Debug)]
pub struct IdentityHeader {
    /// Its name in lower case.
    pub name: Box<str>,
    /// What it is made of.
    pub source: Source,
    /// How it is written.
    pub format: Format,
}

/// The identity headers, and every name that is taken from clients.
#[derive(Debug)]
pub struct Identity {
    headers: Vec<IdentityHeader>,
    payload: Option<Box<str>>,
    /// Normal forms, whole.
    names: Vec<Box<str>>,
    /// Normal forms that a name begins with.
    prefixes: Vec<Box<str>>,
    /// Bit n is set where a whole name has n bytes, so that most headers are passed over at once.
    lengths: u64,
    /// What a name that is managed may begin with, as clients write it.
    firsts: AsciiSet,
}

impl Identity {
    /// `strip` holds further names, with a final `*` for a family.
    pub fn new(
        headers: Vec<IdentityHeader>,
        payload: Option<Box<str>>,
        strip: &[Box<str>],
    ) -> Self {
        let (mut names, mut prefixes) = (Vec::<Box<str>>::new(), Vec::new());
        for name in strip {
            match name.strip_suffix('*') {
                Some(prefix) => prefixes.push(normal(prefix).into()),
                None => names.push(normal(name).into()),
            }
        }
        names.extend(OVERRIDES.map(Box::from));
        names.extend(headers.iter().map(|header| normal(&header.name).into()));
        names.extend(payload.iter().map(|name| normal(name).into()));
        let lengths = names.iter().map(|name| name.len()).fold(0, |bits, n| bits | length_bit(n));
        let firsts = names.iter().chain(&prefixes).filter_map(|name| name.bytes().next());
        let firsts: Vec<u8> = firsts.collect();
        let firsts: Vec<u8> =
            (0..=255).filter(|byte| firsts.contains(&normal_byte(*byte))).collect();
        let firsts = AsciiSet::of(&firsts);
        Self { headers, payload, names, prefixes, lengths, firsts }
    }

    /// Whether a header of this name is taken from the client: in lower case, with every character
    /// that is no letter or digit as `-`, since CGI, WSGI and PHP do not tell them apart.
    pub fn manages(&self, name: &[u8]) -> bool {
        let alike = |managed: &str| {
            managed.bytes().zip(name).all(|(managed, byte)| managed == normal_byte(*byte))
        };
        let Some(first) = name.first() else { return false };
        if !self.firsts.contains(*first) {
            return false;
        }
        let whole = self.lengths & length_bit(name.len()) != 0
            && self.names.iter().any(|managed| managed.len() == name.len() && alike(managed));
        whole || self.prefixes.iter().any(|prefix| prefix.len() <= name.len() && alike(prefix))
    }

    /// The headers that a token gives.
    pub fn headers(&self, token: &VerifiedToken, issuers: &[Issuer]) -> Headers {
        let claims = token.claims();
        let set = self.headers.iter().filter_map(|header| {
            let value: Option<Cow<'_, Value>> = match &header.source {
                Source::Claim(path) => path.value(claims).map(Cow::Borrowed),
                Source::Attribute(paths) => {
                    paths.get(token.issuer().0)?.as_ref()?.value(claims).map(Cow::Borrowed)
                }
                Source::Issuer => {
                    let name = issuers.get(token.issuer().0)?.name.to_string();
                    Some(Cow::Owned(Value::String(name)))
                }
            };
            Some((header.name.clone(), write(&*value?, header.format)?))
        });
        let payload = self.payload.iter().filter_map(|name| {
            let json = serde_json::to_vec(claims).ok()?;
            Some((name.clone(), URL_SAFE_NO_PAD.encode(json)))
        });
        set.chain(payload).collect()
    }
}

fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// A header's name in lower case, with every character that is no letter or digit as `-`.
pub fn normal(name: &str) -> String {
    name.bytes().map(|byte| char::from(normal_byte(byte))).collect()
}

fn normal_byte(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

/// A claim as a header's value; `None` where it has none of this format.
fn write(value: &Value, format: Format) -> Option<String> {
    match (format, value) {
        (_, Value::Null) => None,
        (Format::Text, value) => Some(escape(&scalar(value)?, false)),
        (Format::Csv, Value::Array(items)) => {
            let items: Option<Vec<String>> =
                items.iter().map(|item| Some(escape(&scalar(item)?, true))).collect();
            Some(items?.join(","))
        }
        (Format::Csv, value) => Some(escape(&scalar(value)?, true)),
        (Format::Json, value) => Some(escape(&value.to_string(), false)),
        (Format::Base64, Value::String(text)) => Some(URL_SAFE_NO_PAD.encode(text)),
        (Format::Base64, value) => Some(URL_SAFE_NO_PAD.encode(value.to_string())),
    }
}

fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Percent-encodes what cannot stand in a header: bytes outside visible ASCII, `%`, a space at
/// either end; in a list also what would forge an element.
fn escape(text: &str, in_list: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        let at_end = index == 0 || index + 1 == text.len();
        let plain = match byte {
            b'%' => false,
            b' ' => !in_list && !at_end,
            b',' | b'"' => !in_list,
            byte => byte.is_ascii_graphic(),
        };
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manages_names_however_they_are_spelled() {
        let header = IdentityHeader {
            name: "x-user-id".into(),
            source: Source::Issuer,
            format: Format::Text,
        };
        let identity =
            Identity::new(vec![header], Some("x-jwt-payload".into()), &["x-internal-*".into()]);
        let cases = [
            ("x-user-id", true),
            ("X-User-Id", true),
            ("x_user_id", true),
            ("x.user!id", true),
            ("x-user-id2", false),
            ("x-user", false),
            ("x-jwt_payload", true),
            ("x-internal-", true),
            ("x_internal_anything", true),
            ("x-internal", false),
            ("x-original-url", true),
            ("x_http_method_override", true),
            ("accept", false),
            ("", false),
        ];
        for (name, want) in cases {
            assert_eq!(identity.manages(name.as_bytes()), want, "{name}");
        }
        let long = "y".repeat(300);
        let identity = Identity::new(Vec::new(), None, &[long.clone().into()]);
        assert!(identity.manages(long.as_bytes()));
        assert!(!identity.manages("y".repeat(299).as_bytes()));
    }

    #[test]
    fn writes_values_that_cannot_split_a_header() {
        let cases = [
            (r#""alice""#, Format::Text, Some("alice")),
            (r#""a b""#, Format::Text, Some("a b")),
            (r#"" a ""#, Format::Text, Some("%20a%20")),
            (r#""a\r\nx: y""#, Format::Text, Some("a%0D%0Ax: y")),
            (r#""J\u00e4n 100%""#, Format::Text, Some("J%C3%A4n 100%25")),
            ("42", Format::Text, Some("42")),
            ("9007199254740993", Format::Text, Some("9007199254740993")),
            ("true", Format::Text, Some("true")),
            ("null", Format::Text, None),
            (r#"["a"]"#, Format::Text, None),
            (r#"{"a":1}"#, Format::Text, None),
            (r#"["a","b"]"#, Format::Csv, Some("a,b")),
            (r#"["a,b","c \"d"]"#, Format::Csv, Some("a%2Cb,c%20%22d")),
            (r#"["a",1,false]"#, Format::Csv, Some("a,1,false")),
            (r#""a,b""#, Format::Csv, Some("a%2Cb")),
            (r#"["a",{}]"#, Format::Csv, None),
            ("[]", Format::Csv, Some("")),
            (r#"{"a":"\u00e4\ud83d\ude00"}"#, Format::Json, Some(r#"{"a":"%C3%A4%F0%9F%98%80"}"#)),
            (r#"["a","\n"]"#, Format::Json, Some(r#"["a","\n"]"#)),
            (r#"["a"]"#, Format::Base64, Some("WyJhIl0")),
            (r#""a""#, Format::Base64, Some("YQ")),
        ];
        for (value, format, want) in cases {
            let value = crate::json::parse(value.as_bytes()).unwrap();
            assert_eq!(write(&value, format).as_deref(), want, "{value} {format:?}");
        }
    }
}
