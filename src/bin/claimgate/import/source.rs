//! Documents of a source: what is read of them, member by member, so that nothing is passed over.

use super::finding::At;
use serde_json::{Map, Value};

/// A document of a file.
pub struct Document {
    /// The file.
    pub file: String,
    /// What it is called in messages; the file alone where that is enough.
    pub name: String,
    /// What it holds.
    pub value: Value,
}

/// An object, and where it stands.
#[derive(Clone, Debug)]
pub struct Object<'v> {
    members: &'v Map<String, Value>,
    /// Where.
    pub at: At,
}

impl<'v> Object<'v> {
    /// A value that is an object; an empty one where it is something else.
    pub fn new(value: &'v Value, at: At) -> Self {
        static NOTHING: std::sync::LazyLock<Map<String, Value>> =
            std::sync::LazyLock::new(Map::new);
        Self { members: value.as_object().unwrap_or(&NOTHING), at }
    }

    /// A member, by its name with underscores, or as the JSON of protobuf has it.
    pub fn get(&self, name: &str) -> Option<&'v Value> {
        let found = self.members.get(name).or_else(|| self.members.get(&camel(name)));
        found.filter(|value| !value.is_null())
    }

    /// An object.
    pub fn object(&self, name: &str) -> Option<Self> {
        self.get(name).map(|value| Self::new(value, self.at.key(name)))
    }

    /// A string; a number or boolean as it is written.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::String(text) => Some(text.clone()),
            value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
            _ => None,
        }
    }

    /// A boolean; false where it is not there.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The objects of a list.
    pub fn list(&self, name: &str) -> Vec<Self> {
        let at = self.at.key(name);
        let items = self.get(name).and_then(Value::as_array).into_iter().flatten().enumerate();
        items.map(|(index, item)| Self::new(item, at.index(index))).collect()
    }

    /// The strings of a list; numbers as they are written.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let items = self.get(name).and_then(Value::as_array).into_iter().flatten();
        items
            .map(|item| match item {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
            .collect()
    }

    /// Its members.
    pub fn members(&self) -> impl Iterator<Item = (&'v str, &'v Value)> + use<'v> {
        self.members.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Members that are none of these.
    pub fn others(&self, known: &[&str]) -> Vec<&'v str> {
        let names = self.members.iter().filter(|(_, value)| !value.is_null());
        let names = names.map(|(name, _)| name.as_str());
        names.filter(|own| !known.iter().any(|name| name == own || camel(name) == **own)).collect()
    }
}

/// `some_name` as `someName`.
fn camel(name: &str) -> String {
    let mut camel = String::new();
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                camel.push(c.to_ascii_uppercase());
                upper = false;
            }
            c => camel.push(c),
        }
    }
    camel
}

/// Seconds of a duration, as `5s`, `0.5s`, `1h30m` or `{seconds: 5}`.
pub fn seconds(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => {
            let plain = text.strip_suffix('s').and_then(|text| text.parse::<f64>().ok());
            plain.or_else(|| humantime::parse_duration(text).ok().map(|time| time.as_secs_f64()))
        }
        Value::Object(members) => members.get("seconds").and_then(Value::as_f64),
        _ => None,
    }
}
