//! The bootstraps of Envoy.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::prometheus::stats_config;

/// The name of the access log in an Envoy's folder.
pub const ACCESS_LOG: &str = "access.log";
/// The name of the file of [`Setup::pushed`] in an Envoy's folder.
pub const DISCOVERY_FILE: &str = "filter.json";

/// The bootstrap of an Envoy with `filters` before `upstream`.
pub fn guarded(
    mut filters: Vec<Value>,
    routes: &Value,
    tls: Option<&Value>,
    folder: &Path,
    upstream: SocketAddr,
    idp: Option<SocketAddr>,
) -> Value {
    filters.push(router());
    let mut manager = connection_manager(&filters, routes);
    manager["access_log"] = json!([{
        "name": "file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": folder.join(ACCESS_LOG),
            "log_format": {"json_format": {
                "id": "%REQ(X-REQUEST-ID)%",
                "path": "%REQ(:PATH)%",
                "status": "%RESPONSE_CODE%",
                "details": "%RESPONSE_CODE_DETAILS%",
                "state": "%FILTER_STATE(wasm.claimgate:PLAIN)%",
            }},
        },
    }]);
    let mut listener = listener(manager);
    if let Some(context) = tls {
        listener["filter_chains"][0]["transport_socket"] =
            json!({"name": "tls", "typed_config": context});
    }
    let protocol = json!({"http_protocol_options": {"enable_trailers": true}});
    let mut clusters = vec![cluster("upstream", upstream, protocol)];
    clusters.extend(idp.map(|idp| cluster("idp", idp, json!({"http_protocol_options": {}}))));
    bootstrap(listener, &clusters)
}

/// Envoy's routes where a test has no say in them: all to the upstream.
pub fn one_route() -> Value {
    json!([{"match": {"prefix": ""}, "route": {"cluster": "upstream"}}])
}

/// The bootstrap of an Envoy without the filter that speaks HTTP/2 to `target`, with TLS if a context is given.
pub fn http2_front(target: SocketAddr, tls: Option<Value>) -> Value {
    let mut cluster = cluster("upstream", target, json!({"http2_protocol_options": {}}));
    if let Some(context) = tls {
        cluster["transport_socket"] = json!({"name": "tls", "typed_config": context});
    }
    bootstrap(listener(connection_manager(&[router()], &one_route())), &[cluster])
}

fn bootstrap(listener: Value, clusters: &[Value]) -> Value {
    json!({
        "node": {"id": "e2e", "cluster": "e2e"},
        "admin": {"address": address("127.0.0.1:0".parse().unwrap())},
        "static_resources": {"listeners": [listener], "clusters": clusters},
        "stats_config": stats_config(),
    })
}

fn listener(manager: Value) -> Value {
    json!({
        "name": "main",
        "address": address("127.0.0.1:0".parse().unwrap()),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    })
}

/// As a careful operator has it, but for `normalize_path` and its like: safe paths are the filter's own work.
fn connection_manager(filters: &[Value], routes: &Value) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "main",
        "codec_type": "AUTO",
        "use_remote_address": true,
        "preserve_external_request_id": true,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "max_request_headers_kb": 8192,
        "common_http_protocol_options": {"max_headers_count": 1000},
        "http_protocol_options": {"enable_trailers": true, "allow_custom_methods": true},
        "http_filters": filters,
        "route_config": {
            "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": routes,
            }],
        },
    })
}

fn router() -> Value {
    json!({
        "name": "router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    })
}

fn cluster(name: &str, target: SocketAddr, protocol: Value) -> Value {
    json!({
        "name": name,
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(target)}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": protocol,
            },
        },
    })
}

fn address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}
