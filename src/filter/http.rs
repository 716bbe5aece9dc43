//! The context of one stream: reads the headers, asks the engine, applies what it says.

use super::additions;
use super::host::{self, Denied, Map};
use super::root::Gate;
use crate::audit::redact::{Redaction, ShowPath};
use crate::audit::{Decision, Draft, End, Shown, Verdict};
use crate::engine::Edit;
use crate::policy::route::Mode;
use crate::request::{CertificateField, Peer, Request};
use crate::response::{self, Code, Refusal};
use crate::time::Timestamp;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// The context of one stream.
pub struct Http {
    context: u32,
    gate: Rc<Gate>,
    /// What is shared with the root context, which acts for a stream that waits.
    pending: Option<Rc<Pending>>,
}

/// A stream whose request waits, or has waited.
pub struct Pending {
    /// Whether its request has a body.
    body: bool,
    waits: Cell<bool>,
    context: u32,
}

impl Pending {
    /// Whether it still waits.
    pub fn waits(&self) -> bool {
        self.waits.get()
    }

    /// Decides on its request again; the host has to be acting for its stream.
    pub fn retry(&self, gate: &Gate, may_wait: bool, since: Timestamp) -> Step {
        let step = step(gate, self.context, self.body, may_wait, Some(since));
        self.waits.set(step == Step::Wait);
        step
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It goes on.
    Pass,
    /// It was answered: refused, or a preflight.
    Answered,
    /// It is not decided yet.
    Wait,
}

/// Why no decision could be carried out.
enum Fault {
    Denied(Denied),
    Broken(&'static str),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Denied(denied) => denied.fmt(f),
            Self::Broken(what) => f.write_str(what),
        }
    }
}

impl From<Denied> for Fault {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

const CLOSED: Fault = Fault::Broken("the gate is closed");
const CUT_SHORT: Fault = Fault::Broken("the host's headers are cut short");

impl Http {
    /// A stream's context.
    pub fn new(context: u32, gate: Rc<Gate>) -> Self {
        Self { context, gate, pending: None }
    }

    fn waits(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.waits())
    }

    /// Ends the wait, if there is one: the root context is not to act for this stream any more.
    fn settle(&mut self) {
        if let Some(pending) = self.pending.take() {
            pending.waits.set(false);
        }
    }

    fn strip_trailers(&self) -> Result<(), Fault> {
        let engine = self.gate.serving().ok_or(CLOSED)?;
        let map = host::header_map(Map::RequestTrailers)?;
        let trailers = host::pairs(&map).ok_or(CUT_SHORT)?;
        for (name, _) in trailers.iter().filter(|(name, _)| engine.manages(name)) {
            host::remove_header(Map::RequestTrailers, name)?;
        }
        Ok(())
    }
}

/// The end of the stream. Envoy logs a stream right before it deletes it: one callback for both is the cheaper.
impl Drop for Http {
    fn drop(&mut self) {
        self.settle();
        self.gate.additions.leave(self.context);
        let Some(draft) = self.gate.journal.leave(self.context) else {
            return;
        };
        let now = host::now().unwrap_or(Timestamp::from_nanos(0));
        let status = draft.answered_with().or_else(|| {
            let code = host::property("response\0code")?;
            let code = u64::from_le_bytes(*code.first_chunk::<8>()?);
            u16::try_from(code).ok().filter(|code| *code != 0)
        });
        self.gate.journal.end(&self.gate, draft, &End { status, client: client(), now });
    }
}

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _: usize, ended: bool) -> Action {
        match step(&self.gate, self.context, !ended, self.gate.waiting.has_room(), None) {
            Step::Pass => Action::Continue,
            Step::Answered => Action::Pause,
            Step::Wait => {
                let now = host::now().unwrap_or(Timestamp::from_nanos(0));
                let (waits, context) = (Cell::new(true), self.context);
                let pending = Rc::new(Pending { body: !ended, waits, context });
                self.pending = Some(Rc::clone(&pending));
                self.gate.waiting.push(self.context, pending, now);
                self.gate.hurry();
                Action::Pause
            }
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if let Some(added) = self.gate.additions.leave(self.context)
            && let Err(denied) = additions::apply(added)
        {
            self.gate.tell_unsaid(&denied);
        }
        Action::Continue
    }

    /// Called while a request waits only where the host stops the headers alone.
    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        if self.waits() { Action::Pause } else { Action::Continue }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        match self.strip_trailers() {
            Ok(()) if self.waits() => Action::Pause,
            Ok(()) => Action::Continue,
            Err(why) => {
                self.settle();
                refuse(&self.gate, self.context, &why);
                Action::Pause
            }
        }
    }
}

/// Decides on the request of the stream that the host is acting for, and carries that out. Whatever is
/// decided leaves the draft of a record, if it is to have one. `since` is when it began to wait, if it has.
fn step(gate: &Gate, context: u32, body: bool, may_wait: bool, since: Option<Timestamp>) -> Step {
    decide(gate, context, body, may_wait, since).unwrap_or_else(|why| {
        refuse(gate, context, &why);
        Step::Answered
    })
}

