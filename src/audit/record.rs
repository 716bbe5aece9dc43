//! One decision as one line of JSON with Elastic Common Schema names.
//!
//! The draft is made when the decision is, while the request is at hand; the end of the stream adds
//! status and duration. Identity comes from a verified token only; a token, a cookie or an
//! `Authorization` value has no way in.

use crate::request::{Request, split_query};
use crate::response::Code;
use crate::time::Timestamp;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

/// The marker before each record in Envoy's log.
pub const MARKER: &str = "claimgate_audit ";

/// The version of the Elastic Common Schema whose names are used.
const ECS_VERSION: &str = "9.0.0";

/// The longest text of one member, in bytes: a line stays bounded whatever a client sends.
const MAX_TEXT: usize = 2048;

/// Texts from this length on are looked at closely, in bytes.
const MAX_PLAIN: usize = 256;

/// What was decided, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The request passes.
    Allowed,
    /// The request is refused.
    Denied,
    /// The request passes, and would be refused but for shadow mode.
    ShadowDenied,
}

impl Verdict {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::ShadowDenied => "shadow_denied",
        }
    }
}

/// Which decisions are recorded.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    /// Those that let the request pass.
    pub allowed: bool,
    /// Those that refuse it, or would but for shadow mode.
    pub denied: bool,
}

impl Selection {
    /// Whether such a decision is recorded.
    pub fn records(&self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Allowed => self.allowed,
            Verdict::Denied | Verdict::ShadowDenied => self.denied,
        }
    }
}

/// The word for a decision that has no code.
pub const NO_CODE: &str = "allowed";

/// A decision, as far as it may be told.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// The filter's name.
    pub filter: &'a str,
    /// What was decided.
    pub verdict: Verdict,
    /// Why.
    pub code: Option<Code>,
    /// The evidence.
    pub reason: Option<&'a str>,
    /// The safe host.
    pub host: Option<&'a str>,
    /// The route's name.
    pub route: Option<&'a str>,
    /// The operator's name for the issuer.
    pub issuer: Option<&'a str>,
    /// The id of the key, one of the issuer's.
    pub kid: Option<&'a str>,
    /// Whether issuer and key are only what a token said that did not verify.
    pub unverified: bool,
    /// Who asks; from a verified token.
    pub subject: Option<&'a str>,
    /// Whether refusals only count.
    pub shadow: bool,
    /// What the candidate would decide, where that is something else.
    pub candidate: Option<Candidate<'a>>,
}

/// What a candidate would decide.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Why it would refuse, if it would.
    pub code: Option<Code>,
    /// The name of its route.
    pub route: Option<&'a str>,
}

impl<'a> Decision<'a> {
    /// The refusal of a request on which no decision could be carried out.
    pub fn internal_error(filter: &'a str, reason: &'a str) -> Self {
        Self {
            filter,
            verdict: Verdict::Denied,
            code: Some(Code::InternalError),
            reason: Some(reason),
            host: None,
            route: None,
            issuer: None,
            kid: None,
            unverified: false,
            subject: None,
            shadow: false,
            candidate: None,
        }
    }

    fn code(&self) -> &'static str {
        self.code.map_or(NO_CODE, Code::name)
    }

    /// The filter state `wasm.claimgate`: what access logs say of it.
    pub fn filter_state(&self) -> String {
        let mut members = Members(String::with_capacity(160));
        members.text("decision", self.verdict.name());
        members.text("code", self.code());
        members.option("route", self.route);
        members.option("issuer", self.issuer.filter(|_| !self.unverified));
        members.option("subject", self.subject);
        members.close()
    }
}

/// A record whose stream has not ended.
#[derive(Debug)]
pub struct Draft {
    members: Members,
    started: Timestamp,
    answered_with: Option<u16>,
}

/// What the end of a stream adds.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// The status that the client got; `None` where there was no response.
    pub status: Option<u16>,
    /// Envoy's client address.
    pub client: Option<IpAddr>,
    /// When the stream ended.
    pub now: Timestamp,
}

impl Draft {
    /// Drafts the record of a decision. `node` is Envoy's node id; there is no `request` where its
    /// headers could not be had. `answered` is the status of the filter's own answer, if there is one.
    pub fn new(
        decision: &Decision<'_>,
        request: Option<&Request<'_>>,
        node: &str,
        answered: Option<u16>,
        now: Timestamp,
    ) -> Self {
        let mut members = Members(String::with_capacity(1024));
        members.event(decision, now);
        if let Some(request) = request {
            members.request(request, decision.host);
        }
        members.decision(decision);
        members.option("service.node.name", Some(node).filter(|node| !node.is_empty()));
        Self { members, started: now, answered_with: answered }
    }

    /// The status of the filter's own answer, if there is one.
    pub fn answered_with(&self) -> Option<u16> {
        self.answered_with
    }

    /// The line, marker and all.
    pub fn finish(mut self, end: &End) -> String {
        if let Some(status) = end.status {
            self.members.number("http.response.status_code", status.into());
        }
        if let Some(client) = end.client {
            self.members.text("client.ip", &client.to_string());
        }
        let duration = end.now.as_nanos().saturating_sub(self.started.as_nanos());
        self.members.number("event.duration", duration);
        format!("{MARKER}{}", self.members.close())
    }
}

/// The members of a JSON object that is being written.
#[derive(Debug)]
struct Members(String);

