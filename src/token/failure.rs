//! Tokens that are refused.

use super::kids::KidTag;
use super::revocation::Revocations;
use super::{Error, Issuer, IssuerId, VerifiedToken};
use crate::time::Timestamp;
use std::rc::Rc;

/// A token that was refused, with what can be said of it. Nothing of it is verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// The issuer that it claims to be of.
    pub issuer: Option<IssuerId>,
    /// The `kid` that it names, where a key of that issuer has it.
    pub kid: Option<String>,
    /// How metrics name that key.
    pub tag: KidTag,
    /// Whether something is being fetched that may let it verify.
    pub awaits_fetch: bool,
    /// What it was, where it is of an issuer whose tokens are renewed and only expired.
    pub lapsed: Option<Lapsed>,
}

/// A token that passed every check, and expired since. It opens nothing.
#[derive(Clone, Debug)]
pub struct Lapsed(Rc<VerifiedToken>);

/// The same one.
impl PartialEq for Lapsed {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Lapsed {
    pub(super) fn new(token: Rc<VerifiedToken>, issuer: &Issuer, error: &Error) -> Option<Self> {
        let Error::Expired { exp, .. } = error else { return None };
        // Nothing else was wrong with it while it was valid.
        let held = token.times().check(issuer, exp.saturating_sub(1)).is_ok();
        (issuer.renews && held).then_some(Self(token))
    }

    /// Who signed it.
    pub fn issuer(&self) -> IssuerId {
        self.0.issuer()
    }

    /// The issuer's `subject` attribute, where it is a string.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject()
    }

    /// When it expired, in milliseconds.
    pub fn exp(&self) -> Option<i64> {
        self.0.times().exp
    }

    /// The token, where it was valid at that moment.
    pub fn held(&self, issuer: &Issuer, at: Timestamp) -> Option<Rc<VerifiedToken>> {
        let held = self.0.times().check(issuer, at.as_millis()).is_ok();
        held.then(|| Rc::clone(&self.0))
    }

    /// Whether it was taken back.
    ///
    /// # Errors
    /// As [`Revocations::check`].
    pub fn check(&self, lists: &Revocations, now: Timestamp) -> Result<(), Error> {
        lists.check(&self.0, now)
    }

    /// What it takes in memory, in bytes.
    pub fn weight(&self) -> usize {
        self.0.weight()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            issuer: None,
            kid: None,
            tag: KidTag::None,
            awaits_fetch: false,
            lapsed: None,
        }
    }
}

impl Failure {
    /// Whether a signature was checked to find it out, which was dear, and keys and token alone say
    /// that it fails.
    pub fn took_a_signature(&self) -> bool {
        let after = match self.error {
            Error::SignatureInvalid | Error::Expired { .. } | Error::NotYetValid { .. } => true,
            Error::Malformed(_) | Error::LifetimeTooLong { .. } | Error::ClaimMissing(_) => true,
            Error::AudienceMismatch | Error::TypeMismatch => true,
            // Found out before any signature is checked, or the request's or the keys' affair.
            Error::Missing | Error::Ambiguous(_) | Error::TooLarge { .. } => false,
            Error::CriticalHeader | Error::AlgorithmNotAllowed | Error::IssuerUnknown => false,
            Error::KeyUnknown | Error::KeysUnavailable => false,
            // Lists change while the token stays.
            Error::Revoked | Error::RevocationUnavailable => false,
        };
        // A malformed token without an issuer never came to a signature.
        after && self.issuer.is_some()
    }

    /// Whether it is the token that is at fault, and not what it is judged by.
    pub fn is_of_the_token(&self) -> bool {
        !matches!(
            self.error,
            Error::Missing | Error::KeysUnavailable | Error::RevocationUnavailable
        )
    }
}
