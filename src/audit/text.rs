//! JSON that no text in it can break out of, and that holds no token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write as _;

/// The longest text of one member, in bytes: a line stays bounded whatever a client sends.
const MAX_TEXT: usize = 2048;

/// Texts from this length on are looked at closely, in bytes.
const MAX_PLAIN: usize = 512;

/// Shorter texts hold no token whose signature could be one.
const MIN_TOKEN: usize = 40;

/// How deep a value may nest; what nests deeper is cut.
const MAX_DEPTH: usize = 8;

/// The members of a JSON object that is being written.
#[derive(Clone, Debug)]
pub struct Members {
    text: String,
    /// Whether others stand before the next one.
    begun: bool,
}

impl Members {
    /// Those of an object of their own.
    pub fn new(capacity: usize) -> Self {
        Self { text: String::with_capacity(capacity), begun: false }
    }

    /// Those that follow others, which stand elsewhere.
    pub(super) fn following(capacity: usize) -> Self {
        Self { begun: true, ..Self::new(capacity) }
    }

    /// Those that follow these.
    pub(super) fn after(text: &str, capacity: usize) -> Self {
        let mut members = Self::following(capacity);
        members.push(text);
        members
    }

    /// Adds text as it is: members, each with a comma before it.
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds a member whose value is JSON already.
    pub(super) fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.text.push_str(json);
    }

    /// Adds a number.
    pub fn number(&mut self, name: &str, value: u64) {
        let mut buffer = itoa::Buffer::new();
        self.raw(name, buffer.format(value));
    }

    /// Adds a text.
    pub fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.string(text);
    }

    /// Adds a text, if there is one.
    pub fn option(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// Adds the text that bytes are.
    pub fn bytes(&mut self, name: &str, bytes: Option<&[u8]>) {
        if let Some(bytes) = bytes {
            self.text(name, &String::from_utf8_lossy(bytes));
        }
    }

    /// Adds a value, bounded as a text is: of one that is longer, its beginning as a text.
    pub fn value(&mut self, name: &str, value: &Value) {
        match value {
            Value::String(text) => self.text(name, text),
            Value::Null | Value::Bool(_) | Value::Number(_) => self.raw(name, &value.to_string()),
            Value::Array(_) | Value::Object(_) => {
                let mut inner = Self::new(64);
                inner.nested(value, 0);
                if inner.text.len() <= MAX_TEXT {
                    self.raw(name, &inner.text);
                } else {
                    self.text(name, &value.to_string());
                }
            }
        }
    }

    /// Adds a value under a name that is the operator's, not the schema's.
    pub fn value_of_any_name(&mut self, name: &str, value: &Value) {
        let quoted = quote(name);
        let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        self.value(inside.unwrap_or_default(), value);
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The object, closed.
    pub fn close(mut self) -> String {
        self.text.push_str(if self.begun { "}" } else { "{}" });
        self.text
    }

    /// The text so far.
    pub(super) fn so_far(&self) -> &str {
        &self.text
    }

    /// The text so far.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn name(&mut self, name: &str) {
        self.text.push_str(if self.begun { ",\"" } else { "{\"" });
        self.begun = true;
        self.text.push_str(name);
        self.text.push_str("\":");
    }

    fn string(&mut self, text: &str) {
        if is_plain(text) {
            self.text.push('"');
            self.text.push_str(text);
            self.text.push('"');
        } else {
            self.text.push_str(&quote(&discreet(text)));
        }
    }

    fn nested(&mut self, value: &Value, depth: usize) {
        match value {
            Value::String(text) => self.string(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                self.text.push_str(&value.to_string())
            }
            _ if depth == MAX_DEPTH => self.text.push_str("\"\u{2026}\""),
            Value::Array(items) => {
                self.text.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.text.push_str(if index == 0 { "" } else { "," });
                    self.nested(item, depth + 1);
                }
                self.text.push(']');
            }
            Value::Object(members) => {
                self.text.push('{');
                for (index, (name, item)) in members.iter().enumerate() {
                    self.text.push_str(if index == 0 { "" } else { "," });
                    self.string(name);
                    self.text.push(':');
                    self.nested(item, depth + 1);
                }
                self.text.push('}');
            }
        }
    }
}

