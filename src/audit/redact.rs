//! What of a person, a path or a query a record shows.

use super::text::Members;
use crate::request::split_once;
use crate::token::ClaimPath;
use crate::token::claims::Claims;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write as _;

/// How a text about a person is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// As it is.
    Plain,
    /// Its first letter, and of an address the domain.
    Mask,
    /// A keyed hash: equal texts can be joined, and none can be read or guessed without the key.
    Hash,
    /// Not at all.
    None,
}

/// How the path is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowPath {
    /// As it is.
    Plain,
    /// By the name of the route only.
    Route,
    /// Not at all, nor is the route.
    None,
}

/// How the query is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowQuery {
    /// Not at all.
    None,
    /// By the names of its parameters.
    Names,
    /// As it is, but for parameters that carry tokens.
    Plain,
}

/// A claim that records show.
#[derive(Clone, Debug)]
pub struct ShownClaim {
    /// Its name, as the configuration writes it.
    pub name: Box<str>,
    /// Where it is.
    pub path: ClaimPath,
    /// How it is shown.
    pub show: Show,
}

/// The key of hashes.
#[derive(Clone)]
pub struct HashKey([u8; 32]);

impl HashKey {
    /// The key that a secret makes, by BLAKE3's key derivation.
    pub fn derive(secret: &[u8]) -> Self {
        Self(blake3::derive_key("claimgate 2026-11 hashes in audit records", secret))
    }

    /// 128 bits of the keyed hash of a text, in hexadecimal.
    pub fn hash(&self, text: &str) -> String {
        let hash = blake3::keyed_hash(&self.0, text.as_bytes());
        let mut hex = String::with_capacity(32);
        for byte in hash.as_bytes().iter().take(16) {
            // Writing to a String does not fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

/// Shows nothing of the key.
impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey")
    }
}

/// What is shown of whoever asks.
#[derive(Clone, Debug)]
pub struct Redaction {
    /// The subject.
    pub subject: Show,
    /// The path.
    pub path: ShowPath,
    /// The query.
    pub query: ShowQuery,
    /// The claims; no other is ever shown.
    pub claims: Vec<ShownClaim>,
    /// The key of hashes; without one what is to be hashed is not shown.
    pub key: Option<HashKey>,
}

impl Default for Redaction {
    fn default() -> Self {
        Self {
            subject: Show::Plain,
            path: ShowPath::Plain,
            query: ShowQuery::None,
            claims: Vec::new(),
            key: None,
        }
    }
}

impl Redaction {
    /// The subject as it is shown, if it is.
    pub fn subject(&self, subject: &str) -> Option<String> {
        self.text(self.subject, subject)
    }

    /// The claims that are shown, as the members of an object; `None` where there are none.
    pub(super) fn claims(&self, claims: &Claims) -> Option<String> {
        let mut shown = Members::new(64);
        for claim in &self.claims {
            let value = read(&claim.path, claims);
            if let Some(value) = value.and_then(|value| self.value(claim.show, &value)) {
                shown.value_of_any_name(&claim.name, &value);
            }
        }
        (!shown.is_empty()).then(|| shown.close())
    }

    fn text(&self, show: Show, text: &str) -> Option<String> {
        match show {
            Show::Plain => Some(text.to_owned()),
            Show::Mask => Some(mask(text)),
            Show::Hash => self.key.as_ref().map(|key| key.hash(text)),
            Show::None => None,
        }
    }

    fn value(&self, show: Show, value: &Value) -> Option<Value> {
        match (show, value) {
            (Show::None, _) | (_, Value::Null) => None,
            (Show::Plain, value) => Some(value.clone()),
            (_, Value::Array(items)) => {
                Some(items.iter().filter_map(|item| self.value(show, item)).collect())
            }
            (_, Value::String(text)) => self.text(show, text).map(Value::from),
            // Its JSON: the first character of that would tell half of a number or a boolean.
            (Show::Mask, _) => Some(Value::from("***")),
            (Show::Hash, other) => self.text(show, &other.to_string()).map(Value::from),
        }
    }
}

fn read<'a>(path: &ClaimPath, claims: &'a Claims) -> Option<Cow<'a, Value>> {
    if path.has_star() {
        let values = path.find(claims)?;
        return Some(Cow::Owned(values.iter().cloned().collect()));
    }
    path.value(claims).map(Cow::Borrowed)
}

