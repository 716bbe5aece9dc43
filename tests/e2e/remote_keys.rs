//! Key sets that are fetched through a cluster: waiting for the first, rotation, failure.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::idp::Answer;
use crate::harness::keys::Key;
use crate::harness::{
    IdentityProvider, Proxy, Request, Setup, Table, changed, claims, eventually, filter,
};

fn configuration(remote: Value) -> Value {
    let usual = json!({"cluster": "idp", "url": "https://idp.test/keys?v=1"});
    let keys = json!([{"remote": changed(usual, remote)}]);
    let routes = json!([
        {"name": "open", "paths": ["/open"], "token": "none"},
        {"name": "trial", "paths": ["/trial"], "mode": "shadow"},
        {"name": "lenient", "paths": ["/lenient"], "token": "lenient"},
        {"name": "all", "paths": ["/**"]},
    ]);
    changed(filter(routes), json!({"issuers": {"corp": {"keys": keys}}}))
}

fn start(provider: &IdentityProvider, remote: Value) -> Proxy {
    Proxy::start(Setup::new(configuration(remote)).idp(provider.address))
}

fn get(proxy: &Proxy, key: &Key) -> String {
    proxy.send(Request::get("/").bearer(claims().sign(key))).outcome()
}

#[test]
fn requests_wait_for_the_first_keys_and_their_bodies_with_them() {
    let key = Key::p256("k");
    let provider = IdentityProvider::start(Answer::Stall);
    let proxy = start(&provider, json!({"timeout": "10s"}));
    provider.wait_until_asked(1);
    let stranger = Key::p256("k");
    std::thread::scope(|scope| {
        let send = |request: Request| scope.spawn(|| proxy.send(request));
        let post = Request::new("POST", "/a").bearer(claims().sign(&key));
        let waiting = [
            send(post.clone().body("all of it")),
            send(post.chunked("in pieces", &[("x-user-id", "forged")])),
            send(Request::get("/a").bearer(claims().sign(&key))),
            send(Request::get("/lenient").bearer(claims().sign(&key))),
        ];
        let forged = send(Request::get("/a").bearer(claims().sign(&stranger)));
        // What needs no key does not wait.
        proxy.send(Request::get("/open")).allowed();
        proxy.send(Request::get("/")).refused("token_missing");
        // Neither does what passes in any case.
        proxy.send(Request::get("/trial").bearer(claims().sign(&key))).allowed();
        std::thread::sleep(Duration::from_millis(300));
        provider.publish(&[&key]);
        let bodies: Vec<String> = waiting
            .into_iter()
            .map(|request| request.join().unwrap().allowed().body().to_owned())
            .collect();
        assert_eq!(bodies, ["all of it", "in pieces", "", ""]);
        forged.join().unwrap().refused("signature_invalid");
    });
    // The main thread has a plugin of its own, which serves nothing.
    assert!(provider.asked() <= 2, "one fetch serves all");
}

#[test]
fn without_keys_requests_are_refused_after_a_while() {
    let provider = IdentityProvider::start(Answer::Close);
    let proxy = start(&provider, json!({}));
    let begun = Instant::now();
    let token = claims().sign(&Key::p256("k"));
    let exchange = proxy.send(Request::new("POST", "/a").bearer(&token).body("lost"));
    exchange.refused("keys_unavailable");
    let waited = begun.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(9)).contains(&waited), "{waited:?}");
    assert_eq!(exchange.audit()["event.code"], "keys_unavailable");
    assert_eq!(exchange.access()["details"], "claimgate.keys_unavailable");
    assert_eq!(exchange.access()["state"]["code"], "keys_unavailable");
    assert_eq!(exchange.header("www-authenticate"), None, "no other token would help");
    // The provider comes back, and so do requests.
    let key = Key::p256("k");
    provider.publish(&[&key]);
    let back =
        eventually(Duration::from_secs(15), || Some(get(&proxy, &key)).filter(|o| o == "allowed"));
    assert!(back.is_some());
}

