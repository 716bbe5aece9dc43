//! What is said of what is not carried over, and how the verb ends.

use super::harness::{import, own};
use std::path::PathBuf;

fn file(name: &str, text: &str) -> PathBuf {
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("messages-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file
}

fn policy(spec: &str) -> String {
    format!("kind: AuthorizationPolicy\nmetadata: {{ name: p, namespace: ns }}\nspec: {spec}\n")
}

#[test]
fn findings_name_file_document_and_place() {
    let cases = [
        (
            policy("{ rules: [{ to: [{ operation: { ports: ['80'] } }] }] }"),
            1,
            "left out: case.yaml: AuthorizationPolicy ns/p spec.rules[0].to[0].operation.ports: the port",
        ),
        (
            policy("{ action: DENY, rules: [{ when: [{ key: connection.sni, values: [a] }] }] }"),
            1,
            "left out: case.yaml: AuthorizationPolicy ns/p spec.rules[0].when[0]: `connection.sni`",
        ),
        (
            policy("{ action: CUSTOM, provider: { name: x }, rules: [{}] }"),
            1,
            "left out: case.yaml: AuthorizationPolicy ns/p spec.action: an external authorizer",
        ),
        (
            policy("{ rules: [{ to: [{ operation: { paths: ['*.txt'] } }] }] }"),
            1,
            "stricter: case.yaml: AuthorizationPolicy ns/p spec.rules[0].to[0].operation.paths: `*.txt`",
        ),
        (policy("{ action: AUDIT, rules: [{}] }"), 0, "note: case.yaml: AuthorizationPolicy ns/p spec.action: "),
        (policy("{ rules: [{ fresh: 1 }] }"), 1, "left out: case.yaml: AuthorizationPolicy ns/p spec.rules[0].fresh"),
        (policy("{ rules: [{ to: [{ operation: { paths: [/a] } }] }] }"), 0, ""),
        (
            "kind: RequestAuthentication\nspec: { jwtRules: [{ issuer: a, jwks: '{\"keys\": []}' }] }\n".to_owned(),
            1,
            "left out: case.yaml: RequestAuthentication spec.jwt_rules[0]: the issuer `a`: issuers.a.keys",
        ),
        ("a: 1\n".to_owned(), 2, "error: nothing to import"),
        ("a: [\n".to_owned(), 2, "error: `case.yaml`: not YAML"),
        (
            policy("{ selector: { matchLabels: { app: a } } }") + "---\n" + &policy("{ selector: { matchLabels: { app: b } } }"),
            2,
            "error: the manifests are for several workloads (app=a; app=b)",
        ),
        (
            policy("{}") + "---\nkind: AuthorizationPolicy\nmetadata: { name: q, namespace: ms }\nspec: {}\n",
            2,
            "error: the manifests are for several namespaces (ms, ns)",
        ),
    ];
    for (text, status, message) in cases {
        let imported = import(&[&file("case.yaml", &text)], &[]);
        assert_eq!(imported.status, status, "{text}\n{}", imported.messages);
        assert!(imported.messages.starts_with(message), "{text}\n{}", imported.messages);
        assert_eq!(imported.text.is_empty(), status == 2, "{text}");
    }
}

#[test]
fn options_choose_what_applies() {
    let two = policy(
        "{ selector: { matchLabels: { app: a } }, rules: [{ to: [{ operation: { paths: [/a] } }] }] }",
    ) + "---\n"
        + &policy(
            "{ selector: { matchLabels: { app: b } }, rules: [{ to: [{ operation: { ports: ['80'], paths: [/b] } }] }] }",
        );
    let file = file("two.yaml", &two);
    let cases: [(&[&str], i32, &str, &str); 3] = [
        (&["--workload", "app=a"], 0, "paths: [/a]", "/b"),
        (&["--workload", "app=b", "--port", "80"], 0, "paths: [/b]", "/a]"),
        (&["--workload", "app=b", "--port", "81"], 0, "routes: []", "paths"),
    ];
    for (options, status, has, has_not) in cases {
        let imported = import(&[&file], options);
        assert_eq!(imported.status, status, "{options:?}\n{}", imported.messages);
        let routes = imported.text.split_once("version: 1").unwrap().1;
        assert!(
            routes.contains(has) && !routes.split_once("path_safety").unwrap().0.contains(has_not),
            "{options:?}\n{routes}"
        );
    }
    // Everything would be open.
    let imported = import(&[&file], &["--workload", "app=c"]);
    assert_eq!(imported.status, 2);
    assert!(
        imported.messages.starts_with("error: no AuthorizationPolicy is for"),
        "{}",
        imported.messages
    );
}

#[test]
fn the_guide_shows_what_is_written() {
    let guide =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/migration.md")).unwrap();
    for (file, options) in [("guide/istio.yaml", &[][..]), ("guide/envoy.yaml", &[][..])] {
        let source = own(file);
        let imported = import(&[&source], options);
        assert_eq!(imported.status, 1, "{}", imported.messages);
        let body = imported.text.split_once("version: 1\n").unwrap().1;
        for shown in [std::fs::read_to_string(&source).unwrap().as_str(), body, &imported.messages]
        {
            assert!(guide.contains(shown.trim()), "{file}: docs/migration.md lacks\n{shown}");
        }
    }
}

/// Filters with one provider and whatever else.
fn filters(provider: &str, rest: &str) -> String {
    let kind = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";
    format!(
        "http_filters:\n- name: jwt\n  typed_config:\n    \"@type\": {kind}\n    providers:\n      p: {provider}\n    rules:\n    - match: {{ prefix: / }}\n      requires: {{ requires_any: {{ requirements: [{{ provider_name: p }}, {{ allow_missing: {{}} }}] }} }}\n{rest}"
    )
}

#[test]
fn what_envoy_says_elsewhere_is_closed() {
    let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    file("keys.json", key);
    let local = "{ issuer: a, local_jwks: { filename: keys.json } }";
    let route = "route_config:\n  virtual_hosts:\n  - domains: ['*']\n    routes:\n    - match: { prefix: /own }\n      typed_per_filter_config: { jwt: { '@type': x, disabled: true } }\n";
    let remote = "remote_jwks: { http_uri: { uri: 'https://a/k', cluster: c } }";
    let cases = [
        (filters(local, ""), 0, "", "x: \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"", "never"),
        (
            filters(local, route),
            1,
            "left out: case.yaml: route_config.virtual_hosts[0].routes[0]",
            "/own/**",
            "forward_token",
        ),
        (
            filters("{ issuer: a, local_jwks: { filename: none.json } }", ""),
            1,
            "left out: case.yaml: http_filters[0].typed_config.providers.p: `none.json`",
            "routes: []",
            "issuers",
        ),
        (
            filters(&format!("{{ {remote} }}"), ""),
            1,
            "left out: case.yaml: http_filters[0].typed_config.providers.p: without `issuer`",
            "routes: []",
            "issuers",
        ),
        (
            filters(&format!("{{ issuer: a, subjects: {{ exact: x }}, {remote} }}"), ""),
            1,
            "left out: case.yaml: http_filters[0].typed_config.providers.p: `subjects`",
            "routes: []",
            "issuers",
        ),
    ];
    for (text, status, message, has, has_not) in cases {
        let imported = import(&[&file("case.yaml", &text)], &[]);
        assert_eq!(imported.status, status, "{text}\n{}", imported.messages);
        assert!(imported.messages.starts_with(message), "{text}\n{}", imported.messages);
        assert!(
            imported.text.contains(has) && !imported.text.contains(has_not),
            "{text}\n{}",
            imported.text
        );
    }
}

#[test]
fn a_token_that_nobody_looks_at_any_more_is_refused() {
    let text = "kind: RequestAuthentication\nspec:\n  jwtRules:\n  - { issuer: a, jwksUri: 'https://a/k' }\n  - { issuer: b, jwks: '{}', fromParams: [t], fromHeaders: [{ name: X-B, prefix: '' }] }\n";
    let imported = import(&[&file("guard.yaml", text)], &[]);
    assert_eq!(imported.status, 1);
    for part in ["{ header: x-b, present: false }", "{ query: t, present: false }"] {
        assert!(imported.text.contains(part), "{}", imported.text);
    }
}
