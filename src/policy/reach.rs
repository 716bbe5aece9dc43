//! Routes that no request ever takes, whatever it asks for: likely a mistake, or left over.

use super::RouteId;
use super::host::HostPattern;
use super::pattern::{PathPattern, Segment};
use super::route::{Methods, Route};
use super::router::{Router, ancestors};
use super::tree::{Leaf, Node};

/// Why a route never takes a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Shadow {
    /// A deny route refuses all that it matches.
    Denied(RouteId),
    /// These own all that it matches, on the hosts that it has.
    Owned(Vec<RouteId>),
}

/// The routes that never take a request; `open` and `denials` are the indexes of these routes.
pub fn unreachable(routes: &[Route], open: &Router, denials: &Router) -> Vec<(RouteId, Shadow)> {
    let shadow = |route: &Route| {
        let hosts: Vec<Option<&HostPattern>> = match route.hosts.as_slice() {
            [] => vec![None],
            hosts => hosts.iter().map(Some).collect(),
        };
        let places =
            hosts.iter().flat_map(|host| route.paths.iter().map(move |path| (*host, path)));
        // One place where it can win is enough.
        let mut shadows = places.map(|(host, path)| {
            let takes = |id: &RouteId| {
                routes.get(id.0).is_some_and(|denial| covers(&denial.methods, &route.methods))
            };
            let denied = denials.denying(host, path, &takes).map(Shadow::Denied);
            denied.or_else(|| open.owning(host, path).map(Shadow::Owned))
        });
        let first = shadows.next()??;
        shadows.all(|shadow| shadow.is_some()).then_some(first)
    };
    let routes = routes.iter().enumerate().filter(|(_, route)| !route.deny);
    routes.filter_map(|(index, route)| Some((RouteId(index), shadow(route)?))).collect()
}

/// Whether a deny route with `denied` refuses every method of `own`.
fn covers(denied: &Methods, own: &Methods) -> bool {
    match (denied, own) {
        (Methods::Every, _) => true,
        (Methods::Listed(_), Methods::Every) => false,
        (Methods::Listed(denied), Methods::Listed(own)) => {
            own.iter().all(|method| denied.contains(method))
        }
    }
}

impl Router {
    /// A route of this index that matches whatever this host and path match.
    fn denying(
        &self,
        host: Option<&HostPattern>,
        path: &PathPattern,
        takes: &dyn Fn(&RouteId) -> bool,
    ) -> Option<RouteId> {
        let named = |name: &str| self.under.get(name);
        let mut trees = vec![&self.every, &self.unnamed];
        match host {
            None | Some(HostPattern::Every) => {}
            Some(HostPattern::Exact(host)) => {
                trees.extend(self.exact.get(host));
                trees.extend(ancestors(host).next().and_then(|parent| self.capture.get(parent)));
                trees.extend(ancestors(host).filter_map(named));
            }
            Some(HostPattern::Capture { parent, .. }) => {
                trees.extend(self.capture.get(parent));
                trees.extend(named(parent));
                trees.extend(ancestors(parent).filter_map(named));
            }
            Some(HostPattern::Under(parent)) => {
                trees.extend(named(parent));
                trees.extend(ancestors(parent).filter_map(named));
            }
        }
        trees.into_iter().find_map(|tree| tree.covering(&path.segments, path.rest, takes))
    }

    /// The routes that own whatever a route of this host matches by this path.
    fn owning(&self, host: Option<&HostPattern>, path: &PathPattern) -> Option<Vec<RouteId>> {
        let tree = match host {
            None => None,
            Some(HostPattern::Exact(host)) => self.exact.get(host),
            Some(HostPattern::Capture { parent, .. }) => self.capture.get(parent),
            Some(HostPattern::Under(parent)) => self.under.get(parent),
            Some(HostPattern::Every) => Some(&self.every),
        };
        let unnamed = self.unnamed.at(&path.segments);
        let narrower = |tree: Option<&Node>| {
            let nodes: Vec<&Node> =
                tree.and_then(|tree| tree.at(&path.segments)).into_iter().chain(unnamed).collect();
            path.rest.then(|| owners_below(&nodes)).flatten()
        };
        if let Some(owners) = narrower(tree) {
            return Some(owners);
        }
        if host.is_some() {
            return None;
        }
        // A route that names no host loses on every host, if each has a tree that takes the path.
        let trees = self.exact.values().chain(self.capture.values()).chain(self.under.values());
        let mut owners = None;
        for tree in std::iter::once(&self.every).chain(trees) {
            let alike = tree.at(&path.segments).and_then(|node| node.leaf(path.rest));
            let taken = alike.map(|leaf| leaf.routes.clone()).or_else(|| narrower(Some(tree)))?;
            owners.get_or_insert(taken);
        }
        owners
    }
}

/// The routes that own every path from these nodes on, all of them below `**`.
fn owners_below(nodes: &[&Node]) -> Option<Vec<RouteId>> {
    let end = nodes.iter().find_map(|node| node.leaf(false))?;
    let below: Vec<&Node> = nodes.iter().filter_map(|node| node.any()).collect();
    let mut owners = end.routes.clone();
    match below.iter().find_map(|node| node.leaf(true)) {
        Some(rest) => owners.extend(&rest.routes),
        None => owners.extend(owners_below(&below)?),
    }
    Some(owners)
}

impl Node {
    /// The node behind these segments.
    fn at(&self, segments: &[Segment]) -> Option<&Self> {
        segments.iter().try_fold(self, |node, segment| match segment {
            Segment::Literal(literal) => node.literal(literal),
            Segment::Mixed(mixed) => node.alike(mixed),
            Segment::Any(_) => node.any(),
        })
    }

