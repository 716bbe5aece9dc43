//! The mirror to checked values.

mod advice;
mod audit;
mod condition;
mod identity;
mod issuer;
mod keys;
mod limit;
mod renew;
mod responses;
mod revocation;
mod route;
mod secret;
mod source;

use super::error::{ConfigError, Place, Warning};
use super::raw;
use crate::engine::Engine;
use crate::policy::path::Hazards;
use crate::policy::route::Mode;
use crate::policy::table::Table;
use crate::token::extract::Source;
use crate::token::keyring::Keyring;
use crate::token::renewal::Renewals;
use crate::token::signature::SignatureBackend;
use crate::token::{Issuer, IssuerId, Trust};
use source::time;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest token where the configuration says nothing, in bytes.
const MAX_TOKEN_BYTES: usize = 16_384;

/// Reads an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A configuration that loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The policy.
    pub engine: Engine,
    /// What is likely not meant.
    pub warnings: Vec<Warning>,
    /// A short name of what the configuration says, for metrics: 12 hexadecimal digits.
    pub digest: String,
}

/// What the parts of a configuration are built with.
struct Builder<'a> {
    environment: Environment<'a>,
    backend: &'a dyn SignatureBackend,
    warnings: Vec<Warning>,
    fold_case: bool,
    relaxed: Hazards,
    /// The issuers' names, in the order of their ids.
    names: Vec<String>,
    /// Each issuer's attributes.
    attributes: Vec<BTreeMap<String, crate::token::ClaimPath>>,
    /// How many parts the condition that is being built may still have.
    budget: Cell<usize>,
    /// Named conditions, in the mirror's form: a condition may name others.
    conditions: BTreeMap<String, raw::Condition>,
}

/// Builds a policy.
///
/// # Errors
/// The first thing that is wrong.
pub fn build(
    config: raw::Config,
    plugin: &str,
    environment: Environment<'_>,
    backend: &dyn SignatureBackend,
) -> Result<Loaded, ConfigError> {
    let top = Place::default();
    if let Some(version) = config.version.filter(|version| *version != 1) {
        return Err(top.key("version").error(format!("found {version}, this version reads 1")));
    }
    let advice = advice::of(&config);
    let name = match config.name {
        Some(name) => {
            check_name(&name, &top.key("name"))?;
            name
        }
        None => plugin_name(plugin),
    };
    let relaxed = route::hazards(&config.path_safety);
    let mut builder = Builder {
        environment,
        backend,
        warnings: Vec::new(),
        fold_case: config.path_safety.case == Some(raw::Case::Insensitive),
        relaxed,
        names: config.issuers.keys().cloned().collect(),
        attributes: Vec::new(),
        budget: Cell::new(0),
        conditions: config.conditions,
    };
    let mut issuers: Vec<Issuer> = Vec::new();
    let mut keyring = Keyring::default();
    let mut revocations = Vec::new();
    let mut renewals = Vec::new();
    for (name, mut raw) in config.issuers {
        let place = top.key("issuers").key(&name);
        check_name(&name, &place)?;
        // Taken out, since a long list is not to be there twice.
        let revocation = raw.revocation.take();
        let (issuer, keys) = builder.issuer(&name, &raw, &place)?;
        if let Some(other) = issuers.iter().find(|other| other.iss == issuer.iss) {
            return Err(place.key("issuer").error(format!(
                "issuer `{}` has the same `iss`: no two issuers share one",
                other.name
            )));
        }
        let renewal = raw
            .renew
            .as_ref()
            .map(|renew| builder.renew(renew, &issuer.sources, &place.key("renew")));
        renewals.push(renewal.transpose()?);
        issuers.push(issuer);
        keyring.push(keys.own, keys.remote);
        let place = place.key("revocation");
        let lists = revocation.map(|list| builder.revocation(list, &raw.require_claims, &place));
        revocations.push(lists.transpose()?);
    }
    renew::check_cookies(&issuers, &renewals, &top.key("issuers"))?;
    builder.check_conditions(&top.key("conditions"))?;
    let routes = builder.routes(&config.routes, &config.defaults, &issuers, &top, &top)?;
    let candidate = config.candidate.as_ref().map(|raw| {
        let place = top.key("candidate");
        builder.routes(&raw.routes, &config.defaults, &issuers, &place, &top)
    });
    let candidate =
        candidate.transpose()?.map(|routes_on_trial| Table::new(routes_on_trial, routes.len()));
    let routes = Table::new(routes, 0);
    builder.warn_of_unreachable(&routes, &top);
    if let Some(candidate) = &candidate {
        builder.warn_of_unreachable(candidate, &top.key("candidate"));
    }
    let identity = builder.identity(&config.identity, &issuers, &top.key("identity"))?;
    let limits = builder.limits(&config.limits, config.limit_identities, &routes, &top)?;
    let audit = builder.audit(&config.audit, &top.key("audit"))?;
    let max_token_bytes = config.max_token_bytes.unwrap_or(MAX_TOKEN_BYTES);
    if max_token_bytes == 0 {
        return Err(top.key("max_token_bytes").error("found 0, expected at least 1"));
    }
    let mut query_sources: Vec<Source> = Vec::new();
    let tables = std::iter::once(&routes).chain(&candidate);
    for carrier in tables.flat_map(|table| table.iter()).flat_map(|route| &route.carriers) {
        if matches!(carrier.source, Source::Query { .. })
            && !query_sources.contains(&carrier.source)
        {
            query_sources.push(carrier.source.clone());
        }
    }
    let renewals = Renewals::new(renewals);
    let refresh_cookies = renewals.iter().map(|renewal| Source::Cookie {
        name: renewal.refresh_cookie.clone(),
        origins: Vec::new(),
    });
    let engine = Engine {
        name,
        issuers,
        routes,
        candidate,
        responses: responses::responses(&config.responses, query_sources, &top.key("responses"))?,
        identity,
        audit,
        fold_case: builder.fold_case,
        final_slash: config.path_safety.final_slash != Some(raw::Relaxation::Refuse),
        max_token_bytes,
        mode: mode(config.mode),
        limits,
        refresh_cookies: refresh_cookies.collect(),
        renewals,
        trust: RefCell::new(Trust::new(keyring, revocations)),
    };
    let mut warnings = builder.warnings;
    warnings.extend(advice);
    Ok(Loaded { engine, warnings, digest: String::new() })
}