#[test]
fn a_client_that_leaves_while_it_waits_disturbs_nobody() {
    let key = Key::p256("k");
    let provider = IdentityProvider::start(Answer::Stall);
    let proxy = start(&provider, json!({"timeout": "10s"}));
    let token = claims().sign(&key);
    for _ in 0..20 {
        let request = Request::get("/a").bearer(&token);
        let _ = request.send_and_leave(proxy.envoy.address);
    }
    provider.wait_until_asked(1);
    provider.publish(&[&key]);
    assert_eq!(get(&proxy, &key), "allowed");
}

#[test]
fn keys_that_were_fetched_outlive_every_failure() {
    let key = Key::p256("k");
    let provider = IdentityProvider::with_keys(&[&key]);
    let proxy = start(&provider, json!({"refresh": "1s", "timeout": "1s"}));
    assert_eq!(get(&proxy, &key), "allowed");
    let mut table = Table::new();
    let ok = |body: &str| Answer::Http(200, String::new(), body.to_owned());
    let huge = format!("{{\"keys\": [], \"x\": \"{}\"}}", "x".repeat(10 << 20));
    let many = json!({"keys": vec![key.jwk.clone(); 300]}).to_string();
    for (name, answer) in [
        ("dies", Answer::Close),
        ("stalls", Answer::Stall),
        ("HTML", ok("<!DOCTYPE html><title>Maintenance</title>")),
        ("no keys", ok("{\"keys\": []}")),
        ("no usable key", ok("{\"keys\": [{\"kty\": \"oct\", \"k\": \"AA\"}]}")),
        ("another document", ok("{\"error\": \"none\"}")),
        ("nothing", ok("")),
        ("10 MiB", ok(&huge)),
        ("300 keys", ok(&many)),
        ("duplicate members", ok("{\"keys\": [], \"keys\": []}")),
        ("an error", Answer::Http(500, String::new(), "{\"keys\": []}".to_owned())),
        (
            "a redirect",
            Answer::Http(302, "location: https://evil.test/\r\n".to_owned(), String::new()),
        ),
    ] {
        let logged = proxy.envoy.log.own_lines_from(0).matches("fetch failed").count();
        provider.answer(answer);
        let told = eventually(Duration::from_secs(15), || {
            let now = proxy.envoy.log.own_lines_from(0).matches("fetch failed").count();
            (now > logged).then_some(())
        });
        table.hold(name, told.is_some(), "the log does not say that the fetch failed");
        table.row(name, get(&proxy, &key), "allowed");
        // A good fetch between two bad ones, so that the next is not long in coming.
        provider.publish(&[&key]);
        let asked = provider.asked();
        provider.wait_until_asked(asked + 1);
    }
    table.check();
}

#[test]
fn a_rotated_set_is_fetched_when_a_token_names_its_key() {
    let (old, new, other) = (Key::p256("old"), Key::p256("new"), Key::rsa("other"));
    let provider = IdentityProvider::with_keys(&[&old]);
    let proxy = start(&provider, json!({"refresh": "1h"}));
    assert_eq!(get(&proxy, &old), "allowed");
    // The main thread has a plugin of its own, which serves nothing.
    provider.wait_until_asked(2);
    provider.publish(&[&old, &new]);
    assert_eq!(get(&proxy, &new), "allowed", "the request waits for the fetch that it causes");
    assert_eq!(get(&proxy, &old), "allowed");
    assert_eq!(provider.asked(), 3);
    // Whoever invents key ids does not choose how often the provider is asked.
    provider.publish(&[&old, &new, &other]);
    for _ in 0..20 {
        assert_eq!(get(&proxy, &Key::p256("invented")), "key_unknown");
    }
    assert_eq!(provider.asked(), 3);
    let known = eventually(Duration::from_secs(15), || {
        Some(get(&proxy, &other)).filter(|o| o == "allowed")
    });
    assert!(known.is_some());
    assert_eq!(provider.asked(), 4);
}

