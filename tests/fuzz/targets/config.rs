//! Configurations: arbitrary bytes; what loads is held to its promises by a few requests.

use super::policy::{ENVIRONMENT, NOW, Policy, hash, sign};
use claimgate::policy::route::{Mode, TokenMode};
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::{Value, json};

pub fn check(data: &[u8]) {
    let loaded = Policy::load(data);
    let told = told(&loaded);
    // A worker whose load fails would serve open: all of them come to the same.
    assert_eq!(told, self::told(&Policy::load(data)));
    let value: Option<Value> = serde_json::from_slice(data).ok();
    // The name of a member that is there twice is shown, whatever it is.
    if let Some(value) = value.as_ref().filter(|_| !told.contains("duplicate member")) {
        let document = value.to_string();
        for secret in secrets(value) {
            // What stands elsewhere too is shown for that.
            let once = document.matches(&*secret).count() == 1;
            assert!(!once || !shows(&document, &told, &secret), "{told} shows {secret:?}");
        }
    }
    if !String::from_utf8_lossy(data).contains(ENVIRONMENT) {
        assert!(!told.contains(ENVIRONMENT), "{told} shows the environment");
    }
    let Ok(policy) = loaded else { return };
    // The serialised form of an empty Struct is no configuration at all.
    if let Some(value) = &value
        && value.as_object().is_some_and(|members| !members.is_empty())
        && fits_struct(value, 0)
    {
        let text = structure(value).encode_to_vec();
        let again = Policy::load(&text).unwrap_or_else(|error| panic!("not as a Struct: {error}"));
        // A Struct knows no whole numbers: 1.0 and 1 are one there, and compare as one here.
        let whole = |told: String| told.replace(".0)", ")");
        assert_eq!(whole(again.told()), whole(told), "another policy as a Struct");
    }
    decide(&policy, &value.unwrap_or_default(), hash(data));
}

fn told(loaded: &Result<Policy, String>) -> String {
    loaded.as_ref().map_or_else(String::clone, Policy::told)
}

/// Whether it is the secret that is shown, and no words of a message that it happens to be alike.
fn shows(document: &str, told: &str, secret: &str) -> bool {
    let turn = |c: char| match c {
        'z' => 'a',
        'a'..='y' | '0'..='8' => char::from(c as u8 + 1),
        c => c,
    };
    let other: String = secret.chars().map(turn).collect();
    told.contains(secret)
        && other != secret
        && !self::told(&Policy::load(document.replace(secret, &other).as_bytes())).contains(secret)
}

/// Asks for the paths that the configuration names, without a token and with several.
fn decide(policy: &Policy, value: &Value, choice: usize) {
    let mut tokens = vec![None, Some("eyJhbGciOiJub25lIn0.e30.".to_owned())];
    for (iss, audience) in policy.issuers().take(2) {
        let payload = json!({"iss": iss, "aud": audience.unwrap_or("x"), "exp": NOW + 60, "iat": NOW, "sub": "s"});
        // The one secret of the environment; any other issuer refuses it.
        let header = br#"{"alg":"HS256"}"#;
        tokens.push(Some(sign(header, payload.to_string().as_bytes(), ENVIRONMENT)));
    }
    let routes = value["routes"].as_array().cloned().unwrap_or_default();
    let named = |route: &Value, name: &str| route[name][0].as_str().map(str::to_owned);
    let mut targets =
        vec![("app.test".to_owned(), "/".to_owned()), ("x.test".to_owned(), "/a/b".to_owned())];
    for route in routes.iter().cycle().skip(choice % routes.len().max(1)).take(routes.len().min(3))
    {
        let path = named(route, "paths").unwrap_or_default().replace("**", "v/w").replace('*', "v");
        let host = named(route, "hosts").unwrap_or_else(|| "app.test".to_owned()).replace('*', "v");
        let label = |text: String| text.split(['{', '}']).collect::<String>();
        targets.push((label(host), label(path)));
    }
    for ((host, path), token) in
        targets.iter().flat_map(|target| tokens.iter().map(move |token| (target, token)))
    {
        if path.bytes().chain(host.bytes()).any(|byte| byte.is_ascii_control()) {
            continue;
        }
        let bearer = token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"GET"),
            (b":authority", host.as_bytes()),
            (b":path", path.as_bytes()),
        ];
        headers.extend(bearer.as_ref().map(|bearer| (&b"authorization"[..], bearer.as_bytes())));
        let outcome = policy.decide(&headers);
        let required =
            policy.route(&outcome).is_some_and(|route| route.token == TokenMode::Required);
        if token.is_none() && required {
            assert!(outcome.refusal.is_some() || outcome.mode == Mode::Shadow, "{path} is open");
        }
        assert!(token.is_some() || outcome.token.is_none(), "a token out of nothing");
    }
}

/// The texts where a configuration holds secrets, long enough to be no word of a message.
fn secrets(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let keys = value["issuers"].as_object().into_iter().flat_map(|issuers| issuers.values());
    let keys = keys.filter_map(|issuer| issuer["keys"].as_array()).flatten();
    for secret in keys.filter_map(|source| source.get("secret")) {
        texts(secret, &mut found);
        // The name of a variable is no secret.
        let name = secret["env"].as_str().unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        found.retain(|text| text != name || !text.bytes().all(plain) || text.len() > 64);
    }
    found.retain(|text| text.len() >= 16);
    found
}

fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            found.push(text.clone());
            // A message that was cut in two at a comma would show the rest.
            found.extend(text.split_once(", ").map(|(_, rest)| rest.to_owned()));
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(members) => members.iter().for_each(|(name, item)| {
            // What stands where a secret belongs may be one, even as a key.
            texts(&Value::from(name.as_str()), found);
            texts(item, found);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a Struct can say the same: exact numbers, and no deeper than the decoder of messages goes.
fn fits_struct(value: &Value, depth: usize) -> bool {
    depth < 20
        && match value {
            Value::Number(number) => number.as_f64().is_some_and(|float| float.abs() < 9e15),
            Value::Array(items) => items.iter().all(|item| fits_struct(item, depth + 1)),
            Value::Object(members) => members.values().all(|item| fits_struct(item, depth + 1)),
            Value::Null | Value::Bool(_) | Value::String(_) => true,
        }
}

fn structure(value: &Value) -> Struct {
    let members = value.as_object().into_iter().flatten();
    Struct { fields: members.map(|(name, value)| (name.clone(), plain(value))).collect() }
}

fn plain(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => {
            Kind::ListValue(ListValue { values: items.iter().map(plain).collect() })
        }
        Value::Object(_) => Kind::StructValue(structure(value)),
    };
    prost_types::Value { kind: Some(kind) }
}
