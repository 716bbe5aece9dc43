//! Limits for each identity, counted by every worker of the process.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::http::Response;
use crate::harness::keys::{P256, SECRET, base64url};
use crate::harness::policy::{AUDIENCE, ISSUER};
use crate::harness::wire::Reader;
use crate::harness::{Proxy, Request, Setup, Table, changed, claims, filter, now};

fn configuration(limits: Value) -> Value {
    let routes = json!([
        {"name": "all", "paths": ["/**"]},
        {"name": "call", "paths": ["/pkg.Service/Call"], "methods": ["POST"]},
        {"name": "optional", "paths": ["/optional"], "token": "optional"},
        {"name": "trial", "paths": ["/trial"], "mode": "shadow"},
    ]);
    let identity = json!({"headers": {"x-user-id": {"attribute": "subject"}}});
    changed(filter(routes), json!({"limits": limits, "identity": identity}))
}

/// So many requests an hour of each subject.
fn per_subject(requests: u32) -> Value {
    json!({"name": "per-user", "by": ["subject"], "requests": requests, "per": "1h"})
}

fn token(subject: &str) -> String {
    claims().with("sub", subject).sign(&P256)
}

#[test]
fn a_refusal_says_the_same_everywhere() {
    let config = changed(
        configuration(json!([per_subject(2)])),
        json!({"responses": {"ratelimit_headers": true}}),
    );
    let proxy = Proxy::start(Setup::new(config));
    let alice = token("alice");
    let get = || proxy.send(Request::get("/x").bearer(&alice));
    for _ in 0..2 {
        get().allowed();
    }
    let refused = get();
    refused.refused("rate_limited");
    assert_eq!(refused.response.status, 429);
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1790..=1800).contains(&wait), "{wait}");
    assert_eq!(refused.header("ratelimit-policy").unwrap(), r#""per-user";q=2;w=3600"#);
    let stands = refused.header("ratelimit").unwrap();
    assert!(stands.starts_with(r#""per-user";r=0;t=35"#) || stands.ends_with("t=3600"), "{stands}");
    assert_eq!(refused.header("www-authenticate"), None);
    let record = refused.audit();
    assert_eq!(record["event.code"], "rate_limited");
    assert_eq!(record["event.reason"], "limit `per-user` has no room");
    assert_eq!(record["user.id"], "alice");
    let access = refused.access();
    assert_eq!(access["details"], "claimgate.rate_limited");
    assert_eq!(access["state"]["code"], "rate_limited");
    let labels = [("route", "all"), ("outcome", "denied"), ("code", "rate_limited")];
    assert!(proxy.counted("claimgate_requests_total", &labels));
    let labels = [("limit", "per-user"), ("mode", "enforce")];
    assert!(proxy.counted("claimgate_limited_total", &labels));

    let call = Request::new("POST", "/pkg.Service/Call")
        .headers(&[("content-type", "application/grpc"), ("te", "trailers")])
        .bearer(&alice);
    let call = proxy.send(call.body([0, 0, 0, 0, 0]));
    assert_eq!((call.response.status, call.header("grpc-status").as_deref()), (200, Some("8")));
    proxy.send(Request::get("/x").bearer(token("bob"))).allowed();
}

#[test]
fn what_is_in_shadow_mode_is_told_and_refuses_nothing() {
    let proxy = Proxy::start(Setup::new(configuration(json!([
        changed(per_subject(1), json!({"mode": "shadow"})),
        changed(per_subject(3), json!({"name": "enforced", "routes": ["trial"]})),
    ]))));
    let alice = token("alice");
    let get = |path: &str| proxy.send(Request::get(path).bearer(&alice));
    get("/x").allowed();
    let over = get("/x");
    assert_eq!(over.allowed().header("x-user-id"), Some("alice"));
    let record = over.audit();
    assert_eq!(record["event.code"], "allowed");
    assert_eq!(record["claimgate.limits_in_shadow"], json!(["per-user"]));
    assert!(proxy.counted("claimgate_limited_total", &[("limit", "per-user"), ("mode", "shadow")]));
    // A route in shadow mode: the limit refuses, the request passes.
    for _ in 0..3 {
        assert_eq!(get("/trial").allowed().header("x-user-id"), Some("alice"));
    }
    let over = get("/trial");
    assert_eq!(over.allowed().header("x-user-id"), None);
    assert_eq!(over.audit()["event.code"], "rate_limited");
    assert!(proxy.counted("claimgate_limited_total", &[("limit", "enforced"), ("mode", "shadow")]));
}

#[test]
fn who_is_spread_over_the_workers_has_the_whole_burst_and_no_more() {
    let proxy = Proxy::start(Setup::new(configuration(json!([per_subject(60)]))).workers(2));
    let alice = token("alice");
    // Each on a connection of its own.
    for _ in 0..60 {
        proxy.send(Request::get("/x").bearer(&alice)).allowed();
    }
    for _ in 0..10 {
        proxy.send(Request::get("/x").bearer(&alice)).refused("rate_limited");
    }
    for worker in ["worker_0", "worker_1"] {
        let served = proxy.stat(&format!("{worker}.downstream_cx_total"));
        assert!(served > 0, "{worker} served nothing");
    }
}

/// What a client saw of its requests.
struct Seen {
    statuses: Vec<u16>,
    /// When the first answer was there.
    first: Instant,
    /// When the last one was sent that was refused.
    refused: Option<Instant>,
}

/// Sends requests one after the other on one connection, each once the one before is answered: where several are under way,
/// Envoy closes the connection after a refusal.
fn in_turn(address: SocketAddr, requests: impl Iterator<Item = Request>) -> Seen {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reader = Reader { stream: &mut stream, buffer: Vec::new() };
    let (mut statuses, mut first, mut refused) = (Vec::new(), None, None);
    for request in requests {
        let bytes = request.header("connection", "keep-alive").encode();
        let sent = Instant::now();
        reader.stream.write_all(&bytes).unwrap();
        let status = Response::read(&mut reader, false).unwrap().status;
        statuses.push(status);
        first.get_or_insert_with(Instant::now);
        if status == 429 {
            refused = Some(sent);
        }
    }
    Seen { statuses, first: first.unwrap(), refused }
}

#[test]
fn under_load_the_rate_passes_and_not_one_request_more() {
    const RATE: f64 = 1000.0;
    const BURST: f64 = 1000.0;
    let limit = json!({"name": "fast", "by": ["subject"], "requests": 1000, "per": "1s"});
    let config = changed(
        configuration(json!([limit])),
        json!({"audit": {"allowed": "none", "denied": "none"}}),
    );
    let proxy = Proxy::start(Setup::new(config).workers(2));
    // So that each worker knows both tokens, and has its connections.
    let (warm, alice) = (token("warm"), token("alice"));
    let run = |token: &str, time: Duration| -> Vec<Seen> {
        std::thread::scope(|scope| {
            let address = proxy.envoy.address;
            let clients: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(move || {
                        let end = Instant::now() + time;
                        let request = || Request::get("/x").bearer(token);
                        in_turn(
                            address,
                            std::iter::repeat_with(request).take_while(|_| Instant::now() < end),
                        )
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        })
    };
    run(&warm, Duration::from_millis(500));
    let start = Instant::now();
    let seen = run(&alice, Duration::from_secs(4));
    let elapsed = start.elapsed().as_secs_f64();
    let count = |status: u16| {
        seen.iter().flat_map(|seen| &seen.statuses).filter(|own| **own == status).count()
    };
    let (passed, refused) = (count(200), count(429));
    let sent: usize = seen.iter().map(|seen| seen.statuses.len()).sum();
    assert_eq!(passed + refused, sent, "other answers");
    let most = BURST + RATE * elapsed;
    assert!(passed as f64 <= most, "{passed} passed, at most {most:.0} may");
    // From a moment when it was counted already to one when there was no room.
    let first = seen.iter().map(|seen| seen.first).min().unwrap();
    let full = seen.iter().filter_map(|seen| seen.refused).max();
    let full = full.expect("the load was less than the rate");
    let least = BURST + RATE * (full - first).as_secs_f64();
    let share = passed as f64 / least;
    assert!(share >= 0.99, "{passed} of {least:.0} passed, {refused} were refused");
    println!("{passed} passed of {most:.0} at most, {least:.0} at least; {refused} refused");
}

#[test]
fn what_was_counted_stays_when_the_configuration_changes() {
    let proxy =
        Proxy::start(Setup::new(configuration(json!([per_subject(4)]))).pushed().workers(2));
    let alice = token("alice");
    let outcomes = |of: usize| -> Vec<String> {
        (0..of).map(|_| proxy.send(Request::get("/x").bearer(&alice)).outcome()).collect()
    };
    assert_eq!(outcomes(2), ["allowed"; 2]);
    let other_route =
        json!({"routes": [{"name": "all", "paths": ["/**"]}, {"name": "new", "paths": ["/new"]}]});
    proxy.push(changed(configuration(json!([per_subject(4)])), other_route)).unwrap();
    assert_eq!(outcomes(3), ["allowed", "allowed", "rate_limited"]);
    // Under another limit's name it is counted anew.
    let renamed = changed(per_subject(1), json!({"name": "renamed"}));
    proxy.push(configuration(json!([renamed]))).unwrap();
    assert_eq!(outcomes(2), ["allowed", "rate_limited"]);
    proxy.push(configuration(json!([per_subject(4)]))).unwrap();
    assert_eq!(outcomes(1), ["rate_limited"]);
    // And so it is in a table of another size.
    let larger = json!({"limit_identities": 131_072});
    proxy.push(changed(configuration(json!([per_subject(4)])), larger)).unwrap();
    assert_eq!(outcomes(5), ["allowed", "allowed", "allowed", "allowed", "rate_limited"]);
}

#[test]
fn who_guesses_tokens_is_stopped_and_whose_token_is_known_is_not() {
    let guesses = json!({
        "name": "guesses", "by": ["client_address"], "count": "refused", "requests": 5, "per": "1h",
    });
    let proxy = Proxy::start(Setup::new(configuration(json!([guesses]))));
    let known = token("alice");
    proxy.send(Request::get("/x").bearer(&known)).allowed();
    let guess = || {
        let forged = claims().sign_under(&SECRET, &json!({"alg": "ES256", "kid": P256.kid}));
        proxy.send(Request::get("/x").bearer(forged))
    };
    for _ in 0..5 {
        guess().refused("signature_invalid");
    }
    let stopped = guess();
    stopped.refused("rate_limited");
    assert_eq!(stopped.access()["details"], "claimgate.rate_limited");
    assert!(stopped.audit().get("user.id").is_none());
    let mut table = Table::new();
    for (name, request, want) in [
        ("a good one that is not known", Request::get("/x").bearer(token("bob")), "rate_limited"),
        ("the one that is known", Request::get("/x").bearer(&known), "allowed"),
        ("nobody, where nobody need be", Request::get("/optional"), "allowed"),
        ("nobody", Request::get("/x"), "token_missing"),
    ] {
        table.row(name, proxy.send(request).outcome(), want);
    }
    table.check();
    assert!(proxy.counted("claimgate_limited_total", &[("limit", "guesses"), ("mode", "enforce")]));
}

/// What the Envoy of a proxy takes of the machine's memory, in bytes.
fn resident(proxy: &Proxy) -> u64 {
    let file = proxy.envoy.folder.join("envoy.json");
    let of = |pid: &str| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let named = line
            .split(|byte| *byte == 0)
            .any(|word| Some(word) == file.to_str().map(str::as_bytes));
        let status =
            std::fs::read_to_string(format!("/proc/{pid}/status")).ok().filter(|_| named)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    // The shell around it names the file, too.
    let sizes = processes.filter_map(|entry| of(entry.file_name().to_str()?));
    1024 * sizes.max().expect("Envoy is no process")
}

#[test]
#[cfg(target_os = "linux")]
fn a_flood_of_identities_takes_no_memory_and_frees_nobody() {
    let keys = json!([{"secret": {"utf8": SECRET.pem}, "algorithms": ["HS256"]}]);
    let limit = json!({"name": "per-user", "by": ["subject"], "requests": 2, "per": "1h"});
    let config = changed(
        configuration(json!([limit])),
        json!({
            "issuers": {"corp": {"keys": keys}},
            "limit_identities": 64,
            "audit": {"allowed": "none", "denied": "none"},
        }),
    );
    let proxy = Proxy::start(Setup::new(config));
    // By hand: tokens that are looked for in every line of the log would take their time.
    let expires = now() + 600;
    let signed = |subject: &str| {
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "exp": expires});
        let claims = base64url(claims.to_string());
        let signed = format!("{}.{claims}", base64url(br#"{"alg":"HS256"}"#));
        format!("{signed}.{}", base64url(SECRET.sign("HS256", signed.as_bytes())))
    };
    let flood = |subjects: std::ops::Range<usize>| {
        let one = |part: usize| {
            let own = subjects.clone().filter(move |subject| subject % 4 == part);
            let request =
                |subject| Request::get("/x").bearer(signed(&format!("subject-{subject}")));
            in_turn(proxy.envoy.address, own.map(request)).statuses.len()
        };
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4).map(|part| scope.spawn(move || one(part))).collect();
            clients.into_iter().map(|client| client.join().unwrap()).sum::<usize>()
        })
    };
    let alice = signed("alice");
    let get = || proxy.send(Request::get("/x").bearer(&alice)).outcome();
    assert_eq!([get(), get(), get()], ["allowed", "allowed", "rate_limited"]);
    // By then every cache is full.
    assert_eq!(flood(0..20_000), 20_000);
    let before = resident(&proxy);
    assert_eq!(flood(20_000..100_000), 80_000);
    let grown = resident(&proxy).saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes for 80,000 identities");
    println!("{grown} bytes for 80,000 identities, of {before}");
    assert_eq!(get(), "rate_limited", "a flood set its debt back");
    assert!(proxy.counted("claimgate_limit_evictions_total", &[]));
}
