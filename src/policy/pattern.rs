//! Path patterns: segments that are literal, captured, starred or mixed, and a final `**`.

use super::template::Captures;
use std::borrow::Cow;
use std::fmt;

/// The most segments of one pattern, since the index descends by recursion.
const MAX_SEGMENTS: usize = 64;

/// A path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    /// Its segments.
    pub segments: Vec<Segment>,
    /// Whether everything beneath belongs to it (`**`).
    pub rest: bool,
}

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Exactly this, decoded.
    Literal(Box<str>),
    /// Literals with captures and stars.
    Mixed(Mixed),
    /// One non-empty segment, under a name where it is captured.
    Any(Option<Box<str>>),
}

/// A segment of literals with captures and stars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mixed {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Wild(Option<Box<str>>),
}

impl PathPattern {
    /// Reads a pattern; `fold` makes it match without case.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str, fold: bool) -> Result<Self, &'static str> {
        let inside = text.strip_prefix('/').ok_or("a path pattern begins with `/`")?;
        if inside.contains(['?', '#']) {
            return Err("a path pattern has no query and no fragment");
        }
        let mut names: Vec<&str> = Vec::new();
        let (inside, rest) = match inside.strip_suffix("**") {
            Some("") => ("", true),
            Some(inside) => match inside.strip_suffix('/') {
                Some(inside) => (inside, true),
                None => return Err("`**` stands alone in the last segment"),
            },
            None => (inside, false),
        };
        let mut segments = Vec::new();
        if !inside.is_empty() || text == "//**" {
            for segment in inside.split('/') {
                segments.push(parse_segment(segment, fold, &mut names)?);
            }
        }
        if segments.len() > MAX_SEGMENTS {
            return Err("a path pattern has at most 64 segments");
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err("two captures of one name");
        }
        Ok(Self { segments, rest })
    }

    /// Whether it matches the same paths as another, whatever the captures are called.
    pub fn same_shape(&self, other: &Self) -> bool {
        let alike = |pair: (&Segment, &Segment)| match pair {
            (Segment::Mixed(a), Segment::Mixed(b)) => a.shape() == b.shape(),
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Any(_), Segment::Any(_)) => true,
            _ => false,
        };
        self.rest == other.rest
            && self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(alike)
    }

    /// The names that it captures.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().flat_map(|segment| {
            let (one, mixed): (Option<&str>, &[Part]) = match segment {
                Segment::Literal(_) => (None, &[]),
                Segment::Any(name) => (name.as_deref(), &[]),
                Segment::Mixed(mixed) => (None, &mixed.parts),
            };
            one.into_iter().chain(mixed.iter().filter_map(|part| match part {
                Part::Wild(name) => name.as_deref(),
                Part::Literal(_) => None,
            }))
        })
    }

    /// Whether a path matches.
    pub fn matches(&self, path: &[Cow<'_, str>]) -> bool {
        self.visit(path, &mut |_, _| {})
    }

    /// What the capture of this name takes of a path that matches.
    pub fn capture<'t>(&self, name: &str, path: &'t [Cow<'_, str>]) -> Option<&'t str> {
        let mut value = None;
        let matches = self.visit(path, &mut |own, text| {
            if own == name {
                value = Some(text);
            }
        });
        value.filter(|_| matches)
    }

    /// All that it captures of a path, if that matches.
    pub fn captures<'p, 't>(&'p self, path: &'t [Cow<'_, str>]) -> Option<Captures<'p, 't>> {
        let mut captured = Vec::new();
        let matches = self.visit(path, &mut |name, value| captured.push((name, value)));
        matches.then_some(captured)
    }

    /// Whether a path matches if stars beside literals take any text; see [`Mixed::matches_loosely`].
    pub fn matches_loosely(&self, path: &[Cow<'_, str>]) -> bool {
        let fits =
            path.len() == self.segments.len() || path.len() > self.segments.len() && self.rest;
        fits && self.segments.iter().zip(path).all(|(segment, text)| match segment {
            Segment::Literal(literal) => **literal == **text,
            Segment::Any(_) => !text.is_empty(),
            Segment::Mixed(mixed) => mixed.matches_loosely(text),
        })
    }

    /// Tells captures and their values; whether the path matches.
    fn visit<'p, 't>(
        &'p self,
        path: &'t [Cow<'_, str>],
        capture: &mut dyn FnMut(&'p str, &'t str),
    ) -> bool {
        if path.len() < self.segments.len() || (path.len() > self.segments.len() && !self.rest) {
            return false;
        }
        self.segments.iter().zip(path).all(|(segment, text)| match segment {
            Segment::Literal(literal) => **literal == **text,
            Segment::Any(name) => {
                if let Some(name) = name {
                    capture(name, text);
                }
                !text.is_empty()
            }
            Segment::Mixed(mixed) => mixed.matches(text, capture),
        })
    }
}

impl Mixed {
    /// Whether it matches, with what it captures. Each wild part takes characters up to the one
    /// that follows it in the pattern, so that there is one way to match only.
    pub fn matches<'p, 't>(
        &'p self,
        text: &'t str,
        capture: &mut dyn FnMut(&'p str, &'t str),
    ) -> bool {
        let mut text = text;
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                Part::Literal(literal) => match text.strip_prefix(&**literal) {
                    Some(rest) => text = rest,
                    None => return false,
                },
                Part::Wild(name) => {
                    let stop = match self.parts.get(index + 1) {
                        Some(Part::Literal(literal)) => literal.chars().next(),
                        _ => None,
                    };
                    let taken = |c: char| is_unreserved(c) && Some(c) != stop;
                    let rest = text.trim_start_matches(taken);
                    let value = text.strip_suffix(rest).unwrap_or_default();
                    if value.is_empty() {
                        return false;
                    }
                    if let Some(name) = name {
                        capture(name, value);
                    }
                    text = rest;
                }
            }
        }
        text.is_empty()
    }

    /// Whether it matches where its wild parts take any text that is not empty: what a person means
    /// by a star. Wherever [`Mixed::matches`] says yes, so does this.
    pub fn matches_loosely(&self, text: &str) -> bool {
        let mut rest = text;
        let mut wild = false;
        for (index, part) in self.parts.iter().enumerate() {
            let last = index + 1 == self.parts.len();
            let after = match part {
                Part::Wild(_) => {
                    wild = true;
                    continue;
                }
                Part::Literal(literal) if !wild => rest.strip_prefix(&**literal),
                // What the wild part takes first.
                Part::Literal(literal) => {
                    let mut taken = rest.chars();
                    match taken.next() {
                        None => None,
                        Some(_) if last => taken.as_str().strip_suffix(&**literal).map(|_| ""),
                        Some(_) => taken.as_str().split_once(&**literal).map(|(_, after)| after),
                    }
                }
            };
            let Some(after) = after else { return false };
            (rest, wild) = (after, false);
        }
        wild != rest.is_empty()
    }

    /// How many literal characters it has: the more, the more specific.
    pub fn literal_count(&self) -> usize {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Literal(literal) => literal.chars().count(),
                Part::Wild(_) => 0,
            })
            .sum()
    }

    /// The pattern without the names of its captures: alike for segments that match the same texts.
    pub fn shape(&self) -> String {
        let part = |part: &Part| match part {
            Part::Literal(literal) => literal.to_string(),
            // No literal holds a star.
            Part::Wild(_) => "*".to_owned(),
        };
        self.parts.iter().map(part).collect()
    }

    /// Whether both may match one text, judged by how they begin and end.
    pub fn may_overlap(&self, other: &Self) -> bool {
        let ((first, last), (other_first, other_last)) = (self.ends(), other.ends());
        (first.starts_with(other_first) || other_first.starts_with(first))
            && (last.ends_with(other_last) || other_last.ends_with(last))
    }

    /// The literals that it begins and ends with; empty where that is wild.
    pub fn ends(&self) -> (&str, &str) {
        fn literal(part: Option<&Part>) -> &str {
            match part {
                Some(Part::Literal(literal)) => literal,
                Some(Part::Wild(_)) | None => "",
            }
        }
        (literal(self.parts.first()), literal(self.parts.last()))
    }
}

