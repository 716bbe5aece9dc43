//! What `check` says of a whole file: each case is a good one with one member changed.

use super::*;
use serde_json::json;

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
const FILTER: &str =
    "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0";
const PLUGIN: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config";
const TLS: &str = "/static_resources/clusters/0/transport_socket/typed_config";

const DIGEST: &str = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";

fn any(name: &str, mut value: Value) -> Value {
    value["@type"] = format!("type.googleapis.com/envoy.{name}").into();
    value
}

fn extension(name: &str) -> Value {
    json!({"name": name, "typed_config": any(&format!("extensions.filters.http.{name}"), json!({}))})
}

fn configuration() -> Value {
    json!({
        "issuers": {"corp": {
            "issuer": "https://idp.example.com",
            "audiences": ["api"],
            "keys": [{"remote": {"cluster": "idp", "url": "https://idp.example.com/jwks.json"}}],
        }},
        "routes": [{"name": "all", "paths": ["/**"]}],
    })
}

fn bootstrap() -> Value {
    let tls = json!({"common_tls_context": {"validation_context": {
        "trusted_ca": {"filename": "/etc/ssl/certs/ca-certificates.crt"},
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "idp.example.com"}}],
    }}});
    let tls = any("extensions.transport_sockets.tls.v3.UpstreamTlsContext", tls);
    let plugin = json!({"config": {
        "name": "claimgate",
        "failure_policy": "FAIL_RELOAD",
        "vm_config": {"vm_id": "claimgate"},
        "configuration": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": configuration()},
    }});
    let plugin = any("extensions.filters.http.wasm.v3.Wasm", plugin);
    let manager = json!({
        "use_remote_address": true,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {"virtual_hosts": [{"routes": [{}]}]},
        "http_filters": [{"name": "gate", "typed_config": plugin}, extension("router.v3.Router")],
    });
    let manager =
        any("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", manager);
    json!({"static_resources": {
        "listeners": [{"filter_chains": [{"filters": [{"typed_config": manager}]}]}],
        "clusters": [{"name": "idp", "transport_socket": {"name": "tls", "typed_config": tls}}],
    }})
}

/// Sets a member, or an element; an index past the end appends, and `^0` inserts before the first.
fn set(document: &mut Value, place: &str, value: Value) {
    let (parent, name) = place.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
    match parent {
        Value::Array(items) if name == "^0" => items.insert(0, value),
        Value::Array(items) => match items.get_mut(name.parse::<usize>().unwrap()) {
            Some(item) => *item = value,
            None => items.push(value),
        },
        parent => match value {
            Value::Null => drop(parent.as_object_mut().unwrap().remove(name)),
            value => parent[name] = value,
        },
    }
}

fn findings(text: &str) -> Vec<String> {
    let open = |path: &str| Err::<String, _>(format!("`{path}`: not here"));
    let environment =
        |name: &str| (name == "SET").then(|| "0123456789abcdef0123456789ABCDEF".into());
    let findings = match check("f", text, &open, &environment) {
        Ok((_, findings)) => findings,
        Err(failure) => vec![Finding::error(failure)],
    };
    let word = |severity| if severity == Severity::Error { "error" } else { "warning" };
    findings.iter().map(|f| format!("{} {}: {}", word(f.severity), f.place, f.message)).collect()
}

fn hold(base: &Value, cases: &[(&str, Value, &str)]) {
    assert_eq!(findings(&base.to_string()), [""; 0]);
    for (place, value, want) in cases {
        let mut document = base.clone();
        set(&mut document, place, value.clone());
        let found = findings(&document.to_string());
        let (severity, rest) = want.split_once(' ').unwrap_or_default();
        let holds = match *want {
            "" => found.is_empty(),
            _ => found.iter().any(|found| {
                // The end of the place, and the start of what is said.
                found.starts_with(severity) && found.contains(rest)
            }),
        };
        assert!(holds, "{place} = {value}\nwanted `{want}`, found {found:#?}");
    }
}