/// The first letter, and the domain where the text is an address.
fn mask(text: &str) -> String {
    let is_domain = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        !text.is_empty() && text.bytes().all(plain)
    };
    let (local, domain) = match text.rsplit_once('@') {
        Some((local, domain)) if is_domain(domain) => (local, Some(domain)),
        _ => (text, None),
    };
    // Of two letters the first would be half of it.
    let first = local.chars().next().filter(|_| local.chars().nth(2).is_some());
    let mut masked: String = first.into_iter().collect();
    masked.push_str("***");
    if let Some(domain) = domain {
        masked.push('@');
        masked.push_str(domain);
    }
    masked
}

/// The names of a query's parameters, as they are written. One without `=` may be a value alone, and is not shown.
pub(super) fn parameter_names(query: &[u8]) -> Vec<u8> {
    let pairs = query.split(|byte| *byte == b'&');
    let names: Vec<&[u8]> =
        pairs.filter_map(|pair| split_once(pair, b'=')).map(|(name, _)| name).collect();
    names.join(&b'&')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn masks() {
        let cases = [
            ("john@example.com", "j***@example.com"),
            ("jo@example.com", "***@example.com"),
            ("@example.com", "***@example.com"),
            ("a@b@example.com", "a***@example.com"),
            ("alice", "a***"),
            ("not an address @ a secret", "n***"),
            ("\u{e4}lice", "\u{e4}***"),
            ("al", "***"),
            ("", "***"),
        ];
        for (text, want) in cases {
            assert_eq!(mask(text), want, "{text}");
        }
    }

    #[test]
    fn shows_names_without_values() {
        let cases = [("a=1&b=&c", "a&b"), ("s3cret", ""), ("", ""), ("=x&&a==", "&a")];
        for (query, want) in cases {
            assert_eq!(parameter_names(query.as_bytes()), want.as_bytes(), "{query}");
        }
    }

    #[test]
    fn shows_claims_only_as_listed() {
        let claims: Claims = serde_json::from_value(json!({
            "email": "john@example.com", "tenant": "acme", "age": 42, "secret": "no",
            "groups": ["admins", "users"], "address": {"city": "Bern", "zip": null}, "none": null,
        }))
        .unwrap();
        let key = HashKey::derive(b"a key of some length");
        let hash = key.hash("acme");
        let cases = [
            ("email", Show::Plain, json!("john@example.com")),
            ("email", Show::Mask, json!("j***@example.com")),
            ("tenant", Show::Hash, json!(hash)),
            ("age", Show::Plain, json!(42)),
            ("age", Show::Mask, json!("***")),
            ("age", Show::Hash, json!(key.hash("42"))),
            ("groups", Show::Plain, json!(["admins", "users"])),
            ("groups", Show::Mask, json!(["a***", "u***"])),
            ("groups", Show::Hash, json!([key.hash("admins"), key.hash("users")])),
            ("address", Show::Plain, json!({"city": "Bern", "zip": null})),
            ("address", Show::Mask, json!("***")),
            ("/address/city", Show::Plain, json!("Bern")),
            ("/groups/*", Show::Plain, json!(["admins", "users"])),
            ("none", Show::Plain, json!(null)),
            ("missing", Show::Hash, json!(null)),
            ("email", Show::None, json!(null)),
        ];
        for (name, show, want) in cases {
            let claim =
                ShownClaim { name: name.into(), path: ClaimPath::parse(name).unwrap(), show };
            let redaction =
                Redaction { claims: vec![claim], key: Some(key.clone()), ..Redaction::default() };
            let shown = redaction.claims(&claims).unwrap_or_else(|| "{}".to_owned());
            let shown: Value = serde_json::from_str(&shown).unwrap();
            assert_eq!(shown[name], want, "{name} {show:?}");
        }
    }

    #[test]
    fn hashes_need_a_key_and_are_its_own() {
        let one = HashKey::derive(b"one");
        assert_eq!(one.hash("a").len(), 32);
        assert_ne!(one.hash("a"), one.hash("b"));
        assert_ne!(one.hash("a"), HashKey::derive(b"two").hash("a"));
        let without = Redaction { subject: Show::Hash, ..Redaction::default() };
        assert_eq!(without.subject("alice"), None);
        assert_eq!(format!("{one:?}"), "HashKey");
    }
}
