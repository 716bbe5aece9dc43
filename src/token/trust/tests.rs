use super::*;
use crate::token::claims::ClaimPath;
use crate::token::fetching::Source;
use crate::token::revocation::{List, OnStale, Published as Listing};
use crate::token::samples::{
    LIMIT, NOW, at, fetched, issuer, jwk, keyring, published, sign, source, token, token_by,
};
use crate::token::signature::Portable;
use serde_json::{Value, json};

const A: IssuerId = IssuerId(0);

/// Keys by the secret, and a memory.
fn remembering() -> Trust {
    let mut trust = Trust::new(keyring(None), Vec::new());
    trust.remember(7);
    trust
}

/// Fetched keys only, and a memory.
fn fetching() -> Trust {
    let mut keyring = Keyring::default();
    keyring.push(Vec::new(), vec![published(source())]);
    let mut trust = Trust::new(keyring, Vec::new());
    trust.remember(7);
    trust
}

fn judge(trust: &mut Trust, token: &str, secs: i64) -> Result<Rc<VerifiedToken>, Failure> {
    trust.verify(token.as_bytes(), &[issuer("a")], |_| true, LIMIT, at(secs))
}

/// The only key set is fetched.
fn receive(trust: &mut Trust, keys: &[Value], secs: i64) -> bool {
    let id = trust.due(at(secs))[0];
    trust.sent(id, at(secs));
    let body = json!({"keys": keys}).to_string();
    let news = trust.received(id, Ok(fetched(&body)), &Portable, at(secs), 0.0);
    matches!(news, Ok(News::Keys(learnt)) if learnt.changed)
}

/// What is remembered.
fn memory(trust: &Trust) -> String {
    format!("{:?}", trust.cache.as_ref().unwrap())
}

const ONE_GOOD: &str = "Cache { good: 1, bad: 0 }";
const ONE_BAD: &str = "Cache { good: 0, bad: 1 }";
const NOTHING: &str = "Cache { good: 0, bad: 0 }";

#[test]
fn a_hit_awaits_fetch_as_a_miss_does() {
    for remember in [false, true] {
        let mut trust = fetching();
        if !remember {
            trust.cache = None;
        }
        assert!(receive(&mut trust, &[jwk(1, None)], 0));
        // (seconds, whether keys are fetched before, whether it awaits keys)
        let cases = [
            (1, false, true),
            (2, false, true),
            (3, true, false),
            (10, false, false),
            (11, false, true),
            (12, true, false),
        ];
        for (secs, fetch, want) in cases {
            if fetch {
                assert!(!receive(&mut trust, &[jwk(1, None)], secs));
            }
            let failure = judge(&mut trust, &token_by(2, None), secs).unwrap_err();
            let got = (failure.error, failure.awaits_fetch);
            assert_eq!(got, (Error::SignatureInvalid, want), "after {secs} s, {remember}");
        }
    }
}

