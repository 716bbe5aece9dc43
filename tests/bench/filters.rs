//! The filter chains that are compared: the same policy in Envoy's own filters and in Claimgate.

use std::path::Path;

use jwt_simple::prelude::Ed25519KeyPair;
use serde_json::{Map, Value, json};

use crate::tokens::{AUDIENCE, ISSUER, ROLE, key};

/// What the policy allows, in terms of both sides.
#[derive(Clone)]
pub struct Policy {
    /// The algorithm of its only key.
    pub algorithm: &'static str,
    /// How many routes `/r{number}/` there are, instead of the usual one.
    pub routes: Option<usize>,
    /// Whether each of these routes captures a segment that its condition asks for, which takes every path apart anew.
    pub captures: bool,
    /// Whether tokens that were verified are remembered; Claimgate decides that itself.
    pub cache: bool,
    /// Whether each decision is recorded.
    pub audit: bool,
    /// Whether the records are chained.
    pub integrity: bool,
    /// How many tokens were taken back.
    pub revoked: usize,
    /// Whether a limit counts the requests of each subject.
    pub limited: bool,
    /// Whether the token comes in a cookie, beside one with a refresh token; and then whether sessions are renewed.
    pub session: Option<bool>,
}

impl Policy {
    /// The usual one: a route, a cache, no records.
    pub fn new(algorithm: &'static str) -> Self {
        Policy {
            algorithm,
            routes: None,
            captures: false,
            cache: true,
            audit: false,
            integrity: false,
            revoked: 0,
            limited: false,
            session: None,
        }
    }

    /// The header that carries a token.
    pub fn header(&self, token: &str) -> String {
        match self.session {
            None => format!("authorization: Bearer {token}"),
            Some(_) => format!(
                "cookie: theme=dark; session={token}; session_refresh=kJ3mQ9vT7xW2bN5cR8yL4pZ6"
            ),
        }
    }

    /// A path of the policy: of its middle route, as native rules are tried one after the other.
    pub fn path(&self) -> String {
        match self.routes {
            None => "/logs/production/2026-01-31/app".to_owned(),
            Some(routes) => format!("/r{}/app", routes / 2),
        }
    }

    fn prefixes(&self) -> Vec<String> {
        match self.routes {
            None => vec!["/logs/".to_owned()],
            Some(routes) => (0..routes).map(|number| format!("/r{number}/")).collect(),
        }
    }

    fn jwks(&self) -> Value {
        json!({"keys": [key(self.algorithm).jwk_for(self.algorithm)]})
    }

    /// `jwt_authn`, which verifies and sets the headers, and `rbac`, which asks for the role.
    pub fn native(&self) -> Vec<Value> {
        let mut provider = json!({
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "local_jwks": {"inline_string": self.jwks().to_string()},
            "forward": false,
            "payload_in_metadata": "token",
            "claim_to_headers": [
                {"header_name": "x-user-id", "claim_name": "sub"},
                {"header_name": "x-user-email", "claim_name": "email"},
            ],
        });
        if self.cache {
            provider["jwt_cache_config"] = json!({"jwt_cache_size": 1000});
        }
        let rule = |prefix: &String| json!({"match": {"prefix": prefix}, "requires": {"provider_name": "idp"}});
        let role = json!({"metadata": {
            "filter": "envoy.filters.http.jwt_authn",
            "path": [{"key": "token"}, {"key": "roles"}],
            "value": {"list_match": {"one_of": {"string_match": {"exact": ROLE}}}},
        }});
        let policy = |(number, prefix): (usize, &String)| {
            let permission = json!({"url_path": {"path": {"prefix": prefix}}});
            let policy = json!({"permissions": [permission], "principals": [role]});
            // Policies are tried in the order of their names.
            (format!("route-{number:05}"), policy)
        };
        let prefixes = self.prefixes();
        let policies: Map<String, Value> = prefixes.iter().enumerate().map(policy).collect();
        vec![
            http_filter(
                "jwt_authn",
                "JwtAuthentication",
                json!({
                    "providers": {"idp": provider},
                    "rules": prefixes.iter().map(rule).collect::<Vec<_>>(),
                }),
            ),
            http_filter(
                "rbac",
                "RBAC",
                json!({"rules": {"action": "ALLOW", "policies": policies}}),
            ),
        ]
    }

