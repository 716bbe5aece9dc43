//! Path safety: policy must see the path that the upstream acts on.
//!
//! A path that two common servers read differently is refused. What is left has one reading: its
//! segments, each decoded once. Three of the refusals can be relaxed; the path then has several
//! readings, and a route takes it only if it wins under each of them. The same goes for what few
//! servers read otherwise (see [`super::reading`]), which needs no relaxation.

use super::reading;
use crate::ascii::AsciiSet;
use percent_encoding::percent_decode;

use std::borrow::Cow;

/// What makes a path ambiguous, but can be relaxed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hazards {
    /// `%2f`: data to one server, a separator to another.
    pub encoded_slash: bool,
    /// `;`: parameters of a segment that one server cuts off and another keeps.
    pub parameters: bool,
    /// `//`: an empty segment that one server keeps and another merges.
    pub empty_segment: bool,
}

impl Hazards {
    /// Whether each of these is among the relaxed ones.
    pub fn within(self, relaxed: Self) -> bool {
        (!self.encoded_slash || relaxed.encoded_slash)
            && (!self.parameters || relaxed.parameters)
            && (!self.empty_segment || relaxed.empty_segment)
    }

    /// What either holds.
    pub fn union(self, other: Self) -> Self {
        Self {
            encoded_slash: self.encoded_slash || other.encoded_slash,
            parameters: self.parameters || other.parameters,
            empty_segment: self.empty_segment || other.empty_segment,
        }
    }
}

/// The decoded segments of a path; a final slash is not one.
pub type Segments<'a> = Vec<Cow<'a, str>>;

/// A path that was found safe, but for its hazards.
#[derive(Debug)]
pub struct SafePath<'a> {
    hazards: Hazards,
    /// The reading that takes all of it as data.
    plain: Segments<'a>,
    /// Further readings, where there are hazards or some servers go on reading.
    others: Vec<Segments<'a>>,
}

impl<'a> SafePath<'a> {
    /// Checks the part of `:path` before the query. `fold` says that the upstream folds case.
    ///
    /// # Errors
    /// Says what makes it ambiguous.
    pub fn check(path: Option<&'a [u8]>, fold: bool) -> Result<Self, &'static str> {
        let path = path.ok_or("no path")?;
        if !fold && let Some(plain) = usual(path) {
            return Ok(Self { hazards: Hazards::default(), plain, others: Vec::new() });
        }
        let (raw, _) = crate::request::split_query(path);
        if raw.first() != Some(&b'/') {
            return Err("path does not begin with a slash");
        }
        let raw = std::str::from_utf8(raw).map_err(|_| "path with a raw byte outside ASCII")?;
        let mut hazards = Hazards::default();
        let mut encoded = false;
        let mut last = 0;
        for byte in raw.bytes() {
            match byte {
                0..=0x20 | 0x7f => return Err("path with a space or control character"),
                0x80.. => return Err("path with a raw byte outside ASCII"),
                b'\\' => return Err("path with a backslash"),
                b'#' => return Err("path with a fragment"),
                b';' => hazards.parameters = true,
                b'/' if last == b'/' => hazards.empty_segment = true,
                b'%' => encoded = true,
                _ => {}
            }
            last = byte;
        }
        if encoded {
            check_encoding(raw, &mut hazards)?;
        }
        let has_empty = |segments: &Segments<'_>| segments.iter().any(|segment| segment.is_empty());
        let mut readings = read_all(raw, hazards, fold);
        // Splitting at `%2f` or cutting parameters off can leave an empty segment, which a server
        // may then merge.
        if !hazards.empty_segment && readings.iter().any(has_empty) {
            hazards.empty_segment = true;
            readings = read_all(raw, hazards, fold);
        }
        let readings = reading::with_further(readings, raw.len(), fold)?;
        if readings.iter().any(|segments| segments.iter().any(|segment| is_dotted(segment))) {
            return Err("path with a dot segment");
        }
        let mut readings = readings.into_iter();
        let plain = readings.next().unwrap_or_default();
        Ok(Self { hazards, plain, others: readings.collect() })
    }

    /// What makes it ambiguous.
    pub fn hazards(&self) -> Hazards {
        self.hazards
    }

    /// The reading that takes all of it as data.
    pub fn plain(&self) -> &Segments<'a> {
        &self.plain
    }

    /// The same, when the others are not looked at any more.
    pub fn into_plain(self) -> Segments<'a> {
        self.plain
    }

    /// The readings besides that one; for most paths none.
    pub fn others(&self) -> &[Segments<'a>] {
        &self.others
    }

    /// Every reading of it.
    pub fn readings(&self) -> impl Iterator<Item = &Segments<'a>> {
        std::iter::once(&self.plain).chain(&self.others)
    }
}

