//! `test`: cases that hold, that fail, that cannot run.

use crate::command::{CASES, SECRET, cases, claimgate, folder, run, token, told};
use serde_json::Value;

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
           fails     {"claim":"roles","any_of":["sre"]}, saw "log-reader"
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

/// A configuration inside an envoy.yaml, of several issuers whose tokens are carried in all sorts of places and
/// whose keys are nowhere near.
const SEVERAL: &str = r#"
plugins:
  - name: other
    vm_config: {}
    configuration:
      "@type": type.googleapis.com/google.protobuf.Struct
      value: { routes: [] }
  - name: edge
    vm_config: {}
    configuration:
      "@type": type.googleapis.com/google.protobuf.Struct
      value:
        issuers:
          app:
            issuer: https://app.test
            any_audience: true
            keys: [{ remote: { cluster: app, url: "https://app.test/jwks" } }]
            token_from: [{ cookie: session, origins: ["https://app.test"] }]
          live:
            issuer: https://live.test
            any_audience: true
            keys: [{ remote: { cluster: live, url: "https://live.test/jwks" } }]
            token_from: [{ websocket_protocol: "bearer." }, { query: access_token }]
          strict:
            issuer: https://strict.test
            audiences: [a, b]
            keys: [{ remote: { cluster: strict, url: "https://strict.test/jwks" } }]
            algorithms: [RS256]
            token_from: [{ query: access_token }]
            type: at+jwt
            max_lifetime: 1m
            require_claims: [jti, /x/y]
        defaults: { issuers: [app, live, strict] }
        identity: { headers: { x-user-id: { attribute: subject }, x-issuer: { attribute: issuer } } }
        routes:
          - { name: all, paths: ["/**"], upgrade: [websocket] }
          - { name: soft, paths: [/soft], token: lenient }
"#;

#[test]
fn tokens_of_every_issuer_are_carried_where_it_has_them() {
    let text = r#"
configuration: envoy.yaml
at: plugins[1].configuration
now: 2026-11-25T12:00:00Z
issuer: app
cases:
  - name: a cookie
    request: { method: POST, path: /, headers: { cookie: [theme=dark, a=b], origin: "https://app.test" } }
    claims: { sub: alice }
    table:
      - { expect: { decision: allowed, headers: { x-issuer: app, cookie: "theme=dark; a=b" } } }
      - { request: { headers: { origin: "https://evil.test" } }, expect: origin_refused }
      - { request: { headers: { origin: null } }, expect: origin_refused }
  - name: a socket
    issuer: live
    request: { method: GET, path: /, headers: { upgrade: websocket, sec-websocket-protocol: [chat] } }
    claims: { sub: alice }
    expect: { decision: allowed, headers: { x-issuer: live, sec-websocket-protocol: chat } }
  - name: the query
    issuer: strict
    request: GET /?a=b
    claims: { sub: alice }
    table:
      - { expect: { decision: allowed, headers: { x-issuer: strict, ":path": "/?a=b" } } }
      - { claims: { exp: 1795608061 }, expect: token_lifetime_too_long }
      - { claims: { aud: c }, expect: audience_mismatch }
      - { claims: { nbf: 1795608060 }, expect: token_not_yet_valid }
      - { issuer: live, expect: { decision: allowed, headers: { x-issuer: live } } }
  - { name: keys that are not there, request: GET /, token: a.b.c, issuer: live, expect: token_malformed }
  - name: softly
    request: GET /soft
    claims: { exp: 1 }
    expect: { decision: allowed, code: token_expired, headers: { x-issuer: null } }
"#;
    let folder = folder("several", &[("envoy.yaml", SEVERAL), ("cases.yaml", text)]);
    let path = |name: &str| folder.join(name).display().to_string();
    let (status, out, err) = run(&["test", &path("cases.yaml")]);
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");

    let configuration = path("envoy.yaml");
    let explain = |more: &[&str]| run(&[&["explain", "-c", &configuration][..], more].concat());
    let (status, _, err) = explain(&["/"]);
    assert_eq!(status, Some(2));
    let want = "several configurations, say which one: `plugins[0].configuration`, `plugins[1].configuration`";
    assert!(err.contains(want), "{err}");
    let place = ["--place", "plugins[1].configuration"];
    let (status, _, err) = explain(&[&place[..], &["--claims", "{}", "/"]].concat());
    assert_eq!(status, Some(2));
    assert!(err.contains("several issuers: say whose token it is, one of `app`, `live`"), "{err}");
    // Whatever stands where a token belongs is no one's business.
    let (status, out, _) = explain(&[&place[..], &["/?access_token=hunter2&a=b"]].concat());
    assert_eq!(status, Some(3));
    assert!(out.starts_with("request: GET example.com/?a=b\n"), "{out}");
    assert!(out.contains("token: not verified: token_malformed"), "{out}");
    assert!(!out.contains("hunter2"), "{out}");
}

