//! One decision as one line of JSON with Elastic Common Schema names.
//!
//! The draft is made when the decision is, while the request is at hand; the end of the stream adds
//! status and duration. Identity comes from a verified token only; a token, a cookie or an
//! `Authorization` value has no way in.

use super::redact::{self, Redaction, ShowPath, ShowQuery};
use super::text::Members;
use crate::request::{Request, split_query};
use crate::response::Code;
use crate::time::Timestamp;
use crate::token::claims::Claims;
use std::net::SocketAddr;
use std::time::Duration;

macro_rules! marker {
    () => {
        "claimgate_audit "
    };
}

/// The marker before each record in Envoy's log.
pub const MARKER: &str = marker!();

/// What every record of a request begins with, marker and all.
const BEGINNING: &str = concat!(
    marker!(),
    r#"{"ecs.version":"9.0.0","event.kind":"event","event.category":["api"],"event.dataset":"claimgate.audit""#,
);

/// What every record of the chain begins with.
const INTERNAL_BEGINNING: &str = concat!(
    marker!(),
    r#"{"ecs.version":"9.0.0","event.kind":"event","event.category":["process"],"event.dataset":"claimgate.audit""#,
);

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

/// The word for a decision that has no code.
pub const NO_CODE: &str = "allowed";

/// A decision, as far as it may be told.
#[derive(Clone, Debug)]
pub struct Decision<'a> {
    /// The filter's name.
    pub filter: &'a str,
    /// What was decided.
    pub verdict: Verdict,
    /// Why.
    pub code: Option<Code>,
    /// The evidence.
    pub reason: Option<&'a str>,
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
    /// The claims of a verified token.
    pub claims: Option<&'a Claims>,
    /// Whether refusals only count.
    pub shadow: bool,
    /// What the candidate would decide, where that is something else.
    pub candidate: Option<Candidate<'a>>,
    /// What became of the renewal of its session, where that was due: `renewed`, `refused`, `failed`, `pending`.
    pub renewal: Option<&'a str>,
    /// The names of the limits in shadow mode that would have refused it.
    pub limits_in_shadow: Vec<&'a str>,
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
            route: None,
            issuer: None,
            kid: None,
            unverified: false,
            subject: None,
            claims: None,
            shadow: false,
            candidate: None,
            renewal: None,
            limits_in_shadow: Vec::new(),
        }
    }

    fn code(&self) -> &'static str {
        self.code.map_or(NO_CODE, Code::name)
    }

    /// The filter state `wasm.claimgate`: what is said of it to access logs.
    pub fn state(&self, redaction: &Redaction) -> String {
        let mut members = Members::new(160);
        members.text("decision", self.verdict.name());
        members.text("code", self.code());
        members.option("route", self.route);
        members.option("issuer", self.issuer.filter(|_| !self.unverified));
        members.option("subject", self.shown_subject(redaction).as_deref());
        if let Some(claims) = self.shown_claims(redaction) {
            members.raw("claims", &claims);
        }
        members.close()
    }

    /// What is said of it in its record, but for what one request alone is about: members, each with a comma before it.
    /// `node` is Envoy's node id.
    pub fn members(&self, redaction: &Redaction, node: &str) -> String {
        let mut members = Members::following(256);
        members.text("event.code", self.code());
        members.option("event.reason", self.reason);
        members.text("claimgate.filter", self.filter);
        members.option("claimgate.route", self.route.filter(|_| redaction.path != ShowPath::None));
        members.option("user.id", self.shown_subject(redaction).as_deref());
        members.option("claimgate.issuer", self.issuer);
        members.option("claimgate.kid", self.kid);
        if self.unverified {
            members.raw("claimgate.unverified", "true");
        }
        members.text("claimgate.mode", if self.shadow { "shadow" } else { "enforce" });
        if self.verdict == Verdict::ShadowDenied {
            members.raw("claimgate.shadow", "true");
        }
        if let Some(candidate) = &self.candidate {
            members.text("claimgate.candidate.code", candidate.code.map_or(NO_CODE, Code::name));
            let route = candidate.route.filter(|_| redaction.path != ShowPath::None);
            members.option("claimgate.candidate.route", route);
        }
        members.option("claimgate.renewal", self.renewal);
        if !self.limits_in_shadow.is_empty() {
            let names = serde_json::to_string(&self.limits_in_shadow).unwrap_or_default();
            members.raw("claimgate.limits_in_shadow", &names);
        }
        if let Some(claims) = self.shown_claims(redaction) {
            members.raw("claimgate.claims", &claims);
        }
        members.option("service.node.name", Some(node).filter(|node| !node.is_empty()));
        members.into_text()
    }

    fn shown_subject(&self, redaction: &Redaction) -> Option<String> {
        self.subject.and_then(|subject| redaction.subject(subject))
    }

    fn shown_claims(&self, redaction: &Redaction) -> Option<String> {
        self.claims.and_then(|claims| redaction.claims(claims))
    }
}

/// A record whose stream has not ended.
#[derive(Debug)]
pub struct Draft {
    members: Members,
    verdict: Verdict,
    started: Timestamp,
    answered_with: Option<u16>,
    announced: bool,
}

