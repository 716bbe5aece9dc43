//! Bytes to a JSON value, and that to the mirror.

use super::error::{ConfigError, Place};
use super::raw;
use crate::json;
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::{Map, Number, Value};
use serde_path_to_error::Segment;

/// Decodes what Envoy hands over: the text of a `StringValue` or `BytesValue`, or the serialised
/// message of a `Struct`, which it does not turn into JSON.
///
/// # Errors
/// Where it is neither.
pub fn decode(bytes: &[u8]) -> Result<Value, ConfigError> {
    let place = Place::default();
    let text = bytes.trim_ascii_start();
    if text.is_empty() {
        return Err(place.error("empty: give the plugin a `configuration`"));
    }
    match json::parse(bytes) {
        Ok(value) => Ok(value),
        // The first byte of a Struct with members is white space to JSON, so that only trying tells.
        Err(error) => match Struct::decode(bytes) {
            Ok(message) if !text.starts_with(b"{") || !message.fields.is_empty() => {
                structure(message, &place)
            }
            _ => Err(place.error(format!("not JSON: {error}"))),
        },
    }
}

fn structure(message: Struct, place: &Place) -> Result<Value, ConfigError> {
    let mut members = Map::new();
    for (name, value) in message.fields {
        let value = plain(value.kind, &place.key(&name))?;
        members.insert(name, value);
    }
    Ok(Value::Object(members))
}

fn plain(kind: Option<Kind>, place: &Place) -> Result<Value, ConfigError> {
    Ok(match kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::NumberValue(number)) => Value::Number(double(number, place)?),
        Some(Kind::StructValue(message)) => structure(message, place)?,
        Some(Kind::ListValue(ListValue { values })) => {
            let items = values.into_iter().enumerate();
            let items = items.map(|(index, value)| plain(value.kind, &place.index(index)));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
    })
}

/// A Struct's numbers are doubles: an integer in it is one again, and must be exact.
fn double(number: f64, place: &Place) -> Result<Number, ConfigError> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() != 0.0 {
        return Number::from_f64(number).ok_or_else(|| place.error("not a finite number"));
    }
    if number.abs() >= EXACT {
        return Err(place.error(
            "an integer beyond 2^53 is not exact in a Struct: give the configuration as JSON text \
             in a `google.protobuf.StringValue`",
        ));
    }
    Ok(Number::from(number as i64))
}

/// Mirrors a value, naming the place of the first member that does not fit.
///
/// # Errors
/// What was found there, by kind only, so that no secret shows, and what is accepted.
pub fn mirror(value: &Value) -> Result<raw::Config, ConfigError> {
    refuse_null(value, &Place::default())?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let mut place = Place::default();
        let mut at = Some(value);
        // What stands where a secret belongs may be one, even as a key.
        let mut hidden = false;
        for segment in error.path().iter() {
            match segment {
                Segment::Seq { index } => {
                    place = place.index(*index);
                    at = at.and_then(|value| value.get(index));
                }
                Segment::Map { key } => {
                    if !hidden || ["env", "base64", "utf8", "encoding"].contains(&key.as_str()) {
                        place = place.key(key);
                    }
                    at = at.and_then(|value| value.get(key));
                    hidden |= key == "secret";
                }
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        place.error(reason(&error.inner().to_string(), at, hidden))
    })
}

/// A key without a value is an accident, such as a list that is commented out: what it would mean
/// is the opposite of what was there. What a provider publishes is its own affair.
fn refuse_null(value: &Value, place: &Place) -> Result<(), ConfigError> {
    match value {
        Value::Null => Err(place.error("found null: give it a value, or leave the key out")),
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| *name != "jwks")
            .try_for_each(|(name, value)| refuse_null(value, &place.key(name))),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(index, item)| refuse_null(item, &place.index(index)))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// serde's message in the words of JSON, and without the value that it shows.
