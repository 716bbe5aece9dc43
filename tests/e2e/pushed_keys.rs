//! Keys that `claimgate keys push` brings from a provider into the file of a running Envoy.

use std::process::Command;
use std::sync::RwLock;
use std::time::Duration;

use serde_json::json;

use crate::harness::bootstrap::DISCOVERY_FILE;
use crate::harness::keys::Key;
use crate::harness::{
    Delivery, IdentityProvider, Proxy, Request, Setup, changed, claims, eventually, filter,
};
use crate::reload::under_load;

/// Pushes what the provider publishes, and waits until Envoy has it.
fn push(proxy: &Proxy, provider: &IdentityProvider, overlap: &str) -> String {
    let updates = || proxy.stat("extension_config_discovery.http_filter.claimgate.update_success");
    let before = updates();
    let from = format!("http://{}/jwks.json", provider.address);
    let file = proxy.envoy.folder.join(DISCOVERY_FILE);
    let output = Command::new(env!("CARGO_BIN_EXE_claimgate"))
        .args(["keys", "push", file.to_str().unwrap(), "--from", &from, "--overlap", overlap])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    if said.contains(": pushed, ") {
        eventually(Duration::from_secs(20), || (updates() > before).then_some(()))
            .expect("Envoy took no notice of the file");
        // The main thread has it; no statistic tells when each worker has.
        std::thread::sleep(Duration::from_millis(300));
    }
    said
}

#[test]
fn a_provider_rotates_its_key_under_load_and_not_one_request_fails() {
    for delivery in [Delivery::StringValue, Delivery::Struct] {
        let (old, new) = (Key::p256("old"), Key::p256("new"));
        let provider = IdentityProvider::with_keys(&[&old]);
        let config = changed(
            filter(json!([
                {"name": "closed", "paths": ["/closed"]},
                {"name": "open", "paths": ["/open"], "token": "none"},
            ])),
            json!({"issuers": {"corp": {"keys": [{"jwks": {"keys": [old.jwk]}}]}}}),
        );
        let proxy = Proxy::start(Setup::new(config).delivered_as(delivery).pushed().workers(2));
        let by = |key: &Key| Request::get("/closed").bearer(claims().sign(key));
        proxy.send(by(&new)).refused("key_unknown");
        let current = RwLock::new(&old);
        let (sent, failures) = under_load(&proxy, &current, || {
            assert!(push(&proxy, &provider, "1h").contains("nothing changed"));
            // The provider drops the old key as it takes up the new one, while tokens of both are about.
            provider.publish(&[&new]);
            let said = push(&proxy, &provider, "1h");
            assert!(said.contains("added    new") && said.contains("kept     old"), "{said}");
            proxy.send(by(&new)).allowed();
            proxy.send(by(&old)).allowed();
            *current.write().unwrap() = &new;
            assert!(push(&proxy, &provider, "1h").contains("nothing changed"));
            // The overlap ends.
            assert!(push(&proxy, &provider, "0s").contains("dropped  old"));
        });
        assert!(
            failures.is_empty(),
            "{delivery:?}: {} of {sent} failed, first {}",
            failures.len(),
            failures[0]
        );
        assert!(sent > 50, "only {sent} requests were sent");
        proxy.send(by(&new)).allowed();
        proxy.send(by(&old)).refused("key_unknown");
    }
}
