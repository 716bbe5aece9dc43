//! Istio's manifests.

use super::harness::{Asked, decide, documents, import, load, own};
use super::{grid, istio, manifests};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Manifests of which the filter refuses more than a tenth of what the mesh lets through, and why.
const STRICT: [(&str, &str); 3] = [
    ("claims.yaml", "a host that is told by how it begins"),
    (
        "conditions.yaml.tmpl",
        "a header that is repeated; `cluster.local`, which may stand for any name",
    ),
    ("ingress-gateway.yaml.tmpl", "a denied host that is told by how it begins: all unnamed hosts"),
];

#[test]
fn nothing_is_laxer_than_the_mesh() {
    let mut report = Vec::new();
    for manifest in manifests::all() {
        let text = std::fs::read_to_string(&manifest.file).unwrap();
        let documents = documents(&text);
        let own = documents.iter().find(|one| one["kind"] == "AuthorizationPolicy");
        let namespace = own.and_then(|one| one["metadata"]["namespace"].as_str()).unwrap_or("ns-b");
        let options = ["--port", istio::PORT, "--namespace", namespace];
        let imported = import(&[&manifest.file], &options);
        let name = &manifest.name;
        let policies = documents.iter().any(|one| {
            matches!(one["kind"].as_str(), Some("AuthorizationPolicy" | "RequestAuthentication"))
        });
        if !policies {
            assert_eq!(imported.status, 2, "{name}: {}", imported.messages);
            assert!(imported.messages.starts_with("error: nothing to import"), "{name}");
            continue;
        }
        assert!(matches!(imported.status, 0 | 1), "{name}: {}", imported.messages);
        assert_eq!(
            imported.status == 0,
            !imported.messages.contains("left out: ") && !imported.messages.contains("stricter: "),
            "{name}: {}",
            imported.messages
        );
        let loaded = load(&imported.text);
        let (mut allowed, mut both) = (0, 0);
        let mut refused: BTreeMap<(&str, String), usize> = BTreeMap::new();
        for asked in grid::requests(&documents) {
            let mesh =
                istio::allows(&documents, &asked, false) && istio::allows(&documents, &asked, true);
            let filter = decide(&loaded, &asked);
            assert!(mesh || filter.is_err(), "{name} lets through {asked:?}\n{}", imported.text);
            // A final slash is one more spelling, which the documents say is refused.
            if asked.path.ends_with('/') {
                continue;
            }
            allowed += usize::from(mesh);
            both += usize::from(filter.is_ok());
            if let (true, Err(code)) = (mesh, filter) {
                *refused.entry((code, asked.path)).or_default() += 1;
            }
        }
        let mut most: Vec<_> = refused.into_iter().collect();
        most.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        most.truncate(4);
        report.push((name.clone(), allowed, both, most));
    }
    for (name, allowed, both, most) in &report {
        println!("{name}: {both} of {allowed} {most:?}");
    }
    for (name, allowed, both, most) in &report {
        let strict = both * 10 < allowed * 9;
        let expected = STRICT.iter().any(|(own, _)| own == name);
        assert_eq!(strict, expected, "{name}: {both} of {allowed} are let through, {most:?}");
    }
}

/// A case: path, method, claims, and whether the request is let through.
type Case = (&'static str, &'static str, Option<Value>, bool);

fn check(file: &std::path::Path, options: &[&str], cases: Vec<Case>) {
    let imported = import(&[file], options);
    let loaded = load(&imported.text);
    for (path, method, claims, want) in cases {
        let asked = Asked { method: method.into(), claims: claims.clone(), ..Asked::get(path) };
        let got = decide(&loaded, &asked);
        assert_eq!(got.is_ok(), want, "{method} {path} {claims:?}: {got:?}\n{}", imported.text);
    }
}

#[test]
fn claims_decide_as_istio_documents() {
    let token = |iss: &str, more: Value| {
        let mut claims = json!({"iss": iss, "sub": "sub-1"});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        Some(claims)
    };
    let one = |more: Value| token("test-issuer-1", more);
    check(
        &own("istio/claims.yaml"),
        &[],
        vec![
            ("/api/x", "GET", None, false),
            ("/api/x", "GET", one(json!({})), true),
            ("/api/x", "HEAD", one(json!({})), true),
            ("/api/x", "POST", one(json!({})), false),
            ("/api", "GET", one(json!({})), false),
            ("/api/x", "POST", one(json!({"groups": ["x", "group-2"]})), true),
            ("/api/x", "POST", one(json!({"groups": "rooty"})), true),
            ("/api/x", "POST", one(json!({"groups": ["group-2", "banned"]})), false),
            ("/api/admin", "POST", one(json!({"groups": "group-2"})), true),
            ("/api/admin", "POST", one(json!({"scope": "read write"})), false),
            ("/api/admin", "POST", one(json!({"scope": "read"})), true),
            ("/api/admin", "POST", token("test-issuer-2", json!({"aud": "api"})), true),
            ("/api/admin", "POST", token("test-issuer-2", json!({"aud": "other"})), false),
            ("/api/admin", "POST", token("test-issuer-3", json!({})), false),
            ("/api/admin/y", "POST", one(json!({})), true),
            ("/api/admin/y/z", "POST", one(json!({})), false),
            ("/deep/er/file.bak", "PUT", one(json!({})), true),
            ("/deep/er/file.bak2", "PUT", one(json!({})), false),
            ("/api/x/secret", "GET", one(json!({"groups": "group-2"})), false),
            ("/api/denied", "GET", one(json!({"groups": ["group-1"]})), false),
            ("/api/denied", "GET", one(json!({"groups": ["group-3"]})), true),
            ("/api/denied", "GET", one(json!({})), true),
            ("/public", "GET", None, true),
            ("/public", "PUT", None, false),
            ("/public/", "GET", None, false),
            ("/public", "GET", token("unknown", json!({})), false),
        ],
    );
}

#[test]
fn denials_decide_as_istio_documents() {
    check(
        &own("istio/deny-only.yaml"),
        &[],
        vec![
            ("/", "GET", None, true),
            ("/other/deep", "GET", None, true),
            ("/admin", "GET", None, false),
            ("/administrator", "GET", None, false),
            ("/admin/x/y", "GET", None, false),
            ("/admin/public", "GET", None, true),
            ("/admin/p/1/q", "GET", None, true),
            ("/admin/p/1/2/q", "GET", None, false),
            ("/a/b.bak", "GET", None, false),
            ("/a/b.bak", "POST", None, true),
            ("/z/a/hidden", "GET", None, false),
            ("/z/b/hidden", "GET", None, true),
            ("/x/1/2/y", "GET", None, false),
            ("/by-address", "GET", None, true),
        ],
    );
}
