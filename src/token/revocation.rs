//! Tokens that were taken back before they expire: by their id, their session, their subject, or the time at which
//! they were issued.
//!
//! Ids are kept as 64-bit fingerprints, so that a million of them take 19 MB. What is listed is always found; that another id is
//! taken for one of a million happens once in 10^13.

use super::fetching::{Fetched, Schedule, Source, too_large};
use super::{Error, VerifiedToken};
use crate::time::Timestamp;
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::hash::BuildHasher;
use std::time::UNIX_EPOCH;

/// The largest list that is fetched, in bytes: a million UUIDs have 39 MB. Envoy takes 32 MiB, unless told otherwise.
pub const MAX_BYTES: usize = 64 << 20;

/// The same in every worker and at every load: lists are the operator's, so that nobody chooses collisions.
fn fingerprint(bytes: &[u8]) -> u64 {
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
                while let Some(id) = list.next_element::<std::borrow::Cow<'_, str>>()? {
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
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
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
                while let Some(subject) = map.next_key::<std::borrow::Cow<'_, str>>()? {
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

    fn names(&self, token: &VerifiedToken) -> bool {
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

/// What tokens come to while there is no list that is fresh enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStale {
    /// They are refused.
    Refuse,
    /// They are judged by the last list, if there was any.
    Allow,
}

/// A list that is published.
#[derive(Clone, Debug)]
pub struct Published {
    /// Where.
    pub source: Source,
    /// What holds without a fresh one.
    pub on_stale: OnStale,
}

/// What a fetch brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Whether this is another list than before.
    pub changed: bool,
    /// How many entries it has.
    pub entries: usize,
    /// Whether the fetch before this one failed.
    pub recovered: bool,
}

#[derive(Debug)]
struct Remote {
    schedule: Schedule,
    on_stale: OnStale,
    list: Option<List>,
    etag: Option<Box<[u8]>>,
    /// Of the document that the list was read from.
    fingerprint: u64,
    /// Whether it was told that the list is stale.
    told: bool,
}

/// What was taken back of one issuer's tokens.
#[derive(Debug)]
pub struct Revocations {
    own: List,
    remote: Option<Remote>,
    /// Counts the lists: what was found out of a token holds for one.
    generation: u64,
}

