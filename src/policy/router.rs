//! The index that finds a route in time independent of their number.

use super::RouteId;
use super::host::HostPattern;
use super::pattern::{Mixed, PathPattern, Segment};
use super::route::{Methods, Route};
use hashbrown::HashMap;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

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
    exact: HashMap<Box<str>, Tree>,
    capture: HashMap<Box<str>, Tree>,
    under: HashMap<Box<str>, Tree>,
    every: Tree,
    unnamed: Tree,
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
                let insert = |tree: &mut Tree| tree.insert(pattern, RouteId(index));
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
        let named = self.named(host).and_then(|tree| tree.root.find(path, stars));
        match (named, self.unnamed.root.find(path, stars)) {
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
        trees.find_map(|tree| tree.root.any(path, &takes))
    }

    /// The tree of the most specific kind of host that any route names.
    fn named(&self, host: &str) -> Option<&Tree> {
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

/// What the wild parts of a mixed segment take.
#[derive(Clone, Copy)]
enum Stars {
    /// What the pattern says.
    Strict,
    /// Any text.
    Loose,
}

impl Stars {
    fn match_segment(self, mixed: &Mixed, text: &str) -> bool {
        match self {
            Self::Strict => mixed.matches(text, &mut |_, _| {}),
            Self::Loose => mixed.matches_loosely(text),
        }
    }
}

/// What follows the first label, the second, and so on.
fn ancestors(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(host.split_once('.').map(|(_, parent)| parent), |parent| {
        parent.split_once('.').map(|(_, parent)| parent)
    })
}

#[derive(Debug, Default)]
struct Tree {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Node>,
    /// By shape, the most literal characters first.
    mixed: BTreeMap<(Reverse<usize>, String), (Mixed, Node)>,
    any: Option<Box<Node>>,
    end: Option<Leaf>,
    rest: Option<Leaf>,
}

/// The routes whose pattern ends here, and how specific it is.
#[derive(Debug)]
struct Leaf {
    rank: Vec<u32>,
    routes: Vec<RouteId>,
}

const RANK_REST: u32 = 0;
const RANK_END: u32 = 1;
const RANK_ANY: u32 = 2;
const RANK_LITERAL: u32 = u32::MAX;

/// How specific a segment is: literal before mixed, with more literal characters first, before any.
fn segment_rank(segment: &Segment) -> u32 {
    match segment {
        Segment::Literal(_) => RANK_LITERAL,
        Segment::Mixed(mixed) => RANK_ANY + 1 + mixed.literal_count() as u32,
        Segment::Any(_) => RANK_ANY,
    }
}

/// How specific a pattern is, segment by segment.
pub fn rank(pattern: &PathPattern) -> Vec<u32> {
    let last = if pattern.rest { RANK_REST } else { RANK_END };
    pattern.segments.iter().map(segment_rank).chain([last]).collect()
}

impl Tree {
    fn insert(&mut self, pattern: &PathPattern, route: RouteId) {
        let mut node = &mut self.root;
        for segment in &pattern.segments {
            node = match segment {
                Segment::Literal(literal) => node.literals.entry(literal.clone()).or_default(),
                Segment::Any(_) => node.any.get_or_insert_default(),
                Segment::Mixed(mixed) => node.mixed_child(mixed),
            };
        }
        let leaf = if pattern.rest { &mut node.rest } else { &mut node.end };
        leaf.get_or_insert_with(|| Leaf { rank: rank(pattern), routes: Vec::new() })
            .routes
            .push(route);
    }
}

impl Node {
    fn mixed_child(&mut self, mixed: &Mixed) -> &mut Self {
        let key = (Reverse(mixed.literal_count()), mixed.shape());
        &mut self.mixed.entry(key).or_insert_with(|| (mixed.clone(), Self::default())).1
    }

    /// The most specific leaf of a path. Each node is visited once at most.
    fn find(&self, path: &[Cow<'_, str>], stars: Stars) -> Option<&Leaf> {
        let Some((first, rest)) = path.split_first() else {
            return self.end.as_ref().or(self.rest.as_ref());
        };
        if let Some(leaf) = self.literals.get(&**first).and_then(|node| node.find(rest, stars)) {
            return Some(leaf);
        }
        // Siblings with equally many literals can both match; what follows decides.
        let mut best: Option<(usize, &Leaf)> = None;
        for ((Reverse(count), _), (mixed, node)) in &self.mixed {
            let count = *count;
            if best.is_some_and(|(found, _)| found > count) {
                break;
            }
            if stars.match_segment(mixed, first)
                && let Some(leaf) = node.find(rest, stars)
                && best.is_none_or(|(_, found)| found.rank < leaf.rank)
            {
                best = Some((count, leaf));
            }
        }
        best.map(|(_, leaf)| leaf)
            .or_else(|| self.any.as_ref().filter(|_| !first.is_empty())?.find(rest, stars))
            .or(self.rest.as_ref())
    }

    /// Any route of a path that passes a test.
    fn any(&self, path: &[Cow<'_, str>], takes: &dyn Fn(&RouteId) -> bool) -> Option<RouteId> {
        let of = |leaf: &Option<Leaf>| {
            leaf.as_ref().and_then(|leaf| leaf.routes.iter().copied().find(|id| takes(id)))
        };
        let Some((first, rest)) = path.split_first() else {
            return of(&self.end).or_else(|| of(&self.rest));
        };
        self.literals
            .get(&**first)
            .and_then(|node| node.any(rest, takes))
            .or_else(|| {
                let mut siblings = self.mixed.values();
                siblings.find_map(|(mixed, node)| {
                    mixed.matches_loosely(first).then(|| node.any(rest, takes)).flatten()
                })
            })
            .or_else(|| self.any.as_ref().filter(|_| !first.is_empty())?.any(rest, takes))
            .or_else(|| of(&self.rest))
    }
}

/// The first two routes that tie: of the same host, method and specificity, with a path that both
/// match.
pub fn find_tie(routes: &[Route]) -> Option<(RouteId, RouteId)> {
    type Key<'a> = (Option<String>, Vec<u32>, Vec<&'a str>);
    let mut groups: HashMap<Key<'_>, Vec<(RouteId, &Methods, &PathPattern)>> = HashMap::new();
    for (index, route) in routes.iter().enumerate().filter(|(_, route)| !route.deny) {
        let id = RouteId(index);
        let mut hosts: Vec<Option<String>> =
            route.hosts.iter().map(|host| Some(host.shape())).collect();
        if hosts.is_empty() {
            hosts.push(None);
        }
        for (host, pattern) in
            hosts.iter().flat_map(|host| route.paths.iter().map(move |pattern| (host, pattern)))
        {
            let literals = pattern.segments.iter().filter_map(|segment| match segment {
                Segment::Literal(literal) => Some(&**literal),
                Segment::Mixed(_) | Segment::Any(_) => None,
            });
            let group =
                groups.entry((host.clone(), rank(pattern), literals.collect())).or_default();
            let tied = group.iter().find(|(other, methods, known)| {
                // Different patterns tie whatever their methods: no method makes one of them own
                // the path.
                let alike = known.same_shape(pattern);
                let compete = *other == id || !alike || methods.overlap(&route.methods);
                compete && may_overlap(known, pattern)
            });
            if let Some((other, ..)) = tied {
                return Some((*other, id));
            }
            group.push((id, &route.methods, pattern));
        }
    }
    None
}

/// Whether two patterns of one rank and the same literals may match one path.
fn may_overlap(a: &PathPattern, b: &PathPattern) -> bool {
    a.segments.iter().zip(&b.segments).all(|segments| match segments {
        (Segment::Mixed(a), Segment::Mixed(b)) => a.may_overlap(b),
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples;
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
