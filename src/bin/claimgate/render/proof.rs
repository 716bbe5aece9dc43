//! That a manifest says what its source says: it is read back, handed over as the host would, and compared.

use super::source::Source;
use crate::{Failure, document};
use claimgate::config::{Place, decode};
use claimgate::json;
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::Value;

/// How a host hands a configuration over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As a `google.protobuf.Struct`, or as JSON made of one: every number a double.
    Struct,
    /// As the JSON text that the Kubernetes API keeps: integers of 64 bits with a sign, other numbers doubles.
    Kept,
    /// As JSON text.
    Text,
}

/// Refuses what a host's numbers cannot hold.
pub fn fits(source: &Source, form: Form, host: &str) -> Result<(), Failure> {
    inexact(&source.value, &Place::default(), form).map_or(Ok(()), |place| {
        Err(source.refuse(
            &place,
            &format!(
                "{host} keeps numbers as doubles, in which this integer is another one: compare with a \
                 string, or deploy by `render envoy`, which hands over JSON text"
            ),
        ))
    })
}

/// The first number that a form does not hold.
pub fn inexact(value: &Value, place: &Place, form: Form) -> Option<Place> {
    match value {
        Value::Number(number) => {
            let integer = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
            let holds = match form {
                Form::Struct => integer.is_none_or(|integer| integer.unsigned_abs() < 1 << 53),
                Form::Kept => integer.is_none_or(|integer| i64::try_from(integer).is_ok()),
                Form::Text => true,
            };
            (!holds).then(|| place.clone())
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| inexact(item, &place.index(index), form)),
        Value::Object(members) => {
            members.iter().find_map(|(name, value)| inexact(value, &place.key(name), form))
        }
        Value::Null | Value::Bool(_) | Value::String(_) => None,
    }
}

/// Reads a manifest back, and compares with what was to be written.
pub fn hold(text: &str, want: &Value, form: Form) -> Result<(), Failure> {
    let broken =
        |why: String| format!("what was rendered does not say what its source says: {why}");
    let found = document::configurations(text).map_err(broken)?;
    let [found] = found.as_slice() else {
        return Err(broken(format!("configurations: {}", found.len())));
    };
    let bytes = match form {
        Form::Struct => message(&found.value).encode_to_vec(),
        Form::Kept | Form::Text => found.value.to_string().into_bytes(),
    };
    let handed = decode::decode(&bytes).map_err(|error| broken(error.to_string()))?;
    match difference(want, &handed, &Place::default()) {
        None => Ok(()),
        Some(place) => Err(broken(format!("{place} differs"))),
    }
}

/// The first place where two documents differ.
fn difference(a: &Value, b: &Value, place: &Place) -> Option<Place> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if json::same_number(a, b) => None,
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(index, (a, b))| difference(a, b, &place.index(index)))
        }
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            a.iter().find_map(|(name, a)| match b.get(name) {
                Some(b) => difference(a, b, &place.key(name)),
                None => Some(place.key(name)),
            })
        }
        (a, b) => (a != b).then(|| place.clone()),
    }
}

fn message(value: &Value) -> Struct {
    let members = value.as_object().into_iter().flatten();
    Struct { fields: members.map(|(name, value)| (name.clone(), part(value))).collect() }
}

fn part(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => {
            Kind::ListValue(ListValue { values: items.iter().map(part).collect() })
        }
        Value::Object(_) => Kind::StructValue(message(value)),
    };
    prost_types::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_difference_is_found() {
        let plugin = |config: &Value| {
            json!({"kind": "WasmPlugin", "spec": {"pluginConfig": config}}).to_string()
        };
        let config = json!({"routes": [{"name": "a", "n": 1.0, "m": 9_007_199_254_740_991_i64, "t": "1", "f": 0.1}]});
        let cases = [
            (config.clone(), None),
            (
                json!({"routes": [{"name": "a", "n": 1, "m": 9_007_199_254_740_991_i64, "t": "1", "f": 0.1}]}),
                None,
            ),
            (
                json!({"routes": [{"name": "a", "n": 1, "m": 9_007_199_254_740_991_i64, "t": 1, "f": 0.1}]}),
                Some("routes[0].t"),
            ),
            (
                json!({"routes": [{"name": "a", "n": 1, "m": 9_007_199_254_740_990_i64, "t": "1", "f": 0.1}]}),
                Some("routes[0].m"),
            ),
            (
                json!({"routes": [{"name": "a", "n": 1, "m": 9_007_199_254_740_991_i64, "t": "1"}]}),
                Some("routes[0]"),
            ),
            (
                json!({"routes": [{"name": "a", "n": 1, "x": 2, "t": "1", "f": 0.1}]}),
                Some("routes[0].m"),
            ),
            (
                json!({"routes": [{"name": "a", "n": 1, "m": 9_007_199_254_740_993_i64, "t": "1", "f": 0.1}]}),
                Some("2^53"),
            ),
        ];
        for (written, want) in cases {
            match (hold(&plugin(&written), &config, Form::Struct), want) {
                (Ok(()), None) => {}
                (Err(why), Some(want)) => assert!(why.contains(want), "{why}"),
                (held, want) => panic!("{written}: {held:?}, wanted {want:?}"),
            }
        }
        let numbers = json!({"a": [1, 9_007_199_254_740_992_i64, u64::MAX]});
        let first =
            |form| inexact(&numbers, &Place::default(), form).map(|place| place.to_string());
        assert_eq!(first(Form::Struct).as_deref(), Some("a[1]"));
        assert_eq!(first(Form::Kept).as_deref(), Some("a[2]"));
        assert_eq!(first(Form::Text), None);
    }
}
