use super::exchange::{Answer, Candidate};
use super::record::{Settled, Standing};
use super::{Auth, Client, Due, OnRefused, Renewal, Renewals, Secret, Tokens};
use crate::shelf::{Memory, Shelf};
use crate::time::Timestamp;
use crate::token::IssuerId;
use crate::token::cookie::{Attributes, SameSite};
use crate::token::samples::{at, endpoint};
use serde_json::json;
use std::rc::Rc;

const NONCE: [u8; 24] = [7; 24];

fn renewal() -> Renewal {
    Renewal {
        endpoint: endpoint("/token"),
        client: Client { id: "logs-ui".into(), auth: Auth::Basic(Secret::new("s")) },
        refresh_cookie: "r".into(),
        early: 60_000,
        grace: 3_600_000,
        reuse: 30_000,
        on_refused: OnRefused::Keep,
        cookie: Attributes {
            path: "/".into(),
            domain: None,
            same_site: SameSite::Lax,
            secure: true,
            max_age: 60,
        },
    }
}

/// A shelf that several workers share.
type Common = Rc<Memory>;

fn worker(shelf: &Common) -> Renewals {
    let mut renewals = Renewals::new(vec![Some(renewal()), None]);
    renewals.open(Box::new(Rc::clone(shelf)));
    renewals
}

fn due(renewals: &Renewals, refresh: &str) -> Due {
    renewals.due(IssuerId(0), Some("alice"), refresh.to_owned()).unwrap()
}

fn tokens(token: &str) -> Tokens {
    Tokens { token: Secret::new(token), refresh: Some(Secret::new("next")) }
}

/// A moment in milliseconds after that of the samples.
fn ms(after: i64) -> Timestamp {
    let millis = at(0).as_millis() + after;
    Timestamp::from_nanos(millis.unsigned_abs() * 1_000_000)
}

#[test]
fn one_worker_asks_and_all_have_the_result() {
    let shelf = Common::default();
    let (one, other) = (worker(&shelf), worker(&shelf));
    let session = due(&one, "first");
    assert_eq!(other.standing(&session, at(0)), Ok(Standing::Unknown));
    assert_eq!(one.claim(&session, at(0)), Ok(true));
    assert_eq!(other.claim(&due(&other, "first"), at(0)), Ok(false));
    assert_eq!(one.claim(&session, at(0)), Ok(false));
    assert_eq!(other.standing(&session, at(0)), Ok(Standing::Pending));
    // Another session is another matter.
    assert_eq!(other.standing(&due(&other, "second"), at(0)), Ok(Standing::Unknown));
    let settled = Settled::Renewed(tokens("new"));
    one.settle(&session, &settled, at(0), NONCE).unwrap();
    for (after, want) in [
        (0, Standing::Renewed(tokens("new"))),
        (29_999, Standing::Renewed(tokens("new"))),
        (30_000, Standing::Unknown),
        (1_000_000, Standing::Unknown),
        // A clock that is set back keeps nothing for longer than anything is kept.
        (-3_600_000, Standing::Unknown),
    ] {
        assert_eq!(other.standing(&session, ms(after)), Ok(want), "after {after} ms");
    }
}

#[test]
fn what_failed_is_tried_again_after_a_while() {
    // (what became of it, for how many milliseconds)
    for (settled, kept) in [(Settled::Failed, 5_000), (Settled::Refused, 300_000)] {
        let renewals = worker(&Common::default());
        let session = due(&renewals, "r");
        renewals.claim(&session, at(0)).unwrap();
        renewals.settle(&session, &settled, at(0), NONCE).unwrap();
        assert_ne!(renewals.standing(&session, ms(kept - 1)), Ok(Standing::Unknown));
        assert_eq!(renewals.claim(&session, ms(kept - 1)), Ok(false));
        assert_eq!(renewals.standing(&session, ms(kept)), Ok(Standing::Unknown));
        assert_eq!(renewals.claim(&session, ms(kept)), Ok(true));
    }
    // A worker that asked and is gone.
    let renewals = worker(&Common::default());
    let session = due(&renewals, "r");
    renewals.claim(&session, at(0)).unwrap();
    assert_eq!(renewals.claim(&session, ms(14_999)), Ok(false));
    assert_eq!(renewals.claim(&session, ms(15_000)), Ok(true));
}

