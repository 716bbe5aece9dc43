//! The identity in Envoy's own access logs: `envoy/access-logs.yaml` as it stands, but for ports, paths and the secret.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::collector::Collector;
use crate::harness::envoy::{self, Envoy};
use crate::harness::keys::{Key, base64};
use crate::harness::recorder::Recorder;
use crate::harness::{Request, claims, eventually};

const SECRET: &str = "a secret of thirty-two characters";

/// Replaces every value that `change` has another for.
fn replace(value: &mut Value, change: &impl Fn(&str, &Value) -> Option<Value>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match change(name, member) {
                    Some(changed) => *member = changed,
                    None => replace(member, change),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, change)),
        _ => {}
    }
}

fn start(collector: &Collector) -> Envoy {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy/access-logs.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let mut bootstrap: Value = serde_saphyr::from_str(&text).unwrap();
    let folder = envoy::new_folder();
    let (upstream, log) = (Recorder::start().address, folder.join("access.log"));
    replace(&mut bootstrap, &|name, value| match (name, value) {
        ("port_value", port) => Some(match port.as_u64() {
            Some(9000) => json!(upstream.port()),
            Some(4317) => json!(collector.address.port()),
            _ => json!(0),
        }),
        ("path", Value::String(path)) if path == "/dev/stdout" => Some(json!(log)),
        ("filename", _) => Some(json!(envoy::module("CLAIMGATE_WASM", "dist/claimgate.wasm"))),
        ("environment_variables", _) => Some(json!({"key_values": {"JWT_SECRET": base64(SECRET)}})),
        _ => None,
    });
    Envoy::start(folder, &bootstrap, 1).unwrap_or_else(|_| panic!("Envoy refused access-logs.yaml"))
}

#[test]
fn both_sinks_know_who_asked() {
    let collector = Collector::start();
    let envoy = start(&collector);
    let key = Key::of_secret("dev", SECRET);
    let named = json!({"iss": "https://dev.example.com", "aud": "api", "sub": "alice \"quoted\""});
    let token = claims().patched(&named).sign_under(&key, &json!({"alg": "HS256"}));
    let asked = |request: Request, id: &str| {
        request.header("x-request-id", id).send(envoy.address).unwrap().status
    };
    assert_eq!(asked(Request::get("/api/x?q=1").bearer(token), "known"), 200);
    assert_eq!(asked(Request::get("/api/x"), "unknown"), 401);

    let file = envoy.folder.join("access.log");
    let lines = eventually(Duration::from_secs(10), || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let lines: Vec<Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (lines.len() == 2).then_some(lines)
    });
    let lines = lines.expect("the file did not get two lines");
    let states: Vec<String> =
        lines.iter().map(|line| line["identity"].as_str().unwrap().to_owned()).collect();
    let parsed = |state: &String| serde_json::from_str::<Value>(state).unwrap();
    let (known, unknown) = (parsed(&states[0]), parsed(&states[1]));
    assert_eq!((&known["decision"], &known["route"]), (&json!("allowed"), &json!("api")));
    assert_eq!((&known["issuer"], &known["subject"]), (&json!("dev"), &named["sub"]));
    assert_eq!(unknown["code"], "token_missing");
    assert_eq!(unknown.get("subject").unwrap_or(&Value::Null), &Value::Null);

    for text in ["service.name", "url.path", "claimgate.token_missing", &states[0], &states[1]] {
        let arrived = eventually(Duration::from_secs(10), || collector.has(text).then_some(()));
        assert!(arrived.is_some(), "the collector did not get `{text}`");
    }
    envoy.log.assert_discreet();
}
