//! The shape of a token: what is no JWS in compact form is refused before any key is tried.

use std::sync::LazyLock;

use serde_json::json;

use crate::harness::keys::{P256, base64, base64url};
use crate::harness::token::{self, sign_bytes};
use crate::harness::{Proxy, Request, Setup, Table, claims, filter};

static PROXY: LazyLock<Proxy> =
    LazyLock::new(|| Proxy::start(Setup::new(filter(json!([{"name": "all", "paths": ["/**"]}])))));

const HEADER: &[u8] = br#"{"alg":"ES256","kid":"p256-1"}"#;

fn outcome(token: impl AsRef<str>) -> String {
    PROXY.send(Request::get("/").bearer(token)).outcome()
}

/// A correctly signed token with any payload.
fn with_payload(payload: impl AsRef<[u8]>) -> String {
    sign_bytes(&P256, "ES256", HEADER, payload.as_ref())
}

/// A correctly signed token with any header.
fn with_header(header: impl AsRef<[u8]>) -> String {
    sign_bytes(&P256, "ES256", header.as_ref(), &claims().to_bytes())
}

/// The usual claims with `members` put in front of them as they are.
fn payload_with(members: &str) -> Vec<u8> {
    let rest = claims().to_bytes();
    [b"{", members.as_bytes(), b",", &rest[1..]].concat()
}

