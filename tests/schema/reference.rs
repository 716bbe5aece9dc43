//! The reference, `docs/configuration.md`: it is what the command line writes, it leaves nothing out, its examples load,
//! and the defaults that it tells are the defaults.

use crate::{root, validator};
use claimgate::config::raw::MEMBERS;
use claimgate::config::{load_value, schema};
use claimgate::response::Code;
use claimgate::token::signature::Portable;
use serde_json::{Value, json};

fn reference() -> String {
    std::fs::read_to_string(root().join("docs/configuration.md")).unwrap()
}

fn environment(name: &str) -> Option<String> {
    let key = r#"{"kty":"OKP","crv":"Ed25519","kid":"k","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    match name {
        "AUDIT_SIGN_KEY" => Some(key.to_owned()),
        "JWT_SECRET" | "AUDIT_HASH_KEY" => Some("A".repeat(44)),
        _ => None,
    }
}

/// All that a configuration comes to, as text.
fn loaded(configuration: &Value) -> Result<String, String> {
    let loaded = load_value(configuration.clone(), "edge", &environment, &Portable);
    loaded.map(|loaded| format!("{:?}", loaded.engine)).map_err(|error| error.to_string())
}

#[test]
fn the_committed_reference_is_the_printed_one() {
    let printed = std::process::Command::new(env!("CARGO_BIN_EXE_claimgate"))
        .args(["schema", "--markdown"])
        .output()
        .unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed == reference(), "run `claimgate schema --markdown > docs/configuration.md`");
}

#[test]
fn every_member_has_a_row() {
    let (reference, document) = (reference(), schema::document());
    let mut count = 0;
    for (object, members) in MEMBERS {
        let of = document["$defs"].get(object).unwrap_or(&document);
        let properties = of["properties"].as_object().unwrap();
        assert_eq!(properties.len(), members.len(), "{object}");
        // By its own description, so that the row is the one of this object.
        let described = of["description"].as_str().unwrap().split(". ").next().unwrap();
        let described = described.split(": see ").next().unwrap();
        let described = format!("\n\n{described}");
        let (_, section) =
            reference.split_once(&described).unwrap_or_else(|| panic!("{object}: {described}"));
        let section = section.split("\n## ").next().unwrap();
        for member in members.iter().map(|member| member.trim_start_matches("r#")) {
            assert!(properties.contains_key(member), "{object}.{member}");
            assert!(
                section.contains(&format!("\n| `{member}` | ")),
                "{object}.{member} has no row"
            );
            count += 1;
        }
    }
    assert!(count > 100, "only {count} members");
}

#[test]
fn every_example_loads_together_with_the_first() {
    let reference = reference();
    let sections: Vec<&str> = reference.split("\n## ").skip(1).collect();
    let mut base = None;
    for section in &sections {
        let name = section.lines().next().unwrap();
        let (_, block) =
            section.split_once("```yaml\n").unwrap_or_else(|| panic!("{name}: no example"));
        let block = block.split("\n```").next().unwrap();
        let mut example: Value = serde_saphyr::from_str(block).unwrap();
        if name == "Top level" {
            base = Some(example.clone());
        }
        // Each member of the first that an example does not have stands beside it.
        for (member, value) in base.iter().flat_map(|base| base.as_object().unwrap()) {
            let members = example.as_object_mut().unwrap();
            members.entry(member.clone()).or_insert_with(|| value.clone());
        }
        let errors = validator().errors(&example);
        assert!(errors.is_empty(), "{name}: {errors:#?}");
        if let Err(error) = loaded(&example) {
            panic!("{name}: {error}");
        }
    }
    assert!(sections.len() > 20, "only {} sections", sections.len());
}

#[test]
fn every_code_of_a_refusal_is_explained() {
    let text = std::fs::read_to_string(root().join("docs/refusals.md")).unwrap();
    for code in Code::ALL {
        let row = format!("\n| {} | {} | `{}` | ", code.status(), code.grpc_status(), code.name());
        assert!(text.contains(&row), "no row `{}`", row.trim());
    }
    assert_eq!(text.matches("\n| ").count(), Code::ALL.len() + 2, "rows of no code");
}

