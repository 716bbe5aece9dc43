//! What Envoy or Istio is told of the plugin itself: whether it may be missing, and what it may call.

use super::Note;
use crate::document::{Plugin, Runner, at, items, member};
use claimgate::config::{Environment, Place};
use serde_json::Value;
use std::collections::BTreeMap;

/// The functions of the ABI without which the filter does not work: those that it calls, and those by which Envoy calls
/// it. `proxy_call_foreign_function` and `random_get` are not among them, which save time, nor is shared data, by which the
/// workers' audit chains name each other.
pub(super) const NEEDED: [&str; 27] = [
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_http_call_response",
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_delete",
    "proxy_log",
    "proxy_get_log_level",
    "proxy_get_current_time_nanoseconds",
    "proxy_set_tick_period_milliseconds",
    "proxy_set_effective_context",
    "proxy_continue_stream",
    "proxy_get_buffer_bytes",
    "proxy_get_header_map_pairs",
    "proxy_remove_header_map_value",
    "proxy_add_header_map_value",
    "proxy_get_property",
    "proxy_set_property",
    "proxy_send_local_response",
    "proxy_http_call",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
];

/// What it needs besides where workers share what they count, or what they renewed.
pub(super) const SHARED: [&str; 2] = ["proxy_get_shared_data", "proxy_set_shared_data"];

/// What is wrong with the plugin, whatever its configuration.
pub fn judge(plugin: &Plugin<'_>) -> Vec<Note> {
    match plugin.runner {
        Runner::None | Runner::Istio { .. } | Runner::EnvoyGateway(_) => Vec::new(),
        Runner::Envoy(settings) => envoy(
            settings,
            shares(plugin.configuration.as_ref().unwrap_or(&Value::Null)),
            &plugin.place,
        ),
    }
}

/// Whether its workers count, or renew, together.
fn shares(configuration: &Value) -> bool {
    let renews = |issuer: &Value| issuer.get("renew").is_some();
    let issuers = configuration.get("issuers").and_then(Value::as_object);
    configuration.get("limits").is_some() || issuers.is_some_and(|all| all.values().any(renews))
}

fn envoy(settings: &Value, shares: bool, place: &Place) -> Vec<Note> {
    let mut notes = Vec::new();
    // Its number is 3 in the enumeration.
    let open = |policy: &&Value| **policy == "FAIL_OPEN" || **policy == 3;
    if member(settings, "failure_policy").is_some_and(|policy| open(&policy)) {
        notes.push(Note::error(
            &place.key("failure_policy"),
            "`FAIL_OPEN` lets every request pass while the filter is down: write `FAIL_RELOAD`",
        ));
    }
    if is_true(member(settings, "fail_open")) {
        notes.push(Note::error(
            &place.key("fail_open"),
            "lets every request pass while the filter is down: leave it out, and write \
             `failure_policy: FAIL_RELOAD`",
        ));
    }
    if at(settings, &["vm_config", "vm_id"]).and_then(Value::as_str).is_none_or(str::is_empty) {
        notes.push(Note::warning(
            &place.key("vm_config"),
            "no `vm_id`: every plugin without one can read and write the filter's shared data; give \
             it an own one",
        ));
    }
    let allowed = at(settings, &["capability_restriction_config", "allowed_capabilities"]);
    // Envoy takes an empty list for no restriction.
    if let Some(Value::Object(allowed)) =
        allowed.filter(|allowed| **allowed != Value::Object(Default::default()))
    {
        let place = place.key("capability_restriction_config").key("allowed_capabilities");
        let shared = SHARED.iter().filter(|_| shares);
        let missing: Vec<String> = NEEDED
            .iter()
            .chain(shared)
            .filter(|name| !allowed.contains_key(**name))
            .map(|name| format!("`{name}`"))
            .collect();
        if !allowed.contains_key("proxy_on_request_headers") {
            notes.push(Note::error(
                &place,
                "without `proxy_on_request_headers` Envoy never asks the filter, and lets every \
                 request pass: allow it",
            ));
        }
        if !missing.is_empty() {
            let missing = missing.join(", ");
            notes.push(Note::error(&place, format!("the filter needs these too: {missing}")));
        }
    }
    notes
}

/// True, also where it is written as text.
pub fn is_true(value: Option<&Value>) -> bool {
    value.is_some_and(|value| *value == true || *value == "true")
}

/// The environment that the plugin is handed.
pub fn variables<'e>(
    plugin: &Plugin<'e>,
    process: Environment<'e>,
) -> impl Fn(&str) -> Option<String> + 'e {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    // None for a variable whose value is the process's own.
    let mut handed: BTreeMap<String, Option<String>> = BTreeMap::new();
    let all = match plugin.runner {
        Runner::None => true,
        Runner::Envoy(settings) => {
            let variables = at(settings, &["vm_config", "environment_variables"]);
            let variables = variables.unwrap_or(&Value::Null);
            handed.extend(
                items(variables, "host_env_keys").iter().map(|key| (text(Some(key)), None)),
            );
            let own = member(variables, "key_values").and_then(Value::as_object);
            let own = own.into_iter().flatten();
            handed.extend(own.map(|(key, value)| (key.clone(), Some(text(Some(value))))));
            false
        }
        Runner::EnvoyGateway(wasm) => {
            let env = wasm.get("env").unwrap_or(&Value::Null);
            handed.extend(items(env, "hostKeys").iter().map(|key| (text(Some(key)), None)));
            false
        }
        Runner::Istio { wasm, .. } => {
            let config = wasm.get("vmConfig").unwrap_or(&Value::Null);
            for variable in items(config, "env") {
                let host = variable.get("valueFrom").is_some_and(|from| from == "HOST");
                let value = (!host).then(|| text(variable.get("value")));
                handed.insert(text(variable.get("name")), value);
            }
            false
        }
    };
    move |name| match handed.get(name) {
        Some(Some(value)) => Some(value.clone()),
        Some(None) => process(name),
        None if all => process(name),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_function_that_the_filter_calls() {
        let host = include_str!("../../../filter/host.rs");
        let called = host
            .split("pub fn proxy_")
            .skip(1)
            .map(|rest| format!("proxy_{}", rest.split('(').next().unwrap_or_default()));
        let called: Vec<String> = called.collect();
        assert!(called.len() > 15, "{called:?}");
        for name in called {
            let optional = name == "proxy_call_foreign_function" || SHARED.contains(&name.as_str());
            assert_ne!(NEEDED.contains(&name.as_str()), optional, "{name}");
        }
        let trim = include_str!("../../../../envoy/trim.py");
        for name in NEEDED.iter().filter(|name| name.starts_with("proxy_on_")) {
            assert!(trim.contains(&format!("\"{name}\"")), "{name} is no callback of the filter");
        }
    }
}
