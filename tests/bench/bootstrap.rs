//! One bootstrap of Envoy for all that is compared: a listener for each filter chain, one upstream.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// A listener: what stands before the router.
#[derive(PartialEq)]
struct Chain {
    filters: Vec<Value>,
    access_log: bool,
}

/// The listeners of an Envoy to start.
#[derive(Default)]
pub struct Bootstrap {
    chains: Vec<Chain>,
}

impl Bootstrap {
    /// The name of the listener with these filters; those that are the same share one.
    pub fn listener(&mut self, filters: Vec<Value>, access_log: bool) -> String {
        let chain = Chain { filters, access_log };
        let known = self.chains.iter().position(|known| *known == chain);
        let index = known.unwrap_or_else(|| {
            self.chains.push(chain);
            self.chains.len() - 1
        });
        format!("chain-{index}")
    }

    /// The configuration that Envoy starts with. Without an upstream Envoy answers by itself, so that a request that is let
    /// through costs no more than one that is refused.
    pub fn to_json(&self, upstream: Option<SocketAddr>) -> Value {
        let listeners: Vec<Value> = self
            .chains
            .iter()
            .enumerate()
            .map(|(index, chain)| listener(&format!("chain-{index}"), chain, upstream.is_some()))
            .collect();
        json!({
            // What Envoy does now and then is no part of a request.
            "stats_flush_interval": "240s",
            "node": {"id": "bench", "cluster": "bench"},
            "admin": {"address": address(SocketAddr::from(([127, 0, 0, 1], 0)))},
            "static_resources": {
                "listeners": listeners,
                "clusters": upstream.map(cluster).into_iter().collect::<Vec<_>>(),
            },
        })
    }
}

fn cluster(upstream: SocketAddr) -> Value {
    json!({
        "name": "upstream",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}],
        },
    })
}

fn listener(name: &str, chain: &Chain, upstream: bool) -> Value {
    let mut route = json!({"match": {"prefix": "/"}});
    if upstream {
        route["route"] = json!({"cluster": "upstream"});
    } else {
        route["direct_response"] = json!({"status": 200, "body": {"inline_string": "ok\n"}});
    }
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    });
    let filters: Vec<&Value> = chain.filters.iter().chain([&router]).collect();
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "use_remote_address": true,
        "http_filters": filters,
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [route],
        }]},
    });
    if chain.access_log {
        manager["access_log"] = access_log();
    }
    json!({
        "name": name,
        "address": address(SocketAddr::from(([127, 0, 0, 1], 0))),
        "filter_chains": [{"filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager},
        ]}],
    })
}

/// Eleven fields, about what an audit record of Claimgate says.
fn access_log() -> Value {
    const METADATA: &str = "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:token";
    json!([{
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": "/dev/null",
            "log_format": {"json_format": {
                "time": "%START_TIME%",
                "method": "%REQ(:METHOD)%",
                "authority": "%REQ(:AUTHORITY)%",
                "path": "%REQ(:PATH)%",
                "status": "%RESPONSE_CODE%",
                "details": "%RESPONSE_CODE_DETAILS%",
                "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
                "duration_ms": "%DURATION%",
                "request_id": "%REQ(X-REQUEST-ID)%",
                "subject": format!("{METADATA}:sub)%"),
                "jti": format!("{METADATA}:jti)%"),
            }},
        },
    }])
}

fn address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}
