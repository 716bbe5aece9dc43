//! What Envoy Gateway's manifests have around the filter.

use super::plugin::is_true;
use super::{Note, join, written};
use crate::document::{Plugin, Runner, fetches, is_kind, items};
use crate::render::module::{is_digest, is_pinned};
use claimgate::config::Place;
use serde_json::Value;

/// The start of the names of the clusters that it makes of routes, the only ones that are known beforehand.
const OF_ROUTES: &str = "httproute/";

/// What is wrong with the policies that hold the filter, and with those beside them.
pub fn judge(documents: &[Value], plugins: &[Plugin<'_>]) -> Vec<Note> {
    let mut notes = Vec::new();
    for plugin in plugins {
        let Runner::EnvoyGateway(wasm) = plugin.runner else { continue };
        extension(wasm, &plugin.place, &mut notes);
        let Ok(configuration) = &plugin.configuration else { continue };
        for (inside, pointer) in fetches(configuration) {
            let fetch = configuration.pointer(&pointer).and_then(|fetch| fetch.get("cluster"));
            let Some(cluster) = fetch.and_then(Value::as_str) else { continue };
            if !cluster.starts_with(OF_ROUTES) {
                let inside = inside.key("cluster");
                let reason = format!(
                    "Envoy Gateway makes no cluster `{cluster}`, so that nothing would be fetched: name \
                     one of a route's, `httproute/NAMESPACE/NAME/rule/0`, or put the keys into the \
                     configuration"
                );
                let place = join(&written(&plugin.inside), &inside);
                notes.push(Note { place, ..Note::warning(&inside, reason) });
            }
        }
    }
    let holds = |document: &&Value| {
        is_kind(document, "EnvoyExtensionPolicy")
            && plugins.iter().any(|plugin| match plugin.runner {
                Runner::EnvoyGateway(wasm) => {
                    of(document).iter().any(|own| std::ptr::eq(own, wasm))
                }
                Runner::None | Runner::Envoy(_) | Runner::Istio { .. } => false,
            })
    };
    let others = || documents.iter().filter(|document| is_kind(document, "EnvoyExtensionPolicy"));
    if documents.iter().any(|document| holds(&document)) && others().any(|other| !holds(&other)) {
        notes.push(Note::warning(
            &Place::default(),
            "an EnvoyExtensionPolicy without the filter is here too: the one that names a route takes \
             the place of the one that names its gateway, and the filter with it",
        ));
    }
    notes
}

fn of(document: &Value) -> &[Value] {
    document.get("spec").map(|spec| items(spec, "wasm")).unwrap_or_default()
}

fn extension(wasm: &Value, place: &Place, notes: &mut Vec<Note>) {
    if is_true(wasm.get("failOpen")) {
        notes.push(Note::error(
            &place.key("failOpen"),
            "lets every request pass while the filter is down, or its configuration is refused: write \
             `false`",
        ));
    }
    let code = wasm.get("code").unwrap_or(&Value::Null);
    for source in ["image", "http"] {
        let Some(source_of) = code.get(source) else { continue };
        let text = |name| source_of.get(name).and_then(Value::as_str);
        let pinned = text("sha256").is_some_and(is_digest) || text("url").is_some_and(is_pinned);
        if !pinned {
            notes.push(Note::warning(
                &place.key("code").key(source).key("url"),
                "whoever can write there decides what runs: pin it by `sha256`",
            ));
        }
    }
}
