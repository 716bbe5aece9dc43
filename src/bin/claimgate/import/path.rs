//! Paths: what a source says of them, and the patterns that a configuration has for it.
//!
//! Patterns have literal and captured segments only; what else a source asks of a segment becomes a
//! condition on the capture.

use super::condition::Condition;
use super::pattern::{Owned, Pattern};
use super::text::Text;
use claimgate::policy::pattern::PathPattern;
use std::collections::BTreeSet;

/// How deep a path is followed whose end a source looks at.
pub const MAX_DEPTH: usize = 6;

/// What a source says of a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Its segments from the front, and what follows.
    Front(Vec<Segment>, Tail),
    /// Segments at the front, at least so many between, segments at the end.
    Ends(Vec<Segment>, usize, Vec<Segment>),
}

/// What a source says of a segment.
#[derive(Clone, Debug, PartialEq)]
pub enum Segment {
    /// Exactly this.
    Literal(String),
    /// Anything but nothing.
    Any,
    /// Some text.
    Text(Text),
}

/// What follows the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing, and no final slash.
    End,
    /// A final slash.
    Slash,
    /// Anything that begins with a slash, or nothing.
    Anything,
    /// Anything that begins with a slash.
    Beneath,
}

/// Why a path cannot be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsaid {
    /// No request has it: the filter refuses such paths.
    Refused,
    /// There is no pattern for it.
    Pattern,
}

/// A literal segment as paths are matched.
fn literal(text: &str) -> Result<Segment, Unsaid> {
    if !sayable(text) || text.contains(['{', '}', '*']) {
        return Err(Unsaid::Pattern);
    }
    match PathPattern::parse(&format!("/{text}"), false) {
        Ok(_) if !text.is_empty() => Ok(Segment::Literal(text.to_owned())),
        _ => Err(Unsaid::Refused),
    }
}

/// Whether a text reads the same in a path and in its segments: a source compares what is encoded.
fn sayable(text: &str) -> bool {
    text.is_ascii() && !text.contains('%')
}

fn literals<'t>(texts: impl Iterator<Item = &'t str>) -> Result<Vec<Segment>, Unsaid> {
    texts.map(literal).collect()
}

impl Shape {
    /// Every path.
    pub const EVERY: Self = Self::Front(Vec::new(), Tail::Anything);

    /// Exactly this path.
    pub fn exact(path: &str) -> Result<Self, Unsaid> {
        let inside = path.strip_prefix('/').ok_or(Unsaid::Refused)?;
        if inside.is_empty() {
            return Ok(Self::Front(Vec::new(), Tail::End));
        }
        let (inside, tail) = match inside.strip_suffix('/') {
            Some(inside) => (inside, Tail::Slash),
            None => (inside, Tail::End),
        };
        Ok(Self::Front(literals(inside.split('/'))?, tail))
    }

    /// Every path that begins so, segment or not.
    pub fn prefix(path: &str) -> Result<Self, Unsaid> {
        if path.is_empty() {
            return Ok(Self::EVERY);
        }
        let inside = path.strip_prefix('/').ok_or(Unsaid::Refused)?;
        let Some((front, last)) = inside.rsplit_once('/').or(Some(("", inside))) else {
            return Err(Unsaid::Pattern);
        };
        let mut segments = match inside.contains('/') {
            true => literals(front.split('/'))?,
            false => Vec::new(),
        };
        if last.is_empty() {
            let tail = if segments.is_empty() { Tail::Anything } else { Tail::Beneath };
            return Ok(Self::Front(segments, tail));
        }
        if !sayable(last) {
            return Err(Unsaid::Pattern);
        }
        segments.push(Segment::Text(Text::Prefix(last.to_owned())));
        Ok(Self::Front(segments, Tail::Anything))
    }

    /// This path and everything beneath it, segment by segment.
    pub fn beneath(path: &str) -> Result<Self, Unsaid> {
        match Self::exact(path)? {
            Self::Front(segments, _) => Ok(Self::Front(segments, Tail::Anything)),
            Self::Ends(..) => Err(Unsaid::Pattern),
        }
    }

    /// Every path that ends so, segment or not.
    pub fn suffix(text: &str) -> Result<Self, Unsaid> {
        // A path with a final slash may belong to a `**`, whose end no condition reads.
        if !sayable(text) || text.ends_with('/') {
            return Err(Unsaid::Pattern);
        }
        let mut parts = text.split('/');
        let first = parts.next().unwrap_or_default();
        let mut segments = literals(parts)?;
        if !first.is_empty() {
            segments.insert(0, Segment::Text(Text::Suffix(first.to_owned())));
        }
        Ok(Self::Ends(Vec::new(), 0, segments))
    }

