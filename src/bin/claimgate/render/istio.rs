//! `claimgate render istio`: a WasmPlugin or a TrafficExtension, and what leads to the keys.

use super::destination::{self, Destination};
use super::module::{self, Kind, Module};
use super::proof::{self, Form};
use super::source::Source;
use super::{Common, Manifest, check_name, deliver, members, node, there, variables_note};
use crate::Failure;
use crate::check::client_address;
use crate::check::istio::OWN_WORD;
use crate::output::Format;
use crate::yaml::Node;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("target").required(true).args(["gateway", "gateway_selector", "selector"]))]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    module: module::Arguments,
    /// Puts the filter into this Gateway of the Kubernetes Gateway API.
    #[arg(long, value_name = "NAME")]
    gateway: Option<String>,
    /// Puts the filter into the gateways whose pods have these labels, `istio=ingressgateway`.
    #[arg(long, value_name = "LABEL=VALUE", value_delimiter = ',', value_parser = label)]
    gateway_selector: Vec<(String, String)>,
    /// Puts the filter into the sidecars of pods that have these labels, before what comes to them.
    #[arg(long, value_name = "LABEL=VALUE", value_delimiter = ',', value_parser = label)]
    selector: Vec<(String, String)>,
    /// The namespace of all that is written, and so of the pods.
    #[arg(long)]
    namespace: Option<String>,
    /// The kind of the manifest; a TrafficExtension needs an Istio that has them.
    #[arg(long, value_enum, default_value = "wasmplugin")]
    api: Api,
    /// The place among other extensions of the same phase: the highest comes first.
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i32>,
    /// The authorities that certify key servers, as the proxy finds them.
    #[arg(long, value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt", value_parser = NonEmptyStringValueParser::new())]
    ca: String,
    /// Writes here instead of to standard output.
    #[arg(long)]
    out: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Api {
    /// Every Istio has it.
    #[value(name = "wasmplugin")]
    WasmPlugin,
    /// Its successor.
    #[value(name = "trafficextension")]
    TrafficExtension,
}

/// The subset of a host that the filter asks: it has TLS of its own, and leaves the others' connections alone.
const SUBSET: &str = "claimgate";

pub fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected `label=value`")?;
    let plain = |part: &str, more: &[u8]| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    if plain(name, b"-_./") && plain(value, b"-_.") && value.len() <= 63 {
        Ok((name.to_owned(), value.to_owned()))
    } else {
        Err("not a label of Kubernetes".to_owned())
    }
}

pub fn run(arguments: &Arguments, format: Format) -> Result<(), Failure> {
    let module = arguments.module.module()?;
    for name in arguments.gateway.iter().chain(&arguments.namespace) {
        check_name(name)?;
    }
    let source = arguments.common.source(format)?;
    proof::fits(&source, Form::Struct, "Istio")?;
    if let Some(place) = client_address(&source.value).filter(|_| arguments.gateway.is_none()) {
        format.tell(&source.warn(&place, OWN_WORD));
    }
    let clusters = destination::clusters(&source)?;
    for (name, to) in &clusters {
        if to.address().is_some() || !to.tls || check_name(&to.host).is_err() {
            return Err(format!(
                "`{}`: `{name}` leads to `{}`, which Istio has no name for: give its URL a host name and \
                 `https`",
                source.file, to.host
            ));
        }
    }
    let name = |cluster: &str| clusters.get(cluster).map(cluster_name);
    let value = destination::renamed(&source.value, &name);
    let mut documents = vec![extension(arguments, &module, &source, &value)];
    let mut hosts: BTreeMap<&str, BTreeSet<u16>> = BTreeMap::new();
    for to in clusters.values() {
        hosts.entry(&to.host).or_default().insert(to.port);
    }
    let owner = source.kubernetes_name();
    documents.extend(hosts.iter().flat_map(|(host, ports)| way(arguments, &owner, host, ports)));
    let text = Manifest { notes: notes(&source, !hosts.is_empty()), documents }.text();
    proof::hold(&text, &value, Form::Struct)?;
    deliver(&text, arguments.out.as_deref(), source.is_private(), format)
}

/// What an operator has to know of the manifest.
fn notes(source: &Source, fetches: bool) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(variables_note(source, "The container istio-proxy"));
    notes.push(
        "Istio sets no vm_id: Wasm plugins of one proxy share their shared data. The filter keeps nothing \
         secret there, and its names begin with a digest of this configuration; load only plugins that you \
         trust beside it."
            .into(),
    );
    if fetches {
        notes.push(format!(
            "Keys are fetched through the subset `{SUBSET}` of their host, so that other connections to it stay \
             as they are. A Sidecar resource that narrows `egress.hosts` has to let these hosts in."
        ));
    }
    notes
}

