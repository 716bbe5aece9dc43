//! Istio's RequestAuthentication and AuthorizationPolicy.

use super::Options;
use super::condition::Condition;
use super::finding::{At, Findings};
use super::issuers::{self, Carried, Issuer, Issuers};
use super::istio_rules;
use super::policy::{Ask, Formula, Policy, Without};
use super::source::{Document, Object, seconds};
use crate::Failure;
use crate::yaml::Node;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What Istio splits at spaces without being told.
const WORDS: [&str; 2] = ["scope", "permission"];

/// A manifest that is one of the two.
struct Manifest<'d> {
    spec: Object<'d>,
    kind: &'d str,
    namespace: Option<String>,
    labels: BTreeMap<String, String>,
}

/// Whether a document is one of Istio's manifests that are read here.
pub fn is_manifest(value: &Value) -> bool {
    matches!(kind(value), "RequestAuthentication" | "AuthorizationPolicy")
}

fn kind(value: &Value) -> &str {
    value.get("kind").and_then(Value::as_str).unwrap_or_default()
}

/// Reads all manifests, as they apply to one workload together.
pub fn read(
    documents: &[Document],
    options: &Options,
    findings: &mut Findings,
) -> Result<(Policy, Issuers), Failure> {
    let all: Vec<Manifest<'_>> =
        documents.iter().filter(|one| is_manifest(&one.value)).map(manifest).collect();
    let applied = applied(all, options)?;
    let mut issuers = Issuers::default();
    for manifest in applied.iter().filter(|one| one.kind == "RequestAuthentication") {
        let known = ["selector", "target_ref", "target_refs", "jwt_rules"];
        for name in manifest.spec.others(&known) {
            findings.left_out(&manifest.spec.at.key(name), "not known");
        }
        for rule in manifest.spec.list("jwt_rules") {
            jwt_rule(&rule, &mut issuers, findings);
        }
    }
    let mut words: BTreeSet<String> = WORDS.iter().map(|word| (*word).to_owned()).collect();
    words.extend(issuers.kept.iter().flat_map(|issuer| issuer.words.iter().cloned()));
    let context = istio_rules::Context { options, issuers: &issuers, words: &words };
    let (mut allow, mut deny) = (Vec::new(), Vec::new());
    let mut allows = false;
    for manifest in applied.iter().filter(|one| one.kind == "AuthorizationPolicy") {
        let spec = &manifest.spec;
        let action = spec.text("action").unwrap_or_else(|| "ALLOW".to_owned());
        let denies = match action.as_str() {
            "ALLOW" => false,
            "DENY" => true,
            "AUDIT" => {
                findings.note(&spec.at.key("action"), "AUDIT decides nothing");
                continue;
            }
            "CUSTOM" => {
                findings.left_out(
                    &spec.at.key("action"),
                    "an external authorizer decides: what the policy matches is refused",
                );
                true
            }
            other => {
                findings.left_out(
                    &spec.at.key("action"),
                    format!("`{other}` is not known: what the policy matches is refused"),
                );
                true
            }
        };
        let namespace = manifest.namespace.as_deref();
        let known = ["selector", "target_ref", "target_refs", "rules", "action", "provider"];
        let others = spec.others(&known);
        for name in &others {
            findings.left_out(&spec.at.key(name), istio_rules::consequence(denies));
        }
        let mut rules: Vec<Formula> = spec
            .list("rules")
            .iter()
            .map(|rule| istio_rules::rule(rule, denies, namespace, &context, findings))
            .collect();
        if !others.is_empty() {
            rules = vec![Formula::unknown()];
        }
        allows |= !denies;
        if denies { &mut deny } else { &mut allow }.extend(rules);
    }
    let mut parts = vec![issuers.guard()];
    parts.extend(deny.into_iter().map(Formula::not));
    // Without a policy that allows, everything is allowed.
    if allows {
        parts.push(Formula::Any(allow));
    }
    let otherwise = match issuers.kept.is_empty() {
        true => Ask::Nothing,
        false => Ask::Token {
            without: Without::Anonymous,
            issuers: issuers.names(),
            besides: Condition::Always,
        },
    };
    Ok((Policy { asks: Vec::new(), otherwise, allow: Formula::All(parts) }, issuers))
}

