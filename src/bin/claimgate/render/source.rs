//! The configuration that is rendered: found in its file, loaded by the filter's own code, in the order of its file.

use super::refusal;
use crate::check::{environment, join};
use crate::lines::Lines;
use crate::output::{Finding, Severity};
use crate::yaml::Node;
use crate::{Failure, document, keys, read};
use claimgate::config::{self, Place, Warning};
use claimgate::token::signature::Portable;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// A configuration that loads.
pub struct Source {
    /// Its file.
    pub file: String,
    /// Its name, which metrics and audit records have.
    pub name: String,
    /// What it says, without the members that only carry anchors.
    pub value: Value,
    /// The environment variables that it reads.
    pub variables: BTreeSet<String>,
    /// The place in the file.
    place: String,
    /// The text of the file.
    text: String,
    warnings: Vec<Warning>,
}

/// The members that are secrets.
const SECRETS: [&str; 3] = ["secret", "hash_key", "sign"];

impl Source {
    /// Reads the one configuration of a file.
    pub fn read(file: &str) -> Result<Self, Failure> {
        let text = read(file)?;
        let mut found =
            document::configurations(&text).map_err(|why| format!("`{file}`: {why}"))?;
        let (Some(one), true) = (found.pop(), found.is_empty()) else {
            return Err(format!("`{file}`: several configurations in it: render a file with one"));
        };
        let signs = names_under(&one.value, "sign");
        let variables = RefCell::new(BTreeSet::new());
        // What a secret is matters where the filter runs. Here only its name does, so that one that is not set has a
        // stand-in that loads.
        let handed = |name: &str| {
            variables.borrow_mut().insert(name.to_owned());
            environment(name).or_else(|| stand_in(signs.iter().find(|(own, _)| own == name)))
        };
        let loaded = config::load_value(one.value.clone(), &one.name, &handed, &Portable);
        let loaded = loaded.map_err(|error| {
            let place = join(&one.place, &error.place);
            let line = Lines::of(&text).find(&place);
            let line = line.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
            refusal(&format!("{file}{line}"), &place, &error.reason)
        })?;
        let mut value = one.value;
        if let Value::Object(members) = &mut value {
            members.retain(|name, _| !name.starts_with("x-"));
        }
        let (name, warnings) = (loaded.engine.name.clone(), loaded.warnings);
        let (file, place, variables) = (file.to_owned(), one.place, variables.into_inner());
        Ok(Self { file, name, value, variables, place, text, warnings })
    }

    /// What `check` would warn of.
    pub fn warnings(&self) -> Vec<Finding> {
        self.warnings.iter().map(|one| self.warn(&one.place, &one.reason)).collect()
    }

    /// A warning of something in the configuration.
    pub fn warn(&self, place: &Place, message: &str) -> Finding {
        let (file, place) = (self.file.clone(), join(&self.place, place));
        Finding { severity: Severity::Warning, file, place, message: message.to_owned() }
    }

    /// The places of secrets that are not taken from the environment.
    pub fn inline_secrets(&self) -> Vec<String> {
        let mut places = Vec::new();
        document::walk(&self.value, &Place::default(), &mut |value, place| {
            for name in SECRETS {
                let secret = value.get(name).unwrap_or(&Value::Null);
                if secret.get("utf8").or_else(|| secret.get("base64")).is_some() {
                    places.push(join(&self.place, &place.key(name)));
                }
            }
        });
        places
    }

    /// Whether a secret stands in it.
    pub fn is_private(&self) -> bool {
        !self.inline_secrets().is_empty()
    }

    /// A refusal of something in the configuration.
    pub fn refuse(&self, place: &Place, message: &str) -> Failure {
        refusal(&self.file, &join(&self.place, place), message)
    }

    /// A name for it that Kubernetes takes.
    pub fn kubernetes_name(&self) -> String {
        match self.name.replace('_', "-").trim_matches('-') {
            "claimgate" | "" => "claimgate".to_owned(),
            name => format!("claimgate-{name}"),
        }
    }