fn reason(message: &str, at: Option<&Value>, hidden: bool) -> String {
    // What was written may hold any text; what is accepted is serde's own, and comes last.
    let accepted = |rest: &str| {
        let accepted = rest.rsplit_once("`, expected ").map_or("nothing", |(_, accepted)| accepted);
        accepted.trim_start_matches("one of ").to_owned()
    };
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let accepted = accepted(rest);
        let name = rest.rsplit_once("`, expected ").map_or("`", |(name, _)| name);
        return match hidden {
            true => format!("unknown key, accepted: {accepted}"),
            false => format!("unknown key {name}`, accepted: {accepted}"),
        };
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return match hidden {
            true => format!("unknown word, accepted: {}", accepted(rest)),
            false => format!("unknown word {rest}"),
        };
    }
    let Some((_, expected)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    let expected = match expected {
        "a sequence" => "a list",
        "a map" => "an object",
        "u64" | "usize" | "u32" => "a whole number",
        expected => expected,
    };
    format!("found {}, expected {expected}", at.map_or("nothing", json::kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Value as ProtoValue;

    fn serialised(members: &[(&str, Kind)]) -> Vec<u8> {
        let fields = members
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), ProtoValue { kind: Some(kind.clone()) }))
            .collect();
        Struct { fields }.encode_to_vec()
    }

    #[test]
    fn decodes_json_and_struct() {
        let list =
            ListValue { values: vec![ProtoValue { kind: Some(Kind::StringValue("s".into())) }] };
        let cases: [(Vec<u8>, &str); 7] = [
            (b"\n {\"a\": 1}".to_vec(), r#"{"a":1}"#),
            (serialised(&[("a", Kind::NumberValue(1.0))]), r#"{"a":1}"#),
            (serialised(&[("a", Kind::NumberValue(1.5))]), r#"{"a":1.5}"#),
            (serialised(&[("a", Kind::ListValue(list))]), r#"{"a":["s"]}"#),
            (serialised(&[("a", Kind::NumberValue(9_007_199_254_740_992.0))]), "a: an integer"),
            (b"{\"a\": 1,}".to_vec(), "configuration: not JSON: "),
            (b" ".to_vec(), "configuration: empty"),
        ];
        for (bytes, want) in cases {
            let got = match decode(&bytes) {
                Ok(value) => value.to_string(),
                Err(error) => error.to_string(),
            };
            assert!(got.starts_with(want), "{got} {want}");
        }
    }

    #[test]
    fn a_struct_of_any_length_is_told_from_json() {
        // A first member of 121 bytes makes the second byte `{`.
        for length in 1..300 {
            let bytes = serialised(&[("a", Kind::StringValue("v".repeat(length)))]);
            assert!(decode(&bytes).is_ok(), "{length}");
        }
    }

    #[test]
    fn names_the_place_and_shows_no_value() {
        let cases = [
            (r#"{"foo":1}"#, "foo: unknown key `foo`, accepted: `version`"),
            (r#"{"routes":[{"paths":"/"}]}"#, "routes[0].paths: found a string, expected a list"),
            (r#"{"routes":{}}"#, "routes: found an object, expected a list"),
            (
                r#"{"issuers":{"corp":{"keys":[{"secret":"hunter2"}]}}}"#,
                "issuers.corp.keys[0].secret: found a string, expected an object",
            ),
            (
                r#"{"routes":[{"require":{"any":[{"claim":5}]}}]}"#,
                "routes[0].require.any[0].claim: found a number, expected a string",
            ),
            (r#"{"mode":"dry"}"#, "mode: unknown word `dry`, expected `enforce` or `shadow`"),
            (
                r#"{"identity":{"headers":{"x":5}}}"#,
                "identity.headers.x: found a number, expected the name",
            ),
            (
                r#"{"max_token_bytes":-1}"#,
                "max_token_bytes: found a number, expected a whole number",
            ),
            ("[]", "configuration: found an array, expected an object"),
            (
                r#"{"issuers":{"corp":{"keys":[{"secret":{"encoding":"a secret, hunter2"}}]}}}"#,
                "issuers.corp.keys[0].secret.encoding: unknown word, accepted: `utf8`",
            ),
            (
                r#"{"issuers":{"corp":{"keys":[{"secret":{"hunter2":1}}]}}}"#,
                "issuers.corp.keys[0].secret",
            ),
            (r#"{"routes":[{"require":null}]}"#, "routes[0].require: found null"),
        ];
        for (text, want) in cases {
            let error = mirror(&json::parse(text.as_bytes()).unwrap()).err().unwrap().to_string();
            assert!(error.starts_with(want), "{error}");
            assert!(!error.contains("hunter2"));
        }
    }
}
