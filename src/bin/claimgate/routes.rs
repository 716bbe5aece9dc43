//! `claimgate routes`: which routes a host has, the most specific first.

use crate::check::{environment, join};
use crate::lines::Lines;
use crate::output::{Finding, Format, Severity};
use crate::table::Table;
use crate::{Failure, document, prose, read};
use claimgate::config;
use claimgate::engine::Engine;
use claimgate::policy::host::{self, HostPattern};
use claimgate::policy::pattern::PathPattern;
use claimgate::policy::route::{Methods, Mode, Route, TokenMode};
use claimgate::policy::tree::rank;
use claimgate::token::signature::Portable;
use serde_json::Value;
use std::cmp::Reverse;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// A configuration, alone or inside an envoy.yaml, an ECDS resource file or a manifest of Istio's or Envoy Gateway's;
    /// `-` is standard input.
    file: String,
    /// The host, as a request names it; every host that a route names, and the others, where none is given.
    #[arg(long)]
    host: Option<String>,
    /// Only what this method meets.
    #[arg(long)]
    method: Option<String>,
}

/// The table of a host.
#[derive(serde::Serialize)]
struct Host {
    /// The host, or the family of hosts; none for all that no route names.
    host: Option<String>,
    /// The pattern that the routes of this host name; none where only routes without hosts apply.
    named_as: Option<String>,
    kind: Kind,
    routes: Vec<Row>,
}

/// How a host is named.
#[derive(Clone, Copy, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Exact,
    Capture,
    Under,
    Every,
    Unnamed,
}

/// A route's pattern.
#[derive(serde::Serialize)]
struct Row {
    path: String,
    /// None for every method.
    methods: Option<Vec<String>>,
    route: String,
    token: Option<&'static str>,
    issuers: Vec<String>,
    require: Option<Value>,
    effect: Effect,
}

/// What becomes of a request that a row takes.
#[derive(Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Effect {
    /// It is refused.
    Deny,
    /// What the route asks is enforced.
    Enforce,
    /// It passes, and what the route asks is recorded.
    Shadow,
    /// The path is the route's, and the method is refused with 405.
    #[serde(rename = "method_not_allowed")]
    OtherMethod,
}

/// A configuration's tables.
#[derive(serde::Serialize)]
struct Tables {
    place: String,
    name: String,
    hosts: Vec<Host>,
}

pub fn run(arguments: &Arguments, format: Format) -> Result<ExitCode, Failure> {
    let file = &arguments.file;
    let of_file = |why: Failure| format!("`{file}`: {why}");
    let mut shown = Vec::new();
    let text = read(file)?;
    for found in document::configurations(&text).map_err(of_file)? {
        // Keys have no part in it: a secret that is not set here is no obstacle.
        let handed = |name: &str| environment(name).or_else(|| Some("A".repeat(96)));
        let engine = match config::load_value(found.value.clone(), &found.name, &handed, &Portable)
        {
            Ok(loaded) => loaded.engine,
            Err(error) => {
                let place = join(&found.place, &error.place);
                let (file, message) = (file.clone(), error.reason);
                let at = Lines::of(&text).find(&place);
                format.tell_at(&Finding { severity: Severity::Error, file, place, message }, at);
                return Ok(ExitCode::from(2));
            }
        };
        let policy = Policy { engine: &engine, configuration: &found.value };
        let method = arguments.method.as_deref();
        let hosts = match &arguments.host {
            Some(host) => {
                let safe = host::normalise(Some(host.as_bytes()));
                let safe = safe.map_err(|why| format!("`--host {host}`: {why}"))?;
                vec![policy.host(&safe, Some(safe.to_string()), method)]
            }
            None => policy.every_host(method),
        };
        shown.push(Tables { place: found.place, name: engine.name.clone(), hosts });
    }
    format.print(&shown, || shown.iter().map(Tables::text).collect::<Vec<_>>().join("\n"));
    Ok(ExitCode::SUCCESS)
}

/// A policy, and how it is written.
struct Policy<'p> {
    engine: &'p Engine,
    configuration: &'p Value,
}

