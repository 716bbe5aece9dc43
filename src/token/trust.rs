//! What may change while a policy stays: the keys that are fetched, and what was found out of tokens
//! by them.

use super::cache::{Cache, Known};
use super::keyring::{Keyring, RemoteId};
use super::remote::{Fetched, Learnt};
use super::signature::SignatureBackend;
use super::verify::{self, Failure};
use super::{Error, Issuer, IssuerId, VerifiedToken};
use crate::time::Timestamp;
use std::rc::Rc;

/// See the module.
#[derive(Debug)]
pub struct Trust {
    keyring: Keyring,
    cache: Option<Cache>,
}

impl Trust {
    /// Trusts these keys, and remembers no token.
    pub fn new(keyring: Keyring) -> Self {
        Self { keyring, cache: None }
    }

    /// Remembers tokens from now on; see [`Cache::new`].
    pub fn remember(&mut self, seed: u64) {
        self.cache = Some(Cache::new(seed));
    }

    /// The keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Verifies a token, as [`verify::verify`] does, or remembers that it did. The times are checked
    /// in either case.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify(
        &mut self,
        token: &[u8],
        issuers: &[Issuer],
        accepted: impl Fn(IssuerId) -> bool,
        limit: usize,
        now: Timestamp,
    ) -> Result<Rc<VerifiedToken>, Failure> {
        if let Some(cache) = &mut self.cache
            && let Some(known) = cache.get(token, now)
        {
            return recall(cache, token, known, issuers, accepted, now);
        }
        let verified = verify::verify(token, issuers, &self.keyring, accepted, limit, now);
        let verified = verified.map(Rc::new).map_err(|failure| self.seek(failure, now));
        if let Some(cache) = &mut self.cache {
            match &verified {
                Ok(verified) => cache.keep(token, verified),
                Err(failure) => cache.keep_failure(token, failure),
            }
        }
        verified
    }

    /// Has keys fetched that a token lacks.
    fn seek(&mut self, failure: Failure, now: Timestamp) -> Failure {
        let awaits_keys = match (&failure.error, failure.issuer) {
            (Error::KeysUnavailable, Some(_)) => true,
            // Its key may be a new one; a new one may also be of another kind than those before, or
            // have no `kid`.
            (
                Error::KeyUnknown | Error::AlgorithmNotAllowed | Error::SignatureInvalid,
                Some(issuer),
            ) if failure.kid.is_none() => self.keyring.want(issuer, now),
            _ => false,
        };
        Failure { awaits_keys, ..failure }
    }

    /// A fetch of keys has begun.
    pub fn sent(&mut self, id: RemoteId, now: Timestamp) {
        self.keyring.sent(id, now);
    }

    /// A fetch of keys has ended; see [`Keyring::received`].
    ///
    /// # Errors
    /// Why its answer is of no use.
    pub fn received(
        &mut self,
        id: RemoteId,
        answer: Result<Fetched<'_>, String>,
        backend: &dyn SignatureBackend,
        now: Timestamp,
        spread: f64,
    ) -> Result<Learnt, String> {
        let learnt = self.keyring.received(id, answer, backend, now, spread)?;
        if learnt.changed {
            self.forget();
        }
        Ok(learnt)
    }

    /// Lets keys go that are too old. The issuers that lost some.
    pub fn expire(&mut self, now: Timestamp) -> Vec<IssuerId> {
        let lost = self.keyring.expire(now);
        if !lost.is_empty() {
            self.forget();
        }
        lost
    }

    fn forget(&mut self) {
        if let Some(cache) = &mut self.cache {
            cache.clear();
        }
    }
}

/// What a token that is known comes to now.
fn recall(
    cache: &mut Cache,
    token: &[u8],
    known: Known,
    issuers: &[Issuer],
    accepted: impl Fn(IssuerId) -> bool,
    now: Timestamp,
) -> Result<Rc<VerifiedToken>, Failure> {
    let id = match &known {
        Known::Good(verified) => Some(verified.issuer()),
        Known::Bad(failure) => failure.issuer,
    };
    // Another route may have taken the token from another place.
    let issuer = id.filter(|id| accepted(*id)).and_then(|id| issuers.get(id.0));
    let issuer = issuer.ok_or(Error::IssuerUnknown)?;
    match known {
        Known::Bad(failure) => Err(failure),
        Known::Good(verified) => match verified.times().check(issuer, now.as_millis()) {
            Ok(()) => Ok(verified),
            Err(error) => {
                let kid = verified.kid().map(str::to_owned);
                let failure = Failure { error, issuer: id, kid, awaits_keys: false };
                cache.keep_failure(token, &failure);
                Err(failure)
            }
        },
    }
}