/// What the end of a stream adds.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// The status that the client got; `None` where there was no response.
    pub status: Option<u16>,
    /// Envoy's client address. Its port is 0 where that is not the peer's own, but what a header says.
    pub client: Option<SocketAddr>,
    /// When the stream ended.
    pub now: Timestamp,
}

impl Draft {
    /// Drafts the record of a decision of these [`Decision::members`]. There is no `request` where its headers could not be had. `answered` is the
    /// status of the filter's own answer, if there is one.
    pub fn new(
        verdict: Verdict,
        decision: &str,
        shown: Option<&Shown<'_, '_>>,
        answered: Option<u16>,
        now: Timestamp,
    ) -> Self {
        let mut members = Members::after(BEGINNING, 1024);
        members.push(",\"@timestamp\":\"");
        members.push(&now.to_string());
        members.push("\"");
        members.push(decision);
        if let Some(shown) = shown {
            members.request(shown);
        }
        Self { members, verdict, started: now, answered_with: answered, announced: false }
    }

    /// What was decided.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The status of the filter's own answer, if there is one.
    pub fn answered_with(&self) -> Option<u16> {
        self.answered_with
    }

    /// The record of a stream's start, once, where it has been open for so long.
    pub fn announce(&mut self, open_after: Duration, now: Timestamp) -> Option<Members> {
        let open = now.as_nanos().saturating_sub(self.started.as_nanos());
        if self.announced || u128::from(open) < open_after.as_nanos() {
            return None;
        }
        self.announced = true;
        let mut members = self.members.clone();
        members.push(match self.verdict {
            Verdict::Allowed | Verdict::ShadowDenied => {
                r#","event.type":["access","allowed","start"],"event.action":"access-started","event.outcome":"success""#
            }
            Verdict::Denied => {
                r#","event.type":["access","denied","start"],"event.action":"access-started","event.outcome":"failure""#
            }
        });
        // So far: it says when this was written.
        members.number("event.duration", open);
        Some(members)
    }

    /// The record, to be sealed or closed.
    pub fn finish(mut self, end: &End) -> Members {
        self.members.push(match self.verdict {
            Verdict::Allowed | Verdict::ShadowDenied => {
                r#","event.type":["access","allowed"],"event.action":"access-allowed","event.outcome":"success""#
            }
            Verdict::Denied => {
                r#","event.type":["access","denied"],"event.action":"access-denied","event.outcome":"failure""#
            }
        });
        if let Some(status) = end.status {
            self.members.number("http.response.status_code", status.into());
        }
        if let Some(client) = end.client {
            let ip = client.ip().to_canonical().to_string();
            self.members.text("client.ip", &ip);
            if client.port() != 0 {
                self.members.text("source.ip", &ip);
            }
        }
        let duration = end.now.as_nanos().saturating_sub(self.started.as_nanos());
        self.members.number("event.duration", duration);
        self.members
    }
}

/// What of a request is shown.
pub struct Shown<'s, 'r> {
    /// The request.
    pub request: &'s Request<'r>,
    /// The safe host.
    pub host: Option<&'s str>,
    /// How path and query are shown.
    pub redaction: &'s Redaction,
    /// The path without the parameters that carry tokens, where there are such.
    pub path: Option<&'s [u8]>,
}

impl Members {
    /// How many records caps dropped before this one, if any.
    pub fn dropped(&mut self, dropped: u64) {
        if dropped > 0 {
            self.number("claimgate.audit.dropped", dropped);
        }
    }

    fn request(&mut self, shown: &Shown<'_, '_>) {
        let request = shown.request;
        self.bytes("http.request.method", request.first(":method"));
        self.bytes("http.request.id", request.first("x-request-id"));
        let path = shown.path.or(request.first(":path")).map(split_query);
        if let (ShowPath::Plain, Some((path, _))) = (shown.redaction.path, path) {
            self.bytes("url.path", Some(path));
        }
        let query = path.map(|(_, query)| query).filter(|query| !query.is_empty());
        match (shown.redaction.query, query) {
            (ShowQuery::Plain, Some(query)) => self.bytes("url.query", Some(query)),
            (ShowQuery::Names, Some(query)) => {
                self.bytes("url.query", Some(&redact::parameter_names(query)));
            }
            (ShowQuery::None, _) | (_, None) => {}
        }
        match shown.host {
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
}

/// Who writes the records that are about the chain itself.
#[derive(Clone, Copy, Debug)]
pub struct Internal<'a> {
    /// The filter's name.
    pub filter: &'a str,
    /// Envoy's node id.
    pub node: &'a str,
}

impl Internal<'_> {
    /// The beginning of such a record.
    pub(super) fn members(&self, action: &str, kind: &str, now: Timestamp) -> Members {
        let mut members = Members::after(INTERNAL_BEGINNING, 512);
        members.text("@timestamp", &now.to_string());
        members.raw("event.type", &format!("[\"{kind}\"]"));
        members.text("event.action", action);
        members.text("claimgate.filter", self.filter);
        members.option("service.node.name", Some(self.node).filter(|node| !node.is_empty()));
        members
    }
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
    fn reads_trace_ids() {
        let good = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(trace_id(good), Some("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!(trace_id(b"00-0af7"), None);
        assert_eq!(trace_id(b"\xff"), None);
    }
}
