//! A configuration that requests can be tried on, twice: as it is, and with keys made up on the spot in place of
//! those of its issuers, so that tokens can be had that verify. Only verification makes them believed, here as
//! in the filter.

use super::read::list;
use crate::document;
use crate::output::{Finding, Severity};
use crate::{check, keys, read};
use claimgate::config::{self, Place};
use claimgate::engine::Engine;
use claimgate::shelf::Memory;
use claimgate::time::Timestamp;
use claimgate::token::signature::Portable;
use claimgate::token::{ClaimPath, Issuer};
use serde_json::{Map, Value, json};
use std::cell::OnceCell;
use std::rc::Rc;

/// See the module.
pub struct Policy {
    pub file: String,
    /// Where in the file; empty where it is the file.
    pub place: String,
    /// As it is written.
    pub raw: Value,
    /// The plugin's name.
    name: String,
    secret: keys::Secret,
    /// With made-up keys.
    pub made_up: Engine,
    /// With its own, once they are asked for.
    real: OnceCell<Engine>,
    /// What the limits of both have counted.
    counted: Rc<Memory>,
}

/// How long a token is valid that says nothing of it, in milliseconds.
const LIFETIME: i64 = 300_000;

/// What a claim holds that has to be there, and that nobody gave.
const PLACEHOLDER: &str = "placeholder";

/// Stands for secrets that deciding does not need: text, and base64 of 32 bytes.
const DUMMY: &str = "Y2xhaW1nYXRlIGNsYWltZ2F0ZSBjbGFpbWdhdGUgY2w=";

impl Policy {
    /// Loads the configuration of a file, or the one at this place of it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(file: &str, at: Option<&str>) -> Result<Self, Finding> {
        let wrong = |message: String| Finding { file: file.to_owned(), ..Finding::error(message) };
        let text = read(file).map_err(Finding::error)?;
        let found = document::configurations(&text).map_err(wrong)?;
        let places = list(found.iter().map(|found| found.place.as_str()));
        let mut chosen =
            found.into_iter().filter(|found| at.is_none_or(|place| found.place == place));
        let one = match (chosen.next(), chosen.next()) {
            (Some(one), None) => one,
            (None, _) => {
                return Err(wrong(format!("no configuration at that place, there are: {places}")));
            }
            (Some(_), Some(_)) => {
                return Err(wrong(format!("several configurations, say which one: {places}")));
            }
        };
        let document::Found { place, value: raw, name } = one;
        let secret = keys::Secret::new();
        let any = |name: &str| check::environment(name).or_else(|| Some(DUMMY.to_owned()));
        let made_up = config::load_value(with_keys(raw.clone(), &secret), &name, &any, &Portable)
            .map_err(|error| refused(file, &place, error))?;
        let file = file.to_owned();
        let counted = Rc::<Memory>::default();
        let made_up = counting(made_up.engine, &counted);
        Ok(Self { file, place, raw, name, secret, made_up, real: OnceCell::new(), counted })
    }

    /// Whether another is the same configuration of the same file.
    pub fn is(&self, other: &Self) -> bool {
        let path = |file: &str| std::fs::canonicalize(file).ok();
        self.place == other.place && path(&self.file) == path(&other.file)
    }

    /// The file, and where in it.
    pub fn title(&self) -> String {
        let colon = if self.place.is_empty() { "" } else { ": " };
        format!("{}{colon}{}", self.file, self.place)
    }

    /// With the keys that it has, and the secrets of the environment.
    ///
    /// # Errors
    /// What is wrong with these.
    pub fn real(&self) -> Result<&Engine, Finding> {
        if let Some(engine) = self.real.get() {
            return Ok(engine);
        }
        let loaded =
            config::load_value(self.raw.clone(), &self.name, &check::environment, &Portable);
        let loaded = loaded.map_err(|error| refused(&self.file, &self.place, error))?;
        Ok(self.real.get_or_init(|| counting(loaded.engine, &self.counted)))
    }

    /// Forgets what limits have counted.
    pub fn start_anew(&self) {
        self.counted.clear();
    }

    /// The issuer of this name, or the only one.
    ///
    /// # Errors
    /// Why there is not one.
    pub fn issuer(&self, name: Option<&str>) -> Result<&Issuer, String> {
        let issuers = &self.made_up.issuers;
        let known = || list(issuers.iter().map(|issuer| &*issuer.name));
        match (name, issuers.as_slice()) {
            (Some(name), _) => issuers
                .iter()
                .find(|issuer| *issuer.name == *name)
                .ok_or_else(|| format!("no issuer `{name}`, there are: {}", known())),
            (None, [one]) => Ok(one),
            (None, []) => Err("the configuration has no issuer, so that no token counts".into()),
            (None, _) => Err(format!("several issuers: say whose token it is, one of {}", known())),
        }
    }

    /// A token of an issuer with these claims, which verifies with the made-up keys if they are such that it can.
    ///
    /// # Errors
    /// Where it cannot be signed.
    pub fn token(
        &self,
        issuer: &Issuer,
        claims: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<String, String> {
        self.secret.sign(fill(claims, issuer, now), issuer.typ.as_deref())
    }
}

