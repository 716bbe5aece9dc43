//! What common servers make of a request target: each model gives every path that such a server could act on.
//!
//! They are written apart from the filter's own code, lenient where servers are: what cannot be decoded stays as it is.

use std::borrow::Cow;

/// Turns a path into what the next step sees.
type Step = fn(Vec<u8>) -> Vec<u8>;

/// A family of servers.
pub struct Model {
    /// What it is called in a failure.
    pub name: &'static str,
    /// Whether it is run against the policy for upstreams that fold case only.
    pub folds: bool,
    steps: &'static [Step],
}

/// Every model. The query is cut off before the first step, as all servers do.
#[rustfmt::skip]
pub const MODELS: &[Model] = &[
    plain("verbatim", &[]),
    plain("decodes, no more", &[decode]),
    plain("nginx", &[fragment, decode, merge, dots]),
    plain("nginx, merge_slashes off", &[fragment, decode, dots]),
    plain("Tomcat", &[parameters, decode, merge, dots]),
    plain("Jetty, dots before decoding", &[parameters, dots, decode]),
    plain("Undertow, parameters after decoding", &[decode, parameters, merge, dots]),
    plain("parameters last", &[decode, merge, dots, parameters]),
    plain("parameters end the path", &[rest_as_parameters, decode, merge, dots]),
    plain("Apache and CGI, AllowEncodedSlashes on", &[decode, dots, merge]),
    plain("Apache, a decoded `?` ends the path", &[decode, question, merge, dots]),
    plain("Spring, suffix pattern of parameters", &[parameters, decode, merge, dots, slash]),
    plain("Go, path.Clean", &[decode, merge, dots, slash]),
    plain("Go, encoded path", &[merge, dots, decode]),
    plain("decodes twice", &[decode, decode, merge, dots]),
    plain("decodes three times", &[decode, decode, decode, merge, dots]),
    plain("decodes and forwards", &[decode, question, fragment, decode, merge, dots]),
    plain("backslashes are slashes", &[backslash, decode, backslash, merge, dots]),
    plain("decodes %u twice", &[decode_u, decode_u, backslash, merge, dots]),
    plain("ends at NUL", &[decode, nul, merge, dots]),
    plain("ends at a decoded `#`", &[decode, fragment, merge, dots]),
    plain("drops control characters", &[decode, without_controls, backslash, merge, dots]),
    plain("overlong UTF-8", &[decode, overlong, backslash, merge, dots]),
    plain("fullwidth forms are ASCII", &[decode_u, fullwidth, backslash, merge, dots, parameters, question, fragment]),
    plain("fullwidth forms, then decoded", &[decode, fullwidth, decode, merge, dots]),
    plain("URL parser", &[without_controls, fragment, backslash, network, merge, dots, decode]),
    plain("URL parser of the decoded", &[decode, fragment, network, merge, dots]),
    folding("Express", &[lower]),
    folding("Express behind a decoder", &[decode, lower, merge, dots]),
    folding("IIS", &[backslash, decode, backslash, merge, dots, lower]),
    folding("IIS, decodes twice", &[decode_u, decode_u, backslash, merge, dots, lower]),
    folding("Windows files", &[decode, backslash, merge, dots, windows, lower]),
    folding("compares in lower case", &[decode, merge, dots, lower_unicode]),
    folding("compares in upper case", &[decode, merge, dots, upper_unicode, lower]),
];

/// Matches `/admin.json` as `/admin` too: a policy for such a server has to name the suffixes.
pub const SUFFIXES: &[Model] =
    &[plain("Spring, suffix pattern", &[parameters, decode, merge, dots, slash, suffix])];

const fn plain(name: &'static str, steps: &'static [Step]) -> Model {
    Model { name, folds: false, steps }
}

const fn folding(name: &'static str, steps: &'static [Step]) -> Model {
    Model { name, folds: true, steps }
}

impl Model {
    /// The path that it acts on where the target is this.
    pub fn path(&self, target: &[u8]) -> Vec<u8> {
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        self.steps.iter().fold(path.to_vec(), |path, step| step(path))
    }

    /// The path that it acts on, if that is a protected one: `/admin`, `/logs/{env}`, or beneath.
    pub fn protected(&self, target: &[u8]) -> Option<String> {
        let path = self.path(target);
        let mut segments = path.split(|byte| *byte == b'/').skip(1);
        let protected = match segments.next() {
            Some(b"admin") => true,
            Some(b"logs") => segments.next().is_some_and(|env| !env.is_empty()),
            _ => false,
        };
        (protected && path.starts_with(b"/")).then(|| path.escape_ascii().to_string())
    }
}

