//! No token and no secret in any log. Every Envoy of the suite is watched; here the worst cases are provoked.

use serde_json::json;

use crate::harness::keys::{self, Key, P256};
use crate::harness::secrets::found_in;
use crate::harness::token;
use crate::harness::{Proxy, Request, Setup, Table, changed, claims, filter, now};

#[test]
fn no_log_holds_a_token_or_a_secret() {
    let key = Key::secret("hs-secret");
    let places = json!([
        {"header": "authorization", "scheme": "Bearer"}, {"header": "x-token"}, {"cookie": "session"}, {"query": "access_token"},
        {"websocket_protocol": "bearer."},
    ]);
    let patch = json!({"issuers": {
        "corp": {"token_from": places},
        "shared": {
            "issuer": "https://shared.test", "any_audience": true, "token_from": places,
            "keys": [{"secret": {"env": "TOKEN_SECRET"}, "algorithms": ["HS256"]}],
        },
    }});
    let routes = json!([
        {"name": "closed", "paths": ["/closed"], "issuers": ["corp", "shared"], "upgrade": ["websocket"]},
        {"name": "trial", "paths": ["/trial"], "issuers": ["corp", "shared"], "mode": "shadow"},
        {"name": "none", "paths": ["/none"], "token": "none"},
    ]);
    let proxy =
        Proxy::start(Setup::new(changed(filter(routes), patch)).env("TOKEN_SECRET", &key.pem));

    let shared = || claims().with("iss", "https://shared.test");
    let tokens = [
        claims().sign(&P256),
        shared().sign(&key),
        claims().with("exp", now() - 1000).sign(&P256),
        claims().with("iss", "https://evil.test").sign(&P256),
        claims().sign_under(&P256, &json!({"alg": "ES256", "kid": "unknown"})),
        claims().sign_under(&Key::p256("p256-1"), &json!({"alg": "ES256"})),
        shared().sign(&Key::secret("other")),
        token::sign_bytes(
            &P256,
            "ES256",
            br#"{"alg":"ES256"}"#,
            b"[not claims but long enough to be seen]",
        ),
        claims().with("padding", "y".repeat(30_000)).sign(&P256),
    ];
    let mut exchanges = Vec::new();
    for token in &tokens {
        for path in ["/closed", "/trial", "/nowhere", "/closed//x"] {
            exchanges.push(proxy.send(Request::get(path).bearer(token)));
            exchanges.push(proxy.send(Request::get(path).header("x-token", token)));
            exchanges.push(
                proxy.send(Request::get(path).header("cookie", format!("a=b; session={token}"))),
            );
            exchanges.push(proxy.send(
                Request::get(path).header("authorization", format!("Bearer {token} and more")),
            ));
        }
        for path in ["/closed", "/nowhere", "/closed//x"] {
            let query = format!("{path}?a=1&access_token={token}&b=2");
            exchanges.push(proxy.send(Request::get(&query)));
            exchanges.push(proxy.send(Request::new("DELETE", &query).host("other.test")));
            let offered = format!("chat, bearer.{token}");
            exchanges
                .push(proxy.send(
                    Request::get(path).websocket().header("sec-websocket-protocol", offered),
                ));
        }
    }
    let twice = Request::get(format!("/closed?access_token={}", tokens[0])).bearer(&tokens[1]);
    exchanges.push(proxy.send(twice));

    let mut table = Table::new();
    for exchange in &exchanges {
        let access = exchange.access().to_string();
        table.hold("access log", found_in(&access).is_none(), &access);
        table.hold("audit", !exchange.audit().is_null(), "no record");
        if exchange.response.status >= 400 {
            let body = String::from_utf8_lossy(&exchange.response.body);
            let answer = format!("{:?} {body}", exchange.response.headers);
            table.hold("answer", found_in(&answer).is_none(), &answer);
        }
    }
    proxy.envoy.log.assert_discreet();
    table.hold("stats", found_in(&proxy.envoy.admin("/stats")).is_none(), "a token in a name");
    table.check();
}

#[test]
fn the_watch_over_the_logs_works() {
    let token = claims().sign(&keys::ED25519);
    let (_, _, signature) = token::split(&token);
    assert!(found_in(&format!("a line with {signature} in it")).is_some());
    assert!(found_in(&format!("a line with {token} in it")).is_some());
    assert!(found_in("a line without").is_none());
}
