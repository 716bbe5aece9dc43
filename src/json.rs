//! JSON, read strictly: one document, no duplicate members, bounded depth.
//!
//! RFC 8259 section 4 leaves duplicate members open; two readers of one token would then see two
//! different claims, so both tokens (RFC 7519 section 4, RFC 7515 section 4) and configurations
//! that hold one are refused.

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};
use std::fmt;

/// Parses one JSON document.
///
/// Numbers keep 64-bit precision. Nesting deeper than 127 levels is refused.
///
/// # Errors
/// Says what is wrong and where (line and column), never what the document holds, but for the name
/// of a duplicate member.
pub fn parse(bytes: &[u8]) -> Result<Value, Error> {
    // Looked at once, instead of string by string.
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error(serde_json::Error::custom("expected UTF-8, found other bytes")))?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict.deserialize(&mut reader).map_err(Error)?;
    reader.end().map_err(Error)?;
    Ok(value)
}

/// Parses one JSON document that must be an object; see [`parse`].
///
/// # Errors
/// As [`parse`], and where the document is something else.
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, Error> {
    match parse(bytes)? {
        Value::Object(map) => Ok(map),
        other => Err(Error(serde_json::Error::custom(format!(
            "expected an object, found {}",
            kind(&other)
        )))),
    }
}

/// What a value is, in the words of JSON.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Whether two numbers are the same one: exact, so that 2^53 + 1 is not 2^53.
pub fn same_number(a: &Number, b: &Number) -> bool {
    compare(a, b) == Some(std::cmp::Ordering::Equal)
}

/// The order of two numbers; integers are compared as integers.
pub fn compare(a: &Number, b: &Number) -> Option<std::cmp::Ordering> {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn integer(number: &Number) -> Option<i128> {
    if let Some(n) = number.as_i64() {
        return Some(n.into());
    }
    if let Some(n) = number.as_u64() {
        return Some(n.into());
    }
    // 2^64 is exact in a double; beyond it integers do not occur but as doubles.
    number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 1.8e19).map(|n| n as i128)
}

/// Why a document is not acceptable JSON.
#[derive(Debug)]
pub struct Error(serde_json::Error);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Strict)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let value = access.next_value_seed(Strict)?;
            match map.entry(name) {
                Entry::Vacant(place) => place.insert(value),
                Entry::Occupied(place) => {
                    let name = place.key().escape_debug();
                    return Err(A::Error::custom(format!("duplicate member `{name}`")));
                }
            };
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_and_refuses() {
        let cases: [(&[u8], bool); 10] = [
            (br#"{"a":1,"b":{"a":2}}"#, true),
            (br#"{"a":1,"a":2}"#, false),
            (br#"{"a":1,"\u0061":2}"#, false),
            (br#"{"a":{"b":1,"b":1}}"#, false),
            (b"{} {}", false),
            (b"{\"a\":1e400}", false),
            (b"{\"a\":01}", false),
            (b"\xff", false),
            (b"", false),
            (&[b'['; 100_000], false),
        ];
        for (text, good) in cases {
            assert_eq!(parse(text).is_ok(), good, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn compares_numbers_exactly() {
        let cases = [
            ("1", "1.0", true),
            ("9007199254740993", "9007199254740992", false),
            ("18446744073709551615", "18446744073709551615", true),
            ("18446744073709551615", "18446744073709551614", false),
            ("-1", "18446744073709551615", false),
            ("0.1", "0.1", true),
            ("-0.0", "0", true),
        ];
        for (a, b, same) in cases {
            let number = |text: &str| match parse(text.as_bytes()).unwrap() {
                Value::Number(number) => number,
                other => panic!("{other}"),
            };
            assert_eq!(same_number(&number(a), &number(b)), same, "{a} {b}");
        }
    }
}
