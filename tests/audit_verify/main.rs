//! `claimgate audit verify`: each way of tampering is found and named, and nothing is said of logs as they were written.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod writer;

use flate2::Compression;
use flate2::write::GzEncoder;
use jwt_simple::algorithms::Ed25519KeyPair;
use serde_json::Value;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use writer::{Chain, json_line, line, time};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit_verify").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_bytes(&ed25519_compact::KeyPair::from_seed([7; 32].into())[..])
        .unwrap()
        .with_key_id("k")
}

fn other() -> Ed25519KeyPair {
    Ed25519KeyPair::from_bytes(&ed25519_compact::KeyPair::from_seed([8; 32].into())[..])
        .unwrap()
        .with_key_id("k")
}

/// Two workers, interleaved: chain A has records 0 to 21, B 0 to 11; both are closed.
fn log(key: &Ed25519KeyPair) -> Vec<String> {
    let (mut a, opened) = Chain::open("A", 0, None);
    let mut records = vec![opened];
    let (mut b, opened) = Chain::open("B", 0, None);
    records.push(opened);
    for second in 1..=18 {
        records.push(a.access(second, &format!("u{second}")));
        if second % 2 == 0 {
            records.push(b.access(second, "w"));
        }
        if second % 9 == 0 {
            records.push(a.sign(second, key, false, &[b.named()]));
        }
    }
    records.push(b.sign(20, key, false, &[]));
    records.push(b.sign(20, key, true, &[]));
    records.push(a.sign(20, key, true, &[b.named()]));
    records
}

