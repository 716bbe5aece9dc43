//! What an import could not carry over exactly.

use std::fmt;

/// How a part of the source fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is not in the configuration; what it allowed is closed, what it may have denied too.
    LeftOut,
    /// It is in the configuration, which refuses more than it did.
    Stricter,
    /// It decides nothing.
    Note,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// How it fared.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// The document and the place in it, as `AuthorizationPolicy foo/bar spec.rules[0].to[0]`.
    pub place: String,
    /// Why, and what is done about it.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::LeftOut => "left out",
            Severity::Stricter => "stricter",
            Severity::Note => "note",
        };
        write!(f, "{word}: {}: {}: {}", self.file, self.place, self.message)
    }
}

/// A place in a source: what findings are reported at.
#[derive(Clone, Debug)]
pub struct At {
    file: String,
    document: String,
    path: String,
}

impl At {
    /// A document of a file, by what it says of itself.
    pub fn document(file: &str, document: &str) -> Self {
        Self { file: file.to_owned(), document: document.to_owned(), path: String::new() }
    }

    /// The file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The member of this name.
    pub fn key(&self, name: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { path: format!("{}{dot}{name}", self.path), ..self.clone() }
    }

    /// The element of this index.
    pub fn index(&self, index: usize) -> Self {
        Self { path: format!("{}[{index}]", self.path), ..self.clone() }
    }

    fn finding(&self, severity: Severity, message: impl Into<String>) -> Finding {
        let place = match (self.document.is_empty(), self.path.is_empty()) {
            (true, true) => "document".to_owned(),
            (true, false) => self.path.clone(),
            (false, true) => self.document.clone(),
            (false, false) => format!("{} {}", self.document, self.path),
        };
        Finding { severity, file: self.file.clone(), place, message: message.into() }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// This is left out.
    pub fn left_out(&mut self, at: &At, message: impl Into<String>) {
        self.push(at.finding(Severity::LeftOut, message));
    }

    /// This refuses more than it did.
    pub fn stricter(&mut self, at: &At, message: impl Into<String>) {
        self.push(at.finding(Severity::Stricter, message));
    }

    /// This decides nothing.
    pub fn note(&mut self, at: &At, message: impl Into<String>) {
        self.push(at.finding(Severity::Note, message));
    }

    /// Whether the configuration is not exactly what the source was.
    pub fn some_lost(&self) -> bool {
        self.0.iter().any(|finding| finding.severity != Severity::Note)
    }

    fn push(&mut self, finding: Finding) {
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }
}
