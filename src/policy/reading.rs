//! Readings by servers that do more to a path than decode it once.
//!
//! Each is what some server was seen to do, and rare enough that the path is not refused for it: it
//! is enough that the same route wins.

use super::path::{Segments, is_encoded};

use std::borrow::Cow;

/// How many bytes the readings of one path may have in all: what a client sends does not decide how
/// much memory it takes.
const MOST_BYTES: usize = 1 << 16;

/// A further reading; `None` where it is no other.
type Pass = for<'a> fn(&Segments<'a>) -> Result<Option<Segments<'a>>, &'static str>;

/// These readings and the further ones. `length` is that of the path, `fold` says that the upstream
/// folds case.
///
/// # Errors
/// Says what makes a further reading one that no route can agree on.
pub fn with_further(
    mut readings: Vec<Segments<'_>>,
    length: usize,
    fold: bool,
) -> Result<Vec<Segments<'_>>, &'static str> {
    let passes: &[&[Pass]] = if fold {
        &[
            &[without_authority, without_authority_merged],
            &[narrow],
            &[before_query, before_fragment],
            &[fold_as_upper],
            &[as_file],
        ]
    } else {
        &[
            &[without_authority, without_authority_merged],
            &[narrow],
            &[before_query, before_fragment],
        ]
    };
    for alternatives in passes {
        let mut found = Vec::new();
        for segments in &readings {
            for pass in *alternatives {
                found.extend(pass(segments)?);
                if found.len().saturating_mul(length) > MOST_BYTES {
                    return Err("path that is too long to be read in so many ways");
                }
            }
        }
        readings.append(&mut found);
    }
    Ok(readings)
}

/// `//host/path` is a reference that names a host, to what reads the target by a URL parser.
fn without_authority<'a>(segments: &Segments<'a>) -> Result<Option<Segments<'a>>, &'static str> {
    if segments.first().is_none_or(|first| !first.is_empty()) {
        return Ok(None);
    }
    let rest = segments.iter().skip_while(|segment| segment.is_empty()).skip(1);
    Ok(Some(rest.cloned().collect()))
}

/// The same, where the parser also merges empty segments.
fn without_authority_merged<'a>(
    segments: &Segments<'a>,
) -> Result<Option<Segments<'a>>, &'static str> {
    let mut rest = without_authority(segments)?;
    if let Some(rest) = &mut rest {
        rest.retain(|segment| !segment.is_empty());
    }
    Ok(rest)
}

/// Fullwidth forms are the ASCII characters that they resemble, to what maps text to a code page or
/// normalises it.
fn narrow<'a>(segments: &Segments<'a>) -> Result<Option<Segments<'a>>, &'static str> {
    let is_wide = |c: char| matches!(c, '\u{ff01}'..='\u{ff5e}');
    if !segments.iter().any(|segment| segment.contains(is_wide)) {
        return Ok(None);
    }
    let ascii = |c: char| {
        let narrow = char::from_u32(u32::from(c).wrapping_sub(0xfee0));
        narrow.filter(|_| is_wide(c)).unwrap_or(c)
    };
    let mut narrowed = Segments::with_capacity(segments.len());
    for segment in segments {
        if segment.contains(['\u{ff0f}', '\u{ff3c}', '\u{ff1b}']) {
            return Err("path with a fullwidth slash, backslash or semicolon");
        }
        let text: String = segment.chars().map(ascii).collect();
        if is_encoded(&text) {
            return Err("path that is encoded twice");
        }
        narrowed.push(Cow::Owned(text));
    }
    Ok(Some(narrowed))
}

/// A decoded `?` begins the query, to what is sent the decoded path.
fn before_query<'a>(segments: &Segments<'a>) -> Result<Option<Segments<'a>>, &'static str> {
    Ok(before(segments, '?'))
}

/// And a decoded `#` the fragment.
fn before_fragment<'a>(segments: &Segments<'a>) -> Result<Option<Segments<'a>>, &'static str> {
    Ok(before(segments, '#'))
}

fn before<'a>(segments: &Segments<'a>, mark: char) -> Option<Segments<'a>> {
    let at = segments.iter().position(|segment| segment.contains(mark))?;
    let mut kept: Segments<'a> = segments.iter().take(at).cloned().collect();
    let cut = segments.get(at)?.split(mark).next().unwrap_or_default();
    if !cut.is_empty() {
        kept.push(Cow::Owned(cut.to_owned()));
    }
    Some(kept)
}

/// The lower case of the upper case: a dotless `i` is an `i` then, a long `s` an `s`.
fn fold_as_upper<'a>(segments: &Segments<'a>) -> Result<Option<Segments<'a>>, &'static str> {
    if segments.iter().all(|segment| segment.is_ascii()) {
        return Ok(None);
    }
    let folded: Segments<'a> =
        segments.iter().map(|text| Cow::Owned(text.to_uppercase().to_lowercase())).collect();
    Ok((folded != *segments).then_some(folded))
}

/// The names of files as Windows takes them, which is where case is folded most: without dots and
/// spaces at the end, and without the type of stream that all files have.
fn as_file<'a>(segments: &Segments<'a>) -> Result<Option<Segments<'a>>, &'static str> {
    fn name(segment: &str) -> &str {
        let end = segment.find("::$").into_iter().chain(segment.find(":$")).min();
        let name = end.and_then(|end| segment.get(..end)).unwrap_or(segment);
        name.trim_end_matches(['.', ' '])
    }
    if segments.iter().all(|segment| name(segment).len() == segment.len()) {
        return Ok(None);
    }
    let names = segments.iter().map(|segment| name(segment)).filter(|name| !name.is_empty());
    Ok(Some(names.map(|name| Cow::Owned(name.to_owned())).collect()))
}
