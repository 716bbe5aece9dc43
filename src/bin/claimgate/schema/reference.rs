//! The schema as a reference to read: a part for each object, with its members in a table.

use super::sections::{FORMS, SECTIONS, Section};
use claimgate::config::raw::MEMBERS;
use serde_json::Value;
use std::fmt::Write as _;

/// The reference in Markdown.
pub fn markdown(document: &Value) -> String {
    let mut out = String::from(FORMS);
    for section in &SECTIONS {
        // Writing to a `String` never fails.
        let _ = write(document, section, &mut out);
    }
    out
}

fn write(document: &Value, section: &Section, out: &mut String) -> std::fmt::Result {
    let of = definition(document, section.of);
    writeln!(out, "\n## {}\n", section.heading())?;
    writeln!(out, "{}\n", linked(description(of)))?;
    if !section.also.is_empty() {
        writeln!(out, "{}\n", section.also)?;
    }
    writeln!(out, "| member | type | default | |\n| --- | --- | --- | --- |")?;
    let mut words = String::new();
    for name in members(section.of) {
        let Some(member) = of.get("properties").and_then(|all| all.get(name)) else { continue };
        let Told { default, rest } = told(description(member));
        let cells =
            [kind(document, member), default, linked(&rest)].map(|cell| cell.replace('|', "\\|"));
        writeln!(out, "| `{name}` | {} |", cells.join(" | "))?;
        words.push_str(&explained(document, name, member));
    }
    if !words.is_empty() {
        write!(out, "\n{words}")?;
    }
    writeln!(out, "\n```yaml\n{}\n```", section.example.trim())
}

/// The schema of an object.
fn definition<'d>(document: &'d Value, name: &str) -> &'d Value {
    let of = document.get("$defs").and_then(|all| all.get(name));
    of.unwrap_or(document)
}

fn description(of: &Value) -> &str {
    of.get("description").and_then(Value::as_str).unwrap_or_default()
}

/// The members of an object as they are written in a configuration.
fn members(of: &str) -> impl Iterator<Item = &'static str> {
    let found = MEMBERS.iter().find(|(name, _)| *name == of);
    let members = found.map(|(_, members)| *members).unwrap_or_default();
    members.iter().map(|name| name.trim_start_matches("r#"))
}

/// A description, taken apart.
struct Told {
    /// The default, or that there has to be one.
    default: String,
    /// All else.
    rest: String,
}

fn told(description: &str) -> Told {
    let mut default = Vec::new();
    let mut rest = Vec::new();
    for sentence in sentences(description) {
        match sentence.strip_prefix("Default: ") {
            Some(said) => default.push(said.trim_end_matches('.').to_owned()),
            None if sentence.starts_with("Required") => {
                default.push(sentence.trim_end_matches('.').replacen('R', "r", 1));
            }
            None => rest.push(sentence),
        }
    }
    Told { default: default.join("; "), rest: rest.join(" ") }
}

/// The sentences of a text: each ends with a full stop, and what follows begins with a capital letter or is code.
fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut from = 0;
    while let Some(at) = rest.get(from..).and_then(|tail| tail.find(". ")) {
        let end = from + at + 1;
        let next = rest.get(end + 1..).unwrap_or_default();
        if next.starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '`') {
            found.push(rest.get(..end).unwrap_or_default());
            rest = next;
            from = 0;
        } else {
            from = end;
        }
    }
    found.push(rest);
    found
}

/// Names of documents as links to them.
fn linked(text: &str) -> String {
    let word = |word: &str| {
        let name = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        match name.strip_suffix(".md") {
            Some(title) => {
                let link = format!("[{}]({name})", title.replace('-', " "));
                word.replacen(name, &link, 1)
            }
            None => word.to_owned(),
        }
    };
    text.split(' ').map(word).collect::<Vec<String>>().join(" ")
}

