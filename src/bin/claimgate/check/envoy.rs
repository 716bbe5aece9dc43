//! What an Envoy configuration has around the filter: its place in the chain, and what takes it out of it.
//!
//! `normalize_path` and its like are no matter: Envoy applies them before the filter, which so judges the path that goes
//! on.

use super::plugin::is_true;
use super::{Note, client_address};
use crate::document::{Plugin, at, items, member, walk};
use claimgate::config::Place;
use serde_json::Value;
use std::collections::BTreeSet;

/// A filter that Envoy loads from another file.
pub struct Discovered {
    /// Where it is in the chain.
    pub entry: Place,
    /// The file.
    pub path: String,
}

/// The filters that these documents load from files.
pub fn discovered(documents: &[Value]) -> Vec<Discovered> {
    let mut found = Vec::new();
    let path = ["config_discovery", "config_source", "path_config_source", "path"];
    for document in documents {
        walk(document, &Place::default(), &mut |value, place| {
            let wasm = value
                .get("config_discovery")
                .or_else(|| value.get("configDiscovery"))
                .is_some_and(|discovery| items(discovery, "type_urls").iter().any(is_wasm_url));
            if let (true, Some(path)) = (wasm, at(value, &path).and_then(Value::as_str)) {
                found.push(Discovered { entry: place.clone(), path: path.to_owned() });
            }
        });
    }
    found
}

fn is_wasm_url(url: &Value) -> bool {
    url.as_str().is_some_and(|url| url.ends_with(WASM))
}

const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
const MANAGER: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// What is known of the filters in a file.
pub struct Around<'a> {
    /// Where each is, and the configurations that it has.
    filters: Vec<(Place, Vec<&'a Value>)>,
}

impl<'a> Around<'a> {
    pub fn new(own: &'a [Plugin<'_>], elsewhere: &'a [(&Discovered, Vec<Plugin<'_>>)]) -> Self {
        let of = |plugin: &'a Plugin<'_>| plugin.configuration.as_ref().ok();
        let own = own.iter().map(|plugin| (plugin.place.clone(), of(plugin).into_iter().collect()));
        let elsewhere = elsewhere.iter().filter(|(_, plugins)| !plugins.is_empty());
        let elsewhere = elsewhere
            .map(|(found, plugins)| (found.entry.clone(), plugins.iter().filter_map(of).collect()));
        Self { filters: own.chain(elsewhere).collect() }
    }

    /// All configurations, with the place of the filter that has them.
    pub fn configurations(&self) -> impl Iterator<Item = (&Place, &'a Value)> {
        let each = self.filters.iter();
        each.flat_map(|(place, values)| values.iter().map(move |value| (place, *value)))
    }

    /// The configurations of an entry of a chain; none where it is another filter.
    fn entry(&self, entry: &Value, place: &Place) -> Option<Vec<&'a Value>> {
        let place = place.to_string();
        let within = |other: &Place| {
            let other = other.to_string();
            let rest = other.strip_prefix(&place);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let found: Vec<_> = self.filters.iter().filter(|(other, _)| within(other)).collect();
        let named = || {
            let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
            member(entry, "config_discovery").is_some() && name.contains("claimgate")
        };
        if found.is_empty() && !named() {
            return None;
        }
        Some(found.into_iter().flat_map(|(_, values)| values.iter().copied()).collect())
    }
}

/// What is wrong around the filters.
pub fn judge(documents: &[Value], around: &Around<'_>) -> Vec<Note> {
    let (mut notes, mut names) = (Vec::new(), BTreeSet::new());
    for document in documents {
        walk(document, &Place::default(), &mut |value, place| {
            if type_name(value) == MANAGER {
                manager(value, place, around, &mut names, &mut notes);
            }
        });
    }
    for document in documents {
        walk(document, &Place::default(), &mut |value, place| {
            for per_filter in ["typed_per_filter_config", "typedPerFilterConfig"] {
                let Some(own) = value.get(per_filter).and_then(Value::as_object) else { continue };
                for (name, config) in own {
                    if names.contains(name.as_str()) && is_true(config.get("disabled")) {
                        notes.push(Note::error(
                            &place.key(per_filter).key(name).key("disabled"),
                            "switches the filter off here, the removal of forged headers included: \
                             leave it out, and give the filter a route with `token: none`",
                        ));
                    }
                }
            }
        });
    }
    notes
}

/// The name of a message's type.
pub fn type_name(value: &Value) -> &str {
    let url = value.get("@type").and_then(Value::as_str).unwrap_or_default();
    url.rsplit('/').next().unwrap_or_default()
}

/// Whether the documents show a connection manager.
pub fn has_manager(documents: &[Value]) -> bool {
    let mut has = false;
    for document in documents {
        walk(document, &Place::default(), &mut |value, _| has |= type_name(value) == MANAGER);
    }
    has
}

