//! `claimgate import`: a configuration from Envoy's own filters, or from Istio's manifests.
//!
//! Both are read into one formula that says whether a request is let through ([`policy`]), which is
//! then told for the requests of each owner ([`routes`]). Whatever cannot be told for certain is
//! refused, and reported ([`finding`]): nothing that is written lets a request through that the
//! source would have refused.

mod ask;
mod condition;
mod envoy;
mod envoy_jwt;
mod envoy_rbac;
mod finding;
mod host;
mod issuers;
mod istio;
mod istio_rules;
mod leaf;
mod merge;
mod path;
mod pattern;
mod policy;
mod regex;
mod routes;
mod source;
mod text;

use crate::output::Format;
use crate::yaml::Node;
use crate::{Failure, read};
use finding::{At, Findings};
use serde_json::{Value, json};
use source::Document;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// An envoy.yaml, a listener resource, a list of HTTP filters, or Istio manifests; YAML or
    /// JSON. Istio's are applied together; `-` is standard input.
    #[arg(required = true)]
    files: Vec<String>,
    /// Writes the configuration here instead of to standard output.
    #[arg(long)]
    out: Option<String>,
    #[command(flatten)]
    options: Options,
}

/// What a source leaves open.
#[derive(clap::Args, Default)]
pub struct Options {
    /// Istio: the namespace of the workload.
    #[arg(long)]
    pub namespace: Option<String>,
    /// Istio: the labels of the workload, `app=logs,version=v1`.
    #[arg(long, value_delimiter = ',', value_parser = label)]
    pub workload: Vec<(String, String)>,
    /// Istio: the namespace whose manifests apply to the whole mesh.
    #[arg(long, default_value = "istio-system")]
    pub root_namespace: String,
    /// Istio: the port that the filter stands at, for rules that name ports.
    #[arg(long)]
    pub port: Option<u16>,
    /// Envoy: the listener, where there are several.
    #[arg(long)]
    pub listener: Option<String>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected `name=value`")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub fn run(arguments: &Arguments, format: Format) -> Result<ExitCode, Failure> {
    let mut documents = Vec::new();
    for file in &arguments.files {
        let text = read(file)?;
        documents.extend(parse(file, &text).map_err(|why| format!("`{file}`: {why}"))?);
    }
    let imported = import(&documents, &arguments.files, &arguments.options)?;
    for finding in &imported.findings.0 {
        format.tell_as(finding, || finding.to_string());
    }
    match &arguments.out {
        None => format.print(&json!({ "configuration": imported.text }), || imported.text.clone()),
        #[allow(clippy::disallowed_methods, reason = "the command line writes files")]
        Some(out) => {
            std::fs::write(out, &imported.text).map_err(|error| format!("`{out}`: {error}"))?;
        }
    }
    let some_lost = imported.findings.some_lost();
    Ok(if some_lost { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// What an import comes to.
struct Imported {
    text: String,
    findings: Findings,
}

/// The documents of a file; the items of a list are documents too.
fn parse(file: &str, text: &str) -> Result<Vec<Document>, Failure> {
    let values: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| {
        format!("not YAML: {}", error.to_string().lines().next().unwrap_or_default())
    })?;
    let mut documents = Vec::new();
    for value in values.into_iter().filter(|value| !value.is_null()) {
        match value.get("items").and_then(Value::as_array) {
            Some(items) if value.get("kind").is_some() => {
                documents.extend(items.iter().map(|item| document(file, item.clone())));
            }
            _ => documents.push(document(file, value)),
        }
    }
    Ok(documents)
}

fn document(file: &str, value: Value) -> Document {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let metadata = value.get("metadata");
    let kind = text(value.get("kind"));
    let own = text(metadata.and_then(|metadata| metadata.get("name")));
    let namespace = text(metadata.and_then(|metadata| metadata.get("namespace")));
    let name = match (kind, own, namespace) {
        (Some(kind), Some(name), Some(namespace)) => format!("{kind} {namespace}/{name}"),
        (Some(kind), Some(name), None) => format!("{kind} {name}"),
        (Some(kind), None, _) => kind,
        (None, ..) => String::new(),
    };
    Document { file: file.to_owned(), name, value }
}

fn import(
    documents: &[Document],
    files: &[String],
    options: &Options,
) -> Result<Imported, Failure> {
    let mut findings = Findings::default();
    let istio = documents.iter().any(|document| istio::is_manifest(&document.value));
    let envoy = envoy::read(documents, options, &mut findings)?;
    let (policy, issuers) = match (istio, envoy) {
        (true, None) => istio::read(documents, options, &mut findings)?,
        (false, Some(read)) => read,
        (true, Some(_)) => {
            return Err("both Istio manifests and Envoy filters: import one at a time".to_owned());
        }
        (false, None) => {
            return Err(
                "nothing to import: expected `jwt_authn` or `rbac` HTTP filters of Envoy, or \
                        Istio's RequestAuthentication or AuthorizationPolicy"
                    .to_owned(),
            );
        }
    };
    let names = issuers.names();
    let routes = routes::routes(&policy, &names);
    if !routes.complete {
        let at = At::document(files.first().map_or("", String::as_str), "paths");
        findings.stricter(&at, "too many of them to tell all combinations apart: some are refused");
    }
    let mut members = vec![("version", Node::from(json!(1)))];
    if !names.is_empty() {
        members.push(("issuers", issuers.node()));
    }
    if names.len() > 1 {
        members.push(("defaults", Node::map([("issuers", Node::texts(&names))])));
    }
    if !routes.conditions.is_empty() {
        members.push(("conditions", Node::Map(routes.conditions)));
    }
    members.push(("routes", Node::List(routes.routes)));
    members.extend(issuers.identity(&mut findings).map(|identity| ("identity", identity)));
    members.push(("path_safety", Node::map([("final_slash", Node::from("refuse"))])));
    let document =
        Node::Map(members.into_iter().map(|(name, node)| (name.to_owned(), node)).collect());
    // By the filter's own code, and from what is written: it is to load as it stands.
    issuers::load(&document)
        .map_err(|why| format!("what was made does not load, so that nothing is written: {why}"))?;
    let text = format!("{}{}", heading(files, &issuers, &findings), document.yaml());
    Ok(Imported { text, findings })
}

/// The comment at the top.
fn heading(files: &[String], issuers: &issuers::Issuers, findings: &Findings) -> String {
    let mut text = format!("# Made by `claimgate import` from {}.\n", files.join(", "));
    let count = |severity| findings.0.iter().filter(|one| one.severity == severity).count();
    let (lost, stricter) = (count(finding::Severity::LeftOut), count(finding::Severity::Stricter));
    if lost + stricter > 0 {
        text.push_str(&format!(
            "# Left out: {lost}, stricter: {stricter}; `claimgate import` says which and why.\n"
        ));
    }
    text.push_str(
        "# It lets nothing through that the source refuses. It refuses more: ambiguous paths, paths with a\n\
         # final slash where the source has none, tokens without `exp`, upgrades (`upgrade: [websocket]` on a\n\
         # route takes them), TRACE and CONNECT. A host is compared without its port, a scheme without case.\n",
    );
    if !issuers.kept.is_empty() {
        text.push_str(
            "# To be looked at: that each `cluster` leads to the issuer over verified TLS, and each `url`.\n",
        );
    }
    text
}