    /// A template with `{*}` or `*` for a segment and `{**}` or `**` for any number of them.
    pub fn template(path: &str) -> Result<Self, Unsaid> {
        let inside = path.strip_prefix('/').ok_or(Unsaid::Refused)?;
        if inside.ends_with('/') {
            return Err(Unsaid::Pattern);
        }
        let mut parts: Vec<Vec<Segment>> = vec![Vec::new()];
        for segment in inside.split('/') {
            let word = segment.trim_start_matches('{').trim_end_matches('}');
            // `{name=*}` captures what it matches.
            let word = word.split_once('=').map_or(word, |(_, word)| word);
            let braced = segment.starts_with('{') && segment.ends_with('}');
            match (word, parts.last_mut()) {
                ("**", _) => parts.push(Vec::new()),
                ("*", Some(last)) => last.push(Segment::Any),
                (_, Some(last)) if braced && !word.contains(['*', '/']) => last.push(Segment::Any),
                (_, Some(last)) => last.push(literal(segment)?),
                (_, None) => return Err(Unsaid::Pattern),
            }
        }
        match <[Vec<Segment>; 2]>::try_from(parts) {
            Ok([front, end]) if end.is_empty() => {
                let tail = if front.is_empty() { Tail::Anything } else { Tail::Beneath };
                Ok(Self::Front(front, tail))
            }
            Ok([front, end]) => Ok(Self::Ends(front, 1, end)),
            Err(parts) => match <[Vec<Segment>; 1]>::try_from(parts) {
                Ok([front]) => Ok(Self::Front(front, Tail::End)),
                Err(_) => Err(Unsaid::Pattern),
            },
        }
    }

    /// A regular expression that says what each segment is.
    pub fn regex(pattern: &str) -> Result<Self, Unsaid> {
        super::regex::shape(pattern)
    }

    /// Patterns that match every path of this shape together, and perhaps more.
    fn cover(&self) -> Vec<Pattern> {
        let of = |segments: &[Segment]| segments.iter().map(Segment::skeleton).collect::<Vec<_>>();
        match self {
            Self::Front(front, tail) => {
                let exact = Pattern { segments: of(front), rest: false };
                match tail {
                    Tail::End | Tail::Slash => vec![exact],
                    Tail::Anything => vec![Pattern { rest: true, ..exact }],
                    Tail::Beneath => vec![exact.clone(), exact.beneath()],
                }
            }
            Self::Ends(front, ..) => vec![Pattern { segments: of(front), rest: true }],
        }
    }

    /// The pattern of so many segments with these at its ends.
    fn with_ends(front: &[Segment], end: &[Segment], depth: usize) -> Option<Pattern> {
        let any = depth.checked_sub(front.len() + end.len())?;
        let skeletons =
            |segments: &[Segment]| segments.iter().map(Segment::skeleton).collect::<Vec<_>>();
        let segments = [skeletons(front), vec![None; any], skeletons(end)].concat();
        Some(Pattern { segments, rest: false })
    }

    /// The patterns that tell this shape from others.
    pub fn patterns(&self) -> Vec<Pattern> {
        let mut patterns = self.cover();
        match self {
            Self::Front(front, Tail::Anything) => {
                // `/a*` is `/a` and everything beneath, for most who write it.
                if let Some((Segment::Text(Text::Prefix(last)), front)) = front.split_last()
                    && let Ok(Segment::Literal(last)) = literal(last)
                {
                    let mut segments: Vec<_> = front.iter().map(Segment::skeleton).collect();
                    segments.push(Some(last));
                    patterns.push(Pattern { segments, rest: true });
                }
            }
            Self::Front(..) => {}
            Self::Ends(front, between, end) => {
                for depth in 0..=MAX_DEPTH {
                    patterns.push(Pattern { segments: vec![None; depth], rest: false });
                    if depth >= front.len() + between + end.len() {
                        patterns.extend(Self::with_ends(front, end, depth));
                    }
                }
            }
        }
        patterns
    }

    /// Whether the requests that a pattern owns, beside those others, have this shape; `slash` asks
    /// for the forms with a final slash of one without `**`, which it refuses.
    pub fn owned(&self, pattern: &Pattern, all: &BTreeSet<Pattern>, slash: bool) -> Owned {
        let elsewhere = |part: &Pattern| match pattern.intersect(part) {
            None => true,
            Some(shared) => shared != *pattern && all.contains(&shared),
        };
        if self.cover().iter().all(elsewhere) {
            return Owned::No;
        }
        match self {
            Self::Front(front, tail) => owned_front(front, *tail, pattern, slash),
            Self::Ends(..) if slash => Owned::No,
            Self::Ends(front, between, end) => {
                let ends = Self::with_ends(front, end, pattern.segments.len());
                match ends {
                    Some(ends) if !pattern.rest && elsewhere(&ends) => Owned::No,
                    _ => owned_ends(front, *between, end, pattern),
                }
            }
        }
    }
}

fn owned_front(front: &[Segment], tail: Tail, pattern: &Pattern, slash: bool) -> Owned {
    let has = pattern.segments.len();
    let mut conditions = Vec::new();
    for (index, segment) in front.iter().enumerate() {
        match pattern.segments.get(index) {
            Some(own) => match segment.owned(own.as_deref(), index + 1) {
                Condition::Never => return Owned::No,
                condition => conditions.push(condition),
            },
            None if pattern.rest => return Owned::Unknown,
            None => return Owned::No,
        }
    }
    let fits = match (tail, has > front.len(), pattern.rest) {
        (Tail::Anything, _, _) | (Tail::Beneath, true, _) => true,
        (Tail::End, false, false) => !slash,
        (Tail::End | Tail::Slash, true, _) => false,
        // What has a final slash belongs to no pattern without `**`.
        (Tail::Slash | Tail::Beneath, false, false) => slash,
        (_, false, true) => return Owned::Unknown,
    };
    if fits { Owned::when(Condition::all(conditions)) } else { Owned::No }
}

