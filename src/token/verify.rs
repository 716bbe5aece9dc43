//! The one function that makes a [`VerifiedToken`].

use super::claims::{self, ClaimPath, Claims, Registered};
use super::compact::{self, Compact};
use super::failure::{Failure, Lapsed};
use super::key::NoCandidate;
use super::keyring::Keyring;
use super::kids::KidTag;
use super::signature::Algorithm;
use super::{Error, Issuer, IssuerId, KeySet, cache};
use crate::time::Timestamp;
use serde_json::Value;
use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

/// Proof that a token passed every check of its issuer. Only [`verify`] makes one.
#[derive(Debug)]
pub struct VerifiedToken {
    issuer: IssuerId,
    claims: Claims,
    times: Registered,
    kid: Option<String>,
    tag: KidTag,
    subject: Option<String>,
    weight: usize,
    headers: OnceCell<Headers>,
    /// What conditions that read nothing else say of it, by route.
    verdicts: RefCell<Vec<(usize, bool)>>,
    /// What is said of it where it is let in, by route.
    notes: RefCell<Vec<(usize, Rc<Note>)>>,
    /// Whether it was taken back, by which generation of lists.
    revoked: Cell<(u64, bool)>,
}

/// For how many routes a token keeps what their conditions say of it.
const MAX_VERDICTS: usize = 16;
/// For how many routes a token keeps what is said of it.
const MAX_NOTES: usize = 4;
/// The longest note that is kept, in bytes of all of its forms: one that shows long claims is written anew each time.
const MAX_NOTE: usize = 896;
/// What these take, in bytes.
const KEPT: usize =
    MAX_VERDICTS * 2 * size_of::<usize>() + MAX_NOTES * (MAX_NOTE + size_of::<Note>());

/// What is said of a decision, in the forms in which it is said.
#[derive(Debug)]
pub struct Note {
    /// To access logs, as filter state.
    pub state: String,
    record: OnceCell<String>,
}

impl Note {
    /// With this filter state.
    pub fn new(state: String) -> Self {
        Self { state, record: OnceCell::new() }
    }

    /// What its record says, written where one is asked for.
    pub fn record(&self, write: impl FnOnce() -> String) -> Cow<'_, str> {
        if let Some(record) = self.record.get() {
            return Cow::Borrowed(record);
        }
        let record = write();
        if self.state.len() + record.len() > MAX_NOTE {
            return Cow::Owned(record);
        }
        Cow::Borrowed(self.record.get_or_init(|| record))
    }
}

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
    pub fn note(&self, route: usize, write: impl FnOnce() -> Note) -> Rc<Note> {
        let Ok(mut notes) = self.notes.try_borrow_mut() else { return Rc::new(write()) };
        if let Some((_, note)) = notes.iter().find(|(known, _)| *known == route) {
            return Rc::clone(note);
        }
        let note = Rc::new(write());
        if notes.len() < MAX_NOTES && note.state.len() <= MAX_NOTE {
            notes.push((route, Rc::clone(&note)));
        }
        note
    }

    /// Whether it was taken back: asked once for each generation of lists, which count from 1.
    pub fn is_revoked(&self, generation: u64, ask: impl FnOnce() -> bool) -> bool {
        let (asked, revoked) = self.revoked.get();
        if asked == generation {
            return revoked;
        }
        let revoked = ask();
        self.revoked.set((generation, revoked));
        revoked
    }

    /// What it takes in memory, in bytes.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The id of the key that verified it.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// How metrics name that key.
    pub fn tag(&self) -> KidTag {
        self.tag
    }

    /// The issuer's `subject` attribute, where it is a string.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
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
        let tag = keyring.tag(id, kid.as_deref());
        Failure { error, issuer: Some(id), kid, tag, awaits_fetch: false, lapsed: None }
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
    let times = check_claims(&compact, issuer).map_err(failed)?;
    // Last, so that an expired token has nothing else wrong with it.
    let late = times.check(issuer, now.as_millis()).map_err(failed).err();
    let late = match late {
        Some(failure) if !issuer.renews => return Err(failure),
        late => late,
    };
    keyring.headers().keep(&compact);

    let subject = issuer.subject.value(&compact.payload).and_then(Value::as_str).map(str::to_owned);
    // The headers repeat claims, so they are counted as these.
    let weight = size_of::<VerifiedToken>() + KEPT + 2 * cache::weigh(&compact.payload);
    let verified = VerifiedToken {
        issuer: id,
        claims: compact.payload,
        times,
        tag: keyring.tag(id, kid.as_deref()),
        kid,
        subject,
        weight,
        headers: OnceCell::new(),
        verdicts: RefCell::default(),
        notes: RefCell::default(),
        revoked: Cell::default(),
    };
    match late {
        None => Ok(verified),
        Some(failure) => {
            let lapsed = Lapsed::new(Rc::new(verified), issuer, &failure.error);
            Err(Failure { lapsed, ..failure })
        }
    }
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

