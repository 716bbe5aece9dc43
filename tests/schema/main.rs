//! The JSON Schema takes what loads, and refuses what does not for its shape; the committed one is the printed one.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use claimgate::config::{decode, schema};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

mod reference;
mod shipped;
mod validate;

/// What the schema has against a value.
struct Validator(Value);

impl Validator {
    fn errors(&self, value: &Value) -> Vec<String> {
        validate::errors(&self.0, value)
    }

    fn is_valid(&self, value: &Value) -> bool {
        self.errors(value).is_empty()
    }
}

fn validator() -> Validator {
    let document = schema::document();
    assert_eq!(document["$schema"], "https://json-schema.org/draft/2020-12/schema");
    Validator(document)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(path.to_str().unwrap(), found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn the_committed_schema_is_the_printed_one() {
    let printed =
        std::process::Command::new(env!("CARGO_BIN_EXE_claimgate")).arg("schema").output();
    let printed = String::from_utf8(printed.unwrap().stdout).unwrap();
    let committed = std::fs::read_to_string(root().join("docs/claimgate.schema.json")).unwrap();
    assert!(printed == committed, "run `claimgate schema > docs/claimgate.schema.json`");
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), schema::document());
}

/// The schema is never stricter than the mirror; where the mirror refuses, mostly the schema does too.
#[test]
fn the_schema_and_the_mirror_agree() {
    let validator = validator();
    let mut paths = Vec::new();
    files("tests/fuzz/seeds/config", &mut paths);
    files("tests/fuzz/regressions/config", &mut paths);
    let (mut taken, mut refused) = (0, 0);
    for path in paths {
        let Ok(value) = decode::decode(&std::fs::read(&path).unwrap()) else { continue };
        let loads = claimgate::config::load_value(
            value.clone(),
            "p",
            &|_| Some("A".repeat(88)),
            &claimgate::token::signature::Portable,
        );
        match (loads, validator.is_valid(&value)) {
            (Ok(_), valid) => {
                assert!(valid, "{} loads, and is not valid", path.display());
                taken += 1;
            }
            (Err(_), false) => refused += 1,
            (Err(_), true) => {}
        }
    }
    assert!(taken > 5 && refused > 2, "{taken} taken, {refused} refused");
}

/// A good configuration with every kind of member.
fn good() -> Value {
    json!({
        "version": 1,
        "x-anchors": [null, {"any": "thing"}],
        "issuers": {"corp": {
            "issuer": "i", "audiences": ["a"], "clock_skew": "30s", "max_lifetime": "250ms", "type": "at+jwt",
            "keys": [{"jwks": {"keys": [{"kty": "odd"}], "more": 1}}, {"remote": {"cluster": "c", "url": "https://u", "refresh": "5m"}}],
            "token_from": [{"header": "authorization", "scheme": "Bearer"}],
            "attributes": {"tenant": "/a/b"},
        }},
        "conditions": {"c": {"claim": "x", "equals": 1.5}},
        "routes": [{
            "name": "r", "paths": ["/"], "token": "optional", "mode": "shadow",
            "require": {"all": [
                {"not": {"ref": "c"}},
                {"claim": "x", "any_of": ["a", 1, true]},
                {"claim": "x", "at_least": 3, "absent": false},
                {"by_issuer": {"corp": {"method": true, "none_of": ["GET"]}}},
                {"peer": "uri_san", "present": true},
            ]},
        }],
        "identity": {"headers": {"x-a": "email", "x-b": {"attribute": "subject", "format": "csv"}}, "strip": ["x-internal-*"]},
        "audit": {"allowed": "none"},
        "path_safety": {"case": "insensitive"},
        "max_token_bytes": 100,
    })
}

