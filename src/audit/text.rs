//! JSON that no text in it can break out of, and that holds no token.

use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write as _;

/// The longest text of one member, in bytes: a line stays bounded whatever a client sends.
const MAX_TEXT: usize = 2048;

/// Texts from this length on are looked at closely, in bytes.
const MAX_PLAIN: usize = 512;

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
    pub fn following(capacity: usize) -> Self {
        Self { begun: true, ..Self::new(capacity) }
    }

    /// Those that follow these.
    pub fn after(text: &str, capacity: usize) -> Self {
        let mut members = Self::following(capacity);
        members.push(text);
        members
    }

    /// Adds text as it is: members, each with a comma before it.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds a member whose value is JSON already.
    pub fn raw(&mut self, name: &str, json: &str) {
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
    pub fn into_text(self) -> String {
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
            self.text.push_str(&quote(&without_tokens(text)));
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
    let (any_odd, any_j) =
        text.bytes().fold((false, false), |(any, j), byte| (any | odd(byte), j | (byte == b'J')));
    text.len() < MAX_PLAIN && !any_odd && !(any_j && text.contains("eyJ"))
}

/// A text with every JSON Web Token in it cut out, wherever a client put one: `eyJ` is how base64url
/// of `{"` begins, and three segments make a token.
pub fn without_tokens(text: &str) -> Cow<'_, str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut out = String::new();
    let (mut rest, mut kept) = (text, text);
    // Run by run of what a token is made of, so that however often `eyJ` stands in it each byte is looked at a few times.
    while let Some((before, _)) = rest.split_once("eyJ") {
        let start = rest.get(before.len()..).unwrap_or_default();
        let (run, after) = start.split_at(start.find(|c| !inside(c)).unwrap_or(start.len()));
        // No later beginning in the run has more segments after it.
        if run.bytes().filter(|byte| *byte == b'.').count() >= 2 {
            let length = kept.len() - start.len();
            out.push_str(kept.get(..length).unwrap_or_default());
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
/// the direction of text around or takes no room.
pub fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
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
            // Writing to a String does not fail.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
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
        ];
        for (text, want) in cases {
            assert_eq!(without_tokens(text), want);
        }
    }

    #[test]
    fn what_looks_like_many_tokens_is_looked_at_once() {
        // Looked at from each beginning anew, this would take hours.
        let many = "eyJ".repeat(1_000_000);
        assert_eq!(without_tokens(&many), many);
        assert_eq!(without_tokens(&format!("{many}.a.b")), "[token]");
    }
}
