//! Decides on requests that are made up, and says what came of them as client and upstream would see it.

use super::ask::Ask;
use super::cases::{Case, Credential};
use super::expect::Mismatch;
use super::policy::{Policy, place_of};
use super::tree::{self, Node};
use crate::output::Finding;
use claimgate::audit::{Verdict, without_tokens};
use claimgate::config::Place;
use claimgate::engine::{Edit, Engine, Outcome};
use claimgate::policy::route::Mode;
use claimgate::request::Request;
use claimgate::response::Code;
use claimgate::time::Timestamp;
use serde::Serialize;

/// What was decided, as far as it shows.
pub struct Decided {
    pub decision: Verdict,
    pub code: Option<Code>,
    /// The evidence.
    pub reason: Option<String>,
    /// The route's name.
    pub route: Option<String>,
    /// Its place in the list.
    pub route_index: Option<usize>,
    pub mode: Mode,
    /// The headers that the upstream gets, pseudo-headers included, where the request passes.
    pub upstream: Vec<(String, String)>,
    /// What the client gets instead, where it does not: a refusal, or the answer to a preflight.
    pub response: Option<Answer>,
    /// What each part of the route's condition says, where it was asked.
    pub condition: Option<Node>,
}

/// An answer of the filter's.
#[derive(Serialize)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Decided {
    /// What an outcome comes to.
    pub fn tell<'a>(
        engine: &'a Engine,
        raw: &serde_json::Value,
        request: &Request<'a>,
        outcome: &Outcome<'a>,
    ) -> Self {
        let refused = outcome.refused();
        let route = outcome.route.map(|id| id.0);
        let condition = route.filter(|_| is_asked(outcome)).and_then(|route| {
            let trace = engine.explain(request, outcome).condition;
            tree::of_route(engine, raw, route, Some(&trace?))
        });
        Self {
            decision: outcome.verdict(),
            code: refused.map(|refusal| refusal.code),
            reason: refused.map(|refusal| refusal.reason.to_string()),
            route: route.and_then(|id| engine.routes.get(id)).map(|route| route.name.to_string()),
            route_index: route,
            mode: outcome.mode,
            upstream: upstream(engine, request, outcome),
            response: answer(engine, request, outcome),
            condition,
        }
    }
}

/// Whether the decision came to the condition of the route.
fn is_asked(outcome: &Outcome<'_>) -> bool {
    if outcome.preflight.is_some() {
        return false;
    }
    match outcome.refusal.as_ref().or(outcome.shadowed.as_ref()).map(|refusal| refusal.code) {
        None | Some(Code::ClaimsInsufficient | Code::ScopeInsufficient) => true,
        // Requests are counted after all else; who guesses is refused before a token is judged.
        Some(Code::RateLimited) => {
            outcome.token.is_some() || outcome.lenient.is_some() || !outcome.token_sent
        }
        Some(_) => false,
    }
}

/// The headers that the upstream gets, as the filter makes them; empty where the request is answered.
fn upstream(
    engine: &Engine,
    request: &Request<'_>,
    outcome: &Outcome<'_>,
) -> Vec<(String, String)> {
    if outcome.refusal.is_some() || outcome.preflight.is_some() {
        return Vec::new();
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut headers: Vec<(String, String)> =
        request.headers().iter().map(|(name, value)| (text(name), text(value))).collect();
    for edit in &outcome.edits {
        match edit {
            Edit::Remove(name) => headers.retain(|(own, _)| own.as_bytes() != *name),
            Edit::Replace(name, value) => {
                headers.retain(|(own, _)| own != name);
                headers.push(((*name).to_owned(), text(value)));
            }
        }
    }
    let identity = engine.identity_headers(outcome);
    headers.extend(identity.iter().map(|(name, value)| (name.to_string(), value.clone())));
    headers
}

fn answer(engine: &Engine, request: &Request<'_>, outcome: &Outcome<'_>) -> Option<Answer> {
    let response = engine.answer(request, outcome)?;
    let mut headers: Vec<(String, String)> =
        response.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let body = String::from_utf8_lossy(&response.body).into_owned();
    let Some(status) = response.grpc_status else {
        return Some(Answer { status: response.status, headers, body });
    };
    // Envoy answers a gRPC request so, with the body as the message.
    headers.push(("grpc-status".to_owned(), status.to_string()));
    headers.push(("grpc-message".to_owned(), body));
    Some(Answer { status: 200, headers, body: String::new() })
}

/// The path of a request with every token out of it, also what only might be one.
pub fn target(engine: &Engine, request: &Request<'_>) -> String {
    let cut = engine.responses.without_tokens(request);
    let path = cut.as_deref().or(request.first(":path")).unwrap_or_default();
    without_tokens(&String::from_utf8_lossy(path)).into_owned()
}

/// A case that ran.
pub struct Ran<'c> {
    pub case: &'c Case,
    /// What was asked for, without tokens.
    pub request: String,
    pub decided: Decided,
    pub differences: Vec<Mismatch>,
}