#[test]
fn times_are_checked_on_every_hit() {
    // (claims beside `exp` 60 s ahead, whether it verifies and what is remembered, by second)
    type Step = (i64, &'static str, &'static str);
    let cases: [(Value, &[Step]); 4] = [
        (
            json!({}),
            &[
                (0, "ok", ONE_GOOD),
                (59, "ok", ONE_GOOD),
                (60, "expired 0 s ago, skew 0 s", ONE_BAD),
                (61, "expired 1 s ago, skew 0 s", ONE_BAD),
                (99, "expired 39 s ago, skew 0 s", ONE_BAD),
            ],
        ),
        (
            json!({"nbf": NOW + 10}),
            &[
                (0, "`nbf` is 10 s ahead, skew 0 s", ONE_BAD),
                (9, "`nbf` is 1 s ahead, skew 0 s", ONE_BAD),
                (10, "ok", "Cache { good: 1, bad: 1 }"),
                (60, "expired 0 s ago, skew 0 s", ONE_BAD),
            ],
        ),
        // Both of them ahead, one after the other.
        (
            json!({"nbf": NOW + 10, "iat": NOW + 20}),
            &[
                (0, "`nbf` is 10 s ahead, skew 0 s", ONE_BAD),
                (10, "`iat` is 10 s ahead, skew 0 s", ONE_BAD),
                (20, "ok", "Cache { good: 1, bad: 1 }"),
            ],
        ),
        // A clock that is set back.
        (
            json!({"nbf": NOW}),
            &[
                (60, "expired 0 s ago, skew 0 s", ONE_BAD),
                (59, "ok", "Cache { good: 1, bad: 1 }"),
                (-1, "`nbf` is 1 s ahead, skew 0 s", ONE_BAD),
                (0, "ok", "Cache { good: 1, bad: 1 }"),
            ],
        ),
    ];
    for (claims, steps) in cases {
        let mut trust = remembering();
        let token = token(&claims);
        for (secs, want, kept) in steps {
            let got = judge(&mut trust, &token, *secs);
            let got = got.map_or_else(|failure| failure.error.to_string(), |_| "ok".into());
            assert_eq!(got, *want, "{claims} after {secs} s");
            assert_eq!(memory(&trust), *kept, "{claims} after {secs} s");
        }
    }
}

#[test]
fn a_route_that_does_not_accept_the_issuer_forgets_nothing() {
    let expired = token(&json!({"exp": NOW - 1}));
    for (token, kept) in [(token(&json!({})), ONE_GOOD), (expired, ONE_BAD)] {
        let mut trust = remembering();
        let first = judge(&mut trust, &token, 0);
        let unknown = trust.verify(token.as_bytes(), &[issuer("a")], |_| false, LIMIT, at(0));
        assert_eq!(unknown.unwrap_err(), Failure::from(Error::IssuerUnknown));
        assert_eq!(memory(&trust), kept);
        match (first, judge(&mut trust, &token, 0)) {
            (Ok(first), Ok(again)) => assert!(Rc::ptr_eq(&first, &again)),
            (first, again) => assert_eq!(first.unwrap_err(), again.unwrap_err()),
        }
    }
    // Asked first where it is not accepted, a token is not known afterwards.
    let mut trust = remembering();
    let token = token(&json!({}));
    let unknown = trust.verify(token.as_bytes(), &[issuer("a")], |_| false, LIMIT, at(0));
    assert_eq!(unknown.unwrap_err().error, Error::IssuerUnknown);
    assert_eq!(memory(&trust), NOTHING);
    assert!(judge(&mut trust, &token, 0).is_ok());
}

#[test]
fn any_change_of_keys_forgets_all() {
    let mut trust = fetching();
    let failure = judge(&mut trust, &token_by(1, Some("1")), 0).unwrap_err();
    assert_eq!((failure.error, failure.awaits_fetch), (Error::KeysUnavailable, true));
    assert_eq!(memory(&trust), NOTHING);
    assert!(receive(&mut trust, &[jwk(1, Some("1"))], 0));
    // A forgery that names the key.
    let forged = token_by(2, Some("1"));
    let steps: [(u8, i64, bool, &str); 4] = [
        (1, 300, true, "Cache { good: 1, bad: 1 }"),
        (3, 600, false, NOTHING),
        (1, 900, true, NOTHING),
        (1, 1200, true, "Cache { good: 1, bad: 1 }"),
    ];
    for (seed, secs, verifies, kept) in steps {
        let _ = judge(&mut trust, &token_by(1, Some("1")), secs - 1);
        let _ = judge(&mut trust, &forged, secs - 1);
        receive(&mut trust, &[jwk(seed, Some("1"))], secs);
        assert_eq!(memory(&trust), kept, "after {secs} s");
        let got = judge(&mut trust, &token_by(1, Some("1")), secs);
        assert_eq!(got.is_ok(), verifies, "after {secs} s");
        assert_eq!(judge(&mut trust, &forged, secs).unwrap_err().error, Error::SignatureInvalid);
    }
}