/// Whether a text stands in JSON as it is, and holds no token: the usual one.
fn is_plain(text: &str) -> bool {
    // Without a branch a byte, so that all of it is looked at as fast as may be.
    let odd = |byte: u8| !(b' '..=b'~').contains(&byte) | (byte == b'"') | (byte == b'\\');
    let (any_odd, dots) = text.bytes().fold((false, 0_u32), |(any, dots), byte| {
        (any | odd(byte), dots + u32::from((byte == b'.') | (byte == b'%')))
    });
    !any_odd
        && text.len() < MAX_PLAIN
        && (dots == 0 || (dots == 1 && !text.contains('%')) || text.len() < MIN_TOKEN)
}

/// What a client could have written a token in: percent-encoding is undone where a token comes out.
fn discreet(text: &str) -> Cow<'_, str> {
    let cut = without_tokens(text);
    if cut.contains('%') {
        let decoded = percent_decode_str(&cut).decode_utf8_lossy();
        if let Cow::Owned(shown) = without_tokens(&decoded) {
            return Cow::Owned(shown);
        }
    }
    cut
}

/// A text with every JSON Web Token in it cut out, wherever a client put one: segments between dots, of which the first is
/// base64url of a JSON object, or holds how that mostly begins, and two more follow.
pub fn without_tokens(text: &str) -> Cow<'_, str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut out = String::new();
    let (mut rest, mut kept) = (text, text);
    // Run by run of what a token is made of, so that each byte is looked at a few times, whatever a client sends.
    while let Some(start) = rest.find(inside) {
        let run = rest.get(start..).unwrap_or_default();
        let (run, after) = run.split_at(run.find(|c| !inside(c)).unwrap_or(run.len()));
        if let Some(at) = token(run) {
            let before = kept.len() - after.len() - run.len() + at;
            out.push_str(kept.get(..before).unwrap_or_default());
            out.push_str("[token]");
            kept = after;
        }
        rest = after;
    }
    if kept.len() == text.len() {
        return Cow::Borrowed(text);
    }
    out.push_str(kept);
    Cow::Owned(out)
}

/// Where a token begins in a run of its characters.
fn token(run: &str) -> Option<usize> {
    let ends: Vec<usize> = memchr::memchr_iter(b'.', run.as_bytes()).collect();
    // Two dots follow what may be its header.
    let last = *ends.get(ends.len().checked_sub(2)?)?;
    let begins = ends.iter().map(|end| end + 1).take(ends.len() - 2);
    let whole = std::iter::once(0)
        .chain(begins)
        .zip(&ends)
        .find(|(begin, end)| run.get(*begin..**end).is_some_and(is_header));
    let within = run.get(..last).and_then(|heads| heads.find("eyJ"));
    match (whole.map(|(begin, _)| begin), within) {
        (Some(whole), Some(within)) => Some(whole.min(within)),
        (whole, within) => whole.or(within),
    }
}

/// Whether this is base64url of what begins as a JSON object, with white space before it or not.
fn is_header(segment: &str) -> bool {
    // As many whole groups as there are: the end is of no interest.
    let groups = segment.get(..segment.len() / 4 * 4).unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(groups).unwrap_or_default();
    let object = bytes.trim_ascii_start();
    object.first() == Some(&b'{')
        && matches!(
            object.get(1..).unwrap_or_default().trim_ascii_start().first(),
            None | Some(b'"')
        )
}

/// A JSON string that no reader of a log can take for something else. A text that is cut ends in an ellipsis.
fn quote(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return without_misleading(Value::from(text).to_string());
    }
    let end = (0..=MAX_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let mut json = Value::from(text.get(..end).unwrap_or_default()).to_string();
    json.pop();
    json.push_str("\u{2026}\"");
    without_misleading(json)
}

