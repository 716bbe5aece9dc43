//! `claimgate render envoy-gateway`: an EnvoyExtensionPolicy.

use super::module::{self, Kind, Module};
use super::proof::{self, Form};
use super::source::Source;
use super::{Common, Manifest, check_name, deliver, destination, members, node, variables_note};
use crate::Failure;
use crate::output::Format;
use crate::yaml::Node;
use serde_json::{Value, json};

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("target").required(true).args(["gateway", "http_route"]))]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    module: module::Arguments,
    /// Puts the filter before every route of this Gateway.
    #[arg(long, value_name = "NAME")]
    gateway: Option<String>,
    /// Puts the filter before this HTTPRoute only.
    #[arg(long, value_name = "NAME")]
    http_route: Option<String>,
    /// The namespace of the policy, which is that of its Gateway or HTTPRoute.
    #[arg(long)]
    namespace: Option<String>,
    /// A cluster of the configuration and the name that Envoy Gateway has for it, which it makes of routes:
    /// `idp=httproute/NAMESPACE/NAME/rule/0`. Its TLS is that route's backend's.
    #[arg(long, value_name = "NAME=CLUSTER", value_parser = cluster)]
    cluster: Vec<(String, String)>,
    /// Writes here instead of to standard output.
    #[arg(long)]
    out: Option<String>,
}

fn cluster(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, cluster)) if !name.is_empty() && cluster.starts_with("httproute/") => {
            Ok((name.to_owned(), cluster.to_owned()))
        }
        _ => Err("expected `NAME=httproute/NAMESPACE/NAME/rule/0`".to_owned()),
    }
}

pub fn run(arguments: &Arguments, format: Format) -> Result<(), Failure> {
    let module = arguments.module.module()?;
    if module.kind == Kind::File {
        return Err("Envoy Gateway reads the filter from no file: give `--wasm` an `oci://` or `https://` URL".into());
    }
    for name in arguments.gateway.iter().chain(&arguments.http_route).chain(&arguments.namespace) {
        check_name(name)?;
    }
    let source = arguments.common.source(format)?;
    proof::fits(&source, Form::Kept, "Kubernetes")?;
    let known = |name: &str| {
        let found = arguments.cluster.iter().find(|(own, _)| own == name);
        found.map(|(_, cluster)| cluster.clone())
    };
    for (name, to) in destination::clusters(&source)? {
        if known(&name).is_none() && !name.starts_with("httproute/") {
            return Err(format!(
                "`{}`: Envoy Gateway makes no cluster for what only a filter asks, so that nothing would come \
                 from `{}` by `{name}`: put the keys themselves into the configuration (`jwks`), and \
                 new ones by `claimgate keys push`; or give `{}` an HTTPRoute of its own with a BackendTLSPolicy, and say \
                 `--cluster {name}=httproute/NAMESPACE/NAME/rule/0`",
                source.file, to.host, to.host
            ));
        }
    }
    let value = destination::renamed(&source.value, &known);
    let document = policy(arguments, &module, &source, &value);
    let text = Manifest { notes: notes(arguments, &source), documents: vec![document] }.text();
    proof::hold(&text, &value, Form::Kept)?;
    deliver(&text, arguments.out.as_deref(), source.is_private(), format)
}

/// What an operator has to know of the manifest.
fn notes(arguments: &Arguments, source: &Source) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(variables_note(
        source,
        "Envoy's container (`envoyDeployment.container.env` of the EnvoyProxy resource)",
    ));
    if let Some(gateway) = &arguments.gateway {
        notes.push(format!(
            "An EnvoyExtensionPolicy that names a route of `{gateway}` takes this one's place there, and the filter \
             with it: let nobody but its operators make one."
        ));
    }
    if let Some(route) = &arguments.http_route {
        notes.push(format!(
            "Only what Envoy sends by `{route}` passes the filter: on other routes nobody takes identity headers \
             away from what a client sent."
        ));
    }
    notes
}

fn policy(arguments: &Arguments, module: &Module, source: &Source, value: &Value) -> Node {
    let (kind, name) = match (&arguments.gateway, &arguments.http_route) {
        (Some(gateway), _) => ("Gateway", gateway.as_str()),
        (None, route) => ("HTTPRoute", route.as_deref().unwrap_or_default()),
    };
    let target = node!({ "group": "gateway.networking.k8s.io", "kind": kind, "name": name });
    let secret = module.pull_secret.as_deref();
    let from = members([
        ("url", Some(module.url.as_str().into())),
        ("sha256", module.sha256.as_deref().map(Node::from)),
        ("pullSecretRef", secret.map(|name| node!({ "kind": "Secret", "name": name }))),
    ]);
    let code = match module.kind {
        Kind::Image => node!({ "type": "Image", "image": from }),
        Kind::Http | Kind::File => node!({ "type": "HTTP", "http": from }),
    };
    let names: Vec<&String> = source.variables.iter().collect();
    let filter = members([
        ("name", Some(source.name.as_str().into())),
        ("rootID", Some("claimgate".into())),
        ("failOpen", Some(json!(false).into())),
        ("code", Some(code)),
        ("env", (!names.is_empty()).then(|| node!({ "hostKeys": Node::texts(&names) }))),
        ("config", Some(source.ordered(value))),
    ]);
    node!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyExtensionPolicy",
        "metadata": members([
            ("name", Some(source.kubernetes_name().as_str().into())),
            ("namespace", arguments.namespace.as_deref().map(Node::from)),
        ]),
        "spec": node!({ "targetRefs": node!([target]), "wasm": node!([filter]) }),
    })
}
