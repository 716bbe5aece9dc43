//! `claimgate render envoy`: a bootstrap that is complete, with all that `check` asks of what is around the filter.

use super::destination::{self, Destination};
use super::proof::{self, Form};
use super::source::Source;
use super::{Common, Manifest, members, node, put, replace, variables_note};
use crate::Failure;
use crate::output::Format;
use crate::yaml::Node;
use claimgate::config::Place;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    /// The service behind Envoy: `HOST:PORT`, or `https://HOST:PORT` to speak TLS to it.
    #[arg(long, value_name = "ADDRESS")]
    upstream: String,
    /// Where Envoy listens.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:10000")]
    listen: SocketAddr,
    /// Where Envoy's administration interface listens; anyone who reaches it can stop Envoy.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
    /// The certificate to serve TLS with, as Envoy finds it.
    #[arg(long, value_name = "FILE", requires = "private_key")]
    certificate: Option<String>,
    /// Its private key, as Envoy finds it.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    private_key: Option<String>,
    /// How many proxies before Envoy add to `X-Forwarded-For` and can be trusted.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    trusted_hops: u32,
    /// The filter, as Envoy finds it.
    #[arg(long, value_name = "FILE", default_value = "/etc/envoy/claimgate.wasm")]
    wasm: String,
    /// The authorities that certify key servers, as Envoy finds them.
    #[arg(long, value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    ca: String,
    /// Puts the filter's configuration into a file of its own, which Envoy finds here and reads again whenever it is
    /// replaced. `--out` is then a folder, which gets `envoy.yaml` and this file's last part.
    #[arg(long, value_name = "FILE", requires = "out")]
    pushed: Option<String>,
    /// Writes here instead of to standard output.
    #[arg(long)]
    out: Option<String>,
}

/// The cluster of the service.
const UPSTREAM: &str = "upstream";

pub fn run(arguments: &Arguments, format: Format) -> Result<(), Failure> {
    let source = arguments.common.source(format)?;
    let upstream = Destination::parse(&arguments.upstream).ok_or_else(|| {
        format!("`--upstream {}`: expected `HOST:PORT` or `https://HOST:PORT`", arguments.upstream)
    })?;
    let clusters = destination::clusters(&source)?;
    if clusters.contains_key(UPSTREAM) {
        return Err(format!(
            "`{}`: keys come from a cluster `{UPSTREAM}`, which is the service's name here: name it otherwise",
            source.file
        ));
    }
    let form = match proof::inexact(&source.value, &Place::default(), Form::Struct) {
        None if !has_fraction(&source.value) => Form::Struct,
        None | Some(_) => Form::Text,
    };
    let wasm = wasm(arguments, &source, form);
    let mut notes = Vec::new();
    notes.extend(variables_note(&source, "Envoy"));
    let Some(pushed) = &arguments.pushed else {
        let filter = node!({ "name": "claimgate", "typed_config": wasm });
        let bootstrap = bootstrap(arguments, &source, filter, &upstream, &clusters);
        let text = Manifest { notes, documents: vec![bootstrap] }.text();
        proof::hold(&text, &source.value, form)?;
        return put(&text, arguments.out.as_deref(), format);
    };
    let (filter, file) = discovery(pushed)?;
    let bootstrap = bootstrap(arguments, &source, filter, &upstream, &clusters);
    let own = Manifest {
        notes: vec!["Envoy reads this file again when it is replaced: write the new version beside it, then rename it over.".into()],
        documents: vec![node!({ "resources": node!([node!({
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": "claimgate",
            "typed_config": wasm,
        })]) })],
    }
    .text();
    proof::hold(&own, &source.value, form)?;
    notes.push(format!(
        "The filter with its configuration is in {}, which Envoy watches.",
        super::quoted(pushed)
    ));
    let text = Manifest { notes, documents: vec![bootstrap] }.text();
    let folder = Path::new(arguments.out.as_deref().unwrap_or("."));
    std::fs::create_dir_all(folder).map_err(|error| format!("`{}`: {error}", folder.display()))?;
    let files = [(folder.join("envoy.yaml"), text), (folder.join(file), own)];
    // The filter first: whoever starts Envoy by the bootstrap finds it.
    for (path, text) in files.iter().rev() {
        replace(path, text)?;
    }
    if format == Format::Json {
        let files: Vec<String> = files.iter().map(|(path, _)| path.display().to_string()).collect();
        format.print(&json!({ "files": files }), String::new);
    }
    Ok(())
}

