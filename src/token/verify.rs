//! The one function that makes a [`VerifiedToken`].

use super::claims::{self, ClaimPath, Claims, Registered};
use super::compact::{self, Compact};
use super::key::NoCandidate;
use super::keyring::Keyring;
use super::signature::Algorithm;
use super::{Error, Issuer, IssuerId, KeySet, cache};
use crate::time::Timestamp;
use serde_json::Value;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

/// Proof that a token passed every check of its issuer. Only [`verify`] makes one.
#[derive(Debug)]
pub struct VerifiedToken {
    issuer: IssuerId,
    claims: Claims,
    times: Registered,
    kid: Option<String>,
    subject: Option<String>,
    weight: usize,
    headers: OnceCell<Headers>,
    /// What conditions that read nothing else say of it, by route.
    verdicts: RefCell<Vec<(usize, bool)>>,
    /// What is said of it where it is let in, by route.
    notes: RefCell<Vec<(usize, Rc<str>)>>,
}

/// For how many routes a token keeps what their conditions say of it.
const MAX_VERDICTS: usize = 16;
/// For how many routes a token keeps what is said of it.
const MAX_NOTES: usize = 4;
/// What these take, in bytes.
const KEPT: usize = MAX_VERDICTS * 2 * size_of::<usize>() + MAX_NOTES * 160;

/// Header names and values.
pub type Headers = Box<[(Box<str>, String)]>;

impl VerifiedToken {
    /// Who signed it.
    pub fn issuer(&self) -> IssuerId {
        self.issuer
    }

    /// What it says.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Its time claims. They held when it was verified, and are to be checked again.
    pub fn times(&self) -> &Registered {
        &self.times
    }

    /// The headers that `make` makes of it, made once: within one policy they are always the same.
    pub fn headers(&self, make: impl FnOnce() -> Headers) -> &[(Box<str>, String)] {
        self.headers.get_or_init(make)
    }

    /// What the condition of a route says of it, where that reads nothing else: asked once.
    pub fn holds(&self, route: usize, condition: impl FnOnce() -> bool) -> bool {
        let Ok(mut verdicts) = self.verdicts.try_borrow_mut() else { return condition() };
        if let Some((_, holds)) = verdicts.iter().find(|(known, _)| *known == route) {
            return *holds;
        }
        let holds = condition();
        if verdicts.len() < MAX_VERDICTS {
            verdicts.push((route, holds));
        }
        holds
    }

    /// What is said of it where a route lets it in, written once.
    pub fn note(&self, route: usize, write: impl FnOnce() -> String) -> Rc<str> {
        let Ok(mut notes) = self.notes.try_borrow_mut() else { return write().into() };
        if let Some((_, note)) = notes.iter().find(|(known, _)| *known == route) {
            return Rc::clone(note);
        }
        let note: Rc<str> = write().into();
        if notes.len() < MAX_NOTES {
            notes.push((route, Rc::clone(&note)));
        }
        note
    }

    /// What it takes in memory, in bytes.
    pub fn weight(&self) -> usize {
        self.weight
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
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// The issuer that it claims to be of.
    pub issuer: Option<IssuerId>,
    /// The `kid` that it names, where a key of that issuer has it.
    pub kid: Option<String>,
    /// Whether keys are being fetched that may let it verify.
    pub awaits_keys: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, issuer: None, kid: None, awaits_keys: false }
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
    keyring: &Keyring,
    accepted: impl Fn(IssuerId) -> bool,
    limit: usize,
    now: Timestamp,
) -> Result<VerifiedToken, Failure> {
    let compact = compact::parse(token, limit, keyring.headers())?;
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

    let keys = keyring.set(id).ok_or(Error::KeyUnknown)?;
    let failed = |error| {
        let known = |kid: &&String| keys.iter().any(|key| key.kid() == Some(kid));
        let kid = compact.header.kid.as_ref().filter(known).cloned();
        Failure { error, issuer: Some(id), kid, awaits_keys: false }
    };
    let kid = check_signature(&compact, keys, algorithm).map_err(|error| match error {
        // The key may be one of those that are not there.
        Error::KeyUnknown | Error::AlgorithmNotAllowed | Error::SignatureInvalid
            if keyring.lacks(id) =>
        {
            failed(Error::KeysUnavailable)
        }
        error => failed(error),
    })?;
    let times = check_claims(&compact, issuer, now).map_err(failed)?;
    keyring.headers().keep(&compact);

    let subject = issuer.subject.value(&compact.payload).and_then(Value::as_str).map(str::to_owned);
    // The headers repeat claims, so they are counted as these.
    let weight = size_of::<VerifiedToken>() + KEPT + 2 * cache::weigh(&compact.payload);
    Ok(VerifiedToken {
        issuer: id,
        claims: compact.payload,
        times,
        kid,
        subject,
        weight,
        headers: OnceCell::new(),
        verdicts: RefCell::default(),
        notes: RefCell::default(),
    })
}

fn check_signature(
    compact: &Compact<'_>,
    keys: &KeySet,
    algorithm: Algorithm,
) -> Result<Option<String>, Error> {
    let mut candidates =
        keys.candidates(compact.header.kid.as_deref(), algorithm).map_err(|none| match none {
            NoCandidate::Kid => Error::KeyUnknown,
            NoCandidate::Algorithm => Error::AlgorithmNotAllowed,
        })?;
    candidates
        .find(|key| key.verify(algorithm, compact.signing_input, &compact.signature))
        .map(|key| key.kid().map(str::to_owned))
        .ok_or(Error::SignatureInvalid)
}

fn check_claims(
    compact: &Compact<'_>,
    issuer: &Issuer,
    now: Timestamp,
) -> Result<Registered, Error> {
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
    registered.check(issuer, now.as_millis())?;
    Ok(registered)
}
