//! A host that denies what loading needs: no request passes, and the log says why.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::keys::{Key, P256, RSA};
use crate::harness::{Proxy, Request, Setup, Table, changed, claims, eventually, filter, token};

/// Starts with one function denied and expects every request to be refused.
fn check(function: &'static str) {
    check_with(json!({}), function);
}

/// The same with these changes of the configuration.
fn check_with(patch: Value, function: &'static str) {
    let routes = json!([{"name": "open", "paths": ["/open"], "token": "none"}, {"name": "closed", "paths": ["/closed"]}]);
    let config = changed(filter(routes), patch);
    let proxy = Proxy::start(Setup::new(config).denying(function).workers(2));
    let token = claims().sign(&P256);
    let mut table = Table::new();
    for round in 0..5 {
        for request in [
            Request::get("/open"),
            Request::get("/closed"),
            Request::get("/closed").bearer(&token),
            Request::get("/x"),
        ] {
            let exchange = proxy.send(request);
            table.row(format!("{function}, round {round}"), exchange.outcome(), "internal_error");
        }
    }
    table.check();
    let own = proxy.envoy.log.own_lines_from(0);
    assert!(own.contains(function), "the filter does not say why: {own}");
    let recorded = proxy.envoy.log.audit(|record| {
        record["event.code"] == "internal_error"
            && record["url.path"] == "/closed"
            && record["event.reason"].as_str().is_some_and(|reason| !reason.is_empty())
    });
    assert!(recorded.is_some(), "no record says which request was refused");
}

#[test]
fn without_metrics_every_request_is_refused() {
    check("proxy_define_metric");
}

#[test]
fn without_a_clock_every_request_is_refused() {
    check("proxy_get_current_time_nanoseconds");
}

/// Limits that nobody counts would let everything pass.
#[test]
fn without_shared_data_every_request_is_refused_where_there_are_limits() {
    let limit = json!({"name": "few", "by": ["client_address"], "requests": 1000, "per": "1s"});
    for function in ["proxy_get_shared_data", "proxy_set_shared_data"] {
        check_with(json!({"limits": [limit]}), function);
    }
}

#[test]
fn without_any_one_of_the_other_functions_the_gate_stays_shut() {
    let setup = Setup::new(filter(json!([{"name": "closed", "paths": ["/closed"]}])));
    let proxy = Proxy::start(setup.clone().pushed());
    let mut table = Table::new();
    for function in [
        "proxy_get_header_map_pairs",
        "proxy_get_header_map_value",
        "proxy_set_property",
        "proxy_get_property",
        "proxy_call_foreign_function",
        "proxy_set_tick_period_milliseconds",
        "proxy_set_shared_data",
        "proxy_log",
        "proxy_increment_metric",
        "proxy_remove_header_map_value",
        "proxy_replace_header_map_value",
        "proxy_add_header_map_value",
        "proxy_get_buffer_bytes",
        "random_get",
        "clock_time_get",
    ] {
        // Refused or not: the gate is to be shut, by this filter or by the one before.
        let _ = proxy.push_setup(&setup.clone().denying(function).pushed());
        let forged = claims().sign_under(&Key::p256("p256-1"), &json!({"alg": "ES256"}));
        for request in
            [Request::get("/closed"), Request::get("/x"), Request::get("/closed").bearer(&forged)]
        {
            let outcome =
                proxy.try_send(proxy.envoy.address, request).map(|exchange| exchange.outcome());
            table.hold(function, outcome.as_deref() != Ok("allowed"), "a request passed");
        }
    }
    table.check();
}

#[test]
fn a_vm_that_trapped_comes_back() {
    // A refusal that the host does not send makes the filter trap: the one way that is known to.
    let routes = json!([{"name": "open", "paths": ["/open"], "token": "none"}, {"name": "closed", "paths": ["/closed"]}]);
    let proxy = Proxy::start(Setup::new(filter(routes)).denying("proxy_send_local_response"));
    let status = |target: &str| proxy.send(Request::get(target)).response.status;
    assert_eq!(status("/open"), 200);
    for round in 0..3 {
        assert_eq!(status("/closed"), 503, "the request that met the trap, round {round}");
        let back = eventually(Duration::from_secs(10), || (status("/open") == 200).then_some(()));
        assert!(back.is_some(), "the VM does not come back, round {round}");
    }
}

/// What only saves time is not missed.
#[test]
fn without_cryptography_or_randomness_of_the_host_decisions_are_the_same() {
    let keys = json!([{"jwks": {"keys": [P256.jwk, RSA.jwk_for("RS256")]}}]);
    let config = filter(json!([{"name": "closed", "paths": ["/closed"]}]));
    let setup = Setup::new(changed(config, json!({"issuers": {"corp": {"keys": keys}}})));
    let mut table = Table::new();
    for function in ["proxy_call_foreign_function", "random_get"] {
        let proxy = Proxy::start(setup.clone().denying(function));
        for key in [&*P256, &*RSA] {
            let algorithm = if key.kid == RSA.kid { "RS256" } else { "ES256" };
            let token = claims().sign_as(key, algorithm);
            let (head, payload, _) = token::split(&token);
            let other = key.sign(algorithm, b"another message");
            let forged = token::assemble(&format!("{head}.{payload}"), &other);
            for round in ["first", "again"] {
                let name = format!("without {function}, {algorithm}, {round}");
                let outcome =
                    |token: &str| proxy.send(Request::get("/closed").bearer(token)).outcome();
                table.row(&name, outcome(&token), "allowed");
                table.row(&name, outcome(&forged), "signature_invalid");
            }
        }
    }
    table.check();
}