/// Envoy makes text of a fraction in its own YAML, so that one goes in JSON.
fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// The `Wasm` message of the filter.
fn wasm(arguments: &Arguments, source: &Source, form: Form) -> Node {
    let configuration = match form {
        Form::Struct => node!({
            "@type": "type.googleapis.com/google.protobuf.Struct",
            "value": source.ordered(&source.value),
        }),
        Form::Kept | Form::Text => node!({
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": Value::String(format!("{:#}\n", source.value)),
        }),
    };
    let name = source.name.as_str();
    // Its own: plugins that share a vm_id share their data.
    let vm_id = match name {
        "claimgate" => name.to_owned(),
        name => format!("claimgate-{name}"),
    };
    let names: Vec<&String> = source.variables.iter().collect();
    let variables = (!names.is_empty()).then(|| node!({ "host_env_keys": Node::texts(&names) }));
    node!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": node!({
            "name": name,
            "root_id": "claimgate",
            "failure_policy": "FAIL_RELOAD",
            "vm_config": members([
                ("vm_id", Some(vm_id.as_str().into())),
                ("runtime", Some("envoy.wasm.runtime.v8".into())),
                ("code", Some(node!({ "local": node!({ "filename": arguments.wasm.as_str() }) }))),
                ("environment_variables", variables),
            ]),
            "configuration": configuration,
        }),
    })
}

/// The filter as Envoy loads it from a file, and the file's own name.
fn discovery(pushed: &str) -> Result<(Node, &Path), Failure> {
    let path = Path::new(pushed);
    let (Some(name), Some(folder)) = (path.file_name(), path.parent()) else {
        return Err(format!("`--pushed {pushed}`: expected a file"));
    };
    let folder = folder.to_str().filter(|folder| !folder.is_empty()).unwrap_or(".");
    if name == "envoy.yaml" {
        return Err(format!(
            "`--pushed {pushed}`: the bootstrap is `envoy.yaml`: name it otherwise"
        ));
    }
    let filter = node!({
        "name": "claimgate",
        "config_discovery": node!({
            "type_urls": node!(["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"]),
            "config_source": node!({
                "resource_api_version": "V3",
                "path_config_source": node!({
                    "path": pushed,
                    "watched_directory": node!({ "path": folder }),
                }),
            }),
        }),
    });
    Ok((filter, Path::new(name)))
}

fn bootstrap(
    arguments: &Arguments,
    source: &Source,
    filter: Node,
    upstream: &Destination,
    clusters: &BTreeMap<String, Destination>,
) -> Node {
    let manager = node!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": manager(arguments, source, filter),
    });
    let chain = members([
        ("transport_socket", downstream_tls(arguments)),
        ("filters", Some(node!([manager]))),
    ]);
    let mut all = vec![cluster(UPSTREAM, upstream, &arguments.ca)];
    all.extend(clusters.iter().map(|(name, to)| cluster(name, to, &arguments.ca)));
    members([
        // Envoy asks for one where configuration is pushed.
        (
            "node",
            arguments
                .pushed
                .as_ref()
                .map(|_| node!({ "id": source.name.as_str(), "cluster": source.name.as_str() })),
        ),
        (
            "static_resources",
            Some(node!({
                "listeners": node!([node!({
                    "name": "edge",
                    "address": address(&arguments.listen.ip().to_string(), arguments.listen.port()),
                    "filter_chains": node!([chain]),
                })]),
                "clusters": Node::List(all),
            })),
        ),
        (
            "admin",
            Some(node!({
                "address": address(&arguments.admin.ip().to_string(), arguments.admin.port()),
            })),
        ),
        ("stats_config", Some(node!({ "stats_tags": stats_tags() }))),
    ])
}

