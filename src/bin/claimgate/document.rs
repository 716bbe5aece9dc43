//! Finds the filter's configuration in a file: by itself, or inside Envoy's and Istio's.

use crate::Failure;
use claimgate::config::Place;
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

/// What runs the filter, as far as a file shows it.
pub enum Runner<'d> {
    /// The file is the configuration.
    None,
    /// A `PluginConfig` of Envoy.
    Envoy(&'d Value),
    /// A manifest of Istio's, of kind WasmPlugin or TrafficExtension.
    Istio {
        /// What it is for: `selector`, `targetRefs`, `match`, `phase`.
        spec: &'d Value,
        /// What is loaded, and its place: of a TrafficExtension a part of `spec`, else all of it.
        wasm: &'d Value,
        inside: Place,
    },
    /// An element of `spec.wasm` in a manifest of kind EnvoyExtensionPolicy.
    EnvoyGateway(&'d Value),
}

/// The filter in a file: what runs it, and the configuration that it is given.
pub struct Plugin<'d> {
    pub runner: Runner<'d>,
    /// The place of the plugin.
    pub place: Place,
    /// The place of its configuration.
    pub inside: Place,
    /// The plugin's name.
    pub name: String,
    /// Its configuration, or why there is none.
    pub configuration: Result<Value, Failure>,
}

/// The documents of a file.
pub fn parse(text: &str) -> Result<Vec<Value>, Failure> {
    serde_saphyr::from_multiple(text).map_err(|error| {
        let error = error.to_string();
        // The rest shows what is around it, and what the library's options are.
        let said = error.lines().next().unwrap_or_default().trim_start_matches("error: ");
        format!("not YAML: {}", said.split(", set DuplicateKeyPolicy").next().unwrap_or_default())
    })
}

/// Every configuration of a file.
pub fn configurations(text: &str) -> Result<Vec<Found>, Failure> {
    let documents = parse(text)?;
    let found = plugins(&documents).into_iter().map(|plugin| {
        let Plugin { inside, name, configuration, .. } = plugin;
        let place = crate::check::written(&inside);
        let value = configuration.map_err(|why| format!("{place}: {why}"))?;
        Ok(Found { place, value, name })
    });
    let found: Vec<Found> = found.collect::<Result<_, Failure>>()?;
    if found.is_empty() { Err(NONE.to_owned()) } else { Ok(found) }
}

/// What is said of a file without the filter.
pub const NONE: &str = "no configuration of the filter in it: expected `routes`, a Wasm plugin with \
                        a `configuration`, or a WasmPlugin, TrafficExtension or EnvoyExtensionPolicy";

/// The filter wherever documents have it. Of several Wasm plugins those are the filter that name it, or whose
/// configuration looks like its own; where none does, all are.
pub fn plugins(documents: &[Value]) -> Vec<Plugin<'_>> {
    let mut found = Vec::new();
    for document in documents {
        if is_configuration(document) {
            let (place, inside) = Default::default();
            let (name, configuration) = (String::new(), Ok(document.clone()));
            found.push(Plugin { runner: Runner::None, place, inside, name, configuration });
        } else {
            walk(document, &Place::default(), &mut |value, place| {
                found.extend(envoy_plugin(value, place).or_else(|| istio_plugin(value, place)));
                found.extend(gateway_plugins(value, place));
            });
        }
    }
    if found.iter().any(Plugin::is_filter) {
        found.retain(Plugin::is_filter);
    }
    found
}

impl Plugin<'_> {
    fn is_filter(&self) -> bool {
        let named = |value: &Value, names: &[&[&str]]| {
            let mut names = names.iter().filter_map(|path| at(value, path).and_then(Value::as_str));
            names.any(|name| name.to_ascii_lowercase().contains("claimgate"))
        };
        let looks = self.configuration.as_ref().is_ok_and(is_configuration);
        looks
            || match self.runner {
                Runner::None => true,
                Runner::Envoy(plugin) => {
                    let file: &[&str] = &["vm_config", "code", "local", "filename"];
                    named(plugin, &[&["name"], &["root_id"], file])
                }
                Runner::Istio { wasm, .. } => named(wasm, &[&["pluginName"], &["url"]]),
                Runner::EnvoyGateway(wasm) => {
                    let urls: [&[&str]; 2] = [&["code", "image", "url"], &["code", "http", "url"]];
                    named(wasm, &[&["name"], &["rootID"]]) || named(wasm, &urls)
                }
            }
    }
}

fn is_configuration(value: &Value) -> bool {
    value.get("routes").is_some() || value.get("issuers").is_some()
}

fn envoy_plugin<'d>(value: &'d Value, place: &Place) -> Option<Plugin<'d>> {
    member(value, "vm_config")?;
    let name = value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let (inside, configuration) = (place.key("configuration"), message(value.get("configuration")));
    Some(Plugin { runner: Runner::Envoy(value), place: place.clone(), inside, name, configuration })
}