fn owned_ends(front: &[Segment], between: usize, end: &[Segment], pattern: &Pattern) -> Owned {
    let has = pattern.segments.len();
    let at_front = || {
        let own = pattern.segments.iter().map(Option::as_deref).enumerate();
        own.zip(front).map(|((index, own), segment)| segment.owned(own, index + 1))
    };
    if pattern.rest {
        let never = at_front().any(|condition| condition == Condition::Never);
        return if never { Owned::No } else { Owned::Unknown };
    }
    let Some(begin) = has.checked_sub(end.len()) else { return Owned::No };
    if begin < front.len() + between {
        return Owned::No;
    }
    let own = pattern.segments.iter().map(Option::as_deref).enumerate().skip(begin);
    let at_end = own.zip(end).map(|((index, own), segment)| segment.owned(own, index + 1));
    Owned::when(Condition::all(at_front().chain(at_end).collect::<Vec<_>>()))
}

impl Segment {
    fn skeleton(&self) -> Option<String> {
        match self {
            Self::Literal(literal) => Some(literal.clone()),
            Self::Any | Self::Text(_) => None,
        }
    }

    /// When the segment of a pattern is this one.
    fn owned(&self, own: Option<&str>, number: usize) -> Condition {
        let known = |is: bool| if is { Condition::Always } else { Condition::Never };
        match (self, own) {
            (Self::Any, _) => Condition::Always,
            (Self::Literal(literal), Some(own)) => known(literal == own),
            (Self::Text(text), Some(own)) => known(text.is(own)),
            (Self::Literal(literal), None) => {
                Condition::segment(number, "equals", &super::leaf::plain(literal))
            }
            (Self::Text(Text::Something), None) => Condition::Always,
            (Self::Text(text), None) => {
                // No segment has a line break.
                let pattern = text.pattern().replace("(?s:.*)", ".*");
                Condition::segment(number, "matches", &pattern)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::close;
    use super::super::pattern::tests::pattern;
    use super::*;

    #[test]
    fn tells_what_a_pattern_owns() {
        let yes = |shape: Result<Shape, Unsaid>, all: &[&str]| {
            let shape = shape.unwrap();
            let mut patterns: BTreeSet<Pattern> = all.iter().map(|text| pattern(text)).collect();
            patterns.extend(shape.patterns());
            let (patterns, _) = close(patterns);
            let text = |pattern: &Pattern| match shape.owned(pattern, &patterns, false) {
                Owned::Yes => Some(pattern.text(&[])),
                Owned::No => None,
                Owned::If(_) => Some(format!("{}?", pattern.text(&[]))),
                Owned::Unknown => Some(format!("{}!", pattern.text(&[]))),
            };
            patterns.iter().filter_map(text).collect::<Vec<_>>().join(" ")
        };
        let cases = [
            (Shape::exact("/a"), "/a"),
            (Shape::exact("/"), "/"),
            (Shape::prefix("/a/"), "/a/*/**"),
            (Shape::prefix("/a/b"), "/a/*/**? /a/b/**"),
            (Shape::prefix("/"), "/**"),
            (Shape::beneath("/a"), "/a/**"),
            (Shape::template("/a/{*}/c"), "/a/*/c"),
            (Shape::template("/a/{**}"), "/a/*/**"),
            (Shape::regex("/a/[a-z]+"), "/a/*?"),
            (Shape::regex("/a\\.b/.*"), "/a.b/*/**"),
            (Shape::regex("/a/x(/.*)?"), "/a/x/**"),
            (Shape::regex("/a.*"), "/*/**? /a/**"),
        ];
        for (shape, want) in cases {
            let text = format!("{shape:?}");
            assert_eq!(yes(shape, &["/**"]), want, "{text}");
        }
        // What lies deeper than it is looked for cannot be told.
        assert!(yes(Shape::suffix("/x"), &["/**"]).starts_with("/**! /*/*/*/*/*/x"));
    }

    #[test]
    fn says_what_cannot_be_said() {
        use Unsaid::{Pattern, Refused};
        let cases = [
            (Shape::exact("a"), Refused),
            (Shape::exact("/a//b"), Refused),
            (Shape::exact("/a/../b"), Refused),
            (Shape::exact("/a%20b"), Pattern),
            (Shape::exact("/\u{e4}"), Pattern),
            (Shape::prefix("/a%2"), Pattern),
            (Shape::suffix("x/"), Pattern),
            (Shape::template("/a/{**}/b/{**}"), Pattern),
        ];
        for (shape, want) in cases {
            assert_eq!(shape, Err(want));
        }
    }
}
