//! Replaces the keys of one key set in the text of a file. Comments, layout and every key that stays remain as they are
//! written; new keys are written in the style of those that are there.

use super::jwk;
use super::tree::{self, Kind, Node};
use crate::Failure;
use crate::yaml::quoted;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::ops::Range;

/// Where a key set stands.
pub struct At<'a> {
    /// Which document of the file.
    pub document: usize,
    /// The way to the configuration in it.
    pub inside: &'a [String],
    pub issuer: &'a str,
    /// Which of the issuer's sources.
    pub source: usize,
}

/// A key of the new set.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// The one at this place of the old set, as it is written.
    Keep(usize),
    /// Another one.
    Write(Value),
}

/// The text with other keys in the set.
pub fn replace(text: &str, at: &At<'_>, entries: &[Entry]) -> Result<String, Failure> {
    let documents = tree::documents(text)?;
    let mut node = documents.get(at.document).ok_or(ELSEWHERE)?;
    for name in at.inside {
        node = node.child(name).ok_or(ELSEWHERE)?;
    }
    if node.child("@type").is_some() {
        node = node.child("value").ok_or(ELSEWHERE)?;
    }
    let (range, new) = match &node.kind {
        // The configuration is itself the text of a document.
        Kind::Scalar { text: inner, block } => {
            let encoded = !inner.trim_start().starts_with('{');
            let inner = match encoded {
                true => decode(inner).ok_or(ELSEWHERE)?,
                false => inner.clone(),
            };
            let trees = tree::documents(&inner)?;
            let (range, keys) = keys(&inner, trees.first().ok_or(ELSEWHERE)?, at, entries)?;
            let inner = spliced(&inner, range, &keys);
            let shown = match encoded {
                true => quoted(&STANDARD.encode(inner).into()),
                false if *block => block_scalar(text, &node.span, &inner),
                false => quoted(&inner.into()),
            };
            (node.span.clone(), shown)
        }
        _ => keys(text, node, at, entries)?,
    };
    Ok(spliced(text, range, &new))
}

const ELSEWHERE: &str = "the key set is not written where it is used (a YAML alias or merge key leads to it): write \
                         `jwks: { keys: [...] }` there";

fn decode(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()
}

fn spliced(text: &str, range: Range<usize>, new: &str) -> String {
    let (before, after) = (text.get(..range.start), text.get(range.end..));
    [before.unwrap_or_default(), new, after.unwrap_or_default()].concat()
}

/// A text as a literal block scalar in place of another block scalar.
fn block_scalar(text: &str, old: &Range<usize>, inner: &str) -> String {
    let (header, body) = slice(text, old).split_once('\n').unwrap_or_default();
    let first = body.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let (indent, newline) = (indentation(first), newline(text));
    let lines = inner.trim_end().lines().map(|line| match line {
        "" => newline.to_owned(),
        line => format!("{newline}{indent}{line}"),
    });
    header.trim_end().replacen('>', "|", 1) + &lines.collect::<String>()
}

/// What the list of keys in a configuration is to be replaced by.
fn keys(
    text: &str,
    configuration: &Node,
    at: &At<'_>,
    entries: &[Entry],
) -> Result<(Range<usize>, String), Failure> {
    let source = at.source.to_string();
    let mut node = configuration;
    for name in ["issuers", at.issuer, "keys", &source, "jwks", "keys"] {
        node = node.child(name).ok_or(ELSEWHERE)?;
    }
    match &node.kind {
        Kind::List { flow: true, items } => {
            Ok((node.span.clone(), flow_list(text, node, items, entries)))
        }
        Kind::List { flow: false, items } => block_list(text, node, items, entries),
        _ => Err(ELSEWHERE.to_owned()),
    }
}

/// `[...]`, on one line or several.
fn flow_list(text: &str, list: &Node, items: &[Node], entries: &[Entry]) -> String {
    let between = |start: usize, end: usize| slice(text, &(start..end));
    let (Some(first), Some(last)) = (items.first(), items.last()) else {
        let new = entries.iter().map(|entry| written(text, items, entry));
        return format!("[{}]", new.collect::<Vec<_>>().join(", "));
    };
    let (start, end) = (list.span.start + 1, list.span.end.saturating_sub(1));
    let before = between(start, first.span.start);
    let usual = match before.rsplit_once('\n') {
        Some((_, indent)) => format!(",{}{indent}", newline(text)),
        None => ", ".to_owned(),
    };
    let mut new = format!("[{before}");
    for (index, entry) in entries.iter().enumerate() {
        let previous = index.checked_sub(1).and_then(|previous| entries.get(previous));
        match (previous, entry) {
            (None, _) => {}
            // What stood between two that stay, comments included.
            (Some(Entry::Keep(a)), Entry::Keep(b)) if a + 1 == *b => {
                let (a, b) = (items.get(*a), items.get(*b));
                new += a.zip(b).map_or("", |(a, b)| between(a.span.end, b.span.start));
            }
            (Some(_), _) => new += &usual,
        }
        new += &written(text, items, entry);
    }
    new + between(last.span.end, end) + "]"
}