/// The segments of a path with nothing in it that could be read in two ways; `None` where a closer
/// look is needed.
fn usual(path: &[u8]) -> Option<Segments<'_>> {
    let inside = std::str::from_utf8(path).ok()?.strip_prefix('/')?;
    let mut segments = Vec::with_capacity(8);
    let mut start = 0;
    let mut end = inside.len();
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            byte if PLAIN.contains(byte) => continue,
            b'/' => segments.push(segment(inside.get(start..at)?)?),
            b'?' => {
                end = at;
                break;
            }
            _ => return None,
        }
        start = at + 1;
    }
    // What is behind a final slash is no segment.
    match inside.get(start..end)? {
        "" => {}
        last => segments.push(segment(last)?),
    }
    Some(segments)
}

/// A segment that stands for itself.
fn segment(text: &str) -> Option<Cow<'_, str>> {
    (!matches!(text, "" | "." | "..")).then_some(Cow::Borrowed(text))
}

/// Characters of a segment that mean themselves to every server: unreserved ones, sub-delimiters but
/// for the semicolon, `:` and `@` (RFC 3986 section 3.3).
static PLAIN: AsciiSet =
    AsciiSet::of(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,=:@");

/// Every reading; the first takes all of it as data.
fn read_all<'a>(raw: &str, hazards: Hazards, fold: bool) -> Vec<Segments<'a>> {
    let choices = |hazard: bool| if hazard { &[false, true][..] } else { &[false][..] };
    let mut readings = Vec::new();
    for &encoded_slash in choices(hazards.encoded_slash) {
        for &parameters in choices(hazards.parameters) {
            for &empty_segment in choices(hazards.empty_segment) {
                let acted_on = Hazards { encoded_slash, parameters, empty_segment };
                readings.push(read(raw, acted_on, fold));
            }
        }
    }
    readings
}

/// The reading by a server that acts on these hazards: splits at `%2f`, cuts parameters off, merges
/// empty segments.
fn read<'a>(raw: &str, acted_on: Hazards, fold: bool) -> Segments<'a> {
    let raw: Cow<'_, str> = if acted_on.encoded_slash {
        Cow::Owned(raw.replace("%2f", "/").replace("%2F", "/"))
    } else {
        Cow::Borrowed(raw)
    };
    let path = raw.strip_prefix('/').unwrap_or(&raw);
    let count = path.split('/').count();
    path.split('/')
        .enumerate()
        .map(|(index, segment)| {
            let cut = if acted_on.parameters { cut(segment) } else { segment };
            (index, cut)
        })
        .filter(|(index, segment)| {
            let last = index + 1 == count;
            !segment.is_empty() || !(last || acted_on.empty_segment)
        })
        .map(|(_, segment)| Cow::Owned(decode(segment, fold)))
        .collect()
}

fn decode(segment: &str, fold: bool) -> String {
    let text = percent_decode(segment.as_bytes()).decode_utf8_lossy();
    if fold { text.to_lowercase() } else { text.into_owned() }
}

fn is_dotted(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

/// A segment without its parameters, raw or encoded.
fn cut(segment: &str) -> &str {
    let end = ["%3b", "%3B"].iter().filter_map(|mark| segment.find(mark)).chain(segment.find(';'));
    end.min().and_then(|end| segment.get(..end)).unwrap_or(segment)
}

fn check_encoding(raw: &str, hazards: &mut Hazards) -> Result<(), &'static str> {
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            continue;
        }
        let high = bytes.next().and_then(hex).ok_or("path with an invalid percent-encoding")?;
        let low = bytes.next().and_then(hex).ok_or("path with an invalid percent-encoding")?;
        match high * 16 + low {
            b'/' => hazards.encoded_slash = true,
            b';' => hazards.parameters = true,
            b'\\' => return Err("path with an encoded backslash"),
            0..0x20 | 0x7f => return Err("path with an encoded control character"),
            _ => {}
        }
    }
    let text = percent_decode(raw.as_bytes())
        .decode_utf8()
        .map_err(|_| "path with encoded bytes that are not UTF-8")?;
    // However its digits are written: what is left must not decode once more.
    if is_encoded(&text) {
        return Err("path that is encoded twice");
    }
    // U+0080 to U+009F are control characters too.
    if text.chars().any(char::is_control) {
        return Err("path with an encoded control character");
    }
    Ok(())
}

