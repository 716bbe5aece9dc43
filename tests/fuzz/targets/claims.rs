//! Claims: an arbitrary payload, signed; what the issuer, the conditions and the identity headers make of it.

use super::naive;
use super::policy::{Policy, RULES, hash, sign};
use claimgate::policy::operator::Truth;
use serde_json::{Map, Number, Value};

type Header = (Box<str>, String);
type Claims = Map<String, Value>;
/// What a condition of `policy.json` says of claims, in the words of its documentation.
type Opinion = fn(&Claims) -> Truth;

/// `c-NAME` and `not-NAME` are routes of `policy.json`.
const OPINIONS: [(&str, Opinion); 8] = [
    ("roles", |claims| any_of(claims, "roles", &["admin", "dev"])),
    ("groups", |claims| !any_of(claims, "groups", &["banned"])),
    ("number", |claims| number(naive::at(claims, "/a/b"), |order| order == 0.0, 5)),
    ("level", |claims| number(claims.get("level"), |order| order >= 0.0, 3)),
    ("state", state),
    ("flag", flag),
    ("scope", scope),
    ("every", every),
];

pub fn check(data: &[u8]) {
    let claims = naive::object(data);
    let iss = claims.as_ref().and_then(|claims| claims.get("iss")).and_then(Value::as_str);
    let rules = RULES.iter().find(|rules| Some(rules.iss) == iss);
    let secret = rules.unwrap_or(&RULES[0]).secret;
    let token = sign(br#"{"alg":"HS256"}"#, data, secret);
    let acceptable =
        rules.zip(claims.as_ref()).is_some_and(|(rules, claims)| naive::claims(claims, rules));
    Policy::fixed(|policy| {
        policy.check_memory(token.as_bytes());
        let verified = policy.verify(token.as_bytes());
        assert_eq!(verified.is_ok(), acceptable, "{verified:?}");
        let (Some(claims), Ok(verified)) = (&claims, verified) else { return };
        assert_eq!(verified.claims(), claims);
        let subject = naive::at(claims, if iss == Some("strict") { "/a/b" } else { "/sub" });
        assert_eq!(verified.subject(), subject.and_then(Value::as_str));
        for (name, opinion) in OPINIONS {
            let truth = policy.truth(&format!("c-{name}"), &verified);
            assert_eq!(truth, opinion(claims), "{name}");
        }
        let names = [
            "roles", "groups", "number", "level", "state", "flag", "scope", "every", "gathered",
            "issuer",
        ];
        for name in names {
            let truth = policy.truth(&format!("c-{name}"), &verified);
            assert_eq!(policy.truth(&format!("not-{name}"), &verified), !truth, "{name}");
        }
        let morgan = policy.truth("morgan", &verified);
        assert_eq!(policy.truth("de-morgan", &verified), morgan);
        // One whole decision each time: only what is true opens.
        let name = names[hash(data) % names.len()];
        let opens = policy.truth(&format!("c-{name}"), &verified) == Truth::True;
        assert_eq!(decide(policy, &token, &format!("/c/c-{name}")).is_some(), opens, "{name}");
        check_identity(claims, subject, &decide(policy, &token, "/me").unwrap());
    });
}

/// The headers that an open request gets.
fn decide(policy: &Policy, token: &str, path: &str) -> Option<Vec<Header>> {
    let bearer = format!("Bearer {token}");
    let headers: [(&[u8], &[u8]); 4] = [
        (b":method", b"GET"),
        (b":authority", b"app.test"),
        (b":path", path.as_bytes()),
        (b"authorization", bearer.as_bytes()),
    ];
    let outcome = policy.decide(&headers);
    outcome.refusal.is_none().then(|| policy.added(&outcome).to_vec())
}

/// Every identity header reads back as the claim that it was made of, and is there only once.
fn check_identity(claims: &Claims, subject: Option<&Value>, headers: &[Header]) {
    let get = |name: &str| {
        let mut values = headers.iter().filter(|(other, _)| **other == *name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice");
        value
    };
    let plain = |text: &str| String::from_utf8(naive::percent(text.as_bytes())).unwrap();
    assert_eq!(get("x-user-id").map(plain), subject.and_then(scalar));
    assert_eq!(get("x-sub").map(plain), claims.get("sub").and_then(scalar));
    let roles = match claims.get("roles") {
        Some(Value::Array(items)) => items.iter().map(scalar).collect::<Option<Vec<_>>>(),
        one => one.and_then(scalar).map(|one| vec![one]),
    };
    let list = |text: &str| text.split(',').map(plain).collect::<Vec<_>>();
    // An empty list and a list of one empty text read alike.
    let roles = roles.map(|roles| if roles.is_empty() { vec![String::new()] } else { roles });
    assert_eq!(get("x-roles").map(list), roles);
    let json = |text: &str| serde_json::from_str::<Value>(&plain(text)).unwrap();
    let (a, claim) = (get("x-a").map(json), claims.get("a").filter(|a| !a.is_null()));
    assert!(a.iter().zip(claim).all(|(a, claim)| naive::alike(a, claim)), "{a:?} of {claim:?}");
    assert_eq!(a.is_some(), claim.is_some());
    let state = get("x-state").map(|text| naive::base64url(text.as_bytes()).unwrap());
    match (state, claims.get("state")) {
        (None, None | Some(Value::Null)) => {}
        (Some(bytes), Some(Value::String(text))) => assert_eq!(bytes, text.as_bytes()),
        (Some(bytes), Some(state)) => {
            let value = serde_json::from_slice(&bytes).unwrap();
            assert!(naive::alike(&value, state), "{value} of {state}");
        }
        (state, claim) => panic!("{state:?} of {claim:?}"),
    }
    assert_eq!(get("x-issuer"), claims["iss"].as_str());
    let payload = naive::base64url(get("x-payload").unwrap().as_bytes()).unwrap();
    let payload = Value::Object(naive::object(&payload).unwrap());
    assert!(naive::alike(&payload, &Value::Object(claims.clone())), "{payload}");
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The values of a claim, none of them an array or object; nothing where it is absent or null.
fn texts<'a>(claims: &'a Claims, name: &str) -> Option<Vec<Option<&'a str>>> {
    let items = match claims.get(name)? {
        Value::Null => return None,
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let flat = items.iter().all(|item| !item.is_array() && !item.is_object());
    flat.then(|| items.iter().map(Value::as_str).collect())
}

fn any_of(claims: &Claims, name: &str, accepted: &[&str]) -> Truth {
    let Some(texts) = texts(claims, name) else { return Truth::Unknown };
    if texts.iter().flatten().any(|text| accepted.contains(text)) {
        return Truth::True;
    }
    if texts.iter().all(Option::is_some) { Truth::False } else { Truth::Unknown }
}

fn every(claims: &Claims) -> Truth {
    let Some(texts) = texts(claims, "roles") else { return Truth::Unknown };
    if ["admin", "dev"].iter().all(|role| texts.contains(&Some(role))) {
        return Truth::True;
    }
    if texts.iter().all(Option::is_some) { Truth::False } else { Truth::Unknown }
}

/// A number by its distance from a small one, whose sign no rounding changes.
fn number(value: Option<&Value>, holds: fn(f64) -> bool, bound: i64) -> Truth {
    let distance = |number: &Number| match (number.as_i64(), number.as_f64()) {
        (Some(integer), _) => (i128::from(integer) - i128::from(bound)) as f64,
        (None, float) => float.unwrap() - bound as f64,
    };
    let number = value.and_then(Value::as_number);
    number.map_or(Truth::Unknown, |number| holds(distance(number)).into())
}

fn state(claims: &Claims) -> Truth {
    let Some(texts) = texts(claims, "state") else { return Truth::Unknown };
    let Some(texts) = texts.into_iter().collect::<Option<Vec<_>>>() else { return Truth::Unknown };
    let word = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase());
    texts.iter().any(word).into()
}

fn flag(claims: &Claims) -> Truth {
    match claims.get("flag") {
        None | Some(Value::Null) => Truth::True,
        Some(Value::Bool(flag)) => (*flag).into(),
        Some(_) => Truth::Unknown,
    }
}

fn scope(claims: &Claims) -> Truth {
    let scope = claims.get("scope").filter(|scope| !scope.is_null());
    match (scope, claims.get("scp")) {
        (Some(Value::String(text)), _) | (None, Some(Value::String(text))) => {
            text.split(' ').any(|scope| scope == "read").into()
        }
        (None, Some(Value::Array(items))) if items.iter().all(Value::is_string) => {
            items.iter().any(|scope| scope == "read").into()
        }
        _ => Truth::Unknown,
    }
}
