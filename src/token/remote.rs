//! A key set that is fetched: when to fetch it, what of an answer to believe, how long keys live.
//!
//! It is a state machine that time and answers are handed into; who fetches is the host's side.

use super::Key;
use super::key::{self, Skipped};
use super::signature::{AlgorithmSet, SignatureBackend};
use crate::json;
use crate::time::Timestamp;
use std::rc::Rc;

/// The largest key set, in bytes: the largest published ones have some 30 KiB.
pub const MAX_BYTES: usize = 1 << 20;
/// The most keys of one set: preparing each takes time in which no request is served.
const MAX_KEYS: usize = 256;
/// The least time between two fetches for tokens that name an unknown key, in milliseconds: who
/// invents key ids does not choose how often the identity provider is asked.
const WANT_FLOOR: i64 = 10_000;
/// The shortest life that `Cache-Control` may give a key set, in milliseconds.
const MIN_LIFE: i64 = 30_000;
/// The first wait after a fetch that failed, in milliseconds; it doubles with each further one.
const RETRY: i64 = 1_000;
/// The longest such wait, in milliseconds.
const MAX_RETRY: i64 = 60_000;
/// An answer that is this much later than the fetch's limit never comes, in milliseconds.
const LOST_AFTER: i64 = 10_000;

/// Where a key set is fetched from, and how.
#[derive(Clone, Debug)]
pub struct Source {
    /// Envoy's cluster.
    pub cluster: Box<str>,
    /// `http` or `https`; the cluster's TLS context decides, this is what the request says.
    pub scheme: Box<str>,
    /// Host and port.
    pub authority: Box<str>,
    /// Path and query.
    pub path: Box<str>,
    /// The longest time between two fetches, in milliseconds.
    pub refresh: i64,
    /// How long a fetch may take, in milliseconds.
    pub timeout: i64,
    /// How long keys are used after the last fetch that brought them, in milliseconds.
    pub max_stale: i64,
    /// The algorithms that its keys are narrowed to.
    pub algorithms: Option<AlgorithmSet>,
}

/// The answer of a fetch.
#[derive(Clone, Copy, Debug)]
pub struct Fetched<'a> {
    /// The status.
    pub status: &'a [u8],
    /// The value of `Cache-Control`.
    pub cache_control: Option<&'a [u8]>,
    /// The body.
    pub body: &'a [u8],
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
    source: Source,
    keys: Vec<Rc<Key>>,
    /// The document that the keys were read from.
    document: Vec<u8>,
    /// When the keys were last confirmed, in milliseconds.
    confirmed: i64,
    /// When to fetch next, in milliseconds.
    next: i64,
    /// When the fetch that is under way began, in milliseconds.
    under_way: Option<i64>,
    /// How many fetches failed since the last good one.
    failures: u32,
    /// Whether a token asks for a key that is not there.
    wanted: bool,
    /// When that last led to a fetch, in milliseconds.
    last_wanted: i64,
}