fn decide(
    gate: &Gate,
    context: u32,
    body: bool,
    may_wait: bool,
    since: Option<Timestamp>,
) -> Result<Step, Fault> {
    let engine = gate.serving().ok_or(CLOSED)?;
    let now = host::now()?;
    let map = host::header_map(Map::RequestHeaders)?;
    let headers = host::pairs(&map).ok_or(CUT_SHORT)?;
    let request = Request::new(&headers, &HostPeer).with_body(body);
    let mut outcome = engine.decide_again(&request, now, may_wait, since);
    gate.time(&outcome, now);
    if outcome.awaits_fetch && outcome.mode == Mode::Enforce {
        if let Some(due) = outcome.renewing.as_mut().and_then(|renewing| renewing.due.take()) {
            gate.renewer.push(gate, due);
        }
        return Ok(Step::Wait);
    }
    let answer = engine.answer(&request, &outcome);
    let note = engine.note(&outcome);
    if gate.journal.draws(gate, engine.share(&outcome)) {
        let status = answer.as_ref().map(|answer| answer.status);
        gate.journal
            .enter(context, engine.draft(&request, &outcome, &note, &gate.node, status, now));
    }
    for edit in &outcome.edits {
        apply(edit)?;
    }
    for (name, value) in engine.identity_headers(&outcome) {
        host::add_header(Map::RequestHeaders, name, value.as_bytes())?;
    }
    host::set_property("claimgate", &note.state)?;
    let added = engine.added(&mut outcome, now);
    if !added.is_empty() {
        gate.additions.enter(context, added);
    }
    if let Some(answer) = &answer {
        host::respond(answer)?;
    }
    if let Ok(mut counters) = gate.counters.try_borrow_mut() {
        counters.count(&outcome);
        if !outcome.standings.is_empty() {
            counters.count_limits(engine, &outcome);
        }
    }
    Ok(if answer.is_some() { Step::Answered } else { Step::Pass })
}

/// Refuses a request on which no decision could be carried out.
fn refuse(gate: &Gate, context: u32, why: &Fault) {
    gate.tell(why);
    if let Ok(mut counters) = gate.counters.try_borrow_mut() {
        counters.count_internal_error();
    }
    let now = host::now().unwrap_or(Timestamp::from_nanos(0));
    let why = why.to_string();
    let decision = Decision::internal_error(gate.name(), &why);
    let map = host::header_map(Map::RequestHeaders).ok();
    let headers = map.as_deref().and_then(host::pairs);
    let request = headers.as_deref().map(|headers| Request::new(headers, &HostPeer));
    let refusal = Refusal::new(Code::InternalError, "");
    let responses = gate.engine.as_ref().map_or(&gate.responses, |engine| &engine.responses);
    let response = response::render(&refusal, gate.name(), false, request.as_ref(), responses);
    // Without a configuration nobody said that a path may be shown.
    let cautious = Redaction { path: ShowPath::Route, ..Redaction::default() };
    let redaction = gate.engine.as_ref().map_or(&cautious, |engine| &engine.audit.redaction);
    let members = decision.members(redaction, &gate.node);
    let path = request.as_ref().and_then(|request| responses.without_tokens(request));
    let shown = request.as_ref().map(|request| Shown {
        request,
        host: None,
        redaction,
        path: path.as_deref(),
    });
    let status = Some(response.status);
    let draft = Draft::new(Verdict::Denied, &members, shown.as_ref(), status, now);
    gate.journal.enter(context, draft);
    // What can still be told or hidden is; the refusal stands all the same.
    let _ = host::set_property("claimgate", &decision.state(redaction));
    if let (Some(engine), Some(request)) = (&gate.engine, &request)
        && let Some(edit) = engine.hide_token(request)
    {
        let _ = apply(&edit);
    }
    if host::respond(&response).is_err() {
        // The host takes no answer either. A trap makes Envoy refuse the request; anything else
        // would leave it open or hanging.
        std::process::abort();
    }
}

fn apply(edit: &Edit<'_>) -> Result<(), Denied> {
    match edit {
        Edit::Remove(name) => host::remove_header(Map::RequestHeaders, name),
        // Envoy replaces the first of several values only.
        Edit::Replace(name, value) => {
            host::remove_header(Map::RequestHeaders, name.as_bytes())?;
            host::add_header(Map::RequestHeaders, name, value)
        }
    }
}

/// The connection, asked by properties.
struct HostPeer;

impl Peer for HostPeer {
    fn client_address(&self) -> Option<IpAddr> {
        // An IPv4 address in IPv6 clothes is the same client.
        client().map(|address| address.ip().to_canonical())
    }

    fn certificate(&self, field: CertificateField) -> Option<String> {
        let path = match field {
            CertificateField::UriSan => "connection\0uri_san_peer_certificate",
            CertificateField::DnsSan => "connection\0dns_san_peer_certificate",
            CertificateField::Subject => "connection\0subject_peer_certificate",
            CertificateField::Sha256 => "connection\0sha256_peer_certificate_digest",
        };
        host::property(path).and_then(|value| String::from_utf8(value).ok())
    }
}

/// Envoy's client address, with the peer's port, or 0 where a header tells the address.
fn client() -> Option<SocketAddr> {
    String::from_utf8(host::property("source\0address")?).ok()?.parse().ok()
}