/// What a value is, in words.
fn kind(document: &Value, of: &Value) -> String {
    let text = |name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default();
    if let Some(name) = text("$ref").strip_prefix("#/$defs/") {
        let words = words(definition(document, name));
        if !words.is_empty() {
            return or(words.iter().map(|(word, _)| format!("`{word}`")).collect());
        }
        if name == "IdentityHeader" {
            return format!("string or {}", link("Long", "object"));
        }
        return link(name, "object");
    }
    if let Some(only) = of.get("const") {
        return format!("`{only}`");
    }
    if let Some(Value::Array(choices)) = of.get("anyOf") {
        return or(choices.iter().flat_map(|choice| kinds(document, choice)).collect());
    }
    match of.get("type") {
        Some(Value::Array(kinds)) => {
            or(kinds.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        _ => match text("type") {
            "array" => format!("list of {}", plural(&each(document, of, "items"))),
            "object" if of.get("additionalProperties").is_some() => {
                format!("{} by name", plural(&each(document, of, "additionalProperties")))
            }
            "string" if text("pattern").contains("ms|s|m|h|d") => "duration".to_owned(),
            "integer" => "whole number".to_owned(),
            kind => kind.to_owned(),
        },
    }
}

/// One of several things that a value may be: each word of an enumeration is one.
fn kinds(document: &Value, of: &Value) -> Vec<String> {
    match of.get("enum").and_then(Value::as_array) {
        Some(words) => {
            words.iter().map(|word| format!("`{}`", word.as_str().unwrap_or_default())).collect()
        }
        None => vec![kind(document, of)],
    }
}

fn each(document: &Value, of: &Value, keyword: &str) -> String {
    let Some(of) = of.get(keyword) else { return String::new() };
    // A long list of words stands below the table.
    match of.get("enum") {
        Some(_) => "string".to_owned(),
        None => kind(document, of),
    }
}

fn plural(kind: &str) -> String {
    kind.replace("string", "strings")
        .replace("[object]", "[objects]")
        .replace("number or", "numbers or")
        .replace("boolean", "booleans")
}

fn or(mut words: Vec<String>) -> String {
    let last = words.pop().unwrap_or_default();
    if words.is_empty() { last } else { format!("{} or {last}", words.join(", ")) }
}

/// A link to the part on an object.
fn link(of: &str, text: &str) -> String {
    let section = SECTIONS.iter().find(|section| section.of == of);
    section.map_or_else(|| text.to_owned(), |section| format!("[{text}](#{})", section.anchor()))
}

/// The words of an enumeration, each with what it means; where it does not say, each by itself.
fn words(of: &Value) -> Vec<(&str, &str)> {
    let list = |keyword: &str| of.get(keyword).and_then(Value::as_array).into_iter().flatten();
    let explained = list("oneOf")
        .filter_map(|choice| Some((choice.get("const")?.as_str()?, description(choice))));
    explained.chain(list("enum").filter_map(|word| Some((word.as_str()?, "")))).collect()
}

/// What the words of a member mean, as an item of a list.
fn explained(document: &Value, name: &str, member: &Value) -> String {
    let of = match member.get("additionalProperties") {
        Some(each) => each,
        None => member,
    };
    let reference = of.get("$ref").and_then(Value::as_str).unwrap_or_default();
    let reference = reference.strip_prefix("#/$defs/").unwrap_or_default();
    // Two words that say themselves what they do are explained by the member.
    let words = if matches!(reference, "" | "Relaxation") {
        Vec::new()
    } else {
        words(definition(document, reference))
    };
    let said = words.iter().filter(|(_, means)| !means.is_empty());
    let means: Vec<String> =
        said.map(|(word, means)| format!("  - `{word}`: {}\n", lowered(means))).collect();
    let listed = member
        .get("items")
        .and_then(|items| items.get("enum"))
        .or_else(|| member.get("propertyNames")?.get("enum"));
    let listed: Vec<String> = listed
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|word| format!("`{word}`"))
        .collect();
    match (means.is_empty(), listed.is_empty()) {
        (false, _) => format!("- `{name}` is\n{}", means.concat()),
        (true, false) => format!("- `{name}` takes {}\n", listed.join(", ")),
        (true, true) => String::new(),
    }
}

/// A sentence as a part of another.
fn lowered(sentence: &str) -> String {
    let sentence = sentence.trim_end_matches('.');
    let abbreviation = sentence.chars().nth(1).is_some_and(|second| second.is_ascii_uppercase());
    let mut letters = sentence.chars();
    match letters.next() {
        Some(first) if !abbreviation => {
            format!("{}{}", first.to_ascii_lowercase(), letters.as_str())
        }
        _ => sentence.to_owned(),
    }
}
