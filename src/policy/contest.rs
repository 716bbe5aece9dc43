//! Every route that a request could take, and why each does or does not: interface 1.1 step 3 read in the
//! plainest way, one route after the other. The index answers requests; this explains them, and is
//! what the index is held against.

use super::RouteId;
use super::host::HostPattern;
use super::pattern::PathPattern;
use super::route::{Methods, Route};
use super::tree::rank;
use std::borrow::Cow;
use std::cmp::Reverse;

/// A route whose host and path match.
#[derive(Debug)]
pub struct Contender<'r> {
    /// The route.
    pub route: RouteId,
    /// The most specific of its patterns that match.
    pub path: &'r PathPattern,
    /// The host that it names; none where it names none.
    pub host: Option<&'r HostPattern>,
    /// What becomes of it.
    pub standing: Standing,
}

/// Why a route that matches takes a request, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is a deny route: the request is refused, whatever else matches.
    Denies,
    /// It takes the request.
    Owns,
    /// It owns the path, and another route of the same path lists the method.
    Unlisted,
    /// It owns the path, and does not take the method.
    OtherMethod,
    /// It would own the path if its stars took any text: the path is refused as ambiguous.
    AllBut,
    /// A route that names the host has as specific a path.
    Unnamed,
    /// The path of another route is more specific.
    BroaderPath,
    /// Another route names the host more specifically.
    BroaderHost,
}

/// All contenders, those that decide first: one for each pattern that matches.
pub fn contenders<'r>(
    routes: &'r [Route],
    host: &str,
    path: &[Cow<'_, str>],
    method: &str,
) -> Vec<Contender<'r>> {
    let naming = |route: &'r Route| {
        let matching = route.hosts.iter().filter(|pattern| pattern.matches(host));
        matching.max_by_key(|pattern| pattern.specificity())
    };
    let open = routes.iter().filter(|route| !route.deny);
    let kind = open.filter_map(naming).map(HostPattern::specificity).max();
    let mut contenders = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let named = naming(route);
        if named.is_none() && !route.hosts.is_empty() {
            continue;
        }
        for path_pattern in &route.paths {
            let strict = path_pattern.matches(path);
            let standing = match (route.deny, strict || path_pattern.matches_loosely(path)) {
                (_, false) => continue,
                (true, true) if !route.methods.deny(method) => continue,
                (true, true) => Standing::Denies,
                (false, true) if named.is_some_and(|host| Some(host.specificity()) < kind) => {
                    Standing::BroaderHost
                }
                (false, true) if strict => Standing::Owns,
                (false, true) => Standing::AllBut,
            };
            let route = RouteId(index);
            contenders.push(Contender { route, path: path_pattern, host: named, standing });
        }
    }
    settle_paths(&mut contenders);
    settle_methods(&mut contenders, routes, method);
    contenders.sort_by_key(|one| (one.standing, Reverse(one.claim()), one.route));
    contenders
}

/// The most specific path wins, then the one that names the host.
fn settle_paths(contenders: &mut Vec<Contender<'_>>) {
    let open = |one: &Contender<'_>| matches!(one.standing, Standing::Owns | Standing::AllBut);
    let Some(first) = contenders.iter().filter(|one| open(one)).map(Contender::claim).max() else {
        return;
    };
    let loses = |one: &Contender<'_>| open(one) && one.claim() < first;
    contenders.retain(|one| one.standing != Standing::AllBut || !loses(one));
    for one in contenders.iter_mut().filter(|one| loses(one)) {
        let as_specific = rank(one.path) == first.0;
        one.standing = if as_specific { Standing::Unnamed } else { Standing::BroaderPath };
    }
}

/// Of those that own the path, the one that lists the method wins.
fn settle_methods(contenders: &mut [Contender<'_>], routes: &[Route], method: &str) {
    let methods = |one: &Contender<'_>| {
        let route = routes.get(one.route.0).filter(|_| one.standing == Standing::Owns);
        route.map(|route| &route.methods).filter(|methods| methods.take(method))
    };
    let lists = |one: &Contender<'_>| matches!(methods(one), Some(Methods::Listed(_)));
    let listed = contenders.iter().any(lists);
    for one in contenders.iter_mut().filter(|one| one.standing == Standing::Owns) {
        if methods(one).is_none() {
            one.standing = Standing::OtherMethod;
        } else if listed && !lists(one) {
            one.standing = Standing::Unlisted;
        }
    }
}

