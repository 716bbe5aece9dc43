//! The clusters that keys come from: whoever can answer in their place makes the tokens.

use super::envoy::{Around, type_name};
use super::{Note, join, written};
use crate::document::{at, fetches, items, member, walk};
use claimgate::config::Place;
use serde_json::Value;

/// Something that a configuration fetches.
struct Use<'v> {
    place: Place,
    cluster: &'v str,
    https: bool,
}

/// What a configuration fetches, and from where.
fn uses<'v>(configuration: &'v Value) -> Vec<Use<'v>> {
    let fetches = fetches(configuration).into_iter();
    fetches
        .filter_map(|(place, pointer)| {
            let text = |name| configuration.pointer(&pointer)?.get(name)?.as_str();
            let https = text("url")?.starts_with("https://");
            Some(Use { place, cluster: text("cluster")?, https })
        })
        .collect()
}

/// What is wrong with the clusters that these documents have, or lack.
pub fn judge(documents: &[Value], around: &Around<'_>) -> Vec<Note> {
    let mut notes = Vec::new();
    let known = known(documents);
    let dynamic = |document: &Value| {
        let of = |name| at(document, &["dynamic_resources", name]).is_some();
        of("cds_config") || of("ads_config")
    };
    let bootstrap = documents.iter().any(|document| member(document, "static_resources").is_some());
    let complete = bootstrap && !documents.iter().any(dynamic);
    for (plugin, configuration) in around.configurations() {
        for Use { place, cluster, https } in uses(configuration) {
            let known = known
                .iter()
                .find(|(_, known)| known.get("name").is_some_and(|name| name == cluster));
            match known {
                Some((place, known)) => notes.extend(judge_cluster(known, place, https)),
                None if complete => notes.push(Note {
                    place: join(&written(plugin), &place.key("cluster")),
                    ..Note::error(
                        &place,
                        format!(
                            "no cluster `{cluster}` under `static_resources.clusters`: nothing would \
                             ever be fetched"
                        ),
                    )
                }),
                None => {}
            }
        }
    }
    notes.dedup_by(|a, b| a.place == b.place && a.message == b.message);
    notes
}

fn known(documents: &[Value]) -> Vec<(Place, &Value)> {
    let mut known = Vec::new();
    for document in documents {
        let place = Place::default();
        let resources = member(document, "static_resources").unwrap_or(&Value::Null);
        let place_of = |index| place.key("static_resources").key("clusters").index(index);
        let clusters = items(resources, "clusters").iter().enumerate();
        known.extend(clusters.map(|(index, cluster)| (place_of(index), cluster)));
        for (index, resource) in items(document, "resources").iter().enumerate() {
            if type_name(resource) == "envoy.config.cluster.v3.Cluster" {
                known.push((place.key("resources").index(index), resource));
            }
        }
    }
    known
}

fn judge_cluster(cluster: &Value, place: &Place, https: bool) -> Vec<Note> {
    let matches = items(cluster, "transport_socket_matches");
    let mut sockets: Vec<(Place, Option<&Value>)> = matches
        .iter()
        .enumerate()
        .map(|(index, one)| {
            let place = place.key("transport_socket_matches").index(index);
            (place, member(one, "transport_socket"))
        })
        .collect();
    if sockets.is_empty() {
        sockets.push((place.clone(), member(cluster, "transport_socket")));
    }
    sockets
        .into_iter()
        .flat_map(|(place, socket)| judge_socket(cluster, socket, &place, https))
        .collect()
}

fn judge_socket(cluster: &Value, socket: Option<&Value>, place: &Place, https: bool) -> Vec<Note> {
    let Some((tls_place, tls)) =
        socket.and_then(|socket| tls(socket, &place.key("transport_socket")))
    else {
        let near = !https && is_near(cluster);
        return vec![Note::error_if(
            !near,
            place,
            "plain text: whoever is on the way can answer in its place; give it a `transport_socket` \
             with an UpstreamTlsContext, `trusted_ca` and `match_typed_subject_alt_names`",
        )];
    };
    let common = member(tls, "common_tls_context").unwrap_or(&Value::Null);
    let combined = at(common, &["combined_validation_context", "default_validation_context"]);
    let context = member(common, "validation_context").or(combined).unwrap_or(&Value::Null);
    let has = |name| member(context, name).is_some_and(|value| !is_empty(value));
    // What a secret of SDS holds is not to be seen here.
    let elsewhere = member(common, "validation_context_sds_secret_config").is_some()
        || member(common, "combined_validation_context").is_some();
    let pinned = has("verify_certificate_hash") || has("verify_certificate_spki");
    let authority = pinned
        || elsewhere
        || [
            "trusted_ca",
            "ca_certificate_provider_instance",
            "system_root_certs",
            "custom_validator_config",
        ]
        .into_iter()
        .any(has);
    let options = member(cluster, "typed_extension_protocol_options").and_then(Value::as_object);
    let by_sni = options.into_iter().flat_map(|options| options.values()).any(|options| {
        at(options, &["upstream_http_protocol_options", "auto_san_validation"])
            == Some(&Value::Bool(true))
    });
    let named = pinned
        || elsewhere
        || by_sni
        || member(tls, "auto_sni_san_validation") == Some(&Value::Bool(true))
        || has("match_typed_subject_alt_names")
        || has("match_subject_alt_names")
        || has("custom_validator_config");
    let place = tls_place.key("common_tls_context").key("validation_context");
    let mut notes = Vec::new();
    if !authority
        || member(context, "trust_chain_verification").is_some_and(|how| how == "ACCEPT_UNTRUSTED")
    {
        notes.push(Note::error(
            &place,
            "takes any certificate, so that whoever is on the way can answer in its place: name the \
             authority under `trusted_ca`",
        ));
    } else if !named {
        notes.push(Note::error(
            &place,
            "takes a certificate of any name: name the host under `match_typed_subject_alt_names`",
        ));
    }
    notes
}

/// The TLS context of a socket, which others may wrap.
fn tls<'d>(socket: &'d Value, place: &Place) -> Option<(Place, &'d Value)> {
    let mut found = None;
    walk(socket, place, &mut |value, place| {
        if type_name(value).ends_with(".UpstreamTlsContext") {
            found.get_or_insert_with(|| (place.clone(), value));
        }
    });
    found
}

/// Whether all that a cluster leads to is on this machine.
fn is_near(cluster: &Value) -> bool {
    let (mut some, mut near) = (false, true);
    walk(cluster, &Place::default(), &mut |value, _| {
        if let Some(address) = member(value, "socket_address") {
            some = true;
            let address = address.get("address").and_then(Value::as_str).unwrap_or_default();
            let loopback = address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
            near &= loopback || address == "localhost";
        }
        some |= value.get("pipe").is_some();
    });
    some && near
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Object(_) => false,
    }
}
