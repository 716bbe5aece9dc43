//! From bytes to a [`VerifiedToken`].
//!
//! The order is that of RFC 8725: limits, shape, header, key, signature, and only then are the
//! claims believed. [`verify::verify`] is the one function that makes a [`VerifiedToken`]; policy
//! and identity accept nothing else.

pub mod asn1;
pub mod cache;
pub mod claims;
pub mod compact;
pub mod cookie;
pub mod extract;
pub mod failure;
pub mod fetching;
pub mod key;
pub mod keyring;
pub mod kids;
pub mod remote;
pub mod renewal;
pub mod revocation;
#[cfg(test)]
mod samples;
pub mod signature;
pub mod trust;
pub mod verify;

pub use claims::ClaimPath;
pub use key::{Key, KeySet};
pub use signature::Algorithm;
pub use trust::Trust;
pub use verify::VerifiedToken;

use std::fmt;

/// The place of an issuer in the configuration's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuerId(pub usize);

/// Who may sign, and what its tokens must say.
#[derive(Debug)]
pub struct Issuer {
    /// The operator's name for it.
    pub name: Box<str>,
    /// The exact `iss` (RFC 7519 section 4.1.1).
    pub iss: Box<str>,
    /// The accepted `aud` values; `None` accepts every one.
    pub audiences: Option<Vec<Box<str>>>,
    /// Where its tokens are carried.
    pub sources: Vec<extract::Source>,
    /// Whether the token stays on the upstream request.
    pub forward_token: bool,
    /// Tolerance for `exp`, `nbf` and `iat`, in milliseconds.
    pub clock_skew_ms: i64,
    /// The longest accepted `exp - iat`, in milliseconds.
    pub max_lifetime_ms: Option<i64>,
    /// The required `typ`, in lower case and without `application/`.
    pub typ: Option<Box<str>>,
    /// Claims that must be there and not be null.
    pub require_claims: Vec<ClaimPath>,
    /// Whether a token without `exp` is accepted.
    pub allow_no_expiry: bool,
    /// The claim that names the subject.
    pub subject: ClaimPath,
    /// Whether its tokens are renewed, so that an expired one is not the end.
    pub renews: bool,
}

/// Why a token is refused, with the evidence.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// No token where one is required.
    Missing,
    /// Two different tokens, or a repeated `Authorization`.
    Ambiguous(&'static str),
    /// Not a compact JWS of a JSON object; says what is wrong.
    Malformed(&'static str),
    /// Longer than the limit, both in bytes.
    TooLarge {
        /// Length of the token.
        length: usize,
        /// The configured limit.
        limit: usize,
    },
    /// The header demands an extension (`crit`, `b64`).
    CriticalHeader,
    /// The algorithm is none that the key, or the issuer, admits.
    AlgorithmNotAllowed,
    /// `iss` names no issuer that this route accepts.
    IssuerUnknown,
    /// No key of the issuer has the token's `kid`, or none fits.
    KeyUnknown,
    /// Keys of the issuer that might have made the signature are not fetched yet, or too old.
    KeysUnavailable,
    /// No candidate key made this signature.
    SignatureInvalid,
    /// It was taken back.
    Revoked,
    /// Whether it was taken back cannot be told: the list is not fetched yet, or too old.
    RevocationUnavailable,
    /// Past `exp`; all in milliseconds.
    Expired {
        /// The token's `exp`.
        exp: i64,
        /// The time of the request.
        now: i64,
        /// The tolerance.
        skew: i64,
    },
    /// Before `nbf` or `iat`; all in milliseconds.
    NotYetValid {
        /// Which of the two claims.
        claim: &'static str,
        /// Its value.
        from: i64,
        /// The time of the request.
        now: i64,
        /// The tolerance.
        skew: i64,
    },
    /// `exp - iat` is more than `max_lifetime`; both in milliseconds.
    LifetimeTooLong {
        /// The token's.
        lifetime: i64,
        /// The configured limit.
        limit: i64,
    },
    /// No `aud` is an accepted one.
    AudienceMismatch,
    /// `typ` is not the required one.
    TypeMismatch,
    /// A required claim is not there.
    ClaimMissing(Box<str>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no token"),
            Self::Ambiguous(what) => f.write_str(what),
            Self::Malformed(what) => f.write_str(what),
            Self::TooLarge { length, limit } => {
                write!(f, "token of {length} bytes, the limit is {limit}")
            }
            Self::CriticalHeader => f.write_str("header demands an extension"),
            Self::AlgorithmNotAllowed => f.write_str("algorithm is not one of the key's"),
            Self::IssuerUnknown => f.write_str("`iss` is no issuer of this route"),
            Self::KeyUnknown => f.write_str("no key has this `kid`"),
            Self::Revoked => f.write_str("the token was taken back"),
            Self::RevocationUnavailable => {
                f.write_str("the revocation list is not fetched, or too old")
            }
            Self::KeysUnavailable => f.write_str("keys of the issuer are not fetched, or too old"),
            Self::SignatureInvalid => f.write_str("signature does not verify"),
            Self::Expired { exp, now, skew } => {
                write!(
                    f,
                    "expired {} s ago, skew {} s",
                    now.saturating_sub(*exp) / 1000,
                    skew / 1000
                )
            }
            Self::NotYetValid { claim, from, now, skew } => {
                let ahead = from.saturating_sub(*now) / 1000;
                write!(f, "`{claim}` is {ahead} s ahead, skew {} s", skew / 1000)
            }
            Self::LifetimeTooLong { lifetime, limit } => {
                write!(f, "lifetime of {} s, the limit is {} s", lifetime / 1000, limit / 1000)
            }
            Self::AudienceMismatch => f.write_str("`aud` holds no accepted audience"),
            Self::TypeMismatch => f.write_str("`typ` is not the required one"),
            Self::ClaimMissing(claim) => write!(f, "claim `{claim}` is missing"),
        }
    }
}

impl std::error::Error for Error {}