#[test]
fn a_key_that_is_withdrawn_verifies_nothing_more_not_even_what_it_verified() {
    let (old, new) = (Key::p256("old"), Key::p256("new"));
    let provider = IdentityProvider::with_keys(&[&old, &new]);
    let proxy = start(&provider, json!({"refresh": "1s"}));
    let token = claims().sign(&old);
    let outcome = || proxy.send(Request::get("/").bearer(&token)).outcome();
    assert_eq!(outcome(), "allowed");
    assert_eq!(outcome(), "allowed");
    provider.publish(&[&new]);
    let gone =
        eventually(Duration::from_secs(10), || Some(outcome()).filter(|o| o == "key_unknown"));
    assert!(gone.is_some());
    assert_eq!(get(&proxy, &new), "allowed");
}

#[test]
fn keys_that_are_too_old_are_gone() {
    let key = Key::p256("k");
    let provider = IdentityProvider::with_keys(&[&key]);
    let proxy = start(&provider, json!({"refresh": "1s", "max_stale": "2s"}));
    let token = claims().sign(&key);
    let outcome = || proxy.send(Request::get("/").bearer(&token)).outcome();
    assert_eq!(outcome(), "allowed");
    provider.answer(Answer::Close);
    let gone =
        eventually(Duration::from_secs(20), || Some(outcome()).filter(|o| o == "keys_unavailable"));
    assert!(gone.is_some());
}

#[test]
fn every_worker_fetches_for_itself() {
    let key = Key::p256("k");
    let provider = IdentityProvider::with_keys(&[&key]);
    let proxy = Proxy::start(Setup::new(configuration(json!({}))).idp(provider.address).workers(2));
    for _ in 0..20 {
        assert_eq!(get(&proxy, &key), "allowed");
    }
    // The main thread has a plugin of its own, which serves nothing.
    assert!((2..=3).contains(&provider.asked()), "asked {} times", provider.asked());
}

#[test]
fn a_cluster_that_is_not_there_is_named_in_the_log() {
    let proxy = Proxy::start(Setup::new(configuration(json!({"cluster": "absent"}))));
    let named = eventually(Duration::from_secs(10), || {
        proxy.envoy.log.own_lines_from(0).contains("cluster `absent`").then_some(())
    });
    assert!(named.is_some());
    proxy
        .send(Request::get("/").bearer(claims().sign(&Key::p256("k"))))
        .refused("keys_unavailable");
}

#[test]
fn keys_at_hand_serve_while_others_are_fetched() {
    let (own, fetched) = (Key::p256("own"), Key::p256("fetched"));
    let provider = IdentityProvider::start(Answer::Stall);
    let keys = json!([{"jwks": {"keys": [own.jwk]}}, {"remote": {"cluster": "idp", "url": "http://idp.test", "timeout": "10s"}}]);
    let config = changed(configuration(json!({})), json!({"issuers": {"corp": {"keys": keys}}}));
    let proxy = Proxy::start(Setup::new(config).idp(provider.address));
    assert_eq!(get(&proxy, &own), "allowed");
    provider.publish(&[&fetched]);
    assert_eq!(get(&proxy, &fetched), "allowed");
    assert_eq!(get(&proxy, &own), "allowed");
}

#[test]
fn a_host_that_lets_nobody_call_leaves_keys_unavailable() {
    let provider = IdentityProvider::with_keys(&[&Key::p256("k")]);
    let setup = Setup::new(configuration(json!({}))).idp(provider.address);
    for denied in ["proxy_http_call", "proxy_set_effective_context", "proxy_on_http_call_response"]
    {
        let proxy = Proxy::start(setup.clone().denying(denied));
        let outcome = get(&proxy, &Key::p256("k"));
        assert!(["keys_unavailable", "internal_error"].contains(&&*outcome), "{denied}: {outcome}");
    }
}
