//! Raw signatures: Wycheproof, the JOSE cookbook, and tokens of other libraries' tests.

use super::{b64, data, text};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claimgate::token::key::{Key, parse_jwks, parse_pem, parse_secret};
use claimgate::token::signature::{Algorithm, Portable};
use serde_json::{Value, json};

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap().as_bytes();
    text.chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn wycheproof() {
    let cases = [
        ("ecdsa_secp256r1_sha256_p1363", "ES256"),
        ("ecdsa_secp384r1_sha384_p1363", "ES384"),
        ("ecdsa_secp521r1_sha512_p1363", "ES512"),
        ("ecdsa_secp256k1_sha256_p1363", "ES256K"),
        ("ed25519", "EdDSA"),
        ("rsa_signature_2048_sha256", "RS256"),
        ("rsa_signature_2048_sha384", "RS384"),
        ("rsa_signature_2048_sha512", "RS512"),
        ("rsa_pss_2048_sha256_mgf1_32", "PS256"),
        ("rsa_pss_2048_sha384_mgf1_48", "PS384"),
    ];
    for (file, alg) in cases {
        let algorithm = Algorithm::parse(alg).unwrap();
        let Some(suite) = data(&format!("wycheproof/{file}_test.json")) else {
            return;
        };
        let mut run = 0;
        for group in suite["testGroups"].as_array().unwrap() {
            let key = parse_pem(group["publicKeyPem"].as_str().unwrap(), None, None, &Portable);
            let key = key.unwrap();
            for test in group["tests"].as_array().unwrap() {
                run += 1;
                let verified = key.verify(algorithm, &hex(&test["msg"]), &hex(&test["sig"]));
                match test["result"].as_str().unwrap() {
                    "valid" => assert!(verified, "{file} {}", test["tcId"]),
                    "invalid" => assert!(!verified, "{file} {}", test["tcId"]),
                    // A legacy encoding: to be refused or not.
                    _ => {}
                }
            }
        }
        assert_eq!(run, suite["numberOfTests"], "{file}");
    }
}

/// The key of a test, whatever private members it has.
fn key(jwk: &Value) -> Option<Key> {
    let mut public = jwk.clone();
    for private in ["d", "p", "q", "dp", "dq", "qi"] {
        public.as_object_mut()?.remove(private);
    }
    if public["kty"] == "oct" {
        return parse_secret(b64(public["k"].as_str()?), None, None, &Portable).ok();
    }
    parse_jwks(&json!({"keys": [public]}), None, &Portable).unwrap().0.pop()
}

/// Whether the signature of a token verifies, whatever its payload.
fn verifies(key: &Key, token: &str) -> bool {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let decode = |segment: &str| URL_SAFE_NO_PAD.decode(segment).ok();
    let header = decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    let algorithm = header["alg"].as_str().and_then(Algorithm::parse);
    algorithm
        .zip(decode(signature))
        .is_some_and(|(algorithm, signature)| key.verify(algorithm, input.as_bytes(), &signature))
}

#[test]
fn rfc_examples() {
    let Some(examples) = data("rfc_jose_cookbook/rfc7515_rfc8037_examples.json") else {
        return;
    };
    for case in examples["cases"].as_array().unwrap() {
        let verified = case["public_jwk"].is_object()
            && verifies(&key(&case["public_jwk"]).unwrap(), case["token"].as_str().unwrap());
        assert_eq!(verified, case["signature_valid"], "{}", case["name"]);
    }
}

#[test]
fn cookbooks() {
    let Some(cookbook) = data("jose_panva/cookbook_jws.json") else {
        return;
    };
    let mut examples = cookbook.as_array().unwrap().clone();
    for file in [
        "jws/4_1.rsa_v15_signature",
        "jws/4_2.rsa-pss_signature",
        "jws/4_3.ecdsa_signature",
        "jws/4_4.hmac-sha2_integrity_protection",
        "curve25519/jws",
    ] {
        examples.push(data(&format!("rfc_jose_cookbook/{file}.json")).unwrap());
    }
    let mut verified = 0;
    for example in &examples {
        let Some(token) = example["output"]["compact"].as_str() else {
            continue;
        };
        // ML-DSA is no algorithm here; its keys are skipped as any unknown kind is.
        match key(&example["input"]["key"]) {
            Some(key) => {
                assert!(verifies(&key, token), "{}", example["title"]);
                verified += 1;
            }
            None => assert!(example["title"].as_str().unwrap().contains("ML-DSA")),
        }
    }
    assert_eq!(verified, 10);
}

#[test]
fn golang_jwt() {
    let Some(tokens) = data("malformed/jwt/golang_jwt_tokens.json") else {
        return;
    };
    let pem = |name: &str| text(&format!("malformed/jwt/golang_jwt_keys/{name}")).unwrap();
    let mut run = 0;
    for case in tokens["cases"].as_array().unwrap() {
        let file = match (case["file"].as_str(), case["key_file"].as_str()) {
            (Some("rsa_test.go" | "rsa_pss_test.go"), _) => "sample_key.pub".to_owned(),
            (Some("ecdsa_test.go" | "ed25519_test.go"), _) => {
                let keys = case["keys"].as_str().unwrap();
                let name = keys.split("\"public\": \"test/").nth(1).unwrap();
                name.split('"').next().unwrap().to_owned()
            }
            (None, Some(file)) => file.trim_start_matches("test/").to_owned(),
            _ => continue,
        };
        let key = parse_pem(&pem(&file), None, None, &Portable).unwrap();
        let token = case["token"].as_str().unwrap();
        // A salt longer than the digest (RFC 7518 section 3.5), and an unregistered name.
        let excepted = token.starts_with("eyJhbGciOiJQUz") || case["header_alg"] == "ED25519";
        let valid = case["valid"] == true && !excepted;
        let shaped = token.split('.').count() == 3 && !token.contains(' ');
        assert_eq!(shaped && verifies(&key, token), valid, "{}", case["test"]);
        run += 1;
    }
    assert!(run > 15, "only {run} cases");
}

#[test]
fn seeds_of_envoys_fuzzer() {
    for seed in ["ec", "okp", "rsa", "pem", "x509", "hmac"] {
        let Some(text) = text(&format!("jwt_verify_lib/fuzz_corpus/jwks_{seed}.txt")) else {
            return;
        };
        let member = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim()[1..line.trim().len() - 1].replace("\\n", "\n")
        };
        let (token, set) = (member("jwt:"), member("jwks:"));
        let pem = |text: &str| parse_pem(text, None, None, &Portable).unwrap();
        let keys = match seed {
            "pem" => vec![pem(&set)],
            "x509" => set
                .split("\": \"")
                .skip(1)
                .map(|rest| pem(rest.split('"').next().unwrap()))
                .collect(),
            _ => match claimgate::json::parse(set.as_bytes()) {
                Ok(set) => parse_jwks(&set, None, &Portable).unwrap().0,
                Err(_) => Vec::new(),
            },
        };
        // The symmetric set has a trailing comma, and would not count anyway.
        assert_eq!(keys.iter().any(|key| verifies(key, &token)), seed != "hmac", "{seed}");
    }
}
