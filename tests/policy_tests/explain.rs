//! `explain`: what it says, and what it keeps to itself.

use crate::command::{SECRET, claimgate, token, told};
use serde_json::Value;

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
    holds     {"claim":"roles","any_of":["log-reader","sre"]}, saw "sre"
    holds     {"header":"x-tenant","equals":"acme","absent":true}, saw nothing
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
                "  unknown   ref sre: any\n    fails     {\"claim\":\"roles\",\"any_of\":[\"sre\"]}, saw nothing\n",
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