#[test]
#[rustfmt::skip]
fn an_envoy_around_the_filter() {
    let (m, f, p, t) = (|rest: &str| format!("{MANAGER}/{rest}"), |rest: &str| format!("{FILTER}/{rest}"), |rest: &str| format!("{PLUGIN}/{rest}"), |rest: &str| format!("{TLS}/{rest}"));
    let off = json!({"gate": any("config.route.v3.FilterConfig", json!({"disabled": true}))});
    let on = json!({"gate": any("config.route.v3.FilterConfig", json!({"disabled": false}))});
    let other = json!({"cors": any("config.route.v3.FilterConfig", json!({"disabled": true}))});
    let address = |place: &str| (place.to_owned(), json!({"client_address": ["10.0.0.0/8"]}));
    let (route, condition) = address("");
    let require = p("configuration/value/routes/0/require") + &route;
    let without = |name: &str| { let mut all = allowed(); all.as_object_mut().unwrap().remove(name); json!({"allowed_capabilities": all}) };
    let cases: Vec<(String, Value, &str)> = vec![
        (p("failure_policy"), json!("FAIL_OPEN"), "error http_filters[0].typed_config.config.failure_policy: `FAIL_OPEN`"),
        (p("failure_policy"), json!(3), "error config.failure_policy: "),
        (p("failure_policy"), json!("FAIL_CLOSED"), ""),
        (p("failure_policy"), json!(null), ""),
        (p("fail_open"), json!(true), "error config.fail_open: "),
        (p("failOpen"), json!(true), "error config.fail_open: "),
        (p("fail_open"), json!(false), ""),
        (p("vm_config"), json!({}), "warning config.vm_config: no `vm_id`"),
        (p("capability_restriction_config"), json!({"allowed_capabilities": {}}), ""),
        (p("capability_restriction_config"), json!({"allowed_capabilities": allowed()}), ""),
        (p("capability_restriction_config"), without("proxy_on_request_headers"), "error allowed_capabilities: without `proxy_on_request_headers`"),
        (p("capability_restriction_config"), without("proxy_log"), "error allowed_capabilities: the filter needs these too: `proxy_log`"),
        (p("capability_restriction_config"), without("proxy_on_response_headers"), "error allowed_capabilities: the filter needs these too: `proxy_on_response_headers`"),
        (p("configuration"), json!(null), "error config.configuration: missing"),
        (p("configuration/value/routes/0/paths"), json!([]), "error config.configuration: routes[0].paths: an empty list"),
        (f("disabled"), json!(true), "error http_filters[0].disabled: "),
        (f("disabled"), json!(false), ""),
        (f("is_optional"), json!(true), "error http_filters[0].is_optional: "),
        (m("route_config/virtual_hosts/0/typed_per_filter_config"), off.clone(), "error route_config.virtual_hosts[0].typed_per_filter_config.gate.disabled: "),
        (m("route_config/virtual_hosts/0/routes/0/typed_per_filter_config"), off.clone(), "error routes[0].typed_per_filter_config.gate.disabled: "),
        (m("route_config/typedPerFilterConfig"), off, "error route_config.typedPerFilterConfig.gate.disabled: "),
        (m("route_config/typed_per_filter_config"), on, ""),
        (m("route_config/typed_per_filter_config"), other, ""),
        (m("upgrade_configs/0/filters"), json!([extension("router.v3.Router")]), "error upgrade_configs[0].filters: replaces"),
        (m("upgrade_configs/0/filters"), json!([]), ""),
        (m("http_filters/^0"), extension("rbac.v3.RBAC"), "warning http_filters[0]: stands before the filter and decides by headers"),
        (m("http_filters/^0"), extension("jwt_authn.v3.JwtAuthentication"), "warning http_filters[0]: stands before"),
        (m("http_filters/^0"), extension("cors.v3.Cors"), ""),
        (m("http_filters/^0"), extension("router.v3.Router"), "error http_filters[0]: the router ends the chain"),
        (m("http_filters/9"), extension("rbac.v3.RBAC"), ""),
        (m("http_filters/9"), bootstrap().pointer(FILTER).unwrap().clone(), "warning http_filters[2]: a second Claimgate"),
        (m("use_remote_address"), json!(null), "warning use_remote_address: not true"),
        (m("use_remote_address"), json!(false), "warning use_remote_address: not true"),
        (m("original_ip_detection_extensions"), json!([{}]), "warning original_ip_detection_extensions: "),
        (require.clone(), condition.clone(), ""),
        (t("common_tls_context"), json!(null), "error clusters[0].transport_socket.typed_config.common_tls_context.validation_context: takes any certificate"),
        (t("common_tls_context/validation_context/trusted_ca"), json!(null), "error validation_context: takes any certificate"),
        (t("common_tls_context/validation_context/trust_chain_verification"), json!("ACCEPT_UNTRUSTED"), "error validation_context: takes any certificate"),
        (t("common_tls_context/validation_context/match_typed_subject_alt_names"), json!([]), "error validation_context: takes a certificate of any name"),
        (t("common_tls_context"), json!({"validation_context_sds_secret_config": {"name": "ca"}}), ""),
        (t("common_tls_context/validation_context"), json!({"verify_certificate_spki": ["x"]}), ""),
        ("/static_resources/clusters/0/transport_socket".into(), json!(null), "error clusters[0]: plain text"),
        ("/static_resources/clusters/0/transport_socket_matches".into(), json!([{"name": "plain"}]), "error clusters[0].transport_socket_matches[0]: plain text"),
        ("/static_resources/clusters/0/name".into(), json!("other"), "error config: issuers.corp.keys[0].remote.cluster: no cluster `idp`"),
        ("/static_resources/clusters".into(), json!([]), "error issuers.corp.keys[0].remote.cluster: no cluster `idp`"),
    ];
    let cases: Vec<_> = cases.iter().map(|(place, value, want)| (place.as_str(), value.clone(), *want)).collect();
    hold(&bootstrap(), &cases);

    // Two changes at once.
    let mut asks = bootstrap();
    set(&mut asks, &require, condition);
    hold(&asks, &[(&m("use_remote_address"), json!(null), "error use_remote_address: not true")]);
    let mut counts = bootstrap();
    let limit = json!({"name": "few", "by": ["client_address"], "requests": 1, "per": "1m"});
    set(&mut counts, &p("configuration/value/limits"), json!([limit]));
    hold(&counts, &[(&m("use_remote_address"), json!(true), ""), (&m("use_remote_address"), json!(null), "error use_remote_address: not true")]);
    let mut dynamic = bootstrap();
    dynamic["dynamic_resources"] = json!({"cds_config": {}});
    hold(&dynamic, &[("/static_resources/clusters", json!([]), "")]);
    let mut near = bootstrap();
    set(&mut near, &p("configuration/value/issuers/corp/keys/0/remote/url"), json!("http://idp/jwks"));
    let cluster = |address: &str| json!({"name": "idp", "load_assignment": {"endpoints": [{"socket_address": {"address": address}}]}});
    for (address, want) in [("127.0.0.1", "warning clusters[0]: plain text"), ("10.0.0.1", "error clusters[0]: plain text")] {
        set(&mut near, "/static_resources/clusters/0", cluster(address));
        let found = findings(&near.to_string());
        assert!(found.iter().any(|found| found.starts_with(want.split(' ').next().unwrap()) && found.contains("clusters[0]: plain text")), "{found:?}");
    }
}