impl Builder<'_> {
    /// The ids of issuers that are named.
    fn issuer_ids(&self, names: &[String], place: &Place) -> Result<Vec<IssuerId>, ConfigError> {
        let id = |(index, name): (usize, &String)| {
            self.issuer_id(name).ok_or_else(|| {
                let known = list(self.names.iter().map(String::as_str));
                place.index(index).error(format!("no issuer `{name}`, there are: {known}"))
            })
        };
        names.iter().enumerate().map(id).collect()
    }

    fn issuer_id(&self, name: &str) -> Option<IssuerId> {
        self.names.iter().position(|known| known == name).map(IssuerId)
    }
}

fn mode(mode: Option<raw::Mode>) -> Mode {
    match mode {
        None | Some(raw::Mode::Enforce) => Mode::Enforce,
        Some(raw::Mode::Shadow) => Mode::Shadow,
    }
}

/// Names are lower-case letters, digits, `-` and `_`.
fn check_name(name: &str, place: &Place) -> Result<(), ConfigError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    if !name.is_empty() && name.bytes().all(plain) {
        return Ok(());
    }
    Err(place.error("a name is lower-case letters, digits, `-` and `_`"))
}

/// The plugin's name in Envoy, as far as it can be a name here.
fn plugin_name(plugin: &str) -> String {
    let plain = |c: char| {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' }
    };
    let name: String = plugin.chars().take(64).map(plain).collect();
    if name.is_empty() { "claimgate".to_owned() } else { name }
}

/// A duration as `30s`, `5m`, `720h`: one whole number and its unit.
fn duration(text: &str, place: &Place) -> Result<Duration, ConfigError> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = text.strip_suffix(unit).unwrap_or_default();
    let duration = match (number, unit) {
        ("", _) => None,
        (_, "ms" | "s" | "m" | "h" | "d") if number.trim_start_matches('0').is_empty() => {
            // humantime takes no zero with a unit.
            Some(Duration::ZERO)
        }
        (_, "ms" | "s" | "m" | "h" | "d") => humantime::parse_duration(text).ok(),
        _ => None,
    };
    // A thousand years: arithmetic stays far from its limits.
    let bounded = duration.filter(|duration| *duration <= Duration::from_secs(31_557_600_000));
    bounded
        .ok_or_else(|| place.error(format!("`{text}` is no duration: write `30s`, `5m` or `720h`")))
}

/// Words for a message: `a`, `b`.
fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// A number, also in the form that Envoy gives a fraction, or an integer beyond 32 bits, which it reads from YAML: text.
fn number(value: &serde_json::Value) -> Option<serde_json::Number> {
    match value {
        serde_json::Value::Number(number) => Some(number.clone()),
        serde_json::Value::String(text) if text.contains(['.', 'e', 'E']) || text.len() > 9 => {
            text.parse().ok()
        }
        _ => None,
    }
}

fn check_not_empty<T>(list: &[T], place: &Place) -> Result<(), ConfigError> {
    if list.is_empty() {
        return Err(
            place.error("an empty list matches nothing: name at least one, or leave it out")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        let cases = [
            ("0s", Some(0)),
            ("00m", Some(0)),
            ("250ms", Some(250)),
            ("30s", Some(30_000)),
            ("5m", Some(300_000)),
            ("720h", Some(2_592_000_000)),
            ("", None),
            ("30", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1 hour", None),
            ("1h30m", None),
            ("99999999999999999999s", None),
            ("9999999999999d", None),
        ];
        for (text, want) in cases {
            let got = duration(text, &Place::default()).ok().map(|duration| duration.as_millis());
            assert_eq!(got, want, "{text}");
        }
    }
}