/// Whether a terminal or a reader takes this character for something other than text: controls, line ends, and what turns
/// the direction of text around or cannot be seen (Unicode's default ignorable code points, but for those of emoji).
pub fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}')
        || matches!(c, '\u{115f}'..='\u{1160}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The same JSON, on one line, with nothing in it that [`misleads`]: what JSON leaves as it is of these stands within its
/// strings only, where an escape says the same.
pub fn without_misleading(json: String) -> String {
    if !json.contains(misleads) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if misleads(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String does not fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_forge_a_line() {
        let cases = [
            ("plain", r#""plain""#.to_owned()),
            ("a\"b\\c", r#""a\"b\\c""#.to_owned()),
            ("a\r\nclaimgate_audit {}", r#""a\r\nclaimgate_audit {}""#.to_owned()),
            ("\u{1b}[2J\u{7f}\u{9b}\u{2028}", r#""\u001b[2J\u007f\u009b\u2028""#.to_owned()),
            ("a\u{202e}b\u{200b}", r#""a\u202eb\u200b""#.to_owned()),
            ("\u{e0041}\u{61c}", r#""\udb40\udc41\u061c""#.to_owned()),
            (&"\u{e4}".repeat(2000), format!("\"{}\u{2026}\"", "\u{e4}".repeat(1024))),
        ];
        for (text, want) in cases {
            assert_eq!(quote(text), want);
        }
    }

    #[test]
    fn cuts_tokens_out() {
        let cases = [
            ("curl/8.0", "curl/8.0"),
            ("", ""),
            ("Bearer eyJh.eyJi.c-_9, x", "Bearer [token], x"),
            ("eyJh.eyJi.", "[token]"),
            ("/a/eyJh/eyJi.x", "/a/eyJh/eyJi.x"),
            ("eyJeyJa.b.c", "[token]"),
            ("eyJa.b eyJa.b.c/eyJ eyJ.eyJ.eyJ", "eyJa.b [token]/eyJ [token]"),
            ("\u{e4}eyJa.b.c\u{e4}", "\u{e4}[token]\u{e4}"),
            (
                "www.logs.example.com 10.0.0.1 v1.2.3-rc.4",
                "www.logs.example.com 10.0.0.1 v1.2.3-rc.4",
            ),
            // ` {"alg":"HS256"}`, `{ "alg":"HS256"}`, `\n{"alg":"HS256"}`, and `{"alg":"HS256"}` after other segments.
            ("x IHsiYWxnIjoiSFMyNTYifQ.e30.c2ln x", "x [token] x"),
            ("eyAiYWxnIjoiSFMyNTYifQ.e30.", "[token]"),
            ("/CnsiYWxnIjoiSFMyNTYifQ.e30.c2ln", "/[token]"),
            ("a.b.eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "a.b.[token]"),
            ("a.IHsiYWxnIjoiSFMyNTYifQ.e30.c2ln", "a.[token]"),
        ];
        for (text, want) in cases {
            assert_eq!(without_tokens(text), want);
        }
    }

    #[test]
    fn undoes_percent_encoding_where_a_token_comes_out() {
        let cases = [
            ("/a%20b.c.d%2Fe", "/a%20b.c.d%2Fe"),
            ("/x/eyJhbGciOiJIUzI1NiJ9%2Ee30%2Ec2lnc2ln?y", "/x/[token]?y"),
            ("/x/e%79JhbGciOiJIUzI1NiJ9.e30.c2lnc2lnc2ln", "/x/[token]"),
            ("/%65yJhbGciOiJIUzI1NiJ9.e30.c2lnc2ln%0Aclaimgate_audit", "/[token]\nclaimgate_audit"),
        ];
        for (text, want) in cases {
            assert_eq!(discreet(text), want);
            let mut members = Members::new(64);
            members.text("a", text);
            let read: Value = serde_json::from_str(&members.close()).unwrap();
            assert_eq!(read["a"], want);
        }
    }

    #[test]
    fn what_looks_like_many_tokens_is_looked_at_once() {
        // Looked at from each beginning anew, this would take hours.
        let many = "eyJ".repeat(1_000_000);
        assert_eq!(without_tokens(&many), many);
        assert_eq!(without_tokens(&format!("{many}.a.b")), "[token]");
        let dots = "IHsi.".repeat(500_000);
        assert_eq!(without_tokens(&dots), "[token]");
        let dots = "a.".repeat(1_000_000);
        assert_eq!(without_tokens(&dots), dots);
    }
}
