//! `claimgate audit report`: what it counts, and that a log of any length and content does it no harm.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

fn claimgate() -> Command {
    Command::new(env!("CARGO_BIN_EXE_claimgate"))
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit_report").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A line of Envoy's log with the record of a request, changed by `patch`.
fn line(patch: Value) -> String {
    let mut record = json!({
        "@timestamp": "2026-11-25T10:00:00.000Z", "event.action": "access-allowed", "event.code": "allowed",
        "user.id": "alice", "claimgate.issuer": "corp", "claimgate.route": "logs", "http.request.method": "GET",
        "url.path": "/logs/x", "client.ip": "192.0.2.1",
    });
    for (name, value) in patch.as_object().unwrap() {
        record[name] = value.clone();
    }
    format!(
        "[2026-11-25 10:00:00.000][7][info][wasm] [x.cc:1] wasm log claimgate: claimgate_audit {record}\n"
    )
}

fn denied(code: &str, patch: Value) -> String {
    let mut all = json!({"event.action": "access-denied", "event.code": code, "user.id": "", "claimgate.issuer": ""});
    for (name, value) in patch.as_object().unwrap() {
        all[name] = value.clone();
    }
    line(all)
}

fn sample() -> String {
    let mut log = String::from("[2026-11-25 09:00:00.000][7][info][main] starting\n");
    for hour in 10..13 {
        for _ in 0..hour {
            log += &line(json!({"@timestamp": format!("2026-11-25T{hour}:30:00.000Z")}));
        }
    }
    log += &line(json!({"user.id": "bob", "url.path": "/logs/y", "claimgate.shadow": true}));
    log += &line(json!({"event.action": "access-started"}));
    log += &line(json!({"event.action": "audit-opened"}));
    log += &denied("token_missing", json!({}));
    log += &denied(
        "token_expired",
        json!({"@timestamp": "2026-11-26T00:00:00.000Z", "claimgate.audit.dropped": 7}),
    );
    log += &denied("signature_invalid", json!({"client.ip": "203.0.113.9"}));
    log += &denied("signature_invalid", json!({"client.ip": "203.0.113.9"}));
    log += &denied(
        "route_denied",
        json!({"user.id": "alice", "claimgate.issuer": "corp", "claimgate.route": "no"}),
    );
    log += "[x] claimgate_audit {\"@timestamp\":\n";
    log
}

fn report(log: &str, arguments: &[&str]) -> (String, Value) {
    let file = folder(&arguments.join("_").replace('/', "-")).join("envoy.log");
    std::fs::write(&file, log).unwrap();
    let run = |format: &str| {
        let mut command = claimgate();
        // As on a terminal: to a pipe, escape sequences are taken out.
        command
            .args(["--color", "always"])
            .args(["audit", "report", "--format", format])
            .arg(&file)
            .args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let shown = String::from_utf8(output.stdout).unwrap();
        // The heads of tables are bold.
        shown.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "")
    };
    (run("human"), serde_json::from_str(&run("json")).unwrap())
}