fn parse_segment<'t>(
    text: &'t str,
    fold: bool,
    names: &mut Vec<&'t str>,
) -> Result<Segment, &'static str> {
    if text.is_empty() {
        return Err("an empty segment: `/a` matches `/a/` too, and `//` is refused");
    }
    if text.contains("**") {
        return Err("`**` stands alone in the last segment");
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (literal, wild) = match rest.find(['{', '*']) {
            Some(at) => rest.split_at_checked(at).unwrap_or((rest, "")),
            None => (rest, ""),
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(parse_literal(literal, fold)?));
        }
        if wild.is_empty() {
            break;
        }
        if matches!(parts.last(), Some(Part::Wild(_))) {
            return Err("two wild parts side by side: a literal must stand between them");
        }
        if let Some(after) = wild.strip_prefix('*') {
            parts.push(Part::Wild(None));
            rest = after;
        } else {
            let (name, after) = wild
                .strip_prefix('{')
                .and_then(|wild| wild.split_once('}'))
                .ok_or("a capture is not closed")?;
            if !is_name(name) {
                return Err("the name of a capture is letters, digits, `-` and `_`");
            }
            names.push(name);
            parts.push(Part::Wild(Some(name.into())));
            rest = after;
        }
    }
    Ok(match parts.as_mut_slice() {
        [Part::Literal(literal)] => Segment::Literal(std::mem::take(literal)),
        [Part::Wild(name)] => Segment::Any(name.take()),
        _ => Segment::Mixed(Mixed { parts }),
    })
}

