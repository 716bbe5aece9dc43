//! What was taken back: token ids, sessions, subjects, and what was issued before a time.
//!
//! Ids are kept as 64-bit fingerprints, so that a million of them take 19 MB. What is listed is always found; that another id is
//! taken for one of a million happens once in 10^13.

use crate::token::VerifiedToken;
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::hash::BuildHasher;
use std::time::UNIX_EPOCH;

/// The same in every worker and at every load: lists are the operator's, so that nobody chooses collisions.
pub(super) fn fingerprint(bytes: &[u8]) -> u64 {
    FixedState::default().hash_one(bytes)
}

/// Strings, of which it is asked only whether one is among them.
#[derive(Clone, Default)]
pub struct Ids(HashTable<u64>);

impl Ids {
    fn insert(&mut self, id: &str) {
        let print = fingerprint(id.as_bytes());
        if self.0.find(print, |own| *own == print).is_none() {
            self.0.insert_unique(print, print, |own| *own);
        }
    }

    fn holds(&self, id: &str) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let print = fingerprint(id.as_bytes());
        self.0.find(print, |own| *own == print).is_some()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;
        impl<'de> Visitor<'de> for Strings {
            type Value = Ids;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of strings")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Ids, A::Error> {
                let mut ids = Ids::default();
                // Not borrowed: an id may have escapes.
                while let Some(id) = list.next_element::<Cow<'_, str>>()? {
                    ids.insert(&id);
                }
                Ok(ids)
            }
        }
        deserializer.deserialize_seq(Strings)
    }
}

/// A moment: RFC 3339 in UTC, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(i64);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        let moment = humantime::parse_rfc3339(&text)
            .map_err(|_| D::Error::custom("expected a time in UTC, as `2026-11-22T10:00:00Z`"))?;
        // The format has no year past 9999.
        let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self(since.as_millis() as i64))
    }
}

/// Subjects, and since when their tokens count again.
#[derive(Clone, Default)]
pub struct Subjects(HashTable<(u64, i64)>);

impl Subjects {
    fn insert(&mut self, subject: &str, before: i64) {
        let print = fingerprint(subject.as_bytes());
        match self.0.find_mut(print, |own| own.0 == print) {
            Some(own) => own.1 = own.1.max(before),
            None => {
                self.0.insert_unique(print, (print, before), |own| own.0);
            }
        }
    }

    fn before(&self, subject: &str) -> Option<i64> {
        if self.0.is_empty() {
            return None;
        }
        let print = fingerprint(subject.as_bytes());
        self.0.find(print, |own| own.0 == print).map(|own| own.1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Subjects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Times;
        impl<'de> Visitor<'de> for Times {
            type Value = Subjects;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of subjects and times")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Subjects, A::Error> {
                let mut subjects = Subjects::default();
                while let Some(subject) = map.next_key::<Cow<'_, str>>()? {
                    subjects.insert(&subject, map.next_value::<Moment>()?.0);
                }
                Ok(subjects)
            }
        }
        deserializer.deserialize_map(Times)
    }
}

/// What was taken back, as it is configured and as it is published.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct List {
    /// Values of `jti`.
    pub tokens: Ids,
    /// Values of `sid` (OpenID Connect Back-Channel Logout section 2.4).
    pub sessions: Ids,
    /// By subject, the time before which its tokens were issued.
    pub subjects: Subjects,
    /// The time before which tokens were issued.
    pub issued_before: Option<Moment>,
}

impl List {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        let everyone = usize::from(self.issued_before.is_some());
        self.tokens.len() + self.sessions.len() + self.subjects.0.len() + everyone
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn names(&self, token: &VerifiedToken) -> bool {
        let claim = |name| token.claims().get(name).and_then(Value::as_str);
        let iat = token.times().iat;
        // One that does not say when it was issued may have been issued before.
        let issued = |before: i64| iat.is_none_or(|iat| iat < before);
        self.issued_before.is_some_and(|before| issued(before.0))
            || !self.tokens.is_empty() && claim("jti").is_some_and(|id| self.tokens.holds(id))
            || !self.sessions.is_empty() && claim("sid").is_some_and(|id| self.sessions.holds(id))
            || token.subject().and_then(|sub| self.subjects.before(sub)).is_some_and(issued)
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "List {{ entries: {} }}", self.len())
    }
}

