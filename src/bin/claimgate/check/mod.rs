//! `claimgate check`: what the filter would say of a configuration when it loads, and what around it would let
//! requests past it.

mod clusters;
mod envoy;
mod envoy_gateway;
pub mod istio;
pub mod plugin;

use crate::document::{self, Plugin, Runner};
use crate::lines::Lines;
use crate::output::{Finding, Format, Severity};
use crate::{Failure, read};
use claimgate::config::{self, Place};
use claimgate::token::signature::Portable;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// A configuration in JSON or YAML, alone or inside an envoy.yaml, an ECDS resource file, a
    /// WasmPlugin or TrafficExtension of Istio's or an EnvoyExtensionPolicy; `-` is standard input.
    file: String,
    /// Warnings fail too.
    #[arg(long)]
    strict: bool,
}

/// A configuration that was looked at.
#[derive(serde::Serialize)]
struct Checked {
    file: String,
    place: String,
    loads: bool,
    name: Option<String>,
    routes: usize,
    issuers: usize,
}

/// Something to tell of a place.
#[derive(Clone)]
pub struct Note {
    severity: Severity,
    place: String,
    message: String,
}

impl Note {
    fn error(place: &Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, place: place.to_string(), message: message.into() }
    }

    fn warning(place: &Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    /// An error where it matters, else a warning.
    fn error_if(matters: bool, place: &Place, message: impl Into<String>) -> Self {
        if matters { Self::error(place, message) } else { Self::warning(place, message) }
    }
}

