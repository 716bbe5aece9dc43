//! The index that finds a route in time independent of their number.

use super::RouteId;
use super::host::HostPattern;
use super::pattern::Segment;
use super::route::{Methods, Route};
use super::tree::{Leaf, Node, Stars};
use hashbrown::HashMap;
use std::borrow::Cow;

/// What the index found.
#[derive(Debug, PartialEq, Eq)]
pub enum Match {
    /// This route.
    Route(RouteId),
    /// The routes that own the path, but not with this method; the methods they take, sorted.
    Method(Vec<String>),
    /// Nothing.
    None,
    /// A pattern that is more specific than any that matches would match too, if its wild parts
    /// took any text: the path is not to slip past it into a broader route.
    Ambiguous,
}

/// The index: one tree of segments for each host that a route names, and one for the routes that
/// name none.
#[derive(Debug, Default)]
pub struct Router {
    pub(super) exact: HashMap<Box<str>, Node>,
    pub(super) capture: HashMap<Box<str>, Node>,
    pub(super) under: HashMap<Box<str>, Node>,
    pub(super) every: Node,
    pub(super) unnamed: Node,
    /// Whether any route names a host.
    named: bool,
    /// Whether there is any route.
    some: bool,
    /// Whether any segment has wild parts beside literals: only then do strict and loose differ.
    mixed: bool,
}

impl Router {
    /// Builds the index of those routes that are, or are not, deny routes.
    pub fn new(routes: &[Route], deny: bool) -> Self {
        let mut router = Self::default();
        for (index, route) in routes.iter().enumerate().filter(|(_, route)| route.deny == deny) {
            router.some = true;
            router.named |= !route.hosts.is_empty();
            for pattern in &route.paths {
                router.mixed |=
                    pattern.segments.iter().any(|segment| matches!(segment, Segment::Mixed(_)));
                let insert = |tree: &mut Node| tree.insert(pattern, RouteId(index));
                if route.hosts.is_empty() {
                    insert(&mut router.unnamed);
                }
                for host in &route.hosts {
                    insert(match host {
                        HostPattern::Exact(host) => router.exact.entry(host.clone()).or_default(),
                        HostPattern::Capture { parent, .. } => {
                            router.capture.entry(parent.clone()).or_default()
                        }
                        HostPattern::Under(parent) => {
                            router.under.entry(parent.clone()).or_default()
                        }
                        HostPattern::Every => &mut router.every,
                    });
                }
            }
        }
        router
    }

