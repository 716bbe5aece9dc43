//! A bootstrap of Envoy: a listener, the filter before the router, the clusters of the service and of the keys.

use super::destination::Destination;
use super::envoy::Arguments;
use super::source::Source;
use super::{members, node};
use crate::document::items;
use crate::yaml::Node;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The cluster of the service.
pub const UPSTREAM: &str = "upstream";

/// The bootstrap around a filter.
pub fn bootstrap(
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
        for route in items(list, "routes") {
            let own = items(route, "upgrade");
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
        ("upgrade_configs", (!upgrades.is_empty()).then_some(Node::List(upgrades))),
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
    // The service is spread over all of its addresses; of a key server's, IPv4 and IPv6, one that answers is enough.
    let (kind, family) = match (to.address(), name) {
        (Some(_), _) => ("STATIC", None),
        (None, UPSTREAM) => ("STRICT_DNS", Some("V4_PREFERRED")),
        (None, _) => ("LOGICAL_DNS", Some("ALL")),
    };
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
        ("dns_lookup_family", family.map(Node::from)),
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
