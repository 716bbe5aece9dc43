//! What is counted of each record.

use super::counts::Counts;
use claimgate::audit::link::Stamp;
use claimgate::response::Code;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The most hours that are told apart, a year and more; the oldest are let go first.
const MAX_HOURS: usize = 9_600;
/// The most days that are told apart.
const MAX_DAYS: usize = 4_000;

/// What is read of a record.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, rename = "@timestamp", default)]
    timestamp: Cow<'a, str>,
    #[serde(borrow, rename = "event.action", default)]
    action: Cow<'a, str>,
    #[serde(borrow, rename = "event.code", default)]
    code: Cow<'a, str>,
    #[serde(borrow, rename = "user.id", default)]
    subject: Cow<'a, str>,
    #[serde(borrow, rename = "claimgate.issuer", default)]
    issuer: Cow<'a, str>,
    #[serde(borrow, rename = "claimgate.route", default)]
    route: Cow<'a, str>,
    #[serde(borrow, rename = "http.request.method", default)]
    method: Cow<'a, str>,
    #[serde(borrow, rename = "url.path", default)]
    path: Cow<'a, str>,
    #[serde(borrow, rename = "client.ip", default)]
    client: Cow<'a, str>,
    #[serde(rename = "claimgate.shadow", default)]
    shadow: bool,
    #[serde(rename = "claimgate.audit.dropped", default)]
    dropped: u64,
}

/// An hour or a day.
#[derive(Clone, Default, serde::Serialize)]
pub struct Span {
    pub requests: u64,
    pub denied: u64,
    /// Refused since their token did not verify.
    pub invalid_tokens: u64,
    /// Refusals by code.
    pub codes: BTreeMap<&'static str, u64>,
}

/// What was counted.
#[derive(Default)]
pub struct Tally {
    pub records: u64,
    pub unreadable: u64,
    pub dropped: u64,
    pub shadow_denied: u64,
    pub total: Span,
    pub first: Option<String>,
    pub last: Option<String>,
    pub subjects: Counts,
    pub routes: Counts,
    pub endpoints: Counts,
    /// Clients by their refused requests.
    pub failures: Counts,
    pub hours: BTreeMap<String, Span>,
    pub days: BTreeMap<String, Span>,
}

impl Tally {
    /// Counts a record that came at or after `since` and before `until`.
    pub fn add(&mut self, text: &str, since: Option<Stamp>, until: Option<Stamp>) {
        let Ok(record) = serde_json::from_str::<Record<'_>>(text) else {
            self.unreadable += 1;
            return;
        };
        let time = &*record.timestamp;
        let stamp = Stamp::parse(time);
        let (Some(stamp), Some(hour), Some(day)) = (stamp, time.get(..13), time.get(..10)) else {
            self.unreadable += 1;
            return;
        };
        if since.is_some_and(|since| stamp < since) || until.is_some_and(|until| stamp >= until) {
            return;
        }
        self.records += 1;
        self.dropped = self.dropped.saturating_add(record.dropped);
        if self.first.as_deref().is_none_or(|first| time < first) {
            self.first = Some(time.to_owned());
        }
        if self.last.as_deref().is_none_or(|last| time > last) {
            self.last = Some(time.to_owned());
        }
        let denied = match &*record.action {
            "access-allowed" => false,
            "access-denied" => true,
            // The start of a stream whose end is counted, or about the chain of records.
            _ => return,
        };
        self.shadow_denied += u64::from(record.shadow);
        let code = denied.then(|| known(&record.code)).flatten();
        for span in [
            &mut self.total,
            spanned(&mut self.hours, hour, MAX_HOURS),
            spanned(&mut self.days, day, MAX_DAYS),
        ] {
            span.requests += 1;
            span.denied += u64::from(denied);
            if denied {
                *span.codes.entry(code.map_or("other", Code::name)).or_default() += 1;
            }
            span.invalid_tokens += u64::from(code.is_some_and(is_invalid_token));
        }
        if !record.subject.is_empty() {
            let who = match &*record.issuer {
                "" => record.subject,
                issuer => format!("{} ({issuer})", record.subject).into(),
            };
            self.subjects.add(&who, denied);
        }
        self.routes.add(if record.route.is_empty() { "(none)" } else { &record.route }, denied);
        if !record.path.is_empty() {
            self.endpoints.add(&format!("{} {}", record.method, record.path), denied);
        }
        if denied && !record.client.is_empty() {
            self.failures.add(&record.client, true);
        }
    }
}

fn known(code: &str) -> Option<Code> {
    Code::ALL.into_iter().find(|known| known.name() == code)
}

fn is_invalid_token(code: Code) -> bool {
    code.status() == 401 && code != Code::TokenMissing
}

fn spanned<'t>(spans: &'t mut BTreeMap<String, Span>, time: &str, most: usize) -> &'t mut Span {
    if !spans.contains_key(time) && spans.len() >= most {
        spans.pop_first();
    }
    spans.entry(time.to_owned()).or_default()
}
