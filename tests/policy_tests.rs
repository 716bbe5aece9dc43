//! Policy tests and `explain`, driven as a user drives them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The secret of `tests/policies/logs.yaml`.
const SECRET: (&str, &str) = ("CLAIMGATE_TEST_SECRET", "the secret of the policy tests, 32 bytes");

const CASES: &str = "tests/policies/logs-cases.yaml";

fn claimgate(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_claimgate"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove(SECRET.0)
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// The exit status, standard output and standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    told(&claimgate(arguments, &[]))
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A folder of its own for a test, with these files.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    folder
}

/// The path of a file of cases for `tests/policies/logs.yaml`.
fn cases(name: &str, cases: &str) -> String {
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies/logs.yaml");
    let text = format!("configuration: {}\ncases:\n{cases}", policy.display());
    folder(name, &[("cases.yaml", &text)]).join("cases.yaml").display().to_string()
}

#[test]
fn cases_that_hold_need_no_secret() {
    let (status, out, err) = run(&["test", CASES]);
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.ends_with("19 cases: 19 hold, 0 fail\n"), "{out}");
    let (status, out, _) = run(&["test", "--filter", "deletes[", CASES]);
    assert_eq!(status, Some(0));
    assert_eq!(out.lines().count(), 5, "{out}");
}

#[test]
fn a_case_that_fails_says_why() {
    let file = cases(
        "fails",
        "  - name: bob deletes
    request: DELETE /logs/prod/1
    claims: { sub: bob, roles: [log-reader] }
    expect: { decision: allowed, route: delete-logs, headers: { x-user-id: bob } }
  - { name: health, request: GET /healthz, expect: allowed }
",
    );
    let (status, out, err) = run(&["test", &file]);
    assert_eq!((status, err.as_str()), (Some(1), ""));
    let want = r#"  FAIL bob deletes (cases[0])
       DELETE example.com/logs/prod/1, claims {"roles":["log-reader"],"sub":"bob"}
       decision: expected allowed, got denied
       headers.x-user-id: expected bob, got no request: the filter answers it
       route delete-logs (routes[2]): denied, claims_insufficient: condition of the route does not hold
         unknown   ref sre: any
           fails     {"any_of":["sre"],"claim":"roles"}, saw "log-reader"
           unknown   {"claim":"admin","equals":true}, saw nothing
  ok   health
2 cases: 1 hold, 1 fail
"#;
    assert!(out.ends_with(want), "{out}");
    let (status, out, _) = run(&["test", "--format", "json", &file]);
    assert_eq!(status, Some(1));
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["held"], &report["failed"]), (&1.into(), &1.into()));
    let case = &report["files"][0]["cases"][0];
    assert_eq!(case["differences"][0]["what"], "decision");
    assert_eq!(case["condition"]["parts"][0]["place"], "conditions.sre.any[0]");
    assert_eq!(case["condition"]["parts"][0]["truth"], "fails");
}

