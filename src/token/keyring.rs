//! The keys of every issuer: its own, which the configuration holds, and those that are fetched.

use super::compact::Headers;
use super::remote::{Fetched, Learnt, Remote, Source};
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
    pub fn push(&mut self, own: Vec<Rc<Key>>, sources: Vec<Source>) {
        let set = KeySet::new(own.clone());
        let remotes = sources.into_iter().map(Remote::new).collect();
        self.rings.push(Ring { own, remotes, set });
    }

    /// The headers of tokens that verified.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The keys that tokens of this issuer are tried with.
    pub fn set(&self, issuer: IssuerId) -> Option<&KeySet> {
        self.rings.get(issuer.0).map(|ring| &ring.set)
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
        ring.remotes.iter_mut().fold(false, |any, remote| remote.want(now) | any)
    }

    /// The key sets that are to be fetched now.
    pub fn due(&self, now: Timestamp) -> Vec<RemoteId> {
        self.remotes().filter(|(_, remote)| remote.is_due(now)).map(|(id, _)| id).collect()
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
        self.remote(id).map(Remote::source)
    }

    /// A fetch has begun.
    pub fn sent(&mut self, id: RemoteId, now: Timestamp) {
        if let Some(remote) = self.remote_mut(id) {
            remote.sent(now);
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
            let fetched = ring.remotes.iter().flat_map(Remote::keys);
            ring.set = KeySet::new(ring.own.iter().chain(fetched).cloned().collect());
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