fn cut_at(mut path: Vec<u8>, end: u8) -> Vec<u8> {
    path.truncate(path.iter().position(|byte| *byte == end).unwrap_or(path.len()));
    path
}

fn fragment(path: Vec<u8>) -> Vec<u8> {
    cut_at(path, b'#')
}

fn question(path: Vec<u8>) -> Vec<u8> {
    cut_at(path, b'?')
}

fn nul(path: Vec<u8>) -> Vec<u8> {
    cut_at(path, 0)
}

fn rest_as_parameters(path: Vec<u8>) -> Vec<u8> {
    cut_at(path, b';')
}

fn digits(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    text.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(text, 16).ok())?
}

fn decode(path: Vec<u8>) -> Vec<u8> {
    decode_with(&path, false)
}

/// With the `%uXXXX` of old Microsoft servers.
fn decode_u(path: Vec<u8>) -> Vec<u8> {
    decode_with(&path, true)
}

fn decode_with(path: &[u8], wide: bool) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(byte) = path.get(at) {
        let narrow = || path.get(at + 1..at + 3).and_then(digits);
        let long = || path.get(at + 2..at + 6).and_then(digits).and_then(char::from_u32);
        if *byte == b'%'
            && let Some(value) = narrow()
        {
            decoded.push(value as u8);
            at += 3;
        } else if wide
            && *byte == b'%'
            && path.get(at + 1).is_some_and(|u| u.eq_ignore_ascii_case(&b'u'))
            && let Some(character) = long()
        {
            decoded.extend(character.to_string().bytes());
            at += 6;
        } else {
            decoded.push(*byte);
            at += 1;
        }
    }
    decoded
}

fn backslash(path: Vec<u8>) -> Vec<u8> {
    path.into_iter().map(|byte| if byte == b'\\' { b'/' } else { byte }).collect()
}

fn without_controls(mut path: Vec<u8>) -> Vec<u8> {
    path.retain(|byte| !byte.is_ascii_control());
    path
}

fn lower(path: Vec<u8>) -> Vec<u8> {
    path.to_ascii_lowercase()
}

fn lower_unicode(path: Vec<u8>) -> Vec<u8> {
    String::from_utf8_lossy(&path).to_lowercase().into_bytes()
}

fn upper_unicode(path: Vec<u8>) -> Vec<u8> {
    String::from_utf8_lossy(&path).to_uppercase().into_bytes()
}

/// A final slash makes no difference.
fn slash(mut path: Vec<u8>) -> Vec<u8> {
    if path.len() > 1 && path.ends_with(b"/") {
        path.pop();
    }
    path
}

fn segments(path: &[u8], change: impl Fn(&[u8]) -> &[u8]) -> Vec<u8> {
    path.split(|byte| *byte == b'/').map(change).collect::<Vec<_>>().join(&b'/')
}

fn parameters(path: Vec<u8>) -> Vec<u8> {
    segments(&path, |segment| segment.split(|byte| *byte == b';').next().unwrap_or_default())
}

/// Windows drops final dots and spaces of a name, and a type of stream that every file has.
fn windows(path: Vec<u8>) -> Vec<u8> {
    segments(&path, |segment| {
        let start = segment.windows(2).position(|pair| pair == b":$");
        let name = &segment[..start.unwrap_or(segment.len())];
        let name = if start.is_some() { name.strip_suffix(b":").unwrap_or(name) } else { name };
        let end = name.iter().rposition(|byte| !matches!(byte, b'.' | b' ')).map_or(0, |at| at + 1);
        &name[..end]
    })
}

/// The last segment without its suffix.
fn suffix(mut path: Vec<u8>) -> Vec<u8> {
    let start = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    if let Some(dot) = path[start..].iter().rposition(|byte| *byte == b'.') {
        path.truncate(start + dot);
    }
    path
}

fn merge(mut path: Vec<u8>) -> Vec<u8> {
    path.dedup_by(|next, last| *next == b'/' && *last == b'/');
    path
}

/// RFC 3986 section 5.2.4; dots count encoded once too, as the URL standard has it.
fn dots(path: Vec<u8>) -> Vec<u8> {
    let Some(inside) = path.strip_prefix(b"/") else { return path };
    let parts: Vec<&[u8]> = inside.split(|byte| *byte == b'/').collect();
    let mut kept: Vec<&[u8]> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let last = index + 1 == parts.len();
        let plain = part.to_ascii_lowercase();
        let plain = String::from_utf8_lossy(&plain).replace("%2e", ".");
        match plain.as_str() {
            ".." => drop(kept.pop()),
            "." => {}
            _ => {
                kept.push(part);
                continue;
            }
        }
        if last {
            kept.push(b"");
        }
    }
    [b"/", &kept.join(&b'/')[..]].concat()
}

