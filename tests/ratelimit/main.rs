//! The two files of limits in `examples/global-rate-limit`, for Limitador and for envoyproxy/ratelimit, say the same of the
//! descriptors that its `envoy.yaml` makes. What the first one does is tried with real Envoys in `test_ratelimit.py`;
//! the second is read here as that server reads it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// The descriptors that requests can have, and the limit of Limitador's file that each of them is to get.
const DESCRIPTORS: &[(&[(&str, &str)], &str)] = &[
    (&[("issuer", "corp"), ("subject", "alice")], "person"),
    (&[("issuer", "corp"), ("plan", "free"), ("subject", "alice")], "person"),
    (&[("issuer", "corp"), ("plan", "pro"), ("subject", "alice")], "pro"),
    (&[("identity", "none"), ("remote_address", "192.0.2.1")], "anonymous"),
    (&[("issuer", "corp"), ("tenant", "acme")], "tenant"),
];

/// The members that envoyproxy/ratelimit knows; it refuses a file with any other.
const MEMBERS: &[&str] =
    &["domain", "descriptors", "key", "value", "rate_limit", "unit", "requests_per_unit"];

fn read(file: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/global-rate-limit");
    serde_saphyr::from_str(&std::fs::read_to_string(folder.join(file)).unwrap()).unwrap()
}

/// Every value of this member, at any depth.
fn members<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    let (own, below): (Option<&Value>, Vec<&Value>) = match value {
        Value::Object(object) => (object.get(name), object.values().collect()),
        Value::Array(items) => (None, items.iter().collect()),
        _ => (None, Vec::new()),
    };
    own.into_iter().chain(below.into_iter().flat_map(|inner| members(inner, name))).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no text `{name}` in {value}"))
}

/// The lists of keys that a list of actions can make: an action that may be skipped doubles them.
fn keys(actions: &[Value]) -> Vec<Vec<String>> {
    let mut made = vec![Vec::new()];
    for action in actions {
        let (kind, settings) = action.as_object().unwrap().iter().next().unwrap();
        let key = match kind.as_str() {
            "remote_address" => "remote_address",
            "request_headers" | "header_value_match" => text(settings, "descriptor_key"),
            other => panic!("what key does `{other}` make?"),
        };
        let skipped = made.clone();
        made.iter_mut().for_each(|keys: &mut Vec<String>| keys.push(key.to_owned()));
        if settings["skip_if_absent"] == true {
            made.extend(skipped);
        }
    }
    made
}

/// The limit that envoyproxy/ratelimit applies: level by level the descriptor with key and value, else the one with the key
/// alone; the last level's, and none where a level is missing.
fn limit_of<'a>(mut level: &'a Value, entries: &[(&str, &str)]) -> Option<&'a Value> {
    let mut limit = None;
    for (key, value) in entries {
        let find = |wanted: Option<&str>| {
            let mut here = list(&level["descriptors"]).iter();
            here.find(|descriptor| {
                descriptor["key"] == *key && descriptor["value"].as_str() == wanted
            })
        };
        level = find(Some(value)).or_else(|| find(None))?;
        limit = level.get("rate_limit");
    }
    limit
}

#[test]
fn the_table_has_every_descriptor_that_envoy_makes_and_no_other() {
    let envoy = read("envoy.yaml");
    let all = members(&envoy, "rate_limits");
    assert_eq!(all.len(), 1, "one route is limited");
    let made: BTreeSet<Vec<String>> =
        list(all[0]).iter().flat_map(|limit| keys(list(&limit["actions"]))).collect();
    let known: BTreeSet<Vec<String>> = DESCRIPTORS
        .iter()
        .map(|(entries, _)| entries.iter().map(|(key, _)| (*key).to_owned()).collect())
        .collect();
    assert_eq!(made, known);
    let matched = members(&envoy, "header_value_match");
    assert!(matched.iter().all(|found| text(found, "descriptor_value") == "none"));
}

#[test]
fn both_files_limit_each_descriptor_alike() {
    let (config, limits) = (read("ratelimit/config.yaml"), read("limitador/limits.yaml"));
    let mut used = BTreeSet::new();
    for (entries, name) in DESCRIPTORS {
        let limitador = list(&limits).iter().find(|limit| limit["name"] == *name).unwrap();
        let found = limit_of(&config, entries);
        let found = found.unwrap_or_else(|| panic!("{entries:?} is not limited"));
        assert_eq!(found["requests_per_unit"], limitador["max_value"], "{entries:?}");
        let seconds = match text(found, "unit") {
            "second" => 1,
            "minute" => 60,
            "hour" => 3600,
            "day" => 86400,
            other => panic!("`{other}` is no unit of envoyproxy/ratelimit"),
        };
        assert_eq!(limitador["seconds"], seconds, "{entries:?}");
        used.insert(std::ptr::from_ref(found));
    }
    assert_eq!(used.len(), members(&config, "rate_limit").len(), "a limit that nothing gets");
    let names: BTreeSet<&str> = DESCRIPTORS.iter().map(|(_, name)| *name).collect();
    assert_eq!(names.len(), list(&limits).len(), "a limit that nothing gets");
}

#[test]
fn both_files_are_of_the_domain_that_the_filter_asks_for() {
    let envoy = read("envoy.yaml");
    let domains = members(&envoy, "domain");
    assert_eq!(domains.len(), 1);
    assert_eq!(&read("ratelimit/config.yaml")["domain"], domains[0]);
    for limit in list(&read("limitador/limits.yaml")) {
        assert_eq!(&limit["namespace"], domains[0], "{limit}");
    }
}

#[test]
fn envoyproxy_ratelimit_knows_every_member_of_its_file_and_no_key_is_there_twice() {
    fn check(value: &Value) {
        match value {
            Value::Object(object) => {
                for (name, inner) in object {
                    assert!(MEMBERS.contains(&name.as_str()), "`{name}` is no member");
                    check(inner);
                }
                let here = list(&value["descriptors"]).iter();
                let named = here.map(|inner| (text(inner, "key"), inner["value"].as_str()));
                let distinct: BTreeSet<_> = named.collect();
                assert_eq!(distinct.len(), list(&value["descriptors"]).len(), "{value}");
            }
            Value::Array(items) => items.iter().for_each(check),
            _ => {}
        }
    }
    check(&read("ratelimit/config.yaml"));
}
