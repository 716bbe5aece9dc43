//! The same by HTTP/2: a second Envoy translates.

use serde_json::json;

use crate::harness::keys::P256;
use crate::harness::{Proxy, Request, Setup, Table, changed, claims, filter};

#[test]
#[rustfmt::skip]
fn http2_is_decided_as_http1() {
    let routes = json!([
        {"name": "closed", "paths": ["/closed/**"], "hosts": ["app.test"]},
        {"name": "open", "paths": ["/open"], "token": "none"},
        {"name": "no-internal", "paths": ["/internal/**"], "deny": true},
    ]);
    let identity = json!({"identity": {"headers": {"x-user-id": {"attribute": "subject"}}}});
    let proxy = Proxy::start(Setup::new(changed(filter(routes), identity)));
    let front = proxy.behind_http2(None);
    let token = claims().sign(&P256);

    let mut table = Table::new();
    for (name, request, expected) in [
        ("no token", Request::get("/closed/x"), "token_missing"),
        ("a token", Request::get("/closed/x").bearer(&token), "allowed"),
        ("a host in capitals", Request::get("/closed/x").host("APP.test:80").bearer(&token), "allowed"),
        ("another host", Request::get("/closed/x").host("other.test").bearer(&token), "no_route"),
        ("a denied route", Request::get("/internal/x").bearer(&token), "route_denied"),
        ("dots", Request::get("/open/../internal"), "path_ambiguous"),
        ("two tokens", Request::get("/closed/x").bearer(&token).bearer(&token), "token_ambiguous"),
    ] {
        table.row(name, proxy.send_by(front.address, request).outcome(), expected);
    }
    table.check();

    let request = Request::new("POST", "/closed/x").bearer(&token).header("x-user-id", "admin");
    let echo = proxy.send_by(front.address, request.chunked("hello", &[("x_user_id", "admin"), ("x-sum", "1")])).allowed();
    assert_eq!(echo.headers("x-user-id"), ["alice"]);
    assert_eq!(echo.body(), "hello");
    assert_eq!(echo.trailer_names(), ["x-sum"]);

    let grpc = Request::new("POST", "/closed/x").header("content-type", "application/grpc").body("");
    let refusal = proxy.send_by(front.address, grpc);
    assert_eq!(refusal.response.status, 200);
    assert_eq!(refusal.header("grpc-status").as_deref(), Some("16"));

    let requests = proxy.stat("http.main.downstream_cx_http2_total");
    assert!(requests > 0, "no HTTP/2 connection was made");
}