    /// A route that matches whatever these segments do, and passes a test.
    fn covering(
        &self,
        segments: &[Segment],
        rest: bool,
        takes: &dyn Fn(&RouteId) -> bool,
    ) -> Option<RouteId> {
        let of = |leaf: Option<&Leaf>| leaf?.routes.iter().copied().find(takes);
        let below = match segments.split_first() {
            None if rest => None,
            None => of(self.leaf(false)),
            Some((first, tail)) => {
                let covering = |node: &Self| node.covering(tail, rest, takes);
                let narrow = match first {
                    Segment::Literal(literal) => self
                        .literal(literal)
                        .and_then(covering)
                        .or_else(|| self.loosely(literal).into_iter().find_map(covering)),
                    Segment::Mixed(mixed) => self.alike(mixed).and_then(covering),
                    Segment::Any(_) => None,
                };
                narrow.or_else(|| self.any().and_then(covering))
            }
        };
        below.or_else(|| of(self.leaf(true)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::route;
    use super::*;

    type Shape = (&'static [&'static str], &'static [&'static str], &'static [&'static str]);

    #[test]
    fn finds_what_never_wins() {
        const ANY: &[&str] = &[];
        // (deny routes, open routes, who never wins and why)
        let cases: [(&[Shape], &[Shape], &str); 22] = [
            (&[], &[(ANY, &["/a/**"], ANY), (ANY, &["/a"], ANY)], ""),
            (
                &[],
                &[(ANY, &["/a/**"], ANY), (ANY, &["/a"], ANY), (ANY, &["/a/{x}/**"], ANY)],
                "0<12",
            ),
            (
                &[],
                &[
                    (ANY, &["/a/**"], ANY),
                    (ANY, &["/a"], &["GET"]),
                    (ANY, &["/a/*"], ANY),
                    (ANY, &["/a/*/*/**"], ANY),
                ],
                "0<123",
            ),
            (&[], &[(ANY, &["/a/**"], ANY), (ANY, &["/a"], ANY), (ANY, &["/a/{x}"], ANY)], ""),
            (
                &[],
                &[(ANY, &["/a/**", "/b"], ANY), (ANY, &["/a"], ANY), (ANY, &["/a/{x}/**"], ANY)],
                "",
            ),
            (&[(ANY, &["/a/**"], ANY)], &[(ANY, &["/a/b"], ANY)], "0!1"),
            (&[(ANY, &["/a/**"], ANY)], &[(ANY, &["/**"], ANY)], ""),
            (&[(ANY, &["/a/**"], &["GET"])], &[(ANY, &["/a/b"], ANY)], ""),
            (&[(ANY, &["/a/**"], &["GET", "PUT"])], &[(ANY, &["/a/b"], &["GET"])], "0!1"),
            (&[(ANY, &["/a/*"], ANY)], &[(ANY, &["/a/b", "/a/x*"], ANY)], "0!1"),
            (&[(ANY, &["/a/x*"], ANY)], &[(ANY, &["/a/xyz", "/a/x{n}"], ANY)], "0!1"),
            (&[(ANY, &["/a/x*"], ANY)], &[(ANY, &["/a/x"], ANY)], ""),
            (&[(ANY, &["/a"], ANY)], &[(ANY, &["/a/**"], ANY)], ""),
            (&[(&["h"], &["/**"], ANY)], &[(ANY, &["/a"], ANY)], ""),
            (&[(&["h"], &["/**"], ANY)], &[(&["h"], &["/a"], ANY)], "0!1"),
            (&[(&["*.x"], &["/**"], ANY)], &[(&["{t}.x", "b.a.x"], &["/a"], ANY)], "0!1"),
            (&[(&["{t}.x"], &["/**"], ANY)], &[(&["*.x"], &["/a"], ANY)], ""),
            (&[], &[(ANY, &["/a"], ANY), (&["*"], &["/a"], ANY)], "0<1"),
            (&[], &[(ANY, &["/a"], ANY), (&["*"], &["/a"], ANY), (&["h"], &["/b"], ANY)], ""),
            (&[], &[(ANY, &["/a"], ANY), (&["*", "h"], &["/a"], ANY)], "0<1"),
            (&[], &[(&["h"], &["/a/**"], ANY), (ANY, &["/a", "/a/*/**"], ANY)], "0<11"),
            (&[], &[(&["h"], &["/a"], ANY), (ANY, &["/a"], ANY)], ""),
        ];
        for (denied, open, want) in cases {
            let make = |(index, (hosts, paths, methods)): (usize, &Shape)| {
                route(&format!("r{index}"), hosts, paths, methods)
            };
            let mut routes: Vec<Route> = open.iter().enumerate().map(make).collect();
            routes.extend(
                denied.iter().enumerate().map(make).map(|route| Route { deny: true, ..route }),
            );
            let (router, denials) = (Router::new(&routes, false), Router::new(&routes, true));
            let found = unreachable(&routes, &router, &denials);
            let shown: Vec<String> = found
                .iter()
                .map(|(id, shadow)| match shadow {
                    Shadow::Denied(by) => format!("{}!{}", id.0, by.0),
                    Shadow::Owned(by) => {
                        let by: String = by.iter().map(|id| id.0.to_string()).collect();
                        format!("{}<{by}", id.0)
                    }
                })
                .collect();
            assert_eq!(shown.join(" "), want, "{denied:?} {open:?}");
        }
    }
}
