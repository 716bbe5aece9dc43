//! A key set that is fetched: what of an answer to believe, how long keys live.

use super::Key;
use super::fetching::{Fetched, Schedule, Source, too_large};
use super::key::{self, Skipped};
use super::signature::{AlgorithmSet, SignatureBackend};
use crate::json;
use crate::time::Timestamp;
use std::rc::Rc;

/// The largest key set, in bytes: the largest published ones have some 30 KiB.
pub const MAX_BYTES: usize = 1 << 20;
/// The most keys of one set: preparing each takes time in which no request is served.
const MAX_KEYS: usize = 256;

/// A key set that is published.
#[derive(Clone, Debug)]
pub struct Published {
    /// Where.
    pub source: Source,
    /// The algorithms that its keys are narrowed to.
    pub algorithms: Option<AlgorithmSet>,
}

/// What a fetch brought.
#[derive(Debug, Default)]
pub struct Learnt {
    /// Whether these are other keys than before.
    pub changed: bool,
    /// How many keys can be used.
    pub keys: usize,
    /// Those that cannot.
    pub skipped: Vec<Skipped>,
    /// Whether the fetch before this one failed.
    pub recovered: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Remote {
    schedule: Schedule,
    algorithms: Option<AlgorithmSet>,
    keys: Vec<Rc<Key>>,
    /// The document that the keys were read from.
    document: Vec<u8>,
}

impl Remote {
    /// Nothing is fetched yet.
    pub fn new(published: Published) -> Self {
        Self {
            schedule: Schedule::new(published.source),
            algorithms: published.algorithms,
            keys: Vec::new(),
            document: Vec::new(),
        }
    }

    /// When it is fetched.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// When it is fetched, to ask for it or to say that a fetch has begun.
    pub fn schedule_mut(&mut self) -> &mut Schedule {
        &mut self.schedule
    }

