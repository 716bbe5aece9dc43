//! What `audit` says of records: what they show, and how many there are.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::keys::P256;
use crate::harness::secrets::keep_out_of_logs;
use crate::harness::{Proxy, Request, Setup, Table, changed, claims, eventually, filter};

fn routes() -> Value {
    json!([
        {"name": "logs", "paths": ["/logs/**"]},
        {"name": "quiet", "paths": ["/quiet"], "token": "optional", "audit": {"allowed": "none", "denied": "all"}},
        {"name": "socket", "paths": ["/socket"], "token": "none", "upgrade": ["websocket"]},
        {"name": "open", "paths": ["/open/**"], "token": "none"},
    ])
}

fn start(audit: Value) -> Proxy {
    let config = changed(filter(routes()), json!({"audit": audit}));
    Proxy::start(Setup::new(config).env("HASH_KEY", "a key of more than thirty-two bytes"))
}

#[test]
fn records_show_of_a_person_what_is_listed_as_it_is_listed() {
    let hidden = "a-text-that-stands-in-an-unlisted-claim";
    keep_out_of_logs(hidden);
    let proxy = start(json!({
        "subject": "hash", "query": "names", "hash_key": {"env": "HASH_KEY"},
        "claims": {"email": "mask", "tenant": "plain", "groups": "hash", "/address/city": "plain"},
    }));
    let token = claims()
        .with("email", "john@example.com")
        .with("tenant", "acme\n\"{")
        .with("groups", json!(["admins", "users"]))
        .with("address", json!({"city": "Bern", "street": hidden}))
        .with("hidden", hidden)
        .sign(&P256);
    let exchange = proxy.send(Request::get("/logs/x?a=1&password=hunter2&a=3").bearer(&token));
    exchange.allowed();
    let (record, state) = (exchange.audit(), exchange.access()["state"].clone());
    let again = proxy.send(Request::get("/logs/y").bearer(&token)).audit();
    let mut table = Table::new();
    for (name, shown) in [("record", &record["claimgate.claims"]), ("state", &state["claims"])] {
        table.row(
            format!("{name}: email"),
            shown["email"].to_string(),
            json!("j***@example.com").to_string(),
        );
        table.row(
            format!("{name}: tenant"),
            shown["tenant"].to_string(),
            json!("acme\n\"{").to_string(),
        );
        table.row(
            format!("{name}: city"),
            shown["/address/city"].to_string(),
            json!("Bern").to_string(),
        );
        let groups = shown["groups"].as_array().map_or(0, Vec::len);
        table.row(format!("{name}: groups"), groups.to_string(), "2");
    }
    let subject = record["user.id"].as_str().unwrap_or_default();
    table.hold("user.id", subject.len() == 32 && subject != "alice", subject);
    table.row("filter state", state["subject"].to_string(), json!(subject).to_string());
    table.row("the same again", again["user.id"].to_string(), json!(subject).to_string());
    table.row("url.query", record["url.query"].to_string(), json!("a&password&a").to_string());
    let text = record.to_string();
    table.hold("nothing else", !text.contains("admins") && !text.contains("hunter2"), text);
    table.check();
}

#[test]
fn path_and_query_appear_as_configured() {
    let mut table = Table::new();
    for (audit, path, query, route) in [
        (json!({}), json!("/logs/x"), json!(null), json!("logs")),
        (json!({"query": "plain"}), json!("/logs/x"), json!("a=1&b=[token]"), json!("logs")),
        (json!({"path": "route"}), json!(null), json!(null), json!("logs")),
        (json!({"path": "none", "subject": "none"}), json!(null), json!(null), json!(null)),
    ] {
        let proxy = start(audit.clone());
        let token = claims().sign(&P256);
        let target = format!("/logs/x?a=1&b={}", claims().sign(&P256));
        let record = proxy.send(Request::get(&target).bearer(token)).audit();
        table.row(format!("{audit}: path"), record["url.path"].to_string(), path.to_string());
        table.row(format!("{audit}: query"), record["url.query"].to_string(), query.to_string());
        table.row(
            format!("{audit}: route"),
            record["claimgate.route"].to_string(),
            route.to_string(),
        );
    }
    table.check();
}