fn cluster_name(to: &Destination) -> String {
    format!("outbound|{}|{SUBSET}|{}", to.port, to.host)
}

fn metadata(arguments: &Arguments, name: &str) -> Node {
    members([
        ("name", Some(name.into())),
        ("namespace", arguments.namespace.as_deref().map(Node::from)),
    ])
}

fn extension(arguments: &Arguments, module: &Module, source: &Source, value: &Value) -> Node {
    let labels = |labels: &[(String, String)]| {
        let labels = labels.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
        node!({ "matchLabels": Node::Map(labels.collect()) })
    };
    let pods =
        [&arguments.selector, &arguments.gateway_selector].into_iter().find(|own| !own.is_empty());
    let targets = arguments.gateway.as_deref().map(|name| {
        node!([node!({ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name })])
    });
    // Without it a sidecar's own requests would be judged too.
    let incoming = (!arguments.selector.is_empty()).then(|| node!([node!({ "mode": "SERVER" })]));
    let priority = arguments.priority.map(|priority| json!(priority).into());
    let env =
        source.variables.iter().map(|name| node!({ "name": name.as_str(), "valueFrom": "HOST" }));
    let env: Vec<Node> = env.collect();
    let url = match module.kind {
        Kind::Image => format!("oci://{}", module.url),
        Kind::Http | Kind::File => module.url.clone(),
    };
    let traffic = arguments.api == Api::TrafficExtension;
    let wasm = there([
        ("url", Some(url.as_str().into())),
        ("sha256", module.sha256.as_deref().map(Node::from)),
        ("imagePullPolicy", (module.kind != Kind::File).then(|| "IfNotPresent".into())),
        ("imagePullSecret", module.pull_secret.as_deref().map(Node::from)),
        ("type", traffic.then(|| "HTTP".into())),
        ("pluginName", Some(source.name.as_str().into())),
        // Every Istio that has the newer kind can load a VM again.
        ("failStrategy", Some(if traffic { "FAIL_RELOAD" } else { "FAIL_CLOSE" }.into())),
        ("vmConfig", (!env.is_empty()).then(|| node!({ "env": Node::List(env) }))),
        ("pluginConfig", Some(source.ordered(value))),
    ]);
    let mut spec = there([
        ("selector", pods.map(|pods| labels(pods))),
        ("targetRefs", targets),
        ("phase", Some("AUTHN".into())),
        ("priority", priority),
        ("match", incoming),
    ]);
    match arguments.api {
        Api::WasmPlugin => spec.extend(wasm),
        Api::TrafficExtension => spec.push(("wasm".to_owned(), Node::Map(wasm))),
    }
    node!({
        "apiVersion": "extensions.istio.io/v1alpha1",
        "kind": if traffic { "TrafficExtension" } else { "WasmPlugin" },
        "metadata": metadata(arguments, &source.kubernetes_name()),
        "spec": Node::Map(spec),
    })
}

/// What makes a host known, and its TLS: of the subset, so that whoever else connects to it finds it unchanged.
fn way(arguments: &Arguments, owner: &str, host: &str, ports: &BTreeSet<u16>) -> [Node; 2] {
    // By the configuration too: another one of the namespace may ask the same host.
    let name = format!("{owner}-{host}");
    let here = || node!(["."]);
    let ports = ports.iter().map(|port| {
        let name = format!("https-{port}");
        node!({ "number": json!(port), "name": name.as_str(), "protocol": "HTTPS" })
    });
    let entry = node!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": metadata(arguments, &name),
        "spec": node!({
            "hosts": node!([host]),
            "location": "MESH_EXTERNAL",
            "resolution": "DNS",
            "exportTo": here(),
            "ports": Node::List(ports.collect()),
        }),
    });
    let tls = node!({
        "mode": "SIMPLE",
        "sni": host,
        "subjectAltNames": node!([host]),
        "caCertificates": arguments.ca.as_str(),
    });
    let rule = node!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": metadata(arguments, &name),
        "spec": node!({
            "host": host,
            "exportTo": here(),
            "subsets": node!([node!({
                "name": SUBSET,
                "trafficPolicy": node!({ "tls": tls }),
            })]),
        }),
    });
    [entry, rule]
}
