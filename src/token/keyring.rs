//! The keys of every issuer: its own, which the configuration holds, and those that are fetched.

use super::compact::Headers;
use super::fetching::{Fetched, Source};
use super::kids::{KidTag, Kids};
use super::remote::{Learnt, Published, Remote};
use super::{IssuerId, Key, KeySet};
use crate::time::Timestamp;
use crate::token::signature::SignatureBackend;
use std::rc::Rc;

/// The place of a remote key set: its issuer, and its place among that issuer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteId {
    /// Whose keys.
    pub issuer: IssuerId,
    index: usize,
}

/// The keys of one issuer.
#[derive(Debug, Default)]
struct Ring {
    own: Vec<Rc<Key>>,
    remotes: Vec<Remote>,
    /// All of them together: what tokens are tried with.
    set: KeySet,
    /// How metrics name them.
    kids: Kids,
}

impl Ring {
    fn join(&mut self) {
        let fetched = self.remotes.iter().flat_map(Remote::keys);
        self.set = KeySet::new(self.own.iter().chain(fetched).cloned().collect());
        self.kids.extend(self.set.iter().filter_map(Key::kid));
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Keyring {
    /// By [`IssuerId`].
    rings: Vec<Ring>,
    /// How tokens name these keys.
    headers: Headers,
}

impl Keyring {
    /// Adds the keys of the next issuer.
    pub fn push(&mut self, own: Vec<Rc<Key>>, published: Vec<Published>) {
        let remotes = published.into_iter().map(Remote::new).collect();
        let mut ring = Ring { own, remotes, ..Ring::default() };
        ring.join();
        self.rings.push(ring);
    }

    /// The headers of tokens that verified.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The keys that tokens of this issuer are tried with.
    pub fn set(&self, issuer: IssuerId) -> Option<&KeySet> {
        self.rings.get(issuer.0).map(|ring| &ring.set)
    }

    /// How metrics name the key of an issuer's that has this id.
    pub fn tag(&self, issuer: IssuerId, kid: Option<&str>) -> KidTag {
        self.rings.get(issuer.0).map_or(KidTag::None, |ring| ring.kids.tag(kid))
    }

    /// The id that is named so.
    pub fn kid(&self, issuer: IssuerId, tag: KidTag) -> Option<&str> {
        self.rings.get(issuer.0)?.kids.name(tag)
    }

    /// When the fetched keys of this issuer were last confirmed, in milliseconds; of several sets
    /// the one for which that is longest ago, without those that never came.
    pub fn confirmed(&self, issuer: IssuerId) -> Option<i64> {
        self.rings
            .get(issuer.0)?
            .remotes
            .iter()
            .filter_map(|remote| remote.schedule().confirmed())
            .min()
    }

    /// Whether keys of this issuer are missing that were to be fetched: none came yet, or the last
    /// are too old.
    pub fn lacks(&self, issuer: IssuerId) -> bool {
        self.rings.get(issuer.0).is_some_and(|ring| ring.remotes.iter().any(Remote::is_empty))
    }

    /// A token of this issuer names a key that is not there. Whether its keys are being fetched for
    /// that reason, so that a later try may find it.
    pub fn want(&mut self, issuer: IssuerId, now: Timestamp) -> bool {
        let Some(ring) = self.rings.get_mut(issuer.0) else { return false };
        // Every one is asked for, and not only the first.
        ring.remotes.iter_mut().fold(false, |any, remote| remote.schedule_mut().want(now) | any)
    }

    /// The key sets that are to be fetched now.
    pub fn due(&self, now: Timestamp) -> Vec<RemoteId> {
        self.remotes()
            .filter(|(_, remote)| remote.schedule().is_due(now))
            .map(|(id, _)| id)
            .collect()
    }

    /// Whether a fetch is due or under way that requests may wait for.
    pub fn is_urgent(&self) -> bool {
        self.remotes().any(|(_, remote)| remote.is_urgent())
    }

    /// Whether any keys are fetched.
    pub fn has_remotes(&self) -> bool {
        self.remotes().next().is_some()
    }

    /// Where a key set is fetched from.
    pub fn source(&self, id: RemoteId) -> Option<&Source> {
        self.remote(id).map(|remote| remote.schedule().source())
    }

    /// A fetch has begun.
    pub fn sent(&mut self, id: RemoteId, now: Timestamp) {
        if let Some(remote) = self.remote_mut(id) {
            remote.schedule_mut().sent(now);
        }
    }

    /// A fetch has ended. `spread` in [0, 1) is drawn by the caller, so that many workers do not
    /// fetch at once.
    ///
    /// # Errors
    /// Why its answer is of no use; the keys that were there stay.
    pub fn received(
        &mut self,
        id: RemoteId,
        answer: Result<Fetched<'_>, String>,
        backend: &dyn SignatureBackend,
        now: Timestamp,
        spread: f64,
    ) -> Result<Learnt, String> {
        let Some(remote) = self.remote_mut(id) else { return Ok(Learnt::default()) };
        let learnt = remote.received(answer, backend, now, spread)?;
        if learnt.changed {
            self.join(id.issuer);
        }
        Ok(learnt)
    }

    /// Lets keys go that are too old. The issuers that lost some.
    pub fn expire(&mut self, now: Timestamp) -> Vec<IssuerId> {
        let mut lost = Vec::new();
        for (index, ring) in self.rings.iter_mut().enumerate() {
            // Every one is looked at, and not only up to the first.
            if ring.remotes.iter_mut().fold(false, |any, remote| remote.expire(now) | any) {
                lost.push(IssuerId(index));
            }
        }
        lost.iter().for_each(|issuer| self.join(*issuer));
        lost
    }

    fn join(&mut self, issuer: IssuerId) {
        if let Some(ring) = self.rings.get_mut(issuer.0) {
            ring.join();
        }
    }

    fn remotes(&self) -> impl Iterator<Item = (RemoteId, &Remote)> {
        self.rings.iter().enumerate().flat_map(|(issuer, ring)| {
            let id = move |index| RemoteId { issuer: IssuerId(issuer), index };
            ring.remotes.iter().enumerate().map(move |(index, remote)| (id(index), remote))
        })
    }

    fn remote(&self, id: RemoteId) -> Option<&Remote> {
        self.rings.get(id.issuer.0)?.remotes.get(id.index)
    }

    fn remote_mut(&mut self, id: RemoteId) -> Option<&mut Remote> {
        self.rings.get_mut(id.issuer.0)?.remotes.get_mut(id.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::samples::{at, endpoint, fetched, jwk, published, secret, source};
    use crate::token::signature::Portable;
    use serde_json::{Value, json};

    const A: IssuerId = IssuerId(0);
    const B: IssuerId = IssuerId(1);
    const NOBODY: IssuerId = IssuerId(2);

    const fn id(issuer: IssuerId, index: usize) -> RemoteId {
        RemoteId { issuer, index }
    }

    /// `a` has a key of its own and two sets, `b` one set.
    fn keyring() -> Keyring {
        let from = |path: &str, max_stale| {
            published(Source { endpoint: endpoint(path), max_stale, ..source() })
        };
        let mut keyring = Keyring::default();
        let sources = vec![from("/1", 3_600_000), from("/2", 7_200_000)];
        keyring.push(vec![secret(Some("own"))], sources);
        keyring.push(Vec::new(), vec![from("/3", 3_600_000)]);
        keyring
    }

    fn receive(keyring: &mut Keyring, id: RemoteId, keys: &[Value], secs: i64) -> bool {
        let body = json!({"keys": keys}).to_string();
        keyring.received(id, Ok(fetched(&body)), &Portable, at(secs), 0.0).unwrap().changed
    }

    fn kids(keyring: &Keyring, issuer: IssuerId) -> Vec<String> {
        let keys = keyring.set(issuer).unwrap().iter();
        keys.map(|key| key.kid().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn joins_own_keys_and_those_of_every_set() {
        let mut keyring = keyring();
        assert!(keyring.has_remotes() && keyring.is_urgent());
        assert_eq!(keyring.due(at(0)), [id(A, 0), id(A, 1), id(B, 0)]);
        assert_eq!((kids(&keyring, A), kids(&keyring, B)), (vec!["own".to_owned()], Vec::new()));
        let both = [jwk(1, Some("1")), jwk(2, Some("2"))];
        let (one, two) = both.split_at(1);
        // The set, keys, whether that changes any, the keys of `a`, and of `b`, who lacks some.
        type Case<'a> = (RemoteId, &'a [Value], bool, &'a [&'a str], &'a [&'a str], [bool; 2]);
        let cases: [Case<'_>; 6] = [
            (id(A, 1), one, true, &["own", "1"], &[], [true, true]),
            (id(A, 0), two, true, &["own", "2", "1"], &[], [false, true]),
            (id(A, 0), two, false, &["own", "2", "1"], &[], [false, true]),
            (id(B, 0), &both, true, &["own", "2", "1"], &["1", "2"], [false; 2]),
            (id(A, 0), one, true, &["own", "1", "1"], &["1", "2"], [false; 2]),
            (id(B, 9), one, false, &["own", "1", "1"], &["1", "2"], [false; 2]),
        ];
        for (step, (id, keys, changed, a, b, lacks)) in cases.into_iter().enumerate() {
            keyring.sent(id, at(0));
            assert_eq!(receive(&mut keyring, id, keys, 0), changed, "step {step}");
            assert_eq!(kids(&keyring, A), a, "step {step}");
            assert_eq!(kids(&keyring, B), b, "step {step}");
            assert_eq!([keyring.lacks(A), keyring.lacks(B)], lacks, "step {step}");
        }
        assert!(!keyring.is_urgent());
        assert_eq!(keyring.due(at(299)), []);
        keyring.sent(id(A, 1), at(300));
        assert_eq!(keyring.due(at(300)), [id(A, 0), id(B, 0)]);
        let why = keyring.received(id(A, 1), Err("reset".into()), &Portable, at(300), 0.0);
        assert_eq!(why.unwrap_err(), "reset");
        assert_eq!(kids(&keyring, A), ["own", "1", "1"]);
    }

    #[test]
    fn only_what_was_fetched_grows_old() {
        let mut keyring = keyring();
        for remote in [id(A, 0), id(A, 1), id(B, 0)] {
            receive(&mut keyring, remote, &[jwk(1, Some("1"))], 0);
        }
        assert_eq!(keyring.expire(at(3600)), []);
        assert_eq!(keyring.expire(at(3601)), [A, B]);
        assert_eq!(
            (kids(&keyring, A).join(" "), kids(&keyring, B).join(" ")),
            ("own 1".into(), "".into())
        );
        assert!(keyring.lacks(A) && keyring.lacks(B));
        assert_eq!(keyring.expire(at(7201)), [A]);
        assert_eq!(kids(&keyring, A), ["own"]);
        assert_eq!(keyring.expire(at(1_000_000)), []);
    }

    #[test]
    fn every_set_of_the_issuer_is_asked_for() {
        let mut keyring = keyring();
        for remote in [id(A, 0), id(A, 1), id(B, 0)] {
            receive(&mut keyring, remote, &[jwk(1, None)], 0);
        }
        assert_eq!(keyring.due(at(1)), []);
        assert!(keyring.want(A, at(1)) && keyring.is_urgent());
        assert_eq!(keyring.due(at(1)), [id(A, 0), id(A, 1)]);
        // One answer is there: the other may still bring the key.
        receive(&mut keyring, id(A, 0), &[jwk(1, None)], 2);
        assert!(keyring.want(A, at(2)) && keyring.is_urgent());
        receive(&mut keyring, id(A, 1), &[jwk(1, None)], 3);
        assert!(!keyring.want(A, at(3)) && !keyring.is_urgent());
        assert!(keyring.want(B, at(3)));
    }

    #[test]
    fn who_is_not_there_has_nothing() {
        let mut keyring = keyring();
        assert!(keyring.set(NOBODY).is_none() && !keyring.lacks(NOBODY));
        assert!(!keyring.want(NOBODY, at(0)));
        assert!(keyring.source(id(NOBODY, 0)).is_none() && keyring.source(id(A, 2)).is_none());
        assert_eq!(keyring.source(id(A, 1)).map(|source| &*source.endpoint.path), Some("/2"));
        keyring.sent(id(NOBODY, 0), at(0));
        assert!(!receive(&mut keyring, id(NOBODY, 0), &[], 0));
        let mut own = Keyring::default();
        own.push(vec![secret(None)], Vec::new());
        assert!(!own.has_remotes() && !own.is_urgent() && !own.lacks(A) && !own.want(A, at(0)));
        assert_eq!((own.due(at(0)).len(), own.expire(at(0)).len()), (0, 0));
    }
}