#[test]
fn a_key_that_is_rotated_in_verifies_what_was_refused() {
    let mut trust = fetching();
    receive(&mut trust, &[jwk(1, None)], 0);
    let failure = judge(&mut trust, &token_by(2, None), 1).unwrap_err();
    assert_eq!((failure.error, failure.awaits_fetch), (Error::SignatureInvalid, true));
    assert_eq!(memory(&trust), ONE_BAD);
    assert!(receive(&mut trust, &[jwk(2, None)], 1));
    assert!(judge(&mut trust, &token_by(2, None), 1).is_ok());
}

#[test]
fn keys_that_are_too_old_are_forgotten_with_their_tokens() {
    let mut trust = fetching();
    receive(&mut trust, &[jwk(1, Some("1"))], 0);
    assert!(judge(&mut trust, &token_by(1, Some("1")), 1).is_ok());
    assert_eq!(trust.expire(at(3600)), []);
    assert!(judge(&mut trust, &token_by(1, Some("1")), 3600).is_ok());
    assert_eq!(trust.expire(at(3601)), [Expired::Keys(A)]);
    assert_eq!(memory(&trust), NOTHING);
    let failure = judge(&mut trust, &token_by(1, Some("1")), 3601).unwrap_err();
    assert_eq!((failure.error, failure.awaits_fetch), (Error::KeysUnavailable, true));
    assert_eq!(trust.expire(at(3602)), []);
}

#[test]
fn a_fetch_of_no_use_forgets_nothing() {
    let mut trust = fetching();
    receive(&mut trust, &[jwk(1, Some("1"))], 0);
    assert!(judge(&mut trust, &token_by(1, Some("1")), 1).is_ok());
    let id = trust.due(at(300))[0];
    trust.sent(id, at(300));
    let answer = Ok(fetched("<html>"));
    assert!(trust.received(id, answer, &Portable, at(301), 0.0).is_err());
    assert_eq!(memory(&trust), ONE_GOOD);
    assert!(judge(&mut trust, &token_by(1, Some("1")), 301).is_ok());
}

#[test]
fn answers_are_the_same_with_and_without_a_memory() {
    let mut strict = issuer("strict");
    strict.audiences = Some(vec!["x".into()]);
    strict.typ = Some("at+jwt".into());
    strict.require_claims = vec![ClaimPath::parse("sub").unwrap()];
    strict.clock_skew_ms = 5_000;
    strict.max_lifetime_ms = Some(600_000);
    let issuers = [issuer("a"), strict];
    let typed = |claims: Value| sign(&json!({"alg": "HS256", "typ": "at+jwt"}), &claims);
    let good = json!({"iss": "strict", "aud": "x", "sub": "s", "iat": NOW, "exp": NOW + 60});
    let but = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        typed(claims)
    };
    let by_header = |header: Value| sign(&header, &json!({"iss": "a", "exp": NOW + 60}));
    let mut cut = token(&json!({}));
    cut.pop();
    let tokens = [
        token(&json!({})),
        token(&json!({"nbf": NOW + 5})),
        token(&json!({"iat": NOW + 5, "exp": NOW + 6})),
        token(&json!({"exp": NOW})),
        token(&json!({"exp": null})),
        token(&json!({"exp": "soon"})),
        token(&json!({"sub": 7})),
        token(&json!({"iss": "other"})),
        token(&json!({"iss": 7})),
        sign(&json!({"alg": "HS256"}), &json!({"iss": "a"})),
        sign(&json!({"alg": "HS256"}), &json!({"exp": NOW + 60})),
        typed(good.clone()),
        sign(&json!({"alg": "HS256"}), &good),
        but("aud", json!(["y"])),
        but("aud", json!(7)),
        but("sub", Value::Null),
        but("nbf", json!(NOW + 8)),
        by_header(json!({"alg": "none"})),
        by_header(json!({"alg": "RS256"})),
        by_header(json!({"alg": "HS256", "kid": "k"})),
        by_header(json!({"alg": "HS256", "kid": "other"})),
        by_header(json!({"alg": "HS256", "crit": ["x"]})),
        token_by(1, None),
        cut,
        "a.b.c".into(),
        String::new(),
        ".".repeat(LIMIT + 1),
    ];
    let keys = || {
        let mut keyring = keyring(None);
        keyring.push(vec![crate::token::samples::secret(None)], Vec::new());
        Trust::new(keyring, Vec::new())
    };
    let (mut with, mut without) = (keys(), keys());
    with.remember(7);
    for secs in [0, 1, 4, 5, 6, 59, 60, 64, 65, 1000, 60, 5, 0] {
        for token in tokens.iter().chain(&tokens) {
            for accepted in [&[][..], &[0], &[1], &[0, 1]] {
                let judge = |trust: &mut Trust| {
                    let accepted = |id: IssuerId| accepted.contains(&id.0);
                    trust
                        .verify(token.as_bytes(), &issuers, accepted, LIMIT, at(secs))
                        .map(|verified| (verified.issuer(), verified.claims().clone()))
                };
                let (got, want) = (judge(&mut with), judge(&mut without));
                assert_eq!(got, want, "{token} after {secs} s, accepted {accepted:?}");
            }
        }
    }
    assert!(!memory(&with).contains(" 0"), "{}", memory(&with));
}

