//! A route's condition as it is written, and what each part of it says: the configuration's text, the compiled
//! condition and its trace walked side by side. What a `ref` names stands in its place, with a place of its own.

use claimgate::config::Place;
use claimgate::engine::Engine;
use claimgate::policy::condition::Condition;
use claimgate::policy::operator::Truth;
use claimgate::policy::trace::{Step, Trace};
use serde::Serialize;
use serde_json::Value;

/// A part of a condition.
#[derive(Debug, Serialize)]
pub struct Node {
    /// Where it is written, as `routes[2].require.all[1]` or `conditions.sre.any[0]`.
    pub place: String,
    /// The name by which the part above refers to it.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// `all`, `any`, `not`, `by_issuer`, or a leaf as it is written.
    pub says: String,
    /// `holds`, `fails`, `unknown`; none where it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truth: Option<&'static str>,
    /// The values that a leaf saw, as JSON; none for a combination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Node>,
}

/// The word for a condition that opens.
pub const HOLDS: &str = "holds";

/// The word for a truth.
pub fn word(truth: Truth) -> &'static str {
    match truth {
        Truth::True => HOLDS,
        Truth::False => "fails",
        Truth::Unknown => "unknown",
    }
}

/// The condition of a route; `None` where it has none.
pub fn of_route(engine: &Engine, raw: &Value, route: usize, trace: Option<&Trace>) -> Option<Node> {
    let condition = engine.routes.get(route)?.require.as_ref()?;
    let written = raw.get("routes")?.get(route)?.get("require")?;
    let place = Place::default().key("routes").index(route).key("require");
    let walk = Walk { engine, named: raw.get("conditions") };
    Some(walk.node(written, condition, trace, place))
}

/// A leaf as JSON on one line, in the order in which people write it: subject, operator, absence.
fn leaf(written: &Value) -> String {
    const OPERATORS: [&str; 8] =
        ["any_of", "all_of", "none_of", "equals", "present", "matches", "at_least", "at_most"];
    let Some(members) = written.as_object() else { return written.to_string() };
    let mut members: Vec<(&String, &Value)> = members.iter().collect();
    members.sort_by_key(|(name, _)| match name.as_str() {
        "absent" => 2,
        name => usize::from(OPERATORS.contains(&name)),
    });
    let members: Vec<String> = members
        .into_iter()
        .map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())))
        .collect();
    format!("{{{}}}", members.join(","))
}

struct Walk<'a> {
    engine: &'a Engine,
    named: Option<&'a Value>,
}

impl Walk<'_> {
    fn node(
        &self,
        written: &Value,
        condition: &Condition,
        trace: Option<&Trace>,
        place: Place,
    ) -> Node {
        let (mut written, mut place, mut reference) = (written, place, None);
        // A configuration that loaded has no circle of references.
        while let Some(name) = written.get("ref").and_then(Value::as_str) {
            let Some(named) = self.named.and_then(|named| named.get(name)) else { break };
            place = Place::default().key("conditions").key(name);
            written = named;
            reference = Some(name.to_owned());
        }
        let (says, parts) = match condition {
            Condition::All(parts) => ("all", self.list("all", written, parts, trace, &place)),
            Condition::Any(parts) => ("any", self.list("any", written, parts, trace, &place)),
            Condition::Not(part) => {
                let below = trace.and_then(|trace| trace.parts.first());
                let written = written.get("not").unwrap_or(&Value::Null);
                ("not", vec![self.node(written, part, below, place.key("not"))])
            }
            Condition::ByIssuer(parts) => {
                ("by_issuer", self.by_issuer(written, parts, trace, &place))
            }
            Condition::Leaf(_) | Condition::Scopes { .. } | Condition::ClientAddress(_) => {
                ("", Vec::new())
            }
        };
        let is_leaf = says.is_empty();
        Node {
            place: place.to_string(),
            reference,
            says: if is_leaf { leaf(written) } else { says.to_owned() },
            truth: trace.map(|trace| word(trace.truth)),
            seen: trace.and_then(|trace| trace.seen.clone()),
            parts,
        }
    }

    fn list(
        &self,
        name: &str,
        written: &Value,
        parts: &[Condition],
        trace: Option<&Trace>,
        place: &Place,
    ) -> Vec<Node> {
        let place = place.key(name);
        let written = written.get(name).unwrap_or(&Value::Null);
        let node = |(index, part): (usize, &Condition)| {
            let written = written.get(index).unwrap_or(&Value::Null);
            let below = trace.and_then(|trace| trace.parts.get(index));
            self.node(written, part, below, place.index(index))
        };
        parts.iter().enumerate().map(node).collect()
    }

    /// Of these parts, that of the token's issuer alone has a say.
    fn by_issuer(
        &self,
        written: &Value,
        parts: &[Option<Condition>],
        trace: Option<&Trace>,
        place: &Place,
    ) -> Vec<Node> {
        let place = place.key("by_issuer");
        let written = written.get("by_issuer").unwrap_or(&Value::Null);
        let issuers = self.engine.issuers.iter().zip(parts).enumerate();
        let parts = issuers.filter_map(|(index, (issuer, part))| {
            let written = written.get(&*issuer.name).unwrap_or(&Value::Null);
            let own = |one: &&Trace| matches!(one.step, Step::ByIssuer(id) if id.0 == index);
            let below = trace.and_then(|trace| trace.parts.iter().find(own));
            Some(self.node(written, part.as_ref()?, below, place.key(&issuer.name)))
        });
        parts.collect()
    }
}

