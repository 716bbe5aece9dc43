//! Keys that come, stay and go, in every form of file.

use serde_json::{Value, json};

use crate::fixture::{Deployed, base64, commented, filter, key, kids};
use crate::provider::Provider;

/// The lines of `part`, in order, are lines of `text`.
#[track_caller]
fn survives(part: &str, text: &str) {
    let mut lines = text.lines();
    for line in part.lines() {
        assert!(lines.any(|other| other == line), "`{line}` is gone from\n{text}");
    }
}

#[test]
fn keys_come_and_go_and_comments_stay() {
    let (a, b) = (key("a"), key("b"));
    let provider = Provider::start();
    let deployed = Deployed::new("rotation", &commented(&[&a]));
    let from = provider.jwks();

    provider.publishes(&[&a, &b]);
    let ran = deployed.push(&["--from", &from]).ok();
    assert!(
        ran.out.contains("issuers.corp.keys[0].jwks: pushed, keys: 2\n  added    b  "),
        "{}",
        ran.out
    );
    assert_eq!((ran.err.as_str(), kids(&deployed.text())), ("", vec!["a".into(), "b".into()]));
    survives(&commented(&[&a]), &deployed.text());
    deployed.loads();

    provider.publishes(&[&b]);
    let ran = deployed.push(&["--from", &from]).ok();
    assert!(ran.out.contains("keys: 1\n  dropped  a  "), "{}", ran.out);
    assert_eq!(kids(&deployed.text()), ["b"]);
    deployed.loads();
    let kept = commented(&[&a]);
    let kept =
        kept.lines().filter(|line| !line.starts_with("            ") && !line.contains("- kty"));
    survives(&kept.collect::<Vec<_>>().join("\n"), &deployed.text());

    // All of them at once.
    provider.publishes(&[&a]);
    let ran = deployed.push(&["--from", &from]).ok();
    assert!(
        ran.err.contains("warning: ") && ran.err.contains("no key of before stays"),
        "{}",
        ran.err
    );
    deployed.is_alone();
}

#[test]
fn nothing_is_written_where_nothing_changed() {
    let (a, b) = (key("a"), key("b"));
    let provider = Provider::start();
    let deployed = Deployed::new("unchanged", &commented(&[&a, &b]));
    let before = deployed.identity();
    let mut more = b.clone();
    more["x5t"] = "changes-with-every-answer".into();
    let oct = json!({"kty": "oct", "kid": "s", "k": "AAAA"});
    let sets: [&[&Value]; 4] = [&[&a, &b], &[&b, &a], &[&more, &a], &[&oct, &a, &b, &a]];
    for keys in sets {
        provider.publishes(keys);
        let ran = deployed.push(&["--from", &provider.jwks(), "--overlap", "1h"]).ok();
        assert!(ran.out.contains("nothing changed, keys: 2\n"), "{}", ran.out);
        assert_eq!(ran.out.contains("skipped  s  a symmetric key"), keys[0] == &oct, "{}", ran.out);
        assert!(ran.err.is_empty(), "{}", ran.err);
        assert_eq!(deployed.identity(), before);
    }
}

#[test]
fn a_key_stays_for_its_overlap_whoever_pushes() {
    let (a, b) = (key("a"), key("b"));
    let provider = Provider::start();
    let deployed = Deployed::new("overlap", &commented(&[&a]));
    let from = provider.jwks();
    let push = || deployed.push(&["--from", &from, "--overlap", "1h"]).ok();

    provider.publishes(&[&b]);
    let ran = push();
    assert!(ran.out.contains("  kept     a  ") && ran.out.contains("  until 2"), "{}", ran.out);
    assert_eq!((kids(&deployed.text()), ran.err), (vec!["a".into(), "b".into()], String::new()));
    deployed.loads();

    // The next one finds in the file since when, and writes nothing.
    let before = deployed.identity();
    assert!(push().out.contains("nothing changed, keys: 2\n  kept     a  "));
    assert_eq!(deployed.identity(), before);

    // The provider lists it again, and no longer again.
    provider.publishes(&[&a, &b]);
    assert!(push().out.contains("  updated  a  "));
    assert!(!deployed.text().contains("x-missed-since"));
    provider.publishes(&[&b]);
    push();

    // Two hours ago.
    let text = deployed.text();
    let (before, after) = text.split_once("x-missed-since: \"").unwrap();
    let (since, after) = after.split_once('"').unwrap();
    let since = humantime::parse_rfc3339(since).unwrap() - std::time::Duration::from_secs(7200);
    let since = humantime::format_rfc3339_seconds(since);
    std::fs::write(&deployed.file, format!("{before}x-missed-since: \"{since}\"{after}")).unwrap();
    assert!(push().out.contains("keys: 1\n  dropped  a  "));
    assert_eq!(kids(&deployed.text()), ["b"]);
    deployed.loads();
}

#[test]
fn another_key_with_the_same_id_takes_its_place() {
    let (old, new) = (key("a"), key("a"));
    let provider = Provider::start();
    let deployed = Deployed::new("reused", &commented(&[&old]));
    provider.publishes(&[&new]);
    let ran = deployed.push(&["--from", &provider.jwks(), "--overlap", "1h"]).ok();
    assert!(ran.err.contains("the provider lists another key with the id `a`"), "{}", ran.err);
    assert!(ran.out.contains("dropped  a  ") && ran.out.contains("added    a  "), "{}", ran.out);
    let text = deployed.text();
    assert!(
        text.contains(new["x"].as_str().unwrap()) && !text.contains(old["x"].as_str().unwrap())
    );
}

