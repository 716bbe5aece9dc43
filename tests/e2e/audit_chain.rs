//! The chain of audit records, over workers, reloads and ends.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::*;
use serde_json::{Value, json};

use crate::harness::keys::P256;
use crate::harness::log::audit_record;
use crate::harness::{Proxy, Request, Setup, changed, claims, eventually, filter};

/// A filter whose records are chained, and the public key that verifies.
fn chained(checkpoint: &str) -> (Setup, Ed25519PublicKey) {
    let pair = Ed25519KeyPair::generate();
    let integrity = json!({
        "sign": {"env": "AUDIT_SIGN_KEY", "encoding": "pem"}, "key_id": "2026-11", "checkpoint": checkpoint,
    });
    let routes = json!([{"name": "logs", "paths": ["/logs/**"]}]);
    let config = changed(filter(routes), json!({"audit": {"integrity": integrity}}));
    (Setup::new(config).env("AUDIT_SIGN_KEY", &pair.to_pem()), pair.public_key())
}

/// The texts of the chained records so far, chain by chain.
fn chains(proxy: &Proxy) -> BTreeMap<String, Vec<(String, Value)>> {
    let mut chains: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
    for text in proxy.envoy.log.records() {
        let record: Value = serde_json::from_str(&text).unwrap();
        let chain = record["claimgate.chain"].as_str().expect("a chain").to_owned();
        chains.entry(chain).or_default().push((text, record));
    }
    chains
}

fn head(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(blake3::hash(text.as_bytes()).as_bytes())
}

/// Fails the test unless this is a whole chain; returns what its checkpoints say.
fn check(records: &[(String, Value)], key: &Ed25519PublicKey) -> Vec<Value> {
    assert_eq!(records[0].1["event.action"], "audit-opened");
    assert_eq!(records[0].1["claimgate.key_id"], "2026-11");
    let mut checkpoints = Vec::new();
    for (number, (_, record)) in records.iter().enumerate() {
        assert_eq!(record["claimgate.seq"], number);
        let prev = number.checked_sub(1).map(|before| head(&records[before].0));
        assert_eq!(record["claimgate.prev"].as_str(), prev.as_deref(), "{record}");
        if let Some(signed) = record["claimgate.checkpoint"].as_str() {
            let said = key.verify_token::<Value>(signed, None).unwrap().custom;
            assert_eq!(said["chain"], record["claimgate.chain"]);
            assert_eq!(said["seq"], number - 1);
            assert_eq!(said["head"].as_str(), prev.as_deref());
            assert_eq!(said["closed"], record["event.action"] == "audit-closed");
            checkpoints.push(said);
        }
    }
    checkpoints
}

/// What `claimgate audit verify` says of these parts of a log, given in the wrong order.
fn verify(parts: &[String], key: &Ed25519PublicKey, period: &[&str]) -> (i32, String) {
    let folder = crate::harness::envoy::new_folder();
    let pem = folder.join("audit.pem");
    std::fs::write(&pem, key.to_pem()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_claimgate"));
    command.args(["audit", "verify"]).args(period).arg("--key").arg(pem);
    for (number, part) in parts.iter().enumerate().rev() {
        let file = folder.join(format!("envoy.log.{number}"));
        std::fs::write(&file, part).unwrap();
        command.arg(file);
    }
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_log_with_workers_reloads_restarts_and_rotation_verifies_and_an_edited_one_does_not() {
    let (setup, key) = chained("1s");
    let setup = setup.pushed().workers(2);
    let mut lines = Vec::new();
    for _ in 0..2 {
        let proxy = Proxy::start(setup.clone());
        load(&proxy, 10);
        let routes = json!([{"name": "logs-2", "paths": ["/logs/**"]}]);
        let config = changed(setup.config().clone(), json!({"routes": routes}));
        proxy.push_setup(&setup.with_config(config)).unwrap();
        load(&proxy, 10);
        for _ in 0..8 {
            std::thread::sleep(Duration::from_millis(500));
            load(&proxy, 2);
        }
        let log = proxy.envoy.log.clone();
        drop(proxy);
        lines.extend(log.lines());
    }
    let part = |lines: &[String]| lines.join("\n") + "\n";
    let (first, second) = lines.split_at(lines.len() / 3);
    let (status, said) = verify(&[part(first), part(second)], &key, &[]);
    assert_eq!(status, 0, "{said}");
    // Most of it is rotated away, and Envoy still runs: what is left begins with the first reload of its second run, and
    // ends before anything is closed. It is asked for where every chain has signed.
    let signs = |line: &&String| line.contains("audit-checkpoint") || line.contains("audit-closed");
    let (first, _) =
        second.iter().enumerate().rfind(|(_, line)| line.contains("audit-opened")).unwrap();
    let closed = second
        .iter()
        .rposition(|line| !line.contains("audit-closed") && line.contains("\"claimgate.seq\""))
        .unwrap();
    let left = &second[first..=closed];
    let mut signed: BTreeMap<String, String> = BTreeMap::new();
    for record in left.iter().filter(signs).filter_map(|line| audit_record(line)) {
        let text = |name: &str| record[name].as_str().unwrap().to_owned();
        // In whole seconds, as checkpoints are signed.
        signed.insert(text("claimgate.chain"), format!("{}.000Z", &text("@timestamp")[..19]));
    }
    let asked = signed.values().min().unwrap();
    let (status, said) = verify(&[part(left)], &key, &["--since", asked, "--until", asked]);
    assert_eq!(status, 0, "{asked} {said}");
    let middle = lines.iter().rposition(|line| line.contains("token_missing")).unwrap();
    let mut edited = lines.clone();
    edited[middle] = edited[middle].replace("token_missing", "token_expired");
    let (status, said) = verify(&[part(&edited)], &key, &[]);
    assert!(status == 1 && said.contains("altered"), "{said}");
}

fn load(proxy: &Proxy, requests: usize) {
    let token = claims().sign(&P256);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..requests {
                    proxy.send(Request::get("/logs/x").bearer(&token)).allowed();
                    proxy.send(Request::get("/logs/x")).refused("token_missing");
                }
            });
        }
    });
}