/// A key in a flow list.
fn written(text: &str, items: &[Node], entry: &Entry) -> String {
    match entry {
        Entry::Keep(index) => items.get(*index).map_or("", |item| slice(text, &item.span)).into(),
        Entry::Write(key) => flow(key),
    }
}

/// `- ...`, whole lines: each with the comment lines above it, and the first one's stay above whichever is first.
fn block_list(
    text: &str,
    list: &Node,
    items: &[Node],
    entries: &[Entry],
) -> Result<(Range<usize>, String), Failure> {
    let before = text.get(..list.span.start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = slice(text, &(line_start..list.span.start));
    let indent = indentation(line);
    let (Some(first), true) = (items.first(), line.trim_start().starts_with('-')) else {
        return Err(ELSEWHERE.to_owned());
    };
    let mut lines: Vec<Range<usize>> = Vec::new();
    for item in items {
        let rest = text.get(item.span.end..).unwrap_or_default();
        let end = item.span.end + rest.find('\n').unwrap_or(rest.len());
        let start = lines.last().map_or(line_start, |last| last.end + 1);
        lines.push(start..end);
    }
    let as_lines = matches!(first.kind, Kind::Map { flow: false, .. });
    let new: Vec<String> = entries
        .iter()
        .map(|entry| match entry {
            Entry::Keep(index) => {
                lines.get(*index).map_or("", |range| slice(text, range)).trim_end().into()
            }
            Entry::Write(key) if as_lines => {
                let joint = format!("{}{indent}  ", newline(text));
                format!("{indent}- {}", members(key).collect::<Vec<_>>().join(&joint))
            }
            Entry::Write(key) => format!("{indent}- {}", flow(key)),
        })
        .collect();
    let end = lines.last().map_or(line_start, |range| range.end);
    // The line break stays, and so does what is before it on Windows.
    let end = line_start + slice(text, &(line_start..end)).trim_end().len();
    Ok((line_start..end, new.join(newline(text))))
}

/// A key on one line, which is JSON as well as YAML.
pub fn flow(key: &Value) -> String {
    let members: Vec<String> =
        ordered(key).map(|(name, value)| format!("\"{name}\": {}", quoted(value))).collect();
    format!("{{ {} }}", members.join(", "))
}

/// The members of a key, a line each. Values are quoted, or some would be numbers.
fn members(key: &Value) -> impl Iterator<Item = String> {
    ordered(key).map(|(name, value)| format!("{name}: {}", quoted(value)))
}

fn ordered(key: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    jwk::MEMBERS.into_iter().filter_map(|name| Some((name, key.get(name)?)))
}

fn slice<'t>(text: &'t str, range: &Range<usize>) -> &'t str {
    text.get(range.clone()).unwrap_or_default()
}

fn indentation(line: &str) -> &str {
    line.get(..line.len() - line.trim_start().len()).unwrap_or_default()
}

fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NEW: &str = r#"{ "kty": "OKP", "crv": "Ed25519", "kid": "n", "x": "1e5" }"#;

    fn new() -> Entry {
        Entry::Write(json!({"x": "1e5", "kid": "n", "kty": "OKP", "crv": "Ed25519"}))
    }

    fn edited(text: &str, inside: &[&str], entries: &[Entry]) -> Result<String, Failure> {
        let inside: Vec<String> = inside.iter().map(|name| (*name).to_owned()).collect();
        replace(text, &At { document: 0, inside: &inside, issuer: "i", source: 0 }, entries)
    }

    #[test]
    fn edits_lists_on_lines() {
        let before = "# head\nissuers:\n  i:\n    keys: # sources\n      - jwks:\n          keys: # the set\n";
        let (a, b) = (
            "            # the first\n            - kty: OKP # a\n              kid: a\n",
            "            # the second\n            - { kty: OKP, kid: b } # b\n",
        );
        let after = "          # after\n    audiences: [x] # y\n# end\nroutes: []\n";
        let text = format!("{before}{a}{b}{after}");
        let lines = "            - kty: \"OKP\"\n              crv: \"Ed25519\"\n              kid: \"n\"\n              x: \"1e5\"\n";
        let first = "            - kty: OKP # a\n              kid: a\n";
        let cases = [
            (vec![Entry::Keep(0), Entry::Keep(1)], text.clone()),
            (vec![Entry::Keep(0), Entry::Keep(1), new()], format!("{before}{a}{b}{lines}{after}")),
            (vec![Entry::Keep(0), new()], format!("{before}{a}{lines}{after}")),
            (vec![new()], format!("{before}            # the first\n{lines}{after}")),
            (vec![Entry::Keep(1)], format!("{before}            # the first\n{b}{after}")),
            (vec![Entry::Keep(0)], format!("{before}            # the first\n{first}{after}")),
        ];
        for (entries, want) in cases {
            assert_eq!(edited(&text, &[], &entries).unwrap(), want, "{entries:?}");
            let crlf = |text: &str| text.replace('\n', "\r\n");
            assert_eq!(edited(&crlf(&text), &[], &entries).unwrap(), crlf(&want), "{entries:?}");
        }
        // Not indented, each key on a line, and the end of the file.
        let text = "issuers:\n  i:\n    keys:\n    - jwks:\n        keys:\n        - {kid: a}";
        let want = format!("{text}\n        - {NEW}");
        assert_eq!(edited(text, &[], &[Entry::Keep(0), new()]).unwrap(), want);
    }

    #[test]
    fn edits_lists_in_brackets() {
        let cases = [
            ("{ keys: [] }", vec![new()], format!("{{ keys: [{NEW}] }}")),
            (
                "{keys: [{kid: a}, {kid: b}]}",
                vec![Entry::Keep(1), new()],
                format!("{{keys: [{{kid: b}}, {NEW}]}}"),
            ),
            (
                "{keys: [ # all\n     {kid: a}, # a\n     {kid: b}, # b\n   ]}",
                vec![Entry::Keep(0), Entry::Keep(1), new()],
                format!(
                    "{{keys: [ # all\n     {{kid: a}}, # a\n     {{kid: b}},\n     {NEW}, # b\n   ]}}"
                ),
            ),
        ];
        for (set, entries, want) in cases {
            let text = |set: &str| format!("issuers: {{i: {{keys: [{{jwks: {set}}}]}}}} # c\n");
            assert_eq!(edited(&text(set), &[], &entries).unwrap(), text(&want));
        }
    }

    #[test]
    fn edits_a_configuration_that_is_text() {
        let json = |keys: &str| {
            format!(
                "{{\"issuers\": {{\"i\": {{\"keys\": [{{\"jwks\": {{\"keys\": [{keys}]}}}}]}}}}}}"
            )
        };
        let (old, want) = (json("{\"kid\": \"a\"}"), json(NEW));
        let any =
            |value: &str| format!("c:\n  '@type': t/StringValue\n  value: {value}\nd: 1 # e\n");
        let cases = [
            (Value::from(old.as_str()).to_string(), Value::from(want.as_str()).to_string()),
            (format!("'{old}'"), Value::from(want.as_str()).to_string()),
            (STANDARD.encode(&old), format!("\"{}\"", STANDARD.encode(&want))),
            (format!("|\n    {old}"), format!("|\n    {want}")),
            (format!(">-\n     {old}"), format!("|-\n     {want}")),
        ];
        for (old, want) in cases {
            assert_eq!(edited(&any(&old), &["c"], &[new()]).unwrap(), any(&want));
        }
    }

    #[test]
    fn leaves_what_stands_elsewhere() {
        for text in [
            "x-k: &k {keys: [{kid: a}]}\nissuers: {i: {keys: [{jwks: *k}]}}\n",
            "x-i: &i {keys: [{jwks: {keys: []}}]}\nissuers: {i: {<<: *i}}\n",
            "issuers: {i: {keys: [{jwks: {keys: }}]}}\n",
            "issuers: {}\n",
        ] {
            assert!(edited(text, &[], &[new()]).is_err(), "{text}");
        }
    }

    #[test]
    fn writes_what_every_reader_of_yaml_reads_alike() {
        let odd = "a\u{7f}\u{85}\u{2028}\u{feff}\"\\";
        let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": odd, "x": "1"});
        for text in [
            "issuers: {i: {keys: [{jwks: {keys: []}}]}}",
            "issuers:\n  i:\n    keys:\n    - jwks:\n        keys:\n        - kid: a\n",
        ] {
            let new = edited(text, &[], &[Entry::Write(key.clone())]).unwrap();
            assert!(new.is_ascii() && !new.contains('\u{7f}'), "{new:?}");
            let read: Value = serde_saphyr::from_str(&new).unwrap();
            assert_eq!(read["issuers"]["i"]["keys"][0]["jwks"]["keys"][0]["kid"], odd);
        }
    }
}
