//! Refusals that gRPC and gRPC-Web clients understand.

use std::sync::LazyLock;

use serde_json::json;

use crate::harness::keys::P256;
use crate::harness::{Exchange, Proxy, Request, Setup, Table, claims, filter, now};

static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    Proxy::start(Setup::new(filter(json!([
        {"name": "service", "paths": ["/pkg.Service/**"], "methods": ["POST"], "require": {"claim": "roles", "any_of": ["sre"]}},
        {"name": "no-admin", "paths": ["/pkg.Admin/**"], "deny": true},
    ]))))
});

fn call(method: &str, path: &str, content_type: &str, token: Option<&str>) -> Exchange<'static> {
    let request =
        Request::new(method, path).headers(&[("content-type", content_type), ("te", "trailers")]);
    let request = token.iter().fold(request, |request, token| request.bearer(token));
    PROXY.send(request.body([0, 0, 0, 0, 0]))
}

#[test]
#[rustfmt::skip]
fn a_grpc_call_is_refused_with_a_grpc_status() {
    let expired = claims().with("exp", now() - 1000).sign(&P256);
    let guest = claims().sign(&P256);
    let mut table = Table::new();
    for (method, path, token, status, code) in [
        ("POST", "/pkg.Service/Get", None, "16", "token_missing"),
        ("POST", "/pkg.Service/Get", Some(expired.as_str()), "16", "token_expired"),
        ("POST", "/pkg.Service/Get", Some(guest.as_str()), "7", "claims_insufficient"),
        ("POST", "/pkg.Admin/Get", None, "7", "route_denied"),
        ("POST", "/pkg.Other/Get", None, "7", "no_route"),
        ("POST", "/pkg.Service//Get", None, "3", "path_ambiguous"),
        ("PUT", "/pkg.Service/Get", None, "12", "method_not_allowed"),
    ] {
        for content_type in ["application/grpc", "application/grpc+proto"] {
            let exchange = call(method, path, content_type, token);
            let name = format!("{code}, {content_type}");
            table.row(&name, exchange.response.status.to_string(), "200");
            table.row(&name, exchange.header("grpc-status").unwrap_or_default(), status);
            table.hold(&name, exchange.header("grpc-message").is_some(), "no grpc-message");
            table.row(
                &name,
                exchange.header("content-type").unwrap_or_default(),
                "application/grpc|application/grpc+proto",
            );
            table.hold(&name, exchange.response.body.is_empty(), "a gRPC refusal has no body");
            table.row(&name, exchange.access()["details"].as_str().unwrap_or_default(), format!("claimgate.{code}"));
        }
    }
    table.check();
}

#[test]
fn a_grpc_call_passes_with_its_token() {
    let token = claims().with("roles", json!(["sre"])).sign(&P256);
    let echo = call("POST", "/pkg.Service/Get", "application/grpc", Some(&token)).allowed();
    assert_eq!(echo.header("te"), Some("trailers"));
    assert_eq!(echo.body().len(), 5);
}

#[test]
fn grpc_web_keeps_the_http_status_and_exposes_both() {
    for content_type in
        ["application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text"]
    {
        let exchange = call("POST", "/pkg.Service/Get", content_type, None);
        assert_eq!(exchange.response.status, 401, "{content_type}");
        assert_eq!(exchange.header("grpc-status").as_deref(), Some("16"), "{content_type}");
        assert!(exchange.header("grpc-message").is_some(), "{content_type}");
        let exposed = exchange
            .header("access-control-expose-headers")
            .unwrap_or_default()
            .to_ascii_lowercase();
        assert!(
            exposed.contains("grpc-status") && exposed.contains("grpc-message"),
            "{content_type}: `{exposed}`"
        );
    }
}

#[test]
fn what_only_resembles_grpc_is_answered_as_http() {
    for content_type in ["application/grpcx", "application/json", "text/plain; x=application/grpc"]
    {
        call("POST", "/pkg.Service/Get", content_type, None).refused("token_missing");
    }
}
