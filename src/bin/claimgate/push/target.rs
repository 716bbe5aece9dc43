//! Which key set of a file is pushed into, and whether the filter loads what comes of it.

use super::edit::{At, Entry};
use crate::check::{environment, plugin::variables, written};
use crate::document::{self, Plugin};
use crate::{Failure, lines};
use claimgate::config::{self, Place};
use claimgate::token::signature::{Algorithm, AlgorithmSet, Portable};
use serde_json::{Map, Value};

/// The one source of keys that is pushed into.
pub struct Target<'d> {
    plugin: Plugin<'d>,
    document: usize,
    inside: Vec<String>,
    configuration: Value,
    pub issuer: String,
    source: usize,
}

/// Stands for what the environment here lacks and Envoy's has: text, and base64 of 32 bytes.
const STAND_IN: &str = "Y2xhaW1nYXRlIGNsYWltZ2F0ZSBjbGFpbWdhdGUgY2w=";

impl<'d> Target<'d> {
    /// The issuer of this name, or the only one, in the documents of a file, and its only `jwks`.
    ///
    /// # Errors
    /// Why there is not one.
    pub fn find(documents: &'d [Value], issuer: Option<&str>) -> Result<Self, Failure> {
        let mut found: Vec<(usize, Plugin<'d>, Value)> = Vec::new();
        let mut broken = None;
        for (index, document) in documents.iter().enumerate() {
            for plugin in document::plugins(std::slice::from_ref(document)) {
                match &plugin.configuration {
                    Ok(value) if value.get("issuers").is_some_and(Value::is_object) => {
                        let value = value.clone();
                        found.push((index, plugin, value));
                    }
                    Ok(_) => {}
                    Err(why) => broken = Some(format!("{}: {why}", written(&plugin.inside))),
                }
            }
        }
        if found.is_empty() {
            return Err(broken.unwrap_or_else(|| {
                "no configuration of the filter with `issuers` in it: keys are pushed into an issuer's".to_owned()
            }));
        }
        let names = |value: &Value| -> Vec<String> {
            value
                .get("issuers")
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(Map::keys)
                .cloned()
                .collect()
        };
        let all: Vec<String> = found.iter().flat_map(|(_, _, value)| names(value)).collect();
        let name = match (issuer, all.as_slice()) {
            (Some(issuer), _) if all.iter().any(|name| name == issuer) => issuer.to_owned(),
            (Some(issuer), _) => {
                return Err(format!("no issuer `{issuer}`, there are: {}", list(&all)));
            }
            (None, [one]) => one.clone(),
            (None, []) => return Err("the configuration has no issuer".to_owned()),
            (None, _) => {
                return Err(format!("several issuers, say `--issuer` and one of: {}", list(&all)));
            }
        };
        let mut having: Vec<_> =
            found.into_iter().filter(|(.., value)| names(value).contains(&name)).collect();
        let places = |having: &[(usize, Plugin<'_>, Value)]| {
            let places: Vec<String> =
                having.iter().map(|(_, plugin, _)| written(&plugin.inside)).collect();
            list(&places)
        };
        let (Some((document, plugin, configuration)), true) = (having.pop(), having.is_empty())
        else {
            return Err(format!(
                "issuer `{name}` is in several configurations of this file ({}, and others): give each a file of its own",
                places(&having)
            ));
        };
        let source = source(&configuration, &name)?;
        let inside = lines::names(&written(&plugin.inside));
        Ok(Self { plugin, document, inside, configuration, issuer: name, source })
    }

    /// Where its key set is in the text.
    pub fn at(&self) -> At<'_> {
        let Self { document, inside, issuer, source, .. } = self;
        At { document: *document, inside, issuer, source: *source }
    }

    /// The place of its key set, for people.
    pub fn place(&self) -> String {
        let top = Place::default().key("issuers").key(&self.issuer);
        let place = top.key("keys").index(self.source).key("jwks");
        crate::check::join(&written(&self.plugin.inside), &place)
    }

    fn raw(&self) -> Option<&Value> {
        self.configuration.get("issuers")?.get(&self.issuer)
    }

    /// The keys that are there.
    pub fn keys(&self) -> Vec<Value> {
        let source = self.raw().and_then(|issuer| issuer.get("keys")?.get(self.source));
        let keys = source.and_then(|source| source.get("jwks")?.get("keys")?.as_array());
        keys.cloned().unwrap_or_default()
    }

    /// The algorithms that the configuration narrows its keys to.
    pub fn algorithms(&self) -> Option<AlgorithmSet> {
        let named = |value: &Value| {
            let names = value.get("algorithms")?.as_array()?;
            let known = names.iter().filter_map(|name| Algorithm::parse(name.as_str()?));
            Some(AlgorithmSet::of(&known.collect::<Vec<_>>()))
        };
        let issuer = self.raw()?;
        let own = issuer.get("keys").and_then(|keys| keys.get(self.source)).and_then(named);
        match (named(issuer), own) {
            (Some(issuer), Some(own)) => Some(issuer.intersection(own)),
            (issuer, own) => own.or(issuer),
        }
    }

    /// What the configuration is to say with other keys.
    pub fn with(&self, entries: &[Entry]) -> Value {
        let old = self.keys();
        let keys = entries.iter().map(|entry| match entry {
            Entry::Keep(index) => old.get(*index).cloned().unwrap_or_default(),
            Entry::Write(key) => key.clone(),
        });
        let keys: Vec<Value> = keys.collect();
        let mut configuration = self.configuration.clone();
        let pointer = format!("/issuers/{}/keys/{}/jwks/keys", self.issuer, self.source);
        if let Some(set) = configuration.pointer_mut(&pointer) {
            *set = keys.into();
        }
        configuration
    }

    /// Whether the filter loads a configuration in place of this one.
    ///
    /// # Errors
    /// What it says of it.
    pub fn judge(&self, mut configuration: Value) -> Result<(), Failure> {
        let handed = variables(&self.plugin, &environment);
        let signer = configuration.pointer("/audit/integrity/sign/env").and_then(Value::as_str);
        if signer.is_some_and(|name| handed(name).is_none())
            && let Some(audit) = configuration.pointer_mut("/audit").and_then(Value::as_object_mut)
        {
            // Nothing stands for a signing key.
            audit.remove("integrity");
        }
        let any = |name: &str| handed(name).or_else(|| Some(STAND_IN.to_owned()));
        let loaded = config::load_value(configuration, &self.plugin.name, &any, &Portable);
        loaded
            .map(|_| ())
            .map_err(|error| format!("the filter would refuse the configuration: {error}"))
    }

    /// Whether the documents of the new text say what is meant, and what is around it says what it said.
    ///
    /// # Errors
    /// Where the text cannot be edited.
    pub fn confirm(&self, old: &[Value], new: &[Value], meant: &Value) -> Result<(), Failure> {
        let fault = || {
            "the file's layout does not let the keys be replaced alone: write the key set as \
                        `jwks: { keys: [...] }` with no anchors in it"
                .to_owned()
        };
        let edited = Target::find(new, Some(&self.issuer)).map_err(|_| fault())?;
        let around = |documents: &[Value]| {
            let mut documents = documents.to_vec();
            let document = documents.get_mut(self.document);
            let at = self.inside.iter().try_fold(document?, |value, name| match value {
                Value::Array(items) => items.get_mut(name.parse::<usize>().ok()?),
                value => value.get_mut(name),
            })?;
            let any = at.get("@type").is_some();
            let configuration = if any { at.get_mut("value")? } else { at };
            *configuration = Value::Null;
            Some(documents)
        };
        if edited.configuration == *meant && around(old) == around(new) {
            Ok(())
        } else {
            Err(fault())
        }
    }
}

/// Which of an issuer's sources is pushed into: its only `jwks`.
fn source(configuration: &Value, issuer: &str) -> Result<usize, Failure> {
    let keys = configuration.get("issuers").and_then(|issuers| issuers.get(issuer)?.get("keys"));
    let sources = keys.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let has = |name: &str| sources.iter().any(|source| source.get(name).is_some());
    let sets = sources.iter().enumerate().filter(|(_, source)| source.get("jwks").is_some());
    let sets: Vec<usize> = sets.map(|(index, _)| index).collect();
    let place = Place::default().key("issuers").key(issuer).key("keys");
    match sets.as_slice() {
        [one] => Ok(*one),
        [] => Err(format!(
            "{place}: no `jwks`, and only a key set is pushed into{}",
            if has("remote") {
                ": Envoy fetches the keys of a `remote` itself"
            } else if has("secret") {
                ": a `secret` is in no published set"
            } else {
                ": a `pem` is given by hand; write `jwks: { keys: [] }` in its place"
            }
        )),
        _ => Err(format!("{place}: several `jwks`, and a push owns the only one: make them one")),
    }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(text: &str, issuer: Option<&str>) -> String {
        let documents = document::parse(text).unwrap();
        match Target::find(&documents, issuer) {
            Ok(target) => format!("{} {}", target.document, target.place()),
            Err(why) => why,
        }
    }

    #[test]
    fn finds_the_one_key_set() {
        let set = "[{ pem: p }, { jwks: { keys: [] } }]";
        let one = format!("issuers: {{ a: {{ keys: {set} }} }}\n");
        let two = format!("issuers: {{ a: {{ keys: {set} }}, b: {{ keys: {set} }} }}\n");
        let manifest = |inner: &str| {
            format!("kind: WasmPlugin\nspec:\n  pluginConfig: {{ {} }}\n", inner.trim())
        };
        let of = |keys: &str| format!("issuers: {{ a: {{ keys: [{keys}] }} }}\n");
        let cases = [
            (one.clone(), None, "0 issuers.a.keys[1].jwks"),
            (one.clone(), Some("a"), "0 issuers.a.keys[1].jwks"),
            (one.clone(), Some("c"), "no issuer `c`, there are: `a`"),
            (two.clone(), Some("b"), "0 issuers.b.keys[1].jwks"),
            (two, None, "several issuers, say `--issuer` and one of: `a`, `b`"),
            (
                format!("kind: Service\n---\n{}", manifest(&one)),
                None,
                "1 spec.pluginConfig: issuers.a.keys[1].jwks",
            ),
            (
                format!("{}---\n{}", manifest(&one), manifest(&one)),
                Some("a"),
                "issuer `a` is in several",
            ),
            ("a: 1".to_owned(), None, "no configuration of the filter with `issuers`"),
            ("routes: []".to_owned(), None, "no configuration of the filter with `issuers`"),
            ("issuers: {}".to_owned(), None, "the configuration has no issuer"),
            (
                of("{ remote: {} }"),
                None,
                "issuers.a.keys: no `jwks`, and only a key set is pushed into: Envoy fetches",
            ),
            (
                of("{ secret: {} }"),
                None,
                "issuers.a.keys: no `jwks`, and only a key set is pushed into: a `secret`",
            ),
            (
                of("{ pem: p }"),
                None,
                "issuers.a.keys: no `jwks`, and only a key set is pushed into: a `pem`",
            ),
            (of("{ jwks: {} }, { jwks: {} }"), None, "issuers.a.keys: several `jwks`"),
        ];
        for (text, issuer, want) in cases {
            let got = found(&text, issuer);
            assert!(got.starts_with(want), "{got}\n{text}");
        }
    }

    #[test]
    fn judges_without_the_secrets_that_only_envoy_has() {
        let text = "issuers:\n  a:\n    issuer: i\n    any_audience: true\n    keys: [{ jwks: { keys: [] } }]\n  b:\n    issuer: j\n    \
                    any_audience: true\n    keys: [{ secret: { env: NOWHERE_TO_BE_FOUND, encoding: base64 } }]\nroutes: [{ name: r, paths: [/], \
                    token: none }]\naudit: { hash_key: { env: NOWHERE_TO_BE_FOUND }, integrity: { sign: { env: NOWHERE_TO_BE_FOUND } } }\n";
        let documents = document::parse(text).unwrap();
        let target = Target::find(&documents, Some("a")).unwrap();
        let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        target.judge(target.with(&[Entry::Write(key.clone())])).unwrap();
        let why = target.judge(target.with(&[])).unwrap_err();
        assert!(
            why.starts_with(
                "the filter would refuse the configuration: issuers.a.keys: no usable key"
            ),
            "{why}"
        );
        let mut other = target.with(&[Entry::Write(key)]);
        other["audit"]["subject"] = "nobody".into();
        assert!(target.judge(other).is_err());
    }
}