/// All that the filter needs.
fn allowed() -> Value {
    let names = plugin::NEEDED.iter().map(|name| ((*name).to_owned(), json!({})));
    Value::Object(names.collect())
}

#[test]
fn a_plugin_sees_what_it_is_handed() {
    let secret = json!([{"secret": {"env": "SET"}, "algorithms": ["HS256"]}]);
    let mut document = bootstrap();
    set(&mut document, &format!("{PLUGIN}/configuration/value/issuers/corp/keys"), secret);
    let handed = format!("{PLUGIN}/vm_config/environment_variables");
    let unset = "error keys[0].secret.env: environment variable `SET` is not set";
    let found = findings(&document.to_string());
    assert!(found.iter().any(|found| found.contains("`SET` is not set")), "{found:?}");
    set(&mut document, &handed, json!({"host_env_keys": ["SET"]}));
    hold(
        &document,
        &[
            (&handed, json!({"host_env_keys": ["OTHER"]}), unset),
            (&handed, json!({"key_values": {"SET": "another of 32 bytes, ABCDEFGHIJK"}}), ""),
        ],
    );
}

#[test]
fn a_filter_that_is_loaded_from_a_file() {
    let mut document = bootstrap();
    let discovery = |source: Value| {
        json!({"name": "claimgate", "config_discovery": {
            "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
            "config_source": source,
        }})
    };
    set(&mut document, FILTER, discovery(json!({"path_config_source": {"path": "/etc/f.yaml"}})));
    let resource = json!({"resources": [bootstrap().pointer(FILTER).unwrap()["typed_config"]]});
    let text = document.to_string();
    let open = |path: &str| {
        assert_eq!(path, "/etc/f.yaml");
        Ok(resource.to_string())
    };
    let (checked, found) = check("f", &text, &open, &|_| None).unwrap();
    assert_eq!(
        (checked.len(), checked[0].file.as_str(), checked[0].loads),
        (1, "/etc/f.yaml", true)
    );
    let said: Vec<&str> = found.iter().map(|finding| finding.message.as_str()).collect();
    assert!(said.len() == 1 && said[0].contains("watched_directory"), "{said:?}");
    document["static_resources"]["clusters"] = json!([]);
    let (_, found) = check("f", &document.to_string(), &open, &|_| None).unwrap();
    assert!(found.iter().any(|finding| finding.message.contains("no cluster `idp`")));
    // Neither read, nor taken for a file without the filter.
    let found = findings(&text);
    assert!(
        found.iter().any(|found| found.contains("is not looked at: `/etc/f.yaml`")),
        "{found:?}"
    );
    set(&mut document, FILTER, discovery(json!({"ads": {}})));
    set(&mut document, &format!("{MANAGER}/http_filters/0/disabled"), json!(true));
    let open = |_: &str| Err(String::new());
    assert!(check("f", &document.to_string(), &open, &|_| None).is_err());
}