#[test]
fn workers_write_a_chain_each_and_name_each_others() {
    let (setup, key) = chained("1s");
    let proxy = Proxy::start(setup.workers(2));
    load(&proxy, 20);
    let named = eventually(Duration::from_secs(10), || {
        load(&proxy, 1);
        let chains = chains(&proxy);
        let said: Vec<Value> = chains.values().flat_map(|chain| check(chain, &key)).collect();
        let names = |other: &str| {
            said.iter().any(|said| {
                let heads = said["heads"].as_array().unwrap().iter();
                heads.filter_map(Value::as_str).any(|head| head.starts_with(other))
            })
        };
        (chains.len() == 2 && chains.keys().all(|chain| names(chain))).then_some(())
    });
    assert!(named.is_some(), "{:?}", chains(&proxy));
}

#[test]
fn a_reload_closes_the_chain_and_the_next_one_names_it() {
    let (setup, key) = chained("1s");
    let setup = setup.pushed();
    let proxy = Proxy::start(setup.clone());
    load(&proxy, 3);
    let first = chains(&proxy).into_keys().next().unwrap();
    let route = json!([{"name": "logs-2", "paths": ["/logs/**"]}]);
    proxy
        .push_setup(&setup.with_config(changed(setup.config().clone(), json!({"routes": route}))))
        .unwrap();
    let closed = eventually(Duration::from_secs(10), || {
        let chain = chains(&proxy).remove(&first).unwrap();
        chain.last().filter(|(_, record)| record["event.action"] == "audit-closed").cloned()
    });
    assert!(closed.is_some(), "{:?}", proxy.envoy.log.records());
    load(&proxy, 3);
    let all = chains(&proxy);
    assert_eq!(all.len(), 2);
    for (id, chain) in &all {
        check(chain, &key);
        if *id != first {
            let last = all[&first].last().unwrap();
            let named = format!("{first}:{}:{}:", last.1["claimgate.seq"], head(&last.0));
            let before = chain[0].1["claimgate.before"].as_str().unwrap();
            assert!(before.starts_with(&named), "{before} {named}");
        }
    }
}

#[test]
fn the_end_of_envoy_closes_the_chain() {
    let (setup, key) = chained("1h");
    let proxy = Proxy::start(setup);
    load(&proxy, 3);
    let log = proxy.envoy.log.clone();
    drop(proxy);
    let records: Vec<(String, Value)> = log
        .records()
        .into_iter()
        .map(|text| (text.clone(), serde_json::from_str(&text).unwrap()))
        .collect();
    let checkpoints = check(&records, &key);
    assert_eq!(checkpoints.len(), 1, "{records:?}");
    assert_eq!(records.last().unwrap().1["event.action"], "audit-closed");
}

#[test]
fn without_randomness_no_record_is_written_outside_of_a_chain() {
    let (setup, _) = chained("1s");
    let proxy = Proxy::start(setup.denying("random_get"));
    for _ in 0..3 {
        proxy.send(Request::get("/logs/x").bearer(claims().sign(&P256))).refused("internal_error");
    }
    assert!(proxy.envoy.log.own_lines_from(0).contains("random_get"));
    assert_eq!(chains(&proxy).len(), 0);
}