const LIMITED: &str = "
issuers:
  corp: { issuer: https://idp.example.com, audiences: [logs-api], keys: [{ remote: { cluster: idp, url: 'https://idp.example.com/jwks.json' } }] }
routes:
  - { name: logs, paths: [/logs/**] }
  - { name: open, paths: [/open], token: none }
  - { name: trial, paths: [/trial], mode: shadow }
limits:
  - { name: per-user, by: [subject], requests: 20, per: 1m, when: { method: true, equals: GET } }
  - { name: guesses, by: [client_address], count: refused, requests: 5, per: 1h }
  - { name: watched, by: [client_address, { claim: tenant }], requests: 1, per: 1h, mode: shadow, routes: [logs] }
";

/// A policy with limits, and these cases of it.
fn limited(name: &str, cases: &str) -> String {
    let text = format!("configuration: policy.yaml\ncases:\n{cases}");
    let folder = folder(name, &[("policy.yaml", LIMITED), ("cases.yaml", &text)]);
    folder.join("cases.yaml").display().to_string()
}

#[test]
fn a_case_may_ask_several_times_and_each_case_starts_anew() {
    let file = limited(
        "limited",
        "  - name: alice
    request: GET /logs/a
    claims: { sub: alice }
    table:
      - { times: 20, expect: allowed }
      - { times: 21, expect: { code: rate_limited, status: 429, response: { retry-after: '3' } } }
      - { expect: allowed, name: the first one again }
      - { times: 40, request: POST /logs/a, expect: allowed }
      - { times: 21, request: GET /trial, expect: shadow_denied }
  - { name: open, request: GET /open, times: 20, expect: allowed }
  - { name: too open, request: GET /open, times: 21, expect: rate_limited }
  - name: guesses
    request: { path: /logs/a, method: GET, client_address: 192.0.2.1 }
    token: x.y.z
    times: 5
    table:
      - { expect: token_malformed }
      - { times: 6, expect: rate_limited }
",
    );
    let (status, out, err) = run(&["test", &file]);
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
    let fails = limited(
        "limited-fails",
        "  - { name: a, request: GET /logs/a, claims: { sub: a }, times: 21, expect: allowed }\n",
    );
    let (status, out, _) = run(&["test", &fails]);
    assert_eq!(status, Some(1));
    let want = "       GET example.com/logs/a, 21 times, claims {\"sub\":\"a\"}
       decision: expected allowed, got denied
       route logs (routes[0]): denied, rate_limited: limit `per-user` has no room
";
    assert!(out.contains(want), "{out}");
    for times in ["0", "1000001", "1.5", "many"] {
        let case = format!("  - {{ name: a, request: GET /, times: {times}, expect: allowed }}\n");
        let (status, _, err) = run(&["test", &limited("limited-odd", &case)]);
        assert_eq!(status, Some(2));
        assert!(err.contains("cases[0].times: ") && err.contains("between 1 and 1000000"), "{err}");
    }
}

#[test]
fn explains_how_limits_stand() {
    let policy = limited("limited-explained", "");
    let policy = policy.replace("cases.yaml", "policy.yaml");
    let explain = |arguments: &[&str]| {
        run(&[&["explain", "-c", &policy, "--claims", r#"{"sub": "alice"}"#], arguments].concat())
    };
    let limits = |out: &str| {
        let lines = out.lines().skip_while(|line| *line != "limits:").skip(1);
        lines.take_while(|line| line.starts_with(' ')).map(str::trim).collect::<Vec<_>>().join("\n")
    };
    let guesses =
        "guesses (limits[1]), of refused tokens, by [\"client_address\"]: no refused token\n";
    let per_user = "per-user (limits[0]), by [\"subject\"]: ";
    let watched =
        "watched (limits[2]), in shadow mode, by [\"client_address\",{\"claim\":\"tenant\"}]: ";
    let (status, out, _) = explain(&["/logs/a"]);
    assert_eq!(status, Some(0));
    assert_eq!(
        limits(&out),
        format!(
            "{guesses}{per_user}room for 19 more (20 at once, one more each 3s)\n\
         {watched}room for 0 more, the next one in 1h (1 at once, one more each 1h)"
        )
    );
    let (status, out, _) = explain(&["--times", "21", "/logs/a"]);
    assert_eq!(status, Some(3));
    assert_eq!(
        limits(&out),
        format!(
            "{guesses}{per_user}over, the next one in 3s (20 at once, one more each 3s)\n\
         {watched}over, the next one in 1h (1 at once, one more each 1h)"
        )
    );
    assert!(
        out.contains("decision: denied, rate_limited: limit `per-user` has no room\n"),
        "{out}"
    );
    let (_, out, _) = explain(&["-X", "PUT", "/logs/a"]);
    assert!(limits(&out).contains(&format!("{per_user}not for this request: its `when`")), "{out}");
    let (_, out, _) = run(&["explain", "-c", &policy, "/logs/a"]);
    assert!(limits(&out).contains(&format!("{per_user}refused before it is counted")), "{out}");
    let (_, out, _) = run(&["explain", "-c", &policy, "--token", "x.y.z", "/logs/a"]);
    assert!(limits(&out).contains("of refused tokens, by [\"client_address\"]: counted"), "{out}");
    let (_, out, _) = explain(&["--times", "3", "--format", "json", "/logs/a"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    let own = &told["limits"][1];
    assert_eq!(
        (&own["name"], &own["left"], &own["stands"]),
        (&"per-user".into(), &17.into(), &"room".into())
    );
    assert_eq!(told["limits"][2]["stands"], "over");
}
