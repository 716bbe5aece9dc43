//! The compact form: arbitrary bytes as a token, as they are and signed anew with a known secret.

use super::naive;
use super::policy::{NOW, Policy, RULES, encode, hash, tag};
use claimgate::token::compact;
use claimgate::token::failure::Failure;
use serde_json::Value;

/// Tokens of `policy.json`'s asymmetric keys, whose private halves nobody has.
const SIGNED: [&[u8]; 3] = [
    include_bytes!("../seeds/compact/es256"),
    include_bytes!("../seeds/compact/eddsa"),
    include_bytes!("../seeds/compact/ps256"),
];

pub fn check(data: &[u8]) {
    takes_apart(data);
    Policy::fixed(|policy| {
        believes_no_stranger(policy, data);
        policy.check_memory(data);
        believes_only_what_was_signed(policy, data);
    });
}

/// A token is taken apart exactly where the plain reading takes it apart, and into the same parts.
fn takes_apart(data: &[u8]) {
    if let Some(limit) = data.len().checked_sub(1) {
        assert!(
            compact::parse(data, limit, &compact::Headers::default()).is_err(),
            "longer than the limit"
        );
    }
    let naive = naive::token(data).filter(|(header, ..)| naive::header(header));
    match (compact::parse(data, data.len(), &compact::Headers::default()), naive) {
        (Ok(compact), Some((header, payload, signature))) => {
            let text = |name| header.get(name).and_then(Value::as_str);
            assert_eq!(Some(&*compact.header.alg), text("alg"));
            assert_eq!(compact.header.kid.as_deref(), text("kid"));
            assert_eq!(compact.header.typ.as_deref(), text("typ"));
            assert_eq!(compact.payload, payload);
            assert_eq!(compact.signature, signature);
            let signature = encode(&signature);
            let again = [compact.signing_input, b".", signature.as_bytes()].concat();
            assert_eq!(again, data, "two tokens of the same parts");
        }
        (Err(_), None) => {}
        (Ok(_), None) => panic!("taken apart, but is no token"),
        (Err(error), Some(_)) => panic!("not taken apart, but is a token: {error}"),
    }
}

/// Nothing verifies that no key of the policy has signed.
fn believes_no_stranger(policy: &Policy, data: &[u8]) {
    match policy.verify(data) {
        Ok(token) => {
            let input = signing_input(data).unwrap();
            let iss = token.claims()["iss"].as_str().unwrap();
            match RULES.iter().find(|rules| rules.iss == iss) {
                Some(rules) => {
                    let sent = data.rsplit(|byte| *byte == b'.').next().unwrap();
                    assert_eq!(sent, encode(&tag(input, rules.secret)).as_bytes(), "forged");
                }
                None => {
                    assert!(SIGNED.iter().any(|own| signing_input(own) == Some(input)), "forged")
                }
            }
        }
        Err(failure) => check_failure(&failure, data),
    }
}

/// What the issuer's secret has signed verifies as it is, and is refused after any change.
fn believes_only_what_was_signed(policy: &Policy, data: &[u8]) {
    let Some(input) = signing_input(data) else { return };
    let Some((header, claims, _)) = naive::token(&[input, b"."].concat()) else { return };
    let iss = claims.get("iss").and_then(Value::as_str);
    let Some(index) = RULES.iter().position(|rules| Some(rules.iss) == iss) else { return };
    let sign = |secret| [input, b".", encode(&tag(input, secret)).as_bytes()].concat();
    let token = sign(RULES[index].secret);
    let kid = |own: &Value| index != 0 || own == "p1";
    // The other secrets stand without a `kid`, which then takes every one.
    let known = header.get("kid").is_none_or(kid);
    let acceptable = naive::header(&header)
        && header["alg"] == "HS256"
        && known
        && naive::claims(&claims, &RULES[index]);
    let verified = policy.verify(&token);
    assert_eq!(verified.is_ok(), acceptable, "{verified:?} at {NOW}");
    match &verified {
        Ok(verified) => assert_eq!(verified.claims(), &claims),
        Err(failure) => check_failure(failure, &token),
    }
    policy.check_memory(&token);
    let other = sign(RULES[(index + 1) % RULES.len()].secret);
    assert!(policy.verify(&other).is_err(), "signed by another issuer");
    let mut flipped = token.clone();
    flipped[hash(data) % token.len()] ^= 1 << (hash(data) / token.len() % 8);
    let changed = [
        flipped,
        [&token[..], b"="].concat(),
        [&token[..], b"."].concat(),
        [&token[..], b"\n"].concat(),
        [b" ", &token[..]].concat(),
        token[..token.len() - 1].to_vec(),
    ];
    for changed in &changed {
        assert!(policy.verify(changed).is_err(), "{}", String::from_utf8_lossy(changed));
    }
    // Once more, now that its relatives were refused.
    assert_eq!(policy.verify(&token).map(|_| ()).err(), verified.err());
}

/// Header and payload as they stand, where there are at least these two.
fn signing_input(token: &[u8]) -> Option<&[u8]> {
    let mut dots = token.iter().enumerate().filter(|(_, byte)| **byte == b'.');
    dots.next()?;
    let end = dots.next().map_or(token.len(), |(end, _)| end);
    token.get(..end)
}

fn check_failure(failure: &Failure, token: &[u8]) {
    let told = failure.error.to_string();
    assert!(told.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{told:?}");
    let Ok(text) = std::str::from_utf8(token) else { return };
    // Fewer dots and letters may make a word of a message.
    if text.len() >= 16 && text.matches('.').count() > 1 {
        assert!(!told.contains(text) && !format!("{failure:?}").contains(text), "{told}");
    }
}