#[test]
#[rustfmt::skip]
fn what_is_not_three_strict_segments_is_malformed() {
    let (header, payload, signature) = token::split(&claims().sign(&P256));
    let padded = base64(br#"{"alg":"ES256","kid":"p256-1" }"#);
    assert!(padded.ends_with('='), "the header has to need padding for this test");
    let mut table = Table::new();
    for (name, token) in [
        ("a word", "token".to_owned()),
        ("two segments", format!("{header}.{payload}")),
        ("four segments", format!("{header}.{payload}.{signature}.{signature}")),
        ("five segments, as a JWE", format!("{header}.{payload}.{signature}.{signature}.{signature}")),
        ("only dots", "..".to_owned()),
        ("no header", format!(".{payload}.{signature}")),
        ("no payload", format!("{header}..{signature}")),
        ("padding", format!("{padded}.{payload}.{signature}")),
        ("a plus", format!("{header}.{payload}.+{signature}")),
        ("a slash", format!("{header}.{payload}./{signature}")),
        ("a character that base64 lacks", format!("{header}.{payload}.!{signature}")),
        ("a blank within", format!("{header}. {payload}.{signature}")),
        ("a letter too many", format!("{header}.{payload}.{signature}AAA")),
        ("a percent sign", format!("{header}.{payload}%2E{signature}")),
    ] {
        table.row(name, outcome(&token), "token_malformed");
    }
    let unsigned = outcome(format!("{header}.{payload}."));
    table.row("no signature", unsigned, "token_malformed|signature_invalid");
    table.check();
}

#[test]
fn bits_that_no_byte_holds_are_malformed() {
    // 64 bytes are 86 characters, of the last of which 4 bits are left over and have to be zero.
    let (header, payload, mut signature) = token::split(&claims().sign(&P256));
    let last = signature.pop().unwrap();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = alphabet.iter().position(|letter| char::from(*letter) == last).unwrap();
    signature.push(char::from(alphabet[value + 1]));
    PROXY
        .send(Request::get("/").bearer(format!("{header}.{payload}.{signature}")))
        .refused("token_malformed");
}

#[test]
#[rustfmt::skip]
fn a_header_has_to_be_a_proper_object() {
    let deep = format!(r#"{{"alg":"ES256","x":{}1{}}}"#, "[".repeat(3000), "]".repeat(3000));
    let mut table = Table::new();
    for (name, header, expected) in [
        ("as usual", r#"{"alg":"ES256","kid":"p256-1"}"#, "allowed"),
        ("blanks in the JSON", " { \"alg\" : \"ES256\" }\n", "allowed"),
        ("an unknown member", r#"{"alg":"ES256","x-odd":[1,{"a":null}]}"#, "allowed"),
        ("no alg", r#"{"kid":"p256-1"}"#, "token_malformed"),
        ("alg is a number", r#"{"alg":256}"#, "token_malformed"),
        ("alg is null", r#"{"alg":null}"#, "token_malformed"),
        ("alg is a list", r#"{"alg":["ES256"]}"#, "token_malformed"),
        ("kid is a number", r#"{"alg":"ES256","kid":1}"#, "token_malformed"),
        ("typ is a number", r#"{"alg":"ES256","typ":1}"#, "token_malformed"),
        ("alg twice", r#"{"alg":"ES256","alg":"ES256"}"#, "token_malformed"),
        ("kid twice", r#"{"alg":"ES256","kid":"p256-1","kid":"p256-1"}"#, "token_malformed"),
        ("an odd member twice", r#"{"alg":"ES256","x":1,"x":1}"#, "token_malformed"),
        ("a member twice, once escaped", r#"{"alg":"ES256","\u0061lg":"ES256"}"#, "token_malformed"),
        ("a list", r#"["ES256"]"#, "token_malformed"),
        ("a string", r#""ES256""#, "token_malformed"),
        ("not JSON", "alg=ES256", "token_malformed"),
        ("cut off", r#"{"alg":"ES256""#, "token_malformed"),
        ("something after it", r#"{"alg":"ES256"}{}"#, "token_malformed"),
        ("a byte order mark", "\u{feff}{\"alg\":\"ES256\"}", "token_malformed"),
        ("a comment", r#"{"alg":"ES256"/**/}"#, "token_malformed"),
        ("nested too deep", deep.as_str(), "token_malformed"),
        ("an extension that is critical", r#"{"alg":"ES256","crit":["exp"],"exp":1}"#, "critical_header_unsupported"),
        ("b64, critical", r#"{"alg":"ES256","crit":["b64"],"b64":true}"#, "critical_header_unsupported"),
        ("nothing that is critical", r#"{"alg":"ES256","crit":[]}"#, "token_malformed"),
        ("crit is a string", r#"{"alg":"ES256","crit":"b64"}"#, "token_malformed|critical_header_unsupported"),
    ] {
        table.row(name, outcome(with_header(header)), expected);
    }
    table.row("not UTF-8", outcome(with_header(b"{\"alg\":\"ES256\",\"x\":\"\xff\"}")), "token_malformed");
    table.check();
}

#[test]
#[rustfmt::skip]
fn a_payload_has_to_be_a_proper_object() {
    let deep = |depth: usize| payload_with(&format!(r#""x":{}1{}"#, "[".repeat(depth), "]".repeat(depth)));
    let objects = payload_with(&format!(r#""x":{}1{}"#, r#"{"x":"#.repeat(1000), "}".repeat(1000)));
    let mut table = Table::new();
    for (name, payload, expected) in [
        ("as usual", claims().to_bytes(), "allowed"),
        ("moderately nested", deep(8), "allowed"),
        ("nested 3,000 deep", deep(3000), "token_malformed"),
        ("objects nested too deep", objects, "token_malformed"),
        ("brackets that never close", "[".repeat(5000).into_bytes(), "token_malformed"),
        ("sub twice", payload_with(r#""sub":"root""#), "token_malformed"),
        ("exp twice", payload_with(r#""exp":9999999999"#), "token_malformed"),
        ("aud twice", payload_with(r#""aud":"logs-api""#), "token_malformed"),
        ("an odd claim twice", payload_with(r#""x":1,"x":2"#), "token_malformed"),
        ("a claim twice, once escaped", payload_with(r#""\u0073ub":"root""#), "token_malformed"),
        ("twice within a claim", payload_with(r#""x":{"roles":["a"],"roles":["b"]}"#), "token_malformed"),
        ("a list", b"[]".to_vec(), "token_malformed"),
        ("null", b"null".to_vec(), "token_malformed"),
        ("a JWS within", b"eyJhbGciOiJub25lIn0.e30.".to_vec(), "token_malformed"),
        ("cut off", br#"{"iss":"https://idp.test""#.to_vec(), "token_malformed"),
        ("something after it", [claims().to_bytes(), b" x".to_vec()].concat(), "token_malformed"),
        ("two documents", [claims().to_bytes(), claims().to_bytes()].concat(), "token_malformed"),
        (
            "not UTF-8",
            payload_with("\"x\":\"?\"").iter().map(|b| if *b == b'?' { 0xff } else { *b }).collect(),
            "token_malformed",
        ),
        ("half a surrogate pair", payload_with(r#""x":"\ud800""#), "token_malformed"),
        ("a control character", payload_with("\"x\":\"a\nb\""), "token_malformed"),
        ("a trailing comma", payload_with(r#""x":[1,]"#), "token_malformed"),
        ("a leading zero", payload_with(r#""x":01"#), "token_malformed"),
        ("not a number", payload_with(r#""x":NaN"#), "token_malformed"),
        ("a zero character in a claim", payload_with(r#""x":"a\u0000b""#), "allowed"),
    ] {
        table.row(name, outcome(with_payload(payload)), expected);
    }
    table.check();
}

#[test]
#[rustfmt::skip]
fn a_registered_claim_of_the_wrong_type_is_malformed() {
    let mut table = Table::new();
    for (claim, values) in [
        ("iss", vec![json!(1), json!(["https://idp.test"]), json!(null), json!(true)]),
        ("sub", vec![json!(1), json!(["alice"]), json!({"id": "alice"}), json!(null)]),
        ("aud", vec![json!(1), json!([1]), json!(["logs-api", 1]), json!({"logs-api": true}), json!(null)]),
        ("jti", vec![json!(1), json!(["x"]), json!(null)]),
        ("exp", vec![json!("9999999999"), json!([9_999_999_999_i64]), json!(true), json!({}), json!(null)]),
        ("nbf", vec![json!("1"), json!([1]), json!(false), json!(null)]),
        ("iat", vec![json!("1"), json!([1]), json!(false), json!(null)]),
    ] {
        for value in values {
            let token = claims().with(claim, value.clone()).sign(&P256);
            table.row(format!("{claim}: {value}"), outcome(token), "token_malformed");
        }
    }
    table.check();
}

#[test]
#[rustfmt::skip]
fn an_authorization_value_is_read_strictly() {
    let token = claims().sign(&P256);
    let value = |value: String| PROXY.send(Request::get("/").header("authorization", value)).outcome();
    let mut table = Table::new();
    for (name, authorization, expected) in [
        ("Bearer", format!("Bearer {token}"), "allowed"),
        ("bearer", format!("bearer {token}"), "allowed"),
        ("BEARER", format!("BEARER {token}"), "allowed"),
        ("several blanks", format!("Bearer   {token}"), "allowed|token_malformed"),
        ("empty", String::new(), "token_missing"),
        ("another scheme", "Basic YWxpY2U6cGFzcw==".to_owned(), "token_missing"),
        ("the scheme and nothing else", "Bearer".to_owned(), "token_malformed"),
        ("the scheme and a blank", "Bearer ".to_owned(), "token_malformed"),
        ("no scheme", token.clone(), "token_missing"),
        ("the scheme somewhere within", format!("Basic x, Bearer {token}"), "token_missing|token_ambiguous"),
        ("a scheme that begins so", format!("BearerX {token}"), "token_missing"),
        ("something after the token", format!("Bearer {token} x"), "token_malformed"),
        ("two tokens", format!("Bearer {token}, Bearer {token}"), "token_malformed|token_ambiguous"),
        ("quotes", format!("Bearer \"{token}\""), "token_malformed"),
    ] {
        table.row(name, value(authorization), expected);
    }
    table.row("absent", PROXY.send(Request::get("/")).outcome(), "token_missing");
    let twice = Request::get("/").bearer(&token).bearer(&token);
    table.row("two headers", PROXY.send(twice).outcome(), "token_ambiguous");
    let two_schemes = Request::get("/").header("authorization", "Basic eA==").bearer(&token);
    // Envoy joins them with a comma, as one value of the first scheme.
    table.row("two headers of two schemes", PROXY.send(two_schemes).outcome(), "token_ambiguous|token_missing");
    table.check();
}

#[test]
fn the_unusual_base64_alphabet_is_the_right_one() {
    // Claims whose payload needs `-` and `_`.
    let token = claims().with("x", "\u{3ff}\u{3fb}?>\u{bff}~~~???").sign(&P256);
    assert!(base64url(b"\xfb\xff").contains(['-', '_']));
    PROXY.send(Request::get("/").bearer(token)).allowed();
}