pub fn run(arguments: &Arguments, format: Format) -> Result<ExitCode, Failure> {
    let file = &arguments.file;
    let text = read(file)?;
    let (checked, findings) = check(file, &text, &|path| read(path), &environment)?;
    let mut lines = BTreeMap::from([(file.as_str(), Lines::of(&text))]);
    for finding in &findings {
        let read = || read(&finding.file).map(|text| Lines::of(&text));
        let lines = lines.entry(&finding.file).or_insert_with(|| read().unwrap_or_default());
        format.tell_at(finding, lines.find(&finding.place));
    }
    format.print(&checked, || checked.iter().map(Checked::line).collect());
    let any = |severity| findings.iter().any(|finding| finding.severity == severity);
    Ok(match (any(Severity::Error), any(Severity::Warning) && arguments.strict) {
        (true, _) => ExitCode::from(2),
        (false, true) => ExitCode::from(1),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// Reads another file.
type Open<'a> = &'a dyn Fn(&str) -> Result<String, Failure>;

/// Checks a file, and the files that Envoy would read for the filters in it.
fn check(
    file: &str,
    text: &str,
    open: Open<'_>,
    environment: config::Environment<'_>,
) -> Result<(Vec<Checked>, Vec<Finding>), Failure> {
    let within = |file: &str, why: Failure| format!("`{file}`: {why}");
    let documents = document::parse(text).map_err(|why| within(file, why))?;
    let plugins = document::plugins(&documents);
    let mut notes: Vec<(&str, Vec<Note>)> = Vec::new();
    let mut missing = Vec::new();
    let mut pushed: Vec<(envoy::Discovered, Vec<Value>)> = Vec::new();
    for found in envoy::discovered(&documents) {
        match open(&found.path) {
            Ok(text) => {
                let documents = document::parse(&text).map_err(|why| within(&found.path, why))?;
                pushed.push((found, documents));
            }
            Err(why) => missing.push(Note::warning(
                &found.entry,
                format!("what it loads is not looked at: {why}; check that file too"),
            )),
        }
    }
    let elsewhere: Vec<(&envoy::Discovered, Vec<Plugin<'_>>)> =
        pushed.iter().map(|(found, documents)| (found, document::plugins(documents))).collect();
    if plugins.is_empty() && elsewhere.is_empty() && missing.is_empty() {
        return Err(within(file, document::NONE.to_owned()));
    }
    let mut checked = Vec::new();
    let mut look = |file: &str, plugins: &[Plugin<'_>]| {
        let mut notes = Vec::new();
        for plugin in plugins {
            notes.extend(plugin::judge(plugin));
            checked.push(load(file, plugin, environment, &mut notes));
        }
        notes
    };
    notes.push((file, look(file, &plugins)));
    if !envoy::has_manager(&documents) {
        notes.push((file, plugins.iter().filter_map(unseen_address).collect()));
    }
    for (found, plugins) in &elsewhere {
        let mut own = look(&found.path, plugins);
        if plugins.is_empty() {
            own.push(Note::error(&Place::default(), document::NONE));
        }
        notes.push((&found.path, own));
    }
    let around = envoy::Around::new(&plugins, &elsewhere);
    notes.push((file, missing));
    notes.push((file, envoy::judge(&documents, &around)));
    notes.push((file, clusters::judge(&documents, &around)));
    notes.push((file, istio::judge(&documents, &plugins)));
    notes.push((file, envoy_gateway::judge(&documents, &plugins)));
    let finding = |file: &str, Note { severity, place, message }| {
        let file = file.to_owned();
        Finding { severity, file, place, message }
    };
    let of = |(file, notes): (&str, Vec<Note>)| -> Vec<Finding> {
        notes.into_iter().map(|note| finding(file, note)).collect()
    };
    let mut findings: Vec<Finding> = notes.into_iter().flat_map(of).collect();
    findings.sort_by_key(|finding| finding.severity != Severity::Error);
    Ok((checked, findings))
}

/// Loads a configuration as the filter would, with the environment that it would see.
fn load(
    file: &str,
    plugin: &Plugin<'_>,
    environment: config::Environment<'_>,
    notes: &mut Vec<Note>,
) -> Checked {
    let mut tell = |severity, inside: &Place, message: String| {
        let place = join(&written(&plugin.inside), inside);
        notes.push(Note { severity, place, message });
    };
    let handed = plugin::variables(plugin, environment);
    let loaded = match &plugin.configuration {
        Ok(value) => config::load_value(value.clone(), &plugin.name, &handed, &Portable),
        Err(why) => Err(Place::default().error(why.clone())),
    };
    let engine = match &loaded {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                tell(Severity::Warning, &warning.place, warning.reason.clone());
            }
            Some(&loaded.engine)
        }
        Err(error) => {
            tell(Severity::Error, &error.place, error.reason.clone());
            None
        }
    };
    Checked {
        file: file.to_owned(),
        place: written(&plugin.inside),
        loads: engine.is_some(),
        name: engine.map(|engine| engine.name.clone()),
        routes: engine.map_or(0, |engine| engine.routes.len()),
        issuers: engine.map_or(0, |engine| engine.issuers.len()),
    }
}

/// A place in a configuration that is itself in a file.
pub fn join(outer: &str, inside: &Place) -> String {
    match (outer.is_empty(), inside.is_top()) {
        (true, _) => inside.to_string(),
        (false, true) => outer.to_owned(),
        (false, false) => format!("{outer}: {inside}"),
    }
}

/// A place as text, empty for the top.
pub fn written(place: &Place) -> String {
    if place.is_top() { String::new() } else { place.to_string() }
}

/// A configuration that reads the client's address, in a file that does not show what Envoy takes for it.
fn unseen_address(plugin: &Plugin<'_>) -> Option<Note> {
    let inside = client_address(plugin.configuration.as_ref().ok()?)?;
    // Istio's manifests are judged by themselves, and Envoy Gateway sets it.
    let seen = matches!(plugin.runner, Runner::Istio { .. } | Runner::EnvoyGateway(_));
    (!seen).then(|| Note {
        severity: Severity::Warning,
        place: join(&written(&plugin.inside), &inside),
        message: "`client_address` is the client's own word unless Envoy's connection manager has \
                  `use_remote_address: true`, which is not in this file"
            .to_owned(),
    })
}

/// The first place in a configuration that reads Envoy's client address.
pub fn client_address(configuration: &Value) -> Option<Place> {
    let mut found = None;
    document::walk(configuration, &Place::default(), &mut |value, place| {
        let by = document::items(value, "by").iter().any(|by| by == "client_address");
        if value.get("client_address").is_some() || by {
            found.get_or_insert_with(|| place.clone());
        }
    });
    found
}

impl Checked {
    fn line(&self) -> String {
        let Some(name) = &self.name else { return String::new() };
        let inside =
            if self.place.is_empty() { String::new() } else { format!(": {}", self.place) };
        let Self { file, routes, issuers, .. } = self;
        format!("{file}{inside}: `{name}` loads, routes: {routes}, issuers: {issuers}\n")
    }
}

#[allow(clippy::disallowed_methods, reason = "the command line has an environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests;
