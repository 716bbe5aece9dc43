//! The text of a YAML or JSON file as a tree whose nodes know where they stand, so that one of them can be replaced and
//! all else left as it is written.

use crate::Failure;
use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};
use std::ops::Range;

/// A value and the bytes of the text that it takes.
pub struct Node {
    /// Up to the last byte of its content: no comment, and no line break after it. A list on lines begins behind its
    /// first dash.
    pub span: Range<usize>,
    pub kind: Kind,
}

pub enum Kind {
    Map {
        flow: bool,
        members: Vec<(Node, Node)>,
    },
    List {
        flow: bool,
        items: Vec<Node>,
    },
    Scalar {
        text: String,
        block: bool,
    },
    /// `*name`: what it stands for is written elsewhere.
    Alias,
}

impl Node {
    /// The member of this name of a map, or the element of this index of a list.
    pub fn child(&self, name: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Map { members, .. } => {
                let named =
                    |key: &Self| matches!(&key.kind, Kind::Scalar { text, .. } if text == name);
                members.iter().find(|(key, _)| named(key)).map(|(_, value)| value)
            }
            Kind::List { items, .. } => items.get(name.parse::<usize>().ok()?),
            Kind::Scalar { .. } | Kind::Alias => None,
        }
    }
}

/// The documents of a file, but for empty ones, which nobody counts.
pub fn documents(text: &str) -> Result<Vec<Node>, Failure> {
    let mut events = Events { parser: Parser::new_from_str(text), text };
    let mut documents = Vec::new();
    while let Some((event, span)) = events.next()? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) => {}
            Event::DocumentEnd => {}
            event => documents.push(events.node(event, span)?),
        }
    }
    let is_empty = |node: &Node| matches!(&node.kind, Kind::Scalar { text, .. } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"));
    documents.retain(|document| !is_empty(document));
    Ok(documents)
}

struct Events<'t> {
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    text: &'t str,
}

const CUT: &str = "not YAML: it ends too early";

impl<'t> Events<'t> {
    /// The next event that is no comment.
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Failure> {
        for next in self.parser.by_ref() {
            let (event, span) = next.map_err(|error| format!("not YAML: {error}"))?;
            if !matches!(event, Event::Comment(..)) {
                return Ok(Some((event, span)));
            }
        }
        Ok(None)
    }

    fn some(&mut self) -> Result<(Event<'t>, Span), Failure> {
        self.next()?.ok_or_else(|| CUT.to_owned())
    }

    /// The node that begins with an event. The parser bounds how deep they go.
    fn node(&mut self, event: Event<'t>, span: Span) -> Result<Node, Failure> {
        let Range { start, end } = span.byte_range().ok_or(CUT)?;
        match event {
            Event::Scalar(text, style, ..) => {
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let end = start + self.text.get(start..end).unwrap_or_default().trim_end().len();
                let text = text.into_owned();
                Ok(Node { span: start..end, kind: Kind::Scalar { text, block } })
            }
            Event::SequenceStart(style, ..) => {
                let mut items: Vec<Node> = Vec::new();
                let end = loop {
                    let (event, span) = self.some()?;
                    if matches!(event, Event::SequenceEnd) {
                        break span;
                    }
                    items.push(self.node(event, span)?);
                };
                let flow = style == StructureStyle::Flow;
                let first = items.first().map(|item| item.span.start).filter(|_| !flow);
                let start = first.unwrap_or(start);
                let end = ended(flow, &end, items.last().map(|item| item.span.end), start)?;
                Ok(Node { span: start..end, kind: Kind::List { flow, items } })
            }
            Event::MappingStart(style, ..) => {
                let mut members: Vec<(Node, Node)> = Vec::new();
                let end = loop {
                    let (event, span) = self.some()?;
                    if matches!(event, Event::MappingEnd) {
                        break span;
                    }
                    let key = self.node(event, span)?;
                    let (event, span) = self.some()?;
                    let mut value = self.node(event, span)?;
                    if matches!(value.kind, Kind::Scalar { block: true, .. }) {
                        // Its own span is that of its lines, without the header.
                        let between = self.text.get(key.span.end..value.span.start);
                        let header = between.and_then(|between| between.find(['|', '>']));
                        value.span.start = key.span.end + header.ok_or(CUT)?;
                    }
                    members.push((key, value));
                };
                let flow = style == StructureStyle::Flow;
                let last = members.last().map(|(key, value)| key.span.end.max(value.span.end));
                let end = ended(flow, &end, last, start)?;
                Ok(Node { span: start..end, kind: Kind::Map { flow, members } })
            }
            Event::Alias(_) => Ok(Node { span: start..end, kind: Kind::Alias }),
            _ => Err(CUT.to_owned()),
        }
    }
}

/// Where a collection ends: at its bracket, or with the last that is in it.
fn ended(flow: bool, end: &Span, last: Option<usize>, start: usize) -> Result<usize, Failure> {
    let bracket = end.byte_range().ok_or(CUT)?.end;
    Ok(if flow { bracket } else { last.unwrap_or(start) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands at a path.
    fn at<'t>(text: &'t str, path: &[&str]) -> &'t str {
        let documents = documents(text).unwrap();
        let node = path.iter().fold(&documents[0], |node, name| node.child(name).unwrap());
        text.get(node.span.clone()).unwrap()
    }

    #[test]
    fn documents_are_counted_as_they_are_read() {
        for text in [
            "---\n---\na: 1\n",
            "# c\n---\na: 1\n---\n",
            "~\n---\na: 1\n",
            "a: 1\n---\n# c\n---\nb: 2\n",
        ] {
            let read = crate::document::parse(text).unwrap().len();
            assert_eq!(documents(text).unwrap().len(), read, "{text}");
        }
    }

    #[test]
    fn knows_where_values_stand() {
        let yaml = "a: # one\n  b:\n  - x: 1 # two\n    y: 'ü'\n  # three\n  - [p, {q: r}]\n\nc: |\n  text\n  more\n\nd: &n {e: f}\ng: *n\nh:\n";
        let cases: [(&[&str], &str); 10] = [
            (&["a"], "b:\n  - x: 1 # two\n    y: 'ü'\n  # three\n  - [p, {q: r}]"),
            (&["a", "b"], "x: 1 # two\n    y: 'ü'\n  # three\n  - [p, {q: r}]"),
            (&["a", "b", "0"], "x: 1 # two\n    y: 'ü'"),
            (&["a", "b", "0", "y"], "'ü'"),
            (&["a", "b", "1"], "[p, {q: r}]"),
            (&["a", "b", "1", "1"], "{q: r}"),
            (&["c"], "|\n  text\n  more"),
            (&["d"], "{e: f}"),
            (&["g"], "*n"),
            (&["h"], ""),
        ];
        for (path, want) in cases {
            assert_eq!(at(yaml, path), want, "{path:?}");
        }
        assert_eq!(at("{\"a\": [1,\n {\"b\": \"c\"}]}\n", &["a", "1"]), "{\"b\": \"c\"}");
        assert_eq!(documents("a: 1\n---\nb: 2\n...\n").unwrap().len(), 2);
        assert!(documents("a: [").is_err() && documents("").unwrap().is_empty());
        assert!(documents(&"[".repeat(100_000)).is_err());
    }
}