#[test]
fn counts_who_did_what() {
    let (text, report) = report(&sample(), &[]);
    let entry = |list: &str, at: usize| report[list]["entries"][at].clone();
    let cases = [
        ("requests", report["requests"].clone(), json!(39)),
        ("allowed", report["allowed"].clone(), json!(34)),
        ("denied", report["denied"].clone(), json!(5)),
        ("shadow", report["shadow_denied"].clone(), json!(1)),
        ("invalid tokens", report["invalid_tokens"].clone(), json!(3)),
        ("dropped", report["dropped"].clone(), json!(7)),
        ("unreadable", report["unreadable"].clone(), json!(1)),
        ("first", report["first"].clone(), json!("2026-11-25T10:00:00.000Z")),
        ("last", report["last"].clone(), json!("2026-11-26T00:00:00.000Z")),
        (
            "codes",
            report["codes"].clone(),
            json!({"route_denied": 1, "signature_invalid": 2, "token_expired": 1, "token_missing": 1}),
        ),
        (
            "subject",
            entry("subjects", 0),
            json!({"name": "alice (corp)", "requests": 34, "denied": 1}),
        ),
        (
            "endpoint",
            entry("endpoints", 0),
            json!({"name": "GET /logs/x", "requests": 38, "denied": 5}),
        ),
        ("route", entry("routes", 1), json!({"name": "no", "requests": 1, "denied": 1})),
        ("address", entry("failures", 0), json!({"name": "192.0.2.1", "requests": 3, "denied": 3})),
        (
            "address",
            entry("failures", 1),
            json!({"name": "203.0.113.9", "requests": 2, "denied": 2}),
        ),
        ("hour", report["hours"]["2026-11-25T12"]["requests"].clone(), json!(12)),
        ("invalid by day", report["days"]["2026-11-25"]["invalid_tokens"].clone(), json!(2)),
        ("invalid by day", report["days"]["2026-11-26"]["invalid_tokens"].clone(), json!(1)),
    ];
    for (name, got, want) in cases {
        assert_eq!(got, want, "{name}");
    }
    for shown in
        ["39 requests", "alice (corp)", "GET /logs/x", "signature_invalid", "█", "7 records"]
    {
        assert!(text.contains(shown), "`{shown}` is not in\n{text}");
    }
}

#[test]
fn the_example_of_the_documentation_is_what_it_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit-report.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = |kind: &str| {
        let (_, rest) = page.split_once(&format!("```{kind}\n")).unwrap();
        rest.split_once("```").unwrap().0.to_owned()
    };
    assert_eq!(report(&block("log"), &["--top=10"]).0, block("text"));
}

#[test]
fn counts_a_span_of_time() {
    let span = ["--since", "2026-11-25T11:00:00Z", "--until", "2026-11-25T12:00:00Z"];
    assert_eq!(report(&sample(), &span).1["requests"], 11);
    let wrong =
        claimgate().args(["audit", "report", "-", "--since", "yesterday"]).output().unwrap();
    assert!(!wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("2026-11-25T10:00:00Z"));
}

#[test]
fn nothing_in_a_log_reaches_a_terminal_or_a_page() {
    let hostile = "</td><script>alert(1)</script>\u{1b}[2J\u{202e}\"'&";
    let log = line(json!({"user.id": hostile, "url.path": hostile, "claimgate.route": hostile}))
        + &denied("token_expired", json!({"client.ip": hostile, "event.code": hostile}))
        + &line(json!({"@timestamp": format!("2026-11-25T10:00:00.000Z{hostile}")}))
        + &line(json!({"@timestamp": "2026-11-25T10:00:\u{1b}[2J0Z"}));
    let page = folder("hostile").join("page.html");
    let (text, counted) = report(&log, &["--html", page.to_str().unwrap()]);
    let html = std::fs::read_to_string(page).unwrap();
    assert_eq!((&counted["requests"], &counted["unreadable"]), (&json!(2), &json!(2)));
    for shown in [&text, &html] {
        assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
    }
    assert!(!html.contains("<script"), "{html}");
    assert!(html.contains("&lt;script&gt;alert(1)"), "{html}");
    for loaded in ["http:", "https:", "src=", "url(", "@import"] {
        assert!(!html.contains(loaded), "the page loads something: {loaded}");
    }
}

/// The most memory that a report of so many requests by as many subjects took, in KiB.
#[cfg(target_os = "linux")]
fn peak(requests: usize) -> u64 {
    let mut child = claimgate()
        .args(["audit", "report", "-", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = String::new();
    for number in 0..requests {
        lines += &line(
            json!({"user.id": format!("user-{number}"), "url.path": format!("/logs/{number}")}),
        );
        if lines.len() > 1 << 20 {
            input.write_all(lines.as_bytes()).unwrap();
            lines.clear();
        }
    }
    input.write_all(lines.as_bytes()).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["requests"], requests);
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_log_of_any_length_takes_as_much_memory() {
    // Twice as many as are remembered, and then twice that.
    let (half, whole) = (peak(150_000), peak(300_000));
    assert!(whole < half + half / 4, "{half} KiB, then {whole} KiB");
}