    /// The same in Claimgate's configuration.
    pub fn claimgate(&self, wasm: &Path) -> Vec<Value> {
        let key = key(self.algorithm);
        let keys = if self.algorithm == "HS256" {
            json!({"secret": {"utf8": key.pem}, "algorithms": ["HS256"]})
        } else {
            json!({"jwks": self.jwks()})
        };
        let route = |(number, prefix): (usize, &String)| {
            let path = match (self.routes, self.captures) {
                (None, _) => "/logs/{env}/**".to_owned(),
                (Some(_), false) => format!("{prefix}**"),
                (Some(_), true) => format!("{prefix}{{env}}/**"),
            };
            let role = json!({"claim": "roles", "any_of": [ROLE]});
            let captured = json!({"claim": "roles", "none_of": ["${path.env}"]});
            json!({
                "name": format!("route-{number}"),
                "paths": [path],
                "require": if self.captures { json!({"all": [role, captured]}) } else { role },
            })
        };
        let mut config = json!({
            "issuers": {"idp": {"issuer": ISSUER, "audiences": [AUDIENCE], "keys": [keys]}},
            "routes": self.prefixes().iter().enumerate().map(route).collect::<Vec<_>>(),
            "identity": {"headers": {
                "x-user-id": {"attribute": "subject"},
                "x-user-email": {"claim": "email"},
            }},
        });
        config["audit"] = if self.audit {
            // As the access log on the other side says.
            json!({"claims": {"jti": "plain"}})
        } else {
            json!({"allowed": "none", "denied": "none"})
        };
        if self.integrity {
            let pem = Ed25519KeyPair::generate().to_pem();
            config["audit"]["integrity"] = json!({"key_id": "bench", "sign": {"utf8": pem}});
        }
        if self.revoked > 0 {
            let ids: Vec<String> = (0..self.revoked).map(|id| format!("{id:022}")).collect();
            config["issuers"]["idp"]["revocation"] = json!({"tokens": ids});
        }
        if let Some(renewed) = self.session {
            let idp = &mut config["issuers"]["idp"];
            idp["token_from"] = json!([{"cookie": "session"}]);
            if renewed {
                idp["renew"] = json!({
                    "cluster": "none", "url": "https://idp.example.com/token", "client": {"id": "bench"},
                    "refresh_cookie": "session_refresh",
                });
            }
        }
        if self.limited {
            // More than any machine sends: what is measured is the counting.
            let limit =
                json!({"name": "per-user", "by": ["subject"], "requests": 10_000_000, "per": "1s"});
            config["limits"] = json!([limit]);
        }
        vec![wasm_filter("claimgate", wasm, &config)]
    }
}

/// The filter that does nothing.
pub fn empty(wasm: &Path) -> Vec<Value> {
    vec![wasm_filter("empty", wasm, &json!({}))]
}

/// A Wasm filter; all of one name share a VM, so that its code is compiled once.
fn wasm_filter(name: &str, wasm: &Path, configuration: &Value) -> Value {
    http_filter(
        "wasm",
        "Wasm",
        json!({"config": {
            "name": name,
            "root_id": name,
            "failure_policy": "FAIL_RELOAD",
            "vm_config": {
                "vm_id": name,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": wasm}},
            },
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": configuration.to_string(),
            },
        }}),
    )
}

fn http_filter(name: &str, message: &str, mut config: Value) -> Value {
    let kind = format!("type.googleapis.com/envoy.extensions.filters.http.{name}.v3.{message}");
    config["@type"] = json!(kind);
    json!({"name": format!("envoy.filters.http.{name}"), "typed_config": config})
}