#[test]
fn what_is_taken_back_is_refused_also_where_it_is_known() {
    let list = |text: &str| serde_json::from_str::<List>(text).unwrap();
    let source = Source { max_stale: 600_000, ..source() };
    let published = Listing { source, on_stale: OnStale::Refuse };
    let revocations = Revocations::new(list(r#"{"tokens": ["1"]}"#), Some(published));
    let mut trust = Trust::new(keyring(None), vec![Some(revocations)]);
    trust.remember(7);
    let id = FetchId::Revocations(A);
    let receive = |trust: &mut Trust, body: &str, secs| {
        trust.sent(id, at(secs));
        trust.received(id, Ok(fetched(body)), &Portable, at(secs), 0.0).unwrap();
    };
    let tokens = ["1", "2", "3"].map(|jti| token(&json!({"jti": jti, "exp": NOW + 100_000})));
    let outcomes = |trust: &mut Trust, secs| {
        tokens.each_ref().map(|token| {
            let judged = judge(trust, token, secs);
            judged.err().map(|failure| (failure.error, failure.awaits_fetch))
        })
    };
    let revoked = || Some((Error::Revoked, false));
    let unavailable = |waits| Some((Error::RevocationUnavailable, waits));
    assert_eq!(trust.due(at(0)), [id]);
    assert!(trust.is_urgent() && trust.has_remotes());
    // Requests wait for the first list; what the configuration lists needs no other.
    assert_eq!(outcomes(&mut trust, 0), [revoked(), unavailable(true), unavailable(true)]);
    receive(&mut trust, r#"{"tokens": ["2"]}"#, 0);
    assert_eq!(outcomes(&mut trust, 1), [revoked(), revoked(), None]);
    assert_eq!(trust.last_recall(), Recall::Known);
    receive(&mut trust, r#"{"tokens": ["3"]}"#, 2);
    assert_eq!(outcomes(&mut trust, 3), [revoked(), None, revoked()]);
    assert_eq!(trust.expire(at(602)), []);
    assert_eq!(trust.expire(at(603)), [Expired::Revocations(A)]);
    assert_eq!(trust.expire(at(604)), [], "told once");
    assert_eq!(outcomes(&mut trust, 603), [revoked(), unavailable(false), revoked()]);
    receive(&mut trust, r#"{"tokens": ["3"]}"#, 700);
    assert_eq!(outcomes(&mut trust, 701), [revoked(), None, revoked()]);
}
