//! The schemas that the Kubernetes API would hold a manifest against, out of the hosts' own CustomResourceDefinitions.
//!
//! Not checked: `x-kubernetes-validations` (CEL), which [`super::manifests`] holds by hand, rule by rule;
//! `x-kubernetes-list-map-keys` (names of variables are unique there by being a set); defaults; `metadata`. Istio's
//! ServiceEntry and DestinationRule, and the resources of Kubernetes itself, have no schema here.

use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// The definitions, by the kind that each defines.
const DEFINITIONS: [(&str, &str); 3] = [
    ("WasmPlugin", "istio-WasmPlugin.yaml"),
    ("TrafficExtension", "istio-TrafficExtension.yaml"),
    ("EnvoyExtensionPolicy", "envoy-gateway-envoyextensionpolicies.yaml"),
];

/// What the API would say of manifests of these kinds.
pub struct Schemas(Vec<(&'static str, String, jsonschema::Validator)>);

impl Schemas {
    /// The schemas, where they are here; tells that they are not, otherwise.
    pub fn find(what: &str) -> Option<Self> {
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors");
        let folder =
            std::env::var_os("CLAIMGATE_VECTORS").map_or_else(|| beside.into(), PathBuf::from);
        if !folder.is_dir() {
            use std::io::Write as _;
            let told = format!(
                "\nNOT RUN: {what} against the schemas of Istio and Envoy Gateway, which are not here; \
                 CLAIMGATE_VECTORS names their folder\n"
            );
            std::io::stderr().write_all(told.as_bytes()).unwrap();
            return None;
        }
        let read = |(kind, file): (&'static str, &str)| {
            let text = std::fs::read_to_string(folder.join("crds").join(file)).unwrap();
            // Some are templates of Helm's around a whole definition.
            let lines = text.lines().filter(|line| !line.starts_with("{{"));
            let text = lines.collect::<Vec<_>>().join("\n");
            let all: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
            let definition =
                all.into_iter().find(|one| one["spec"]["names"]["kind"] == kind).unwrap();
            let versions = definition["spec"]["versions"].as_array().unwrap();
            let [version] = versions.as_slice() else { panic!("{kind}: several versions") };
            let group = definition["spec"]["group"].as_str().unwrap();
            let api = format!("{group}/{}", version["name"].as_str().unwrap());
            let mut schema = version["schema"]["openAPIV3Schema"].clone();
            for (name, own) in
                [("apiVersion", "string"), ("kind", "string"), ("metadata", "object")]
            {
                schema["properties"][name] =
                    json!({"type": own, "x-kubernetes-preserve-unknown-fields": true});
            }
            close(&mut schema);
            (
                kind,
                api,
                jsonschema::options().with_draft(jsonschema::Draft::Draft4).build(&schema).unwrap(),
            )
        };
        Some(Self(DEFINITIONS.into_iter().map(read).collect()))
    }

    /// What the schema of its kind has against a manifest; none where there is no schema of that kind.
    pub fn errors(&self, manifest: &Value) -> Option<Vec<String>> {
        let (_, api, schema) = self.0.iter().find(|(kind, ..)| manifest["kind"] == *kind)?;
        assert_eq!(manifest["apiVersion"], **api);
        let errors = schema.iter_errors(manifest);
        Some(errors.map(|error| format!("{}: {error}", error.instance_path())).collect())
    }

    /// Holds a manifest against its kind's schema; false where there is none.
    pub fn hold(&self, manifest: &Value) -> bool {
        let Some(errors) = self.errors(manifest) else { return false };
        assert!(errors.is_empty(), "{errors:#?}\n{manifest:#}");
        true
    }
}

/// The API drops members that a schema does not name: here they are errors.
fn close(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    let keeps = members.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    let named = members.contains_key("properties");
    if named && !keeps && !members.contains_key("additionalProperties") {
        members.insert("additionalProperties".into(), Value::Bool(false));
    }
    // A word of OpenAPI's, which JSON Schema has none for.
    if members.get("nullable") == Some(&Value::Bool(true))
        && let Some(own) = members.get("type").cloned()
    {
        members.insert("type".into(), json!([own, "null"]));
    }
    for name in ["properties", "additionalProperties", "items"] {
        match members.get_mut(name) {
            Some(Value::Object(inner)) if name == "properties" => each(inner),
            Some(inner) => close(inner),
            None => {}
        }
    }
}

fn each(properties: &mut Map<String, Value>) {
    properties.values_mut().for_each(close);
}

#[test]
fn the_schemas_refuse_what_the_api_would() {
    let Some(schemas) = Schemas::find("what is to be refused") else { return };
    let plugin = |spec: Value| json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": {"name": "x"}, "spec": spec});
    let policy = |wasm: Value| json!({"apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "EnvoyExtensionPolicy", "spec": {"wasm": [wasm]}});
    let code = json!({"type": "Image", "image": {"url": "r/i"}});
    let cases = [
        (plugin(json!({"url": "oci://x", "pluginConfig": {"any": [{"thing": 1}]}})), true),
        (plugin(json!({"url": "oci://x", "priority": null})), true),
        (plugin(json!({"url": "oci://x", "priority": "1"})), false),
        (plugin(json!({})), false),
        (plugin(json!({"url": "oci://x", "failStrategy": "FAIL_CLOSED"})), false),
        (plugin(json!({"url": "oci://x", "sha256": "x"})), false),
        (plugin(json!({"url": "oci://x", "failPolicy": "FAIL_CLOSE"})), false),
        (plugin(json!({"url": "oci://x", "vmConfig": {"env": [{"valueFrom": "HOST"}]}})), false),
        (
            plugin(json!({"url": "oci://x", "vmConfig": {"env": [{"name": "A", "from": "HOST"}]}})),
            false,
        ),
        (policy(json!({"code": code, "config": {"any": 1}, "failOpen": false})), true),
        (policy(json!({"code": code, "rootId": "x"})), false),
        (policy(json!({"code": {"type": "File"}})), false),
    ];
    for (manifest, holds) in cases {
        let errors = schemas.errors(&manifest).unwrap();
        assert_eq!(errors.is_empty(), holds, "{errors:#?}\n{manifest:#}");
    }
}
