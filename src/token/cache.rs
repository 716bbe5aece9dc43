//! Tokens that were judged before: those that verified, and apart from them those that did not.
//!
//! A token is found by all of its bytes, so that no other is ever taken for it. The hash that finds its
//! place is seeded, so that nobody outside can aim at one. Of tokens that verified it covers the end of
//! the signature alone: two of these with one end would take their issuer's key to make. Both stores
//! are bounded in bytes. What is kept holds for the keys and issuers that judged it: with any change of
//! these all of it goes.

use super::failure::{Failure, Lapsed};
use super::verify::VerifiedToken;
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
        if self.bad.is_empty() {
            return None;
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
        if failure.took_a_signature() {
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
        let kid = failure.kid.as_ref().map_or(0, String::len);
        let lapsed = failure.lapsed.as_ref().map_or(0, Lapsed::weight);
        (OVERHEAD + token.bytes.len() + named + kid + lapsed) as u64
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::IssuerId;
    use crate::token::kids::KidTag;
    use crate::token::samples::{NOW, at, keyring, token, verified};
    use serde_json::json;

    fn a_failure(error: Error) -> Failure {
        Failure {
            error,
            issuer: Some(IssuerId(0)),
            kid: None,
            tag: KidTag::None,
            awaits_fetch: false,
            lapsed: None,
        }
    }

    fn a_token() -> Rc<VerifiedToken> {
        verified(&keyring(None), &token(&json!({})))
    }

    fn is_good(cache: &Cache, token: &[u8], want: &Rc<VerifiedToken>) -> bool {
        matches!(cache.get(token, at(0)), Some(Known::Good(got)) if Rc::ptr_eq(&got, want))
    }

    fn bad(cache: &Cache, token: &[u8], secs: i64) -> Option<Error> {
        match cache.get(token, at(secs)) {
            Some(Known::Bad(failure)) => Some(failure.error),
            _ => None,
        }
    }

    /// Tokens that differ in one byte, or in length, from this one.
    fn others(token: &[u8]) -> Vec<Vec<u8>> {
        let changed = (0..token.len()).flat_map(|index| {
            [1, 0x80].map(|bit| {
                let mut other = token.to_vec();
                other[index] ^= bit;
                other
            })
        });
        let cut = (0..token.len()).flat_map(|at| [token[at + 1..].to_vec(), token[..at].to_vec()]);
        let longer = [[b"a", token].concat(), [token, b"a"].concat(), [token, b"\0"].concat()];
        changed.chain(cut).chain(longer).collect()
    }

    #[test]
    fn a_token_is_found_by_all_of_its_bytes() {
        let (token, one) = (token(&json!({})), a_token());
        for length in [0, 1, 7, 8, 9, 31, 32, 33, 40, token.len()] {
            let token = &token.as_bytes()[..length];
            let (mut good, mut failed) = (Cache::new(7), Cache::new(7));
            good.keep(token, &one);
            failed.keep_failure(token, &a_failure(Error::SignatureInvalid));
            assert!(is_good(&good, token, &one));
            assert_eq!(bad(&failed, token, 0), Some(Error::SignatureInvalid));
            for other in others(token) {
                assert!(good.get(&other, at(0)).is_none(), "{other:?} for {token:?}");
                assert!(failed.get(&other, at(0)).is_none(), "{other:?} for {token:?}");
            }
        }
    }

    #[test]
    fn tokens_with_one_end_are_told_apart() {
        let end = "the last 32 bytes are the same..";
        assert_eq!(end.len(), SIGNATURE_END);
        let tokens: Vec<(String, Rc<VerifiedToken>)> =
            (0..100).map(|number| (format!("{number:08}{end}"), a_token())).collect();
        let mut cache = Cache::new(7);
        tokens.iter().for_each(|(token, verified)| cache.keep(token.as_bytes(), verified));
        for (token, verified) in &tokens {
            assert!(is_good(&cache, token.as_bytes(), verified), "{token}");
        }
        assert!(cache.get(end.as_bytes(), at(0)).is_none());
        // One of them goes, and no other.
        cache.keep_failure(tokens[7].0.as_bytes(), &a_failure(Error::KeyUnknown));
        for (number, (token, verified)) in tokens.iter().enumerate() {
            assert_eq!(is_good(&cache, token.as_bytes(), verified), number != 7, "{token}");
        }
    }

    #[test]
    fn both_stores_are_bounded() {
        let (mut cache, verified) = (Cache::new(7), a_token());
        let failure = a_failure(Error::ClaimMissing("x".repeat(50).into()));
        for number in 0_u64..200_000 {
            let token = format!("{number:0300}");
            cache.keep(token.as_bytes(), &verified);
            cache.keep_failure(format!("{token}.").as_bytes(), &failure);
            assert!(cache.good.weight() <= GOOD_BYTES && cache.bad.weight() <= BAD_BYTES);
        }
        let each = (OVERHEAD + 300 + verified.weight()) as u64;
        let (good, bad) = (cache.good.len() as u64, cache.bad.len() as u64);
        assert_eq!((cache.good.weight(), cache.bad.weight()), (good * each, bad * 511));
        assert!(good > GOOD_BYTES / each * 9 / 10, "{good} tokens of {each} bytes");
        assert!(bad > BAD_BYTES / 511 * 9 / 10, "{bad} failures");
        // One that is larger than a whole store.
        cache.keep_failure(&vec![b'a'; BAD_BYTES as usize], &failure);
        cache.keep(&vec![b'a'; GOOD_BYTES as usize], &verified);
        assert!(cache.good.weight() <= GOOD_BYTES && cache.bad.weight() <= BAD_BYTES);
    }

    #[test]
    fn failures_push_out_no_good_token() {
        let (mut cache, verified) = (Cache::new(7), a_token());
        let tokens: Vec<String> = (0..1000).map(|number| format!("good {number:0300}")).collect();
        tokens.iter().for_each(|token| cache.keep(token.as_bytes(), &verified));
        for number in 0..100_000 {
            let forged = format!("{number:0300}");
            cache.keep_failure(forged.as_bytes(), &a_failure(Error::SignatureInvalid));
        }
        assert!(tokens.iter().all(|token| is_good(&cache, token.as_bytes(), &verified)));
        assert!(cache.bad.len() < 10_000, "{cache:?}");
    }

    #[test]
    fn keeps_what_depends_on_the_token_alone() {
        let (exp, from, now, skew) = (0, i64::MAX, 0, 0);
        let cases = [
            (Error::SignatureInvalid, true),
            (Error::Expired { exp, now, skew }, true),
            (Error::NotYetValid { claim: "nbf", from, now, skew }, true),
            (Error::Malformed("`sub` or `jti` is not a string"), true),
            (Error::LifetimeTooLong { lifetime: 2, limit: 1 }, true),
            (Error::ClaimMissing("sub".into()), true),
            (Error::AudienceMismatch, true),
            (Error::TypeMismatch, true),
            (Error::Missing, false),
            (Error::Ambiguous("two tokens"), false),
            (Error::TooLarge { length: 2, limit: 1 }, false),
            (Error::CriticalHeader, false),
            (Error::AlgorithmNotAllowed, false),
            (Error::IssuerUnknown, false),
            (Error::KeyUnknown, false),
            (Error::KeysUnavailable, false),
        ];
        let verified = a_token();
        for (error, lasts) in cases {
            let mut cache = Cache::new(7);
            cache.keep(b"token", &verified);
            cache.keep_failure(b"token", &a_failure(error.clone()));
            assert_eq!(cache.good.len(), 0, "{error}");
            assert_eq!(cache.bad.len(), usize::from(lasts), "{error}");
            assert_eq!(cache.get(b"token", at(0)).is_some(), lasts, "{error}");
            // Found out before the issuer is known, it cost little.
            let mut cache = Cache::new(7);
            cache.keep_failure(b"token", &Failure::from(error.clone()));
            assert_eq!(cache.bad.len(), 0, "{error}");
        }
    }

    #[test]
    fn time_heals_what_it_can() {
        let date = |secs: i64| at(secs).as_millis();
        let skew = 5_000;
        let expired = |now| Error::Expired { exp: date(0), now: date(now), skew };
        let early =
            |claim, now| Error::NotYetValid { claim, from: date(100), now: date(now), skew };
        let invalid = || Error::SignatureInvalid;
        // (the failure, when it is asked for, what is known)
        let cases = [
            (expired(5), 5, Some(expired(5))),
            (expired(5), 1_000_000, Some(expired(1_000_000))),
            // Only a clock that is set back makes it valid.
            (expired(5), 4, None),
            (early("nbf", 0), 0, Some(early("nbf", 0))),
            (early("nbf", 0), 94, Some(early("nbf", 94))),
            (early("nbf", 0), 95, None),
            (early("iat", 0), 94, Some(early("iat", 94))),
            (early("iat", 0), 1_000_000, None),
            (early("iat", 0), -1_000_000, Some(early("iat", -1_000_000))),
            (invalid(), 1_000_000, Some(invalid())),
        ];
        for (error, secs, want) in cases {
            let mut cache = Cache::new(7);
            cache.keep_failure(b"token", &a_failure(error.clone()));
            assert_eq!(bad(&cache, b"token", secs), want, "{error} after {secs} s");
        }
        let extreme = [
            Error::Expired { exp: i64::MAX, now: 0, skew: i64::MAX },
            Error::Expired { exp: i64::MIN, now: 0, skew: 0 },
            Error::NotYetValid { claim: "nbf", from: i64::MIN, now: 0, skew: i64::MAX },
            Error::NotYetValid { claim: "nbf", from: i64::MAX, now: 0, skew: 0 },
        ];
        let held = extreme.map(|error| still(&error, date(0)).is_some());
        assert_eq!(held, [false, true, false, true]);
    }

    #[test]
    fn clearing_forgets_everything() {
        let (mut cache, verified) = (Cache::new(7), a_token());
        cache.keep(b"good", &verified);
        cache.keep_failure(b"bad", &a_failure(Error::SignatureInvalid));
        assert_eq!(format!("{cache:?}"), "Cache { good: 1, bad: 1 }");
        cache.clear();
        assert!(cache.get(b"good", at(0)).is_none() && cache.get(b"bad", at(0)).is_none());
        assert_eq!((cache.good.weight(), cache.bad.weight()), (0, 0));
        cache.keep(b"good", &verified);
        assert!(is_good(&cache, b"good", &verified));
    }

    #[test]
    fn weighs_what_claims_take() {
        let text = "x".repeat(1000);
        let least = size_of::<(String, Value)>();
        let cases = [
            (json!({}), 0),
            (json!({"a": 1}), least),
            (json!({"a": text}), 1000 + least),
            (json!({text.clone(): null}), 1000 + least),
            (json!({"a": [text, text]}), 2000 + least + 2 * size_of::<Value>()),
            (json!({"a": {"b": {"c": text}}}), 1000 + 3 * least),
            (json!({"a": vec![0; 1000]}), 1000 * size_of::<Value>() + least),
        ];
        for (claims, least) in cases {
            let weight = weigh(claims.as_object().unwrap());
            assert!(weight >= least && weight <= 4 * least + 2000, "{weight}, {least}: {claims}");
        }
        let token = verified(&keyring(None), &token(&json!({"text": text, "iat": NOW})));
        assert!(token.weight() > 2 * 1000, "claims, and headers made of them");
    }
}
