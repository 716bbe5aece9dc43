//! What an Envoy of a test is to be like.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::bootstrap::{self, DISCOVERY_FILE};
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
    /// What is loaded instead of the filter, if anything.
    module: Option<PathBuf>,
    delivery: Delivery,
    environment: Map<String, Value>,
    denied: Option<&'static str>,
    /// Whether the filter comes from a file that can be replaced.
    pub pushed: bool,
    /// How many worker threads serve.
    pub workers: u32,
    /// The routes of Envoy itself.
    routes: Value,
    /// The TLS context of the listener, if it has one.
    tls: Option<Value>,
    /// Where the cluster `idp` leads, if there is one.
    idp: Option<SocketAddr>,
    /// Where requests go, if not to the echo upstream.
    upstream: Option<SocketAddr>,
    /// Whether there is no filter at all.
    unguarded: bool,
}

impl Setup {
    /// An Envoy with one worker and this configuration of the filter, as a `StringValue`.
    pub fn new(config: Value) -> Self {
        Setup {
            config,
            module: None,
            delivery: Delivery::StringValue,
            environment: Map::new(),
            denied: None,
            pushed: false,
            workers: 1,
            routes: bootstrap::one_route(),
            tls: None,
            idp: None,
            upstream: None,
            unguarded: false,
        }
    }

    /// Loads another module than the filter.
    pub fn module(mut self, file: PathBuf) -> Self {
        self.module = Some(file);
        self
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

    /// Gives Envoy routes of its own, among which it chooses by what the filter leaves of the request.
    pub fn routes(mut self, routes: Value) -> Self {
        self.routes = routes;
        self
    }

    /// Serves TLS with this `DownstreamTlsContext`.
    pub fn tls(mut self, context: Value) -> Self {
        self.tls = Some(context);
        self
    }

    /// Has a cluster `idp` that leads there.
    pub fn idp(mut self, address: SocketAddr) -> Self {
        self.idp = Some(address);
        self
    }

    /// Sends requests there and not to the echo upstream.
    pub fn upstream(mut self, address: SocketAddr) -> Self {
        self.upstream = Some(address);
        self
    }

    /// Leaves the filter out, to see what it is there for.
    pub fn unguarded(mut self) -> Self {
        self.unguarded = true;
        self
    }

    /// The configuration of the filter.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The same Envoy with another configuration of the filter.
    pub fn with_config(&self, config: Value) -> Self {
        Setup { config, ..self.clone() }
    }

    /// The `Wasm` message of the HTTP filter.
    fn wasm(&self) -> Value {
        let filter = || envoy::module("CLAIMGATE_WASM", "dist/claimgate.wasm");
        let wasm = self.module.clone().unwrap_or_else(filter);
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
        let filters: Vec<Value> =
            (!self.unguarded).then(|| self.http_filter(folder)).into_iter().collect();
        let upstream = self.upstream.unwrap_or(upstream);
        bootstrap::guarded(filters, &self.routes, self.tls.as_ref(), folder, upstream, self.idp)
    }
}