/// Reads a list as it is published.
///
/// # Errors
/// Where in it something is wrong, and not what stands there: ids are not for logs.
pub(super) fn parse(body: &[u8]) -> Result<List, String> {
    // Left to itself, serde takes a list for an object too, member by member.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err("no revocation list at line 1, column 1: expected an object".to_owned());
    }
    serde_json::from_slice(body).map_err(|wrong| {
        format!("no revocation list at line {}, column {}", wrong.line(), wrong.column())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use crate::token::samples::{NOW, keyring, token, verified};
    use serde_json::json;

    fn list(text: &str) -> List {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn names_what_is_listed_and_nothing_else() {
        let time = |secs: u64| Timestamp::from_secs(NOW + secs).to_string();
        let all = |list: Value| list.to_string();
        // (the list, claims, whether it names such a token)
        let cases = [
            (all(json!({})), json!({"jti": "a", "sid": "s", "sub": "alice", "iat": NOW}), false),
            (all(json!({"tokens": ["a", "b"]})), json!({"jti": "a"}), true),
            (all(json!({"tokens": ["a", "b"]})), json!({"jti": "A"}), false),
            (all(json!({"tokens": ["a"]})), json!({"sid": "a", "sub": "a"}), false),
            (all(json!({"tokens": [""]})), json!({"jti": ""}), true),
            (all(json!({"tokens": ["\u{e9}\"\\"]})), json!({"jti": "\u{e9}\"\\"}), true),
            (all(json!({"sessions": ["s"]})), json!({"sid": "s"}), true),
            (all(json!({"sessions": ["s"]})), json!({"sid": 1}), false),
            (all(json!({"sessions": ["s"]})), json!({"jti": "s"}), false),
            (
                all(json!({"subjects": {"alice": time(0)}})),
                json!({"sub": "alice", "iat": NOW - 1}),
                true,
            ),
            (
                all(json!({"subjects": {"alice": time(0)}})),
                json!({"sub": "alice", "iat": NOW}),
                false,
            ),
            (all(json!({"subjects": {"alice": time(0)}})), json!({"sub": "alice"}), true),
            (all(json!({"subjects": {"alice": time(0)}})), json!({"sub": "bob", "iat": 0}), false),
            (all(json!({"subjects": {"alice": time(0)}})), json!({"iat": 0}), false),
            (all(json!({"issued_before": time(0)})), json!({"iat": NOW - 1}), true),
            (all(json!({"issued_before": time(0)})), json!({"iat": NOW}), false),
            (all(json!({"issued_before": time(0)})), json!({}), true),
        ];
        for (text, claims, want) in cases {
            let token = verified(&keyring(None), &token(&claims));
            assert_eq!(list(&text).names(&token), want, "{text} {claims}");
        }
    }

    #[test]
    fn a_subject_that_is_listed_twice_has_the_later_time() {
        let twice = r#"{"subjects": {"a": "2026-01-02T00:00:00Z", "a": "2026-01-01T00:00:00Z"}}"#;
        let later = humantime::parse_rfc3339("2026-01-02T00:00:00Z").unwrap();
        let later = later.duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        assert_eq!(list(twice).subjects.before("a"), Some(later));
        assert_eq!(list(r#"{"tokens": ["a", "a", "b"]}"#).len(), 2);
    }

    #[test]
    fn a_million_ids_are_told_apart() {
        let mut ids = Ids::default();
        (0..1_000_000).for_each(|number| ids.insert(&format!("id-{number}")));
        assert_eq!(ids.len(), 1_000_000);
        assert!((0..1_000_000).all(|number| ids.holds(&format!("id-{number}"))));
        assert!((1_000_000..2_000_000).all(|number| !ids.holds(&format!("id-{number}"))));
        assert!(ids.0.allocation_size() < 20_000_000, "{}", ids.0.allocation_size());
    }
}