impl Policy<'_> {
    /// The tables of all hosts that routes name, and of the others.
    fn every_host(&self, method: Option<&str>) -> Vec<Host> {
        let mut patterns: Vec<&HostPattern> =
            self.engine.routes.iter().flat_map(|route| &route.hosts).collect();
        patterns.sort_by_key(|pattern| (Reverse(pattern.specificity()), pattern.shape()));
        patterns.dedup_by_key(|pattern| pattern.shape());
        let mut hosts: Vec<Host> = patterns
            .into_iter()
            .filter_map(|pattern| {
                let like = self.like(pattern)?;
                Some(self.host(&like, Some(pattern.to_string()), method))
            })
            .collect();
        if !hosts.iter().any(|host| matches!(host.kind, Kind::Every)) {
            hosts.push(self.host("host.invalid", None, method));
        }
        hosts
    }

    /// A host that no pattern matches more closely than this one.
    fn like(&self, pattern: &HostPattern) -> Option<String> {
        let parent = match pattern {
            HostPattern::Exact(host) => return Some(host.to_string()),
            HostPattern::Capture { parent, .. } | HostPattern::Under(parent) => {
                format!(".{parent}")
            }
            HostPattern::Every => ".invalid".to_owned(),
        };
        let labels = ["any", "any-other", "any.any", "any.any.any"];
        let like = |label: &&str| {
            let host = format!("{label}{parent}");
            let hosts = self.engine.routes.iter().flat_map(|route| &route.hosts);
            let closest =
                hosts.filter(|own| own.matches(&host)).max_by_key(|own| own.specificity());
            (closest.map(HostPattern::shape) == Some(pattern.shape())).then_some(host)
        };
        labels.iter().find_map(like)
    }

    /// The table of a safe host.
    fn host(&self, safe: &str, shown: Option<String>, method: Option<&str>) -> Host {
        let naming = |route: &Route| {
            let matching = route.hosts.iter().filter(|pattern| pattern.matches(safe));
            matching.max_by_key(|pattern| pattern.specificity()).cloned()
        };
        let open = self.engine.routes.iter().filter(|route| !route.deny);
        let named = open.filter_map(naming).max_by_key(HostPattern::specificity);
        let kind = named.as_ref().map(HostPattern::specificity);
        let mut entries = Vec::new();
        for (index, route) in self.engine.routes.iter().enumerate() {
            let own = naming(route);
            let broader = !route.deny && own.as_ref().map(HostPattern::specificity) < kind;
            if !route.hosts.is_empty() && (own.is_none() || broader) {
                continue;
            }
            for path in &route.paths {
                entries.push(Entry { index, route, path, named: own.is_some() });
            }
        }
        entries.sort_by_key(Entry::order);
        let entries = settle(entries, method);
        Host {
            host: shown,
            kind: named.as_ref().map_or(Kind::Unnamed, |named| match named {
                HostPattern::Exact(_) => Kind::Exact,
                HostPattern::Capture { .. } => Kind::Capture,
                HostPattern::Under(_) => Kind::Under,
                HostPattern::Every => Kind::Every,
            }),
            named_as: named.map(|named| named.to_string()),
            routes: entries.iter().map(|(entry, takes)| self.row(entry, *takes)).collect(),
        }
    }

    fn row(&self, entry: &Entry<'_>, takes: bool) -> Row {
        let route = entry.route;
        let mut issuers: Vec<_> = route.carriers.iter().flat_map(|one| &one.issuers).collect();
        issuers.sort_unstable_by_key(|id| id.0);
        issuers.dedup();
        let name = |id: &&claimgate::token::IssuerId| {
            Some(self.engine.issuers.get(id.0)?.name.to_string())
        };
        let written = self.configuration.get("routes").and_then(|routes| routes.get(entry.index));
        Row {
            path: entry.path.to_string(),
            methods: match &route.methods {
                Methods::Every => None,
                Methods::Listed(methods) => {
                    Some(methods.iter().map(|name| name.to_string()).collect())
                }
            },
            route: route.name.to_string(),
            token: (!route.deny).then_some(match route.token {
                TokenMode::Required => "required",
                TokenMode::Optional => "optional",
                TokenMode::Lenient => "lenient",
                TokenMode::None => "none",
            }),
            issuers: issuers.iter().filter_map(name).collect(),
            require: written.and_then(|route| route.get("require")).cloned(),
            effect: match (route.deny, takes) {
                (true, _) => Effect::Deny,
                (false, false) => Effect::OtherMethod,
                (false, true) if [route.mode, self.engine.mode].contains(&Mode::Shadow) => {
                    Effect::Shadow
                }
                (false, true) => Effect::Enforce,
            },
        }
    }
}

