//! The context of one stream: reads the headers, asks the engine, applies what it says.

use super::host::{self, Denied, Map};
use super::root::Gate;
use crate::audit::{Decision, Draft, End};
use crate::engine::Edit;
use crate::metrics::AuditOutcome;
use crate::policy::route::Mode;
use crate::request::{CertificateField, Peer, Request};
use crate::response::{self, Code, Refusal};
use crate::time::Timestamp;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// The context of one stream.
pub struct Http {
    context: u32,
    gate: Rc<Gate>,
    draft: Option<Draft>,
    /// What is shared with the root context, which acts for a stream that waits.
    pending: Option<Rc<Pending>>,
}

/// A stream whose request waits, or has waited.
pub struct Pending {
    /// Whether its request has a body.
    body: bool,
    waits: Cell<bool>,
    draft: RefCell<Option<Draft>>,
}

impl Pending {
    /// Whether it still waits.
    pub fn waits(&self) -> bool {
        self.waits.get()
    }

    /// Decides on its request again; the host has to be acting for its stream.
    pub fn retry(&self, gate: &Gate, may_wait: bool) -> Step {
        let (step, draft) = step(gate, self.body, may_wait);
        self.waits.set(step == Step::Wait);
        self.draft.replace(draft);
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
        Self { context, gate, draft: None, pending: None }
    }

    fn waits(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.waits())
    }

    /// Ends the wait, if there is one: the root context is not to act for this stream any more.
    fn settle(&mut self) {
        if let Some(pending) = self.pending.take() {
            pending.waits.set(false);
            self.draft = pending.draft.take();
        }
    }

    fn strip_trailers(&self) -> Result<(), Fault> {
        let engine = self.gate.engine.as_ref().ok_or(CLOSED)?;
        let map = host::header_map(Map::RequestTrailers)?;
        let trailers = host::pairs(&map).ok_or(CUT_SHORT)?;
        for (name, _) in trailers.iter().filter(|(name, _)| engine.manages(name)) {
            host::remove_header(Map::RequestTrailers, name)?;
        }
        Ok(())
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.settle();
    }
}

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _: usize, ended: bool) -> Action {
        let (step, draft) = step(&self.gate, !ended, self.gate.waiting.has_room());
        self.draft = draft;
        match step {
            Step::Pass => Action::Continue,
            Step::Answered => Action::Pause,
            Step::Wait => {
                let now = host::now().unwrap_or(Timestamp::from_nanos(0));
                let (waits, draft) = (Cell::new(true), RefCell::default());
                let pending = Rc::new(Pending { body: !ended, waits, draft });
                self.pending = Some(Rc::clone(&pending));
                self.gate.waiting.push(self.context, pending, now);
                self.gate.hurry();
                Action::Pause
            }
        }
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
                self.draft = Some(refuse(&self.gate, &why));
                Action::Pause
            }
        }
    }

    fn on_log(&mut self) {
        self.settle();
        let Some(draft) = self.draft.take() else {
            return;
        };
        let now = host::now().unwrap_or(Timestamp::from_nanos(0));
        let status = draft.answered_with().or_else(|| {
            let code = host::property("response\0code")?;
            let code = u64::from_le_bytes(*code.first_chunk::<8>()?);
            u16::try_from(code).ok().filter(|code| *code != 0)
        });
        let line = draft.finish(&End { status, client: client_address(), now });
        match host::log(self.gate.audit_level.get(), &line) {
            Ok(()) => self.gate.count_audit(AuditOutcome::Written),
            Err(denied) => {
                self.gate.tell(&denied);
                self.gate.count_audit(AuditOutcome::Dropped);
            }
        }
    }
}

/// Decides on the request of the stream that the host is acting for, and carries that out. Whatever is
/// decided leaves the draft of a record, if it is to have one.
fn step(gate: &Gate, body: bool, may_wait: bool) -> (Step, Option<Draft>) {
    let mut draft = None;
    match decide(gate, body, may_wait, &mut draft) {
        Ok(step) => (step, draft),
        Err(why) => (Step::Answered, Some(refuse(gate, &why))),
    }
}

fn decide(
    gate: &Gate,
    body: bool,
    may_wait: bool,
    draft: &mut Option<Draft>,
) -> Result<Step, Fault> {
    let engine = gate.engine.as_ref().ok_or(CLOSED)?;
    let now = host::now()?;
    let map = host::header_map(Map::RequestHeaders)?;
    let headers = host::pairs(&map).ok_or(CUT_SHORT)?;
    let request = Request::new(&headers, &HostPeer).with_body(body);
    let outcome = engine.decide(&request, now);
    gate.time(&outcome, now);
    if outcome.awaits_keys && may_wait && outcome.mode == Mode::Enforce {
        return Ok(Step::Wait);
    }
    let verdict = outcome.verdict();
    let answer = engine.answer(&request, &outcome);
    if engine.audit.records(verdict) || outcome.difference.is_some() {
        let status = answer.as_ref().map(|answer| answer.status);
        let decision = engine.describe(&outcome);
        *draft = Some(Draft::new(&decision, Some(&request), &gate.node, status, now));
    } else {
        gate.count_audit(AuditOutcome::SampledOut);
    }
    for edit in &outcome.edits {
        apply(edit)?;
    }
    for (name, value) in engine.identity_headers(&outcome) {
        host::add_header(Map::RequestHeaders, name, value.as_bytes())?;
    }
    host::set_property("claimgate", &engine.filter_state(&outcome))?;
    if let Some(answer) = &answer {
        host::respond(answer)?;
    }
    if let Ok(mut counters) = gate.counters.try_borrow_mut() {
        counters.count(&outcome);
    }
    Ok(if answer.is_some() { Step::Answered } else { Step::Pass })
}

/// Refuses a request on which no decision could be carried out.
fn refuse(gate: &Gate, why: &Fault) -> Draft {
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
    let draft = Draft::new(&decision, request.as_ref(), &gate.node, Some(response.status), now);
    // What can still be told or hidden is; the refusal stands all the same.
    let _ = host::set_property("claimgate", &decision.filter_state());
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
    draft
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
        client_address()
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

/// Envoy's client address, which it tells with a port.
fn client_address() -> Option<IpAddr> {
    let address = String::from_utf8(host::property("source\0address")?).ok()?;
    // An IPv4 address in IPv6 clothes is the same client.
    address.parse::<SocketAddr>().ok().map(|address| address.ip().to_canonical())
}
