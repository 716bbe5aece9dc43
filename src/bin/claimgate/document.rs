//! Finds the filter's configuration in a file: by itself, or inside Envoy's and Istio's.

use crate::Failure;
use claimgate::json;
use serde_json::Value;

/// A configuration and where it was found.
pub struct Found {
    /// The place inside the file; empty where it is the file.
    pub place: String,
    /// The configuration.
    pub value: Value,
    /// The plugin's name.
    pub name: String,
}

/// Every configuration of a file.
pub fn configurations(text: &str) -> Result<Vec<Found>, Failure> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)
        .map_err(|error| format!("not YAML: {}", first_line(&error.to_string())))?;
    let mut found = Vec::new();
    for document in &documents {
        if document.get("routes").is_some() || document.get("issuers").is_some() {
            let (place, name) = (String::new(), String::new());
            found.push(Found { place, value: document.clone(), name });
        } else {
            search(document, "", &mut found)?;
        }
    }
    if found.is_empty() {
        return Err(
            "no configuration of the filter in it: expected `routes`, a Wasm plugin with a \
                    `configuration`, or a WasmPlugin with a `pluginConfig`"
                .to_owned(),
        );
    }
    Ok(found)
}

/// Looks for Wasm plugins of Envoy, and for Istio's manifests.
fn search(value: &Value, place: &str, found: &mut Vec<Found>) -> Result<(), Failure> {
    match value {
        Value::Object(members) => {
            let text = |name| members.get(name).and_then(Value::as_str);
            let name = || text("name").unwrap_or_default().to_owned();
            if let (Some(configuration), true) =
                (members.get("configuration"), members.contains_key("vm_config"))
            {
                let place = format!("{place}.configuration");
                let value = message(configuration).map_err(|why| format!("{place}: {why}"))?;
                found.push(Found { place, value, name: name() });
                return Ok(());
            }
            if let (Some("WasmPlugin"), Some(spec)) = (text("kind"), members.get("spec")) {
                let value = spec.get("pluginConfig").cloned().unwrap_or_default();
                let name = spec.get("pluginName").and_then(Value::as_str).unwrap_or_default();
                let place = "spec.pluginConfig".to_owned();
                found.push(Found { place, value, name: name.to_owned() });
                return Ok(());
            }
            for (name, value) in members {
                let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                search(value, &place, found)?;
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                search(item, &format!("{place}[{index}]"), found)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

/// The configuration in a `google.protobuf.Any`.
fn message(any: &Value) -> Result<Value, Failure> {
    let value = any.get("value").cloned().unwrap_or_default();
    match any.get("@type").and_then(Value::as_str).and_then(|name| name.rsplit('/').next()) {
        Some("google.protobuf.Struct") => Ok(value),
        Some("google.protobuf.StringValue") => {
            let text = value.as_str().ok_or("`value` is not a string")?;
            json::parse(text.as_bytes()).map_err(|error| format!("not JSON: {error}"))
        }
        Some("google.protobuf.BytesValue") => {
            use base64::Engine as _;
            let text = value.as_str().ok_or("`value` is not base64")?;
            let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim());
            let bytes = bytes.map_err(|_| "`value` is not base64".to_owned())?;
            json::parse(&bytes).map_err(|error| format!("not JSON: {error}"))
        }
        _ => Err("expected `@type` of a google.protobuf.Struct, StringValue or BytesValue".into()),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_configurations() {
        let plugin = |configuration: &str| {
            format!(
                "resources:\n- typed_config:\n    config: {{ name: p, vm_config: {{}}, configuration: {configuration} }}\n"
            )
        };
        let cases = [
            ("routes: []\n".to_owned(), "|", r#"{"routes":[]}"#),
            (
                plugin("{ '@type': type.googleapis.com/google.protobuf.Struct, value: { a: 1 } }"),
                "resources[0].typed_config.config.configuration|p",
                r#"{"a":1}"#,
            ),
            (
                plugin("{ '@type': type.googleapis.com/google.protobuf.StringValue, value: '{\"a\": 1}' }"),
                "resources[0].typed_config.config.configuration|p",
                r#"{"a":1}"#,
            ),
            (
                plugin("{ '@type': type.googleapis.com/google.protobuf.BytesValue, value: eyJhIjogMX0= }"),
                "resources[0].typed_config.config.configuration|p",
                r#"{"a":1}"#,
            ),
            (
                "kind: Service\n---\nkind: WasmPlugin\nspec: { pluginName: i, pluginConfig: { a: 1 } }\n".to_owned(),
                "spec.pluginConfig|i",
                r#"{"a":1}"#,
            ),
        ];
        for (text, place, value) in cases {
            let found = configurations(&text).unwrap();
            let [found] = found.as_slice() else { panic!("{text}") };
            assert_eq!(format!("{}|{}", found.place, found.name), place);
            assert_eq!(found.value.to_string(), value);
        }
        for text in ["a: 1", "a: [", "static_resources: {}"] {
            assert!(configurations(text).is_err(), "{text}");
        }
    }
}
