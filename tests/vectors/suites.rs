//! The signature suites as one list: Wycheproof, the JOSE cookbook, and tokens of other libraries' tests.

use super::case::{Case, Keys};
use super::files::{b64, data, text};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

type Suite = fn() -> Option<Vec<Case>>;

/// Every case, if the data is there.
pub fn signatures() -> Option<Vec<Case>> {
    // (suite, how many of its cases verify, how many do not, how many may do either)
    let suites: [(_, Suite, _); 5] = [
        ("Wycheproof", wycheproof, (1034, 1251, 3)),
        ("RFC examples", rfc_examples, (5, 0, 0)),
        ("cookbooks", cookbooks, (10, 3, 0)),
        ("golang-jwt", golang_jwt, (8, 10, 0)),
        ("seeds of Envoy's fuzzer", seeds_of_envoys_fuzzer, (5, 1, 0)),
    ];
    let mut all = Vec::new();
    for (name, suite, want) in suites {
        let cases = suite()?;
        let count = |expected| cases.iter().filter(|case| case.expected == expected).count();
        assert_eq!((count(Some(true)), count(Some(false)), count(None)), want, "{name}");
        all.extend(cases);
    }
    Some(all)
}

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap().as_bytes();
    text.chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn wycheproof() -> Option<Vec<Case>> {
    let mut cases = Vec::new();
    for (file, algorithm) in [
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
    ] {
        let suite = data(&format!("wycheproof/{file}_test.json"))?;
        let before = cases.len();
        for group in suite["testGroups"].as_array().unwrap() {
            let keys = Keys::Pem(vec![group["publicKeyPem"].as_str().unwrap().to_owned()]);
            for test in group["tests"].as_array().unwrap() {
                cases.push(Case {
                    name: format!("{file} {}", test["tcId"]),
                    keys: keys.clone(),
                    algorithm: algorithm.to_owned(),
                    message: hex(&test["msg"]),
                    signature: hex(&test["sig"]),
                    expected: match test["result"].as_str().unwrap() {
                        "valid" => Some(true),
                        "invalid" => Some(false),
                        // A legacy encoding: to be refused or not.
                        _ => None,
                    },
                });
            }
        }
        assert_eq!(cases.len() - before, suite["numberOfTests"], "{file}");
    }
    Some(cases)
}

/// The key of a test, whatever private members it has.
fn keys(jwk: &Value) -> Keys {
    if jwk["kty"] == "oct" {
        return Keys::Secret(b64(jwk["k"].as_str().unwrap()));
    }
    let mut public = jwk.clone();
    for private in ["d", "p", "q", "dp", "dq", "qi"] {
        public.as_object_mut().unwrap().remove(private);
    }
    Keys::Jwks(json!({"keys": [public]}))
}

/// The signature of a token, whatever its payload. One that cannot be taken apart is no case, and may not be valid.
fn token(name: &str, keys: Keys, token: &str, valid: bool) -> Option<Case> {
    let decode = |segment: &str| URL_SAFE_NO_PAD.decode(segment).ok();
    let case = || {
        let (input, signature) = token.rsplit_once('.')?;
        let header = input.split('.').next()?;
        let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
        Some(Case {
            name: name.to_owned(),
            keys,
            algorithm: header["alg"].as_str()?.to_owned(),
            message: input.into(),
            signature: decode(signature)?,
            expected: Some(valid),
        })
    };
    let case = case();
    assert!(case.is_some() || !valid, "{name}");
    case
}

fn rfc_examples() -> Option<Vec<Case>> {
    let examples = data("rfc_jose_cookbook/rfc7515_rfc8037_examples.json")?;
    // But for the unsecured one, which has no key.
    let signed =
        examples["cases"].as_array().unwrap().iter().filter(|case| !case["public_jwk"].is_null());
    let case = |case: &Value| {
        let [name, compact] = ["name", "token"].map(|member| case[member].as_str().unwrap());
        token(name, keys(&case["public_jwk"]), compact, case["signature_valid"] == true)
    };
    Some(signed.filter_map(case).collect())
}

fn cookbooks() -> Option<Vec<Case>> {
    let mut examples = data("jose_panva/cookbook_jws.json")?.as_array().unwrap().clone();
    for file in [
        "jws/4_1.rsa_v15_signature",
        "jws/4_2.rsa-pss_signature",
        "jws/4_3.ecdsa_signature",
        "jws/4_4.hmac-sha2_integrity_protection",
        "curve25519/jws",
    ] {
        examples.push(data(&format!("rfc_jose_cookbook/{file}.json"))?);
    }
    let case = |example: &Value| {
        let title = example["title"].as_str().unwrap();
        let compact = example["output"]["compact"].as_str()?;
        // ML-DSA is no algorithm here; its keys are skipped as any unknown kind is.
        token(title, keys(&example["input"]["key"]), compact, !title.contains("ML-DSA"))
    };
    Some(examples.iter().filter_map(case).collect())
}

fn golang_jwt() -> Option<Vec<Case>> {
    let tokens = data("malformed/jwt/golang_jwt_tokens.json")?;
    let mut cases = Vec::new();
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
        let pem = text(&format!("malformed/jwt/golang_jwt_keys/{file}"))?;
        let compact = case["token"].as_str().unwrap();
        // A salt longer than the digest (RFC 7518 section 3.5), and an unregistered name.
        let excepted = compact.starts_with("eyJhbGciOiJQUz") || case["header_alg"] == "ED25519";
        let valid = case["valid"] == true && !excepted;
        let shaped = compact.split('.').count() == 3 && !compact.contains(' ');
        assert!(shaped || !valid, "{}", case["test"]);
        if shaped {
            let name = format!("golang-jwt {}", case["test"]);
            cases.extend(token(&name, Keys::Pem(vec![pem]), compact, valid));
        }
    }
    Some(cases)
}

fn seeds_of_envoys_fuzzer() -> Option<Vec<Case>> {
    let mut cases = Vec::new();
    for seed in ["ec", "okp", "rsa", "pem", "x509", "hmac"] {
        let text = text(&format!("jwt_verify_lib/fuzz_corpus/jwks_{seed}.txt"))?;
        let member = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim()[1..line.trim().len() - 1].replace("\\n", "\n")
        };
        let set = member("jwks:");
        let x509 =
            || set.split("\": \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        let keys = match seed {
            "pem" => Keys::Pem(vec![set]),
            "x509" => Keys::Pem(x509().collect()),
            _ => Keys::Jwks(claimgate::json::parse(set.as_bytes()).unwrap()),
        };
        // A symmetric key of a set never counts.
        cases.extend(token(&format!("seed {seed}"), keys, &member("jwt:"), seed != "hmac"));
    }
    Some(cases)
}