/// A pattern of a route that a host has.
struct Entry<'r> {
    index: usize,
    route: &'r Route,
    path: &'r PathPattern,
    named: bool,
}

impl Entry<'_> {
    /// Deny routes, then the more specific path, then the named host, then the listed method.
    fn order(&self) -> (bool, Reverse<Vec<u32>>, String, bool, bool, usize) {
        let (rank, path) = (Reverse(rank(self.path)), unnamed(&self.path.to_string()));
        (!self.route.deny, rank, path, !self.named, !self.lists(), self.index)
    }

    fn lists(&self) -> bool {
        matches!(self.route.methods, Methods::Listed(_))
    }

    fn owns_as(&self, other: &Self) -> bool {
        !self.route.deny && !other.route.deny && self.path.same_shape(other.path)
    }
}

/// A pattern with `*` for each capture: alike for those that own the same paths.
fn unnamed(pattern: &str) -> String {
    let mut parts = pattern.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "*" + part.split_once('}').map_or("", |(_, rest)| rest))
}

/// Leaves out what another entry of the same path keeps from ever taking a request, and says of the others whether they
/// take the method.
fn settle<'r>(entries: Vec<Entry<'r>>, method: Option<&str>) -> Vec<(Entry<'r>, bool)> {
    let takes = |entry: &Entry<'_>| {
        let methods = &entry.route.methods;
        method.is_none_or(|method| {
            if entry.route.deny { methods.deny(method) } else { methods.take(method) }
        })
    };
    let loses = |entry: &Entry<'_>| {
        entries.iter().any(|other| {
            let listed = method.is_some()
                && takes(other)
                && (!takes(entry) || other.lists() && !entry.lists());
            other.owns_as(entry)
                && other.index != entry.index
                && (other.named && !entry.named || other.named == entry.named && listed)
        })
    };
    let lost: Vec<bool> =
        entries.iter().map(|entry| loses(entry) || entry.route.deny && !takes(entry)).collect();
    let kept = entries.into_iter().zip(lost).filter(|(_, lost)| !lost);
    kept.map(|(entry, _)| {
        let takes = takes(&entry);
        (entry, takes)
    })
    .collect()
}

impl Tables {
    fn text(&self) -> String {
        let place =
            if self.place.is_empty() { String::new() } else { format!(" ({})", self.place) };
        let hosts: Vec<String> = self.hosts.iter().map(Host::text).collect();
        format!("`{}`{place}\n\n{}", self.name, hosts.join("\n"))
    }
}

