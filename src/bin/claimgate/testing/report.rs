//! What came of the cases, for people and as a document.

use super::Run;
use super::cases::Credential;
use super::coverage::Coverage;
use super::expect::{Mismatch, mode_name};
use super::run::Ran;
use super::tree::Node;
use claimgate::audit::without_tokens;
use serde::Serialize;
use std::fmt::Write as _;

/// The document.
#[derive(Serialize)]
pub struct Report {
    pub files: Vec<File>,
    pub held: usize,
    pub failed: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub coverage: Vec<Coverage>,
    /// How many percent of each are demanded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_coverage: Option<u8>,
}

#[derive(Serialize)]
pub struct File {
    pub file: String,
    pub configuration: String,
    pub cases: Vec<Line>,
}

/// What came of a case.
#[derive(Serialize)]
pub struct Line {
    pub name: String,
    pub place: String,
    pub holds: bool,
    pub request: String,
    /// The claims of the token that was made up for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<serde_json::Value>,
    pub decision: &'static str,
    pub code: Option<&'static str>,
    pub reason: Option<String>,
    pub route: Option<String>,
    pub mode: &'static str,
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Mismatch>,
    /// Why, where it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Node>,
    #[serde(skip)]
    place_of_route: String,
}

impl Report {
    pub fn new(runs: Vec<Run<'_>>, coverage: Vec<Coverage>, min_coverage: Option<u8>) -> Self {
        let mut files = Vec::new();
        for run in runs {
            let configuration = run.policy.title();
            let cases = run.ran.into_iter().map(Line::new).collect();
            files.push(File { file: run.suite.file.clone(), configuration, cases });
        }
        let lines = || files.iter().flat_map(|file: &File| &file.cases);
        let failed = lines().filter(|line| !line.holds).count();
        let held = lines().count() - failed;
        Self { files, held, failed, coverage, min_coverage }
    }

    /// For people: a line for each case, and what went wrong below it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for File { file, cases, .. } in &self.files {
            let _ = writeln!(text, "{file}");
            cases.iter().for_each(|case| case.write(&mut text));
        }
        let Self { held, failed, .. } = self;
        let _ = writeln!(text, "{} cases: {held} hold, {failed} fail", held + failed);
        for coverage in &self.coverage {
            text.push_str(&coverage.text());
            if let Some(percent) = self.min_coverage.filter(|least| !coverage.reaches(*least)) {
                let _ = writeln!(text, "  less than the {percent} % that are demanded");
            }
        }
        printable(text)
    }
}

impl Line {
    fn new(ran: Ran<'_>) -> Self {
        let Ran { case, request, decided, differences } = ran;
        let holds = differences.is_empty();
        let condition = decided.condition.filter(|_| !holds).map(|mut node| {
            node.edit_seen(&hide);
            node
        });
        Self {
            name: case.name.clone(),
            place: case.place.to_string(),
            holds,
            request,
            claims: match &case.credential {
                Credential::Claims(claims) => Some(claims.clone().into()),
                Credential::None | Credential::Token(_) => None,
            },
            decision: decided.decision.name(),
            code: decided.code.map(|code| code.name()),
            reason: decided.reason,
            route: decided.route,
            mode: mode_name(decided.mode),
            status: decided.response.map(|response| response.status),
            differences,
            condition,
            place_of_route: decided
                .route_index
                .map(|index| format!("routes[{index}]"))
                .unwrap_or_default(),
        }
    }

    fn write(&self, text: &mut String) {
        if self.holds {
            let _ = writeln!(text, "  ok   {}", self.name);
            return;
        }
        let _ = writeln!(text, "  FAIL {} ({})", self.name, self.place);
        for line in self.details().lines() {
            let _ = writeln!(text, "       {line}");
        }
    }

    /// What went wrong, and why.
    pub fn details(&self) -> String {
        let mut text = String::new();
        let claims = self.claims.as_ref().map(|claims| format!(", claims {claims}"));
        let _ = writeln!(text, "{}{}", self.request, claims.unwrap_or_default());
        for Mismatch { what, expected, got } in &self.differences {
            let _ = writeln!(text, "{what}: expected {expected}, got {got}");
        }
        let route = match &self.route {
            None => "no route".to_owned(),
            Some(route) => format!("route {route} ({})", self.place_of_route),
        };
        let code = self.code.map(|code| format!(", {code}")).unwrap_or_default();
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let _ = writeln!(text, "{route}: {}{code}{reason}", self.decision);
        if let Some(condition) = &self.condition {
            condition.lines(2, &mut text);
        }
        text
    }
}

/// A text that no terminal takes for commands, whatever a token or a case holds.
pub fn printable(text: String) -> String {
    let odd = |c: char| c.is_control() && c != '\n';
    if !text.contains(odd) {
        return text;
    }
    let shown =
        text.chars().map(|c| if odd(c) { c.escape_default().to_string() } else { c.into() });
    shown.collect()
}

/// What a leaf saw, without what is nobody's business: a report is kept where many can read it.
fn hide(says: &str, value: &str) -> String {
    let leaf: serde_json::Value = serde_json::from_str(says).unwrap_or_default();
    let header = leaf.get("header").and_then(serde_json::Value::as_str).unwrap_or_default();
    let private = ["authorization", "proxy-authorization", "cookie"];
    let private = private.iter().any(|name| header.eq_ignore_ascii_case(name));
    if private || leaf.get("cookie").is_some() {
        return "a value that is not shown".to_owned();
    }
    without_tokens(value).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_terminal_nothing() {
        assert_eq!(printable("a\u{1b}[2J\nb\u{9b}c\u{e9}".into()), "a\\u{1b}[2J\nb\\u{9b}c\u{e9}");
    }

    #[test]
    fn shows_no_credentials() {
        let cases = [
            (r#"{"header":"x-tenant"}"#, r#""acme""#, r#""acme""#),
            (r#"{"header":"Authorization"}"#, r#""Basic YTpi""#, "a value that is not shown"),
            (r#"{"cookie":"s"}"#, r#""1""#, "a value that is not shown"),
            (r#"{"query":"q"}"#, r#""eyJh.eyJi.c""#, r#""[token]""#),
        ];
        for (says, value, want) in cases {
            assert_eq!(hide(says, value), want);
        }
    }
}