impl Node {
    /// Visits every leaf, in the order in which they are written.
    pub fn leaves<'n>(&'n self, visitor: &mut dyn FnMut(&'n Self)) {
        if self.parts.is_empty() {
            visitor(self);
        }
        self.parts.iter().for_each(|part| part.leaves(visitor));
    }

    /// Changes what every leaf saw.
    pub fn edit_seen(&mut self, edit: &dyn Fn(&str, &str) -> String) {
        let says = &self.says;
        for value in self.seen.iter_mut().flatten() {
            *value = edit(says, value);
        }
        self.parts.iter_mut().for_each(|part| part.edit_seen(edit));
    }

    /// An indented line for each part.
    pub fn lines(&self, indent: usize, out: &mut String) {
        let reference = self.reference.as_ref().map(|name| format!("ref {name}: "));
        let seen = self.seen.as_ref().map(|seen| match seen.as_slice() {
            [] => ", saw nothing".to_owned(),
            seen => format!(", saw {}", seen.join(", ")),
        });
        let truth = self.truth.unwrap_or("not asked");
        out.push_str(&format!(
            "{:indent$}{truth:<9} {}{}{}\n",
            "",
            reference.unwrap_or_default(),
            self.says,
            seen.unwrap_or_default(),
        ));
        self.parts.iter().for_each(|part| part.lines(indent + 2, out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use claimgate::config;
    use claimgate::token::signature::Portable;
    use serde_json::json;

    #[test]
    fn places_follow_references() {
        let keys = json!([{"secret": {"utf8": "a secret of these tests, 32 bytes"}}]);
        let issuer = |iss: &str| json!({"issuer": iss, "any_audience": true, "keys": keys});
        let raw = json!({
            "issuers": {"b": issuer("b"), "a": issuer("a")},
            "defaults": {"issuers": ["a", "b"]},
            "conditions": {
                "one": {"any": [{"claim": "x", "equals": 1}, {"ref": "two"}]},
                "two": {"not": {"claim": "y", "present": true}},
                "three": {"ref": "two"},
            },
            "routes": [
                {"name": "open", "paths": ["/open"], "token": "none"},
                {"name": "r", "paths": ["/**"], "require": {"all": [
                    {"ref": "one"},
                    {"by_issuer": {"a": {"ref": "three"}, "b": {"scopes": ["s"]}}},
                    {"client_address": ["10.0.0.0/8"]},
                ]}},
            ],
        });
        let loaded = config::load_value(raw.clone(), "p", &|_| None, &Portable).unwrap();
        let tree = of_route(&loaded.engine, &raw, 1, None).unwrap();
        let mut leaves = Vec::new();
        tree.leaves(&mut |leaf| leaves.push(format!("{} {}", leaf.place, leaf.says)));
        let want = [
            r#"conditions.one.any[0] {"claim":"x","equals":1}"#,
            r#"conditions.two.not {"claim":"y","present":true}"#,
            r#"conditions.two.not {"claim":"y","present":true}"#,
            r#"routes[1].require.all[1].by_issuer.b {"scopes":["s"]}"#,
            r#"routes[1].require.all[2] {"client_address":["10.0.0.0/8"]}"#,
        ];
        assert_eq!(leaves, want);
        let mut lines = String::new();
        tree.lines(0, &mut lines);
        assert!(lines.contains("    not asked ref two: not\n"), "{lines}");
        assert!(of_route(&loaded.engine, &raw, 0, None).is_none());
    }
}
