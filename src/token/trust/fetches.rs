//! What is fetched for [`Trust`]: key sets, and the lists of revoked tokens.

use super::Trust;
use crate::time::Timestamp;
use crate::token::IssuerId;
use crate::token::fetching::{Fetched, Schedule, Source};
use crate::token::keyring::RemoteId;
use crate::token::remote::Learnt;
use crate::token::revocation::{Listed, Revocations};
use crate::token::signature::SignatureBackend;

/// What is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchId {
    /// A key set.
    Keys(RemoteId),
    /// The list of an issuer's revoked tokens.
    Revocations(IssuerId),
}

impl FetchId {
    /// Whose.
    pub fn issuer(self) -> IssuerId {
        match self {
            Self::Keys(id) => id.issuer,
            Self::Revocations(issuer) => issuer,
        }
    }
}

/// What a fetch brought.
#[derive(Debug)]
pub enum News {
    /// Keys.
    Keys(Learnt),
    /// A list.
    Revocations(Listed),
}

/// What grew too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// Keys of this issuer, which are gone.
    Keys(IssuerId),
    /// The list of its revoked tokens.
    Revocations(IssuerId),
}

impl Trust {
    /// What is to be fetched now.
    pub fn due(&self, now: Timestamp) -> Vec<FetchId> {
        let keys = self.keyring.due(now).into_iter().map(FetchId::Keys);
        let lists = self.schedules().filter(|(_, schedule)| schedule.is_due(now));
        keys.chain(lists.map(|(issuer, _)| FetchId::Revocations(issuer))).collect()
    }

    /// Whether a fetch is due or under way that requests may wait for.
    pub fn is_urgent(&self) -> bool {
        self.keyring.is_urgent() || self.revocations.iter().flatten().any(Revocations::is_urgent)
    }

    /// Whether anything is fetched.
    pub fn has_remotes(&self) -> bool {
        self.keyring.has_remotes() || self.schedules().next().is_some()
    }

    /// Where something is fetched from.
    pub fn source(&self, id: FetchId) -> Option<&Source> {
        match id {
            FetchId::Keys(id) => self.keyring.source(id),
            FetchId::Revocations(issuer) => {
                self.revocations(issuer)?.schedule().map(Schedule::source)
            }
        }
    }

    /// A fetch has begun.
    pub fn sent(&mut self, id: FetchId, now: Timestamp) {
        match id {
            FetchId::Keys(id) => self.keyring.sent(id, now),
            FetchId::Revocations(issuer) => {
                if let Some(Some(lists)) = self.revocations.get_mut(issuer.0) {
                    lists.sent(now);
                }
            }
        }
    }

    /// A fetch has ended. `spread` in [0, 1) is drawn by the caller, so that many workers do not
    /// fetch at once.
    ///
    /// # Errors
    /// Why its answer is of no use; what was there stays.
    pub fn received(
        &mut self,
        id: FetchId,
        answer: Result<Fetched<'_>, String>,
        backend: &dyn SignatureBackend,
        now: Timestamp,
        spread: f64,
    ) -> Result<News, String> {
        match id {
            FetchId::Keys(id) => {
                let learnt = self.keyring.received(id, answer, backend, now, spread)?;
                if learnt.changed {
                    self.forget();
                }
                Ok(News::Keys(learnt))
            }
            FetchId::Revocations(issuer) => {
                let lists = self.revocations.get_mut(issuer.0).and_then(Option::as_mut);
                let lists = lists.ok_or("nothing of this issuer's is ever taken back")?;
                lists.received(answer, now, spread).map(News::Revocations)
            }
        }
    }

    /// Lets keys go that are too old, and tells once of a list that is.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Expired> {
        let lost = self.keyring.expire(now);
        if !lost.is_empty() {
            self.forget();
        }
        let stale = self.revocations.iter_mut().enumerate().filter_map(|(issuer, lists)| {
            lists.as_mut()?.turns_stale(now).then_some(Expired::Revocations(IssuerId(issuer)))
        });
        lost.into_iter().map(Expired::Keys).chain(stale).collect()
    }

    fn schedules(&self) -> impl Iterator<Item = (IssuerId, &Schedule)> {
        self.revocations
            .iter()
            .enumerate()
            .filter_map(|(issuer, lists)| Some((IssuerId(issuer), lists.as_ref()?.schedule()?)))
    }
}
