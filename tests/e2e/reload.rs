//! Configurations pushed into a running Envoy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::keys::Key;
use crate::harness::{Proxy, Request, Setup, changed, claims, filter};

fn config(keys: &[&Key], tag: &str) -> Value {
    let jwks: Vec<&Value> = keys.iter().map(|key| &key.jwk).collect();
    let patch = json!({
        "issuers": {"corp": {"keys": [{"jwks": {"keys": jwks}}]}},
        "identity": {"headers": {tag: {"attribute": "subject"}}},
    });
    changed(
        filter(
            json!([{"name": "closed", "paths": ["/closed"]}, {"name": "open", "paths": ["/open"], "token": "none"}]),
        ),
        patch,
    )
}

/// Sends allowed and refused requests from several threads while `work` runs; what went wrong.
pub fn under_load(proxy: &Proxy, key: &RwLock<&Key>, work: impl FnOnce()) -> (usize, Vec<String>) {
    let done = AtomicBool::new(false);
    let failures = Mutex::new(Vec::new());
    let client = || {
        let mut sent = 0;
        while !done.load(Ordering::Relaxed) {
            // The lock is held over the request, so that a key is withdrawn only when no request with it is under way.
            let key = key.read().unwrap();
            for (name, request, expected) in [
                ("a token", Request::get("/closed").bearer(claims().sign(&key)), "allowed"),
                ("no token", Request::get("/closed"), "token_missing"),
                ("no token needed", Request::get("/open"), "allowed"),
            ] {
                let got =
                    proxy.try_send(proxy.envoy.address, request).map(|exchange| exchange.outcome());
                if got.as_deref() != Ok(expected) {
                    failures.lock().unwrap().push(format!("{name} of {}: {got:?}", key.kid));
                }
                sent += 1;
            }
            drop(key);
            std::thread::sleep(Duration::from_millis(1));
        }
        sent
    };
    let sent = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..3).map(|_| scope.spawn(client)).collect();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    (sent, failures.into_inner().unwrap())
}

#[test]
fn a_key_rotates_under_load_and_not_one_request_fails() {
    let (old, new) = (Key::p256("old"), Key::p256("new"));
    let proxy = Proxy::start(Setup::new(config(&[&old], "x-first")).pushed().workers(2));
    proxy.send(Request::get("/closed").bearer(claims().sign(&new))).refused("key_unknown");
    let current = RwLock::new(&old);
    let pause = || std::thread::sleep(Duration::from_millis(500));
    let (sent, failures) = under_load(&proxy, &current, || {
        pause();
        proxy.push(config(&[&old, &new], "x-second")).unwrap();
        pause();
        *current.write().unwrap() = &new;
        pause();
        proxy.push(config(&[&new], "x-third")).unwrap();
        pause();
    });
    assert!(
        failures.is_empty(),
        "{} of {sent} requests failed, first {}",
        failures.len(),
        failures[0]
    );
    assert!(sent > 100, "only {sent} requests were sent");

    proxy.send(Request::get("/closed").bearer(claims().sign(&old))).refused("key_unknown");
    let echo = proxy.send(Request::get("/closed").bearer(claims().sign(&new))).allowed();
    assert_eq!(echo.header("x-third"), Some("alice"));
    assert_eq!(echo.header("x-second"), None);
}

#[test]
fn a_token_that_was_verified_does_not_outlive_its_key() {
    let (old, new) = (Key::p256("old"), Key::p256("new"));
    let proxy = Proxy::start(Setup::new(config(&[&old], "x-user-id")).pushed());
    let token = claims().sign(&old);
    proxy.send(Request::get("/closed").bearer(&token)).allowed();
    proxy.push(config(&[&new], "x-user-id")).unwrap();
    proxy.send(Request::get("/closed").bearer(&token)).refused("key_unknown");
}

#[test]
fn a_broken_file_is_refused_and_the_old_one_serves_on() {
    let key = Key::p256("key");
    let good = config(&[&key], "x-user-id");
    let proxy = Proxy::start(Setup::new(good.clone()).pushed().workers(2));
    let current = RwLock::new(&key);
    let (sent, failures) = under_load(&proxy, &current, || {
        let typo = changed(
            good.clone(),
            json!({"routes": [{"name": "all", "paths": ["/**"], "tokn": "none"}]}),
        );
        let log = proxy.push(typo).unwrap_err();
        assert!(log.contains("routes[0]") && log.contains("tokn"), "{log}");
        let keyless =
            changed(good.clone(), json!({"issuers": {"corp": {"keys": [{"jwks": {"keys": []}}]}}}));
        let log = proxy.push(keyless).unwrap_err();
        assert!(log.contains("issuers.corp.keys"), "{log}");
        proxy.push(json!("{\"version\": 1, ")).unwrap_err();
        proxy.push_file("{ this is no resource").unwrap_err();
        proxy.push_file("").unwrap_err();
    });
    assert!(
        failures.is_empty(),
        "{} of {sent} requests failed, first {}",
        failures.len(),
        failures[0]
    );

    proxy.push(config(&[&key], "x-repaired")).unwrap();
    let echo = proxy.send(Request::get("/closed").bearer(claims().sign(&key))).allowed();
    assert_eq!(echo.header("x-repaired"), Some("alice"));
}