fn manifest(document: &Document) -> Manifest<'_> {
    let top = Object::new(&document.value, At::document(&document.file, &document.name));
    let namespace = top.object("metadata").and_then(|metadata| metadata.text("namespace"));
    let spec = top.get("spec").unwrap_or(&Value::Null);
    let spec = Object::new(spec, top.at.key("spec"));
    let mut labels = BTreeMap::new();
    if let Some(matched) = spec.object("selector").and_then(|one| one.object("match_labels")) {
        for (name, value) in matched.members() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            labels.insert(name.to_owned(), value);
        }
    }
    let mut targets = spec.list("target_refs");
    targets.extend(spec.object("target_ref"));
    for target in targets {
        // A gateway's pods have this label; a Service is a workload of its own.
        let name = match target.text("kind").as_deref() {
            Some("Gateway") => "gateway.networking.k8s.io/gateway-name".to_owned(),
            Some(kind) => format!("target/{kind}"),
            None => "target".to_owned(),
        };
        labels.insert(name, target.text("name").unwrap_or_default());
    }
    Manifest { spec, kind: kind(&document.value), namespace, labels }
}

/// The manifests that apply to one workload.
fn applied<'d>(all: Vec<Manifest<'d>>, options: &Options) -> Result<Vec<Manifest<'d>>, Failure> {
    let root = &options.root_namespace;
    // In the root namespace, what names no workload applies to all namespaces.
    let is_mesh =
        |one: &Manifest<'_>| one.namespace.as_ref() == Some(root) && one.labels.is_empty();
    let namespaces: BTreeSet<&String> =
        all.iter().filter(|one| !is_mesh(one)).filter_map(|one| one.namespace.as_ref()).collect();
    if options.namespace.is_none() && namespaces.len() > 1 {
        let names: Vec<&str> = namespaces.iter().map(|name| name.as_str()).collect();
        return Err(format!(
            "the manifests are for several namespaces ({}): name the workload's by `--namespace`",
            names.join(", ")
        ));
    }
    let own = options.namespace.clone().or_else(|| namespaces.first().map(|name| (*name).clone()));
    let labels: BTreeSet<&BTreeMap<String, String>> =
        all.iter().map(|one| &one.labels).filter(|labels| !labels.is_empty()).collect();
    if options.workload.is_empty() && labels.len() > 1 {
        let describe = |labels: &&BTreeMap<String, String>| {
            labels
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join(",")
        };
        let names: Vec<String> = labels.iter().map(describe).collect();
        return Err(format!(
            "the manifests are for several workloads ({}): name the labels of one by `--workload`",
            names.join("; ")
        ));
    }
    let given: BTreeMap<String, String> = options.workload.iter().cloned().collect();
    let applies = |one: &Manifest<'_>| {
        let here = is_mesh(one) || one.namespace.is_none() || one.namespace == own;
        let selects = given.is_empty()
            || one.labels.iter().all(|(name, value)| given.get(name) == Some(value));
        here && selects
    };
    let had = all.iter().any(|one| one.kind == "AuthorizationPolicy");
    let applied: Vec<Manifest<'_>> = all.into_iter().filter(applies).collect();
    if had && !applied.iter().any(|one| one.kind == "AuthorizationPolicy") {
        return Err(
            "no AuthorizationPolicy is for this workload: without one everything is open; leave \
                    the files with policies out if that is meant"
                .to_owned(),
        );
    }
    Ok(applied)
}