#[test]
fn shares_and_caps_leave_out_what_they_say_and_count_it() {
    let proxy = start(json!({"allowed": 0.5, "max_per_second": {"denied": 5}}));
    let token = claims().sign(&P256);
    for _ in 0..200 {
        proxy.send(Request::get("/logs/drawn").bearer(&token)).allowed();
    }
    for _ in 0..100 {
        proxy.send(Request::get("/logs/flood")).refused("token_missing");
    }
    // The next second has room again.
    std::thread::sleep(Duration::from_millis(1100));
    proxy.send(Request::get("/logs/after")).audit();
    let records = |path: &str| proxy.envoy.log.audits(|record| record["url.path"] == path);
    let drawn = records("/logs/drawn").len();
    assert!((50..150).contains(&drawn), "{drawn} of 200");
    let dropped: u64 = proxy
        .envoy
        .log
        .audits(|_| true)
        .iter()
        .filter_map(|record| record["claimgate.audit.dropped"].as_u64())
        .sum();
    assert_eq!(records("/logs/flood").len() as u64 + dropped, 100, "what is dropped is told");
    assert!(dropped > 0, "a hundred within two seconds");

    // Each decision is counted for what became of its record, but for those of which none is asked.
    let of = |outcome| proxy.sum("claimgate_audit_total", &[("outcome", outcome)]).unwrap_or(0.0);
    let want = 301.0;
    let all = || Some(of("written") + of("sampled_out") + of("dropped")).filter(|all| *all >= want);
    assert_eq!(eventually(Duration::from_secs(6), all), Some(want));
    assert_eq!((of("sampled_out"), of("dropped")), (200.0 - drawn as f64, dropped as f64));

    proxy.send(Request::get("/quiet")).allowed();
    proxy.send(Request::get("/quiet").bearer("x")).audit();
    assert_eq!(records("/quiet").len(), 1, "a route says otherwise for what it allows");
}

#[test]
fn a_stream_that_is_open_for_long_has_a_record_of_its_start() {
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = changed(filter(routes()), json!({"audit": {"open_after": "1s"}}));
    let proxy = Proxy::start(Setup::new(config).upstream(service.local_addr().unwrap()));
    let held = std::thread::spawn(move || {
        let (mut stream, _) = service.accept().unwrap();
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
        // Until the client ends it.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut socket = TcpStream::connect(proxy.envoy.address).unwrap();
    let request =
        Request::get("/socket").websocket().header("x-request-id", "long").host("logs.test");
    socket.write_all(&request.encode()).unwrap();
    let mut head = [0; 12];
    socket.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    let begun = Instant::now();
    let of = |action: &str| {
        let wanted = |record: &Value| {
            record["http.request.id"] == "long" && record["event.action"] == action
        };
        proxy.envoy.log.audits(wanted)
    };
    let started = eventually(Duration::from_secs(10), || of("access-started").pop());
    let started = started.expect("a record of the start");
    assert!(begun.elapsed() > Duration::from_millis(500));
    assert_eq!(started["event.type"], json!(["access", "allowed", "start"]));
    assert_eq!(started["claimgate.route"], "socket");
    assert_eq!(of("access-allowed").len(), 0, "it has not ended");
    drop(socket);
    held.join().unwrap();
    let ended = eventually(Duration::from_secs(10), || of("access-allowed").pop());
    let ended = ended.expect("a record of the end");
    assert!(ended["event.duration"].as_u64() > Some(1_000_000_000), "{ended}");
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(of("access-started").len(), 1, "once");
}

#[test]
fn a_peer_is_told_from_what_a_header_says() {
    let record = start(json!({})).send(Request::get("/open/x")).audit();
    assert_eq!(record["client.ip"], "127.0.0.1");
    assert_eq!(record["source.ip"], "127.0.0.1");
}

#[test]
fn records_that_the_log_does_not_print_are_missed_aloud() {
    let proxy = start(json!({"level": "debug"}));
    proxy.send(Request::get("/open/x")).allowed();
    let audit =
        |outcome, want| proxy.sum_becomes("claimgate_audit_total", &[("outcome", outcome)], want);
    assert_eq!(audit("dropped", 1.0), Some(1.0));
    assert_eq!(audit("written", 0.0), Some(0.0));
    let own = proxy.envoy.log.own_lines_from(0);
    assert!(own.contains("audit records are lost") && own.contains("audit.level"), "{own}");
}

#[test]
fn a_gate_that_the_host_shuts_records_as_it_is_told() {
    let audit = json!({"path": "none", "max_per_second": {"denied": 5}});
    let config = changed(filter(routes()), json!({"audit": audit}));
    let proxy = Proxy::start(Setup::new(config).denying("proxy_define_metric"));
    for _ in 0..50 {
        proxy.send(Request::get("/logs/secret-path")).refused("internal_error");
    }
    let records = proxy.envoy.log.audits(|record| record["event.code"] == "internal_error");
    assert!((5..40).contains(&records.len()), "{} of 50", records.len());
    for record in records {
        assert_eq!(
            (&record["url.path"], &record["claimgate.filter"]),
            (&json!(null), &json!("edge"))
        );
    }
}