    /// A configuration in the order in which the file has it.
    pub fn ordered(&self, value: &Value) -> Node {
        let documents: Vec<Node> = serde_saphyr::from_multiple(&self.text).unwrap_or_default();
        let same = documents.iter().find_map(|document| find(document, &self.value));
        order(value, same)
    }
}

/// The part of a document that has the members of a value, and may have others that carry anchors.
fn find<'n>(node: &'n Node, value: &Value) -> Option<&'n Node> {
    match node {
        Node::Scalar(_) => None,
        Node::List(items) => items.iter().find_map(|item| find(item, value)),
        Node::Map(members) => {
            let names: BTreeSet<&str> = members
                .iter()
                .map(|(name, _)| name.as_str())
                .filter(|name| !name.starts_with("x-"))
                .collect();
            let own: BTreeSet<&str> =
                value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            match names == own {
                true => Some(node),
                false => members.iter().find_map(|(_, node)| find(node, value)),
            }
        }
    }
}

/// A value, with its members in the order of another document, as far as that has them.
fn order(value: &Value, like: Option<&Node>) -> Node {
    match (value, like) {
        (Value::Object(own), Some(Node::Map(like))) => {
            let known =
                |name: &str| like.iter().find(|(other, _)| other == name).map(|(_, node)| node);
            let first =
                like.iter().filter_map(|(name, node)| Some((name, own.get(name)?, Some(node))));
            let rest = own.iter().filter(|(name, _)| known(name).is_none());
            let all = first.chain(rest.map(|(name, value)| (name, value, None)));
            Node::Map(all.map(|(name, value, like)| (name.clone(), order(value, like))).collect())
        }
        (Value::Array(own), Some(Node::List(like))) => Node::List(
            own.iter().enumerate().map(|(index, item)| order(item, like.get(index))).collect(),
        ),
        (value, _) => Node::from(value.clone()),
    }
}

/// The variables under members of this name, and how they are written.
fn names_under(value: &Value, member: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    document::walk(value, &Place::default(), &mut |value, _| {
        let secret = value.get(member).unwrap_or(&Value::Null);
        if let Some(name) = secret.get("env").and_then(Value::as_str) {
            let base64 = secret.get("encoding").is_some_and(|encoding| encoding == "base64");
            found.push((name.to_owned(), base64));
        }
    });
    found
}

/// What loads in a secret's place: a signing key, or random text that is base64 too.
fn stand_in(sign: Option<&(String, bool)>) -> Option<String> {
    use base64::Engine as _;
    let key = keys::make(if sign.is_some() { "EdDSA" } else { "HS512" }, Some("stand-in")).ok()?;
    match sign {
        Some((_, true)) => Some(base64::engine::general_purpose::STANDARD.encode(key)),
        Some((_, false)) => Some(key),
        None => {
            let key: Value = serde_json::from_str(&key).ok()?;
            key.get("k").and_then(Value::as_str).map(str::to_owned)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_secret_of_the_schema_is_known() {
        let schema = claimgate::config::schema::document();
        let mut names = BTreeSet::new();
        document::walk(&schema, &Place::default(), &mut |value, _| {
            for (name, property) in
                value.get("properties").and_then(Value::as_object).into_iter().flatten()
            {
                if property.to_string().contains("/Secret\"") {
                    names.insert(name.clone());
                }
            }
        });
        let known: BTreeSet<String> = SECRETS.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(names, known);
    }

    #[test]
    fn members_keep_the_order_of_the_file() {
        let text = "- x\n- outer:\n    z: 1\n    x-a: 3\n    b: [{ d: 1, c: 2 }]\n";
        let document: Node = serde_saphyr::from_str(text).unwrap();
        let value = json!({"b": [{"c": 2, "d": 1, "a": 5}], "z": 1});
        let same = find(&document, &value).unwrap();
        let got = order(&value, Some(same)).yaml();
        assert_eq!(got, "z: 1\nb:\n  - d: 1\n    c: 2\n    a: 5\n");
    }
}
