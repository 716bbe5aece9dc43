//! The audit line and the filter state of every decision.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::harness::keys::P256;
use crate::harness::{Exchange, Proxy, Request, Setup, Table, changed, claims, filter};

static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    let routes = json!([
        {"name": "logs", "paths": ["/logs/{env}/**"], "require": {"claim": "envs", "any_of": ["${path.env}"]}},
        {"name": "health", "paths": ["/healthz"], "token": "none"},
        {"name": "socket", "paths": ["/socket"], "upgrade": ["websocket"]},
    ]);
    Proxy::start(Setup::new(changed(filter(routes), json!({"name": "edge"}))))
});

fn ask(target: &str, envs: Value) -> Exchange<'static> {
    let token = claims().with("envs", envs).sign(&P256);
    PROXY.send(
        Request::get(target).host("LOGS.test:80").bearer(token).header("user-agent", "curl/8"),
    )
}

fn check(record: &Value, expected: &[(&str, Value)]) {
    let mut table = Table::new();
    for (name, value) in expected {
        table.row(*name, record[name].to_string(), value.to_string());
    }
    table.check();
}

#[test]
fn an_allowed_request_is_recorded() {
    let record = ask("/logs/prod/app?q=1", json!(["prod"])).audit();
    check(
        &record,
        &[
            ("event.outcome", json!("success")),
            ("event.kind", json!("event")),
            ("claimgate.filter", json!("edge")),
            ("claimgate.route", json!("logs")),
            ("claimgate.issuer", json!("corp")),
            ("claimgate.kid", json!("p256-1")),
            ("claimgate.mode", json!("enforce")),
            ("user.id", json!("alice")),
            ("http.request.method", json!("GET")),
            ("http.response.status_code", json!(200)),
            ("url.path", json!("/logs/prod/app")),
            ("url.domain", json!("logs.test")),
            ("user_agent.original", json!("curl/8")),
            ("client.ip", json!("127.0.0.1")),
        ],
    );
}

#[test]
fn a_denied_request_is_recorded() {
    let record = ask("/logs/prod/app?q=1", json!(["staging"])).audit();
    check(
        &record,
        &[
            ("event.code", json!("claims_insufficient")),
            ("event.outcome", json!("failure")),
            ("claimgate.route", json!("logs")),
            ("claimgate.issuer", json!("corp")),
            ("user.id", json!("alice")),
            ("http.response.status_code", json!(403)),
            ("url.path", json!("/logs/prod/app")),
        ],
    );
}

#[test]
fn a_record_has_the_names_of_the_elastic_common_schema() {
    let record = ask("/logs/prod/app", json!(["prod"])).audit();
    let mut table = Table::new();
    for name in [
        "@timestamp",
        "ecs.version",
        "event.kind",
        "event.category",
        "event.type",
        "event.dataset",
        "event.action",
        "event.outcome",
        "event.code",
        "event.duration",
        "http.request.id",
        "http.request.method",
        "url.path",
    ] {
        table.hold(name, !record[name].is_null(), "is missing");
    }
    table.hold("event.category", record["event.category"].is_array(), "is a list in ECS");
    table.hold("event.type", record["event.type"].is_array(), "is a list in ECS");
    table.hold(
        "event.duration",
        record["event.duration"].as_u64().is_some_and(|ns| ns > 0),
        "no nanoseconds",
    );
    let timestamp = record["@timestamp"].as_str().unwrap_or_default();
    table.hold(
        "@timestamp",
        timestamp.len() >= 20 && timestamp.ends_with('Z') && timestamp.contains('T'),
        timestamp,
    );
    let nested: Vec<&String> =
        record.as_object().unwrap().iter().filter(|(_, v)| v.is_object()).map(|(k, _)| k).collect();
    table.hold(
        "flat",
        nested.iter().all(|name| *name == "claimgate.claims"),
        format!("objects in it: {nested:?}"),
    );
    table.check();
}

#[test]
fn there_is_one_record_for_each_request() {
    let exchanges: Vec<Exchange> = (0..20)
        .map(|n| ask("/logs/prod/x", json!([if n % 2 == 0 { "prod" } else { "dev" }])))
        .collect();
    for exchange in &exchanges {
        exchange.audit();
    }
    for exchange in &exchanges {
        assert_eq!(
            PROXY.envoy.log.audits(|record| record["http.request.id"] == *exchange.id).len(),
            1
        );
    }
}

#[test]
fn a_request_without_a_token_is_recorded_too() {
    let record = PROXY.send(Request::get("/healthz")).audit();
    check(
        &record,
        &[
            ("event.outcome", json!("success")),
            ("claimgate.route", json!("health")),
            ("claimgate.issuer", json!(null)),
            ("user.id", json!(null)),
        ],
    );
    let record = PROXY.send(Request::get("/nowhere")).audit();
    check(&record, &[("event.outcome", json!("failure")), ("claimgate.route", json!(null))]);
}

#[test]
fn a_request_that_the_subject_made_but_the_signature_did_not_prove_names_nobody() {
    let (header, payload, _) =
        crate::harness::token::split(&claims().with("sub", "admin").sign(&P256));
    let forged = crate::harness::token::assemble(&format!("{header}.{payload}"), &[1; 64]);
    let exchange = PROXY.send(Request::get("/logs/prod/x").bearer(forged));
    exchange.refused("signature_invalid");
    let (record, access) = (exchange.audit(), exchange.access());
    assert!(!record.to_string().contains("admin"), "{record}");
    assert!(!access["state"].to_string().contains("admin"), "{access}");
}

#[test]
fn a_record_is_one_line_whatever_the_request_holds() {
    let token = claims()
        .with("sub", "a\nclaimgate_audit {\"event.code\":\"forged\"}\u{2028}")
        .with("envs", json!(["prod"]));
    let request =
        Request::get("/logs/prod/%22%7D%20claimgate_audit%20%7B").bearer(token.sign(&P256));
    let exchange = PROXY
        .send(request.header("user-agent", "\"} claimgate_audit {\"event.code\": \"forged\"}"));
    exchange.allowed();
    assert_eq!(exchange.audit()["event.outcome"], "success");
    assert_eq!(PROXY.envoy.log.audits(|record| record["event.code"] == "forged").len(), 0);
}

#[test]
fn the_filter_state_carries_the_identity_to_access_logs() {
    let mut table = Table::new();
    for (env, decision) in [("prod", "allowed"), ("dev", "denied")] {
        let state = ask("/logs/prod/x", json!([env])).access()["state"].clone();
        for (member, expected) in
            [("decision", decision), ("route", "logs"), ("issuer", "corp"), ("subject", "alice")]
        {
            table.row(
                format!("{decision}: {member}"),
                state[member].as_str().unwrap_or_default(),
                expected,
            );
        }
        table.hold(decision, state["code"].is_string(), "no code");
    }
    table.check();
}

#[test]
fn an_upgraded_connection_is_recorded() {
    let exchange = PROXY.send(Request::get("/socket").websocket().bearer(claims().sign(&P256)));
    assert_eq!(exchange.response.status, 101);
    assert_eq!(exchange.audit()["http.response.status_code"], 101);
}
