//! Writes a document as YAML, in the order in which it was made: short parts on one line, lines of text as lines.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::fmt::Write as _;

/// The longest line that holds a part as a whole.
const WIDTH: usize = 100;

/// A part of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A string, number, boolean, or what is written as JSON.
    Scalar(Value),
    /// A list.
    List(Vec<Self>),
    /// An object.
    Map(Vec<(String, Self)>),
}

impl Node {
    /// An object.
    pub fn map<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Map(members.into_iter().map(|(name, node)| (name.to_owned(), node)).collect())
    }

    /// A list of strings.
    pub fn texts<S: AsRef<str>>(texts: &[S]) -> Self {
        Self::List(texts.iter().map(|text| Self::from(text.as_ref())).collect())
    }

    /// The document.
    pub fn yaml(&self) -> String {
        let mut out = String::new();
        self.block(0, &mut out);
        out
    }

    fn block(&self, indent: usize, out: &mut String) {
        let pad = " ".repeat(indent);
        match self {
            Self::Scalar(value) => _ = writeln!(out, "{pad}{}", scalar(value)),
            Self::List(items) => {
                for item in items {
                    let flow = item.flow();
                    // What lies at the top is read member by member.
                    let open = indent <= 2 && matches!(item, Self::Map(_));
                    if (indent + 2 + flow.len() <= WIDTH && !open) || !item.is_nested() {
                        _ = writeln!(out, "{pad}- {flow}");
                        continue;
                    }
                    let mut inner = String::new();
                    item.block(indent + 2, &mut inner);
                    // The first line stands behind the dash.
                    _ = write!(out, "{pad}- {}", inner.trim_start());
                }
            }
            Self::Map(members) => {
                for (name, node) in members {
                    let flow = node.flow();
                    let name = scalar(&Value::String(name.clone()));
                    if let Some((mark, lines)) = node.literal() {
                        _ = writeln!(out, "{pad}{name}: {mark}");
                        for line in lines {
                            _ = writeln!(out, "{}", format!("{pad}  {line}").trim_end());
                        }
                        continue;
                    }
                    let fits = indent + name.len() + 2 + flow.len() <= WIDTH;
                    if !node.is_nested() || (fits && indent > 0 && !node.is_deep()) {
                        _ = writeln!(out, "{pad}{name}: {flow}");
                    } else {
                        _ = writeln!(out, "{pad}{name}:");
                        node.block(indent + 2, out);
                    }
                }
            }
        }
    }

    /// The lines of a text that is best read as lines, and the mark that stands before them.
    fn literal(&self) -> Option<(&'static str, impl Iterator<Item = &str>)> {
        let Self::Scalar(Value::String(text)) = self else { return None };
        let (mark, body) = match text.strip_suffix('\n') {
            Some(body) => ("|", body),
            None => ("|-", text.as_str()),
        };
        let plain = |c: char| c == '\n' || c == ' ' || c.is_ascii_graphic();
        let ends = |line: &str| line.ends_with(' ') || line.is_empty();
        let reads = body.contains('\n')
            && text.chars().all(plain)
            && !body.starts_with([' ', '\n'])
            && !body.lines().any(ends)
            && !body.ends_with('\n');
        reads.then(|| (mark, body.lines()))
    }

    fn is_nested(&self) -> bool {
        match self {
            Self::Scalar(_) => false,
            Self::List(items) => !items.is_empty(),
            Self::Map(members) => !members.is_empty(),
        }
    }

    /// Whether it is better read over several lines.
    fn is_deep(&self) -> bool {
        match self {
            Self::Scalar(_) => false,
            Self::List(items) => items.iter().any(Self::is_nested),
            Self::Map(members) => members.iter().any(|(_, node)| {
                matches!(node, Self::Map(_)) || (node.is_nested() && node.is_deep())
            }),
        }
    }

    fn flow(&self) -> String {
        match self {
            Self::Scalar(value) => scalar(value),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::flow).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Map(members) if members.is_empty() => "{}".to_owned(),
            Self::Map(members) => {
                let member = |(name, node): &(String, Self)| {
                    format!("{}: {}", scalar(&Value::String(name.clone())), node.flow())
                };
                let members: Vec<String> = members.iter().map(member).collect();
                format!("{{ {} }}", members.join(", "))
            }
        }
    }
}

/// A document as it is read, with its members in the order in which they stand.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ordered;
        impl<'de> Visitor<'de> for Ordered {
            type Value = Node;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("YAML")
            }
            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Scalar(Value::Null))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Node, E> {
                Ok(Node::from(value))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Node::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = access.next_entry()? {
                    members.push(member);
                }
                Ok(Node::Map(members))
            }
        }
        deserializer.deserialize_any(Ordered)
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Scalar(Value::String(text.to_owned()))
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        match value {
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(members) => Self::Map(
                members.into_iter().map(|(name, value)| (name, Self::from(value))).collect(),
            ),
            value => Self::Scalar(value),
        }
    }
}

/// Plain where nothing in it means anything to YAML, else as JSON, which YAML reads alike.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else {
        return value.to_string();
    };
    let first = text.bytes().next().unwrap_or_default();
    let plain = (first.is_ascii_alphabetic() || first == b'/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let is_duration =
        is_number && ["s", "m", "h"].iter().any(|unit| text.strip_suffix(unit) == Some(digits));
    let word = text.to_ascii_lowercase();
    let means = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan"];
    if is_duration || (plain && !means.contains(&word.as_str())) {
        return text.clone();
    }
    quoted(value)
}

/// As JSON, which YAML reads alike: what JSON leaves as it is and YAML does not is escaped.
pub fn quoted(value: &Value) -> String {
    let odd = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    let escape = |c: char| match odd(c) {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    value.to_string().chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_reads_back() {
        let odd = vec![
            "",
            "a",
            "true",
            "No",
            "1",
            "1e3",
            "60s",
            "5m",
            "~",
            "a: b",
            "a #b",
            "- a",
            "{x}",
            "*",
            "&a",
            "!t",
            "%",
            "@",
            "`",
            "'",
            "\"",
            "\\",
            "a\nb",
            "\u{e4}",
            "\u{7f}",
            "/a/{s1}/**",
            "0x1f",
            "=",
            "${header.x}",
            "2026-11-25",
            "a,b",
            "[",
            "null",
            "off",
            "\u{2028}",
            "\u{1f600}",
            " a ",
            "a\nb\n",
            "a\n\nb",
            "a\n  b: c\n- d",
            " a\nb",
            "a \nb",
            "\na",
            "a\n\n",
            "a\tb\nc",
            "a\r\nb",
        ];
        let long = "x".repeat(120);
        let value = json!({
            "texts": odd, "nested": {"a": [{"b": odd, "c": {"d": 1.5}}], "e": {}, "f": []},
            "long": [long, {"k": long, "l": [long]}], "n": -1, "t": true,
            "odd keys": {"a: b": 1, "*": 2, "true": 3},
            "lines": odd.iter().map(|text| json!({"one": text})).collect::<Vec<_>>(),
            "pem": {"one": "-----BEGIN X-----\nYWJj\n-----END X-----\n", "two": "# a\nb"},
        });
        let text = Node::from(value.clone()).yaml();
        let back: Value = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(back, value, "{text}");
    }
}