/// Whether something in it would be decoded: two hexadecimal digits after `%`, or four after `%u`,
/// which old Microsoft servers know.
pub fn is_encoded(text: &str) -> bool {
    let all_hex = |digits: Option<&[u8]>| {
        digits.is_some_and(|digits| digits.iter().all(|digit| hex(*digit).is_some()))
    };
    text.split('%').skip(1).map(str::as_bytes).any(|rest| match rest {
        [b'u' | b'U', wide @ ..] => all_hex(wide.get(..4)),
        _ => all_hex(rest.get(..2)),
    })
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &[u8]) -> Result<Vec<String>, &'static str> {
        let safe = SafePath::check(Some(path), false)?;
        Ok(safe.readings().map(|segments| segments.join("|")).collect())
    }

    #[test]
    fn reads_safe_paths() {
        let cases: [(&[u8], &[&str]); 22] = [
            (b"/", &[""]),
            (b"/a", &["a"]),
            (b"/a/", &["a"]),
            (b"/a/b?c=/../d", &["a|b"]),
            (b"/%61/%7Eb", &["a|~b"]),
            (b"/%40me/a%20b/%c3%a4", &["@me|a b|\u{e4}"]),
            (b"/100%25/a%25zz", &["100%|a%zz"]),
            (b"/a.b/...", &["a.b|..."]),
            (b"/a%2fb", &["a/b", "a|b"]),
            (b"/a;x/b", &["a;x|b", "a|b"]),
            (b"/a%3Bx/b", &["a;x|b", "a|b"]),
            (b"//a", &["|a", "a", "", ""]),
            (b"/a//", &["a|", "a"]),
            (b"/;x", &[";x", ""]),
            (b"/a/;x/b", &["a|;x|b", "a|;x|b", "a||b", "a|b"]),
            (b"/a%23x/b", &["a#x|b", "a"]),
            (b"/a%3fx/b", &["a?x|b", "a"]),
            (b"/%23x", &["#x", ""]),
            (b"/a%3fb%23c", &["a?b#c", "a", "a?b"]),
            (b"/%ef%bd%81/%ef%bc%9f", &["\u{ff41}|\u{ff1f}", "a|?", "a"]),
            (b"/100%ef%bc%85/%25u12", &["100\u{ff05}|%u12", "100%|%u12"]),
            (b"//h//a", &["|h||a", "h|a", "|a", "a"]),
        ];
        for (path, want) in cases {
            let got = read(path).unwrap();
            assert_eq!(got, want, "{}", String::from_utf8_lossy(path));
        }
    }

    #[test]
    fn refuses_ambiguous_paths() {
        let cases: [&[u8]; 40] = [
            b"",
            b"a",
            b"*",
            b"/.",
            b"/..",
            b"/a/../b",
            b"/a/./b",
            b"/%2e%2e/a",
            b"/.%2E/a",
            b"/a%2f..%2fb",
            b"/..;/a",
            b"/..;x=1/a",
            b"/..%3b/a",
            b"/%2e;/a",
            b"/a\\b",
            b"/a%5cb",
            b"/a%5Cb",
            b"/a%00b",
            b"/a%0d%0ab",
            b"/a%7f",
            b"/%252e",
            b"/%25%32%65",
            b"/a%252fb",
            b"/%",
            b"/%2",
            b"/%zz",
            b"/\xc3\xa4",
            b"/%c3",
            b"/%c0%ae",
            b"/%c2%80",
            b"/a#b",
            b"/%25u0061",
            b"/%25U002f",
            b"/a%ef%bc%8fb",
            b"/a%ef%bc%bcb",
            b"/a%ef%bc%9bb",
            b"/%ef%bc%8e%ef%bc%8e/b",
            b"/%ef%bc%8e./b",
            b"/%ef%bc%8561",
            b"/%ef%bc%85%ef%bc%96%ef%bc%91",
        ];
        for path in cases {
            assert!(read(path).is_err(), "{}", String::from_utf8_lossy(path));
        }
        assert!(SafePath::check(None, false).is_err());
    }

    #[test]
    fn folds_case_where_the_upstream_does() {
        let safe = SafePath::check(Some(b"/Logs/%41/%C3%84"), true).unwrap();
        assert_eq!(safe.plain()[..], ["logs", "a", "\u{e4}"]);
        let read = |path: &[u8]| -> Result<Vec<String>, &'static str> {
            let safe = SafePath::check(Some(path), true)?;
            Ok(safe.readings().map(|segments| segments.join("|")).collect())
        };
        let cases: [(&[u8], &[&str]); 8] = [
            (b"/A.b/C", &["a.b|c"]),
            (b"/Log%C5%BF", &["log\u{17f}", "logs"]),
            (b"/adm%C4%B1n", &["adm\u{131}n", "admin"]),
            (b"/%E2%84%AA", &["k"]),
            (b"/Admin./x%20", &["admin.|x ", "admin|x"]),
            (b"/a:b/c::$data", &["a:b|c::$data", "a:b|c"]),
            (b"/a:$i30:$x", &["a:$i30:$x", "a"]),
            (b"/.../a", &["...|a", "a"]),
        ];
        for (path, want) in cases {
            assert_eq!(read(path).unwrap(), want, "{}", String::from_utf8_lossy(path));
        }
    }

    #[test]
    fn refuses_to_read_a_long_path_in_many_ways() {
        let path = |end: &str| format!("/{}{end}", "a/".repeat(40_000)).into_bytes();
        assert!(SafePath::check(Some(&path("%41")), false).is_ok());
        assert!(SafePath::check(Some(&path("%23")), false).is_err());
    }
}
