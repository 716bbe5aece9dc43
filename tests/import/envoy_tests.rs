//! Envoy's filters.

use super::harness::{Asked, decide, documents, import, load, own};
use super::{envoy, grid};
use serde_json::{Value, json};

#[test]
fn nothing_is_laxer_than_envoy() {
    let mut report = Vec::new();
    for name in ["first-match.yaml", "denials.yaml"] {
        let file = own("envoy").join(name);
        let documents = documents(&std::fs::read_to_string(&file).unwrap());
        let imported = import(&[&file], &[]);
        assert!(matches!(imported.status, 0 | 1), "{name}: {}", imported.messages);
        let loaded = load(&imported.text);
        let (mut allowed, mut both) = (0, 0);
        let mut refused = std::collections::BTreeMap::new();
        for asked in grid::requests(&documents) {
            let chain = envoy::allows(&documents[0], &asked, false)
                && envoy::allows(&documents[0], &asked, true);
            let filter = decide(&loaded, &asked);
            assert!(chain || filter.is_err(), "{name} lets through {asked:?}\n{}", imported.text);
            if asked.path.ends_with('/') {
                continue;
            }
            allowed += usize::from(chain);
            both += usize::from(filter.is_ok());
            if let (true, Err(code)) = (chain, filter) {
                *refused.entry((code, asked.path)).or_insert(0) += 1;
            }
        }
        let mut most: Vec<_> = refused.into_iter().collect();
        most.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        most.truncate(6);
        println!("{name}: {both} of {allowed} {most:?}");
        report.push((name, allowed, both));
    }
    for (name, allowed, both) in report {
        assert!(both * 10 >= allowed * 7, "{name}: {both} of {allowed}");
    }
}

#[test]
fn the_chain_decides_as_envoy_documents() {
    let token = |iss: &str, more: Value| {
        let mut claims = json!({"iss": iss, "sub": "sub-1", "aud": "api"});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        Some(claims)
    };
    let corp = |more: Value| token("https://corp.example.com", more);
    let partner = |more: Value| token("https://partner.example.com", more);
    let cases: [(&str, &str, Option<Value>, bool); 24] = [
        ("/healthz", "GET", None, true),
        ("/healthz", "GET", token("unknown", json!({})), true),
        ("/healthz/x", "GET", None, false),
        ("/login", "POST", None, true),
        ("/login", "POST", token("unknown", json!({})), true),
        ("/login", "POST", corp(json!({})), true),
        ("/login?next=1", "POST", None, true),
        ("/maybe", "GET", None, true),
        ("/maybe", "GET", corp(json!({})), true),
        ("/maybe", "GET", token("unknown", json!({})), false),
        ("/maybe", "GET", partner(json!({})), false),
        ("/maybe/x", "GET", None, true),
        ("/x", "GET", None, false),
        ("/x", "GET", corp(json!({"groups": ["group-2"]})), true),
        ("/x", "GET", corp(json!({"groups": "group-2"})), false),
        ("/x", "POST", corp(json!({"groups": ["group-2"]})), false),
        ("/x", "POST", corp(json!({"admin": true})), true),
        ("/x", "POST", corp(json!({"admin": true, "aud": "other"})), false),
        ("/admin/x", "GET", corp(json!({"groups": ["group-2"]})), false),
        ("/partner/x", "GET", partner(json!({"admin": true})), true),
        ("/partner/x", "GET", corp(json!({"admin": true})), true),
        ("/partner/x", "GET", corp(json!({"admin": true, "aud": "foo"})), false),
        ("/v1/items/7", "PUT", corp(json!({})), true),
        ("/v2/items/7", "PUT", corp(json!({})), false),
    ];
    let file = own("envoy/first-match.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let imported = import(&[&file], &[]);
    let loaded = load(&imported.text);
    for (path, method, claims, want) in cases {
        let asked = Asked { method: method.into(), claims: claims.clone(), ..Asked::get(path) };
        assert_eq!(
            envoy::allows(&documents(&text)[0], &asked, false),
            want,
            "the table: {method} {path} {claims:?}"
        );
        let got = decide(&loaded, &asked);
        assert_eq!(got.is_ok(), want, "{method} {path} {claims:?}: {got:?}\n{}", imported.text);
    }
}
