//! Values of conditions that come from the request.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::harness::keys::P256;
use crate::harness::{Proxy, Request, Setup, Table, claims, filter};

static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    let any = |value: &str| json!({"claim": "grants", "any_of": [value]});
    let routes = [
        ("path", any("${path.env}")),
        ("host", any("${host.tenant}")),
        ("query", any("${query.env}")),
        ("header", any("${header.x-tenant}")),
        ("whole-host", any("${host}")),
        ("method", any("${method}")),
        ("mixed", any("${host.tenant}:${path.env}:${method}")),
        ("escaped", any("$${path.env}")),
        ("equals", json!({"claim": "grants", "equals": "env-${path.env}"})),
        ("none-of", json!({"claim": "grants", "none_of": ["${query.env}"]})),
        ("header-of-header", json!({"header": "x-tenant", "equals": "${host.tenant}"})),
    ]
    .map(|(name, require)| {
        json!({"name": name, "hosts": ["{tenant}.app.test"], "paths": [format!("/{name}/{{env}}")], "require": require})
    });
    Proxy::start(Setup::new(filter(json!(routes))))
});

#[test]
#[rustfmt::skip]
fn a_placeholder_stands_for_what_the_request_says() {
    type Case = (&'static str, Value, &'static [(&'static str, &'static str)], bool);
    let cases: [Case; 27] = [
        ("/path/prod", json!(["prod"]), &[], true),
        ("/path/prod", json!(["dev"]), &[], false),
        ("/path/%70rod", json!(["prod"]), &[], true),
        ("/path/prod/", json!(["prod"]), &[], true),
        ("/path/PROD", json!(["prod"]), &[], false),
        ("/path/$%7Bpath.env%7D", json!(["prod"]), &[], false),
        ("/host/x", json!(["acme"]), &[], true),
        ("/host/x", json!(["other"]), &[], false),
        ("/query/x?env=prod", json!(["prod"]), &[], true),
        ("/query/x?other=1&env=prod", json!(["prod"]), &[], true),
        ("/query/x", json!(["prod"]), &[], false),
        ("/query/x", json!([""]), &[], false),
        ("/query/x?env=prod&env=prod", json!(["prod"]), &[], false),
        ("/query/x?env=prod&env=dev", json!(["prod", "dev"]), &[], false),
        ("/query/x?env=prod&%65nv=dev", json!(["prod", "dev"]), &[], false),
        ("/header/x", json!(["t1"]), &[("x-tenant", "t1")], true),
        ("/header/x", json!(["t1"]), &[], false),
        ("/header/x", json!(["t1"]), &[("x-tenant", "t1"), ("x-tenant", "t2")], false),
        ("/whole-host/x", json!(["acme.app.test"]), &[], true),
        ("/method/x", json!(["GET"]), &[], true),
        ("/mixed/prod", json!(["acme:prod:GET"]), &[], true),
        ("/escaped/prod", json!(["${path.env}"]), &[], true),
        ("/escaped/prod", json!(["prod"]), &[], false),
        ("/equals/prod", json!("env-prod"), &[], true),
        ("/none-of/x?env=prod", json!(["dev"]), &[], true),
        // Unresolved is unknown, and unknown opens nothing.
        ("/none-of/x", json!(["dev"]), &[], false),
        ("/header-of-header/x", json!(null), &[("x-tenant", "acme")], true),
    ];
    let mut table = Table::new();
    for (target, grants, headers, opens) in cases {
        let token = claims().patched(&json!({"grants": grants})).sign(&P256);
        let request = Request::get(target).host("acme.app.test").bearer(token).headers(headers);
        let expected = if opens { "allowed" } else { "claims_insufficient" };
        table.row(format!("{target} {grants} {headers:?}"), PROXY.send(request).outcome(), expected);
    }
    table.check();
}