#[test]
fn nothing_on_the_shelf_is_in_clear_nor_opens_without_the_refresh_token() {
    let shelf = Common::default();
    let renewals = worker(&shelf);
    let session = due(&renewals, "the-refresh-token");
    let settled = Settled::Renewed(tokens("the-new-token"));
    renewals.settle(&session, &settled, at(0), NONCE).unwrap();
    let all: Vec<u8> = (0..256).flat_map(|place| shelf.read(place).unwrap().0).collect();
    assert!(all.len() > 60);
    for text in ["the-refresh-token", "the-new-token", "next", "alice"] {
        let found = all.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!found, "{text}");
        assert!(!format!("{session:?} {settled:?} {renewals:?}").contains(text), "{text}");
    }
    // Another client's secret makes another session of the same refresh token.
    let mut strange = renewal();
    strange.client.auth = Auth::Basic(Secret::new("another"));
    let mut strangers = Renewals::new(vec![Some(strange)]);
    strangers.open(Box::new(Rc::clone(&shelf)));
    let theirs = due(&strangers, "the-refresh-token");
    assert_eq!(strangers.standing(&theirs, at(0)), Ok(Standing::Unknown));
    // What is changed does not open, whatever is changed, nor what is cut short.
    let place = (0..256).find(|place| !shelf.read(*place).unwrap().0.is_empty()).unwrap();
    let (whole, _) = shelf.read(place).unwrap();
    let put = |bytes: &[u8]| {
        let (_, version) = shelf.read(place).unwrap();
        assert!(shelf.write(place, bytes, version).unwrap());
        renewals.standing(&session, at(0)).unwrap()
    };
    for at_byte in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at_byte] ^= 1;
        let opened =
            matches!(put(&changed), Standing::Renewed(read) if read != tokens("the-new-token"));
        assert!(!opened, "byte {at_byte}");
        assert!(!matches!(put(&whole[..at_byte]), Standing::Renewed(_)), "{at_byte} bytes");
    }
    assert_eq!(put(&whole), Standing::Renewed(tokens("the-new-token")));
}

#[test]
fn no_number_of_sessions_takes_more_than_its_place() {
    let shelf = Common::default();
    let renewals = worker(&shelf);
    let settled = Settled::Renewed(tokens(&"x".repeat(16_000)));
    let mut refused = 0;
    for number in 0..8_000 {
        let session = due(&renewals, &number.to_string());
        match renewals.claim(&session, at(0)) {
            // What the provider was asked for has room.
            Ok(claimed) => {
                assert!(claimed);
                renewals.settle(&session, &settled, at(0), NONCE).unwrap();
            }
            Err(_) => {
                refused += 1;
                assert_eq!(renewals.standing(&session, at(0)), Ok(Standing::Failed));
            }
        }
    }
    assert!(refused > 0);
    let sizes = || (0..256).map(|place| shelf.read(place).unwrap().0.len());
    assert!(sizes().all(|size| size <= 256 << 10), "{:?}", sizes().max());
    // What is void makes room again.
    let session = due(&renewals, "late");
    assert_eq!(renewals.claim(&session, ms(40_000)), Ok(true));
    assert!(sizes().min() < Some(100));
}

#[test]
fn only_what_can_be_a_refresh_token_is_one() {
    let renewals = worker(&Common::default());
    for (refresh, want) in [
        ("a", true),
        ("a b~!", true),
        ("", false),
        ("a\n", false),
        ("\u{e4}", false),
        ("\0", false),
    ] {
        let due = renewals.due(IssuerId(0), Some("alice"), refresh.to_owned());
        assert_eq!(due.is_some(), want, "{refresh:?}");
    }
    assert!(renewals.due(IssuerId(0), None, "a".into()).is_none(), "a token of nobody");
    assert!(
        renewals.due(IssuerId(1), Some("alice"), "a".into()).is_none(),
        "an issuer that renews nothing"
    );
    assert!(renewals.due(IssuerId(2), Some("alice"), "a".into()).is_none(), "no issuer at all");
}

