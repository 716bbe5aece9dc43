//! What Istio's manifests have around the filter.

use super::plugin::is_true;
use super::{Note, client_address, join, written};
use crate::document::{Plugin, Runner, at, fetches, is_kind, items, walk};
use crate::render::module::{is_digest, is_pinned};
use claimgate::config::Place;
use serde_json::Value;

/// Why a client's address means little where the filter may stand behind a sidecar.
pub const OWN_WORD: &str = "`client_address` is the client's own word behind a sidecar: use it in a gateway, with \
                            `numTrustedProxies` set";

/// What is wrong with the manifests that hold the filter, and with those beside them.
pub fn judge(documents: &[Value], plugins: &[Plugin<'_>]) -> Vec<Note> {
    let mut notes = Vec::new();
    for plugin in plugins {
        let Runner::Istio { spec, wasm, inside } = &plugin.runner else { continue };
        extension(spec, &plugin.place.key("spec"), &mut notes);
        module(wasm, inside, &mut notes);
        let Ok(configuration) = &plugin.configuration else { continue };
        if let Some(inside) = client_address(configuration).filter(|_| !names_gateway(spec)) {
            notes.push(Note {
                place: join(&written(&plugin.inside), &inside),
                ..Note::warning(&inside, OWN_WORD)
            });
        }
        clusters(documents, configuration, plugin, &mut notes);
    }
    notes
}

/// Where the filter stands, and what it is asked of.
fn extension(spec: &Value, place: &Place, notes: &mut Vec<Note>) {
    if spec.get("phase").and_then(Value::as_str) != Some("AUTHN") {
        notes.push(Note::warning(
            &place.key("phase"),
            "not `AUTHN`: Istio's own authorization runs before the filter, on headers that a client \
             may have forged",
        ));
    }
    let gateway = names_gateway(spec);
    for (index, one) in items(spec, "match").iter().enumerate() {
        let place = place.key("match").index(index).key("mode");
        let mode = one.get("mode").and_then(Value::as_str);
        if mode == Some("CLIENT") && !gateway {
            notes.push(Note::error(
                &place,
                "`CLIENT` is what the workload itself sends: write `SERVER`",
            ));
        }
        if mode == Some("SERVER") && gateway {
            notes.push(Note::error(
                &place,
                "a gateway's requests are `CLIENT` to Istio, so that the filter is never asked: leave \
                 `match` out",
            ));
        }
    }
}

/// Whether the filter stands in a gateway, for which Istio sets `use_remote_address`.
fn names_gateway(spec: &Value) -> bool {
    let mut targets = items(spec, "targetRefs").iter().chain(spec.get("targetRef"));
    targets.any(|target| is_kind(target, "Gateway"))
}

/// What is loaded.
fn module(wasm: &Value, place: &Place, notes: &mut Vec<Note>) {
    let word = |name| wasm.get(name).and_then(Value::as_str);
    if word("failStrategy") == Some("FAIL_OPEN") {
        notes.push(Note::error(
            &place.key("failStrategy"),
            "`FAIL_OPEN` lets every request pass while the filter is down: write `FAIL_CLOSE`",
        ));
    }
    if word("type") == Some("NETWORK") {
        notes.push(Note::error(&place.key("type"), "the filter judges HTTP: write `HTTP`"));
    }
    if let Some(url) = word("url")
        && !url.starts_with("file:")
        && !word("sha256").is_some_and(is_digest)
        && !is_pinned(url)
    {
        notes.push(Note::warning(
            &place.key("url"),
            "whoever can write there decides what runs: pin it by `sha256`",
        ));
    }
}

/// Clusters by the names that Istio gives them: `outbound|443||idp.example.com`.
fn clusters(
    documents: &[Value],
    configuration: &Value,
    plugin: &Plugin<'_>,
    notes: &mut Vec<Note>,
) {
    let mut wrong: Vec<(Place, Severe, String)> = Vec::new();
    for (place, pointer) in fetches(configuration) {
        let fetch = configuration.pointer(&pointer).and_then(|fetch| fetch.get("cluster"));
        let Some(cluster) = fetch.and_then(Value::as_str) else { continue };
        let place = place.key("cluster");
        let parts: Vec<&str> = cluster.split('|').collect();
        let [_, port, subset, host] = parts[..] else {
            let reason = format!(
                "`{cluster}` is no cluster of Istio's: write `outbound|443||idp.example.com`"
            );
            wrong.push((place, Severe::Warning, reason));
            continue;
        };
        match tls(documents, host, port, subset) {
            // It may be in another file.
            None if !documents.iter().any(|document| is_entry(document, host)) => {}
            Some("SIMPLE" | "MUTUAL" | "ISTIO_MUTUAL") => {}
            None | Some(_) => wrong.push((
                place,
                Severe::Error,
                format!(
                    "plain text: whoever is on the way can answer in its place; give `{host}` a \
                     DestinationRule with `tls: {{ mode: SIMPLE, subjectAltNames: [{host}] }}`"
                ),
            )),
        }
    }
    for (inside, severe, message) in wrong {
        let note = Note::error_if(matches!(severe, Severe::Error), &inside, message);
        notes.push(Note { place: join(&written(&plugin.inside), &inside), ..note });
    }
    for document in documents.iter().filter(|document| is_kind(document, "DestinationRule")) {
        walk(document, &Place::default(), &mut |value, place| {
            if is_true(value.get("insecureSkipVerify")) {
                notes.push(Note::error(
                    &place.key("insecureSkipVerify"),
                    "takes any certificate: leave it out",
                ));
            }
        });
    }
}

enum Severe {
    Error,
    Warning,
}

fn is_entry(document: &Value, host: &str) -> bool {
    let hosts = at(document, &["spec"]).map(|spec| items(spec, "hosts")).unwrap_or_default();
    is_kind(document, "ServiceEntry") && hosts.iter().any(|entry| entry == host)
}

/// How a DestinationRule says that a host is spoken to: for a port or a subset, or for all.
fn tls<'d>(documents: &'d [Value], host: &str, port: &str, subset: &str) -> Option<&'d str> {
    let rule = documents.iter().find(|document| {
        is_kind(document, "DestinationRule")
            && at(document, &["spec", "host"]).is_some_and(|own| own == host)
    })?;
    let spec = rule.get("spec")?;
    let subset = items(spec, "subsets")
        .iter()
        .find(|one| one.get("name").is_some_and(|name| name == subset))
        .and_then(|subset| subset.get("trafficPolicy"));
    let tls = |policy: Option<&'d Value>| {
        let policy = policy?;
        let of_port = items(policy, "portLevelSettings").iter().find(|settings| {
            let number = at(settings, &["port", "number"]);
            number.is_some_and(|number| number.as_u64() == port.parse().ok())
        });
        of_port.and_then(|settings| settings.get("tls")).or_else(|| policy.get("tls"))
    };
    let tls = tls(subset).or_else(|| tls(spec.get("trafficPolicy")))?;
    tls.get("mode").and_then(Value::as_str)
}