impl Revocations {
    /// By the configuration's own list, and one that is fetched.
    pub fn new(own: List, published: Option<Published>) -> Self {
        let remote = published.map(|published| Remote {
            schedule: Schedule::new(published.source),
            on_stale: published.on_stale,
            list: None,
            etag: None,
            fingerprint: 0,
            told: false,
        });
        Self { own, remote, generation: 1 }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        let fetched = self.remote.as_ref().and_then(|remote| remote.list.as_ref());
        self.own.len() + fetched.map_or(0, List::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When a list is fetched, if one is.
    pub fn schedule(&self) -> Option<&Schedule> {
        self.remote.as_ref().map(|remote| &remote.schedule)
    }

    /// The `ETag` of the list at hand.
    pub fn etag(&self) -> Option<&[u8]> {
        self.remote.as_ref().and_then(|remote| remote.etag.as_deref())
    }

    /// Whether nothing was fetched yet, and nothing failed: requests may wait for it.
    pub fn is_urgent(&self) -> bool {
        let first = |remote: &Remote| remote.list.is_none() && !remote.schedule.fails();
        self.remote.as_ref().is_some_and(first)
    }

    /// Whether a token still counts.
    ///
    /// # Errors
    /// [`Error::Revoked`]; [`Error::RevocationUnavailable`] where that cannot be told.
    pub fn check(&self, token: &VerifiedToken, now: Timestamp) -> Result<(), Error> {
        let fetched = self.remote.as_ref().and_then(|remote| remote.list.as_ref());
        let names = || self.own.names(token) || fetched.is_some_and(|list| list.names(token));
        if token.is_revoked(self.generation, names) {
            return Err(Error::Revoked);
        }
        match &self.remote {
            Some(Remote { schedule, on_stale: OnStale::Refuse, .. }) if schedule.is_stale(now) => {
                Err(Error::RevocationUnavailable)
            }
            _ => Ok(()),
        }
    }

    /// A fetch has begun.
    pub fn sent(&mut self, now: Timestamp) {
        if let Some(remote) = &mut self.remote {
            remote.schedule.sent(now);
        }
    }

    /// A fetch has ended.
    ///
    /// # Errors
    /// Why its answer is of no use; the list at hand stays.
    pub fn received(
        &mut self,
        answer: Result<Fetched<'_>, String>,
        now: Timestamp,
        spread: f64,
    ) -> Result<Listed, String> {
        let none = Listed { changed: false, entries: 0, recovered: false };
        let Some(remote) = &mut self.remote else { return Ok(none) };
        let cache_control = answer.as_ref().ok().and_then(|fetched| fetched.cache_control);
        let read = answer.and_then(|fetched| remote.read(&fetched));
        let (changed, recovered) = remote.schedule.received(read, cache_control, now, spread)?;
        remote.told = false;
        self.generation += u64::from(changed);
        Ok(Listed { changed, entries: remote.list.as_ref().map_or(0, List::len), recovered })
    }

    /// Whether the list is stale, which is told once.
    pub fn turns_stale(&mut self, now: Timestamp) -> bool {
        let Some(remote) = &mut self.remote else { return false };
        // Before the first list there is a fetch to wait for, or a failure that was told.
        let stale = remote.list.is_some() && remote.schedule.is_stale(now);
        stale && !std::mem::replace(&mut remote.told, stale)
    }
}

impl Remote {
    /// Whether this is another list.
    fn read(&mut self, fetched: &Fetched<'_>) -> Result<bool, String> {
        match fetched.status {
            b"200" => {}
            b"304" if self.list.is_some() && self.etag.is_some() => return Ok(false),
            other => return Err(format!("status {}", String::from_utf8_lossy(other))),
        }
        if fetched.body.len() > MAX_BYTES {
            return Err(too_large(fetched.body.len(), MAX_BYTES));
        }
        let print = fingerprint(fetched.body);
        let changed = self.list.is_none() || self.fingerprint != print;
        if changed {
            self.list = Some(parse(fetched.body)?);
            self.fingerprint = print;
        }
        self.etag = fetched.etag.map(Into::into);
        Ok(changed)
    }
}

fn parse(body: &[u8]) -> Result<List, String> {
    // Left to itself, serde takes a list for an object too, member by member.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err("no revocation list at line 1, column 1: expected an object".to_owned());
    }
    // The position, and not what stands there: ids are not for logs.
    serde_json::from_slice(body).map_err(|wrong| {
        format!("no revocation list at line {}, column {}", wrong.line(), wrong.column())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::samples::{NOW, at, fetched, keyring, source, token, verified};
    use serde_json::json;

    fn list(text: &str) -> List {
        serde_json::from_str(text).unwrap()
    }

    fn fetching(on_stale: OnStale) -> Revocations {
        Revocations::new(List::default(), Some(Published { source: source(), on_stale }))
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
    fn a_list_of_another_shape_is_none() {
        for text in [
            "",
            "[]",
            "null",
            "<html>",
            "{}}",
            r#"{"token": []}"#,
            r#"{"tokens": null}"#,
            r#"{"tokens": "a"}"#,
            r#"{"tokens": [1]}"#,
            r#"{"tokens": [], "tokens": []}"#,
            r#"{"subjects": ["a"]}"#,
            r#"{"subjects": {"a": "2026-01-01"}}"#,
            r#"{"subjects": {"a": 1}}"#,
            r#"{"issued_before": 1}"#,
            r#"{"issued_before": "2026-01-01T00:00:00+01:00"}"#,
            r#"{"remote": {}}"#,
            r#"{"tokens": ["a""#,
        ] {
            let mut lists = fetching(OnStale::Refuse);
            lists.received(Ok(fetched(r#"{"tokens": ["secret-id"]}"#)), at(0), 0.0).unwrap();
            let why = lists.received(Ok(fetched(text)), at(1), 0.0).unwrap_err();
            assert!(why.starts_with("no revocation list at line 1"), "{text}: {why}");
            assert_eq!(lists.len(), 1, "the list at hand stays: {text}");
        }
        let large = " ".repeat(MAX_BYTES + 1);
        let why = fetching(OnStale::Allow).received(Ok(fetched(&large)), at(0), 0.0).unwrap_err();
        assert_eq!(why, "67108865 bytes, the limit is 67108864");
    }

    #[test]
    fn an_unchanged_list_is_not_read_again() {
        let mut lists = fetching(OnStale::Refuse);
        let body = r#"{"tokens": ["a"]}"#;
        let with = |status: &'static str, etag: Option<&'static [u8]>, body: &'static str| {
            Fetched { status: status.as_bytes(), etag, ..fetched(body) }
        };
        // Nothing is there that could be unchanged.
        assert_eq!(
            lists.received(Ok(with("304", None, "")), at(0), 0.0).unwrap_err(),
            "status 304"
        );
        let steps = [
            (with("200", None, body), true, 2),
            (with("200", Some(b"\"1\""), body), false, 2),
            (with("304", None, ""), false, 2),
            (with("200", Some(b"\"2\""), r#"{"tokens": ["b"]}"#), true, 3),
        ];
        for (step, (answer, changed, generation)) in steps.into_iter().enumerate() {
            let listed = lists.received(Ok(answer), at(1), 0.0).unwrap();
            assert_eq!((listed.changed, listed.entries), (changed, 1), "step {step}");
            assert_eq!(lists.generation, generation, "step {step}");
        }
        assert_eq!(lists.etag(), Some(&b"\"2\""[..]));
    }

    #[test]
    fn without_a_fresh_list_it_is_as_the_operator_says() {
        let token = verified(&keyring(None), &token(&json!({"jti": "a"})));
        for (on_stale, judged) in
            [(OnStale::Refuse, Err(Error::RevocationUnavailable)), (OnStale::Allow, Ok(()))]
        {
            let mut lists = fetching(on_stale);
            assert_eq!(lists.check(&token, at(0)), judged);
            assert!(lists.is_urgent() && lists.is_empty());
            lists.received(Err("reset".into()), at(0), 0.0).unwrap_err();
            assert!(!lists.is_urgent(), "nobody waits for what fails");
            lists.received(Ok(fetched(r#"{"tokens": ["b"]}"#)), at(1), 0.0).unwrap();
            assert_eq!(lists.check(&token, at(3601)), Ok(()));
            assert_eq!(lists.check(&token, at(3602)), judged);
            lists.received(Ok(fetched(r#"{"tokens": ["a"]}"#)), at(4000), 0.0).unwrap();
            for secs in [4000, 40_000] {
                assert_eq!(lists.check(&token, at(secs)), Err(Error::Revoked), "{on_stale:?}");
            }
        }
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
