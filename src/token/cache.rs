//! Tokens that were judged before: those that verified, and apart from them those that did not.
//!
//! A token is found by all of its bytes, so that no other is ever taken for it. The hash that finds its
//! place is seeded, so that nobody outside can aim at one. Of tokens that verified it covers the end of
//! the signature alone: two of these with one end would take their issuer's key to make. Both stores
//! are bounded in bytes. What is kept holds for the keys and issuers that judged it: with any change of
//! these all of it goes.

use super::verify::{Failure, VerifiedToken};
use super::{Error, claims::Claims};
use crate::time::Timestamp;
use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use quick_cache::unsync::{Cache as Store, DefaultLifecycle};
use quick_cache::{Equivalent, Weighter};
use serde_json::Value;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::rc::Rc;
use std::sync::OnceLock;

/// How many bytes tokens that verified may take: some 8,000 usual ones.
const GOOD_BYTES: u64 = 16 << 20;
/// How many bytes tokens that did not verify may take.
const BAD_BYTES: u64 = 1 << 20;
/// What a usual entry weighs, for the size of the index.
const USUAL_WEIGHT: u64 = 2048;
/// What an entry costs besides its bytes: allocations, index, what is remembered of evicted ones.
const OVERHEAD: usize = 160;

/// How much of a signature's end is hashed, in bytes: 24 of the signature itself.
const SIGNATURE_END: usize = 32;

type Indexed<V> = Store<Token, V, Bytes, BuildHasherDefault<Given>>;

/// See the module.
pub struct Cache {
    hasher: SeedableRandomState,
    good: Indexed<Rc<VerifiedToken>>,
    bad: Indexed<Failure>,
}

/// A token as a key.
#[derive(Clone)]
struct Token {
    hash: u64,
    bytes: Box<[u8]>,
}

/// A token that is looked for.
#[derive(Clone, Copy)]
struct Sought<'t> {
    hash: u64,
    bytes: &'t [u8],
}

impl Sought<'_> {
    fn to_key(self) -> Token {
        Token { hash: self.hash, bytes: self.bytes.into() }
    }
}

impl Hash for Token {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.hash);
    }
}

impl Hash for Sought<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.hash);
    }
}

/// Takes the hash as it is given.
#[derive(Default)]
struct Given(u64);

impl Hasher for Given {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        Sought { hash: self.hash, bytes: &self.bytes }.equivalent(other)
    }
}

impl Eq for Token {}

impl Equivalent<Token> for Sought<'_> {
    /// In blocks: the platform's own comparison goes byte by byte, in wasm.
    fn equivalent(&self, key: &Token) -> bool {
        if self.bytes.len() != key.bytes.len() {
            return false;
        }
        let (blocks, tail) = self.bytes.as_chunks::<64>();
        let (key_blocks, key_tail) = key.bytes.as_chunks::<64>();
        blocks.iter().zip(key_blocks).all(|(a, b)| is_same(a, b))
            && tail.iter().zip(key_tail).all(|(a, b)| a == b)
    }
}

fn is_same(a: &[u8; 64], b: &[u8; 64]) -> bool {
    let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    a.iter().zip(b).fold(0, |differ, (a, b)| differ | (word(a) ^ word(b))) == 0
}

/// What is known of a token.
pub enum Known {
    /// It verified; its times are still to be checked.
    Good(Rc<VerifiedToken>),
    /// It did not, and would not now.
    Bad(Failure),
}

impl Cache {
    /// An empty cache. The seed is drawn by whoever has a source of randomness; within a process
    /// the first one holds.
    pub fn new(seed: u64) -> Self {
        static SHARED: OnceLock<SharedSeed> = OnceLock::new();
        let shared = SHARED.get_or_init(|| SharedSeed::from_u64(seed));
        let hasher = SeedableRandomState::with_seed(seed.rotate_left(32), shared);
        Self { hasher, good: store(GOOD_BYTES), bad: store(BAD_BYTES) }
    }

