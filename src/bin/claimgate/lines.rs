//! The lines of a YAML or JSON file, by the places that findings name.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::fmt;

/// A line and a column, from 1.
pub type At = (u64, u64);

/// Where each value of a file stands.
#[derive(Default)]
pub struct Lines(Vec<Node>);

impl Lines {
    /// The lines of a file; none of one that is not YAML.
    pub fn of(text: &str) -> Self {
        Self(serde_saphyr::from_multiple(text).unwrap_or_default())
    }

    /// The line of a place, or of the innermost value around it. A configuration inside a file has its place after
    /// that of the plugin and `: `. `None` where several documents have it.
    pub fn find(&self, place: &str) -> Option<At> {
        let found = self.0.iter().map(|document| {
            let mut depth = 0;
            let mut node = document;
            for (index, part) in place.split(": ").enumerate() {
                if index > 0 {
                    node = node
                        .child("value")
                        .filter(|_| node.child("@type").is_some())
                        .unwrap_or(node);
                }
                for name in names(part) {
                    let Some(child) = node.child(&name) else { return (depth, node) };
                    (depth, node) = (depth + 1, child);
                }
            }
            (depth, node)
        });
        let found: Vec<(usize, &Node)> = found.collect();
        let deepest = found.iter().map(|(depth, _)| *depth).max().filter(|depth| *depth > 0)?;
        let mut deepest = found.into_iter().filter(|(depth, _)| *depth == deepest);
        let (_, node) = deepest.next()?;
        (deepest.next().is_none() && node.at.0 > 0).then_some(node.at)
    }
}

/// The names in a place, and its indices as text.
pub fn names(place: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = place;
    while !rest.is_empty() {
        let quoted = rest.strip_prefix("[\"").and_then(|rest| rest.split_once("\"]"));
        let index = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let plain = rest.trim_start_matches('.');
        let (name, after) = quoted
            .or(index)
            .unwrap_or_else(|| plain.split_at(plain.find(['.', '[']).unwrap_or(plain.len())));
        if name.is_empty() && after == rest {
            break;
        }
        names.push(name.to_owned());
        rest = after;
    }
    names
}

/// A value, of which only the places in it are kept.
struct Node {
    at: At,
    kind: Kind,
}

enum Kind {
    Members(Vec<(String, Node)>),
    Items(Vec<Node>),
    Scalar,
}

impl Node {
    fn child(&self, name: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Members(members) => {
                members.iter().find(|(own, _)| own == name).map(|(_, node)| node)
            }
            Kind::Items(items) => items.get(name.parse::<usize>().ok()?),
            Kind::Scalar => None,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        let at = (spanned.referenced.line(), spanned.referenced.column());
        Ok(Self { at, kind: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Kind;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Kind::Members(members))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Kind::Items(items))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Kind, E> {
                Ok(Kind::Scalar)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Kind, E> {
                Ok(Kind::Scalar)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Kind, E> {
                Ok(Kind::Scalar)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Kind, E> {
                Ok(Kind::Scalar)
            }
            fn visit_str<E>(self, _: &str) -> Result<Kind, E> {
                Ok(Kind::Scalar)
            }
            fn visit_unit<E>(self) -> Result<Kind, E> {
                Ok(Kind::Scalar)
            }
            fn visit_none<E>(self) -> Result<Kind, E> {
                Ok(Kind::Scalar)
            }
            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Kind, D::Error> {
                IgnoredAny::deserialize(inner).map(|_| Kind::Scalar)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_lines() {
        let text = "a:\n  b:\n  - 1\n  - c: true\n    'd.e': x\nconfiguration:\n  '@type': t\n  value:\n    f: 1.5\n\
                    g: null\n";
        let lines = Lines::of(text);
        let cases = [
            ("a.b[0]", Some((3, 5))),
            ("a.b[1].c", Some((4, 8))),
            ("a.b[1][\"d.e\"]", Some((5, 12))),
            // As far as there is something.
            ("a.b[1].nothing.here", Some((4, 5))),
            ("a.b[7]", Some((3, 5))),
            ("configuration: f", Some((9, 8))),
            ("g", Some((10, 4))),
            ("nothing", None),
            ("", None),
        ];
        for (place, want) in cases {
            assert_eq!(lines.find(place), want, "{place}");
        }
        let documents = Lines::of("spec: { a: 1 }\n---\nspec: { b: 1 }\n");
        assert_eq!(documents.find("spec.b"), Some((3, 12)));
        assert_eq!(documents.find("spec"), None);
        assert_eq!(Lines::of("a: [").find("a"), None);
        assert_eq!(Lines::of("{\"a\":\n[1]}").find("a[0]"), Some((2, 2)));
    }
}
