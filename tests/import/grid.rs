//! Requests that reach every part of a source, by the words that it has.

use super::harness::{Asked, sign};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Every string of a document.
fn strings(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => _ = found.insert(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(members) => {
            for (name, value) in members {
                found.insert(name.clone());
                strings(value, found);
            }
        }
        _ => {}
    }
}

/// The most requests of one grid.
const MOST: usize = 40_000;

/// The grid of a source: all of it, or evenly spread parts of a large one.
pub fn requests(documents: &[Value]) -> Vec<Asked> {
    let grid = all(documents);
    // Prime, so that no dimension keeps pace with it.
    let primes = [1, 2, 3, 5, 7, 11, 13, 17, 23, 31, 41, 53, 71, 97, 131, 173, 233];
    let step = primes.into_iter().find(|step| grid.len() / step <= MOST).unwrap();
    grid.into_iter().step_by(step).collect()
}

fn all(documents: &[Value]) -> Vec<Asked> {
    let mut words = BTreeSet::new();
    documents.iter().for_each(|document| strings(document, &mut words));
    let has = |part: &str| words.iter().any(|word| word.contains(part));
    let mut paths: BTreeSet<String> =
        ["/", "/other", "/other/", "/other/deep/er", "/a?x=1", "/a/b/c/d/e/f/g/h"]
            .map(str::to_owned)
            .into();
    let is_path = |word: &&String| {
        let word = word.trim_start_matches('^');
        (word.starts_with('/') || word.starts_with('*'))
            && !word.contains("//")
            && !word.contains(' ')
    };
    for word in words.iter().filter(is_path) {
        let plain = word.trim_start_matches('^').trim_end_matches('$').replace("\\.", ".");
        for (deep, one) in [("x", "y"), ("x/y", "z"), ("x/y/z/", "w.v"), ("", "")] {
            let path = plain
                .replace("{**}", deep)
                .replace("{*}", one)
                .replace("[^/]+", one)
                .replace("[0-9]+", "7")
                .replace("(/.*)?", "")
                .replace(".*", deep)
                .replace('*', deep);
            let path = if path.starts_with('/') { path } else { format!("/{path}") };
            if word.starts_with('*') {
                paths.insert(format!("/pre{path}"));
            }
            for tail in ["", "/", "x", "/x", "/x/y/"] {
                paths.insert(format!("{path}{tail}"));
            }
        }
    }
    paths.retain(|path| {
        !path.contains("//") && !path.contains(['(', '[', '{', '|', '\\', '@', ':'])
    });
    let mut hosts: BTreeSet<String> = ["app.test".to_owned()].into();
    for word in words
        .iter()
        .filter(|word| word.ends_with(".com") || word.contains(".com.") || word.ends_with(".*"))
    {
        if word.contains(['/', ':', '@', '[']) || word.starts_with("type.") {
            continue;
        }
        hosts.insert(word.replace('*', "x"));
        hosts.insert(word.replace('*', "x.y"));
        hosts.insert(format!("x{}", word.replace('*', "x")));
    }
    let methods: Vec<&str> =
        if has("ethod") { vec!["GET", "POST", "PUT", "HEAD"] } else { vec!["GET"] };
    let mut headers: Vec<Vec<(&str, &str)>> = vec![vec![]];
    let header = words.iter().find_map(|word| {
        let name = word.strip_prefix("request.headers[").and_then(|name| name.strip_suffix(']'));
        name.or_else(|| word.starts_with("x-").then_some(word.as_str()))
    });
    if let Some(name) = header {
        headers.push(vec![(name, "foo")]);
        headers.push(vec![(name, "bar")]);
        headers.push(vec![(name, "foo"), (name, "foo")]);
        headers.push(vec![(name, "bar"), (name, "foo")]);
        headers.push(vec![(name, "")]);
    }
    let mut peers: Vec<Option<&str>> = vec![None];
    if has("rincipal") || has("amespace") || has("rust") || has("ccount") || has("spiffe") {
        for word in ["ns-a/sa/a", "ns-b/sa/b", "ns-c/sa/c", "ns-c/sa/cx"] {
            peers.push(Some(match word {
                "ns-a/sa/a" => "spiffe://cluster.local/ns/ns-a/sa/a",
                "ns-b/sa/b" => "spiffe://bad.example.com/ns/ns-b/sa/b",
                "ns-c/sa/c" => "spiffe://cluster.local/ns/ns-c/sa/c",
                _ => "spiffe://other.local/ns/ns-c/sa/c",
            }));
        }
    }
    let mut addresses: Vec<[u8; 4]> = vec![[10, 9, 9, 9]];
    if has("emoteIp") || has("remote.ip") || has("remote_ip") {
        addresses.extend([
            [172, 17, 72, 46],
            [192, 168, 5, 1],
            [172, 23, 241, 1],
            [10, 124, 99, 4],
        ]);
    }
    let mut places = vec![None];
    if has("fromHeaders") {
        places.push(Some(("x-jwt-token".to_owned(), "Value ".to_owned())));
        places.push(Some(("x-jwt-token".to_owned(), "Bearer ".to_owned())));
    }
    let tokens: Vec<(Option<Value>, Option<Rc<str>>)> = tokens(&words)
        .into_iter()
        .map(|claims| {
            let token = claims.as_ref().map(|claims| sign(claims).into());
            (claims, token)
        })
        .collect();
    let mut grid = Vec::new();
    for path in &paths {
        for host in &hosts {
            for method in &methods {
                for headers in &headers {
                    for peer in &peers {
                        for address in &addresses {
                            for (claims, token) in &tokens {
                                grid.push(Asked {
                                    method: (*method).to_owned(),
                                    host: host.clone(),
                                    path: path.clone(),
                                    headers: headers
                                        .iter()
                                        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                                        .collect(),
                                    claims: claims.clone(),
                                    token: token.clone(),
                                    carried: None,
                                    peer: peer.map(str::to_owned),
                                    address: (*address).into(),
                                });
                            }
                        }
                    }
                }
            }
        }
    }
    let with = |place: &Option<(String, String)>| {
        let carried = place.clone();
        grid.iter()
            .cloned()
            .map(move |asked| Asked { carried: carried.clone(), ..asked })
            .collect::<Vec<_>>()
    };
    places.iter().flat_map(with).collect()
}

