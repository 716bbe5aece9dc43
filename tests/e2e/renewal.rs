//! Sessions that are renewed: by whom, how often, and what comes back.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::idp::Answer;
use crate::harness::keys::P256;
use crate::harness::sessions::TokenEndpoint;
use crate::harness::token::Claims;
use crate::harness::{
    Exchange, Proxy, Request, Setup, Table, changed, claims, eventually, filter, now,
};

fn configuration(renew: Value) -> Value {
    let usual = json!({
        "cluster": "idp", "url": "https://idp.test/oauth2/token",
        "client": {"id": "logs-ui", "secret": {"env": "OAUTH_SECRET"}},
        "refresh_cookie": "session_refresh",
    });
    let issuer = json!({
        "token_from": [{"cookie": "session", "origins": ["https://app.test"]}, {"header": "authorization", "scheme": "Bearer"}],
        "renew": changed(usual, renew),
    });
    let routes = json!([
        {"name": "open", "paths": ["/open"], "token": "none"},
        {"name": "trial", "paths": ["/trial"], "mode": "shadow"},
        {"name": "admin", "paths": ["/admin"], "require": {"claim": "role", "any_of": ["admin"]}},
        {"name": "all", "paths": ["/**"]},
    ]);
    let identity =
        json!({"headers": {"x-user-id": {"attribute": "subject"}, "x-token-id": "generation"}});
    changed(filter(routes), json!({"issuers": {"corp": issuer}, "identity": identity}))
}

fn setup(endpoint: &TokenEndpoint, renew: Value) -> Setup {
    Setup::new(configuration(renew))
        .idp(endpoint.address)
        .env("OAUTH_SECRET", "client secret + of the/interface's own")
}

fn start(endpoint: &TokenEndpoint, renew: Value) -> Proxy {
    Proxy::start(setup(endpoint, renew))
}

/// Claims of a token that is valid for so many seconds more, or expired so many ago.
fn left(secs: i64) -> Claims {
    claims().with("exp", now() + secs).with("iat", now() + secs - 600)
}

/// A request with these cookies.
fn with(token: &str, refresh: &str) -> Request {
    Request::get("/")
        .header("cookie", format!("a=b; session={token}; session_refresh={refresh}; c=d"))
}

/// The cookies that an answer sets: name, value, and all else that is said of it.
fn set(exchange: &Exchange<'_>) -> Vec<(String, String, String)> {
    let lines = exchange.response.headers.iter().filter(|(name, _)| name == "set-cookie");
    lines
        .map(|(_, line)| {
            let line = String::from_utf8(line.clone()).unwrap();
            let (pair, attributes) = line.split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), value.to_owned(), attributes.to_owned())
        })
        .collect()
}

fn value<'s>(set: &'s [(String, String, String)], name: &str) -> &'s str {
    let named: Vec<_> = set.iter().filter(|(own, _, _)| own == name).collect();
    assert_eq!(named.len(), 1, "{name} in {set:?}");
    &named[0].1
}

fn renewals(proxy: &Proxy, outcome: &str, want: f64) {
    let labels = [("issuer", "corp"), ("outcome", outcome)];
    let sum = proxy.sum_becomes("claimgate_renewals_total", &labels, want);
    assert_eq!(sum, Some(want), "{outcome}");
}

