//! One decision as one line of JSON with Elastic Common Schema names.
//!
//! The draft is made when the decision is, while the request is at hand; the end of the stream adds
//! status and duration. Identity comes from a verified token only; a token, a cookie or an
//! `Authorization` value has no way in.

use crate::engine::{Engine, Outcome};
use crate::policy::route::Mode;
use crate::request::{Request, split_query};
use crate::response::Code;
use crate::time::Timestamp;
use serde_json::Value;
use std::fmt::Write as _;
use std::net::IpAddr;

/// The marker before each record in Envoy's log.
pub const MARKER: &str = "claimgate_audit ";

/// The version of the Elastic Common Schema whose names are used.
const ECS_VERSION: &str = "9.0.0";

/// The longest text of one member, in bytes: a line stays bounded whatever a client sends.
const MAX_TEXT: usize = 2048;

/// A record whose stream has not ended.
#[derive(Debug)]
pub struct Draft {
    members: Members,
    started: Timestamp,
    refused_with: Option<u16>,
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
    /// Drafts the record of a decision. `node` is Envoy's node id.
    pub fn new(
        engine: &Engine,
        request: &Request<'_>,
        outcome: &Outcome<'_>,
        node: &str,
        now: Timestamp,
    ) -> Self {
        let mut members = Members::event(outcome.refusal.is_none(), outcome.code(), now);
        if let Some(refusal) = outcome.refusal.as_ref().or(outcome.shadowed.as_ref()) {
            members.text("event.reason", &refusal.reason);
        } else if let Some(error) = &outcome.lenient {
            members.text("event.reason", &error.to_string());
        }
        members.request(request, outcome);
        members.decision(engine, outcome);
        members.node(node);
        let refused_with = outcome.refusal.as_ref().map(|refusal| refusal.code.status());
        Self { members, started: now, refused_with }
    }

    /// Drafts the record of a request on which no decision could be carried out.
    pub fn internal_error(
        filter: &str,
        why: &dyn std::fmt::Display,
        node: &str,
        now: Timestamp,
    ) -> Self {
        let code = Code::InternalError;
        let mut members = Members::event(false, Some(code), now);
        members.text("event.reason", &why.to_string());
        members.text("claimgate.filter", filter);
        members.node(node);
        Self { members, started: now, refused_with: Some(code.status()) }
    }

    /// The status of the refusal that answered the request, if one did.
    pub fn refused_with(&self) -> Option<u16> {
        self.refused_with
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

/// The filter state of a request on which no decision could be carried out.
pub const INTERNAL_ERROR_STATE: &str = r#"{"decision":"denied","code":"internal_error"}"#;

/// The filter state `wasm.claimgate`: what access logs say of a decision.
pub fn filter_state(engine: &Engine, outcome: &Outcome<'_>) -> String {
    let mut members = Members::default();
    let decision = match (&outcome.refusal, &outcome.shadowed) {
        (Some(_), _) => "denied",
        (None, Some(_)) => "shadow_denied",
        (None, None) => "allowed",
    };
    members.text("decision", decision);
    members.text("code", outcome.code().map_or("allowed", |code| code.name()));
    if let Some(route) = outcome.route.and_then(|id| engine.routes.get(id.0)) {
        members.text("route", &route.name);
    }
    if let Some(token) = &outcome.token {
        if let Some(issuer) = engine.issuers.get(token.issuer().0) {
            members.text("issuer", &issuer.name);
        }
        if let Some(subject) = token.subject() {
            members.text("subject", subject);
        }
    }
    members.close()
}

/// The members of a JSON object that is being written.
#[derive(Debug, Default)]
struct Members(String);

impl Members {
    fn event(passed: bool, code: Option<Code>, now: Timestamp) -> Self {
        let mut members = Self::default();
        members.text("@timestamp", &now.to_string());
        members.text("ecs.version", ECS_VERSION);
        members.text("event.kind", "event");
        members.raw("event.category", r#"["api"]"#);
        members.raw(
            "event.type",
            if passed { r#"["access","allowed"]"# } else { r#"["access","denied"]"# },
        );
        members.text("event.dataset", "claimgate.audit");
        members.text("event.action", if passed { "access-allowed" } else { "access-denied" });
        members.text("event.outcome", if passed { "success" } else { "failure" });
        members.text("event.code", code.map_or("allowed", Code::name));
        members
    }

    fn node(&mut self, node: &str) {
        if !node.is_empty() {
            self.text("service.node.name", node);
        }
    }

    fn raw(&mut self, name: &str, json: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        self.0.push_str(json);
    }

    fn number(&mut self, name: &str, value: u64) {
        let mut buffer = itoa::Buffer::new();
        self.raw(name, buffer.format(value));
    }

    fn text(&mut self, name: &str, text: &str) {
        self.raw(name, &quote(text));
    }

    fn bytes(&mut self, name: &str, bytes: Option<&[u8]>) {
        if let Some(bytes) = bytes {
            self.text(name, &String::from_utf8_lossy(bytes));
        }
    }

    fn request(&mut self, request: &Request<'_>, outcome: &Outcome<'_>) {
        self.bytes("http.request.method", request.first(":method"));
        self.bytes("http.request.id", request.first("x-request-id"));
        self.bytes("url.path", request.first(":path").map(|path| split_query(path).0));
        match &outcome.host {
            Some(host) => self.text("url.domain", host),
            None => self.bytes("url.domain", request.first(":authority")),
        }
        self.bytes("user_agent.original", request.first("user-agent"));
        if let Some(id) = request.first("traceparent").and_then(trace_id) {
            self.text("trace.id", id);
        }
    }

    fn decision(&mut self, engine: &Engine, outcome: &Outcome<'_>) {
        self.text("claimgate.filter", &engine.name);
        if let Some(route) = outcome.route.and_then(|id| engine.routes.get(id.0)) {
            self.text("claimgate.route", &route.name);
        }
        let issuer = |id: crate::token::IssuerId| engine.issuers.get(id.0).map(|i| &*i.name);
        if let Some(token) = &outcome.token {
            if let Some(subject) = token.subject() {
                self.text("user.id", subject);
            }
            if let Some(name) = issuer(token.issuer()) {
                self.text("claimgate.issuer", name);
            }
            if let Some(kid) = token.kid() {
                self.text("claimgate.kid", kid);
            }
        } else if let Some((id, kid)) = &outcome.unverified {
            if let Some(name) = issuer(*id) {
                self.text("claimgate.issuer", name);
            }
            if let Some(kid) = kid {
                self.text("claimgate.kid", kid);
            }
            self.raw("claimgate.unverified", "true");
        }
        self.text(
            "claimgate.mode",
            match outcome.mode {
                Mode::Enforce => "enforce",
                Mode::Shadow => "shadow",
            },
        );
        if outcome.shadowed.is_some() {
            self.raw("claimgate.shadow", "true");
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
    fn reads_trace_ids() {
        let good = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(trace_id(good), Some("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!(trace_id(b"00-0af7"), None);
        assert_eq!(trace_id(b"\xff"), None);
    }
}
