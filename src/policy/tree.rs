//! The segments of path patterns as a tree: the most specific pattern of a path is found in time that
//! depends on the path, not on the number of patterns.

use super::RouteId;
use super::pattern::{Mixed, PathPattern, Segment};
use hashbrown::{Equivalent, HashMap};
use std::borrow::Cow;

/// What the wild parts of a mixed segment take.
#[derive(Clone, Copy)]
pub enum Stars {
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

/// What patterns say from one segment on.
#[derive(Debug, Default)]
pub struct Node {
    literals: HashMap<Box<str>, Node>,
    mixed: Siblings,
    any: Option<Box<Node>>,
    end: Option<Leaf>,
    rest: Option<Leaf>,
}

/// The routes whose pattern ends here, and how specific it is.
#[derive(Debug)]
pub struct Leaf {
    /// See [`rank`].
    pub rank: Vec<u32>,
    /// The routes.
    pub routes: Vec<RouteId>,
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

impl Node {
    /// Adds a route's pattern.
    pub fn insert(&mut self, pattern: &PathPattern, route: RouteId) {
        let mut node = self;
        for segment in &pattern.segments {
            node = match segment {
                Segment::Literal(literal) => node.literals.entry_ref(&**literal).or_default(),
                Segment::Any(_) => node.any.get_or_insert_default(),
                Segment::Mixed(mixed) => node.mixed.child(mixed),
            };
        }
        let leaf = if pattern.rest { &mut node.rest } else { &mut node.end };
        leaf.get_or_insert_with(|| Leaf { rank: rank(pattern), routes: Vec::new() })
            .routes
            .push(route);
    }

    /// The leaf of the patterns that end here, or of those that end in `**`.
    pub fn leaf(&self, rest: bool) -> Option<&Leaf> {
        if rest { self.rest.as_ref() } else { self.end.as_ref() }
    }

    /// The node behind a literal segment.
    pub fn literal(&self, literal: &str) -> Option<&Self> {
        self.literals.get(literal)
    }

    /// The node behind a segment that is wild as a whole.
    pub fn any(&self) -> Option<&Self> {
        self.any.as_deref()
    }

    /// The node behind a mixed segment that matches the same texts.
    pub fn alike(&self, mixed: &Mixed) -> Option<&Self> {
        self.mixed.find(mixed)
    }

    /// The nodes behind mixed segments that match a text if their stars take any text.
    pub fn loosely(&self, text: &str) -> Vec<&Self> {
        let mut nodes = Vec::new();
        self.mixed.each(text, &mut |mixed, node| {
            if mixed.matches_loosely(text) {
                nodes.push(node);
            }
        });
        nodes
    }

    /// The most specific leaf of a path. Each node is visited once at most.
    pub fn find(&self, path: &[Cow<'_, str>], stars: Stars) -> Option<&Leaf> {
        let Some((first, rest)) = path.split_first() else {
            return self.end.as_ref().or(self.rest.as_ref());
        };
        if let Some(leaf) = self.literals.get(&**first).and_then(|node| node.find(rest, stars)) {
            return Some(leaf);
        }
        // Of siblings that match, the rank of what they lead to decides; of equal ones, the first.
        let mut best: Option<&Leaf> = None;
        self.mixed.each(first, &mut |mixed, node| {
            if stars.match_segment(mixed, first)
                && let Some(leaf) = node.find(rest, stars)
                && best.is_none_or(|best| best.rank < leaf.rank)
            {
                best = Some(leaf);
            }
        });
        best.or_else(|| self.any.as_ref().filter(|_| !first.is_empty())?.find(rest, stars))
            .or(self.rest.as_ref())
    }

    /// Any route of a path that passes a test; stars take any text.
    pub fn find_any(
        &self,
        path: &[Cow<'_, str>],
        takes: &dyn Fn(&RouteId) -> bool,
    ) -> Option<RouteId> {
        let of = |leaf: &Option<Leaf>| {
            leaf.as_ref().and_then(|leaf| leaf.routes.iter().copied().find(|id| takes(id)))
        };
        let Some((first, rest)) = path.split_first() else {
            return of(&self.end).or_else(|| of(&self.rest));
        };
        self.literal(first)
            .and_then(|node| node.find_any(rest, takes))
            .or_else(|| {
                let mut found = None;
                self.mixed.each(first, &mut |mixed, node| {
                    if found.is_none() && mixed.matches_loosely(first) {
                        found = node.find_any(rest, takes);
                    }
                });
                found
            })
            .or_else(|| self.any().filter(|_| !first.is_empty())?.find_any(rest, takes))
            .or_else(|| of(&self.rest))
    }
}

/// Mixed segments side by side, found by the literals that they begin and end with.
#[derive(Debug, Default)]
struct Siblings {
    children: Vec<(Mixed, Node)>,
    by_ends: HashMap<(Box<str>, Box<str>), Vec<usize>>,
    /// How long these literals are, in bytes: each pair of lengths once.
    lengths: Vec<(usize, usize)>,
}

/// What a segment begins and ends with.
#[derive(Hash)]
struct Ends<'a>(&'a str, &'a str);

impl Equivalent<(Box<str>, Box<str>)> for Ends<'_> {
    fn equivalent(&self, key: &(Box<str>, Box<str>)) -> bool {
        *self.0 == *key.0 && *self.1 == *key.1
    }
}

impl Siblings {
    /// The node behind a segment; segments that match the same texts share it.
    fn child(&mut self, mixed: &Mixed) -> &mut Node {
        let id = self.place(mixed).unwrap_or_else(|| {
            let (id, (first, last)) = (self.children.len(), mixed.ends());
            self.by_ends.entry((first.into(), last.into())).or_default().push(id);
            self.children.push((mixed.clone(), Node::default()));
            let lengths = (first.len(), last.len());
            if !self.lengths.contains(&lengths) {
                self.lengths.push(lengths);
            }
            id
        });
        #[allow(clippy::indexing_slicing, reason = "an id is the place of a child")]
        &mut self.children[id].1
    }

    fn find(&self, mixed: &Mixed) -> Option<&Node> {
        self.children.get(self.place(mixed)?).map(|(_, node)| node)
    }

    fn place(&self, mixed: &Mixed) -> Option<usize> {
        let (first, last) = mixed.ends();
        let mut ids = self.by_ends.get(&Ends(first, last)).into_iter().flatten().copied();
        let alike = |id: &usize| {
            self.children.get(*id).is_some_and(|(known, _)| known.shape() == mixed.shape())
        };
        ids.find(alike)
    }

    /// Tells those that may match a text.
    fn each<'n>(&'n self, text: &str, tell: &mut dyn FnMut(&'n Mixed, &'n Node)) {
        for (first, last) in &self.lengths {
            // Something wild stands between the two.
            let Some(end) = text.len().checked_sub(*last).filter(|end| first < end) else {
                continue;
            };
            let (Some(first), Some(last)) = (text.get(..*first), text.get(end..)) else {
                continue;
            };
            for id in self.by_ends.get(&Ends(first, last)).into_iter().flatten() {
                if let Some((mixed, node)) = self.children.get(*id) {
                    tell(mixed, node);
                }
            }
        }
    }
}
