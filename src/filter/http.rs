//! The context of one stream: reads the headers, asks the engine, applies what it says.

use super::host::{self, Denied, Map};
use super::root::Gate;
use crate::audit::{Decision, Draft, End, Verdict};
use crate::engine::{Edit, Engine, Outcome};
use crate::request::{CertificateField, Peer, Request};
use crate::response::{self, Code, Protocol, Refusal};
use crate::time::Timestamp;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// See the module.
pub struct Http {
    gate: Rc<Gate>,
    draft: Option<Draft>,
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
    pub fn new(gate: Rc<Gate>) -> Self {
        Self { gate, draft: None }
    }

    fn decide(&mut self) -> Result<Action, Fault> {
        let gate = Rc::clone(&self.gate);
        let engine = gate.engine.as_ref().ok_or(CLOSED)?;
        let now = host::now()?;
        let map = host::header_map(Map::RequestHeaders)?;
        let headers = host::pairs(&map).ok_or(CUT_SHORT)?;
        let request = Request::new(&headers, &HostPeer);
        let outcome = engine.decide(&request, now);
        // From here on the stream ends with a record.
        let decision = engine.describe(&outcome);
        self.draft = Some(Draft::new(&decision, Some(&request), &gate.node, now));
        for edit in &outcome.edits {
            apply(edit)?;
        }
        host::set_property("claimgate", &decision.filter_state())?;
        let action = carry_out(engine, &request, &outcome)?;
        if let Ok(mut counters) = gate.counters.try_borrow_mut() {
            let code = outcome.refused().map(|refusal| refusal.code);
            counters.count(outcome.route, outcome.verdict(), code);
        }
        Ok(action)
    }

    /// Refuses a request on which no decision could be carried out.
    fn refuse(&mut self, why: &Fault) -> Action {
        self.gate.tell(why);
        if let Ok(mut counters) = self.gate.counters.try_borrow_mut() {
            counters.count(None, Verdict::Denied, Some(Code::InternalError));
        }
        let now = host::now().unwrap_or(Timestamp::from_nanos(0));
        let why = why.to_string();
        let decision = Decision::internal_error(self.gate.name(), &why);
        let map = host::header_map(Map::RequestHeaders).ok();
        let headers = map.as_deref().and_then(host::pairs);
        let request = headers.as_deref().map(|headers| Request::new(headers, &HostPeer));
        self.draft = Some(Draft::new(&decision, request.as_ref(), &self.gate.node, now));
        // What can still be told or hidden is; the refusal stands all the same.
        let _ = host::set_property("claimgate", &decision.filter_state());
        if let (Some(engine), Some(request)) = (&self.gate.engine, &request)
            && let Some(edit) = engine.hide_token(request)
        {
            let _ = apply(&edit);
        }
        let header = |name| request.as_ref().and_then(|request| request.first(name));
        let (protocol, id) = (Protocol::of(header("content-type")), header("x-request-id"));
        let refusal = Refusal::new(Code::InternalError, "");
        let response = response::render(&refusal, self.gate.name(), false, protocol, id);
        if host::respond(&response).is_err() {
            // The host takes no answer either. A trap makes Envoy refuse the request; anything else
            // would leave it open or hanging.
            std::process::abort();
        }
        Action::Pause
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

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.decide().unwrap_or_else(|why| self.refuse(&why))
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        match self.strip_trailers() {
            Ok(()) => Action::Continue,
            Err(why) => self.refuse(&why),
        }
    }

    fn on_log(&mut self) {
        let Some(draft) = self.draft.take() else {
            return;
        };
        let now = host::now().unwrap_or(Timestamp::from_nanos(0));
        let status = draft.refused_with().or_else(|| {
            let code = host::property("response\0code")?;
            let code = u64::from_le_bytes(*code.first_chunk::<8>()?);
            u16::try_from(code).ok().filter(|code| *code != 0)
        });
        let line = draft.finish(&End { status, client: client_address(), now });
        if let Err(denied) = host::log(self.gate.audit_level.get(), &line) {
            self.gate.tell(&denied);
        }
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
        Edit::Add(name, value) => host::add_header(Map::RequestHeaders, name, value.as_bytes()),
    }
}

fn carry_out(
    engine: &Engine,
    request: &Request<'_>,
    outcome: &Outcome<'_>,
) -> Result<Action, Fault> {
    let Some(refusal) = &outcome.refusal else {
        return Ok(Action::Continue);
    };
    let protocol = Protocol::of(request.first("content-type"));
    let id = request.first("x-request-id");
    let response = response::render(refusal, &engine.name, outcome.token_sent, protocol, id);
    host::respond(&response)?;
    Ok(Action::Pause)
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
