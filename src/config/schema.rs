//! The JSON Schema (2020-12) of the configuration, made from its mirror so that neither says what the other does not.
//! It knows shapes and words; what loading checks beyond them only loading tells.

use super::raw::{By, ByWord, Config, IdentityHeader, Long, Tier};
use crate::response::Code;
use crate::token::signature::Algorithm;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// The members without which an object never loads.
const REQUIRED: [(&str, &[&str]); 13] = [
    ("Body", &["text"]),
    ("Client", &["id"]),
    ("Cors", &["allow_origins"]),
    ("Integrity", &["sign"]),
    ("Issuer", &["issuer", "keys"]),
    ("Limit", &["name", "by"]),
    ("Login", &["url"]),
    ("Remote", &["cluster", "url"]),
    ("RemoteRevocations", &["cluster", "url"]),
    ("Renew", &["cluster", "url", "client", "refresh_cookie"]),
    ("Route", &["name", "paths"]),
    ("Tier", &["claim"]),
    ("TierRate", &["requests", "per"]),
];

/// The objects that have exactly one of these members.
const ONE_OF: [(&str, &[&str]); 5] = [
    (
        "Condition",
        &[
            "all",
            "any",
            "not",
            "ref",
            "by_issuer",
            "scopes",
            "any_scope",
            "client_address",
            "claim",
            "attribute",
            "path",
            "host",
            "method",
            "header",
            "query",
            "cookie",
            "peer",
        ],
    ),
    ("KeySource", &["jwks", "pem", "secret", "remote"]),
    ("Long", &["claim", "attribute"]),
    ("Secret", &["env", "base64", "utf8"]),
    ("TokenFrom", &["header", "cookie", "query", "websocket_protocol"]),
];

/// The lists that do not load where they are empty.
const NOT_EMPTY: [(&str, &[&str]); 6] = [
    ("Condition", &["all", "any", "scopes", "any_scope", "client_address"]),
    ("Cors", &["allow_origins"]),
    ("Issuer", &["audiences", "keys", "algorithms", "token_from"]),
    ("KeySource", &["algorithms"]),
    ("Limit", &["by", "routes"]),
    ("Route", &["hosts", "paths", "methods", "issuers"]),
];

/// Where it is published.
const ID: &str =
    "https://raw.githubusercontent.com/claimgate/claimgate/main/docs/claimgate.schema.json";

/// The words and forms that a member is bound to, beyond its type: the object, the member, what is added to its schema.
fn forms() -> Vec<(&'static str, &'static str, Value)> {
    let name = "^[a-z0-9_-]+$";
    let algorithms: Vec<&str> = Algorithm::ALL.into_iter().map(Algorithm::name).collect();
    let algorithms = json!({"items": {"type": "string", "enum": algorithms}});
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    vec![
        ("Config", "version", json!({"const": 1})),
        ("Config", "name", json!({"pattern": name})),
        ("Config", "issuers", json!({"propertyNames": {"pattern": name}})),
        ("Config", "max_token_bytes", json!({"minimum": 1})),
        ("Issuer", "algorithms", algorithms.clone()),
        ("Issuer", "attributes", json!({"propertyNames": {"pattern": name}})),
        ("KeySource", "algorithms", algorithms),
        ("Remote", "url", json!({"pattern": "^https?://"})),
        ("RemoteRevocations", "url", json!({"pattern": "^https?://"})),
        ("Renew", "url", json!({"pattern": "^https?://"})),
        ("Config", "limit_identities", json!({"minimum": 8, "maximum": 4_194_304})),
        ("Limit", "name", json!({"pattern": name})),
        ("Limit", "requests", json!({"minimum": 1})),
        ("Limit", "burst", json!({"minimum": 1})),
        ("Route", "name", json!({"pattern": name})),
        ("TierRate", "requests", json!({"minimum": 1})),
        ("TierRate", "burst", json!({"minimum": 1})),
        ("Route", "methods", json!({"items": {"type": "string", "pattern": "^[A-Z-]+$"}})),
        ("Audit", "claims", json!({"maxProperties": 32})),
        ("Condition", "method", json!({"const": true})),
        ("Responses", "body", json!({"propertyNames": {"enum": codes}})),
    ]
}

/// The schema.
pub fn document() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = Value::from(generator.into_root_schema_for::<Config>());
    tidy(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.insert("$id".into(), ID.into());
        root.insert("title".into(), "Configuration of Claimgate".into());
        // A place for YAML anchors.
        root.insert("patternProperties".into(), json!({"^x-": true}));
    }
    for (name, members) in REQUIRED {
        if let Some(of) = object(&mut schema, name) {
            of.insert("required".into(), members.into());
        }
    }
    for (name, members) in ONE_OF {
        if let Some(of) = object(&mut schema, name) {
            let choices: Vec<Value> =
                members.iter().map(|member| json!({"required": [member]})).collect();
            of.insert("oneOf".into(), choices.into());
        }
    }
    let lists = NOT_EMPTY.iter().flat_map(|(name, members)| {
        members.iter().map(move |member| (*name, *member, json!({"minItems": 1})))
    });
    for (name, member, form) in lists.chain(forms()) {
        let of = object(&mut schema, name).and_then(|of| of.get_mut("properties")?.get_mut(member));
        if let (Some(Value::Object(of)), Value::Object(form)) = (of, form) {
            of.extend(form);
        }
    }
    schema
}

/// The schema of the object of this name.
fn object<'s>(schema: &'s mut Value, name: &str) -> Option<&'s mut Map<String, Value>> {
    let of = match name {
        "Config" => Some(schema),
        name => schema.get_mut("$defs").and_then(|defs| defs.get_mut(name)),
    };
    of.and_then(Value::as_object_mut)
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
            // A comment's lines are no lines of what it says.
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = text.replace('\n', " ");
            }
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

impl JsonSchema for By {
    fn schema_name() -> Cow<'static, str> {
        "By".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = generator.subschema_for::<ByWord>();
        let claim = generator.subschema_for::<Tier>();
        json_schema!({
            "description": "What is counted together: a word, or the value of a claim.",
            "anyOf": [word, claim],
        })
    }
}