#[test]
fn of_several_plugins_only_the_filter_is_judged() {
    let mut document = bootstrap();
    let mut other = bootstrap().pointer(FILTER).unwrap().clone();
    other["typed_config"]["config"]["name"] = json!("headers");
    other["typed_config"]["config"]["configuration"]["value"] = json!({"add": "x"});
    set(&mut document, &format!("{MANAGER}/http_filters/9"), other);
    assert_eq!(findings(&document.to_string()), [""; 0]);
}

#[test]
fn a_configuration_alone() {
    let warning = "warning routes[0].require: `client_address` is the client's own word";
    hold(
        &configuration(),
        &[("/routes/0/require", json!({"client_address": ["10.0.0.0/8"]}), warning)],
    );
}

#[test]
#[rustfmt::skip]
fn manifests_of_istio() {
    let mut configuration = configuration();
    configuration["issuers"]["corp"]["keys"][0]["remote"]["cluster"] = json!("outbound|443||idp.example.com");
    let manifest = json!({"kind": "WasmPlugin", "spec": {
        "url": "oci://r.example.com/claimgate", "sha256": DIGEST, "phase": "AUTHN", "failStrategy": "FAIL_CLOSE",
        "match": [{"mode": "SERVER"}], "pluginConfig": configuration,
    }});
    hold(&manifest, &[
        ("/spec/failStrategy", json!("FAIL_OPEN"), "error spec.failStrategy: "),
        ("/spec/failStrategy", json!(null), ""),
        ("/spec/phase", json!(null), "warning spec.phase: not `AUTHN`"),
        ("/spec/phase", json!("STATS"), "warning spec.phase: not `AUTHN`"),
        ("/spec/type", json!("NETWORK"), "error spec.type: "),
        ("/spec/sha256", json!(null), "warning spec.url: "),
        ("/spec/url", json!("file:///f.wasm"), ""),
        ("/spec/match/0/mode", json!("CLIENT"), "error spec.match[0].mode: `CLIENT` is what the workload itself sends"),
        ("/spec/targetRefs", json!([{"kind": "Gateway", "name": "g"}]), "error spec.match[0].mode: a gateway's requests are `CLIENT`"),
        ("/spec/targetRefs", json!([{"kind": "Service", "name": "s"}]), ""),
        ("/spec/pluginConfig", json!(null), "error spec.pluginConfig: missing"),
        ("/spec/pluginConfig/issuers/corp/keys/0/remote/cluster", json!("idp"), "warning remote.cluster: `idp` is no cluster of Istio's"),
        ("/spec/pluginConfig/routes/0/require", json!({"client_address": ["10.0.0.0/8"]}), "warning spec.pluginConfig: routes[0].require: `client_address`"),
    ]);
    let entry = json!({"kind": "ServiceEntry", "spec": {"hosts": ["idp.example.com"]}});
    let rule = |tls: Value| json!({"kind": "DestinationRule", "spec": {"host": "idp.example.com", "trafficPolicy": {"tls": tls}}});
    let port = json!({"kind": "DestinationRule", "spec": {"host": "idp.example.com", "trafficPolicy": {"portLevelSettings": [{"port": {"number": 443}, "tls": {"mode": "SIMPLE"}}]}}});
    let subset = |tls: Value| json!({"kind": "DestinationRule", "spec": {"host": "idp.example.com", "subsets": [{"name": "", "trafficPolicy": {"tls": tls}}]}});
    let cases = [
        (vec![], ""),
        (vec![entry.clone(), subset(json!({"mode": "SIMPLE"}))], ""),
        (vec![entry.clone(), subset(json!({"mode": "DISABLE"}))], "plain text"),
        (vec![subset(json!({"mode": "SIMPLE", "insecureSkipVerify": true}))], "takes any certificate"),
        (vec![entry.clone()], "plain text"),
        (vec![entry.clone(), rule(json!({"mode": "SIMPLE"}))], ""),
        (vec![entry.clone(), rule(json!({"mode": "DISABLE"}))], "plain text"),
        (vec![rule(json!({"mode": "DISABLE"}))], "plain text"),
        (vec![rule(json!({"mode": "SIMPLE", "insecureSkipVerify": true}))], "takes any certificate"),
        (vec![entry, port], ""),
    ];
    for (beside, want) in cases {
        let documents = [manifest.clone()].into_iter().chain(beside);
        let text: String = documents.map(|document| format!("---\n{document}\n")).collect();
        let found = findings(&text);
        let holds = if want.is_empty() { found.is_empty() } else { found.iter().any(|found| found.starts_with("error") && found.contains(want)) };
        assert!(holds, "{text}\nwanted `{want}`, found {found:#?}");
    }
}

