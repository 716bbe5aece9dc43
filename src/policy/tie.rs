//! Routes that tie: of the same host, method and specificity, with a path that both match.

use super::RouteId;
use super::pattern::{Mixed, PathPattern, Segment};
use super::route::{Methods, Route};
use super::tree::rank;
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// The first two routes that tie.
pub fn find_tie(routes: &[Route]) -> Option<(RouteId, RouteId)> {
    type Key<'a> = (Option<String>, Vec<u32>, Vec<&'a str>);
    let mut groups: HashMap<Key<'_>, Group<'_>> = HashMap::new();
    for (index, route) in routes.iter().enumerate().filter(|(_, route)| !route.deny) {
        let mut hosts: Vec<Option<String>> =
            route.hosts.iter().map(|host| Some(host.shape())).collect();
        if hosts.is_empty() {
            hosts.push(None);
        }
        for (host, path) in
            hosts.iter().flat_map(|host| route.paths.iter().map(move |path| (host, path)))
        {
            let literals = path.segments.iter().filter_map(|segment| match segment {
                Segment::Literal(literal) => Some(&**literal),
                Segment::Mixed(_) | Segment::Any(_) => None,
            });
            let key = (host.clone(), rank(path), literals.collect());
            let one = Member { route: RouteId(index), methods: &route.methods, path };
            if let Some(other) = groups.entry(key).or_default().add(one) {
                return Some((other, RouteId(index)));
            }
        }
    }
    None
}

/// Patterns of one host and rank with the same literal segments.
#[derive(Default)]
struct Group<'a> {
    members: Vec<Member<'a>>,
    /// For each mixed segment, the members by the literal that it begins with, and by the one that it
    /// ends with, read backwards.
    by_ends: Vec<[BTreeMap<String, Vec<usize>>; 2]>,
}

struct Member<'a> {
    route: RouteId,
    methods: &'a Methods,
    path: &'a PathPattern,
}

impl<'a> Group<'a> {
    /// Adds a pattern; returns a route that it ties with.
    fn add(&mut self, one: Member<'a>) -> Option<RouteId> {
        let tied =
            self.near(one.path).into_iter().filter_map(|id| self.members.get(id)).find(|other| {
                // Different patterns tie whatever their methods: no method makes one of them own
                // the path.
                let alike = other.path.same_shape(one.path);
                let compete =
                    other.route == one.route || !alike || other.methods.overlap(one.methods);
                compete && may_overlap(other.path, one.path)
            });
        if let Some(other) = tied {
            return Some(other.route);
        }
        let id = self.members.len();
        for (index, mixed) in mixed(one.path).enumerate() {
            if index == self.by_ends.len() {
                self.by_ends.push(Default::default());
            }
            for (map, end) in self.by_ends.get_mut(index)?.iter_mut().zip(ends(mixed)) {
                map.entry(end).or_default().push(id);
            }
        }
        self.members.push(one);
        None
    }

    /// The members whose literals do not tell them from this pattern, by the segment and the end that
    /// tells most of them apart.
    fn near(&self, path: &PathPattern) -> Vec<usize> {
        let mut near: Option<Vec<usize>> = None;
        for (maps, mixed) in self.by_ends.iter().zip(mixed(path)) {
            for (map, end) in maps.iter().zip(ends(mixed)) {
                let limit = near.as_ref().map_or(usize::MAX, Vec::len);
                let found: Vec<usize> = related(map, &end).take(limit).collect();
                if found.len() < limit {
                    near = Some(found);
                }
            }
        }
        near.unwrap_or_else(|| (0..self.members.len()).collect())
    }
}

fn mixed(path: &PathPattern) -> impl Iterator<Item = &Mixed> {
    path.segments.iter().filter_map(|segment| match segment {
        Segment::Mixed(mixed) => Some(mixed),
        Segment::Literal(_) | Segment::Any(_) => None,
    })
}

fn ends(mixed: &Mixed) -> [String; 2] {
    let (first, last) = mixed.ends();
    [first.to_owned(), last.chars().rev().collect()]
}

/// What stands under texts that this one begins with, or that begin with it.
fn related<'m>(
    map: &'m BTreeMap<String, Vec<usize>>,
    text: &'m str,
) -> impl Iterator<Item = usize> + 'm {
    let shorter = text.char_indices().filter_map(|(end, _)| map.get(text.get(..end)?));
    let longer = map.range(text.to_owned()..).take_while(move |(key, _)| key.starts_with(text));
    shorter.chain(longer.map(|(_, ids)| ids)).flatten().copied()
}

/// Whether two patterns of one rank and the same literals may match one path.
fn may_overlap(a: &PathPattern, b: &PathPattern) -> bool {
    a.segments.iter().zip(&b.segments).all(|segments| match segments {
        (Segment::Mixed(a), Segment::Mixed(b)) => a.may_overlap(b),
        _ => true,
    })
}
