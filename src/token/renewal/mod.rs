//! Renewal of browser sessions (RFC 6749 section 6): a token from a cookie that is about to expire, or did so lately, is exchanged
//! for a new one by the refresh token in its own cookie.
//!
//! Providers rotate refresh tokens, and revoke all of a session whose old one comes twice. So there is one call for each in the
//! whole process: what became of it is on a [`Shelf`] that all workers share, sealed by the refresh token itself, so that who does
//! not have that learns nothing.

mod exchange;
mod record;
mod seal;
#[cfg(test)]
mod tests;

pub use exchange::{Answer, Candidate, MAX_BYTES};
pub use record::{Settled, Standing};

use super::cookie::Attributes;
use super::fetching::Endpoint;
use super::{IssuerId, VerifiedToken};
use crate::shelf::Shelf;
use crate::time::Timestamp;
use record::Record;
use seal::Keys;
use std::fmt;

/// What nobody is to see. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// How the client authenticates itself (RFC 6749 section 2.3.1).
#[derive(Clone, Debug)]
pub enum Auth {
    /// By HTTP Basic.
    Basic(Secret),
    /// In the body.
    Post(Secret),
    /// Not: a public client.
    None,
}

/// The client that sessions belong to.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its id.
    pub id: Box<str>,
    /// How it authenticates itself.
    pub auth: Auth,
}

/// What becomes of the cookies when the provider refuses the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRefused {
    /// They stay.
    Keep,
    /// The browser is told to forget them.
    Clear,
}

/// How sessions of an issuer's are renewed. Times are in milliseconds.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// The provider's token endpoint.
    pub endpoint: Endpoint,
    /// The client.
    pub client: Client,
    /// The cookie with the refresh token.
    pub refresh_cookie: Box<str>,
    /// A token is renewed when less than this is left of it.
    pub early: i64,
    /// And for so long after it expired.
    pub grace: i64,
    /// For how long the old cookies still get the new tokens.
    pub reuse: i64,
    /// What becomes of the cookies when the provider refuses.
    pub on_refused: OnRefused,
    /// How cookies are set.
    pub cookie: Attributes,
}

impl Renewal {
    /// Whether a token is to be renewed that is valid for so many milliseconds more, of a life of so many.
    pub fn is_early(&self, left: i64, life: Option<i64>) -> bool {
        // One that is short of its life from the start, as one without `iat` may be, would be renewed with every request.
        left < life.map_or(0, |life| self.early.min(life / 2))
    }
}

/// A session that is to be renewed.
#[derive(Clone)]
pub struct Due {
    /// Whose.
    pub issuer: IssuerId,
    /// Whom the token is about: the new one is to be about the same.
    pub subject: Box<str>,
    refresh: Secret,
    keys: Keys,
}

/// Shows no token.
impl fmt::Debug for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Due({})", self.issuer.0)
    }
}

impl Due {
    /// The refresh token.
    pub fn refresh(&self) -> &Secret {
        &self.refresh
    }

    /// Whether a new token is of this session.
    pub fn is_continued_by(&self, token: &VerifiedToken) -> bool {
        token.issuer() == self.issuer && token.subject() == Some(&*self.subject)
    }

    /// Whether another request is of the same session.
    pub fn is_same(&self, other: &Self) -> bool {
        self.keys.name() == other.keys.name()
    }
}

/// What the provider gave for a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// The new token.
    pub token: Secret,
    /// The new refresh token; none where the old one still serves.
    pub refresh: Option<Secret>,
}

/// All renewals of a policy.
#[derive(Debug)]
pub struct Renewals {
    /// By [`IssuerId`].
    by_issuer: Vec<Option<Renewal>>,
    record: Record,
}

impl Renewals {
    /// As these say, by [`IssuerId`]; recorded on a shelf of its own until [`Self::open`].
    pub fn new(by_issuer: Vec<Option<Renewal>>) -> Self {
        Self { by_issuer, record: Record::default() }
    }

    /// Records on this shelf from now on.
    pub fn open(&mut self, shelf: Box<dyn Shelf>) {
        self.record = Record::new(shelf);
    }

    /// Whether nothing is ever renewed.
    pub fn is_empty(&self) -> bool {
        self.by_issuer.iter().all(Option::is_none)
    }

    /// How an issuer's sessions are renewed.
    pub fn of(&self, issuer: IssuerId) -> Option<&Renewal> {
        self.by_issuer.get(issuer.0)?.as_ref()
    }

    /// Every one.
    pub fn iter(&self) -> impl Iterator<Item = &Renewal> {
        self.by_issuer.iter().flatten()
    }

    /// A session of an issuer's that is to be renewed, by its refresh token; `None` where nobody is named, or that can be none
    /// (RFC 6749 appendix A.17: visible characters and spaces).
    pub fn due(&self, issuer: IssuerId, subject: Option<&str>, refresh: String) -> Option<Due> {
        let (renewal, subject) = (self.of(issuer)?, subject?);
        if refresh.is_empty() || !refresh.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return None;
        }
        let keys = Keys::of(&refresh, renewal);
        Some(Due { issuer, subject: subject.into(), refresh: Secret(refresh), keys })
    }

    /// How it stands with a session.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub fn standing(&self, due: &Due, now: Timestamp) -> Result<Standing, &'static str> {
        self.record.standing(&due.keys, now)
    }

    /// Whether the caller is the one to ask the provider.
    ///
    /// # Errors
    /// Why nobody can be told of it.
    pub fn claim(&self, due: &Due, now: Timestamp) -> Result<bool, &'static str> {
        match self.of(due.issuer) {
            Some(renewal) => self.record.claim(&due.keys, renewal.endpoint.timeout, now),
            None => Ok(false),
        }
    }

    /// Records what became of it. `nonce` is random.
    ///
    /// # Errors
    /// Why nobody can be told of it.
    pub fn settle(
        &self,
        due: &Due,
        settled: &Settled,
        now: Timestamp,
        nonce: [u8; seal::NONCE],
    ) -> Result<(), &'static str> {
        match self.of(due.issuer) {
            Some(renewal) => self.record.settle(&due.keys, settled, renewal.reuse, now, nonce),
            None => Ok(()),
        }
    }

    /// The headers and the body that ask for it.
    pub fn request(&self, due: &Due) -> Option<(Vec<(&'static str, String)>, String)> {
        self.of(due.issuer).map(|renewal| exchange::request(&renewal.client, &due.refresh))
    }
}