#[test]
#[rustfmt::skip]
fn manifests_of_istio_that_name_a_gateway() {
    let mut configuration = configuration();
    configuration["issuers"]["corp"]["keys"][0]["remote"]["cluster"] = json!("outbound|443||idp.example.com");
    configuration["routes"][0]["require"] = json!({"client_address": ["10.0.0.0/8"]});
    let manifest = json!({"kind": "TrafficExtension", "spec": {
        "targetRefs": [{"kind": "Gateway", "name": "g"}], "phase": "AUTHN",
        "wasm": {"url": "oci://r.example.com/claimgate", "sha256": DIGEST, "failStrategy": "FAIL_RELOAD", "pluginConfig": configuration},
    }});
    hold(&manifest, &[
        ("/spec/targetRefs", json!([{"kind": "Service", "name": "s"}]), "warning spec.wasm.pluginConfig: routes[0].require: `client_address`"),
        ("/spec/match", json!([{"mode": "CLIENT"}]), ""),
        ("/spec/phase", json!(null), "warning spec.phase: not `AUTHN`"),
        ("/spec/wasm/failStrategy", json!("FAIL_OPEN"), "error spec.wasm.failStrategy: "),
        ("/spec/wasm/type", json!("NETWORK"), "error spec.wasm.type: "),
        ("/spec/wasm/sha256", json!(null), "warning spec.wasm.url: "),
        ("/spec/wasm/pluginConfig", json!(null), "error spec.wasm.pluginConfig: missing"),
    ]);
}

#[test]
#[rustfmt::skip]
fn manifests_of_envoy_gateway() {
    let mut configuration = configuration();
    configuration["issuers"]["corp"]["keys"][0] = json!({"secret": {"env": "SET"}, "algorithms": ["HS256"]});
    let manifest = json!({"kind": "EnvoyExtensionPolicy", "spec": {"wasm": [{
        "name": "claimgate", "failOpen": false, "env": {"hostKeys": ["SET"]},
        "code": {"type": "Image", "image": {"url": "r.example.com/claimgate", "sha256": DIGEST}}, "config": configuration,
    }]}});
    let keys = |cluster: &str| json!([{"remote": {"cluster": cluster, "url": "https://idp.example.com/jwks"}}]);
    hold(&manifest, &[
        ("/spec/wasm/0/failOpen", json!(true), "error spec.wasm[0].failOpen: "),
        ("/spec/wasm/0/failOpen", json!(null), ""),
        ("/spec/wasm/0/env", json!(null), "error spec.wasm[0].config: issuers.corp.keys[0].secret.env: environment variable `SET` is not set"),
        ("/spec/wasm/0/code/image/sha256", json!(null), "warning spec.wasm[0].code.image.url: "),
        ("/spec/wasm/0/code/image/sha256", json!("x"), "warning spec.wasm[0].code.image.url: "),
        ("/spec/wasm/0/code/image", json!({"url": "r.example.com/claimgate@sha256:x"}), "warning spec.wasm[0].code.image.url: "),
        ("/spec/wasm/0/code/image", json!({"url": format!("r.example.com/claimgate@sha256:{DIGEST}")}), ""),
        ("/spec/wasm/0/config", json!(null), "error spec.wasm[0].config: missing"),
        ("/spec/wasm/0/config/routes/0/require", json!({"client_address": ["10.0.0.0/8"]}), ""),
        ("/spec/wasm/0/config/issuers/corp/keys", keys("idp"), "warning spec.wasm[0].config: issuers.corp.keys[0].remote.cluster: Envoy Gateway makes no cluster `idp`"),
        ("/spec/wasm/0/config/issuers/corp/keys", keys("httproute/default/idp/rule/0"), ""),
    ]);
    let other = json!({"kind": "EnvoyExtensionPolicy", "spec": {"wasm": [{"name": "headers", "config": {"a": 1}}]}});
    let found = findings(&format!("{manifest}\n---\n{other}\n"));
    assert!(found.iter().any(|found| found.contains("takes the place of the one that names its gateway")), "{found:?}");
}