/// `//host/path` names a host, to what reads the target as a reference.
fn network(path: Vec<u8>) -> Vec<u8> {
    let start = path.iter().take_while(|byte| **byte == b'/').count();
    if start < 2 {
        return path;
    }
    let end = path[start..].iter().position(|byte| *byte == b'/');
    end.map_or_else(|| b"/".to_vec(), |end| path[start + end..].to_vec())
}

/// Takes a lead byte's bits and the low six of what follows it, as careless decoders do.
fn overlong(path: Vec<u8>) -> Vec<u8> {
    let low = |byte: u8| u32::from(byte & 0x3f);
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = &path[..];
    while let Some((first, _)) = rest.split_first() {
        let (value, taken) = match rest {
            [0xc0..=0xdf, a, ..] => (u32::from(first & 0x1f) << 6 | low(*a), 2),
            [0xe0..=0xef, a, b, ..] => (u32::from(first & 0xf) << 12 | low(*a) << 6 | low(*b), 3),
            [0xf0..=0xf7, a, b, c, ..] => {
                (u32::from(first & 7) << 18 | low(*a) << 12 | low(*b) << 6 | low(*c), 4)
            }
            _ => (u32::from(*first), 1),
        };
        match u8::try_from(value).ok().filter(u8::is_ascii) {
            Some(ascii) => decoded.push(ascii),
            None => decoded.extend(&rest[..taken]),
        }
        rest = &rest[taken..];
    }
    decoded
}

fn fullwidth(path: Vec<u8>) -> Vec<u8> {
    let text: Cow<'_, str> = String::from_utf8_lossy(&path);
    let narrow = |character| match character {
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(u32::from(character) - 0xfee0).unwrap_or(character)
        }
        other => other,
    };
    text.chars().map(narrow).collect::<String>().into_bytes()
}

#[test]
fn the_models_read_as_their_servers_do() {
    let cases: [(&str, &[u8], &str); 27] = [
        ("verbatim", b"/a/../b?/c", "/a/../b"),
        ("nginx", b"/a//%2e%2e%2fadmin#x", "/admin"),
        ("Tomcat", b"/a;x=/b/..;y/%61dmin", "/a/admin"),
        ("Jetty, dots before decoding", b"/a/..;/b%2fc", "/b/c"),
        ("Undertow, parameters after decoding", b"/a%3bx/b", "/a/b"),
        ("parameters end the path", b"/a;x/b", "/a"),
        ("Apache, a decoded `?` ends the path", b"/admin%3fx/y", "/admin"),
        ("Go, path.Clean", b"/a/./b//c/..", "/a/b"),
        ("Go, encoded path", b"/a/%2e%2e/b%2fc", "/b/c"),
        ("decodes twice", b"/%2561dmin/%252e%252e", "/"),
        ("decodes three times", b"/%252561", "/a"),
        ("decodes and forwards", b"/a%3f%2561", "/a"),
        ("backslashes are slashes", b"/a\\..%5cb", "/b"),
        ("decodes %u twice", b"/%25u0061%u002fb", "/a/b"),
        ("ends at NUL", b"/a%00/b", "/a"),
        ("ends at a decoded `#`", b"/a%23/b", "/a"),
        ("drops control characters", b"/a%0db/.%09./c", "/c"),
        ("overlong UTF-8", b"/a%c0%af%e0%80%ae./b", "/b"),
        ("fullwidth forms are ASCII", b"/%ef%bd%81%ef%bc%8fb", "/a/b"),
        ("fullwidth forms, then decoded", "/％61".as_bytes(), "/a"),
        ("URL parser", b"//host/%2e/a\\b", "/a/b"),
        ("URL parser of the decoded", b"/%2fhost/a", "/a"),
        ("Express", b"/Admin/%41", "/admin/%41"),
        ("IIS", b"/x\\..\\ADMIN", "/admin"),
        ("Windows files", b"/Admin.%20/b::$data", "/admin/b"),
        ("compares in lower case", "/\u{212a}".as_bytes(), "/k"),
        ("compares in upper case", "/log\u{17f}/adm\u{131}n".as_bytes(), "/logs/admin"),
    ];
    for (name, target, want) in cases {
        let model = MODELS.iter().find(|model| model.name == name).unwrap();
        let got = model.path(target).escape_ascii().to_string();
        assert_eq!(got, want, "{name}: {}", target.escape_ascii());
    }
    assert_eq!(SUFFIXES[0].path(b"/a/b.json"), b"/a/b");
}
