//! The tables of docs/conditions.md and docs/routes.md, held line by line: each row is decided by the
//! engine under the configuration that stands above its table.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claimgate::config;
use claimgate::request::{Header, Request, UnknownPeer};
use claimgate::time::Timestamp;
use claimgate::token::signature::Portable;
use serde_json::{Value, json};

const SECRET: &str = "the secret of these documents, 32 bytes or more";
const NOW: u64 = 1_800_000_000;

/// A row of a table: its line, the configuration above it, what the columns are called, and the
/// cells.
struct Row {
    line: usize,
    configuration: String,
    columns: Vec<String>,
    cells: Vec<String>,
}

/// The rows of those tables whose first column has one of these names.
fn rows(document: &str, first: &[&str]) -> Vec<Row> {
    let (mut rows, mut columns) = (Vec::new(), Vec::new());
    let (mut configuration, mut block) = (String::new(), None);
    for (index, line) in document.lines().enumerate() {
        match (&mut block, line) {
            (None, line) if line.starts_with("```") => {
                block = Some((line == "```yaml", String::new()));
            }
            (Some((yaml, text)), "```") => {
                // What shows a part only is no configuration.
                if *yaml && text.contains("routes:") {
                    configuration = std::mem::take(text);
                }
                block = None;
            }
            (Some((_, text)), line) => *text += &format!("{line}\n"),
            (None, line) if line.starts_with('|') => {
                let inside = line.trim_matches('|');
                let cells: Vec<String> =
                    inside.split('|').map(|cell| cell.trim().to_owned()).collect();
                if columns.is_empty() {
                    columns = cells;
                } else if !line.starts_with("| ---") && first.contains(&&*columns[0]) {
                    let (columns, configuration) = (columns.clone(), configuration.clone());
                    rows.push(Row { line: index + 1, configuration, columns, cells });
                }
            }
            (None, _) => columns.clear(),
        }
    }
    rows
}

/// The texts between backticks.
fn codes(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn load(configuration: Value) -> Result<config::Loaded, String> {
    let environment = |name: &str| Some(format!("{SECRET}, {name}"));
    config::load_value(configuration, "docs", &environment, &Portable)
        .map_err(|error| error.to_string())
}

fn token(claims: &Value) -> String {
    let mut payload = json!({"iss": "https://corp.test", "exp": NOW + 60, "sub": "alice"});
    for (name, value) in claims.as_object().unwrap() {
        payload[name] = value.clone();
    }
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let input =
        format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(payload.to_string().as_bytes()));
    let secret = format!("{SECRET}, CORP_SECRET");
    let tag = hmac_sha256::HMAC::mac(input.as_bytes(), secret.as_bytes());
    format!("{input}.{}", encode(&tag))
}

/// The bytes of a text; `\xff` is a byte that is no text.
fn bytes(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend(rest.bytes());
    }
    bytes
}

/// The route that takes a request, or the code of its refusal. A request is its line, `GET HOST/PATH`,
/// and its headers.
fn decide(loaded: &config::Loaded, request: &[&str], token: Option<&str>) -> String {
    let (method, target) = request[0].split_once(' ').unwrap();
    let (host, path) = target.split_at(target.find('/').unwrap_or(target.len()));
    let mut owned: Vec<(Vec<u8>, Vec<u8>)> = vec![
        (b":method".to_vec(), bytes(method)),
        (b":authority".to_vec(), bytes(host)),
        (b":path".to_vec(), bytes(path)),
    ];
    for header in &request[1..] {
        let (name, value) = header.split_once(": ").unwrap_or_else(|| panic!("header {header}"));
        owned.push((bytes(name), bytes(value)));
    }
    owned.extend(token.map(|t| (b"authorization".to_vec(), format!("Bearer {t}").into_bytes())));
    let headers: Vec<Header<'_>> = owned.iter().map(|(n, v)| (&n[..], &v[..])).collect();
    let request = Request::new(&headers, &UnknownPeer);
    let outcome = loaded.engine.decide(&request, Timestamp::from_secs(NOW));
    match (&outcome.refusal, outcome.route) {
        (Some(refusal), _) => refusal.code.name().to_owned(),
        (None, Some(route)) => loaded.engine.routes[route.0].name.to_string(),
        (None, None) => panic!("neither refused nor routed"),
    }
}

/// Whether the route of a configuration opens under a condition.
fn opens(row: &Row, require: Value) -> bool {
    let mut configuration = yaml(&row.configuration);
    configuration["routes"][0]["require"] = require;
    let loaded = load(configuration).unwrap_or_else(|error| panic!("line {}: {error}", row.line));
    let subject = codes(&row.cells[0]);
    let word = match (&*row.columns[0], subject.first()) {
        ("request", _) => decide(&loaded, &subject, None),
        ("claims", claims) => {
            let request = ["GET acme.app.test/logs/prod"];
            let claims = claims.map(|text| serde_json::from_str(text).unwrap());
            assert!(claims.is_some() || row.cells[0] == "no token", "line {}", row.line);
            decide(&loaded, &request, claims.as_ref().map(token).as_deref())
        }
        (other, _) => panic!("line {}: column `{other}`", row.line),
    };
    let refused = ["claims_insufficient", "scope_insufficient"].contains(&&*word);
    assert!(refused || word == "guarded", "line {}: {word}", row.line);
    !refused
}

#[test]
fn conditions_mean_what_the_document_says() {
    let document = include_str!("../docs/conditions.md");
    let rows = rows(document, &["claims", "request"]);
    let mut wrong = Vec::new();
    for row in &rows {
        assert_eq!(row.columns[1..], ["condition", "is", "under `not`"], "line {}", row.line);
        let [_, condition, is, negated] = &row.cells[..] else { panic!("line {}", row.line) };
        let condition = yaml(codes(condition)[0]);
        let got = match (opens(row, condition.clone()), opens(row, json!({"not": condition}))) {
            (true, false) => ["true", "false"],
            (false, true) => ["false", "true"],
            (false, false) => ["unknown", "unknown"],
            (true, true) => panic!("line {}: opens either way", row.line),
        };
        if [is.as_str(), negated] != got {
            wrong.push(format!("line {}: {:?} is {got:?}", row.line, row.cells));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let of = |column: &str| rows.iter().filter(|row| row.columns[0] == column).count();
    assert!(of("claims") >= 60 && of("request") >= 20, "{} {}", of("claims"), of("request"));
}

#[test]
fn requests_take_the_routes_that_the_document_says() {
    let rows = rows(include_str!("../docs/routes.md"), &["request"]);
    let mut wrong = Vec::new();
    for row in &rows {
        assert_eq!(row.columns[1..], ["route or code"], "line {}", row.line);
        let loaded = load(yaml(&row.configuration));
        let loaded = loaded.unwrap_or_else(|error| panic!("line {}: {error}", row.line));
        let got = decide(&loaded, &codes(&row.cells[0]), None);
        if codes(&row.cells[1]) != [&*got] {
            wrong.push(format!("line {}: {:?} is {got}", row.line, row.cells));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(rows.len() >= 50, "{} rows", rows.len());
}
