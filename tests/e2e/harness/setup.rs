//! What an Envoy of a test is to be like, and the bootstrap that makes it so.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{envoy, keys, protobuf, secrets};

/// How the configuration is handed to the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// `google.protobuf.StringValue` that holds JSON.
    StringValue,
    /// `google.protobuf.BytesValue` that holds JSON.
    BytesValue,
    /// `google.protobuf.Struct`.
    Struct,
}

/// A description of one Envoy with the filter.
#[derive(Clone)]
pub struct Setup {
    config: Value,
    delivery: Delivery,
    environment: Map<String, Value>,
    denied: Option<&'static str>,
    /// Whether the filter comes from a file that can be replaced.
    pub pushed: bool,
    /// How many worker threads serve.
    pub workers: u32,
    /// The TLS context of the listener, if it has one.
    tls: Option<Value>,
}

impl Setup {
    /// An Envoy with one worker and this configuration of the filter, as a `StringValue`.
    pub fn new(config: Value) -> Self {
        Setup {
            config,
            delivery: Delivery::StringValue,
            environment: Map::new(),
            denied: None,
            pushed: false,
            workers: 1,
            tls: None,
        }
    }

    /// Hands the configuration over in another form.
    pub fn delivered_as(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// Sets a variable of the VM's environment; its value may not appear in a log.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        secrets::keep_out_of_logs(value);
        self.environment.insert(name.to_owned(), json!(value));
        self
    }

    /// Denies the filter one function of the host.
    pub fn denying(mut self, function: &'static str) -> Self {
        assert!(envoy::CAPABILITIES.contains(&function), "`{function}` is no capability");
        self.denied = Some(function);
        self
    }

    /// Loads the filter by `config_discovery` from a file, which [`super::Proxy::push`] replaces.
    pub fn pushed(mut self) -> Self {
        self.pushed = true;
        self
    }

    /// Serves with as many workers.
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// Serves TLS with this `DownstreamTlsContext`.
    pub fn tls(mut self, context: Value) -> Self {
        self.tls = Some(context);
        self
    }

    /// The same Envoy with another configuration of the filter.
    pub fn with_config(&self, config: Value) -> Self {
        Setup { config, ..self.clone() }
    }

    /// The `Wasm` message of the HTTP filter.
    fn wasm(&self) -> Value {
        let wasm = envoy::wasm_file();
        let mut plugin = json!({
            "name": "claimgate",
            "root_id": "claimgate",
            "configuration": self.configuration(),
            "failure_policy": "FAIL_RELOAD",
            "reload_config": {"backoff": {"base_interval": "0.1s", "max_interval": "1s"}},
            "vm_config": {
                "vm_id": "claimgate-e2e",
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": wasm}},
                "environment_variables": {"key_values": self.environment},
            },
        });
        if let Some(denied) = self.denied {
            let allowed = envoy::CAPABILITIES.iter().filter(|name| **name != denied);
            let allowed: Map<String, Value> =
                allowed.map(|name| ((*name).to_owned(), json!({}))).collect();
            plugin["capability_restriction_config"] = json!({"allowed_capabilities": allowed});
        }
        json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": plugin,
        })
    }

    fn configuration(&self) -> Value {
        // A test of broken JSON gives the text itself.
        let text = self.config.as_str().map_or_else(|| self.config.to_string(), str::to_owned);
        match self.delivery {
            Delivery::StringValue => json!({"@type": protobuf("StringValue"), "value": text}),
            Delivery::BytesValue => {
                json!({"@type": protobuf("BytesValue"), "value": keys::base64(text)})
            }
            Delivery::Struct => json!({"@type": protobuf("Struct"), "value": self.config}),
        }
    }

    /// The content of the file that [`Setup::pushed`] reads the filter from.
    pub fn discovery_file(&self) -> String {
        json!({
            "resources": [{
                "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                "name": "claimgate",
                "typed_config": self.wasm(),
            }],
        })
        .to_string()
    }

    fn http_filter(&self, folder: &Path) -> Value {
        if !self.pushed {
            return json!({"name": "claimgate", "typed_config": self.wasm()});
        }
        json!({
            "name": "claimgate",
            "config_discovery": {
                "config_source": {
                    "resource_api_version": "V3",
                    "path_config_source": {"path": folder.join(DISCOVERY_FILE)},
                },
                "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
            },
        })
    }

    /// The bootstrap: the filter before the echo upstream, every port chosen by the system.
    pub fn bootstrap(&self, folder: &Path, upstream: SocketAddr) -> Value {
        let mut manager = connection_manager(&[self.http_filter(folder), router()]);
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
        if let Some(context) = &self.tls {
            listener["filter_chains"][0]["transport_socket"] =
                json!({"name": "tls", "typed_config": context});
        }
        let protocol = json!({"http_protocol_options": {"enable_trailers": true}});
        bootstrap(listener, cluster(upstream, protocol))
    }
}

/// The name of the access log in an Envoy's folder.
pub const ACCESS_LOG: &str = "access.log";
/// The name of the file of [`Setup::pushed`] in an Envoy's folder.
pub const DISCOVERY_FILE: &str = "filter.json";

/// The bootstrap of an Envoy without the filter that speaks HTTP/2 to `target`, with TLS if a context is given.
pub fn http2_front(target: SocketAddr, tls: Option<Value>) -> Value {
    let mut cluster = cluster(target, json!({"http2_protocol_options": {}}));
    if let Some(context) = tls {
        cluster["transport_socket"] = json!({"name": "tls", "typed_config": context});
    }
    bootstrap(listener(connection_manager(&[router()])), cluster)
}

fn bootstrap(listener: Value, cluster: Value) -> Value {
    json!({
        "node": {"id": "e2e", "cluster": "e2e"},
        "admin": {"address": address("127.0.0.1:0".parse().unwrap())},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
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
fn connection_manager(filters: &[Value]) -> Value {
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
                "routes": [{"match": {"prefix": ""}, "route": {"cluster": "upstream"}}],
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

fn cluster(target: SocketAddr, protocol: Value) -> Value {
    json!({
        "name": "upstream",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "upstream",
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