fn manager<'d>(
    manager: &'d Value,
    place: &Place,
    around: &Around<'_>,
    names: &mut BTreeSet<&'d str>,
    notes: &mut Vec<Note>,
) {
    let main = items(manager, "http_filters");
    let main_place = place.key("http_filters");
    let configurations = chain(main, &main_place, around, names, notes);
    if !configurations.is_empty() {
        let asks = configurations.iter().any(|config| client_address(config).is_some());
        let detection = items(manager, "original_ip_detection_extensions");
        if !detection.is_empty() {
            notes.push(Note::warning(
                &place.key("original_ip_detection_extensions"),
                "these say what the client's address is: make sure that no client can set what they read",
            ));
        } else if member(manager, "use_remote_address") != Some(&Value::Bool(true)) {
            notes.push(Note::error_if(
                asks,
                &place.key("use_remote_address"),
                "not true, so that a client's own `X-Forwarded-For` is its address: set it to true, \
                 and `xff_num_trusted_hops` behind a load balancer",
            ));
        }
    }
    let holds = main
        .iter()
        .enumerate()
        .any(|(index, entry)| around.entry(entry, &main_place.index(index)).is_some());
    for (index, upgrade) in items(manager, "upgrade_configs").iter().enumerate().filter(|_| holds) {
        let place = place.key("upgrade_configs").index(index).key("filters");
        let filters = items(upgrade, "filters");
        let mut entries = filters.iter().enumerate();
        if entries.any(|(index, entry)| around.entry(entry, &place.index(index)).is_some()) {
            chain(filters, &place, around, names, notes);
        } else if !filters.is_empty() {
            notes.push(Note::error(
                &place,
                "replaces the whole chain for these upgrades, without the filter: leave it out, or \
                 put the filter first in it",
            ));
        }
    }
}

/// The filters that act on who the client says it is, and what each does so.
const TRUSTING: [(&str, &str); 9] = [
    ("rbac.v3.RBAC", "decides by headers"),
    ("jwt_authn.v3.JwtAuthentication", "takes the token away"),
    ("ext_authz.v3.ExtAuthz", "hands headers to its service"),
    ("ext_proc.v3.ExternalProcessor", "hands headers to its service"),
    ("lua.v3.Lua", "may read headers"),
    ("header_to_metadata.v3.Config", "turns headers into metadata"),
    ("ratelimit.v3.RateLimit", "counts by headers"),
    ("oauth2.v3.OAuth2", "sets tokens for what comes after it"),
    (WASM, "may read headers"),
];

/// Judges a chain, and gives the configurations of the filters in it.
fn chain<'a, 'd>(
    filters: &'d [Value],
    place: &Place,
    around: &Around<'a>,
    names: &mut BTreeSet<&'d str>,
    notes: &mut Vec<Note>,
) -> Vec<&'a Value> {
    let mut all: Option<Vec<&'a Value>> = None;
    let own = |index: usize, filter: &Value| around.entry(filter, &place.index(index));
    let first = filters.iter().enumerate().position(|(index, filter)| own(index, filter).is_some());
    for (index, filter) in filters.iter().enumerate() {
        let place = place.index(index);
        let kind = type_name(member(filter, "typed_config").unwrap_or(&Value::Null));
        let before = first.is_some_and(|first| index < first);
        if before && kind.ends_with("router.v3.Router") {
            notes.push(Note::error(
                &place,
                "the router ends the chain: the filter behind it never runs",
            ));
        } else if before
            && let Some((_, what)) = TRUSTING.iter().find(|(name, _)| kind.ends_with(name))
        {
            notes.push(Note::warning(
                &place,
                format!(
                    "stands before the filter and {what}, which a client may have forged there: put \
                     the filter first"
                ),
            ));
        }
        let Some(configurations) = own(index, filter) else { continue };
        names.extend(filter.get("name").and_then(Value::as_str));
        entry(filter, &place, notes);
        if all.is_some() {
            notes.push(Note::warning(
                &place,
                "a second Claimgate in the chain: the first takes the token away, unless it says \
                 `forward_token: true`",
            ));
        }
        all.get_or_insert_default().extend(configurations);
    }
    all.unwrap_or_default()
}

/// An entry of a chain that is the filter.
fn entry(filter: &Value, place: &Place, notes: &mut Vec<Note>) {
    if is_true(filter.get("disabled")) {
        notes.push(Note::error(
            &place.key("disabled"),
            "the filter is off unless a route switches it on: leave it out",
        ));
    }
    if is_true(member(filter, "is_optional")) {
        notes.push(Note::error(
            &place.key("is_optional"),
            "an Envoy that cannot load the filter runs without it: leave it out",
        ));
    }
    let Some(discovery) = member(filter, "config_discovery") else { return };
    let place = place.key("config_discovery");
    if let Some(default) = member(discovery, "default_config")
        && type_name(default) != WASM
    {
        notes.push(Note::error(
            &place.key("default_config"),
            "serves in the filter's place until that is loaded, and where it is refused: leave it out",
        ));
    }
    let source = at(discovery, &["config_source", "path_config_source"]);
    let path = source.and_then(|source| source.get("path")).and_then(Value::as_str);
    let watched = source.is_some_and(|source| member(source, "watched_directory").is_some());
    if path.is_some_and(|path| path.starts_with('/')) && !watched {
        notes.push(Note::warning(
            &place.key("config_source").key("path_config_source"),
            "without `watched_directory` Envoy does not see how Kubernetes updates a mounted file",
        ));
    }
    if path.is_none() {
        notes.push(Note::warning(
            &place,
            "what the filter is given comes from elsewhere, and is not looked at: check it too",
        ));
    }
}
