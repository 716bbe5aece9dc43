//! Validates by JSON Schema 2020-12, as far as the schema goes: a keyword that is not known here fails the test, so that
//! none is passed over.

use regex_lite::Regex;
use serde_json::{Map, Value};

/// What is wrong with a value, each with its place.
pub fn errors(root: &Value, value: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    validate(root, root, value, "", &mut errors);
    errors
}

fn validate(root: &Value, schema: &Value, value: &Value, place: &str, errors: &mut Vec<String>) {
    let members = match schema {
        Value::Bool(true) => return,
        Value::Bool(false) => return errors.push(format!("{place}: nothing is accepted")),
        Value::Object(members) => members,
        other => panic!("no schema: {other}"),
    };
    for (keyword, of) in members {
        let list = || of.as_array().unwrap_or_else(|| panic!("{keyword}: {of}")).iter();
        let holds = match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => true,
            // Both are taken together below.
            "properties" | "patternProperties" | "additionalProperties" => true,
            "$ref" => {
                let name = of.as_str().unwrap().strip_prefix("#").unwrap();
                validate(root, root.pointer(name).unwrap(), value, place, errors);
                true
            }
            "type" if of.is_array() => list().any(|name| is(value, name)),
            "type" => is(value, of),
            "enum" => list().any(|word| word == value),
            "const" => of == value,
            "anyOf" => list().any(|choice| is_valid(root, choice, value)),
            "oneOf" => list().filter(|choice| is_valid(root, choice, value)).count() == 1,
            "minimum" => value.as_f64().is_none_or(|value| value >= of.as_f64().unwrap()),
            "exclusiveMinimum" => value.as_f64().is_none_or(|value| value > of.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|value| value <= of.as_f64().unwrap()),
            "maxProperties" => {
                value.as_object().is_none_or(|members| members.len() as u64 <= of.as_u64().unwrap())
            }
            "propertyNames" => {
                for name in value.as_object().into_iter().flatten().map(|(name, _)| name) {
                    let place = format!("{place}/{name}");
                    validate(root, of, &Value::from(name.as_str()), &place, errors);
                }
                true
            }
            "minItems" => {
                value.as_array().is_none_or(|items| items.len() as u64 >= of.as_u64().unwrap())
            }
            "pattern" => value.as_str().is_none_or(|text| matches(of.as_str().unwrap(), text)),
            "required" => list().all(|name| {
                value.as_object().is_none_or(|members| members.contains_key(name.as_str().unwrap()))
            }),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(root, of, item, &format!("{place}/{index}"), errors);
                }
                true
            }
            unknown => panic!("keyword `{unknown}` is not known"),
        };
        if !holds {
            errors.push(format!("{place}: not {keyword} {of}"));
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let place = format!("{place}/{name}");
        for schema in of_member(members, name) {
            validate(root, schema, value, &place, errors);
        }
    }
}

/// The schemas that a member must hold.
fn of_member<'s>(schema: &'s Map<String, Value>, name: &str) -> Vec<&'s Value> {
    let own = schema.get("properties").and_then(|properties| properties.get(name));
    let patterns = schema.get("patternProperties").and_then(Value::as_object);
    let by_pattern = patterns.into_iter().flatten().filter(|(pattern, _)| matches(pattern, name));
    let found: Vec<&Value> = own.into_iter().chain(by_pattern.map(|(_, schema)| schema)).collect();
    if found.is_empty() { schema.get("additionalProperties").into_iter().collect() } else { found }
}

fn is_valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let mut errors = Vec::new();
    validate(root, schema, value, "", &mut errors);
    errors.is_empty()
}

fn is(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "null" => value.is_null(),
        unknown => panic!("type `{unknown}` is not known"),
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).unwrap().is_match(text)
}