fn run(name: &str, files: &[(&str, Vec<u8>)], arguments: &[&str]) -> (i32, Value, String) {
    let folder = folder(name);
    for (file, bytes) in files {
        std::fs::write(folder.join(file), bytes).unwrap();
    }
    std::fs::write(folder.join("key.pem"), key().public_key().to_pem()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_claimgate"))
        .current_dir(&folder)
        .args(["audit", "verify", "--format", "json"])
        .args(files.iter().map(|(file, _)| file))
        .args(arguments)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (
        output.status.code().unwrap(),
        serde_json::from_slice(&output.stdout).unwrap_or_default(),
        stderr,
    )
}

fn text(records: &[String], line: fn(&str) -> String) -> Vec<u8> {
    let lines = records.iter().map(|record| format!("{}\nsomething else\n", line(record)));
    lines.collect::<String>().into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The kinds of both verdicts, `altered missing_records`.
fn kinds(report: &Value) -> String {
    let counts = ["integrity", "completeness"].map(|verdict| &report[verdict]["counts"]);
    let names = counts.iter().flat_map(|counts| counts.as_object().unwrap().keys());
    names.map(String::as_str).collect::<Vec<_>>().join(" ")
}

#[test]
fn finds_nothing_in_logs_as_they_were_written() {
    let records = log(&key());
    let (first, last) = records.split_at(15);
    let cases = [
        ("plain", vec![("a.log", text(&records, line))]),
        ("json", vec![("a.log", text(&records, json_line))]),
        ("gzip", vec![("a.log.gz", gzip(&text(&records, line)))]),
        ("bare", vec![("a.log", text(&records, |record| format!("claimgate_audit {record}")))]),
        (
            "rotated",
            vec![("a.log", text(last, line)), ("a.log.1.gz", gzip(&text(first, json_line)))],
        ),
    ];
    for (name, files) in cases {
        let (code, report, stderr) = run(name, &files, &["--key", "key.pem"]);
        assert_eq!(
            (code, kinds(&report).as_str(), stderr.as_str()),
            (0, "", ""),
            "{name}: {report}"
        );
        assert_eq!(report["records"], records.len(), "{name}");
        assert_eq!(report["chains"][1]["closed"], true, "{name}");
    }
}

#[test]
fn follows_a_reload() {
    let (mut a, opened) = Chain::open("A", 0, None);
    let mut records = vec![opened, a.access(1, "u")];
    records.push(a.sign(2, &key(), true, &[]));
    let (mut c, opened) = Chain::open("C", 3, Some(&a));
    records.extend([opened, c.access(4, "u")]);
    records.push(c.sign(5, &key(), true, &[]));
    let files = |records: &[String]| vec![("a.log", text(records, line))];
    let arguments = ["--key", "key.pem"];
    let (code, report, _) = run("reload", &files(&records), &arguments);
    assert_eq!((code, kinds(&report).as_str()), (0, ""));
    // The chain before is gone: named, unless the time that is asked for begins later.
    let (code, report, _) = run("reload", &files(&records[3..]), &arguments);
    assert_eq!((code, kinds(&report).as_str()), (1, "chain_missing"));
    let since = ["--key", "key.pem", "--since", "2026-11-25T10:00:03Z"];
    let (code, report, _) = run("reload", &files(&records[3..]), &since);
    assert_eq!((code, kinds(&report).as_str()), (0, ""));
    let (_, report, _) =
        run("reload", &files(&[&records[..2], &records[3..]].concat()), &arguments);
    assert_eq!(kinds(&report), "cut_off not_closed");
}

#[test]
fn names_every_way_of_tampering() {
    type Tamper = fn(&mut Vec<String>);
    let whole = log(&key());
    fn at(records: &[String], what: &str) -> usize {
        records.iter().position(|record| record.contains(what)).unwrap()
    }
    let cases: &[(&str, Tamper, &str)] = &[
        (
            "edited",
            |r| {
                let i = at(r, "\"u5\"");
                r[i] = r[i].replace("\"u5\"", "\"x\"");
            },
            "altered",
        ),
        (
            "edited before a checkpoint",
            |r| {
                let i = at(r, "\"u18\"");
                r[i] = r[i].replace("\"u18\"", "\"x\"");
            },
            "altered",
        ),
        (
            "dropped",
            |r| {
                r.remove(at(r, "\"u5\""));
            },
            "missing_records",
        ),
        (
            "dropped run",
            |r| {
                let i = at(r, "\"u5\"");
                r.drain(i..i + 9);
            },
            "missing_records",
        ),
        (
            "swapped",
            |r| {
                let (i, j) = (at(r, "\"u5\""), at(r, "\"u6\""));
                r.swap(i, j);
            },
            "reordered",
        ),
        (
            "doubled",
            |r| {
                let i = at(r, "\"u5\"");
                r.insert(i + 2, r[i].clone());
            },
            "duplicated",
        ),
        (
            "inserted",
            |r| {
                r.insert(
                    5,
                    "{\"@timestamp\":\"2026-11-25T10:00:03.000Z\",\"user.id\":\"x\"}".into(),
                )
            },
            "inserted",
        ),
        (
            "inserted into the chain",
            |r| {
                let i = at(r, "\"u5\"");
                r.insert(i, r[i].replace("\"u5\"", "\"x\""));
            },
            "altered inserted",
        ),
        (
            "spliced",
            |r| {
                let (mut c, _) = Chain::open("C", 0, None);
                for second in 1..5 {
                    c.access(second, "x");
                }
                r.insert(9, c.access(5, "x"));
            },
            "spliced missing_beginning not_closed",
        ),
        ("cut", |r| r.truncate(r.len() - 4), "not_closed"),
        (
            "one chain cut",
            |r| {
                let end = r.len() - 3;
                r.drain(end..end + 2);
            },
            "cut_off not_closed",
        ),
        (
            "a chain removed",
            |r| r.retain(|record| !record.contains(&format!("chain\":\"{}", "B".repeat(22)))),
            "chain_missing",
        ),
        (
            "no opening",
            |r| {
                r.remove(0);
            },
            "missing_beginning",
        ),
        (
            "twice",
            |r| {
                let again = r.clone();
                r.extend(again);
            },
            "duplicated replayed",
        ),
        (
            "after closing",
            |r| {
                let mut a = Chain {
                    id: "A".repeat(22),
                    seq: 22,
                    prev: writer::head(r.last().unwrap()),
                    second: 20,
                };
                r.push(a.access(30, "x"));
            },
            "inserted",
        ),
        ("signed by another key", |r| *r = log(&other()), "forged_checkpoint not_closed"),
        ("of another kid", |r| *r = log(&key().with_key_id("z")), ""),
        (
            "of another type",
            |r| {
                let (mut a, opened) = Chain::open("A", 0, None);
                *r = vec![opened, a.sign_as(1, &key(), true, &[], "JWT")];
            },
            "forged_checkpoint not_closed",
        ),
        (
            "an old part",
            |r| {
                let (mut c, opened) = Chain::open("C", 0, None);
                let (mut d, next) = Chain::open("D", 900, None);
                *r = vec![
                    next,
                    d.access(901, "u"),
                    opened,
                    c.access(1, "x"),
                    c.sign(2, &key(), true, &[]),
                    d.sign(902, &key(), true, &[]),
                ];
            },
            "replayed",
        ),
        ("no chain", |r| *r = vec!["{\"user.id\":\"x\"}".into()], "no_chain"),
        ("unreadable", |r| r.insert(4, "{\"user.id\":\"x".into()), "unreadable"),
    ];
    let mut wrong = Vec::new();
    for (name, tamper, want) in cases {
        let mut records = whole.clone();
        tamper(&mut records);
        let files = [("a.log", text(&records, line))];
        let (code, report, _) = run("tampered", &files, &["--key", "key.pem"]);
        if kinds(&report) != *want || code != i32::from(!want.is_empty()) {
            wrong.push(format!("{name}: {code} {} instead of {want}: {report}", kinds(&report)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_the_first_place() {
    let mut records = log(&key());
    let index = records.iter().position(|record| record.contains("\"u5\"")).unwrap();
    records[index] = records[index].replace("\"u5\"", "\"x\"");
    let (_, report, _) = run("place", &[("a.log", text(&records, line))], &["--key", "key.pem"]);
    let first = &report["integrity"]["first"];
    assert_eq!((&first["file"], &first["seq"]), (&"a.log".into(), &5.into()), "{first}");
    assert_eq!(first["line"], 2 * index as u64 + 1);
}

#[test]
fn judges_the_time_and_the_keys() {
    let records = log(&key());
    let open: Vec<String> = records[..records.len() - 2].to_vec();
    let since = time(0);
    let cases = [
        ("since", &records, vec!["--since", &since], 0, ""),
        ("replayed", &records, vec!["--since", "2026-11-26T00:00:00Z"], 1, "replayed"),
        ("late", &records, vec!["--since", "2026-11-24T00:00:00Z"], 1, "begins_late"),
        ("short", &records, vec!["--until", "2026-11-26T00:00:00Z"], 1, "ends_early"),
        ("open", &open, vec![], 1, "not_closed"),
        ("open later", &open, vec!["--until", "2026-11-25T10:00:18Z"], 0, ""),
    ];
    for (name, records, mut arguments, code, want) in cases {
        arguments.extend(["--key", "key.pem"]);
        let (got, report, _) = run("times", &[("a.log", text(records, line))], &arguments);
        assert_eq!((got, kinds(&report).as_str()), (code, want), "{name}: {report}");
    }
    // Cut after a checkpoint, whose record is then dated forward: it is signed, time and all.
    let end = records.iter().position(|record| record.contains("audit-checkpoint")).unwrap();
    let mut cut = records[..=end].to_vec();
    cut[end] = cut[end].replace(&time(9), &time(18));
    let arguments = ["--key", "key.pem", "--until", &time(18)];
    let (_, report, _) = run("times", &[("a.log", text(&cut, line))], &arguments);
    assert_eq!(kinds(&report), "altered not_closed");
    let file = [("a.log", text(&records, line))];
    let (code, report, _) = run("keys", &file, &["--without-key"]);
    assert_eq!((code, &report["signatures_verified"]), (0, &false.into()));
    let (code, _, stderr) = run("keys", &file, &[]);
    assert!(code == 2 && stderr.contains("--key"), "{stderr}");
    let (code, _, stderr) = run("keys", &file, &["--key", "a.log"]);
    assert!(code == 2 && stderr.contains("a.log"), "{stderr}");
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","kid":"z","x":"6kqXUkSp1sYkCYzqRdRNB5gWWzZGKPyWDoGmMmPS_to"}"#;
    let (code, report, _) = run("keys", &[("a.log", file[0].1.clone())], &["--key", "absent.json"]);
    assert_eq!(code, 2, "{report}");
    std::fs::write(folder("keys").join("jwk.json"), jwk).unwrap();
    let (code, report, _) = run("keys", &file, &["--key", "jwk.json"]);
    assert!(code == 1 && report.to_string().contains("key unknown"), "{report}");
}

/// Runs one log, and returns what was found.
fn found(name: &str, records: &[String], arguments: &[&str]) -> String {
    let arguments = [&["--key", "key.pem"], arguments].concat();
    kinds(&run(name, &[("a.log", text(records, line))], &arguments).1)
}

#[test]
fn a_record_counts_from_when_it_was_written() {
    // Of a stream that began at once, and ended two hours later: all before it was taken away.
    let (mut a, _) = Chain::open("A", 0, None);
    a.access(1, "u");
    let records = [
        a.long(2, 7200),
        a.sign(7210, &key(), false, &[]),
        a.access(7300, "u"),
        a.sign(7310, &key(), true, &[]),
    ];
    let since = |second| time(second);
    assert_eq!(found("long", &records, &["--since", &since(7300)]), "");
    assert_eq!(
        found("long", &records, &["--since", &since(3600)]),
        "begins_late missing_beginning"
    );
    // A second worker's log that begins so is no older one.
    let (mut b, opened) = Chain::open("B", 7000, None);
    let records =
        [&[opened, b.access(7205, "u")][..], &records, &[b.sign(7311, &key(), true, &[])]];
    assert_eq!(found("long", &records.concat(), &["--since", &since(7300)]), "");
}

#[test]
fn a_tail_that_is_cut_off_is_missed_whatever_others_say() {
    let (mut a, a0) = Chain::open("A", 0, None);
    let (mut b, b0) = Chain::open("B", 0, None);
    let signed = b.sign(5, &key(), false, &[]);
    let told = b.named();
    let lost: Vec<String> = (6..20).map(|second| b.access(second, "u")).collect();
    // B's VM is gone; A goes on naming what B told last.
    let last = a.sign(400, &key(), true, &[told]);
    for tail in [&lost[..], &[]] {
        let records =
            [&[a0.clone(), b0.clone(), signed.clone()], tail, std::slice::from_ref(&last)].concat();
        assert_eq!(found("tail", &records, &["--until", &time(300)]), "not_closed");
    }
}

#[test]
fn what_others_name_is_held_against_the_log_however_long_ago() {
    let (mut a, a0) = Chain::open("A", 0, None);
    let (mut b, b0) = Chain::open("B", 0, None);
    let signed = b.sign(1, &key(), false, &[]);
    let told = b.named();
    let mut records = vec![a0, b0, signed];
    records.extend((0..200).map(|n| b.access(2 + n / 50, "u")));
    records.push(b.sign(9, &key(), true, &[]));
    let whole = [&records[..], &[a.sign(10, &key(), true, std::slice::from_ref(&told))]].concat();
    assert_eq!(found("named", &whole, &[]), "");
    // Another log of the same length, signed anew by who has the key, but not what A's worker saw.
    let forged = told.replace(told.get(25..30).unwrap(), "AAAAA");
    let (mut a, a0) = Chain::open("A", 0, None);
    records[0] = a0;
    records.push(a.sign(10, &key(), true, &[forged]));
    assert_eq!(found("named", &records, &[]), "altered");
}

#[test]
fn chains_that_are_gone_are_missed_by_the_time_of_their_records() {
    let (mut old, _) = Chain::open("O", 0, None);
    let (mut a, a0) = Chain::open("A", 100, Some(&old));
    old.access(50, "u");
    let records = [a0, a.sign(110, &key(), false, &[old.named()]), a.sign(111, &key(), true, &[])];
    assert_eq!(found("gone", &records, &[]), "chain_missing");
    assert_eq!(found("gone", &records, &["--since", &time(100)]), "");
    assert_eq!(found("gone", &records, &["--since", &time(40)]), "begins_late chain_missing");
}

#[test]
fn a_chain_that_is_never_signed_is_none_of_the_filters() {
    let (mut forged, opened) = Chain::open("F", 0, None);
    let mut records = log(&key());
    records.extend([opened, forged.access(1, "u")]);
    assert_eq!(found("unsigned", &records, &[]), "not_closed");
    records.push(forged.access(4000, "u"));
    assert_eq!(found("unsigned", &records, &[]), "spliced not_closed");
}

#[test]
fn nothing_in_a_log_reaches_a_terminal() {
    let (mut a, opened) = Chain::open("A", 0, None);
    let hostile = "\u{1b}[2J\u{202e}";
    let mut records = vec![opened, a.access(1, "u")];
    let (mut b, opened) = Chain::open(hostile, 0, None);
    records.extend([opened, b.access(1, hostile)]);
    let kid = key().with_key_id(hostile);
    records.push(a.sign_as(2, &kid, true, &[format!("{hostile}:1:{hostile}:1")], writer::TYPE));
    let folder = folder("hostile");
    std::fs::write(folder.join("a.log"), text(&records, line)).unwrap();
    std::fs::write(folder.join("key.pem"), key().public_key().to_pem()).unwrap();
    std::fs::write(
        folder.join("keys.json"),
        format!("{{\"keys\":[{}]}}", key().public_key().to_jwk()),
    )
    .unwrap();
    for key in ["key.pem", "keys.json"] {
        let output = Command::new(env!("CARGO_BIN_EXE_claimgate"))
            .args(["--color", "always", "audit", "verify", "--key", key, "a.log"])
            .current_dir(&folder)
            .output()
            .unwrap();
        let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let shown = shown.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
        assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
        assert!(shown.contains("broken"), "{shown}");
    }
}

#[test]
fn only_what_is_signed_says_when_something_was() {
    let (mut a, opened) = Chain::open("A", 0, None);
    let mut records = vec![opened];
    for second in 1..10 {
        records.push(a.access(second * 100, "u"));
        records.push(a.sign(second * 100 + 10, &key(), second == 9, &[]));
    }
    let last = records.len() - 1;
    // All but the last record is gone, and that says that it is of the time that is asked for.
    let alone = [records[last].replace(&time(910), &time(200))];
    let found_alone = found("alone", &alone, &["--since", &time(200)]);
    assert_eq!(found_alone, "altered missing_beginning not_closed", "its own text is signed too");
    // Records of that time, after the last checkpoint.
    let mut more = records[..last - 1].to_vec();
    let signed = more.len() - 1;
    assert_eq!(found("tail", &more, &["--until", &time(800)]), "");
    let mut a = Chain {
        id: "A".repeat(22),
        seq: signed as u64 + 1,
        prev: writer::head(&more[signed]),
        second: 0,
    };
    more.extend([a.access(300, "x"), a.access(400, "x")]);
    assert_eq!(found("tail", &more, &["--until", &time(800)]), "inserted");
}

#[test]
fn reads_records_in_lines_of_other_forms() {
    let records = log(&key());
    let istio = |record: &str| {
        format!(
            "2026-11-25T10:00:00.000000Z\tinfo\tenvoy wasm external/x.cc:1\twasm log: claimgate_audit {record}\tthread=22"
        )
    };
    let colored = |record: &str| {
        format!("wasm log claimgate_audit claimgate_audit: claimgate_audit {record}\u{1b}[0m\r")
    };
    let escaped = |record: &str| line(record).replace('\\', "\\\\").replace('"', "\\\"");
    let forms: [&dyn Fn(&str) -> String; 3] = [&istio, &colored, &escaped];
    for (index, form) in forms.into_iter().enumerate() {
        let log = records.iter().map(|record| form(record) + "\n").collect::<String>();
        let (code, report, _) = run("forms", &[("a.log", log.into_bytes())], &["--key", "key.pem"]);
        assert_eq!((code, kinds(&report).as_str()), (0, ""), "{index}: {report}");
    }
}