fn manager(arguments: &Arguments, source: &Source, filter: Node) -> Node {
    let mut upgrades = BTreeSet::new();
    for list in [&source.value, source.value.get("candidate").unwrap_or(&Value::Null)] {
        for route in crate::document::items(list, "routes") {
            let own = crate::document::items(route, "upgrade");
            upgrades.extend(own.iter().filter_map(Value::as_str).map(str::to_ascii_lowercase));
        }
    }
    let upgrades = upgrades.iter().map(|name| node!({ "upgrade_type": name.as_str() }));
    let upgrades: Vec<Node> = upgrades.collect();
    let hops = arguments.trusted_hops;
    members([
        ("@type", Some(
            "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
                .into(),
        )),
        ("stat_prefix", Some("edge".into())),
        // Without it the client's own X-Forwarded-For says where it comes from.
        ("use_remote_address", Some(json!(true).into())),
        ("xff_num_trusted_hops", (hops > 0).then(|| json!(hops).into())),
        ("upgrade_configs", (!upgrades.is_empty()).then(|| Node::List(upgrades))),
        ("access_log", Some(access_log())),
        ("route_config", Some(node!({ "virtual_hosts": node!([node!({
            "name": "all",
            "domains": node!(["*"]),
            "routes": node!([node!({
                "match": node!({ "prefix": "/" }),
                "route": node!({ "cluster": UPSTREAM }),
            })]),
        })]) }))),
        ("http_filters", Some(node!([filter, node!({
            "name": "envoy.filters.http.router",
            "typed_config": node!({
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            }),
        })]))),
    ])
}

fn access_log() -> Node {
    node!([node!({
        "name": "envoy.access_loggers.stdout",
        "typed_config": node!({
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": node!({ "json_format": node!({
                "time": "%START_TIME%",
                "method": "%REQ(:METHOD)%",
                "authority": "%REQ(:AUTHORITY)%",
                "path": "%REQ(:PATH)%",
                "status": "%RESPONSE_CODE%",
                "details": "%RESPONSE_CODE_DETAILS%",
                "identity": "%FILTER_STATE(wasm.claimgate:PLAIN)%",
                "duration_ms": "%DURATION%",
                "request_id": "%REQ(X-REQUEST-ID)%",
            }) }),
        }),
    })])
}

fn downstream_tls(arguments: &Arguments) -> Option<Node> {
    let (certificate, key) = (arguments.certificate.as_deref()?, arguments.private_key.as_deref()?);
    Some(node!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": node!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": node!({
                "alpn_protocols": node!(["h2", "http/1.1"]),
                "tls_certificates": node!([node!({
                    "certificate_chain": node!({ "filename": certificate }),
                    "private_key": node!({ "filename": key }),
                })]),
            }),
        }),
    }))
}

/// A cluster that leads there; with TLS, only to who has a certificate for that very name.
fn cluster(name: &str, to: &Destination, ca: &str) -> Node {
    let kind = if to.address().is_some() { "STATIC" } else { "STRICT_DNS" };
    let tls = to.tls.then(|| {
        let san_type = if to.address().is_some() { "IP_ADDRESS" } else { "DNS" };
        let context = members([
            ("@type", Some("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext".into())),
            ("sni", to.address().is_none().then(|| to.host.as_str().into())),
            ("common_tls_context", Some(node!({ "validation_context": node!({
                "trusted_ca": node!({ "filename": ca }),
                "match_typed_subject_alt_names": node!([node!({
                    "san_type": san_type,
                    "matcher": node!({ "exact": to.host.as_str() }),
                })]),
            }) }))),
        ]);
        node!({ "name": "envoy.transport_sockets.tls", "typed_config": context })
    });
    members([
        ("name", Some(name.into())),
        ("type", Some(kind.into())),
        ("connect_timeout", Some("2s".into())),
        (
            "load_assignment",
            Some(node!({
                "cluster_name": name,
                "endpoints": node!([node!({ "lb_endpoints": node!([node!({
                    "endpoint": node!({ "address": address(&to.host, to.port) }),
                })]) })]),
            })),
        ),
        ("transport_socket", tls),
    ])
}

fn address(host: &str, port: u16) -> Node {
    node!({ "socket_address": node!({ "address": host, "port_value": json!(port) }) })
}

/// What makes labels of the names that the filter gives its metrics.
fn stats_tags() -> Node {
    const LABELS: [&str; 10] = [
        "filter", "route", "outcome", "code", "issuer", "kid", "version", "config", "limit", "mode",
    ];
    let tag = |label: &&str| {
        let regex = format!(r"({label}=\.=(.*?);\.;)");
        node!({ "tag_name": *label, "regex": regex.as_str() })
    };
    Node::List(LABELS.iter().map(tag).collect())
}
