//! Regular expressions of whole paths, taken apart at their slashes.

use super::path::{Segment, Shape, Tail, Unsaid};
use super::text::Text;
use claimgate::policy::pattern::PathPattern;

/// The shape that a regular expression says, where it says each segment by itself.
pub fn shape(pattern: &str) -> Result<Shape, Unsaid> {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let pattern = match pattern.strip_suffix('$') {
        Some(inside) if !inside.ends_with('\\') => inside,
        _ => pattern,
    };
    if matches!(pattern, ".*" | "/.*" | ".+") {
        return Ok(Shape::EVERY);
    }
    let inside = pattern.strip_prefix('/').ok_or(Unsaid::Pattern)?;
    let (inside, tail) = if let Some(inside) = inside.strip_suffix("(/.*)?") {
        (inside, Tail::Anything)
    } else if let Some(inside) = inside.strip_suffix("(?:/.*)?") {
        (inside, Tail::Anything)
    } else if let Some(inside) = inside.strip_suffix("/.*") {
        (inside, Tail::Beneath)
    } else {
        (inside, Tail::End)
    };
    let mut parts = split(inside)?;
    // `/a.*` is a prefix.
    if tail == Tail::End
        && let Some(last) = parts.last_mut()
        && let Some(front) = last.strip_suffix(".*")
        && let Some(front) = unescape(front).filter(|f| f.is_ascii() && !f.contains('%'))
    {
        let last = Segment::Text(Text::Prefix(front));
        let count = parts.len() - 1;
        let mut segments =
            parts.iter().take(count).map(|part| segment(part)).collect::<Result<Vec<_>, _>>()?;
        segments.push(last);
        return Ok(Shape::Front(segments, Tail::Anything));
    }
    if inside.is_empty() {
        return Ok(Shape::Front(Vec::new(), tail));
    }
    let segments = parts.iter().map(|part| segment(part)).collect::<Result<Vec<_>, _>>()?;
    Ok(Shape::Front(segments, tail))
}

/// Splits at the slashes that stand outside groups and classes; an alternative outside is no split.
fn split(pattern: &str) -> Result<Vec<String>, Unsaid> {
    let mut parts = vec![String::new()];
    let (mut depth, mut class) = (0_usize, false);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let next = chars.next().ok_or(Unsaid::Pattern)?;
                if next == '/' {
                    return Err(Unsaid::Pattern);
                }
                if let Some(last) = parts.last_mut() {
                    last.push(c);
                    last.push(next);
                }
                continue;
            }
            '[' if !class => class = true,
            ']' if class => class = false,
            '(' if !class => depth += 1,
            ')' if !class => depth = depth.checked_sub(1).ok_or(Unsaid::Pattern)?,
            '|' if depth == 0 && !class => return Err(Unsaid::Pattern),
            '/' if depth == 0 && !class => {
                parts.push(String::new());
                continue;
            }
            '/' if depth > 0 && !class => return Err(Unsaid::Pattern),
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    Ok(parts)
}

/// A segment, whose expression must match no slash.
fn segment(pattern: &str) -> Result<Segment, Unsaid> {
    if pattern == "[^/]+" {
        return Ok(Segment::Any);
    }
    if let Some(literal) = unescape(pattern) {
        let odd = literal.contains(['%', '{', '}', '*']) || !literal.is_ascii();
        let said = !literal.is_empty() && !odd;
        return match PathPattern::parse(&format!("/{literal}"), false) {
            Ok(_) if said => Ok(Segment::Literal(literal)),
            _ => Err(Unsaid::Pattern),
        };
    }
    if !within_segment(pattern) {
        return Err(Unsaid::Pattern);
    }
    let text = Text::regex(pattern).ok_or(Unsaid::Pattern)?;
    // An empty segment is in no path that the filter takes.
    if text.is("") { Err(Unsaid::Pattern) } else { Ok(Segment::Text(text)) }
}

/// Whether an expression can match no slash, and nothing that is written encoded in a path.
fn within_segment(pattern: &str) -> bool {
    let mut chars = pattern.chars().peekable();
    let mut class: Option<String> = None;
    while let Some(c) = chars.next() {
        match (&mut class, c) {
            (None, '\\') => {
                if !matches!(chars.next(), Some('d' | 'w' | '.' | '-' | '_' | '~')) {
                    return false;
                }
            }
            (None, '[') => class = Some(String::new()),
            (None, c) if c.is_ascii_alphanumeric() || "-_~+?*(){}|,:".contains(c) => {}
            (None, _) => return false,
            (Some(inside), ']') => {
                let negated = inside.starts_with('^') && !inside.contains('/');
                // Ranges that hold a slash.
                if negated || inside.contains(".-") || inside.contains("--") {
                    return false;
                }
                class = None;
            }
            (Some(inside), c) if inside.is_empty() && c == '^' => inside.push(c),
            (Some(inside), '/') if inside.starts_with('^') => inside.push('/'),
            (Some(inside), c) if c.is_ascii_alphanumeric() || "-_.~".contains(c) => inside.push(c),
            (Some(_), _) => return false,
        }
    }
    class.is_none()
}

/// The text of an expression that has nothing but literals.
fn unescape(pattern: &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next().filter(|c| c.is_ascii_punctuation())?),
            '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => {
                return None;
            }
            c => text.push(c),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_that_may_match_a_slash_is_not_said() {
        let cases = ["/a|/b", "/a.b/x", "/[^a]+", "/[.-a]+", "/(a/b)", "/a/?"];
        for pattern in cases {
            assert_eq!(shape(pattern), Err(Unsaid::Pattern), "{pattern}");
        }
    }
}