/// A literal as paths are matched: decoded once, and never one that no safe path can have.
fn parse_literal(text: &str, fold: bool) -> Result<Box<str>, &'static str> {
    let refused = "a literal that no safe path has: a dot segment, control character, backslash, \
                   `%2f`, `;` or invalid percent-encoding";
    if text.contains('}') {
        return Err("`}` without `{`");
    }
    let encoded: String = percent_encoding::utf8_percent_encode(text, NON_ASCII).to_string();
    let path = format!("/{encoded}");
    let safe = super::path::SafePath::check(Some(path.as_bytes()), fold).map_err(|_| refused)?;
    if safe.hazards() != super::path::Hazards::default() {
        return Err(refused);
    }
    let literal = safe.plain().first();
    literal.map(|literal| (**literal).into()).ok_or(refused)
}

/// A pattern may hold text outside ASCII as it reads; a path holds it encoded.
const NON_ASCII: &percent_encoding::AsciiSet = &percent_encoding::AsciiSet::EMPTY.add(b' ');

/// Whether a text can name a capture.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// RFC 3986 section 2.3.
fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~')
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            f.write_str("/")?;
            match segment {
                Segment::Literal(literal) => f.write_str(literal)?,
                Segment::Any(name) => write_wild(f, name.as_deref())?,
                Segment::Mixed(mixed) => {
                    for part in &mixed.parts {
                        match part {
                            Part::Literal(literal) => f.write_str(literal)?,
                            Part::Wild(name) => write_wild(f, name.as_deref())?,
                        }
                    }
                }
            }
        }
        match (self.rest, self.segments.is_empty()) {
            (true, _) => f.write_str("/**"),
            (false, true) => f.write_str("/"),
            (false, false) => Ok(()),
        }
    }
}

fn write_wild(f: &mut fmt::Formatter<'_>, name: Option<&str>) -> fmt::Result {
    match name {
        Some(name) => write!(f, "{{{name}}}"),
        None => f.write_str("*"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_and_captures() {
        let cases = [
            ("/", "", Some("")),
            ("/", "a", None),
            ("/**", "", Some("")),
            ("/**", "a|b", Some("")),
            ("/logs/**", "logs", Some("")),
            ("/logs/**", "logsx", None),
            ("/logs/{env}/**", "logs|prod|x", Some("env=prod")),
            ("/logs/{env}/**", "logs", None),
            ("/logs/{env}", "logs|", None),
            ("/a/*/b", "a|x|b", Some("")),
            ("/logs-{env}-*/_search", "logs-prod-1/2", None),
            ("/logs-{env}-*/_search", "logs-prod-2026.11|_search", Some("env=prod")),
            ("/logs-{env}-*/_search", "logs-prod-a-b|_search", Some("env=prod")),
            ("/{a}-{b}", "x-y-z", Some("a=x b=y-z")),
            ("/{a}.json", "x.json", Some("a=x")),
            ("/{a}.json", "x.y.json", None),
            ("/v*", "v", None),
            ("/v*", "v@", None),
            ("/%40me", "@me", Some("")),
            ("/\u{e4} b", "\u{e4} b", Some("")),
        ];
        for (pattern, path, want) in cases {
            let segments: Vec<Cow<'_, str>> = match path {
                "" => Vec::new(),
                path => path.split('|').map(Cow::Borrowed).collect(),
            };
            let got = PathPattern::parse(pattern, false).unwrap().captures(&segments).map(|list| {
                list.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" ")
            });
            assert_eq!(got.as_deref(), want, "{pattern} {path}");
        }
    }

    #[test]
    fn a_star_as_a_person_means_it() {
        let cases = [
            ("/*.bak", "x.y.bak", true),
            ("/*.bak", "x .bak", true),
            ("/*.bak", ".bak", false),
            ("/p*", "p", false),
            ("/p*e", "pre", true),
            ("/a*b", "ab", false),
            ("/*.bak", "x.bak.txt", false),
            ("/a-*-b*", "a-1-2-bx", true),
            ("/a-*-b*", "b-1-b", false),
            ("/{x}-{y}", "no dash", false),
        ];
        for (pattern, text, want) in cases {
            let pattern = PathPattern::parse(pattern, false).unwrap();
            let [Segment::Mixed(mixed)] = pattern.segments.as_slice() else { panic!() };
            assert_eq!(mixed.matches_loosely(text), want, "{pattern} {text}");
            assert!(want || !mixed.matches(text, &mut |_, _| {}));
        }
    }

    #[test]
    fn refuses_and_prints() {
        for text in [
            "", "a", "/a/", "//", "/a//b", "/a**", "/**/a", "/{a}{b}", "/{a}*", "/{a", "/a}",
            "/{}", "/{a}/{a}", "/..", "/a;b", "/a%2fb", "/a\\b", "/a?b", "/a#b", "/%zz", "//**",
            "/a/***",
        ] {
            assert!(PathPattern::parse(text, false).is_err(), "{text}");
        }
        for text in ["/", "/**", "/a/{b}/*/c-{d}-*/**", "/a"] {
            assert_eq!(PathPattern::parse(text, false).unwrap().to_string(), text);
        }
    }
}