    /// The keys that were fetched.
    pub fn keys(&self) -> &[Rc<Key>] {
        &self.keys
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether a token waits for a key that is not there, or nothing was fetched yet.
    pub fn is_urgent(&self) -> bool {
        self.schedule.is_wanted() || self.keys.is_empty() && !self.schedule.fails()
    }

    /// A fetch has ended; see [`Keyring::received`](super::keyring::Keyring::received).
    pub fn received(
        &mut self,
        answer: Result<Fetched<'_>, String>,
        backend: &dyn SignatureBackend,
        now: Timestamp,
        spread: f64,
    ) -> Result<Learnt, String> {
        let cache_control = answer.as_ref().ok().and_then(|fetched| fetched.cache_control);
        let read = answer.and_then(|fetched| self.read(&fetched, backend));
        let (learnt, recovered) = self.schedule.received(read, cache_control, now, spread)?;
        Ok(Learnt { recovered, ..learnt })
    }

    fn read(
        &mut self,
        fetched: &Fetched<'_>,
        backend: &dyn SignatureBackend,
    ) -> Result<Learnt, String> {
        if fetched.status != b"200" {
            return Err(format!("status {}", String::from_utf8_lossy(fetched.status)));
        }
        if fetched.body.len() > MAX_BYTES {
            return Err(too_large(fetched.body.len(), MAX_BYTES));
        }
        let mut learnt = Learnt::default();
        if self.keys.is_empty() || self.document != fetched.body {
            let (keys, skipped) = read_set(fetched.body, self.algorithms, backend)?;
            self.keys = keys;
            self.document = fetched.body.to_vec();
            learnt.changed = true;
            learnt.skipped = skipped;
        }
        learnt.keys = self.keys.len();
        Ok(learnt)
    }

    /// Lets keys go that are older than `max_stale`; whether it did.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        let stale = !self.keys.is_empty() && self.schedule.is_stale(now);
        if stale {
            self.keys.clear();
            self.document.clear();
        }
        stale
    }
}

/// Reads a key set as a provider publishes it: the keys that can be used, and those that cannot.
///
/// # Errors
/// Where it is no key set, holds too many keys, or none that can be used.
pub fn read_set(
    body: &[u8],
    algorithms: Option<AlgorithmSet>,
    backend: &dyn SignatureBackend,
) -> Result<(Vec<Rc<Key>>, Vec<Skipped>), String> {
    let document = json::parse(body).map_err(|wrong| format!("not JSON: {wrong}"))?;
    let listed = document.get("keys").and_then(serde_json::Value::as_array).map_or(0, Vec::len);
    if listed > MAX_KEYS {
        return Err(format!("{listed} keys, the limit is {MAX_KEYS}"));
    }
    let (keys, skipped) = key::parse_jwks(&document, algorithms, backend)?;
    if keys.is_empty() {
        let reasons: Vec<&str> = skipped.iter().map(|skipped| skipped.reason).collect();
        return Err(format!("no usable key ({})", reasons.join("; ")));
    }
    Ok((keys.into_iter().map(Rc::new).collect(), skipped))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::samples::{NOW, at, fetched, jwk, published, source};
    use crate::token::signature::Portable;
    use serde_json::{Value, json};

    /// A moment in milliseconds after [`NOW`].
    fn ms(after: i64) -> Timestamp {
        Timestamp::from_nanos(((NOW * 1000).cast_signed() + after).cast_unsigned() * 1_000_000)
    }

    fn set(keys: &[Value]) -> String {
        json!({"keys": keys}).to_string()
    }

    fn receive(remote: &mut Remote, body: &str, now: Timestamp) -> Learnt {
        remote.received(Ok(fetched(body)), &Portable, now, 0.0).unwrap()
    }

    fn fail(remote: &mut Remote, now: Timestamp) {
        remote.received(Err("reset".into()), &Portable, now, 0.0).unwrap_err();
    }

    /// One with a key, fetched at [`NOW`].
    fn fetched_once() -> Remote {
        let mut remote = Remote::new(published(source()));
        receive(&mut remote, &set(&[jwk(1, None)]), at(0));
        remote
    }

    /// Whether it is due exactly from this time on.
    fn is_due_from(remote: &Remote, after: i64) -> bool {
        !remote.schedule.is_due(ms(after - 1)) && remote.schedule.is_due(ms(after))
    }

    #[test]
    fn the_first_fetch_is_due_at_once_and_one_at_a_time() {
        let mut remote = Remote::new(published(source()));
        for time in [Timestamp::from_nanos(0), at(0), Timestamp::from_nanos(u64::MAX)] {
            assert!(remote.schedule.is_due(time), "{time}");
        }
        assert!(remote.is_urgent() && remote.is_empty());
        remote.schedule.sent(at(0));
        assert!(!remote.schedule.is_due(at(0)) && remote.is_urgent());
        // 5 s for the fetch, and 10 s more.
        assert!(is_due_from(&remote, 15_000), "an answer that is lost");
        remote.schedule.sent(at(15));
        assert!(is_due_from(&remote, 30_000), "and again");
        receive(&mut remote, &set(&[jwk(1, None)]), at(16));
        assert!(!remote.is_urgent() && !remote.is_empty());
        assert!(is_due_from(&remote, 316_000));
    }

    #[test]
    fn keys_live_from_the_last_answer_that_brought_them() {
        let mut remote = fetched_once();
        let body = set(&[jwk(1, None)]);
        assert!(!remote.expire(at(3600)));
        assert!(!receive(&mut remote, &body, at(3600)).changed);
        fail(&mut remote, at(7000));
        assert!(!remote.expire(at(7200)) && remote.keys().len() == 1);
        assert!(remote.expire(ms(7_200_001)) && remote.is_empty());
        assert!(!remote.expire(at(9000)), "once");
        let learnt = receive(&mut remote, &body, at(9000));
        assert!(learnt.changed && learnt.recovered && learnt.keys == 1, "the same document");
        assert!(!remote.expire(at(9000)));
    }

    #[test]
    fn other_documents_are_other_keys() {
        let (one, two) = (jwk(1, Some("1")), jwk(2, Some("2")));
        let oct = json!({"kty": "oct", "k": "AAAA"});
        // (document, whether it changes anything, keys, how many are skipped)
        let cases = [
            (set(std::slice::from_ref(&one)), true, 1, 0),
            (set(std::slice::from_ref(&one)), false, 1, 0),
            (set(&[one.clone(), two.clone()]), true, 2, 0),
            (set(&[one.clone(), oct, two.clone()]), true, 2, 1),
            (set(std::slice::from_ref(&two)), true, 1, 0),
            (set(std::slice::from_ref(&two)), false, 1, 0),
            (set(&[one, two]), true, 2, 0),
        ];
        let mut remote = Remote::new(published(source()));
        for (step, (body, changed, keys, skipped)) in cases.iter().enumerate() {
            let learnt = receive(&mut remote, body, at(0));
            let got = (learnt.changed, learnt.keys, learnt.skipped.len(), learnt.recovered);
            assert_eq!(got, (*changed, *keys, *skipped, false), "step {step}");
            assert_eq!(remote.keys().len(), *keys, "step {step}");
        }
    }

    #[test]
    fn an_answer_of_no_use_leaves_the_keys() {
        let good = set(&[jwk(2, None)]);
        let oct = json!({"kty": "oct", "k": "AAAA"});
        let many: Vec<Value> = (0..257).map(|_| jwk(2, None)).collect();
        let padded = |length: usize| good.clone() + &" ".repeat(length - good.len());
        let large = padded(MAX_BYTES + 1);
        let cases: [(&str, &str, &str); 16] = [
            ("404", &good, "status 404"),
            ("304", "", "status 304"),
            ("500", &good, "status 500"),
            ("204", "", "status 204"),
            ("", &good, "status "),
            ("200 OK", &good, "status 200 OK"),
            ("200", "", "not JSON"),
            ("200", "<!doctype html><html></html>", "not JSON"),
            ("200", "{\"keys\":[],\"keys\":[]}", "not JSON"),
            ("200", "[]", "expected a JWK Set"),
            ("200", "{}", "expected a JWK Set"),
            ("200", "{\"keys\":{}}", "expected a JWK Set"),
            ("200", "{\"keys\":[]}", "no usable key ()"),
            ("200", &set(&[oct]), "no usable key (a symmetric key"),
            ("200", &set(&many), "257 keys, the limit is 256"),
            ("200", &large, "1048577 bytes, the limit is 1048576"),
        ];
        for (status, body, want) in cases {
            let mut remote = fetched_once();
            let before = Rc::clone(&remote.keys()[0]);
            let answer = Fetched { status: status.as_bytes(), ..fetched(body) };
            let why = remote.received(Ok(answer), &Portable, at(300), 0.0).unwrap_err();
            assert!(why.starts_with(want), "{why}, not {want}");
            assert!(Rc::ptr_eq(&before, &remote.keys()[0]), "{want}");
            assert!(is_due_from(&remote, 301_000), "{want}");
            assert!(!receive(&mut remote, &set(&[jwk(1, None)]), at(301)).changed, "{want}");
        }
        let mut remote = fetched_once();
        assert_eq!(receive(&mut remote, &padded(MAX_BYTES), at(300)).keys, 1);
        assert_eq!(receive(&mut remote, &set(&many[..MAX_KEYS]), at(300)).keys, MAX_KEYS);
    }
}