    /// The route that owns a request (interface 1.1 step 3): the most specific path, then the one
    /// that names the host, then the one that lists the method.
    pub fn find(&self, routes: &[Route], host: &str, path: &[Cow<'_, str>], method: &str) -> Match {
        let leaf = self.leaf(host, path, Stars::Strict);
        let loose = if self.mixed { self.leaf(host, path, Stars::Loose) } else { leaf };
        let Some(leaf) = leaf.filter(|leaf| loose.is_some_and(|loose| std::ptr::eq(*leaf, loose)))
        else {
            return if loose.is_some() { Match::Ambiguous } else { Match::None };
        };
        let owners = || {
            leaf.routes.iter().filter_map(|id| routes.get(id.0).map(|route| (*id, &route.methods)))
        };
        let lists = |methods: &Methods| matches!(methods, Methods::Listed(_));
        let taking = || owners().filter(|(_, methods)| methods.take(method));
        let winner = taking().find(|(_, methods)| lists(methods)).or_else(|| taking().next());
        match winner {
            Some((id, _)) => Match::Route(id),
            None => {
                let mut allow: Vec<String> =
                    owners().flat_map(|(_, methods)| methods.names()).map(str::to_owned).collect();
                allow.sort_unstable();
                allow.dedup();
                Match::Method(allow)
            }
        }
    }

    /// The most specific leaf, and of two alike the one of a named host.
    fn leaf(&self, host: &str, path: &[Cow<'_, str>], stars: Stars) -> Option<&Leaf> {
        let named = self.named(host).and_then(|tree| tree.find(path, stars));
        match (named, self.unnamed.find(path, stars)) {
            (Some(named), Some(unnamed)) if named.rank < unnamed.rank => Some(unnamed),
            (named, unnamed) => named.or(unnamed),
        }
    }

    /// Any route that matches, on whatever kind of host: for deny routes, whose stars take any text.
    pub fn find_any(
        &self,
        routes: &[Route],
        host: &str,
        path: &[Cow<'_, str>],
        method: &str,
    ) -> Option<RouteId> {
        if !self.some {
            return None;
        }
        let takes = |id: &RouteId| routes.get(id.0).is_some_and(|route| route.methods.deny(method));
        let parents = || ancestors(host);
        let trees = self.exact.get(host).into_iter();
        let trees = trees.chain(parents().next().and_then(|parent| self.capture.get(parent)));
        let trees = trees.chain(parents().filter_map(|parent| self.under.get(parent)));
        let mut trees = trees.chain([&self.every, &self.unnamed]);
        trees.find_map(|tree| tree.find_any(path, &takes))
    }

    /// The tree of the most specific kind of host that any route names.
    fn named(&self, host: &str) -> Option<&Node> {
        if !self.named {
            return None;
        }
        if let Some(tree) = self.exact.get(host) {
            return Some(tree);
        }
        if let Some(tree) = ancestors(host).next().and_then(|parent| self.capture.get(parent)) {
            return Some(tree);
        }
        // The longest parent first.
        ancestors(host).find_map(|parent| self.under.get(parent)).or(Some(&self.every))
    }
}

/// What follows the first label, the second, and so on.
pub(super) fn ancestors(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(host.split_once('.').map(|(_, parent)| parent), |parent| {
        parent.split_once('.').map(|(_, parent)| parent)
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::super::tie::find_tie;
    use super::*;

    fn route(name: &str, hosts: &[&str], path: &str, methods: &[&str]) -> Route {
        samples::route(name, hosts, &[path], methods)
    }

    fn find(routes: &[Route], host: &str, path: &str, method: &str) -> String {
        let segments: Vec<Cow<'_, str>> = match path {
            "" => Vec::new(),
            path => path.split('/').map(Cow::Borrowed).collect(),
        };
        match Router::new(routes, false).find(routes, host, &segments, method) {
            Match::Route(id) => routes[id.0].name.to_string(),
            Match::Method(allow) => format!("405 {}", allow.join(",")),
            Match::None => "-".into(),
            Match::Ambiguous => "?".into(),
        }
    }

    #[test]
    fn the_most_specific_owns() {
        let routes = [
            route("root", &[], "/", &[]),
            route("logs", &[], "/logs/**", &[]),
            route("env", &[], "/logs/{env}/**", &["GET", "HEAD"]),
            route("env-post", &[], "/logs/{env}/**", &["POST"]),
            route("prod", &[], "/logs/prod/**", &["GET"]),
            route("prod-x", &[], "/logs/prod/x", &["GET"]),
            route("mixed", &[], "/logs/p*/y", &[]),
            route("mixed-more", &[], "/logs/pr*/y", &["GET"]),
            route("a-then-rest", &[], "/m/a-*/x/**", &[]),
            route("b-then-exact", &[], "/m/*-b/x/y", &[]),
            route("exact", &["logs.example.com"], "/logs/**", &["GET"]),
            route("tenant", &["{t}.app.example.com"], "/**", &[]),
            route("under", &["*.example.com"], "/**", &[]),
            route("deeper", &["*.app.example.com"], "/**", &[]),
            route("every-host", &["*"], "/every", &[]),
            route("no-host", &[], "/every", &[]),
            route("get", &[], "/m", &["GET"]),
            route("other", &[], "/m", &[]),
        ];
        let cases = [
            ("h", "", "GET", "root"),
            ("h", "logs", "GET", "logs"),
            ("h", "logs/stage", "GET", "env"),
            ("h", "logs/stage/a/b", "POST", "env-post"),
            ("h", "logs/stage", "DELETE", "405 GET,HEAD,POST"),
            ("h", "logs/prod/a", "GET", "prod"),
            ("h", "logs/prod", "POST", "405 GET"),
            ("h", "logs/prod/x", "GET", "prod-x"),
            ("h", "logs/prod/x/z", "GET", "prod"),
            ("h", "logs/prod/y", "GET", "prod"),
            ("h", "logs/pa/y", "GET", "mixed"),
            ("h", "logs/p@a/y", "GET", "?"),
            ("h", "logs/preprod/y", "GET", "mixed-more"),
            ("h", "logs/preprod/y", "PUT", "405 GET"),
            ("h", "m/a-b/x/y", "GET", "b-then-exact"),
            ("h", "m/a-b/x/z", "GET", "a-then-rest"),
            ("h", "m", "GET", "get"),
            ("h", "m", "PUT", "other"),
            ("h", "m", "TRACE", "405 DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT"),
            ("h", "m", "get", "405 DELETE,GET,HEAD,OPTIONS,PATCH,POST,PUT"),
            ("h", "none", "GET", "-"),
            ("h", "every", "GET", "every-host"),
            ("logs.example.com", "logs/a", "GET", "env"),
            ("logs.example.com", "logs", "GET", "exact"),
            ("logs.example.com", "logs", "POST", "405 GET"),
            ("x.example.com", "logs", "GET", "logs"),
            ("x.example.com", "else", "GET", "under"),
            ("t.app.example.com", "else", "GET", "tenant"),
            ("u.t.app.example.com", "else", "GET", "deeper"),
            ("app.example.com", "else", "GET", "under"),
            ("example.com", "else", "GET", "-"),
            // An exact host is named, so the families of hosts no longer count.
            ("logs.example.com", "else", "GET", "-"),
        ];
        for (host, path, method, want) in cases {
            assert_eq!(find(&routes, host, path, method), want, "{host} {path} {method}");
        }
    }

    #[test]
    fn finds_ties() {
        type Shape = (&'static [&'static str], &'static str, &'static [&'static str]);
        let cases: [(Shape, Shape, bool); 10] = [
            ((&[], "/a", &[]), (&[], "/a", &[]), true),
            ((&[], "/a", &["GET"]), (&[], "/a", &["POST"]), false),
            ((&[], "/a", &["GET"]), (&[], "/a", &[]), false),
            ((&[], "/a/{x}", &[]), (&[], "/a/*", &[]), true),
            ((&["h"], "/a", &[]), (&[], "/a", &[]), false),
            ((&["h", "i"], "/a", &[]), (&["i"], "/a", &[]), true),
            ((&["{t}.x"], "/a", &[]), (&["{u}.x"], "/a", &[]), true),
            ((&[], "/a-*", &[]), (&[], "/b-*", &[]), false),
            ((&[], "/a*", &[]), (&[], "/*b", &[]), true),
            ((&[], "/a*", &["GET"]), (&[], "/*b", &["POST"]), true),
        ];
        for ((hosts, path, methods), (other_hosts, other_path, other_methods), tie) in cases {
            let routes = [
                route("a", hosts, path, methods),
                route("b", other_hosts, other_path, other_methods),
            ];
            assert_eq!(find_tie(&routes).is_some(), tie, "{path} {other_path}");
        }
    }

    #[test]
    fn deny_routes_match_on_every_kind_of_host() {
        let mut routes = [
            route("internal", &[], "/internal/**", &[]),
            route("under", &["*.example.com"], "/x", &["GET"]),
        ];
        for route in &mut routes {
            route.deny = true;
        }
        let router = Router::new(&routes, true);
        let any = |host: &str, path: &str, method: &str| {
            let segments: Vec<Cow<'_, str>> = path.split('/').map(Cow::Borrowed).collect();
            router.find_any(&routes, host, &segments, method).map(|id| id.0)
        };
        assert_eq!(any("h", "internal/a", "GET"), Some(0));
        assert_eq!(any("a.b.example.com", "x", "GET"), Some(1));
        assert_eq!(any("a.b.example.com", "x", "POST"), None);
        assert_eq!(any("h", "x", "GET"), None);
    }
}