fn counting(mut engine: Engine, counted: &Rc<Memory>) -> Engine {
    engine.limits.open(0, Box::new(Rc::clone(counted)));
    engine
}

fn refused(file: &str, place: &str, error: config::ConfigError) -> Finding {
    let place = match (place.is_empty(), error.place.is_top()) {
        (true, true) => String::new(),
        (true, false) => error.place.to_string(),
        (false, true) => place.to_owned(),
        (false, false) => format!("{place}: {}", error.place),
    };
    Finding { severity: Severity::Error, file: file.to_owned(), place, message: error.reason }
}

/// The configuration with this secret for the keys of each issuer that names some; without any it is refused, here
/// as in the filter.
fn with_keys(mut configuration: Value, secret: &keys::Secret) -> Value {
    let issuers = configuration.get_mut("issuers").and_then(Value::as_object_mut);
    for issuer in issuers.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        if issuer.get("keys").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            continue;
        }
        let keys = json!([{ "secret": { "base64": secret.base64() }, "algorithms": ["HS256"] }]);
        issuer.insert("keys".to_owned(), keys);
        issuer.remove("algorithms");
        // Nothing is fetched here: made-up tokens are judged by what the configuration itself lists.
        if let Some(revocation) = issuer.get_mut("revocation").and_then(Value::as_object_mut)
            && revocation.remove("remote").is_some()
            && revocation.is_empty()
        {
            issuer.remove("revocation");
        }
    }
    // Decides nothing, and its key is not to be needed where policies are tested.
    if let Some(audit) = configuration.get_mut("audit").and_then(Value::as_object_mut) {
        audit.remove("integrity");
    }
    configuration
}

/// The claims, and those that every token of the issuer needs: `iss`, `aud`, `iat`, `exp` and `require_claims`.
/// One that is null is left out.
fn fill(claims: &Map<String, Value>, issuer: &Issuer, now: Timestamp) -> Map<String, Value> {
    let mut filled = claims.clone();
    let lifetime = issuer.max_lifetime_ms.map_or(LIFETIME, |longest| longest.min(LIFETIME));
    let seconds = now.as_millis() / 1000;
    let audience = issuer.audiences.iter().flatten().next();
    let registered = [
        ("iss", Some(Value::from(&*issuer.iss))),
        ("aud", audience.map(|audience| Value::from(&**audience))),
        ("iat", Some(seconds.into())),
        ("exp", Some((seconds + lifetime / 1000).into())),
    ];
    for (name, value) in registered {
        if let Some(value) = value {
            filled.entry(name).or_insert(value);
        }
    }
    for path in &issuer.require_claims {
        match path {
            ClaimPath::Name(name) => {
                filled.entry(&**name).or_insert_with(|| PLACEHOLDER.into());
            }
            ClaimPath::Pointer(steps) => {
                if let Some((Some(first), rest)) = steps.split_first() {
                    let claim = filled.entry(&**first).or_insert_with(|| nested(rest));
                    place(claim, rest);
                }
            }
        }
    }
    filled.retain(|_, value| !value.is_null());
    filled
}

