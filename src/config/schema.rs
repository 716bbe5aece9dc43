//! The JSON Schema (2020-12) of the configuration, made from its mirror so that neither says what the other does not.
//! It knows shapes and words; what loading checks beyond them only loading tells.

use super::raw::{Config, IdentityHeader, Long};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// The members without which an object never loads.
const REQUIRED: [(&str, &[&str]); 8] = [
    ("Body", &["text"]),
    ("Cors", &["allow_origins"]),
    ("Integrity", &["sign"]),
    ("Issuer", &["issuer", "keys"]),
    ("Login", &["url"]),
    ("Remote", &["cluster", "url"]),
    ("RemoteRevocations", &["cluster", "url"]),
    ("Route", &["name", "paths"]),
];

/// The schema.
pub fn document() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = Value::from(generator.into_root_schema_for::<Config>());
    tidy(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), "Configuration of Claimgate".into());
        // A place for YAML anchors.
        root.insert("patternProperties".into(), json!({"^x-": true}));
        for (name, members) in REQUIRED {
            let of = root.get_mut("$defs").and_then(|defs| defs.get_mut(name));
            if let Some(of) = of.and_then(Value::as_object_mut) {
                of.insert("required".into(), members.into());
            }
        }
    }
    schema
}

/// Takes out what Rust's types say and the configuration does not: that a member may be null, and its width in bits.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(members) => {
            // A member of either name has a schema, which is an object with something in it.
            let is_schema = |value: &Value| value.as_object().is_some_and(|of| !of.is_empty());
            members.retain(|name, value| {
                !matches!(name.as_str(), "default" | "format") || is_schema(value)
            });
            without_null(members);
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn without_null(members: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            members.insert("type".into(), one);
        }
    }
    if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(one)] = choices.as_slice() {
            let one = one.clone();
            members.remove("anyOf");
            members.extend(one);
        }
    }
}

/// A duration as it is written.
pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" })
}

/// A time as it is written.
pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$" })
}

/// Times by a name.
pub(super) fn times(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": time(generator) })
}

/// A list of strings.
pub(super) fn strings(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string" } })
}

/// What an operand is.
pub(super) fn scalar(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "number", "boolean"] })
}

/// What several operands are.
pub(super) fn scalars(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": scalar(generator), "minItems": 1 })
}

/// What a bound is.
pub(super) fn number(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "number" })
}

/// Which decisions are recorded.
pub(super) fn share(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [
        { "enum": ["all", "none"] },
        { "type": "number", "exclusiveMinimum": 0, "maximum": 1 },
    ]})
}

/// A JWK Set (RFC 7517 section 5), whose keys are looked at one by one.
pub(super) fn key_set(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["keys"],
        "properties": { "keys": { "type": "array" } },
    })
}

impl JsonSchema for IdentityHeader {
    fn schema_name() -> Cow<'static, str> {
        "IdentityHeader".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<Long>();
        json_schema!({
            "description": "What an identity header is made of: the name of a claim, or an object.",
            "anyOf": [{ "type": "string" }, long],
        })
    }
}