#[test]
fn a_session_is_renewed_before_it_ends_and_for_a_while_after() {
    let endpoint = TokenEndpoint::start();
    endpoint.claims(json!({"generation": "new"}));
    let proxy = start(&endpoint, json!({"early": "60s", "grace": "1h"}));
    let mut table = Table::new();
    let cases = [
        ("plenty left", left(120), false, "allowed"),
        ("a minute left, but for a second", left(58), true, "allowed"),
        ("just expired", left(-31), true, "allowed"),
        ("expired for long", left(-3500), true, "allowed"),
        ("expired for too long", left(-3700), false, "token_expired"),
        ("for another audience", left(-60).with("aud", "another"), false, "audience_mismatch"),
    ];
    for (name, claims, renewed, want) in cases {
        let before = endpoint.asked().len();
        let refresh = endpoint.log_in("alice");
        let old = claims.sign(&P256);
        let exchange = proxy.send(with(&old, &refresh));
        table.row(name, exchange.outcome(), want);
        let set = set(&exchange);
        table.hold(name, (endpoint.asked().len() > before) == renewed, "asked");
        table.hold(name, set.is_empty() != renewed, "set");
        if !renewed {
            continue;
        }
        let echo = exchange.allowed();
        assert_eq!(echo.header("x-token-id"), Some("new"), "{name}");
        // Neither the token nor the refresh token goes on.
        assert_eq!(echo.header("cookie"), Some("a=b; c=d"), "{name}");
        assert_eq!(exchange.header("cache-control").as_deref(), Some("no-store"), "{name}");
        assert_eq!(exchange.audit()["claimgate.renewal"], "renewed", "{name}");
        let (token, next) = (value(&set, "session"), value(&set, "session_refresh"));
        assert!(token != old && next != refresh);
        for (_, _, attributes) in &set {
            assert_eq!(attributes, "Path=/; Max-Age=2592000; HttpOnly; Secure; SameSite=Lax");
        }
        // The new cookies are those of a session that has long to go.
        let again = proxy.send(with(token, next));
        again.allowed();
        assert_eq!(again.header("set-cookie"), None, "{name}");
    }
    table.check();
    let asked = &endpoint.asked()[0];
    assert!(asked.starts_with("POST /oauth2/token HTTP/1.1\r\n"), "{asked}");
    // RFC 6749 section 2.3.1: id and secret are form-encoded before they are base64.
    let secret = "client%20secret%20%2B%20of%20the%2Finterface%27s%20own";
    let basic = crate::harness::keys::base64(format!("logs%2Dui:{secret}"));
    assert!(asked.contains(&format!("authorization: Basic {basic}\r\n")), "{asked}");
    assert!(asked.contains("\r\n\r\ngrant_type=refresh_token&refresh_token=refresh%2D"), "{asked}");
    renewals(&proxy, "renewed", 3.0);
    proxy.envoy.log.assert_discreet();
}

#[test]
fn fifty_requests_on_two_workers_make_one_call() {
    let endpoint = TokenEndpoint::start();
    endpoint.takes(Duration::from_millis(300));
    let proxy = Proxy::start(setup(&endpoint, json!({})).workers(2));
    let refresh = endpoint.log_in("alice");
    let old = left(-60).sign(&P256);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..50).map(|_| scope.spawn(|| proxy.send(with(&old, &refresh)))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(endpoint.asked().len(), 1);
    let first = set(&answers[0]);
    for answer in &answers {
        answer.allowed();
        assert_eq!(set(answer), first);
    }
    // A late one, with the old cookies.
    let late = proxy.send(with(&old, &refresh));
    late.allowed();
    assert_eq!((set(&late), endpoint.asked().len()), (first, 1));
    renewals(&proxy, "renewed", 1.0);
}

#[test]
fn the_old_cookies_are_of_use_for_a_while_only() {
    let endpoint = TokenEndpoint::start();
    let proxy = start(&endpoint, json!({"reuse": "1s"}));
    let (old, refresh) = (left(-60).sign(&P256), endpoint.log_in("alice"));
    proxy.send(with(&old, &refresh)).allowed();
    std::thread::sleep(Duration::from_millis(1200));
    // The provider has taken that refresh token already.
    proxy.send(with(&old, &refresh)).refused("token_expired");
    assert_eq!(endpoint.asked().len(), 2);
}

#[test]
fn a_client_that_leaves_loses_no_token() {
    let endpoint = TokenEndpoint::start();
    endpoint.takes(Duration::from_millis(500));
    let proxy = start(&endpoint, json!({}));
    let (old, refresh) = (left(-60).sign(&P256), endpoint.log_in("alice"));
    with(&old, &refresh).send_and_leave(proxy.envoy.address).unwrap();
    let asked = || (!endpoint.asked().is_empty()).then_some(());
    eventually(Duration::from_secs(5), asked).unwrap();
    let exchange = proxy.send(with(&old, &refresh));
    exchange.allowed();
    assert_eq!((set(&exchange).len(), endpoint.asked().len()), (2, 1));
}