#[test]
fn every_form_of_file_is_pushed_into() {
    let (a, b) = (key("a"), key("b"));
    let old = filter(&[&a]);
    let resource = |configuration: &str| {
        format!(
            "resources: # one\n- name: claimgate\n  typed_config:\n    config:\n      name: claimgate # its name\n      \
             vm_config: {{ vm_id: c }}\n      configuration:\n        \"@type\": type.googleapis.com/google.protobuf.{configuration}\n      \
             failure_policy: FAIL_RELOAD # never open\n"
        )
    };
    let pretty = serde_json::to_string_pretty(&old).unwrap();
    let block = pretty.lines().map(|line| format!("          {line}\n")).collect::<String>();
    let json = json!({"resources": [{"typed_config": {"config": {
        "name": "claimgate", "vm_config": {"vm_id": "c"},
        "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": old.to_string()},
    }}}]});
    let forms = [
        ("bare JSON", old.to_string()),
        ("JSON on lines", pretty.clone()),
        ("bare YAML", commented(&[&a])),
        ("Struct", resource(&format!("Struct\n        value: {old} # in brackets"))),
        ("StringValue", resource(&format!("StringValue\n        value: '{old}' # as text"))),
        ("StringValue on lines", resource(&format!("StringValue\n        value: |\n{block}"))),
        (
            "BytesValue",
            resource(&format!("BytesValue\n        value: {} # encoded", base64(&old.to_string()))),
        ),
        ("JSON in JSON", json.to_string()),
        (
            "WasmPlugin",
            format!(
                "apiVersion: v1\nkind: Service # first\n---\n# Then.\nkind: WasmPlugin\nspec:\n  pluginName: claimgate\n  \
                 pluginConfig: {old}\n  phase: AUTHN # last\n"
            ),
        ),
    ];
    let provider = Provider::start();
    for (form, text) in forms {
        let deployed = Deployed::new("forms", &text);
        provider.publishes(&[&a, &b]);
        deployed.push(&["--from", &provider.jwks()]).ok();
        deployed.loads();
        let after = deployed.text();
        let comments = |text: &str| -> Vec<String> {
            let comments = text.lines().filter_map(|line| line.split_once(" # "));
            comments.map(|(_, comment)| comment.to_owned()).collect()
        };
        assert_eq!(comments(&after), comments(&text), "{form}\n{after}");
        assert!(!text.contains(b["x"].as_str().unwrap()));
        // What was written is read again as what the provider lists.
        let again = deployed.push(&["--from", &provider.jwks(), "--format", "json"]).ok();
        assert!(
            again.out.contains(r#""changed":false,"dry_run":false,"keys":2,"#),
            "{form}: {}",
            again.out
        );
        provider.publishes(&[&a]);
        deployed.push(&["--from", &provider.jwks()]).ok();
        deployed.loads();
        assert_eq!(comments(&deployed.text()), comments(&text), "{form}");
    }
}

#[test]
fn a_dry_run_tells_and_writes_nothing() {
    let (a, b) = (key("a"), key("b"));
    let provider = Provider::start();
    let deployed = Deployed::new("dry", &commented(&[&a]));
    let before = deployed.identity();
    provider.publishes(&[&b]);
    let ran = deployed.push(&["--from", &provider.jwks(), "--dry-run", "--format", "json"]);
    assert_eq!(ran.status, Some(1));
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&report["changed"], &report["dry_run"]), (&json!(true), &json!(true)));
    assert_eq!(
        (&report["added"][0]["kid"], &report["dropped"][0]["kid"]),
        (&json!("b"), &json!("a"))
    );
    assert_eq!(report["added"][0]["thumbprint"].as_str().unwrap().len(), 43);
    for key in [&a, &b] {
        let x = key["x"].as_str().unwrap();
        assert!(!ran.out.contains(x) && !ran.err.contains(x), "key material: {}", ran.out);
    }
    assert_eq!(deployed.identity(), before);
    provider.publishes(&[&a]);
    assert_eq!(deployed.push(&["--from", &provider.jwks(), "--dry-run"]).status, Some(0));
}

#[test]
fn a_file_and_standard_input_do_as_well() {
    use std::io::Write as _;
    let (a, b) = (key("a"), key("b"));
    let deployed = Deployed::new("stdin", &commented(&[&a]));
    let set = deployed.folder.join("set.json");
    std::fs::write(&set, crate::provider::set(&[&a, &b]).to_string()).unwrap();
    let run = |text: &str| {
        let mut child = crate::fixture::claimgate()
            .args(["keys", "push", "-", "--from", set.to_str().unwrap()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        crate::fixture::Ran::from(child.wait_with_output().unwrap())
    };
    let piped = run(&deployed.text()).ok();
    assert!(piped.err.contains("added    b  "), "{}", piped.err);
    deployed.push(&["--from", set.to_str().unwrap()]).ok();
    assert_eq!(piped.out, deployed.text());
    // Where nothing changes, the whole comes out as it is.
    assert_eq!(run(&piped.out).ok().out, piped.out);
    let refused = run("routes: []\n");
    assert_eq!((refused.status, refused.out.as_str()), (Some(2), ""));
}