fn check_claims(compact: &Compact<'_>, issuer: &Issuer) -> Result<Registered, Error> {
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
    Ok(registered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::samples::{
        LIMIT, NOW, at, issuer, keyring, published, sign, source, token, token_by, verified,
    };
    use serde_json::json;

    #[test]
    fn a_condition_is_asked_once_for_each_route() {
        let token = verified(&keyring(None), &token(&json!({})));
        let asked = Cell::new(0);
        let ask = |route, holds| {
            token.holds(route, || {
                asked.set(asked.get() + 1);
                holds
            })
        };
        for route in 0..MAX_VERDICTS {
            assert_eq!(ask(route, route % 2 == 0), route % 2 == 0, "route {route}");
        }
        for route in (0..MAX_VERDICTS).rev() {
            // What it would say now counts no more.
            assert_eq!(ask(route, route % 2 == 1), route % 2 == 0, "route {route}");
        }
        assert_eq!(asked.get(), MAX_VERDICTS);
        // One too many is asked each time.
        assert!(ask(99, true) && !ask(99, false) && ask(0, false));
        assert_eq!((asked.get(), token.verdicts.borrow().len()), (MAX_VERDICTS + 2, MAX_VERDICTS));
        // Asked within another one, it is asked all the same.
        let fresh = verified(&keyring(None), &crate::token::samples::token(&json!({})));
        assert!(fresh.holds(0, || fresh.holds(1, || true)) && !fresh.holds(1, || false));
    }

    #[test]
    fn a_note_is_written_once_for_each_route() {
        let token = verified(&keyring(None), &token(&json!({})));
        let note = |state: &str| Note::new(state.to_owned());
        for route in 0..MAX_NOTES {
            let first = token.note(route, || note(&route.to_string()));
            let again = token.note(route, || note("another"));
            assert!(Rc::ptr_eq(&first, &again) && again.state == route.to_string());
        }
        assert_eq!(token.note(99, || note("one")).state, "one");
        assert_eq!(token.note(99, || note("two")).state, "two");
        assert_eq!(token.note(0, || note("two")).state, "0");
        let known = token.note(0, || note("three"));
        for (record, kept) in
            [("x".repeat(MAX_NOTE), false), ("short".into(), true), ("no".into(), true)]
        {
            let said = known.record(|| record.clone());
            assert_eq!(matches!(said, Cow::Borrowed(_)), kept);
        }
        assert_eq!(known.record(String::new), "short");
        assert_eq!(token.notes.borrow().len(), MAX_NOTES);
    }

    #[test]
    fn headers_are_made_once() {
        let token = verified(&keyring(None), &token(&json!({})));
        let make = |value: &str| -> Headers { [("x-user".into(), value.to_owned())].into() };
        assert_eq!(token.headers(|| make("alice")), &*make("alice"));
        assert_eq!(token.headers(|| make("bob")), &*make("alice"));
    }

    #[test]
    fn says_what_the_token_says() {
        let by = |header, claims: Value| {
            let mut claims = claims;
            claims["iss"] = "a".into();
            claims["exp"] = (NOW + 60).into();
            verified(&keyring(Some("k")), &sign(&header, &claims))
        };
        let token = by(json!({"alg": "HS256"}), json!({"sub": "alice", "nbf": NOW}));
        assert_eq!(
            (token.issuer(), token.kid(), token.subject()),
            (IssuerId(0), Some("k"), Some("alice"))
        );
        assert_eq!(token.times().nbf, Some(at(0).as_millis()));
        assert_eq!(token.claims()["exp"], NOW + 60);
        let token = by(json!({"alg": "HS256", "kid": "k"}), json!({}));
        assert_eq!((token.kid(), token.subject()), (Some("k"), None));
    }

    #[test]
    fn the_first_check_that_fails_is_told() {
        let mut strict = issuer("strict");
        strict.audiences = Some(vec!["x".into()]);
        strict.typ = Some("at+jwt".into());
        strict.require_claims = vec![ClaimPath::parse("sub").unwrap()];
        let issuers = [issuer("a"), strict];
        let mut keyring = keyring(Some("k"));
        keyring.push(vec![crate::token::samples::secret(None)], Vec::new());
        let hs = |iss: &str| sign(&json!({"alg": "HS256"}), &json!({"iss": iss, "exp": NOW}));
        let strictly = |claims: Value| {
            let mut claims = claims;
            claims["iss"] = "strict".into();
            let typ = if claims.get("typ").is_some() { "application/AT+JWT" } else { "JWT" };
            sign(&json!({"alg": "HS256", "typ": typ}), &claims)
        };
        let named = |kid: &str| sign(&json!({"alg": "HS256", "kid": kid}), &json!({"iss": "a"}));
        let mut forged = named("k");
        forged.replace_range(forged.len() - 8.., "AAAAAAAA");
        // (token, the code, the issuer, the `kid`)
        let cases: [(String, &str, Option<usize>, Option<&str>); 17] = [
            ("a".repeat(LIMIT + 1), "token_too_large", None, None),
            ("a.b".into(), "token_malformed", None, None),
            (sign(&json!({"alg": "none"}), &json!({})), "algorithm_not_allowed", None, None),
            (sign(&json!({"alg": "HS1"}), &json!({"iss": 7})), "algorithm_not_allowed", None, None),
            (sign(&json!({"alg": "HS256"}), &json!({})), "issuer_unknown", None, None),
            (sign(&json!({"alg": "HS256"}), &json!({"iss": ["a"]})), "token_malformed", None, None),
            (hs("A"), "issuer_unknown", None, None),
            (named("other"), "key_unknown", Some(0), None),
            (token_by(1, Some("k")), "algorithm_not_allowed", Some(0), Some("k")),
            (forged, "signature_invalid", Some(0), Some("k")),
            (hs("a"), "token_expired", Some(0), None),
            (named("k"), "claim_missing", Some(0), Some("k")),
            (strictly(json!({"exp": "x"})), "token_malformed", Some(1), None),
            (strictly(json!({"exp": NOW})), "type_mismatch", Some(1), None),
            (strictly(json!({"exp": NOW, "typ": 1})), "audience_mismatch", Some(1), None),
            (strictly(json!({"exp": NOW, "typ": 1, "aud": "x"})), "claim_missing", Some(1), None),
            (
                strictly(json!({"exp": NOW, "typ": 1, "aud": "x", "sub": "s"})),
                "token_expired",
                Some(1),
                None,
            ),
        ];
        for (token, code, issuer, kid) in cases {
            let failure =
                verify(token.as_bytes(), &issuers, &keyring, |_| true, LIMIT, at(0)).unwrap_err();
            let got = crate::response::Code::of(&failure.error).name();
            let id = issuer.map(IssuerId);
            assert_eq!((got, failure.issuer, failure.kid.as_deref()), (code, id, kid), "{token}");
            assert!(!failure.awaits_fetch);
        }
    }

    #[test]
    fn a_key_that_is_not_fetched_yet_is_not_unknown() {
        let mut keyring = Keyring::default();
        keyring.push(vec![crate::token::samples::secret(Some("k"))], vec![published(source())]);
        let judge = |token: &str| {
            verify(token.as_bytes(), &[issuer("a")], &keyring, |_| true, LIMIT, at(0))
                .map_or_else(|failure| failure.error.to_string(), |_| "ok".into())
        };
        let mut forged = token(&json!({}));
        forged.replace_range(forged.len() - 8.., "AAAAAAAA");
        let lacking = Error::KeysUnavailable.to_string();
        // The keys that are there verify, and what they verified is judged by its claims.
        assert_eq!(judge(&token(&json!({}))), "ok");
        assert_eq!(judge(&token(&json!({"exp": NOW}))), "expired 0 s ago, skew 0 s");
        for token in [forged, token_by(1, None), token_by(1, Some("k")), token_by(1, Some("new"))] {
            assert_eq!(judge(&token), lacking, "{token}");
        }
    }
}