fn istio_plugin<'d>(value: &'d Value, place: &Place) -> Option<Plugin<'d>> {
    let spec = value.get("spec")?;
    let inside = place.key("spec");
    let (wasm, inside) = if is_kind(value, "WasmPlugin") {
        (spec, inside)
    } else if is_kind(value, "TrafficExtension") {
        (spec.get("wasm")?, inside.key("wasm"))
    } else {
        return None;
    };
    let name = wasm.get("pluginName").and_then(Value::as_str).unwrap_or_default().to_owned();
    let configuration = wasm.get("pluginConfig").cloned();
    let configuration = configuration.ok_or_else(|| "missing: the filter refuses to load".into());
    let config = inside.key("pluginConfig");
    let runner = Runner::Istio { spec, wasm, inside };
    Some(Plugin { runner, place: place.clone(), inside: config, name, configuration })
}

fn gateway_plugins<'d>(value: &'d Value, place: &Place) -> Vec<Plugin<'d>> {
    let spec = value.get("spec").filter(|_| is_kind(value, "EnvoyExtensionPolicy"));
    let all = spec.map(|spec| items(spec, "wasm")).unwrap_or_default().iter().enumerate();
    all.map(|(index, wasm)| {
        let place = place.key("spec").key("wasm").index(index);
        let name = wasm.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let configuration = wasm.get("config").cloned();
        let missing = || "missing: the filter refuses to load".to_owned();
        let configuration = configuration.ok_or_else(missing);
        let inside = place.key("config");
        Plugin { runner: Runner::EnvoyGateway(wasm), place, inside, name, configuration }
    })
    .collect()
}

/// Whether a manifest of Kubernetes is of this kind.
pub fn is_kind(manifest: &Value, kind: &str) -> bool {
    manifest.get("kind").and_then(Value::as_str) == Some(kind)
}

/// A member of a message of Envoy, whose JSON form takes `use_remote_address` and `useRemoteAddress`.
pub fn member<'d>(value: &'d Value, name: &str) -> Option<&'d Value> {
    value.get(name).or_else(|| {
        let mut words = name.split('_');
        let mut camel = words.next().unwrap_or_default().to_owned();
        for word in words {
            let (first, rest) = word.split_at_checked(1).unwrap_or_default();
            camel.extend([&first.to_ascii_uppercase(), rest]);
        }
        value.get(camel)
    })
}

/// A member of a member of a message.
pub fn at<'d>(value: &'d Value, path: &[&str]) -> Option<&'d Value> {
    path.iter().try_fold(value, |value, name| member(value, name))
}

/// The elements of a list that a message has, or none.
pub fn items<'d>(value: &'d Value, name: &str) -> &'d [Value] {
    member(value, name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Visits every object, the outer one first.
pub fn walk<'d>(value: &'d Value, place: &Place, visit: &mut dyn FnMut(&'d Value, &Place)) {
    match value {
        Value::Object(members) => {
            visit(value, place);
            for (name, value) in members {
                walk(value, &place.key(name), visit);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &place.index(index), visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What a configuration fetches: the place of each such object, and its JSON Pointer. Nothing else is a fetch, whatever its
/// members are called.
pub fn fetches(configuration: &Value) -> Vec<(Place, String)> {
    let mut found = Vec::new();
    let issuers = configuration.get("issuers").and_then(Value::as_object);
    for (name, issuer) in issuers.into_iter().flatten() {
        let place = Place::default().key("issuers").key(name);
        let pointer = format!("/issuers/{}", name.replace('~', "~0").replace('/', "~1"));
        for index in 0..items(issuer, "keys").len() {
            let place = place.key("keys").index(index).key("remote");
            found.push((place, format!("{pointer}/keys/{index}/remote")));
        }
        found.push((place.key("renew"), format!("{pointer}/renew")));
        let place = place.key("revocation").key("remote");
        found.push((place, format!("{pointer}/revocation/remote")));
    }
    found.retain(|(_, pointer)| configuration.pointer(pointer).is_some());
    found
}

/// The configuration in a `google.protobuf.Any`.
fn message(any: Option<&Value>) -> Result<Value, Failure> {
    let any = any.ok_or("missing: the filter refuses to load")?;
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
            (
                "kind: TrafficExtension\nspec: { wasm: { pluginName: i, pluginConfig: { a: 1 } } }\n".to_owned(),
                "spec.wasm.pluginConfig|i",
                r#"{"a":1}"#,
            ),
            (
                "kind: EnvoyExtensionPolicy\nspec: { wasm: [{ name: g, config: { a: 1 } }] }\n".to_owned(),
                "spec.wasm[0].config|g",
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
