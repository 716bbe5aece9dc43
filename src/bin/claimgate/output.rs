//! How every verb speaks: results on standard output, findings on standard error, each in the form that
//! `--format` asks for. Colours are there only where a terminal reads.

use crate::lines::At;
use anstyle::{AnsiColor, Style};
use claimgate::audit::text::without_misleading;
use serde::Serialize;
use std::io::Write as _;
use std::process::ExitCode;

/// The form of all that is printed.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Sentences and tables for people.
    Human,
    /// JSON: one document on standard output, one line for each finding on standard error.
    Json,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is refused.
    Error,
    /// It is likely not meant.
    Warning,
}

/// Something to tell of a file.
#[derive(Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// The file; none where there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Where in it, as `routes[2].require`; empty for the whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// What was found, and what would be accepted: lower case, no full stop.
    pub message: String,
}

#[derive(Serialize)]
struct Located<'f> {
    #[serde(flatten)]
    finding: &'f Finding,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
}

impl Finding {
    /// A refusal without a file.
    pub fn error(message: impl Into<String>) -> Self {
        let (file, place) = Default::default();
        Self { severity: Severity::Error, file, place, message: message.into() }
    }
}

impl Format {
    /// Tells a finding on standard error: `warning: FILE: PLACE: MESSAGE`.
    pub fn tell(self, finding: &Finding) {
        self.tell_at(finding, None);
    }

    /// Tells a finding and the line where it is: `warning: FILE:LINE:COLUMN: PLACE: MESSAGE`.
    pub fn tell_at(self, finding: &Finding, at: Option<At>) {
        // Where standard error is closed there is nobody to tell.
        let mut stderr = anstream::stderr().lock();
        let _ = match self {
            Self::Json => {
                let (line, column) = at.unzip();
                writeln!(stderr, "{}", json(&Located { finding, line, column }))
            }
            Self::Human => {
                let (word, color) = match finding.severity {
                    Severity::Error => ("error", AnsiColor::Red),
                    Severity::Warning => ("warning", AnsiColor::Yellow),
                };
                let style = Style::new().bold().fg_color(Some(color.into()));
                let line = at.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
                let places = [&format!("{}{line}", finding.file), &finding.place];
                let places = places.iter().filter(|text| !text.is_empty());
                let places: String = places.map(|text| format!("{text}: ")).collect();
                writeln!(stderr, "{style}{word}:{style:#} {places}{}", finding.message)
            }
        };
    }

    /// Tells something else on standard error, in a verb's own words for people.
    pub fn tell_as(self, document: &impl Serialize, text: impl FnOnce() -> String) {
        let shown = match self {
            Self::Json => json(document),
            Self::Human => text(),
        };
        let _ = writeln!(anstream::stderr().lock(), "{shown}");
    }

    /// Prints a result on standard output: the document as JSON, or the text for people.
    pub fn print(self, document: &impl Serialize, text: impl FnOnce() -> String) {
        let shown = match self {
            Self::Json => json(document),
            Self::Human => text(),
        };
        let shown = shown.trim_end_matches('\n');
        if !shown.is_empty() {
            // A reader that went away, as `head` does, wants no more.
            let _ = writeln!(anstream::stdout().lock(), "{shown}");
        }
    }
}

/// What an argument that is not understood comes to: clap's own words, or one finding where JSON is asked for.
pub fn usage(error: &clap::Error) -> ExitCode {
    // Not all of them need be UTF-8.
    let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let arguments: Vec<String> = arguments.collect();
    let json = arguments.iter().any(|argument| argument == "--format=json")
        || arguments.windows(2).any(|pair| pair == ["--format", "json"]);
    // Help and the version are no errors, and go to standard output.
    if json && error.use_stderr() {
        let text = error.render().to_string();
        // What is wrong, and not how the verb is used, which comes after an empty line.
        let said: Vec<&str> =
            text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
        let said = said.join(" ");
        Format::Json.tell(&Finding::error(said.trim_start_matches("error: ")));
    } else {
        // Where nobody reads there is nobody to tell.
        let _ = error.print();
    }
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

/// Colours as they are asked for.
pub fn color(choice: clap::ColorChoice) {
    match choice {
        // A terminal's, unless NO_COLOR is set.
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// A document on one line, with nothing in it that a terminal takes for an order.
fn json(document: &impl Serialize) -> String {
    let json = serde_json::to_string(document);
    without_misleading(json.unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_orders_no_terminal_about() {
        let text = "a\u{1b}\u{9b}\u{202e}\u{e4}";
        let shown = json(&text);
        assert_eq!(shown, "\"a\\u001b\\u009b\\u202e\u{e4}\"");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }
}
