//! Counters in `/stats`.

use std::time::Duration;

use serde_json::json;

use crate::harness::keys::P256;
use crate::harness::{Proxy, Request, Setup, Table, claims, eventually, filter};

#[test]
fn what_happens_is_counted_once() {
    let proxy = Proxy::start(Setup::new(filter(json!([
        {"name": "closed", "paths": ["/closed"]},
        {"name": "open", "paths": ["/open"], "token": "none"},
    ]))));
    for _ in 0..10 {
        proxy.send(Request::get("/closed")).refused("token_missing");
        proxy.send(Request::get("/nowhere")).refused("no_route");
        proxy.send(Request::get("/open")).allowed();
        proxy.send(Request::get("/closed").bearer(claims().sign(&P256))).allowed();
    }
    let mut table = Table::new();
    for labels in [
        &[("route", "closed"), ("outcome", "denied"), ("code", "token_missing")][..],
        &[("outcome", "denied"), ("code", "no_route")],
        &[("route", "open"), ("outcome", "allowed")],
        &[("route", "closed"), ("outcome", "allowed")],
    ] {
        let labels = [&[("filter", "edge")], labels].concat();
        let counted = proxy.counted("claimgate_requests_total", &labels);
        table.hold(format!("{labels:?}"), counted, "not counted");
    }
    table.hold("claimgate_info", proxy.counted("claimgate_info", &[]), "not counted");
    table.check();
    let total = eventually(Duration::from_secs(5), || {
        Some(proxy.stat("claimgate_requests_total")).filter(|total| *total >= 40)
    });
    assert_eq!(total, Some(40));
}

#[test]
fn clients_cannot_make_metrics() {
    let proxy = Proxy::start(Setup::new(filter(json!([{"name": "closed", "paths": ["/closed"]}]))));
    let names =
        || proxy.envoy.admin("/stats").lines().filter(|line| line.contains("claimgate_")).count();
    let refuse = |n: usize| {
        let kid = format!("kid-{n}");
        let token = claims()
            .with("iss", format!("https://{n}"))
            .sign_under(&P256, &json!({"alg": "ES256", "kid": kid}));
        proxy
            .send(Request::get("/closed").host(format!("h{n}.test")).bearer(token))
            .refused("issuer_unknown");
        let token = claims()
            .with("sub", format!("s{n}"))
            .sign_under(&P256, &json!({"alg": "ES256", "kid": kid}));
        proxy.send(Request::get("/closed").bearer(token)).refused("key_unknown");
        proxy.send(Request::get(format!("/nowhere/{n}"))).refused("no_route");
    };
    refuse(0);
    assert!(proxy.counted("claimgate_requests_total", &[("code", "key_unknown")]));
    std::thread::sleep(Duration::from_secs(2));
    let before = names();
    (1..30).for_each(refuse);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(names(), before);
}