fn jwt_rule(rule: &Object<'_>, issuers: &mut Issuers, findings: &mut Findings) {
    let known = [
        "issuer",
        "audiences",
        "jwks_uri",
        "jwks",
        "from_headers",
        "from_params",
        "from_cookies",
        "output_payload_to_header",
        "forward_original_token",
        "output_claim_to_headers",
        "timeout",
        "space_delimited_claims",
    ];
    let mut carried = Vec::new();
    for header in rule.list("from_headers") {
        let name = header.text("name").unwrap_or_default().to_ascii_lowercase();
        carried.push(Carried::Header(name, header.text("prefix").unwrap_or_default()));
    }
    carried.extend(rule.texts("from_params").into_iter().map(Carried::Query));
    carried.extend(rule.texts("from_cookies").into_iter().map(Carried::Cookie));
    if carried.is_empty() {
        carried = issuers::usual_places();
    }
    let others = rule.others(&known);
    let Some(iss) = rule.text("issuer").filter(|_| others.is_empty()) else {
        let what = others
            .first()
            .map_or("without `issuer`".to_owned(), |name| format!("`{name}` is not known"));
        findings.left_out(&rule.at, format!("{what}: its tokens are refused"));
        issuers.leave_out(carried);
        return;
    };
    let keys = match keys(rule, &iss, findings) {
        Ok(keys) => keys,
        Err(why) => {
            findings.left_out(&rule.at.key("jwks"), format!("{why}: its tokens are refused"));
            issuers.leave_out(carried);
            return;
        }
    };
    let mut claim_headers = Vec::new();
    for pair in rule.list("output_claim_to_headers") {
        let header = pair.text("header").unwrap_or_default().to_ascii_lowercase();
        let claim = pair.text("claim").unwrap_or_default();
        let keys: Vec<String> = claim.split('.').map(str::to_owned).collect();
        let name = super::leaf::claim_name(&keys).ok_or_else(|| format!("no claim `{claim}`"));
        match name.and_then(|name| issuers::check_header(&header, &name).map(|()| name)) {
            Ok(name) => claim_headers.push((header, name)),
            Err(why) => findings.left_out(&pair.at, why),
        }
    }
    let issuer = Issuer {
        provider: String::new(),
        name: String::new(),
        iss,
        audiences: rule.texts("audiences"),
        keys,
        carried,
        forward: rule.flag("forward_original_token"),
        clock_skew: 60,
        max_lifetime: None,
        payload_header: rule.text("output_payload_to_header"),
        claim_headers,
        metadata: None,
        words: rule.texts("space_delimited_claims"),
        at: rule.at.clone(),
    };
    issuers.add(issuer, findings);
}

fn keys(rule: &Object<'_>, iss: &str, findings: &mut Findings) -> Result<Node, String> {
    if let Some(text) = rule.text("jwks") {
        return inline_keys(&text);
    }
    let url = match rule.text("jwks_uri") {
        Some(url) => url,
        None => {
            findings.stricter(
                &rule.at,
                "without `jwksUri` Istio asks the issuer for it: put the one that `claimgate issuer` \
                 prints in `url`",
            );
            format!("{}/.well-known/jwks.json", iss.trim_end_matches('/'))
        }
    };
    let timeout = rule.get("timeout").and_then(seconds).map(|time| time.ceil().clamp(1.0, 30.0));
    let timeout = timeout.map(|time| format!("{time}s"));
    let uri: Option<http::Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
    let port = uri.as_ref().and_then(http::Uri::port_u16);
    let plain = uri.as_ref().and_then(http::Uri::scheme_str) == Some("http");
    let port = port.unwrap_or(if plain { 80 } else { 443 });
    Ok(remote(&format!("outbound|{port}||{host}"), &url, timeout.as_deref(), None))
}

/// A key set in the text of a source.
pub fn inline_keys(text: &str) -> Result<Node, String> {
    let set =
        claimgate::json::parse(text.as_bytes()).map_err(|why| format!("not a key set: {why}"))?;
    Ok(Node::List(vec![Node::map([("jwks", Node::from(set))])]))
}

/// A key set that is fetched.
pub fn remote(cluster: &str, url: &str, timeout: Option<&str>, refresh: Option<&str>) -> Node {
    let mut members =
        vec![("cluster".to_owned(), Node::from(cluster)), ("url".to_owned(), Node::from(url))];
    for (name, value) in [("refresh", refresh), ("timeout", timeout)] {
        members.extend(value.map(|value| (name.to_owned(), Node::from(json!(value)))));
    }
    Node::List(vec![Node::Map(vec![("remote".to_owned(), Node::Map(members))])])
}
