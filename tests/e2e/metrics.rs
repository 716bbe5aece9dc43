//! Metrics, in `/stats` and as Prometheus reads them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::idp::Answer;
use crate::harness::keys::{Key, P256};
use crate::harness::prometheus::Labels;
use crate::harness::{
    Delivery, IdentityProvider, Proxy, Request, Setup, Table, changed, claims, eventually, filter,
    token,
};

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
    assert!(
        !proxy.envoy.log.own_lines_from(0).contains("not counted"),
        "the host takes every count"
    );
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

const TOKENS: &str = "claimgate_tokens_total";
const CACHE: &str = "claimgate_token_cache_total";
const KEY_SETS: &str = "claimgate_key_sets_total";
const LOADS: &str = "claimgate_config_loads_total";
const INFO: &str = "claimgate_info";

/// A metric, labels of it, and what it is to become.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

/// A row for each metric with labels that has to become so much.
fn expect(table: &mut Table, proxy: &Proxy, rows: &[Row<'_>]) {
    for (metric, labels, want) in rows {
        let got = proxy.sum_becomes(metric, labels, *want);
        table.row(format!("{metric} {labels:?}"), format!("{got:?}"), format!("{:?}", Some(*want)));
    }
}

fn seconds_ago(proxy: &Proxy, metric: &str, labels: &[(&str, &str)]) -> f64 {
    token::now() as f64 - proxy.sum(metric, labels).unwrap_or_default()
}

#[test]
fn prometheus_sees_every_label_and_nothing_else() {
    let routes = json!([{"name": "closed", "paths": ["/closed"]}, {"name": "open", "paths": ["/open"], "token": "none"}]);
    let candidate =
        json!({"candidate": {"routes": [{"name": "trial", "paths": ["/**"], "token": "none"}]}});
    let proxy = Proxy::start(Setup::new(changed(filter(routes), candidate)).workers(2));
    proxy.send(Request::get("/closed").bearer(claims().sign(&P256))).allowed();
    proxy.send(Request::get("/closed")).refused("token_missing");
    assert!(proxy.counted("claimgate_candidate_differences_total", &[]));
    assert!(proxy.counted(TOKENS, &[]));
    let mut table = Table::new();
    for (metric, want) in [
        ("claimgate_requests_total", "code,filter,outcome,route"),
        ("claimgate_candidate_differences_total", "route"),
        (TOKENS, "filter,issuer,kid,outcome"),
        (CACHE, "outcome"),
        ("claimgate_keys", "issuer"),
        ("claimgate_audit_total", "outcome"),
        ("claimgate_waiting_requests", ""),
        ("claimgate_config_loaded_seconds", ""),
        ("claimgate_verify_microseconds_count", ""),
        ("claimgate_verify_microseconds_bucket", "le"),
        (LOADS, "outcome"),
        (INFO, "config,version"),
    ] {
        let samples = proxy.samples(metric);
        let labels = |(labels, _): &(Labels, f64)| {
            labels.keys().map(String::as_str).collect::<Vec<_>>().join(",")
        };
        let labels: std::collections::BTreeSet<String> = samples.iter().map(labels).collect();
        let labels: Vec<String> = labels.into_iter().collect();
        table.row(metric, labels.join(" | "), want);
        table.hold(metric, !samples.is_empty(), "has no sample");
    }
    let ago = seconds_ago(&proxy, "claimgate_config_loaded_seconds", &[]);
    table.hold("loaded", (0.0..60.0).contains(&ago), format!("{ago} s ago"));
    let info = proxy.samples(INFO);
    let config = &info[0].0["config"];
    let is_digest = config.len() == 12 && config.bytes().all(|byte| byte.is_ascii_hexdigit());
    table.hold(INFO, is_digest && info[0].0["version"] == env!("CARGO_PKG_VERSION"), config);
    // Two workers and the main thread.
    expect(&mut table, &proxy, &[(INFO, &[], 3.0), (LOADS, &[("outcome", "accepted")], 3.0)]);
    expect(&mut table, &proxy, &[("claimgate_keys", &[("issuer", "corp")], 1.0)]);
    table.check();
}

#[test]
fn tokens_are_counted_by_what_they_came_to_and_how() {
    let routes = json!([
        {"name": "closed", "paths": ["/closed"]},
        {"name": "lenient", "paths": ["/lenient"], "token": "lenient"},
        {"name": "open", "paths": ["/open"], "token": "none"},
    ]);
    let proxy = Proxy::start(Setup::new(filter(routes)));
    let (good, stranger) = (claims().sign(&P256), Key::p256("p256-1"));
    let forged = claims().sign(&stranger);
    let old = claims().with("exp", token::now() - 3600).sign(&P256);
    let elsewhere = claims().with("iss", "https://elsewhere.test").sign(&P256);
    let unnamed = claims().sign(&Key::p256("no such key"));
    let send = |path: &str, token: &str| proxy.send(Request::get(path).bearer(token)).outcome();
    for _ in 0..3 {
        assert_eq!(send("/closed", &good), "allowed");
        assert_eq!(send("/closed", &forged), "signature_invalid");
        assert_eq!(send("/closed", &old), "token_expired");
        assert_eq!(send("/lenient", &forged), "allowed");
        assert_eq!(send("/closed", &elsewhere), "issuer_unknown");
        assert_eq!(send("/closed", &unnamed), "key_unknown");
        assert_eq!(send("/closed", "a.b.c"), "token_malformed");
        assert_eq!(send("/open", "a.b.c"), "allowed");
        proxy.send(Request::get("/closed")).refused("token_missing");
        let twice = Request::get("/closed").bearer(&good).bearer(&old);
        proxy.send(twice).refused("token_ambiguous");
    }
    let mut table = Table::new();
    let of = |issuer, kid, outcome| {
        [("filter", "edge"), ("issuer", issuer), ("kid", kid), ("outcome", outcome)]
    };
    expect(
        &mut table,
        &proxy,
        &[
            (TOKENS, &of("corp", "p256-1", "valid"), 3.0),
            (TOKENS, &of("corp", "p256-1", "signature_invalid"), 6.0),
            (TOKENS, &of("corp", "p256-1", "token_expired"), 3.0),
            (TOKENS, &of("corp", "none", "key_unknown"), 3.0),
            (TOKENS, &of("unknown", "none", "issuer_unknown"), 3.0),
            (TOKENS, &of("none", "none", "token_malformed"), 3.0),
            (TOKENS, &of("none", "none", "token_ambiguous"), 3.0),
            (TOKENS, &[], 24.0),
            (CACHE, &[("outcome", "hit")], 2.0),
            (CACHE, &[("outcome", "refused_hit")], 7.0),
            (CACHE, &[("outcome", "miss")], 3.0),
            // The ambiguous ones among them: Envoy hands both over in one value.
            (CACHE, &[("outcome", "unchecked")], 12.0),
            ("claimgate_verify_microseconds_count", &[], 3.0),
            ("claimgate_audit_total", &[("outcome", "written")], 30.0),
        ],
    );
    let micros = proxy.sum("claimgate_verify_microseconds_sum", &[]).unwrap_or_default();
    table.hold(
        "a verification takes time",
        (1.0..3_000_000.0).contains(&micros),
        micros.to_string(),
    );
    table.check();
}

#[test]
fn key_ids_break_no_name_and_are_sixteen_at_most() {
    let mut kids: Vec<String> = (0..18).map(|n| format!("key-{n:02}")).collect();
    kids[0] = "a=.=b;.;code=.=allowed;.;".to_owned();
    kids[1] = "https://idp.test/k\"1\"".to_owned();
    kids[2] = "none".to_owned();
    let keys: Vec<Key> = kids.iter().map(|kid| Key::p256(kid)).collect();
    let jwks: Vec<&Value> = keys.iter().map(|key| &key.jwk).collect();
    let patch = json!({"issuers": {"corp": {"keys": [{"jwks": {"keys": jwks}}]}}});
    let config = changed(filter(json!([{"name": "closed", "paths": ["/closed"]}])), patch);
    let proxy = Proxy::start(Setup::new(config));
    for key in &keys {
        proxy.send(Request::get("/closed").bearer(claims().sign(key))).allowed();
    }
    let mut table = Table::new();
    for (kid, want) in [
        ("a%3D.%3Db%3B.%3Bcode%3D.%3Dallowed%3B.%3B", 1.0),
        ("https%3A%2F%2Fidp.test%2Fk%221%22", 1.0),
        ("%6Eone", 1.0),
        ("key-15", 1.0),
        ("other", 2.0),
    ] {
        let labels = [("issuer", "corp"), ("kid", kid), ("outcome", "valid")];
        expect(&mut table, &proxy, &[(TOKENS, &labels, want)]);
    }
    expect(&mut table, &proxy, &[("claimgate_keys", &[("issuer", "corp")], 18.0)]);
    table.check();
    assert_eq!(proxy.samples(TOKENS).len(), 17);
}

#[test]
fn a_configuration_is_told_by_what_it_says() {
    let routes = |name: &str| filter(json!([{"name": name, "paths": ["/closed"]}]));
    let setup = Setup::new(routes("one")).pushed().workers(2);
    let proxy = Proxy::start(setup.clone());
    // What serves: two workers and the main thread.
    let serving = || {
        let live = proxy.samples(INFO).into_iter().filter(|(_, threads)| *threads > 0.0);
        live.map(|(labels, threads)| (labels["config"].clone(), threads)).collect::<Vec<_>>()
    };
    let settled = || {
        let one = || match &serving()[..] {
            [(config, 3.0)] => Some(config.clone()),
            _ => None,
        };
        eventually(Duration::from_secs(6), one).unwrap_or_else(|| format!("{:?}", serving()))
    };
    let first = settled();
    assert_eq!(first.len(), 12, "{first}");

    proxy.push(json!({"routes": "none"})).unwrap_err();
    assert_eq!(settled(), first, "one that is refused changes nothing");
    assert_eq!(proxy.sum_becomes(LOADS, &[("outcome", "refused")], 1.0), Some(1.0));

    proxy.push(routes("two")).unwrap();
    // The old one goes when the last stream with it has ended.
    let changed = eventually(Duration::from_secs(6), || Some(settled()).filter(|s| *s != first));
    let second = changed.unwrap_or_default();
    assert_eq!(second.len(), 12, "{second}");
    assert_eq!(proxy.sum_becomes(LOADS, &[("outcome", "accepted")], 6.0), Some(6.0));

    // Another form of the first.
    proxy.push_setup(&setup.delivered_as(Delivery::Struct)).unwrap();
    let back = eventually(Duration::from_secs(6), || Some(settled()).filter(|s| *s != second));
    assert_eq!(back, Some(first));
}

#[test]
fn key_sets_and_those_who_wait_for_them_are_told() {
    let key = Key::p256("k");
    let provider = IdentityProvider::start(Answer::Stall);
    let remote = json!({"cluster": "idp", "url": "https://idp.test/keys", "timeout": "10s", "refresh": "1s"});
    let routes = json!([{"name": "closed", "paths": ["/closed"]}]);
    let config =
        changed(filter(routes), json!({"issuers": {"corp": {"keys": [{"remote": remote}]}}}));
    let setup = Setup::new(config.clone()).idp(provider.address).pushed().workers(2);
    let proxy = Proxy::start(setup);
    let (corp, waiting) = ([("issuer", "corp")], "claimgate_waiting_requests");
    let mut table = Table::new();
    expect(&mut table, &proxy, &[("claimgate_keys", &corp, 0.0), (waiting, &[], 0.0)]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let token = claims().sign(&key);
            scope.spawn(|| proxy.send(Request::get("/closed").bearer(token)).allowed());
        }
        expect(&mut table, &proxy, &[(waiting, &[], 4.0)]);
        provider.publish(&[&key]);
    });
    expect(&mut table, &proxy, &[(waiting, &[], 0.0), ("claimgate_keys", &corp, 1.0)]);
    let counted =
        |outcome: &str| proxy.counted(KEY_SETS, &[("issuer", "corp"), ("outcome", outcome)]);
    table.hold("changed", counted("changed"), "not counted");
    table.hold("unchanged", counted("unchanged"), "not counted");
    provider.answer(Answer::Close);
    table.hold("failed", counted("failed"), "not counted");
    let ago = seconds_ago(&proxy, "claimgate_key_set_last_success_seconds", &corp);
    table.hold("last success", (0.0..60.0).contains(&ago), format!("{ago} s ago"));
    // Those that go with a reload are not told of for ever.
    provider.answer(Answer::Stall);
    proxy.push(changed(config, json!({"name": "other"}))).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let token = claims().sign(&key);
            scope.spawn(|| proxy.send(Request::get("/closed").bearer(token)));
        }
        expect(&mut table, &proxy, &[(waiting, &[], 3.0)]);
        provider.publish(&[&key]);
        proxy.push(filter(json!([]))).unwrap();
    });
    expect(&mut table, &proxy, &[(waiting, &[], 0.0)]);
    table.check();
}