/// A placeholder under these steps of a pointer.
fn nested(steps: &[Option<Box<str>>]) -> Value {
    match steps.split_first() {
        None => PLACEHOLDER.into(),
        Some((None, rest)) => json!([nested(rest)]),
        Some((Some(name), rest)) => json!({ &**name: nested(rest) }),
    }
}

/// Puts a placeholder under these steps, where an object on the way has nothing there.
fn place(value: &mut Value, steps: &[Option<Box<str>>]) {
    if let (Value::Object(members), Some((Some(name), rest))) = (value, steps.split_first()) {
        place(members.entry(&**name).or_insert_with(|| nested(rest)), rest);
    }
}

/// The place of a configuration inside a file, as a message names it.
pub fn place_of(place: &Place) -> String {
    if place.is_top() { String::new() } else { place.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_without_keys_is_given_none() {
        for keys in [json!(null), json!([]), json!({}), json!("k")] {
            let mut value = json!({"issuers": {"corp": {"issuer": "i", "any_audience": true}}});
            value["issuers"]["corp"]["keys"] = keys.clone();
            assert_eq!(with_keys(value.clone(), &keys::Secret::new()), value, "{keys}");
            assert!(config::load_value(value, "p", &|_| None, &Portable).is_err(), "{keys}");
        }
    }

    #[test]
    fn fills_in_what_every_token_needs() {
        let issuer = |max_lifetime: Value, require: Value| {
            let value = json!({
                "issuers": {"corp": {
                    "issuer": "https://idp.test",
                    "audiences": ["one", "two"],
                    "max_lifetime": max_lifetime,
                    "require_claims": require,
                    "keys": [{"secret": {"env": "NOT_SET"}}],
                }},
                "routes": [],
            });
            let value = with_keys(value, &keys::Secret::new());
            let loaded = config::load_value(value, "p", &|_| None, &Portable).unwrap();
            loaded.engine.issuers.into_iter().next().unwrap()
        };
        let rest = r#""aud":"one","exp":1300,"iat":1000,"iss":"https://idp.test""#;
        let cases = [
            ("1h", json!([]), json!({}), format!("{{{rest}}}")),
            (
                "1h",
                json!([]),
                json!({"aud": null, "iss": null, "iat": null, "exp": null}),
                "{}".to_owned(),
            ),
            (
                "1m",
                json!([]),
                json!({"aud": 5, "iss": "x", "iat": 7}),
                r#"{"aud":5,"exp":1060,"iat":7,"iss":"x"}"#.to_owned(),
            ),
            ("1h", json!(["jti"]), json!({}), format!(r#"{{{rest},"jti":"placeholder"}}"#)),
            ("1h", json!(["jti"]), json!({"jti": null}), format!("{{{rest}}}")),
            ("1h", json!(["jti"]), json!({"jti": "j"}), format!(r#"{{{rest},"jti":"j"}}"#)),
            (
                "1h",
                json!(["/x/y", "/x/z"]),
                json!({"x": {"y": 1}}),
                format!(r#"{{{rest},"x":{{"y":1,"z":"placeholder"}}}}"#),
            ),
            (
                "1h",
                json!(["/x/*/z"]),
                json!({}),
                format!(r#"{{{rest},"x":[{{"z":"placeholder"}}]}}"#),
            ),
            ("1h", json!(["/x/y"]), json!({"x": 5}), format!(r#"{{{rest},"x":5}}"#)),
        ];
        for (lifetime, require, claims, want) in cases {
            let issuer = issuer(lifetime.into(), require);
            let claims = claims.as_object().unwrap();
            let filled = fill(claims, &issuer, Timestamp::from_secs(1000));
            assert_eq!(Value::Object(filled).to_string(), want);
        }
    }
}
