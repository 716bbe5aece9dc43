//! Patterns of the configuration that is made.
//!
//! A configuration gives each request to the most specific pattern that matches it. The patterns
//! that are made here are closed under intersection, so that whatever two of them share is a
//! pattern too, and is the owner of it.

use super::condition::Condition;
use std::collections::BTreeSet;

/// The most patterns that are made; what is not told apart any more is refused.
const MAX_PATTERNS: usize = 512;

/// A pattern: literal segments, and `None` for one that may be anything; `rest` for a final `**`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    /// Its segments.
    pub segments: Vec<Option<String>>,
    /// Whether everything beneath belongs to it.
    pub rest: bool,
}

/// Whether every request that a pattern owns has the path that a source asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Owned {
    /// Every one.
    Yes,
    /// None.
    No,
    /// Those for which this holds, and no other.
    If(Condition),
    /// It cannot be told.
    Unknown,
}

impl Owned {
    /// Where a condition on the captures holds.
    pub fn when(condition: Condition) -> Self {
        match condition {
            Condition::Always => Self::Yes,
            Condition::Never => Self::No,
            condition => Self::If(condition),
        }
    }
}

impl Pattern {
    /// Every path.
    pub fn every() -> Self {
        Self { segments: Vec::new(), rest: true }
    }

    /// Everything beneath it, but not itself.
    pub fn beneath(&self) -> Self {
        let mut segments = self.segments.clone();
        segments.push(None);
        Self { segments, rest: true }
    }

    /// What two patterns share.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let (long, short) =
            if self.segments.len() >= other.segments.len() { (self, other) } else { (other, self) };
        let longer = long.segments.len() > short.segments.len();
        if longer && !short.rest {
            return None;
        }
        let mut segments = long.segments.clone();
        for (segment, own) in segments.iter_mut().zip(&short.segments) {
            match (&segment, own) {
                (Some(a), Some(b)) if a != b => return None,
                (None, Some(own)) => *segment = Some(own.clone()),
                _ => {}
            }
        }
        let rest = if longer { long.rest } else { long.rest && short.rest };
        Some(Self { segments, rest })
    }

    /// Whether another has nothing that this has not.
    pub fn contains(&self, other: &Self) -> bool {
        self.intersect(other).as_ref() == Some(other)
    }

    /// How specific it is, as the filter has it.
    pub fn rank(&self) -> Vec<u8> {
        let segments = self.segments.iter().map(|segment| if segment.is_some() { 3 } else { 2 });
        segments.chain([u8::from(!self.rest)]).collect()
    }

    /// As it is written, with these segments captured.
    pub fn text(&self, captured: &[usize]) -> String {
        let mut text = String::new();
        for (index, segment) in self.segments.iter().enumerate() {
            let number = index + 1;
            text.push('/');
            match segment {
                Some(literal) => text.push_str(literal),
                None if captured.contains(&number) => {
                    text.push_str(&format!("{{{}}}", super::condition::capture(number)));
                }
                None => text.push('*'),
            }
        }
        match (self.rest, self.segments.is_empty()) {
            (true, _) => text.push_str("/**"),
            (false, true) => text.push('/'),
            (false, false) => {}
        }
        text
    }
}

/// Closes patterns under intersection; says whether that was possible.
pub fn close(mut patterns: BTreeSet<Pattern>) -> (BTreeSet<Pattern>, bool) {
    let mut fresh: Vec<Pattern> = patterns.iter().cloned().collect();
    while let Some(next) = fresh.pop() {
        let shared: Vec<Pattern> =
            patterns.iter().filter_map(|pattern| pattern.intersect(&next)).collect();
        for pattern in shared {
            if patterns.len() >= MAX_PATTERNS {
                return (patterns, false);
            }
            if patterns.insert(pattern.clone()) {
                fresh.push(pattern);
            }
        }
    }
    (patterns, true)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Reads a pattern.
    pub fn pattern(text: &str) -> Pattern {
        let (inside, rest) = match text.strip_suffix("/**") {
            Some(inside) => (inside, true),
            None => (text, false),
        };
        let segments = inside.split('/').skip(1).filter(|segment| !segment.is_empty());
        let segment = |text: &str| (text != "*").then(|| text.to_owned());
        Pattern { segments: segments.map(segment).collect(), rest }
    }

    #[test]
    fn patterns_share_and_contain() {
        let cases = [
            ("/a/**", "/*/b", Some("/a/b")),
            ("/a/**", "/a", Some("/a")),
            ("/a/**", "/b/**", None),
            ("/**", "/*/*/**", Some("/*/*/**")),
            ("/*/b/**", "/a/*", Some("/a/b")),
            ("/a", "/a/b", None),
            ("/", "/**", Some("/")),
        ];
        for (a, b, want) in cases {
            let shared = pattern(a).intersect(&pattern(b)).map(|shared| shared.text(&[]));
            assert_eq!(shared.as_deref(), want, "{a} {b}");
            assert_eq!(pattern(b).intersect(&pattern(a)).map(|s| s.text(&[])).as_deref(), want);
        }
        assert!(pattern("/a/**").contains(&pattern("/a/*")));
        assert!(!pattern("/a/*").contains(&pattern("/a/**")));
        assert_eq!(pattern("/a/*/*/**").text(&[3]), "/a/*/{s3}/**");
    }
}