impl Contender<'_> {
    /// How much of the request it names; more wins.
    fn claim(&self) -> (Vec<u32>, bool) {
        (rank(self.path), self.host.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::super::router::{Match, Router};
    use super::super::samples::route;
    use super::super::tie::find_tie;
    use super::*;

    /// A sequence that looks random, and is the same at each run.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 33) as usize % sides
        }

        fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
            from[self.roll(from.len())]
        }
    }

    const HOSTS: [&str; 7] =
        ["a.test", "b.test", "{x}.test", "*.test", "*.b.test", "{y}.b.test", "*"];
    const SEGMENTS: [&str; 11] =
        ["a", "b", "ab", "{x}", "*", "a*", "*b", "a-{y}", "{x}-b", "*-*", "a*b"];
    const METHODS: [&[&str]; 4] = [&[], &["GET"], &["POST"], &["GET", "POST"]];

    fn random_route(dice: &mut Dice, name: &str) -> Route {
        let paths: Vec<String> = (0..=dice.roll(2))
            .map(|_| {
                let mut path: String =
                    (0..dice.roll(4)).map(|_| format!("/{}", dice.pick(&SEGMENTS))).collect();
                // A name twice in one pattern is refused.
                for (index, name) in ["{x}", "{y}"].into_iter().enumerate() {
                    while path.matches(name).count() > 1 {
                        path = path.replacen(name, &format!("{{z{index}{}}}", path.len()), 1);
                    }
                }
                if dice.roll(3) == 0 || path.is_empty() { path + "/**" } else { path }
            })
            .collect();
        let hosts: Vec<&str> = (0..dice.roll(3)).map(|_| dice.pick(&HOSTS)).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let methods = METHODS[dice.roll(METHODS.len())];
        Route { deny: dice.roll(6) == 0, ..route(name, &hosts, &paths, methods) }
    }

    /// What the contest says, in the terms of the index.
    fn decided(contenders: &[Contender<'_>], routes: &[Route]) -> (Option<RouteId>, Match) {
        let denies = contenders.iter().find(|one| one.standing == Standing::Denies);
        let of = |standing| {
            let mut of: Vec<RouteId> = contenders
                .iter()
                .filter(|one| one.standing == standing)
                .map(|one| one.route)
                .collect();
            of.dedup();
            of
        };
        let found = match (of(Standing::Owns).as_slice(), of(Standing::AllBut).as_slice()) {
            (_, [_, ..]) => Match::Ambiguous,
            ([one], []) => Match::Route(*one),
            ([], []) if of(Standing::OtherMethod).is_empty() => Match::None,
            ([], []) => {
                let others = of(Standing::OtherMethod);
                let methods = others.iter().flat_map(|id| routes[id.0].methods.names());
                let mut allow: Vec<String> = methods.map(str::to_owned).collect();
                allow.sort_unstable();
                allow.dedup();
                Match::Method(allow)
            }
            (several, []) => panic!("{several:?} tie"),
        };
        (denies.map(|one| one.route), found)
    }

    #[test]
    fn the_index_agrees_with_one_look_at_every_route() {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let (mut policies, mut found, mut ambiguous) = (0, 0, 0);
        while policies < 1500 {
            let count = 1 + dice.roll(12);
            let routes: Vec<Route> =
                (0..count).map(|index| random_route(&mut dice, &format!("r{index}"))).collect();
            if find_tie(&routes).is_some() {
                continue;
            }
            policies += 1;
            let (open, denials) = (Router::new(&routes, false), Router::new(&routes, true));
            for _ in 0..60 {
                let words = ["a", "b", "ab", "c", "a-b", "a-", "axb", "a@b", "a-b-b", "-"];
                let path: Vec<Cow<'_, str>> =
                    (0..dice.roll(5)).map(|_| dice.pick(&words).into()).collect();
                let host =
                    dice.pick(&["a.test", "b.test", "c.test", "x.b.test", "y.x.b.test", "o"]);
                let method = dice.pick(&["GET", "POST", "PUT", "TRACE"]);
                let contest = contenders(&routes, host, &path, method);
                let (denied, want) = decided(&contest, &routes);
                let index = open.find(&routes, host, &path, method);
                let shown = || {
                    let lines = routes.iter().map(|route| format!("{route:?}\n"));
                    format!("{method} {host} {path:?}\n{}{contest:#?}", lines.collect::<String>())
                };
                assert_eq!(index, want, "{}", shown());
                let any = denials.find_any(&routes, host, &path, method);
                assert_eq!(any.is_some(), denied.is_some(), "{}", shown());
                found += usize::from(matches!(index, Match::Route(_)));
                ambiguous += usize::from(index == Match::Ambiguous);
            }
        }
        assert!(found > 10_000 && ambiguous > 500, "{found} found, {ambiguous} ambiguous");
    }
}
