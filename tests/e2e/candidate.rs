//! A candidate policy: what it would decide is compared, counted and recorded, and changes nothing.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::keys::P256;
use crate::harness::{Proxy, Request, Setup, Table, changed, claims, eventually, filter};

static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    let routes = json!([
        {"name": "all", "paths": ["/**"]},
        {"name": "closed", "paths": ["/closed"], "deny": true},
        {"name": "trial", "paths": ["/trial"], "mode": "shadow"},
    ]);
    let candidate = json!([
        {"name": "all", "paths": ["/**"], "methods": ["GET"]},
        {"name": "admin", "paths": ["/admin/**"], "require": {"claim": "roles", "any_of": ["admin"]}},
        {"name": "opened", "paths": ["/closed"]},
        {"name": "trial", "paths": ["/trial"], "token": "none"},
    ]);
    let audit = json!({"candidate": {"routes": candidate}, "audit": {"allowed": "none"}});
    Proxy::start(Setup::new(changed(filter(routes), audit)))
});

#[test]
fn what_would_be_decided_otherwise_is_told_and_changes_nothing() {
    let guest = || claims().sign(&P256);
    let admin = || claims().with("roles", json!(["admin"])).sign(&P256);
    // (request, live outcome, what the candidate says and by which route)
    let cases = [
        (Request::get("/a").bearer(guest()), "allowed", None),
        (Request::get("/a"), "token_missing", None),
        (Request::get("/a//b"), "path_ambiguous", None),
        (Request::get("/admin/x").bearer(admin()), "allowed", None),
        (
            Request::get("/admin/x").bearer(guest()),
            "allowed",
            Some(("claims_insufficient", "admin")),
        ),
        (Request::new("PUT", "/a").bearer(guest()), "allowed", Some(("method_not_allowed", ""))),
        (Request::get("/closed").bearer(guest()), "route_denied", Some(("allowed", "opened"))),
        (Request::get("/closed"), "route_denied", Some(("token_missing", "opened"))),
        (Request::get("/trial"), "allowed", Some(("allowed", "trial"))),
    ];
    let mut table = Table::new();
    for (index, (request, live, candidate)) in cases.into_iter().enumerate() {
        let index = &format!("case {index}");
        let exchange = PROXY.send(request);
        table.row(index, exchange.outcome(), live);
        let Some((code, route)) = candidate else {
            if live != "allowed" {
                let none = exchange.audit()["claimgate.candidate.code"] == Value::Null;
                table.hold(index, none, "a difference where there is none");
            }
            continue;
        };
        // Also where allowed requests are not recorded.
        let record = exchange.audit();
        table.row(index, record["claimgate.candidate.code"].as_str().unwrap_or_default(), code);
        table.row(index, record["claimgate.candidate.route"].as_str().unwrap_or_default(), route);
        let route = if route.is_empty() { "none" } else { route };
        let labels = [("route", route)];
        let counted = PROXY.counted("claimgate_candidate_differences_total", &labels);
        table.hold(index, counted, "not counted");
    }
    table.check();
    let total = eventually(Duration::from_secs(5), || {
        Some(PROXY.stat("claimgate_candidate_differences_total")).filter(|total| *total >= 5)
    });
    assert_eq!(total, Some(5), "requests that are decided alike are no difference");
}