impl Members {
    fn event(&mut self, decision: &Decision<'_>, now: Timestamp) {
        let (kind, action, outcome) = match decision.verdict {
            Verdict::Allowed | Verdict::ShadowDenied => {
                (r#"["access","allowed"]"#, "access-allowed", "success")
            }
            Verdict::Denied => (r#"["access","denied"]"#, "access-denied", "failure"),
        };
        self.text("@timestamp", &now.to_string());
        self.text("ecs.version", ECS_VERSION);
        self.text("event.kind", "event");
        self.raw("event.category", r#"["api"]"#);
        self.raw("event.type", kind);
        self.text("event.dataset", "claimgate.audit");
        self.text("event.action", action);
        self.text("event.outcome", outcome);
        self.text("event.code", decision.code());
        self.option("event.reason", decision.reason);
    }

    fn name(&mut self, name: &str) {
        self.0.push_str(if self.0.is_empty() { "{\"" } else { ",\"" });
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.0.push_str(json);
    }

    fn number(&mut self, name: &str, value: u64) {
        let mut buffer = itoa::Buffer::new();
        self.raw(name, buffer.format(value));
    }

    fn text(&mut self, name: &str, text: &str) {
        if is_plain(text) {
            self.name(name);
            self.0.push('"');
            self.0.push_str(text);
            self.0.push('"');
        } else {
            self.raw(name, &quote(&without_tokens(text)));
        }
    }

    fn option(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn bytes(&mut self, name: &str, bytes: Option<&[u8]>) {
        if let Some(bytes) = bytes {
            self.text(name, &String::from_utf8_lossy(bytes));
        }
    }

    fn request(&mut self, request: &Request<'_>, host: Option<&str>) {
        self.bytes("http.request.method", request.first(":method"));
        self.bytes("http.request.id", request.first("x-request-id"));
        self.bytes("url.path", request.first(":path").map(|path| split_query(path).0));
        match host {
            Some(host) => self.text("url.domain", host),
            None => {
                // What stands before an `@` may be a password.
                let authority = request.first(":authority");
                let host = authority.and_then(|text| text.rsplit(|byte| *byte == b'@').next());
                self.bytes("url.domain", host);
            }
        }
        self.bytes("user_agent.original", request.first("user-agent"));
        self.option("trace.id", request.first("traceparent").and_then(trace_id));
    }

    fn decision(&mut self, decision: &Decision<'_>) {
        self.text("claimgate.filter", decision.filter);
        self.option("claimgate.route", decision.route);
        self.option("user.id", decision.subject);
        self.option("claimgate.issuer", decision.issuer);
        self.option("claimgate.kid", decision.kid);
        if decision.unverified {
            self.raw("claimgate.unverified", "true");
        }
        self.text("claimgate.mode", if decision.shadow { "shadow" } else { "enforce" });
        if decision.verdict == Verdict::ShadowDenied {
            self.raw("claimgate.shadow", "true");
        }
        if let Some(candidate) = &decision.candidate {
            self.text("claimgate.candidate.code", candidate.code.map_or(NO_CODE, Code::name));
            self.option("claimgate.candidate.route", candidate.route);
        }
    }

    fn close(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}

/// Whether a text stands in JSON as it is, and holds no token: the usual one.
fn is_plain(text: &str) -> bool {
    let mut last = [0; 3];
    text.len() < MAX_PLAIN
        && text.bytes().all(|byte| {
            last = [last[1], last[2], byte];
            matches!(byte, b' '..=b'~' if byte != b'"' && byte != b'\\') && last != *b"eyJ"
        })
}

/// A text with every JSON Web Token in it cut out, wherever a client put one: `eyJ` is how base64url
/// of `{"` begins, and three segments make a token.
pub fn without_tokens(text: &str) -> Cow<'_, str> {
    let token = |rest: &str| {
        let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        rest.get(..end).filter(|run| run.matches('.').count() >= 2).map(str::len)
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("eyJ") {
        let start = rest.get(before.len()..).unwrap_or_default();
        out.push_str(before);
        match token(start) {
            Some(length) => {
                out.push_str("[token]");
                rest = start.get(length..).unwrap_or_default();
            }
            None => {
                out.push_str("eyJ");
                rest = after;
            }
        }
    }
    if out.is_empty() && rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// A JSON string that no reader of a log can take for something else: besides what JSON escapes,
/// also DEL, the C1 controls and the Unicode line ends. A text that is cut ends in an ellipsis.
fn quote(text: &str) -> String {
    let cut = text.len() > MAX_TEXT;
    let mut kept = text;
    if cut {
        let end = (0..=MAX_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        kept = text.get(..end).unwrap_or_default();
    }
    let mut json = Value::from(kept).to_string();
    if cut {
        json.pop();
        json.push_str("\u{2026}\"");
    }
    let odd = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}');
    if !json.contains(odd) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 8);
    for c in json.chars() {
        if odd(c) {
            // Writing to a String does not fail.
            let _ = write!(escaped, "\\u{:04x}", c as u32);
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// The trace id of a `traceparent` (W3C Trace Context section 3.2.2.3).
fn trace_id(value: &[u8]) -> Option<&str> {
    let mut parts = std::str::from_utf8(value).ok()?.split('-');
    let (_version, id) = (parts.next()?, parts.next()?);
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
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
        ];
        for (text, want) in cases {
            assert_eq!(without_tokens(text), want);
        }
    }

    #[test]
    fn reads_trace_ids() {
        let good = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(trace_id(good), Some("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!(trace_id(b"00-0af7"), None);
        assert_eq!(trace_id(b"\xff"), None);
    }
}