#[test]
#[rustfmt::skip]
fn shapes_that_do_not_load_are_not_valid() {
    let validator = validator();
    assert_eq!(validator.errors(&good()), [""; 0]);
    let loads = claimgate::config::load_value(good(), "p", &|_| None, &claimgate::token::signature::Portable);
    assert_eq!(loads.err().map(|error| error.to_string()), None);
    let cases = [
        ("/isuers", json!({})),
        ("/X-anchors", json!({})),
        ("/version", json!("1")),
        ("/version", json!(null)),
        ("/max_token_bytes", json!(-1)),
        ("/max_token_bytes", json!("16k")),
        ("/mode", json!("dry")),
        ("/routes", json!({})),
        ("/routes/0", json!(["r"])),
        ("/routes/0", json!({"name": "r"})),
        ("/routes/0/paths", json!("/")),
        ("/routes/0/x-anchors", json!(1)),
        ("/routes/0/token", json!("maybe")),
        ("/routes/0/deny", json!("yes")),
        ("/routes/0/require", json!([])),
        ("/routes/0/require", json!({"al": []})),
        ("/routes/0/require/all/1/any_of", json!([])),
        ("/routes/0/require/all/1/any_of", json!("a")),
        ("/routes/0/require/all/1/any_of", json!([["a"]])),
        ("/routes/0/require/all/2/at_least", json!("3")),
        ("/routes/0/require/all/4/peer", json!("san")),
        ("/conditions/c/equals", json!({"a": 1})),
        ("/issuers/corp", json!({"issuer": "i"})),
        ("/issuers/corp/audience", json!("a")),
        ("/issuers/corp/clock_skew", json!("1 hour")),
        ("/issuers/corp/clock_skew", json!(30)),
        ("/issuers/corp/keys/0/jwks", json!("keys")),
        ("/issuers/corp/keys/0/secret", json!("hunter2")),
        ("/issuers/corp/keys/0/secret", json!({"encoding": "hex"})),
        ("/issuers/corp/keys/1/remote/max_stale", json!("soon")),
        ("/issuers/corp/keys/1/remote", json!({"cluster": "c"})),
        ("/identity/headers/x-a", json!(5)),
        ("/identity/headers/x-b", json!({"claims": "a"})),
        ("/identity/headers/x-b/format", json!("xml")),
        ("/path_safety/dots", json!("allow")),
        ("/path_safety/parameters", json!(true)),
        ("/version", json!(2)),
        ("/name", json!("Edge 1")),
        ("/max_token_bytes", json!(0)),
        ("/issuers/Corp", good()["issuers"]["corp"].clone()),
        ("/issuers/corp/audiences", json!([])),
        ("/issuers/corp/keys", json!([])),
        ("/issuers/corp/keys/0", json!({})),
        ("/issuers/corp/keys/0/pem", json!("a second source")),
        ("/issuers/corp/keys/1/remote/url", json!("ftp://idp.example.com/")),
        ("/issuers/corp/algorithms", json!(["RS255"])),
        ("/issuers/corp/algorithms", json!(["none"])),
        ("/issuers/corp/token_from", json!([])),
        ("/issuers/corp/token_from/0", json!({"scheme": "Bearer"})),
        ("/issuers/corp/token_from/0/cookie", json!("session")),
        ("/issuers/corp/attributes/Tenant", json!("tid")),
        ("/routes/0/name", json!("Read logs")),
        ("/routes/0/paths", json!([])),
        ("/routes/0/hosts", json!([])),
        ("/routes/0/methods", json!(["get"])),
        ("/routes/0/require", json!({})),
        ("/routes/0/require", json!({"claim": "x", "header": "y", "equals": "z"})),
        ("/routes/0/require", json!({"all": [{"ref": "c"}], "ref": "c"})),
        ("/routes/0/require/all", json!([])),
        ("/routes/0/require", json!({"method": false, "any_of": ["GET"]})),
        ("/identity/headers/x-b/claim", json!("a second source")),
        ("/responses", json!({"body": {"nope": {"text": "no"}}})),
        ("/audit/allowed", json!(0)),
        ("/audit/allowed", json!(1.5)),
    ];
    for (place, value) in cases {
        let mut configuration = good();
        let (parent, name) = place.rsplit_once('/').unwrap();
        match configuration.pointer_mut(parent).unwrap() {
            Value::Array(items) => items[name.parse::<usize>().unwrap()] = value.clone(),
            parent => parent[name] = value.clone(),
        }
        let errors = validator.errors(&configuration);
        assert!(!errors.is_empty(), "{place} = {value} is valid");
        let loads = claimgate::config::load_value(configuration, "p", &|_| None, &claimgate::token::signature::Portable);
        let refused = loads.err().unwrap_or_else(|| panic!("{place} = {value} loads"));
        // An editor underlines what the filter names, or what it stands in.
        let named = pointer(&refused.place.to_string());
        let alike = |error: &String| {
            let there = error.split(": not ").next().unwrap();
            named.starts_with(there) || there.starts_with(&named)
        };
        let near = |error: &&String| !error.starts_with(": not ") || named.matches('/').count() < 2;
        assert!(errors.iter().filter(near).any(alike), "{refused}: {errors:?}");
    }
}

/// A place as a JSON Pointer.
fn pointer(place: &str) -> String {
    let place = if place == "configuration" { "" } else { place };
    let steps = place.replace("[\"", ".").replace("\"]", "").replace('[', ".").replace(']', "");
    let steps = steps.split('.').filter(|step| !step.is_empty());
    steps.map(|step| format!("/{step}")).collect()
}

/// What an editor shows: every member is described.
#[test]
fn every_member_is_described() {
    let document = schema::document();
    let definitions = document["$defs"].as_object().unwrap().iter();
    let objects =
        definitions.map(|(name, of)| (name.as_str(), of)).chain([("the document", &document)]);
    let mut count = 0;
    for (name, of) in objects {
        for (member, shape) in of["properties"].as_object().into_iter().flatten() {
            let described = shape["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(described, "{name}.{member}: {shape}");
            count += 1;
        }
    }
    assert!(count > 80, "only {count} members");
}