impl Remote {
    /// Nothing is fetched yet.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            keys: Vec::new(),
            document: Vec::new(),
            confirmed: 0,
            next: i64::MIN,
            under_way: None,
            failures: 0,
            wanted: false,
            last_wanted: i64::MIN,
        }
    }

    /// Where from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The keys that were fetched.
    pub fn keys(&self) -> &[Rc<Key>] {
        &self.keys
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// When keys were last fetched, in milliseconds; `None` before the first time.
    pub fn confirmed(&self) -> Option<i64> {
        Some(self.confirmed).filter(|confirmed| *confirmed != 0)
    }

    /// Whether a token waits for a key that is not there, or nothing was fetched yet.
    pub fn is_urgent(&self) -> bool {
        self.wanted || self.keys.is_empty() && self.failures == 0
    }

    /// Asks for a fetch on behalf of a token; whether one is due or under way.
    pub fn want(&mut self, now: Timestamp) -> bool {
        let now = now.as_millis();
        // A clock that was set back is no reason to wait.
        let rested = now.saturating_sub(self.last_wanted).saturating_abs() >= WANT_FLOOR;
        if !self.wanted && rested && self.failures == 0 {
            self.wanted = true;
            self.last_wanted = now;
        }
        self.wanted
    }

    /// Whether to fetch now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let now = now.as_millis();
        match self.under_way {
            Some(begun) => {
                now.saturating_sub(begun).saturating_abs() >= self.source.timeout + LOST_AFTER
            }
            None => {
                let set_back = self.next.saturating_sub(now) > self.source.refresh.max(MAX_RETRY);
                self.wanted || now >= self.next || set_back
            }
        }
    }

    /// A fetch has begun.
    pub fn sent(&mut self, now: Timestamp) {
        self.under_way = Some(now.as_millis());
    }

    /// A fetch has ended; see [`Keyring::received`](super::keyring::Keyring::received).
    pub fn received(
        &mut self,
        answer: Result<Fetched<'_>, String>,
        backend: &dyn SignatureBackend,
        now: Timestamp,
        spread: f64,
    ) -> Result<Learnt, String> {
        self.under_way = None;
        self.wanted = false;
        let now = now.as_millis();
        let learnt = answer.and_then(|fetched| self.read(&fetched, backend, now, spread));
        match learnt {
            Ok(learnt) => Ok(learnt),
            Err(reason) => {
                self.failures = self.failures.saturating_add(1);
                let wait = RETRY.saturating_mul(1 << (self.failures - 1).min(16));
                let wait = wait.min(MAX_RETRY).min(self.source.refresh.max(RETRY));
                self.next = now.saturating_add(early(wait, spread));
                Err(reason)
            }
        }
    }

    fn read(
        &mut self,
        fetched: &Fetched<'_>,
        backend: &dyn SignatureBackend,
        now: i64,
        spread: f64,
    ) -> Result<Learnt, String> {
        if fetched.status != b"200" {
            return Err(format!("status {}", String::from_utf8_lossy(fetched.status)));
        }
        if fetched.body.len() > MAX_BYTES {
            return Err(too_large(fetched.body.len()));
        }
        let mut learnt = Learnt { recovered: self.failures > 0, ..Learnt::default() };
        if self.keys.is_empty() || self.document != fetched.body {
            let (keys, skipped) = read_set(fetched.body, self.source.algorithms, backend)?;
            self.keys = keys;
            self.document = fetched.body.to_vec();
            learnt.changed = true;
            learnt.skipped = skipped;
        }
        learnt.keys = self.keys.len();
        self.failures = 0;
        self.confirmed = now;
        let told = fetched.cache_control.and_then(max_age);
        let life = told.map_or(self.source.refresh, |told| told.max(MIN_LIFE));
        self.next = now.saturating_add(early(life.min(self.source.refresh), spread));
        Ok(learnt)
    }

    /// Lets keys go that are older than `max_stale`; whether it did.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        let age = now.as_millis().saturating_sub(self.confirmed);
        let stale = !self.keys.is_empty() && age > self.source.max_stale;
        if stale {
            self.keys.clear();
            self.document.clear();
        }
        stale
    }
}

/// What is said of a body past [`MAX_BYTES`].
pub fn too_large(length: usize) -> String {
    format!("{length} bytes, the limit is {MAX_BYTES}")
}

