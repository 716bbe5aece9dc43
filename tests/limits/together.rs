//! What is counted together.

use crate::gate::*;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

#[test]
fn a_subject_is_counted_with_its_issuer_whatever_its_token() {
    let bob = ask(Some(&token("b", &json!({"sub": "alice"}))));
    together(
        &three(json!({})),
        &by("alice"),
        &[
            ("the same of another issuer", bob, false),
            ("another one", by("alice2"), false),
            ("another token", ask(Some(&token("a", &json!({"jti": "2"})))), true),
            ("another address", by("alice").from("203.0.113.9"), true),
            ("another route", by("alice").to("/two"), true),
            ("no subject", ask(Some(&token("a", &json!({"sub": null})))), false),
            ("nobody", ask(None).to("/open"), false),
        ],
    );
}

#[test]
fn an_issuer_is_counted_by_the_name_that_the_operator_gave_it() {
    let of_b = ask(Some(&token("b", &json!({}))));
    let gate = three(json!({"by": ["issuer"]}));
    together(
        &gate,
        &by("alice"),
        &[("another subject", by("bob"), true), ("another one", of_b, false)],
    );
}

#[test]
fn a_token_is_counted_by_what_is_signed() {
    let one = token("a", &json!({"jti": "1"}));
    let gate = three(json!({"by": ["token"]}));
    let other = token("a", &json!({"jti": "2"}));
    together(
        &gate,
        &ask(Some(&one)),
        &[
            ("elsewhere", ask(Some(&one)).to("/two").from("203.0.113.9"), true),
            ("another token", ask(Some(&other)), false),
        ],
    );
    // Whoever has one ECDSA signature can make another one.
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(32);
    let mut configuration = configuration(json!([limit(json!({"by": ["token"]}))]));
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)});
    configuration["issuers"]["a"]["keys"] = json!([{"jwks": {"keys": [jwk]}}]);
    let payload = json!({"iss": "a", "sub": "alice", "exp": NOW + 60}).to_string();
    let input = format!("{}.{}", encode(br#"{"alg":"ES256"}"#), encode(payload.as_bytes()));
    let signature: Signature = key.sign(input.as_bytes());
    let (r, s) = signature.split_scalars();
    let mirrored = Signature::from_scalars(r, -s).unwrap();
    assert_ne!(signature, mirrored);
    let [one, other] = [signature, mirrored]
        .map(|signature| ask(Some(&format!("{input}.{}", encode(&signature.to_bytes())))));
    together(&Gate::of(configuration.clone()), &one, &[("mirrored", other.clone(), true)]);
    assert_eq!(Gate::of(configuration).send(&other), "allowed", "it verifies");
}

#[test]
fn an_address_of_version_4_is_one_client_and_one_of_version_6_its_network_of_64_bits() {
    let gate = || three(json!({"by": ["client_address"]}));
    together(
        &gate(),
        &by("alice"),
        &[
            ("the same for another subject", by("bob"), true),
            ("the same without a token", ask(None).to("/open"), true),
            ("its neighbour", by("alice").from("192.0.2.2"), false),
            ("one of version 6", by("alice").from("2001:db8::c000:201"), false),
        ],
    );
    together(
        &gate(),
        &by("alice").from("2001:db8:0:1::1"),
        &[
            ("the same network", by("alice").from("2001:db8:0:1:ffff:ffff:ffff:ffff"), true),
            ("the next one", by("alice").from("2001:db8:0:2::1"), false),
        ],
    );
    let unknown = Ask { address: None, ..by("alice") };
    together(&gate(), &unknown, &[("as unknown", Ask { address: None, ..by("bob") }, true)]);
}

#[test]
fn a_route_is_counted_by_its_name_and_parts_are_counted_together() {
    together(
        &three(json!({"by": ["route"]})),
        &by("alice"),
        &[("another subject", by("bob"), true), ("another route", by("alice").to("/two"), false)],
    );
    together(
        &three(json!({"by": ["subject", "route"]})),
        &by("alice"),
        &[
            ("another subject", by("bob"), false),
            ("another route", by("alice").to("/two"), false),
            ("another address", by("alice").from("203.0.113.9"), true),
        ],
    );
}

#[test]
fn a_claim_is_counted_by_its_value_and_its_type() {
    let of = |tenant: Value| ask(Some(&token("a", &json!({"tenant": tenant}))));
    let gate = || three(json!({"by": [{"claim": "tenant"}]}));
    let other_issuer = ask(Some(&token("b", &json!({"tenant": "1"}))));
    together(
        &gate(),
        &of(json!("1")),
        &[
            ("a number", of(json!(1)), false),
            ("another text", of(json!("1 ")), false),
            ("another issuer", other_issuer, true),
            ("another address", of(json!("1")).from("203.0.113.9"), true),
        ],
    );
    together(
        &gate(),
        &of(json!({"a": [1, true]})),
        &[
            ("the same", of(json!({"a": [1, true]})), true),
            ("another one", of(json!({"a": [1, false]})), false),
        ],
    );
    let deep = three(json!({"by": [{"claim": "/org/id"}]}));
    let of = |id: &str| ask(Some(&token("a", &json!({"org": {"id": id}}))));
    together(&deep, &of("x"), &[("another one", of("y"), false)]);
}

#[test]
fn what_is_not_there_is_counted_by_the_address_and_apart_from_what_is() {
    let without = |claim: &str| ask(Some(&token("a", &json!({ claim: null }))));
    for (by, path, absent) in [
        (json!(["subject"]), "/one", without("sub")),
        (json!(["subject"]), "/optional", ask(None)),
        (json!(["issuer"]), "/optional", ask(None)),
        (json!(["token"]), "/optional", ask(None)),
        (json!(["token"]), "/open", ask(Some("not.looked.at"))),
        (json!([{"claim": "tenant"}]), "/one", without("tenant")),
    ] {
        let gate = three(json!({ "by": by }));
        together(
            &gate,
            &absent.clone().to(path),
            &[
                ("another address", absent.clone().to(path).from("203.0.113.9"), false),
                ("one that has it", ask(Some(&token("a", &json!({"tenant": "t"})))), false),
            ],
        );
    }
    // What did not verify identifies nobody.
    let forged = |subject: &str| {
        let token = token("a", &json!({ "sub": subject }));
        ask(Some(&format!("{token}x"))).to("/lenient")
    };
    together(
        &three(json!({})),
        &forged("alice"),
        &[
            ("another name", forged("bob"), true),
            ("the true one", by("alice").to("/lenient"), false),
        ],
    );
}
