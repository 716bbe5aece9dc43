//! The one function that makes a [`VerifiedToken`].

use super::claims::{self, ClaimPath, Claims, Registered};
use super::compact::{self, Compact};
use super::key::NoCandidate;
use super::signature::Algorithm;
use super::{Error, Issuer, IssuerId};
use crate::time::Timestamp;
use serde_json::Value;

/// Proof that a token passed every check of its issuer. Only [`verify`] makes one.
#[derive(Debug)]
pub struct VerifiedToken {
    issuer: IssuerId,
    claims: Claims,
    kid: Option<String>,
    subject: Option<String>,
}

impl VerifiedToken {
    /// Who signed it.
    pub fn issuer(&self) -> IssuerId {
        self.issuer
    }

    /// What it says.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The id of the key that verified it.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The issuer's `subject` attribute, where it is a string.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }
}

/// A token that was refused, with what can be said of it. Nothing of it is verified.
#[derive(Debug, PartialEq)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// The issuer that it claims to be of.
    pub issuer: Option<IssuerId>,
    /// The `kid` that it names, where a key of that issuer has it.
    pub kid: Option<String>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, issuer: None, kid: None }
    }
}

/// Verifies a token: limits, shape, header, key, signature, and only then the claims.
///
/// `accepted` are the issuers whose tokens may be carried where this one was found; `iss` selects
/// exactly one of them before any key is tried. `limit` is in bytes.
///
/// # Errors
/// The first check that fails.
pub fn verify(
    token: &[u8],
    issuers: &[Issuer],
    accepted: impl Fn(IssuerId) -> bool,
    limit: usize,
    now: Timestamp,
) -> Result<VerifiedToken, Failure> {
    let compact = compact::parse(token, limit)?;
    // Before the issuer is sought, so that `none` is named for what it is.
    let algorithm = Algorithm::parse(&compact.header.alg).ok_or(Error::AlgorithmNotAllowed)?;
    let iss = match compact.payload.get("iss") {
        Some(Value::String(iss)) => iss,
        Some(_) => return Err(Error::Malformed("`iss` is not a string").into()),
        None => return Err(Error::IssuerUnknown.into()),
    };
    let (id, issuer) = issuers
        .iter()
        .enumerate()
        .map(|(index, issuer)| (IssuerId(index), issuer))
        .find(|(id, issuer)| *issuer.iss == **iss && accepted(*id))
        .ok_or(Error::IssuerUnknown)?;

    let known = |kid: &&String| issuer.keys.iter().any(|key| key.kid() == Some(kid));
    let named = compact.header.kid.as_ref().filter(known).cloned();
    let failed = |error| Failure { error, issuer: Some(id), kid: named.clone() };
    let kid = check_signature(&compact, issuer, algorithm).map_err(failed)?;
    check_claims(&compact, issuer, now).map_err(failed)?;

    let subject = issuer.subject.value(&compact.payload).and_then(Value::as_str).map(str::to_owned);
    Ok(VerifiedToken { issuer: id, claims: compact.payload, kid, subject })
}

fn check_signature(
    compact: &Compact<'_>,
    issuer: &Issuer,
    algorithm: Algorithm,
) -> Result<Option<String>, Error> {
    let mut candidates = issuer.keys.candidates(compact.header.kid.as_deref(), algorithm).map_err(
        |none| match none {
            NoCandidate::Kid => Error::KeyUnknown,
            NoCandidate::Algorithm => Error::AlgorithmNotAllowed,
        },
    )?;
    candidates
        .find(|key| key.verify(algorithm, compact.signing_input, &compact.signature))
        .map(|key| key.kid().map(str::to_owned))
        .ok_or(Error::SignatureInvalid)
}

fn check_claims(compact: &Compact<'_>, issuer: &Issuer, now: Timestamp) -> Result<(), Error> {
    let payload = &compact.payload;
    let registered = Registered::read(payload)?;
    if let Some(required) = &issuer.typ {
        let typ = compact.header.typ.as_deref().map(claims::normal_type);
        if typ.as_deref() != Some(required) {
            return Err(Error::TypeMismatch);
        }
    }
    claims::check_audience(payload, issuer.audiences.as_deref())?;
    let absent = |path: &&ClaimPath| path.find(payload).is_none();
    if let Some(path) = issuer.require_claims.iter().find(absent) {
        return Err(Error::ClaimMissing(path.to_string().into()));
    }
    // Last, so that an expired token has nothing else wrong with it.
    registered.check_times(issuer, now.as_millis())
}
