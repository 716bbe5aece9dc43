//! Counters in `/stats`.

use serde_json::json;

use crate::harness::keys::P256;
use crate::harness::{Proxy, Request, Setup, claims, filter};

#[test]
fn what_happens_is_counted() {
    let proxy = Proxy::start(Setup::new(filter(json!([
        {"name": "closed", "paths": ["/closed"]},
        {"name": "open", "paths": ["/open"], "token": "none"},
    ]))));
    let count = |labels: &[(&str, &str)]| proxy.counted("claimgate_requests_total", labels);
    let filter = ("filter", "edge");

    proxy.send(Request::get("/closed")).refused("token_missing");
    assert!(count(&[
        filter,
        ("route", "closed"),
        ("outcome", "denied"),
        ("code", "token_missing")
    ]));
    proxy.send(Request::get("/nowhere")).refused("no_route");
    assert!(count(&[
        filter,
        ("outcome", "denied"),
        ("code", "no_route")
    ]));
    proxy.send(Request::get("/open")).allowed();
    assert!(count(&[filter, ("route", "open"), ("outcome", "allowed")]));
    proxy
        .send(Request::get("/closed").bearer(claims().sign(&P256)))
        .allowed();
    assert!(count(&[
        filter,
        ("route", "closed"),
        ("outcome", "allowed")
    ]));
    assert!(proxy.counted(
        "claimgate_tokens_total",
        &[filter, ("issuer", "corp"), ("kid", "p256-1")]
    ));
    assert!(proxy.counted("claimgate_config_loads_total", &[]));
    assert!(proxy.counted("claimgate_info", &[]));
    assert!(proxy.counted("claimgate_audit_total", &[("outcome", "written")]));
}

#[test]
fn counters_count_every_request_once() {
    let proxy = Proxy::start(Setup::new(filter(
        json!([{"name": "closed", "paths": ["/closed"]}]),
    )));
    for _ in 0..25 {
        proxy.send(Request::get("/closed")).refused("token_missing");
    }
    let total = crate::harness::eventually(std::time::Duration::from_secs(5), || {
        Some(proxy.stat("claimgate_requests_total")).filter(|total| *total >= 25)
    });
    assert_eq!(total, Some(25));
}

#[test]
fn clients_cannot_make_metrics() {
    let proxy = Proxy::start(Setup::new(filter(
        json!([{"name": "closed", "paths": ["/closed"]}]),
    )));
    let names = || {
        proxy
            .envoy
            .admin("/stats")
            .lines()
            .filter(|line| line.contains("claimgate_"))
            .count()
    };
    let refuse = |n: usize| {
        let kid = format!("kid-{n}");
        let token = claims()
            .with("iss", format!("https://{n}"))
            .sign_under(&P256, &json!({"alg": "ES256", "kid": kid}));
        proxy
            .send(
                Request::get("/closed")
                    .host(format!("h{n}.test"))
                    .bearer(token),
            )
            .refused("issuer_unknown");
        let token = claims()
            .with("sub", format!("s{n}"))
            .sign_under(&P256, &json!({"alg": "ES256", "kid": kid}));
        proxy
            .send(Request::get("/closed").bearer(token))
            .refused("key_unknown");
        proxy
            .send(Request::get(format!("/nowhere/{n}")))
            .refused("no_route");
    };
    refuse(0);
    assert!(proxy.counted("claimgate_requests_total", &[("code", "key_unknown")]));
    std::thread::sleep(std::time::Duration::from_secs(2));
    let before = names();
    (1..30).for_each(refuse);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(names(), before);
}
