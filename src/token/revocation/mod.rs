//! Tokens that were taken back before they expire: by their id, their session, their subject, or the time at which
//! they were issued.

mod list;

pub use list::{Ids, List, Moment, Subjects};

use super::fetching::{Fetched, Schedule, Source, too_large};
use super::{Error, VerifiedToken};
use crate::time::Timestamp;
use list::{fingerprint, parse};

/// The largest list that is fetched, in bytes: a million UUIDs have 39 MB. Envoy takes 32 MiB, unless told otherwise.
pub const MAX_BYTES: usize = 64 << 20;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::samples::{at, fetched, keyring, source, token, verified};
    use serde_json::json;

    fn fetching(on_stale: OnStale) -> Revocations {
        Revocations::new(List::default(), Some(Published { source: source(), on_stale }))
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
}