/// A configuration with every object in it that has a default, and the place of each.
fn full() -> (Value, Vec<(&'static str, &'static str)>) {
    let configuration = json!({
        "name": "edge",
        "issuers": {
            "corp": {
                "issuer": "corp", "audiences": ["a"],
                "keys": [{"remote": {"cluster": "c", "url": "https://idp.example.com/"}}],
                "revocation": {"remote": {"cluster": "c", "url": "https://idp.example.com/"}},
            },
            "shared": {"issuer": "shared", "audiences": ["a"], "keys": [{"secret": {"env": "JWT_SECRET"}}]},
        },
        "routes": [{"name": "r", "paths": ["/"], "issuers": ["corp"]}],
        "identity": {"headers": {"x-a": {"claim": "a"}}},
        "audit": {
            "hash_key": {"env": "AUDIT_HASH_KEY"}, "max_per_second": {},
            "claims": {"email": "hash"}, "integrity": {"sign": {"env": "AUDIT_SIGN_KEY"}},
        },
        "limits": [{"name": "l", "by": ["subject"], "requests": 5, "per": "1m"}],
        "path_safety": {},
        "responses": {
            "cors": {"allow_origins": ["https://app.example.com"]},
            "body": {"no_route": {"text": "no"}},
        },
    });
    let places = vec![
        ("Config", ""),
        ("Issuer", "/issuers/corp"),
        ("Remote", "/issuers/corp/keys/0/remote"),
        ("RemoteRevocations", "/issuers/corp/revocation/remote"),
        ("Secret", "/issuers/shared/keys/0/secret"),
        ("Route", "/routes/0"),
        ("Long", "/identity/headers/x-a"),
        ("Audit", "/audit"),
        ("Caps", "/audit/max_per_second"),
        ("Integrity", "/audit/integrity"),
        ("Limit", "/limits/0"),
        ("PathSafety", "/path_safety"),
        ("Responses", "/responses"),
        ("Cors", "/responses/cors"),
        ("Body", "/responses/body/no_route"),
    ];
    (configuration, places)
}

/// The value that a description gives as the default, where it is one and no sentence.
fn default(description: &str) -> Option<Value> {
    let (_, said) = description.split_once("Default: `")?;
    let (value, rest) = said.split_once('`')?;
    if !rest.starts_with(['.', ',']) {
        return None;
    }
    serde_saphyr::from_str(value).ok().or_else(|| Some(value.into()))
}

#[test]
fn the_defaults_are_as_told() {
    let (plain, places) = full();
    let unset = loaded(&plain).unwrap();
    let document = schema::document();
    let mut seen = Vec::new();
    for (object, members) in MEMBERS {
        let of = document["$defs"].get(object).unwrap_or(&document);
        for member in members.iter().map(|member| member.trim_start_matches("r#")) {
            let Some(value) = default(of["properties"][member]["description"].as_str().unwrap())
            else {
                continue;
            };
            let place = places.iter().find(|(name, _)| name == object);
            let (_, place) =
                place.unwrap_or_else(|| panic!("{object}.{member} has a default and no place"));
            let mut configuration = plain.clone();
            configuration.pointer_mut(place).unwrap()[member] = value.clone();
            assert_eq!(
                loaded(&configuration).as_ref(),
                Ok(&unset),
                "{object}.{member} is not {value} by default"
            );
            seen.push(format!("{object}.{member}"));
        }
    }
    assert!(seen.len() > 30, "{seen:?}");
}

/// What the comparison of defaults stands on: another value shows.
#[test]
fn what_is_loaded_tells_settings_apart() {
    let (plain, _) = full();
    let unset = loaded(&plain).unwrap();
    let cases = [
        ("/max_token_bytes", json!(16_385)),
        ("/mode", json!("shadow")),
        ("/issuers/corp/clock_skew", json!("31s")),
        ("/issuers/corp/forward_token", json!(true)),
        ("/issuers/corp/token_from", json!([{"header": "authorization"}])),
        ("/issuers/corp/keys/0/remote/refresh", json!("6m")),
        ("/issuers/corp/keys/0/remote/timeout", json!("3s")),
        ("/issuers/corp/keys/0/remote/max_stale", json!("25h")),
        ("/identity/headers/x-a/format", json!("csv")),
        ("/audit/level", json!("info")),
        ("/audit/allowed", json!("none")),
        ("/audit/subject", json!("mask")),
        ("/audit/path", json!("route")),
        ("/audit/query", json!("names")),
        ("/audit/open_after", json!("11s")),
        ("/audit/max_per_second/denied", json!(1001)),
        ("/audit/integrity/checkpoint", json!("11s")),
        ("/limits/0/burst", json!(6)),
        ("/limits/0/by", json!(["token"])),
        ("/limits/0/mode", json!("shadow")),
        ("/limit_identities", json!(131_072)),
        ("/responses/ratelimit_headers", json!(true)),
        ("/path_safety/final_slash", json!("refuse")),
        ("/path_safety/case", json!("insensitive")),
        ("/responses/cors/allow_credentials", json!(true)),
        ("/responses/body/no_route/content_type", json!("text/html")),
    ];
    for (place, value) in cases {
        let (parent, name) = place.rsplit_once('/').unwrap();
        let mut configuration = plain.clone();
        configuration.pointer_mut(parent).unwrap()[name] = value;
        assert_ne!(loaded(&configuration).unwrap(), unset, "{place}");
    }
}