/// Runs a case.
///
/// # Errors
/// Where it cannot be run.
pub fn run<'c>(
    policy: &Policy,
    case: &'c Case,
    now: Timestamp,
    file: &str,
) -> Result<Ran<'c>, Finding> {
    let wrong = |place: &Place, message: String| Finding {
        file: file.to_owned(),
        place: place_of(place),
        ..Finding::error(message)
    };
    let issuer = case.issuer.as_deref();
    let (ask, engine) =
        prepare(policy, case.ask.clone(), &case.credential, issuer, now).map_err(|trouble| {
            match trouble {
                Trouble::Issuer(message) => wrong(&case.place.key("issuer"), message),
                Trouble::Claims(message) => wrong(&case.place.key("claims"), message),
                Trouble::Policy(finding) => finding,
            }
        })?;
    let headers = ask.headers();
    let request = Request::new(&headers, &ask.connection);
    let outcome = last_of(policy, engine, case.times, &request, now);
    let decided = Decided::tell(engine, &policy.raw, &request, &outcome);
    let path = target(engine, &request);
    let times = if case.times == 1 { String::new() } else { format!(", {} times", case.times) };
    let request = format!("{} {}{path}{times}", ask.method, ask.host);
    let mut differences = case.expect.differences(&decided);
    for Mismatch { expected, got, .. } in &mut differences {
        for text in [expected, got] {
            *text = without_tokens(text).into_owned();
        }
    }
    Ok(Ran { case, request, decided, differences })
}

/// Decides on a request so many times, all at once and where nothing was counted before. What comes of the last one.
pub fn last_of<'e>(
    policy: &Policy,
    engine: &'e Engine,
    times: u32,
    request: &Request<'e>,
    now: Timestamp,
) -> Outcome<'e> {
    policy.start_anew();
    for _ in 1..times {
        engine.decide_at_last(request, now);
    }
    engine.decide_at_last(request, now)
}

/// Why a request cannot be decided on.
pub enum Trouble {
    /// There is no such issuer.
    Issuer(String),
    /// These make no token.
    Claims(String),
    /// The configuration does not load.
    Policy(Finding),
}

/// A request with what it brings, and the engine that is to judge it: made-up keys judge made-up tokens, and the
/// true ones all others.
pub fn prepare<'p>(
    policy: &'p Policy,
    mut ask: Ask,
    credential: &Credential,
    issuer: Option<&str>,
    now: Timestamp,
) -> Result<(Ask, &'p Engine), Trouble> {
    let made_up = match credential {
        Credential::Claims(claims) => {
            let issuer = policy.issuer(issuer).map_err(Trouble::Issuer)?;
            let token = policy.token(issuer, claims, now).map_err(Trouble::Claims)?;
            carry(&mut ask, issuer, &token);
            true
        }
        Credential::Token(token) => {
            carry(&mut ask, policy.issuer(issuer).map_err(Trouble::Issuer)?, token);
            false
        }
        // Its headers may hold a token all the same, which made-up keys would misjudge.
        Credential::None => {
            let headers = ask.headers();
            let request = Request::new(&headers, &ask.connection);
            !policy.made_up.decide(&request, now).token_sent
        }
    };
    let engine = if made_up { &policy.made_up } else { policy.real().map_err(Trouble::Policy)? };
    Ok((ask, engine))
}

fn carry(ask: &mut Ask, issuer: &claimgate::token::Issuer, token: &str) {
    if let Some(source) = issuer.sources.first() {
        ask.carry(token, source);
    }
}
