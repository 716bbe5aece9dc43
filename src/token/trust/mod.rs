//! What may change while a policy stays: the keys and the lists of revoked tokens that are fetched, and what was found
//! out of tokens by them.

mod fetches;

pub use fetches::{Expired, FetchId, News};

use super::cache::{Cache, Known};
use super::failure::{Failure, Lapsed};
use super::keyring::Keyring;
use super::revocation::Revocations;
use super::verify;
use super::{Error, Issuer, IssuerId, VerifiedToken};
use crate::time::Timestamp;
use std::rc::Rc;

/// See the module.
#[derive(Debug)]
pub struct Trust {
    keyring: Keyring,
    /// By [`IssuerId`]; `None` where nothing of an issuer's is ever taken back.
    revocations: Vec<Option<Revocations>>,
    cache: Option<Cache>,
    recall: Recall,
}

/// How a token was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recall {
    /// It is remembered that it verified.
    Known,
    /// It is remembered that it did not.
    KnownBad,
    /// Its signature was checked.
    Checked,
    /// It was refused before any signature was checked.
    Unchecked,
}

impl Recall {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Known => "hit",
            Self::KnownBad => "refused_hit",
            Self::Checked => "miss",
            Self::Unchecked => "unchecked",
        }
    }
}

impl Trust {
    /// Trusts these keys, but for what was revoked, and remembers no token.
    pub fn new(keyring: Keyring, revocations: Vec<Option<Revocations>>) -> Self {
        Self { keyring, revocations, cache: None, recall: Recall::Unchecked }
    }

    /// Remembers tokens from now on; see [`Cache::new`].
    pub fn remember(&mut self, seed: u64) {
        self.cache = Some(Cache::new(seed));
    }

    /// The keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// What was taken back of an issuer's tokens.
    pub fn revocations(&self, issuer: IssuerId) -> Option<&Revocations> {
        self.revocations.get(issuer.0)?.as_ref()
    }

    /// Whether a token that expired was taken back too.
    ///
    /// # Errors
    /// As [`Revocations::check`].
    pub fn check_lapsed(&self, token: &Lapsed, now: Timestamp) -> Result<(), Error> {
        self.revocations(token.issuer()).map_or(Ok(()), |lists| token.check(lists, now))
    }

    /// Whether it is remembered that a token verified.
    pub fn knows(&mut self, token: &[u8], now: Timestamp) -> bool {
        let known = self.cache.as_mut().and_then(|cache| cache.get(token, now));
        matches!(known, Some(Known::Good(_)))
    }

    /// How the last token was judged that was handed to [`Self::verify`].
    pub fn last_recall(&self) -> Recall {
        self.recall
    }

    /// Verifies a token, as [`verify::verify`] does, or remembers that it did. Its times, and whether it was taken back,
    /// are checked in either case.
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
        let verified = self.recall_or_verify(token, issuers, accepted, limit, now)?;
        match self.revocations(verified.issuer()).map(|lists| lists.check(&verified, now)) {
            None | Some(Ok(())) => Ok(verified),
            Some(Err(error)) => Err(self.seek(failure(&verified, error), now)),
        }
    }

    fn recall_or_verify(
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
            self.recall = match known {
                Known::Good(_) => Recall::Known,
                Known::Bad(_) => Recall::KnownBad,
            };
            let recalled = recall(cache, token, known, issuers, accepted, now);
            // The fetch that it awaited may be over, or one may be asked for anew.
            return recalled.map_err(|failure| self.seek(failure, now));
        }
        let verified = verify::verify(token, issuers, &self.keyring, accepted, limit, now);
        let took = verified.as_ref().map_or_else(Failure::took_a_signature, |_| true);
        self.recall = if took { Recall::Checked } else { Recall::Unchecked };
        let verified = verified.map(Rc::new).map_err(|failure| self.seek(failure, now));
        if let Some(cache) = &mut self.cache {
            match &verified {
                Ok(verified) => cache.keep(token, verified),
                Err(failure) => cache.keep_failure(token, failure),
            }
        }
        verified
    }

    /// Has fetched what a token lacks.
    fn seek(&mut self, failure: Failure, now: Timestamp) -> Failure {
        let awaits_fetch = match (&failure.error, failure.issuer) {
            (Error::KeysUnavailable, Some(_)) => true,
            (Error::RevocationUnavailable, Some(issuer)) => {
                self.revocations(issuer).is_some_and(Revocations::is_urgent)
            }
            // Its key may be a new one; a new one may also be of another kind than those before, or
            // have no `kid`.
            (
                Error::KeyUnknown | Error::AlgorithmNotAllowed | Error::SignatureInvalid,
                Some(issuer),
            ) if failure.kid.is_none() => self.keyring.want(issuer, now),
            _ => false,
        };
        Failure { awaits_fetch, ..failure }
    }

    fn forget(&mut self) {
        if let Some(cache) = &mut self.cache {
            cache.clear();
        }
    }
}

/// That a token which verified is refused all the same.
fn failure(verified: &VerifiedToken, error: Error) -> Failure {
    let kid = verified.kid().map(str::to_owned);
    let (issuer, tag) = (Some(verified.issuer()), verified.tag());
    Failure { error, issuer, kid, tag, awaits_fetch: false, lapsed: None }
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
                let failure = failure(&verified, error);
                let lapsed = Lapsed::new(verified, issuer, &failure.error);
                let failure = Failure { lapsed, ..failure };
                cache.keep_failure(token, &failure);
                Err(failure)
            }
        },
    }
}

#[cfg(test)]
mod tests;