/// Between three quarters and all of a time, so that keys are fetched before they are too old and
/// workers do not fetch at once.
fn early(time: i64, spread: f64) -> i64 {
    (time as f64 * (1.0 - spread.clamp(0.0, 1.0) / 4.0)) as i64
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

/// How long an answer may be kept (RFC 9111 section 5.2.2), in milliseconds; `None` where it does
/// not say.
fn max_age(cache_control: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(cache_control).ok()?.to_ascii_lowercase();
    let mut age = None;
    for directive in text.split(',').map(str::trim) {
        match directive.split_once('=') {
            Some(("max-age", secs)) => {
                let secs: i64 = secs.trim_matches('"').parse().ok()?;
                age = Some(secs.saturating_mul(1000));
            }
            None if directive == "no-store" || directive == "no-cache" => return Some(0),
            _ => {}
        }
    }
    age
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::samples::{NOW, at, fetched, jwk, source};
    use crate::token::signature::Portable;
    use serde_json::{Value, json};

    const DAY: i64 = 86_400;

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
        let mut remote = Remote::new(source());
        receive(&mut remote, &set(&[jwk(1, None)]), at(0));
        remote
    }

    /// Whether it is due exactly from this time on.
    fn is_due_from(remote: &Remote, after: i64) -> bool {
        !remote.is_due(ms(after - 1)) && remote.is_due(ms(after))
    }

    #[test]
    fn the_first_fetch_is_due_at_once_and_one_at_a_time() {
        let mut remote = Remote::new(source());
        for time in [Timestamp::from_nanos(0), at(0), Timestamp::from_nanos(u64::MAX)] {
            assert!(remote.is_due(time), "{time}");
        }
        assert!(remote.is_urgent() && remote.is_empty());
        remote.sent(at(0));
        assert!(!remote.is_due(at(0)) && remote.is_urgent());
        // 5 s for the fetch, and 10 s more.
        assert!(is_due_from(&remote, 15_000), "an answer that is lost");
        remote.sent(at(15));
        assert!(is_due_from(&remote, 30_000), "and again");
        receive(&mut remote, &set(&[jwk(1, None)]), at(16));
        assert!(!remote.is_urgent() && !remote.is_empty());
        assert!(is_due_from(&remote, 316_000));
    }

    #[test]
    fn waits_longer_after_each_failure() {
        let minute = [1, 2, 4, 8, 16, 32, 60, 60, 60];
        let cases: [(i64, &[i64]); 4] = [
            (300_000, &minute),
            (DAY * 1000, &minute),
            (5_000, &[1, 2, 4, 5, 5, 5]),
            (1_000, &[1, 1, 1]),
        ];
        for (refresh, waits) in cases {
            let mut remote = Remote::new(Source { refresh, ..source() });
            for wait in waits {
                fail(&mut remote, at(0));
                assert!(is_due_from(&remote, wait * 1000), "{wait} s of {refresh} ms");
                assert!(!remote.is_urgent(), "nobody waits for what fails");
            }
            (0..100).for_each(|_| fail(&mut remote, at(0)));
            assert!(remote.is_due(at(60)), "{refresh} ms");
            // The first one after a good one waits a second again.
            assert!(receive(&mut remote, &set(&[jwk(1, None)]), at(0)).recovered);
            assert!(is_due_from(&remote, refresh));
            assert!(!receive(&mut remote, &set(&[jwk(1, None)]), at(0)).recovered);
            fail(&mut remote, at(0));
            assert!(is_due_from(&remote, 1000), "{refresh} ms");
        }
        let mut remote = Remote::new(source());
        remote.failures = u32::MAX;
        fail(&mut remote, at(0));
        assert!(is_due_from(&remote, 60_000));
    }

    #[test]
    fn spreads_fetches_over_a_quarter_of_the_time() {
        let cases = [(0.0, 300), (0.5, 262), (1.0, 225), (7.0, 225), (-7.0, 300)];
        for (spread, want) in cases {
            let mut remote = Remote::new(source());
            let body = set(&[jwk(1, None)]);
            remote.received(Ok(fetched(&body)), &Portable, at(0), spread).unwrap();
            assert_eq!((remote.next - at(0).as_millis()) / 1000, want, "{spread}");
            remote.received(Err("reset".into()), &Portable, at(0), spread).unwrap_err();
            let wait = remote.next - at(0).as_millis();
            assert!((750..=1000).contains(&wait), "{spread}: {wait} ms");
        }
    }

    #[test]
    fn cache_control_shortens_the_time_and_no_more() {
        // (the header, seconds to the next fetch)
        let cases: [(&[u8], i64); 22] = [
            (b"", 300),
            (b"max-age=60", 60),
            (b"Public, MAX-AGE=60", 60),
            (b"max-age=\"60\"", 60),
            (b"max-age=60,must-revalidate", 60),
            (b"max-age=300", 300),
            (b"max-age=86400", 300),
            (b"max-age=31", 31),
            (b"max-age=29", 30),
            (b"max-age=0", 30),
            (b"max-age=-1", 30),
            (b"no-store", 30),
            (b"No-Cache", 30),
            (b"no-store, max-age=60", 30),
            (b"max-age=60, no-store", 30),
            (b"no-cache=\"set-cookie\", max-age=60", 60),
            (b"s-maxage=60", 300),
            (b"max-age", 300),
            (b"max-age=soon", 300),
            (b"max-age=9223372036854775807", 300),
            (b"max-age=99999999999999999999999", 300),
            (b"max-age=60\xff", 300),
        ];
        let body = set(&[jwk(1, None)]);
        for (header, want) in cases {
            let text = String::from_utf8_lossy(header);
            let answer = Fetched { cache_control: Some(header), ..fetched(&body) };
            let mut remote = Remote::new(source());
            remote.received(Ok(answer), &Portable, at(0), 0.0).unwrap();
            assert!(is_due_from(&remote, want * 1000), "{text}");
            // Never later than the operator wants it, nor so for the shortest life.
            let mut remote = Remote::new(Source { refresh: 10_000, ..source() });
            remote.received(Ok(answer), &Portable, at(0), 0.0).unwrap();
            assert!(is_due_from(&remote, 10_000), "{text}");
        }
    }

    #[test]
    fn tokens_ask_for_a_fetch_every_ten_seconds_at_most() {
        let mut remote = fetched_once();
        let body = set(&[jwk(1, None)]);
        // (milliseconds, whether an answer comes before, whether one is awaited)
        let cases = [
            (1_000, false, true),
            (1_001, false, true),
            (2_000, true, false),
            (10_999, false, false),
            (11_000, false, true),
            (60_000, false, true),
            (60_001, true, true),
            (60_002, true, false),
            (70_000, false, false),
            (70_001, false, true),
        ];
        for (now, answered, want) in cases {
            if answered {
                receive(&mut remote, &body, ms(now));
            }
            assert_eq!(remote.want(ms(now)), want, "after {now} ms");
            assert_eq!(remote.is_urgent(), want, "after {now} ms");
            assert_eq!(remote.is_due(ms(now)), want, "after {now} ms");
        }
        remote.sent(ms(70_002));
        assert!(!remote.is_due(ms(70_002)) && remote.want(ms(70_002)), "it is under way");
        fail(&mut remote, ms(71_000));
        for now in [71_000, 81_000, 1_000_000] {
            assert!(!remote.want(ms(now)) && !remote.is_urgent(), "it fails, after {now} ms");
        }
        receive(&mut remote, &body, ms(1_000_000));
        assert!(remote.want(ms(1_000_000)));
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing() {
        for refresh in [1, 300, DAY] {
            let remote = || {
                let mut remote = Remote::new(Source { refresh: refresh * 1000, ..source() });
                receive(&mut remote, &set(&[jwk(1, None)]), at(0));
                remote
            };
            let back = at(-DAY);
            assert!(remote().is_due(back), "at rest, {refresh} s");
            let mut one = remote();
            one.sent(at(refresh));
            assert!(one.is_due(back), "under way, {refresh} s");
            one.sent(back);
            assert!(!one.is_due(back), "sent again, {refresh} s");
            let mut one = remote();
            (0..10).for_each(|_| fail(&mut one, at(0)));
            assert!(one.is_due(back), "failing, {refresh} s");
            let mut one = remote();
            assert!(one.want(at(0)));
            receive(&mut one, &set(&[jwk(1, None)]), at(0));
            assert!(one.want(back), "wanted, {refresh} s");
            assert!(!remote().expire(back) && !remote().is_empty(), "{refresh} s");
        }
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
        let mut remote = Remote::new(source());
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