    /// A token to look for among those that verified.
    fn among_good<'t>(&self, token: &'t [u8]) -> Sought<'t> {
        let end = token.get(token.len().saturating_sub(SIGNATURE_END)..).unwrap_or(token);
        Sought { hash: self.hash(end), bytes: token }
    }

    /// A token to look for among those that did not.
    fn among_bad<'t>(&self, token: &'t [u8]) -> Sought<'t> {
        Sought { hash: self.hash(token), bytes: token }
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }

    /// What is known of a token.
    pub fn get(&self, token: &[u8], now: Timestamp) -> Option<Known> {
        if let Some(verified) = self.good.get(&self.among_good(token)) {
            return Some(Known::Good(Rc::clone(verified)));
        }
        let failure = self.bad.get(&self.among_bad(token))?;
        let error = still(&failure.error, now.as_millis())?;
        Some(Known::Bad(Failure { error, ..failure.clone() }))
    }

    /// Keeps a token that verified.
    pub fn keep(&mut self, token: &[u8], verified: &Rc<VerifiedToken>) {
        self.good.insert(self.among_good(token).to_key(), Rc::clone(verified));
    }

    /// Keeps a token that did not verify, where that was dear to find out, and depends on the token
    /// and its issuer alone.
    pub fn keep_failure(&mut self, token: &[u8], failure: &Failure) {
        self.good.remove(&self.among_good(token));
        let lasting = match failure.error {
            Error::SignatureInvalid | Error::Expired { .. } | Error::NotYetValid { .. } => true,
            Error::Malformed(_) | Error::LifetimeTooLong { .. } | Error::ClaimMissing(_) => true,
            Error::AudienceMismatch | Error::TypeMismatch => true,
            // Found out before any signature is checked, or the request's or the keys' affair.
            Error::Missing | Error::Ambiguous(_) | Error::TooLarge { .. } => false,
            Error::CriticalHeader | Error::AlgorithmNotAllowed | Error::IssuerUnknown => false,
            Error::KeyUnknown | Error::KeysUnavailable => false,
        };
        if lasting && failure.issuer.is_some() {
            self.bad.insert(self.among_bad(token).to_key(), failure.clone());
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.good.clear();
        self.bad.clear();
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache {{ good: {}, bad: {} }}", self.good.len(), self.bad.len())
    }
}

/// A lasting error as it is now; `None` where time has healed it.
fn still(error: &Error, now: i64) -> Option<Error> {
    match *error {
        Error::Expired { exp, skew, .. } => {
            (now >= exp.saturating_add(skew)).then_some(Error::Expired { exp, now, skew })
        }
        Error::NotYetValid { claim, from, skew, .. } => (now < from.saturating_sub(skew))
            .then_some(Error::NotYetValid { claim, from, now, skew }),
        ref lasting => Some(lasting.clone()),
    }
}

fn store<V>(bytes: u64) -> Indexed<V>
where
    Bytes: Weighter<Token, V>,
{
    let items = (bytes / USUAL_WEIGHT) as usize;
    Store::with(items, bytes, Bytes, BuildHasherDefault::default(), DefaultLifecycle::default())
}

/// Weighs entries in bytes.
#[derive(Clone)]
struct Bytes;

impl Weighter<Token, Rc<VerifiedToken>> for Bytes {
    fn weight(&self, token: &Token, verified: &Rc<VerifiedToken>) -> u64 {
        (OVERHEAD + token.bytes.len() + verified.weight()) as u64
    }
}

impl Weighter<Token, Failure> for Bytes {
    fn weight(&self, token: &Token, failure: &Failure) -> u64 {
        let named = match &failure.error {
            Error::ClaimMissing(name) => name.len(),
            _ => 0,
        };
        (OVERHEAD + token.bytes.len() + named + failure.kid.as_ref().map_or(0, String::len)) as u64
    }
}

/// What claims take in memory, in bytes, rounded up.
pub fn weigh(claims: &Claims) -> usize {
    // A node of the map's tree has room for 11 members, and is at least half full but for the first.
    let node = 11 * size_of::<(String, Value)>() + 32;
    let members: usize =
        claims.iter().map(|(name, value)| name.len() + 16 + weigh_value(value)).sum();
    node * (1 + claims.len() / 5) + members
}

fn weigh_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len() + 16,
        Value::Array(items) => {
            let inner: usize = items.iter().map(weigh_value).sum();
            items.capacity() * size_of::<Value>() + 16 + inner
        }
        Value::Object(members) => weigh(members),
    }
}