impl Host {
    fn text(&self) -> String {
        let kind = match (self.kind, &self.named_as) {
            (Kind::Exact, _) => "named by routes".to_owned(),
            (Kind::Unnamed, _) | (_, None) => "named by no route".to_owned(),
            (Kind::Capture | Kind::Under | Kind::Every, Some(pattern)) => {
                format!("named by routes as `{pattern}`")
            }
        };
        let host = match (&self.host, self.kind) {
            (None, _) | (_, Kind::Every) => "every other host",
            (Some(host), _) => host,
        };
        if self.routes.is_empty() {
            return format!("{host}: {kind}; no route, so that every request is refused\n");
        }
        let mut table =
            Table::new(["path", "methods", "route", "token", "issuers", "effect", "condition"]);
        for row in &self.routes {
            let issuers = row.issuers.join(",");
            table.row([
                row.path.clone(),
                row.methods
                    .as_ref()
                    .map_or_else(|| "every".to_owned(), |methods| methods.join(",")),
                row.route.clone(),
                row.token.unwrap_or("-").to_owned(),
                if issuers.is_empty() { "-".to_owned() } else { issuers },
                match row.effect {
                    Effect::Deny => "deny".to_owned(),
                    Effect::Enforce => "enforce".to_owned(),
                    Effect::Shadow => "shadow".to_owned(),
                    Effect::OtherMethod => "405".to_owned(),
                },
                row.require.as_ref().map_or_else(|| "-".to_owned(), prose::condition),
            ]);
        }
        format!("{host}: {kind}\n{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(host: &str, method: Option<&str>) -> Vec<String> {
        let configuration = json!({"routes": [
            {"name": "root", "paths": ["/**"], "token": "none"},
            {"name": "logs", "paths": ["/logs/{env}/**", "/logs"], "methods": ["GET"], "token": "none"},
            {"name": "logs-any", "paths": ["/logs/*/**"], "token": "none", "mode": "shadow"},
            {"name": "exact", "hosts": ["a.test"], "paths": ["/logs"], "token": "none"},
            {"name": "tenant", "hosts": ["{t}.b.test"], "paths": ["/**"], "token": "none"},
            {"name": "under", "hosts": ["*.b.test"], "paths": ["/x"], "token": "none"},
            {"name": "never", "hosts": ["c.test"], "paths": ["/never"], "methods": ["POST"], "deny": true},
        ]});
        let loaded = config::load_value(configuration.clone(), "p", &|_| None, &Portable).unwrap();
        let policy = Policy { engine: &loaded.engine, configuration: &configuration };
        let table = match host {
            "" => policy.every_host(method),
            host => vec![policy.host(host, Some(host.into()), method)],
        };
        let line = |row: &Row| {
            let effect = serde_json::to_string(&row.effect).unwrap();
            format!("{} {} {}", row.path, row.route, effect.trim_matches('"'))
        };
        let host = |host: &Host| {
            let shown = host.host.clone().unwrap_or_default();
            std::iter::once(format!("= {shown}"))
                .chain(host.routes.iter().map(line))
                .collect::<Vec<_>>()
        };
        table.iter().flat_map(host).collect()
    }

    #[test]
    #[rustfmt::skip]
    fn the_most_specific_first() {
        let get = "/logs/{env}/** logs enforce";
        let any = "/logs/*/** logs-any shadow";
        let other = "/logs/{env}/** logs method_not_allowed";
        let cases: [(&str, Option<&str>, &[&str]); 9] = [
            ("a.test", None, &[get, any, "/logs exact enforce", "/** root enforce"]),
            ("a.test", Some("GET"), &[get, "/logs exact enforce", "/** root enforce"]),
            ("a.test", Some("PUT"), &[any, "/logs exact enforce", "/** root enforce"]),
            ("o.test", Some("GET"), &[get, "/logs logs enforce", "/** root enforce"]),
            ("o.test", Some("PUT"), &[any, "/logs logs method_not_allowed", "/** root enforce"]),
            ("t.b.test", Some("GET"), &[get, "/logs logs enforce", "/** tenant enforce"]),
            ("u.t.b.test", Some("GET"), &[get, "/logs logs enforce", "/x under enforce", "/** root enforce"]),
            ("c.test", Some("POST"), &["/never never deny", any, "/logs logs method_not_allowed", "/** root enforce"]),
            ("c.test", Some("TRACE"), &[other, "/logs/*/** logs-any method_not_allowed", "/logs logs method_not_allowed", "/** root method_not_allowed"]),
        ];
        for (host, method, want) in cases {
            let found = rows(host, method);
            assert_eq!(&found[1..], want, "{host} {method:?}");
        }
        let hosts: Vec<String> = rows("", None).into_iter().filter(|line| line.starts_with('=')).collect();
        assert_eq!(hosts, ["= a.test", "= c.test", "= {t}.b.test", "= *.b.test", "= "]);
    }
}
