//! Reads YAML strictly, value by value: what is unknown or of another kind is an error that names its
//! place, what was found, and what would be accepted.

use claimgate::config::{ConfigError, Place};
use claimgate::json::kind;
use serde_json::{Map, Value};

pub type Read<T> = Result<T, ConfigError>;

/// Words for a message: `a`, `b`.
pub fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// What is wrong with a value of another kind.
pub fn unexpected(value: &Value, place: &Place, expected: &str) -> ConfigError {
    place.error(format!("found {}, expected {expected}", kind(value)))
}

/// An object with no other members than these.
pub fn object<'v>(
    value: &'v Value,
    place: &Place,
    accepted: &[&str],
    expected: &str,
) -> Read<&'v Map<String, Value>> {
    let members = value.as_object().ok_or_else(|| unexpected(value, place, expected))?;
    match members.keys().find(|name| !accepted.contains(&name.as_str())) {
        None => Ok(members),
        Some(name) => Err(place
            .key(name)
            .error(format!("unknown key `{name}`, accepted: {}", list(accepted.iter().copied())))),
    }
}

/// A string; a number or a boolean wants quotes to be one.
pub fn text(value: &Value, place: &Place) -> Read<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Err(unexpected(value, place, "a string: quote it")),
        _ => Err(unexpected(value, place, "a string")),
    }
}

/// A member that is a string, where it is there.
pub fn member(members: &Map<String, Value>, name: &str, place: &Place) -> Read<Option<String>> {
    members.get(name).map(|value| text(value, &place.key(name))).transpose()
}

/// One of a few words.
pub fn word<T: Copy>(value: &Value, place: &Place, words: &[(&'static str, T)]) -> Read<T> {
    let found = text(value, place)?;
    let word = words.iter().find(|(word, _)| *word == found);
    word.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let known = list(words.iter().map(|(word, _)| *word));
        place.error(format!("unknown word `{found}`, accepted: {known}"))
    })
}