#[test]
fn what_cannot_run_is_no_pass() {
    let one = "  - { name: a, request: GET /healthz, expect: allowed }\n";
    let file = cases("cannot", one);
    let unreadable =
        cases("unreadable", "  - { name: a, request: GET /healthz, expects: allowed }\n");
    let issuer = cases(
        "issuer",
        "  - { name: a, request: GET /, claims: {}, issuer: corps, expect: allowed }\n",
    );
    let lost = folder(
        "lost",
        &[(
            "cases.yaml",
            "configuration: gone.yaml\ncases:\n  - { name: a, request: GET /, expect: allowed }\n",
        )],
    );
    let lost = lost.join("cases.yaml").display().to_string();
    let refused = folder(
        "refused",
        &[
            ("policy.yaml", "routes: [{ name: a, paths: [b] }]\n"),
            ("cases.yaml", &format!("configuration: policy.yaml\ncases:\n{one}")),
        ],
    );
    let refused = refused.join("cases.yaml").display().to_string();
    let cases = [
        (vec!["test", "--filter", "zz", &file], "`--filter zz`: no case has this in its name"),
        (vec!["test", &unreadable], "cases.yaml: cases[0].expects: unknown key `expects`"),
        (vec!["test", &file, &unreadable], "cases.yaml: cases[0].expects: unknown key `expects`"),
        (
            vec!["test", &issuer],
            "cases.yaml: cases[0].issuer: no issuer `corps`, there are: `corp`",
        ),
        (vec!["test", &lost], "gone.yaml"),
        (vec!["test", &refused], "policy.yaml: routes[0].paths[0]: `b`"),
        (vec!["test", "nowhere.yaml"], "`nowhere.yaml`: "),
    ];
    for (arguments, want) in cases {
        let (status, out, err) = run(&arguments);
        assert_eq!((status, out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(err.contains(want), "{err}");
    }
}

/// A token of `corp` as its provider would make it.
fn token(claims: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let rest = r#""iss":"https://idp.example.com","aud":"logs-api","jti":"j","exp":4102444800"#;
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let input =
        format!("{}.{}", encode(r#"{"alg":"HS256"}"#), encode(&format!("{{{rest},{claims}}}")));
    let tag = hmac_sha256::HMAC::mac(input.as_bytes(), SECRET.1.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

#[test]
fn a_token_as_it_is_counts_by_the_true_keys() {
    let token = token(r#""sub":"alice","roles":["sre"]"#);
    let text = format!(
        "  - {{ name: a, request: GET /logs/prod, token: {token}, expect: allowed }}
  - name: b
    request: {{ method: GET, path: /logs/prod, headers: {{ authorization: Bearer {token} }} }}
    expect: {{ headers: {{ x-user-id: bob, authorization: null }} }}\n"
    );
    let file = cases("token", &text);
    let (status, out, err) = told(&claimgate(&["test", &file], &[SECRET]));
    assert_eq!((status, err.as_str()), (Some(1), ""), "{out}");
    assert!(out.contains("  ok   a\n"), "{out}");
    assert!(out.contains("headers.x-user-id: expected bob, got alice"), "{out}");
    let other = (SECRET.0, "another secret than the one it was signed with");
    let (status, out, _) = told(&claimgate(&["test", &file], &[other]));
    assert_eq!(status, Some(1));
    assert!(out.contains("signature_invalid"), "{out}");
    assert!(!out.contains("eyJ"), "{out}");
    let (status, _, err) = run(&["test", &file]);
    assert_eq!(status, Some(2));
    assert!(
        err.contains("logs.yaml: issuers.corp.keys[0].secret.env: environment variable"),
        "{err}"
    );
}

#[test]
fn coverage_tells_what_no_case_has_tried() {
    let (status, out, _) = run(&["test", "--coverage", CASES]);
    assert_eq!(status, Some(0));
    let all = "19 cases: 19 hold, 0 fail\ncoverage of tests/policies/logs.yaml: 100 % (22 of 22 points)\n";
    assert!(out.ends_with(all), "{out}");

    let file = cases(
        "covers",
        "  - { name: reads, request: GET /logs/prod, claims: { roles: [sre] }, expect: allowed }
  - { name: no token, request: DELETE /logs/prod, expect: token_missing }
  - { name: no admin, request: DELETE /logs/prod, claims: { admin: false }, expect: claims_insufficient }
  - { name: closed, request: GET /internal/x, expect: route_denied }\n",
    );
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies/logs.yaml");
    let (status, out, _) = run(&["test", "--min-coverage", "32", &file]);
    assert_eq!(status, Some(1));
    let want = format!(
        r#"4 cases: 4 hold, 0 fail
coverage of {}: 31 % (7 of 22 points)
  routes[0] health: never asked for
  routes[1] read-logs: never refused
  routes[1].require.all[0] of read-logs: always holds: {{"any_of":["log-reader","sre"],"claim":"roles"}}
  routes[1].require.all[1] of read-logs: always holds: {{"absent":true,"equals":"acme","header":"x-tenant"}}
  routes[2] delete-logs: never allowed
  conditions.sre.any[0] of delete-logs: never holds: {{"any_of":["sre"],"claim":"roles"}}
  conditions.sre.any[1] of delete-logs: never holds: {{"claim":"admin","equals":true}}
  routes[3] office: never asked for
  routes[4] report: never asked for
  less than the 32 % that are demanded
"#,
        policy.display()
    );
    assert!(out.ends_with(&want), "{out}");
    assert_eq!(run(&["test", "--min-coverage", "31", &file]).0, Some(0));
    // A token that is refused says nothing of the condition, which nobody asked.
    let (_, out, _) = run(&["test", "--coverage", "--filter", "no token", &file]);
    assert!(out.contains("conditions.sre.any[0] of delete-logs: never looked at"), "{out}");
    // Files of one configuration count together.
    let (_, out, _) = run(&["test", "--coverage", "--format", "json", CASES, &file]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["coverage"].as_array().unwrap().len(), 1);
    assert_eq!(report["coverage"][0]["percent"], 100);
}

/// The elements of an XML document, each with its attributes.
fn elements(xml: &str) -> Vec<(String, Vec<(String, String)>)> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(xml);
    let (mut found, mut depth) = (Vec::new(), 0);
    loop {
        let event = reader.read_event().unwrap();
        depth += match &event {
            Event::Start(_) => 1,
            Event::End(_) => -1,
            _ => 0,
        };
        match event {
            Event::Start(tag) | Event::Empty(tag) => {
                let attributes = tag.attributes().map(|attribute| {
                    let attribute = attribute.unwrap();
                    let value = quick_xml::escape::unescape(&attribute.value).unwrap();
                    (attribute.key.as_ref().to_owned(), value.into_owned())
                });
                let attributes = attributes.collect();
                found.push((tag.name().as_ref().to_owned(), attributes));
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0, "{xml}");
    found
}

#[test]
fn writes_what_ci_systems_read() {
    let file = cases(
        "junit",
        "  - { name: 'a <b> & \"c\"', request: GET /healthz, expect: allowed }
  - { name: \"d\\u0001\", request: \"GET /<&>\", expect: { decision: allowed, route: health } }\n",
    );
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("junit/report.xml");
    let (status, human, err) = run(&["test", "--junit", out.to_str().unwrap(), &file]);
    assert_eq!((status, err.as_str()), (Some(1), ""));
    assert!(human.ends_with("2 cases: 1 hold, 1 fail\n"), "{human}");
    let xml = std::fs::read_to_string(&out).unwrap();
    let found = elements(&xml);
    let shape: Vec<(&str, Option<&str>)> = found
        .iter()
        .map(|(name, attributes)| {
            let own = attributes.iter().find(|(own, _)| own == "name" || own == "message");
            (name.as_str(), own.map(|(_, value)| value.as_str()))
        })
        .collect();
    let want = [
        ("testsuites", Some("claimgate")),
        ("testsuite", Some(file.as_str())),
        ("testcase", Some("a <b> & \"c\"")),
        ("testcase", Some("d\u{fffd}")),
        (
            "failure",
            Some("decision: expected allowed, got denied; route: expected health, got none"),
        ),
    ];
    assert_eq!(shape, want);
    for (name, value) in [("tests", "2"), ("failures", "1")] {
        for element in &found[..2] {
            let attribute = element.1.iter().find(|(own, _)| own == name);
            assert_eq!(attribute.map(|(_, value)| value.as_str()), Some(value), "{xml}");
        }
    }
    assert!(xml.contains("GET example.com/&lt;&amp;&gt;"), "{xml}");
    let nowhere = run(&["test", "--junit", "/nowhere/report.xml", &file]);
    assert_eq!(nowhere.0, Some(2));
    assert!(nowhere.2.contains("`/nowhere/report.xml`: "), "{}", nowhere.2);
}

const POLICY: &str = "tests/policies/logs.yaml";

/// What `explain` says of the test policy.
fn explain(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    told(&claimgate(&[&["explain", "-c", POLICY][..], arguments].concat(), environment))
}

#[test]
fn explains_an_allowed_request() {
    let claims = r#"{"sub": "alice", "roles": ["sre"]}"#;
    let at = ["--at", "2026-11-25T12:00:00Z", "-H", "X-User-Id: mallory", "-H", "Host: logs.test"];
    let arguments = [&["--claims", claims, "/logs/prod/%61?b"][..], &at].concat();
    let (status, out, err) = explain(&arguments, &[]);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let want = r#"request: GET logs.test/logs/prod/%61?b
  host: logs.test
  path: "logs" / "prod" / "a"
routes of tests/policies/logs.yaml:
=> read-logs (routes[1]), /logs/{env}/**: takes the request
   delete-logs (routes[2]), /logs/{env}/**: loses: of the same path, and does not take the method
token: verified, of issuer corp
  found in header `authorization`, scheme `Bearer`
  says alg "HS256", typ "JWT", iss "https://idp.example.com", aud "logs-api", sub "alice"
  expires in 5m, issued 0s ago
  made up of `--claims`, with a key of its own
condition:
  holds     all
    holds     {"any_of":["log-reader","sre"],"claim":"roles"}, saw "sre"
    holds     {"absent":true,"equals":"acme","header":"x-tenant"}, saw nothing
decision: allowed
upstream:
  removed: x-user-id, authorization
  set: x-user-id: alice
  set: x-user-roles: sre
"#;
    assert_eq!(out, want);
}

#[test]
fn explains_refusals() {
    let deletes = r#"{"sub": "bob", "roles": []}"#;
    let cases: [(&[&str], &[&str]); 8] = [
        (
            &["-X", "DELETE", "--claims", deletes, "/logs/prod"],
            &[
                "  unknown   ref sre: any\n    fails     {\"any_of\":[\"sre\"],\"claim\":\"roles\"}, saw nothing\n",
                "decision: denied, claims_insufficient: condition of the route does not hold\nresponse: 403\n",
            ],
        ),
        (
            &["-X", "PUT", "/logs/prod"],
            &[
                "=> read-logs (routes[1]), /logs/{env}/**: owns the path, and does not take the method; no broader",
                "decision: denied, method_not_allowed",
                "response: 405\n",
                "  allow: DELETE, GET, HEAD\n",
            ],
        ),
        (
            &["/logs/prod"],
            &[
                "token: none in header `authorization`, scheme `Bearer`\n",
                "  not asked all\n",
                "decision: denied, token_missing: no token\nresponse: 401\n",
            ],
        ),
        (
            &["/logs/%2e%2e/x"],
            &[
                "  path: refused: path with a dot segment\n",
                "  none matches host and path\n",
                "decision: denied, path_ambiguous",
            ],
        ),
        (
            &["https://user:hunter2@h.test/logs/x"],
            &[
                "request: GET [user info]@h.test/logs/x\n  host: refused: host with user info\n",
                "decision: denied, host_ambiguous",
            ],
        ),
        (
            &["/internal/x"],
            &[
                "=> no-internal (routes[5]), /internal/**: denies: a deny route wins",
                "token: not looked for: the route denies everything\n",
            ],
        ),
        (
            &[
                "--claims",
                r#"{"exp": 1700000000, "iat": 1700000000}"#,
                "--at",
                "2023-11-14T23:13:20Z",
                "/logs/a",
            ],
            &[
                "token: not verified: token_expired: expired 3600 s ago, skew 30 s\n",
                "  expired 1h ago, issued 1h ago\n",
            ],
        ),
        (
            &["--client-address", "192.0.2.1", "/office"],
            &["  fails     {\"client_address\":[\"10.0.0.0/8\"]}, saw 192.0.2.1\n"],
        ),
    ];
    for (arguments, wants) in cases {
        let (status, out, err) = explain(arguments, &[]);
        assert_eq!((status, err.as_str()), (Some(3), ""), "{out}");
        for want in wants {
            assert!(out.contains(want), "{want}\n{out}");
        }
        assert!(!out.contains("hunter2"), "{out}");
    }
    assert_eq!(explain(&["--client-address", "10.1.1.1", "/office"], &[]).0, Some(0));
}

#[test]
fn explains_a_token_without_showing_it() {
    let token = token(r#""sub":"alice","roles":["log-reader"]"#);
    let header = format!("authorization: Bearer {token}");
    let signature = token.rsplit('.').next().unwrap();
    for arguments in [["-H", &header], ["--token", &token]] {
        let arguments = [&arguments[..], &["/logs/prod"]].concat();
        let (status, out, _) = explain(&arguments, &[SECRET]);
        assert_eq!(status, Some(0), "{out}");
        assert!(out.contains("token: verified, of issuer corp\n"), "{out}");
        let other = [(SECRET.0, "another secret than the one it was signed with")];
        let (status, out, _) = explain(&arguments, &other);
        assert_eq!(status, Some(3), "{out}");
        let want = "token: not verified: signature_invalid: signature does not verify
  found in header `authorization`, scheme `Bearer`
  claims to be of issuer corp
  says, which nothing proves, alg \"HS256\", iss \"https://idp.example.com\", aud \"logs-api\", sub \"alice\"\n";
        assert!(out.contains(want), "{out}");
        assert!(!out.contains("eyJ") && !out.contains(signature), "{out}");
        // Without the secret nobody can tell.
        let (status, out, err) = explain(&arguments, &[]);
        assert_eq!((status, out.as_str()), (Some(2), ""));
        assert!(err.contains("environment variable `CLAIMGATE_TEST_SECRET` is not set"), "{err}");
        assert!(!err.contains("eyJ"), "{err}");
    }
}

#[test]
fn explains_as_a_document() {
    let (status, out, _) =
        explain(&["--format", "json", "--claims", r#"{"scope": "other"}"#, "/report"], &[]);
    assert_eq!(status, Some(0));
    let document: Value = serde_json::from_str(&out).unwrap();
    let of = |pointer: &str| document.pointer(pointer).cloned().unwrap_or_default();
    let cases = [
        ("/decision", "shadow_denied"),
        ("/code", "scope_insufficient"),
        ("/mode", "shadow"),
        ("/route", "report"),
        ("/request/host/safe", "example.com"),
        ("/request/path/safe/0", "report"),
        ("/routes/0/why", "takes the request"),
        ("/token/state", "verified"),
        ("/condition/place", "routes[4].require"),
        ("/condition/truth", "fails"),
        ("/condition/seen/0", "\"other\""),
        ("/upstream/removed/0", "authorization"),
    ];
    for (pointer, want) in cases {
        assert_eq!(of(pointer), Value::from(want), "{pointer} {out}");
    }
    assert_eq!(of("/response"), Value::Null);
}

#[test]
fn what_cannot_be_explained_says_why() {
    let cases: [(&[&str], &str); 8] = [
        (&["logs"], "`logs` is no address"),
        (&["--at", "noon", "/"], "`--at noon`: write a time"),
        (&["--claims", "[]", "/"], "`--claims`: expected an object, found an array"),
        (&["--claims", r#"{"a":1,"a":2}"#, "/"], "`--claims`: "),
        (&["--claims", "@nowhere.json", "/"], "`nowhere.json`: "),
        (&["--claims", "{}", "--issuer", "x", "/"], "`--issuer`: no issuer `x`, there are: `corp`"),
        (&["-H", "no colon, but hunter2", "/"], "`--header`: found no colon"),
        (&["-H", ":path: /x", "/"], "`--header`: `` is no header name"),
    ];
    for (arguments, want) in cases {
        let (status, out, err) = explain(arguments, &[]);
        assert_eq!((status, out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(err.contains(want), "{err}");
        assert!(!err.contains("hunter2"), "{err}");
    }
}