#[test]
fn a_provider_that_fails_takes_nothing_away() {
    let endpoint = TokenEndpoint::start();
    let proxy = start(&endpoint, json!({"timeout": "1s"}));
    let html = || Answer::Http(200, String::new(), "<html>".into());
    let other = claims().with("sub", "mallory").sign(&P256);
    let expired = left(-60).sign(&P256);
    let foreign = claims().with("iss", "https://elsewhere.test").sign(&P256);
    let tokens = |token: &str| {
        Answer::Http(
            200,
            String::new(),
            json!({"access_token": token, "refresh_token": "r"}).to_string(),
        )
    };
    let cases = [
        ("stalls", Answer::Stall),
        ("dies", Answer::Close),
        ("HTML", html()),
        ("nothing", Answer::Http(200, String::new(), String::new())),
        ("no token", Answer::Http(200, String::new(), "{}".into())),
        ("5xx", Answer::Http(503, String::new(), "{}".into())),
        ("too many", Answer::Http(429, String::new(), r#"{"error": "slow_down"}"#.into())),
        (
            "the client is refused",
            Answer::Http(401, String::new(), r#"{"error": "invalid_client"}"#.into()),
        ),
        ("another subject", tokens(&other)),
        ("an expired token", tokens(&expired)),
        ("another issuer", tokens(&foreign)),
        ("no JWT", tokens("opaque")),
        ("10 MiB", Answer::Http(200, String::new(), "x".repeat(10 << 20))),
    ];
    let mut table = Table::new();
    for (name, answer) in cases {
        endpoint.instead(Some(answer));
        for (token, want) in [(left(20), "allowed"), (left(-60), "token_expired")] {
            let exchange = proxy.send(with(&token.sign(&P256), &endpoint.log_in("alice")));
            table.row(name, exchange.outcome(), want);
            table.hold(name, set(&exchange).is_empty(), "cookies");
            table.hold(name, exchange.audit()["claimgate.renewal"] == "failed", "told");
        }
        endpoint.instead(None);
    }
    table.check();
    assert_eq!(proxy.envoy.log.audits(|record| record["claimgate.renewal"] == "failed").len(), 26);
    renewals(&proxy, "failed", 26.0);
    // It is asked again for another session at once, and told once for all.
    let exchange = proxy.send(with(&left(-60).sign(&P256), &endpoint.log_in("alice")));
    exchange.allowed();
    let told = proxy.envoy.log.lines().into_iter().filter(|line| line.contains("are not renewed"));
    assert_eq!(told.count(), 1);
}

#[test]
fn nobody_is_refused_for_having_waited_in_vain() {
    let endpoint = TokenEndpoint::start();
    endpoint.instead(Some(Answer::Stall));
    let strict = json!({"issuers": {"corp": {"clock_skew": "0s"}}});
    let config = changed(configuration(json!({"timeout": "3s", "early": "2s"})), strict);
    let proxy = Proxy::start(setup(&endpoint, json!({})).with_config(config));
    let token = left(1).with("iat", now() - 600).sign(&P256);
    let exchange = proxy.send(with(&token, &endpoint.log_in("alice")));
    exchange.allowed();
    assert_eq!(exchange.audit()["claimgate.renewal"], "failed");
    // It is not valid any more for who comes now.
    proxy.send(with(&token, &endpoint.log_in("alice"))).refused("token_expired");
}

#[test]
fn a_refused_refresh_token_is_not_tried_again() {
    for (on_refused, cleared) in [("keep", false), ("clear", true)] {
        let endpoint = TokenEndpoint::start();
        let proxy = start(&endpoint, json!({"on_refused": on_refused}));
        for _ in 0..3 {
            let exchange = proxy.send(with(&left(-60).sign(&P256), "unknown-to-the-provider"));
            exchange.refused("token_expired");
            assert_eq!(exchange.audit()["claimgate.renewal"], "refused");
            let set = set(&exchange);
            if cleared {
                assert_eq!((value(&set, "session"), value(&set, "session_refresh")), ("", ""));
                assert!(set.iter().all(|(_, _, said)| said.starts_with("Path=/; Max-Age=0; ")));
            } else {
                assert!(set.is_empty());
            }
        }
        assert_eq!(endpoint.asked().len(), 1);
        renewals(&proxy, "refused", 1.0);
    }
}

#[test]
fn cookies_hold_what_they_hold() {
    let endpoint = TokenEndpoint::start();
    let proxy = start(&endpoint, json!({}));
    let old = left(-60).sign(&P256);
    let mut table = Table::new();
    // What the provider gave, and how a cookie holds it.
    let odd = r#"a b"c,d;e\f%g=h/i+j~"#;
    let escaped = "a%20b%22c%2Cd%3Be%5Cf%25g=h/i+j~";
    endpoint.accept(odd, "alice");
    endpoint.members(json!({"refresh_token": odd}));
    let exchange = proxy.send(with(&old, escaped));
    table.row("odd characters", exchange.outcome(), "allowed");
    table.row("how they are held", value(&set(&exchange), "session_refresh"), escaped);
    endpoint.members(json!({}));
    let cookie = |cookies: String| proxy.send(Request::get("/").header("cookie", cookies));
    let one = endpoint.log_in("alice");
    let other = endpoint.log_in("alice");
    let mut check = |name, cookies: String, want: &str| {
        table.row(name, cookie(cookies).outcome(), want);
    };
    check(
        "two refresh tokens",
        format!("session={old}; session_refresh={one}; session_refresh={other}"),
        "token_expired",
    );
    check(
        "the same twice",
        format!("session={old}; session_refresh={one}; session_refresh={one}"),
        "allowed",
    );
    check("none", format!("session={old}; session_refresh="), "token_expired");
    check("no text", format!("session={old}; session_refresh=%ff"), "token_expired");
    check(
        "a control character",
        format!("session={old}; session_refresh=a%0d%0ab"),
        "token_expired",
    );
    let padding = "x".repeat(50_000);
    check(
        "beside 50 kB",
        format!("padding={padding}; session={old}; session_refresh={other}"),
        "allowed",
    );
    let bearer =
        Request::get("/").bearer(&old).header("cookie", format!("session_refresh={other}"));
    table.row("a token from a header", proxy.send(bearer).outcome(), "token_expired");
    table.check();
    // What is longer than a cookie comes in pieces, and is read back so.
    endpoint.claims(json!({"generation": "x".repeat(6_000)}));
    let exchange = proxy.send(with(&old, &endpoint.log_in("alice")));
    let pieces = set(&exchange);
    let names: Vec<&str> = pieces.iter().map(|(name, _, _)| name.as_str()).collect();
    assert_eq!(names, ["session", "session.1", "session.2", "session_refresh"]);
    assert!(pieces.iter().all(|(_, value, _)| value.len() <= 3_800));
    let cookies: Vec<String> =
        pieces.iter().map(|(name, value, _)| format!("{name}={value}")).collect();
    let echo = cookie(format!("a=b; {}", cookies.join("; "))).allowed();
    assert_eq!(echo.header("cookie"), Some("a=b"));
    // A shorter one leaves none of the pieces behind.
    endpoint.claims(json!({}));
    let refresh = endpoint.log_in("alice");
    let exchange = cookie(format!("session={old}; session.1=old; session_refresh={refresh}"));
    exchange.allowed();
    let set = set(&exchange);
    assert_eq!(value(&set, "session.1"), "");
    assert!(set.iter().any(|(name, _, said)| name == "session.1" && said.contains("Max-Age=0")));
    proxy.envoy.log.assert_discreet();
}

#[test]
fn a_refusal_after_it_and_a_dead_upstream_set_the_cookies_too() {
    let endpoint = TokenEndpoint::start();
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start(setup(&endpoint, json!({})).upstream(nowhere));
    let old = || left(-60).sign(&P256);
    let request = with(&old(), &endpoint.log_in("alice"));
    let exchange = proxy.send(request);
    assert_eq!((exchange.response.status, set(&exchange).len()), (503, 2));
    let cookies = format!("session={}; session_refresh={}", old(), endpoint.log_in("alice"));
    let exchange = proxy.send(Request::get("/admin").header("cookie", cookies));
    exchange.refused("claims_insufficient");
    assert_eq!(set(&exchange).len(), 2);
    assert_eq!(exchange.header("cache-control").as_deref(), Some("no-store"));
}

#[test]
fn nothing_is_renewed_on_trial_and_no_refresh_token_goes_on() {
    let endpoint = TokenEndpoint::start();
    let proxy = start(&endpoint, json!({}));
    let refresh = endpoint.log_in("alice");
    for (path, want) in [("/open", "a=b; session=x"), ("/trial", "a=b")] {
        let cookies = format!("a=b; session=x; session_refresh={refresh}; session_refresh.1=y");
        let echo = proxy.send(Request::get(path).header("cookie", cookies)).allowed();
        assert_eq!(echo.header("cookie"), Some(want), "{path}");
    }
    let cookies = format!("session={}; session_refresh={refresh}", left(-60).sign(&P256));
    proxy.send(Request::get("/trial").header("cookie", &cookies)).allowed();
    let trial = changed(configuration(json!({})), json!({"mode": "shadow"}));
    let proxy = Proxy::start(setup(&endpoint, json!({})).with_config(trial));
    let echo = proxy.send(Request::get("/").header("cookie", &cookies)).allowed();
    assert_eq!(echo.header("cookie"), Some(&*cookies), "a filter on trial changes nothing");
    assert!(endpoint.asked().is_empty());
}

#[test]
fn what_was_taken_back_is_not_renewed() {
    let endpoint = TokenEndpoint::start();
    let revocation =
        json!({"issuers": {"corp": {"revocation": {"sessions": ["s-1"], "tokens": ["t-1"]}}}});
    let config = changed(configuration(json!({})), revocation);
    let proxy = Proxy::start(setup(&endpoint, json!({})).with_config(config));
    let refresh = endpoint.log_in("alice");
    for secs in [20, -60] {
        let old = left(secs).with("sid", "s-1").sign(&P256);
        proxy.send(with(&old, &refresh)).refused("token_revoked");
    }
    assert!(endpoint.asked().is_empty());
    endpoint.claims(json!({"jti": "t-1"}));
    let exchange = proxy.send(with(&left(-60).sign(&P256), &refresh));
    assert_eq!((exchange.response.status, set(&exchange).len()), (401, 0));
}

#[test]
fn the_upstream_has_the_last_word_on_its_cookies() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 65_536]);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nx-token-expires-in: 99999\r\nset-cookie: session=; Max-Age=0\r\nset-cookie: b=c; Path=/\r\ncache-control: max-age=60\r\n\
                  content-length: 0\r\nconnection: close\r\n\r\n",
            );
        }
    });
    let endpoint = TokenEndpoint::start();
    let named = json!({"responses": {"expires_in_header": "x-token-expires-in"}});
    let config = changed(configuration(json!({})), named);
    let proxy = Proxy::start(setup(&endpoint, json!({})).with_config(config).upstream(address));
    // But not on what the gate alone knows.
    assert_eq!(proxy.send(Request::get("/open")).header("x-token-expires-in"), None);
    let exchange = proxy.send(with(&left(-60).sign(&P256), &endpoint.log_in("alice")));
    let set = set(&exchange);
    assert_eq!((value(&set, "session"), set.len()), ("", 3), "{set:?}");
    assert_ne!(value(&set, "session_refresh"), "");
    assert_eq!(exchange.header("cache-control").as_deref(), Some("no-store"));
}

