//! What `test` says beyond its cases: coverage, and what CI systems read.

use crate::command::{CASES, cases, folder, run};
use serde_json::Value;
use std::path::Path;

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
  routes[1].require.all[0] of read-logs: always holds: {{"claim":"roles","any_of":["log-reader","sre"]}}
  routes[1].require.all[1] of read-logs: always holds: {{"header":"x-tenant","equals":"acme","absent":true}}
  routes[2] delete-logs: never allowed
  conditions.sre.any[0] of delete-logs: never holds: {{"claim":"roles","any_of":["sre"]}}
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

/// Answers preflights, and tries a candidate.
const MODERN: &str = r#"
responses: { cors: { allow_origins: ["https://app.test"] } }
issuers:
  corp: { issuer: i, any_audience: true, keys: [{ secret: { env: CLAIMGATE_TEST_SECRET } }] }
routes:
  - { name: items, paths: [/items], methods: [GET, DELETE], require: { claim: admin, equals: true } }
candidate:
  routes:
    - { name: some, paths: [/items], methods: [GET], require: { claim: admin, present: true } }
"#;

#[test]
fn a_preflight_is_answered_and_covers_no_more_than_its_route() {
    let text = "configuration: policy.yaml
cases:
  - name: preflight
    request:
      method: OPTIONS
      path: /items
      headers: { origin: \"https://app.test\", access-control-request-method: DELETE }
    expect:
      decision: allowed
      route: items
      status: 204
      response: { access-control-allow-methods: DELETE, access-control-allow-origin: \"https://app.test\" }
";
    let folder = folder("modern", &[("policy.yaml", MODERN), ("cases.yaml", text)]);
    let path = |name: &str| folder.join(name).display().to_string();
    let (status, out, err) = run(&["test", "--coverage", &path("cases.yaml")]);
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
    let want = r#"0 % (0 of 4 points)
  routes[0] items: never allowed
  routes[0] items: never refused
  routes[0].require of items: never looked at: {"claim":"admin","equals":true}
"#;
    assert!(out.ends_with(want), "{out}");

    let claims = ["--claims", r#"{"admin": false}"#, "/items"];
    let policy = path("policy.yaml");
    let (status, out, _) = run(&[&["explain", "-c", &policy][..], &claims].concat());
    assert_eq!(status, Some(3));
    assert!(out.contains("  the candidate would decide allowed, by some\n"), "{out}");
    let (_, out, _) = run(&[&["explain", "-c", &policy, "-X", "PUT"][..], &claims].concat());
    assert!(!out.contains("candidate"), "{out}");
}