#[test]
fn a_short_life_is_renewed_in_its_second_half_only() {
    let renewal = renewal();
    for (left, life, want) in [
        (59_999, None, false),
        (60_000, None, false),
        (-5, None, true),
        (59_999, Some(600_000), true),
        (10_000, Some(20_000), false),
        (9_999, Some(20_000), true),
    ] {
        assert_eq!(renewal.is_early(left, life), want, "{left} of {life:?}");
    }
}

#[test]
fn asks_as_the_client_authenticates_itself() {
    let ask = |auth| {
        let client = Client { id: "a:b".into(), auth };
        let renewals = Renewals::new(vec![Some(Renewal { client, ..renewal() })]);
        let (headers, body) = renewals.request(&due(&renewals, "r&s=")).unwrap();
        let basic = headers.into_iter().find(|(name, _)| *name == "authorization");
        (basic.map(|(_, value)| value), body)
    };
    let body = "grant_type=refresh_token&refresh_token=r%26s%3D";
    // base64 of `a%3Ab:c%20d`.
    let basic = Some("Basic YSUzQWI6YyUyMGQ=".to_owned());
    assert_eq!(ask(Auth::Basic(Secret::new("c d"))), (basic, body.to_owned()));
    let post = format!("{body}&client_id=a%3Ab&client_secret=c%20d");
    assert_eq!(ask(Auth::Post(Secret::new("c d"))), (None, post));
    assert_eq!(ask(Auth::None), (None, format!("{body}&client_id=a%3Ab")));
}

#[test]
fn reads_what_a_provider_answers() {
    let secrets = |texts: &[&str]| texts.iter().map(|text| Secret::new(*text)).collect();
    let tokens = |texts: &[&str], refresh: Option<&str>| {
        Ok(Answer::Tokens(Candidate { tokens: secrets(texts), refresh: refresh.map(Secret::new) }))
    };
    let refused = || Ok(Answer::Refused);
    let of_no_use = |why: &str| Err(why.to_owned());
    let grant = json!({"error": "invalid_grant", "error_description": "eyJ.secret"});
    let cases = [
        ("200", json!({"access_token": "a", "refresh_token": "r"}), tokens(&["a"], Some("r"))),
        ("200", json!({"access_token": "a", "id_token": "i"}), tokens(&["a", "i"], None)),
        ("200", json!({"id_token": "i"}), tokens(&["i"], None)),
        ("200", json!({"access_token": 1}), of_no_use("no `access_token` in it")),
        (
            "200",
            json!({"access_token": "", "refresh_token": "r"}),
            of_no_use("no `access_token` in it"),
        ),
        ("200", grant.clone(), of_no_use("no `access_token` in it")),
        ("400", grant.clone(), refused()),
        ("401", grant.clone(), refused()),
        ("500", grant, of_no_use("status 500, error `invalid_grant`")),
        (
            "400",
            json!({"error": "invalid_client"}),
            of_no_use("status 400, error `invalid_client`"),
        ),
        ("400", json!({"error": "no\nword"}), of_no_use("status 400")),
        ("302", json!({}), of_no_use("status 302")),
        ("200", json!([]), of_no_use("status 200, and the body is no JSON object")),
        ("503", json!("x"), of_no_use("status 503, and the body is no JSON object")),
    ];
    for (status, body, want) in cases {
        let read = Answer::read(status.as_bytes(), body.to_string().as_bytes());
        assert_eq!(read, want, "{status} {body}");
    }
    for body in [&b""[..], b"<html>", b"\xff", b"{\"access_token\": \"a\""] {
        assert!(Answer::read(b"200", body).is_err());
    }
}