#[test]
fn the_header_says_how_long_a_token_lasts() {
    let endpoint = TokenEndpoint::start();
    let named = json!({"responses": {"expires_in_header": "x-token-expires-in"}});
    let config = changed(configuration(json!({})), named);
    let proxy = Proxy::start(setup(&endpoint, json!({})).with_config(config));
    let said = |request: Request| {
        let said = proxy.send(request).header("x-token-expires-in");
        said.map(|secs| secs.parse::<i64>().unwrap())
    };
    let bearer = |secs| Request::get("/").bearer(left(secs).sign(&P256));
    assert!((297..=300).contains(&said(bearer(300)).unwrap()));
    // The clocks may be apart: it is taken, and has nothing left.
    assert_eq!(said(bearer(-5)), Some(0));
    assert_eq!(said(bearer(-60)), None);
    assert_eq!(said(Request::get("/open")), None);
    let renewed = with(&left(-60).sign(&P256), &endpoint.log_in("alice"));
    assert!((590..=600).contains(&said(renewed).unwrap()));
}

#[test]
fn a_token_that_is_kept_is_the_new_one() {
    let endpoint = TokenEndpoint::start();
    let config = changed(
        configuration(json!({"client": {"auth": "post"}})),
        json!({"issuers": {"corp": {"forward_token": true}}}),
    );
    let proxy = Proxy::start(setup(&endpoint, json!({})).with_config(config));
    endpoint.keeps();
    let refresh = endpoint.log_in("alice");
    let exchange = proxy.send(with(&left(-60).sign(&P256), &refresh));
    let set = set(&exchange);
    let echo = exchange.allowed();
    assert_eq!(
        echo.header("cookie"),
        Some(&*format!("a=b; c=d; session={}", value(&set, "session")))
    );
    // The provider gave no new refresh token: the old one is kept for as long as the new session.
    assert_eq!(value(&set, "session_refresh"), refresh);
    assert!(endpoint.asked()[0].contains("&client_id=logs%2Dui&client_secret=client%20secret"));
}
