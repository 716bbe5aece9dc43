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
            let (keys, skipped) = parse(fetched.body, self.source.algorithms, backend)?;
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

fn parse(
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
