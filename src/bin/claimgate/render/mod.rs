//! `claimgate render`: the deployment manifest around a configuration, for each host that runs the filter.
//!
//! What is written is read back as the host would read it, and compared with the source ([`proof`]); what a host cannot
//! say is refused, with what to do instead.

mod bootstrap;
mod destination;
mod envoy;
mod envoy_gateway;
mod istio;
pub mod module;
mod proof;
mod source;

use crate::output::Format;
use crate::yaml::Node;
use crate::{Failure, put};
use serde_json::json;
use source::Source;
use std::path::Path;

#[derive(clap::Subcommand)]
pub enum Verb {
    /// A bootstrap of Envoy: listener, filter, upstream, the clusters that keys come from.
    #[command(after_help = STATUS)]
    Envoy(envoy::Arguments),
    /// A WasmPlugin or TrafficExtension of Istio's, and the ServiceEntry and DestinationRule that keys come by.
    #[command(after_help = STATUS)]
    Istio(istio::Arguments),
    /// An EnvoyExtensionPolicy of Envoy Gateway's.
    #[command(after_help = STATUS)]
    EnvoyGateway(envoy_gateway::Arguments),
}

const STATUS: &str = "Exit status: 0 written, 2 refused.";

/// What every host needs.
#[derive(clap::Args)]
pub struct Common {
    /// A configuration, alone or inside an envoy.yaml, an ECDS resource file or a manifest of Istio's or Envoy
    /// Gateway's; `-` is standard input. What its secrets' variables hold does not matter here.
    file: String,
    /// Renders secrets that stand in the configuration itself; everyone who may read the manifest then has them.
    #[arg(long)]
    allow_inline_secrets: bool,
}

/// A document to be written.
pub struct Manifest {
    /// What is said before it, a line each.
    pub notes: Vec<String>,
    /// Its parts, divided by `---`.
    pub documents: Vec<Node>,
}

pub fn run(verb: &Verb, format: Format) -> Result<(), Failure> {
    match verb {
        Verb::Envoy(arguments) => envoy::run(arguments, format),
        Verb::Istio(arguments) => istio::run(arguments, format),
        Verb::EnvoyGateway(arguments) => envoy_gateway::run(arguments, format),
    }
}

impl Common {
    /// The configuration, loaded by the filter's own code.
    fn source(&self, format: Format) -> Result<Source, Failure> {
        let source = Source::read(&self.file)?;
        for finding in source.warnings() {
            format.tell(&finding);
        }
        match source.inline_secrets().first() {
            Some(place) if !self.allow_inline_secrets => Err(format!(
                "`{}`: {place}: a secret that stands in the configuration would stand in the manifest: take \
                 it from the environment (`env: NAME`), or say `--allow-inline-secrets`",
                self.file
            )),
            _ => Ok(source),
        }
    }
}

impl Manifest {
    /// The text, which names the command that made it.
    fn text(&self) -> String {
        let mut text = format!("# Made by: {}\n", command());
        text.push_str(
            "# Change the configuration and render again: what is changed here is lost.\n",
        );
        for note in &self.notes {
            text.push_str(&format!("#\n# {}\n", wrapped(note)));
        }
        for (index, document) in self.documents.iter().enumerate() {
            text.push_str(if index == 0 { "\n" } else { "---\n" });
            text.push_str(&document.yaml());
        }
        text
    }
}

/// Prints a manifest, or writes it to a file, which is `private` where a secret stands in it.
fn deliver(text: &str, out: Option<&str>, private: bool, format: Format) -> Result<(), Failure> {
    match out {
        None => format.print(&json!({ "manifest": text }), || text.to_owned()),
        Some(file) => {
            put::write(Path::new(file), text, private)?;
            if format == Format::Json {
                format.print(&json!({ "files": [file] }), String::new);
            }
        }
    }
    Ok(())
}

/// What was asked for, as a shell takes it, but for what makes no difference to the text.
fn command() -> String {
    const ASIDE: [&str; 3] = ["--out", "--format", "--color"];
    let mut words = vec!["claimgate".to_owned()];
    let mut arguments = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = arguments.next() {
        let name = word.split('=').next().unwrap_or_default();
        if !ASIDE.contains(&name) {
            words.push(quoted(&word));
        } else if name == word {
            arguments.next();
        }
    }
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    // On one line, whatever is in it: this stands in a comment.
    let printable = word.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    let word = if printable { word.to_owned() } else { word.escape_default().collect() };
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A note over several lines of a comment.
fn wrapped(note: &str) -> String {
    let mut text = String::new();
    let mut width = 0;
    for word in note.split_whitespace() {
        if width > 0 && width + 1 + word.len() > 110 {
            text.push_str("\n# ");
            width = 0;
        } else if width > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += word.len();
    }
    text
}

/// What the place that runs the filter has to hand over.
fn variables_note(source: &Source, whose: &str) -> Option<String> {
    let names: Vec<&str> = source.variables.iter().map(String::as_str).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{whose} needs these variables in its environment, or the filter refuses to load: {}.",
            names.join(", ")
        )
    })
}

/// A refusal on a finding's place.
fn refusal(file: &str, place: &str, message: &str) -> Failure {
    if place.is_empty() {
        format!("`{file}`: {message}")
    } else {
        format!("`{file}`: {place}: {message}")
    }
}

/// The members that there are.
fn there<const N: usize>(members: [(&str, Option<Node>); N]) -> Vec<(String, Node)> {
    members.into_iter().filter_map(|(name, node)| Some((name.to_owned(), node?))).collect()
}

/// An object of the members that there are.
fn members<const N: usize>(members: [(&str, Option<Node>); N]) -> Node {
    Node::Map(there(members))
}

/// Refuses what is no name of Kubernetes (RFC 1123).
fn check_name(name: &str) -> Result<(), Failure> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let holds = name.len() <= 253 && name.split('.').all(label);
    if holds { Ok(()) } else { Err(format!("`{}`: not a name of Kubernetes", name.escape_debug())) }
}

/// Makes a document of lists and objects, in the order in which they are written.
macro_rules! node {
    ([$($item:expr),* $(,)?]) => { $crate::yaml::Node::List(vec![$($crate::yaml::Node::from($item)),*]) };
    ({$($name:literal: $node:expr),* $(,)?}) => {
        $crate::yaml::Node::Map(vec![$(($name.to_owned(), $crate::yaml::Node::from($node))),*])
    };
}
use node;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_stays_on_its_line() {
        let cases = [
            ("a.yaml", "a.yaml"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("a\nkind: X", r"'a\nkind: X'"),
            ("*", "'*'"),
        ];
        for (word, want) in cases {
            assert_eq!(quoted(word), want);
        }
        let note = "word ".repeat(50);
        assert!(wrapped(&note).lines().all(|line| line.len() < 120 && !line.ends_with(' ')));
    }
}