/// Tokens of the issuers that a source names, and of one that it does not.
fn tokens(words: &BTreeSet<String>) -> Vec<Option<Value>> {
    let mut tokens = vec![None];
    let mut issuers: Vec<&str> = words
        .iter()
        .filter(|word| word.starts_with("test-issuer-") && !word.contains('/'))
        .map(String::as_str)
        .collect();
    issuers.extend(
        words
            .iter()
            .filter(|word| word.ends_with(".example.com") && word.starts_with("https://"))
            .map(String::as_str),
    );
    if issuers.is_empty() {
        return tokens;
    }
    tokens.push(Some(json!({"iss": "https://unknown.test", "sub": "sub-1"})));
    for iss in issuers {
        let claims = [
            json!({"sub": "sub-1"}),
            json!({"sub": "sub-2", "aud": "foo", "azp": "bar"}),
            json!({"sub": "sub-1", "aud": ["bar", "api"], "groups": ["group-1", "group-2"]}),
            json!({"sub": "sub-3", "groups": "group-2", "scope": "read write", "permission": ["append"]}),
            json!({"sub": "sub-3", "aud": "api", "scope": ["admin"], "custom_scope": "user admin", "admin": true}),
            json!({"sub": "sub-3", "groups": [null, "group-2"], "azp": ["bar"], "admin": "true", "level": 5}),
            json!({"sub": "", "groups": {"0": "group-2"}, "nested": {"key1": ["valueA", "valueB"],
                   "key2": "valueC", "nested-2": {"key1": ["valueA"]}}}),
            json!({"aud": "foo", "groups": [], "scope": "write", "level": "5", "admin": false}),
        ];
        for mut claims in claims {
            claims["iss"] = json!(iss);
            tokens.push(Some(claims));
        }
    }
    tokens
}
