//! The whole decision: no I/O, no host, no clock.

mod adding;
pub mod explain;
mod limiting;
mod outcome;
mod removing;
mod renewing;
mod routing;
mod telling;

pub use adding::Added;
pub use outcome::{Difference, Edit, Edits, Outcome, Seen};
pub use renewing::Renewing;

use crate::audit::{self, Verdict};
use crate::identity::Identity;
use crate::limit::Limits;
use crate::policy::condition::Context;
use crate::policy::operator::Truth;
use crate::policy::path::{Hazards, Segments};
use crate::policy::recent::Line;
use crate::policy::route::{Mode, Route, TokenMode};
use crate::policy::table::Table;
use crate::policy::template::{Bindings, Captured};
use crate::request::{Request, split_query};
use crate::response::{self, Code, Preflight, Quota, Refusal, Response, Responses};
use crate::time::Timestamp;
use crate::token::extract::{self, Found, Source};
use crate::token::failure::Failure;
use crate::token::renewal::Renewals;
use crate::token::trust::Recall;
use crate::token::{Error, Issuer, IssuerId, Trust, VerifiedToken};
use routing::{known_route, normal_host};

use std::cell::RefCell;
use std::rc::Rc;

/// A loaded policy.
#[derive(Debug)]
pub struct Engine {
    /// The filter's name: the realm of challenges, a label of metrics and records.
    pub name: String,
    /// Who may sign.
    pub issuers: Vec<Issuer>,
    /// What is open to whom.
    pub routes: Table,
    /// Routes on trial: what they would decide is compared.
    pub candidate: Option<Table>,
    /// How refusals and preflights are answered.
    pub responses: Responses,
    /// Identity headers.
    pub identity: Identity,
    /// What is recorded, and how.
    pub audit: audit::Settings,
    /// Whether paths are matched without case.
    pub fold_case: bool,
    /// Whether a pattern without `**` also owns its form with a final slash.
    pub final_slash: bool,
    /// The cookies that hold refresh tokens.
    pub refresh_cookies: Vec<Source>,
    /// The longest token, in bytes.
    pub max_token_bytes: usize,
    /// Whether refusals refuse.
    pub mode: Mode,
    /// How many requests of whom pass.
    pub limits: Limits,
    /// Which sessions are renewed.
    pub renewals: Renewals,
    /// Keys, and what was found out of tokens by them: the one part that changes.
    pub trust: RefCell<Trust>,
}

impl Engine {
    /// Decides on a request. Where the outcome [awaits](Outcome::awaits_fetch) something, it may be decided on again when that has
    /// come.
    pub fn decide<'a>(&'a self, request: &Request<'a>, now: Timestamp) -> Outcome<'a> {
        self.decide_with(request, now, true, None)
    }

    /// Decides on a request that waits no more.
    pub fn decide_at_last<'a>(&'a self, request: &Request<'a>, now: Timestamp) -> Outcome<'a> {
        self.decide_again(request, now, false, None)
    }

    /// Decides on a request that has waited `since`. Nobody is refused for having waited in vain: a token that was valid then is,
    /// where its renewal came to nothing.
    pub fn decide_again<'a>(
        &'a self,
        request: &Request<'a>,
        now: Timestamp,
        may_wait: bool,
        since: Option<Timestamp>,
    ) -> Outcome<'a> {
        let mut outcome = self.decide_with(request, now, may_wait, since);
        outcome.awaits_fetch &= may_wait;
        outcome
    }

    fn decide_with<'a>(
        &'a self,
        request: &Request<'a>,
        now: Timestamp,
        patient: bool,
        since: Option<Timestamp>,
    ) -> Outcome<'a> {
        let mut outcome = Outcome::new(self.mode, self.strip(request), patient);
        outcome.since = since;
        let judged = self.judge(&self.routes, request, now, &mut outcome);
        // A candidate is not counted, so that it is compared with what stands before that.
        let unlimited = judged.as_ref().err().map(|refusal| refusal.code);
        // What is decided on again is counted then.
        let judged = match judged {
            Ok(()) if !outcome.awaits() => self.limit(request, now, &mut outcome),
            judged => judged,
        };
        match judged {
            Ok(()) => self.remove_token(request, &mut outcome),
            Err(refusal) if outcome.mode == Mode::Shadow => {
                outcome.shadowed = Some(refusal);
                self.remove_token(request, &mut outcome);
            }
            Err(refusal) => {
                outcome.refusal = Some(refusal);
                outcome.edits.extend(self.hide_token(request));
            }
        }
        // Who guesses too often is refused before its token is judged: by a candidate, too.
        if let Some(candidate) = &self.candidate
            && unlimited != Some(Code::RateLimited)
        {
            outcome.difference = self.compare(candidate, request, now, &outcome, unlimited);
        }
        outcome
    }

    /// What a candidate would decide, if that is something else. It makes no request wait.
    #[cold]
    fn compare(
        &self,
        candidate: &Table,
        request: &Request<'_>,
        now: Timestamp,
        live: &Outcome<'_>,
        decided: Option<Code>,
    ) -> Option<Difference> {
        let mut trial = Outcome::new(self.mode, Edits::new(), false);
        (trial.on_trial, trial.since) = (true, live.since);
        let judged = self.judge(candidate, request, now, &mut trial);
        let code = judged.err().map(|refusal| refusal.code);
        let differs = code != decided;
        (differs && !trial.awaits_fetch && !live.awaits_fetch)
            .then_some(Difference { route: trial.route, code })
    }

    /// The answer to a request that does not reach the upstream.
    pub fn answer(&self, request: &Request<'_>, outcome: &Outcome<'_>) -> Option<Response> {
        match (&outcome.refusal, &outcome.preflight) {
            (Some(refusal), _) => {
                let sent = outcome.token_sent;
                let mut response =
                    response::render(refusal, &self.name, sent, Some(request), &self.responses);
                if self.responses.ratelimit_headers {
                    response
                        .headers
                        .extend(Quota::headers(self.quotas(outcome)).into_iter().flatten());
                }
                Some(response)
            }
            (None, Some(preflight)) => Some(preflight.answer()),
            (None, None) => None,
        }
    }

    /// The identity headers that an admitted request is given, none of which is there any more.
    pub fn identity_headers<'o>(&self, outcome: &'o Outcome<'_>) -> &'o [(Box<str>, String)] {
        match (&outcome.token, outcome.verdict()) {
            (Some(token), Verdict::Allowed) => {
                token.headers(|| self.identity.headers(token, &self.issuers))
            }
            (None, _) | (_, Verdict::Denied | Verdict::ShadowDenied) => &[],
        }
    }

    /// The way of a request (interface 1.1).
    fn judge<'a>(
        &'a self,
        table: &'a Table,
        request: &Request<'a>,
        now: Timestamp,
        outcome: &mut Outcome<'a>,
    ) -> Result<(), Refusal> {
        match self.responses.preflight(request) {
            None => self.judge_request(table, request, now, outcome),
            Some(preflight) => self.judge_preflight(preflight, table, request, now, outcome),
        }
    }

    /// A preflight takes the way of the request that is to come.
    #[cold]
    fn judge_preflight<'a>(
        &'a self,
        preflight: Preflight<'a>,
        table: &'a Table,
        request: &Request<'a>,
        now: Timestamp,
        outcome: &mut Outcome<'a>,
    ) -> Result<(), Refusal> {
        let host = normal_host(request)?;
        let host = &**outcome.host.insert(host);
        let (route, _) =
            self.route(table, request, host, preflight.method(), &mut outcome.route)?;
        if route.mode == Mode::Shadow && self.mode == Mode::Enforce {
            // The upstream goes on to answer for a route on trial; whether the request gets there is
            // decided by the route that its own method takes.
            outcome.route = None;
            return self.judge_request(table, request, now, outcome);
        }
        outcome.preflight = Some(preflight).filter(|_| self.mode == Mode::Enforce);
        Ok(())
    }

    #[inline]
    fn judge_request<'a>(
        &'a self,
        table: &'a Table,
        request: &Request<'a>,
        now: Timestamp,
        outcome: &mut Outcome<'a>,
    ) -> Result<(), Refusal> {
        let line = Line {
            authority: request.first(":authority").unwrap_or_default(),
            path: split_query(request.first(":path").unwrap_or_default()).0,
            method: request.first(":method").unwrap_or_default(),
        };
        let method = std::str::from_utf8(line.method).unwrap_or_default();
        let (route, path) = match known_route(table, &line, outcome) {
            Some(route) => (route, Segments::new()),
            None => {
                let host = normal_host(request)?;
                let host = &**outcome.host.insert(host);
                let (route, path) = self.route(table, request, host, method, &mut outcome.route)?;
                if let Some(id) = outcome.route
                    && !route.asks_for_captures()
                    && path.hazards() == Hazards::default()
                {
                    table.recent.keep(&line, host, id);
                }
                (route, path.into_plain())
            }
        };
        if route.mode == Mode::Shadow {
            outcome.mode = Mode::Shadow;
        }
        let host = outcome.host.as_deref().unwrap_or_default();
        check_upgrade(request, route)?;
        if route.token == TokenMode::None && route.require.is_none() {
            return Ok(());
        }
        let mut recall = None;
        let guesses = match outcome.route {
            Some(id) if !outcome.on_trial => self.limits.of_refused(id),
            _ => &[],
        };
        if !guesses.is_empty() && self.is_guess(request, route, now) {
            outcome.token_sent = true;
            outcome.standings = self.guessed_out(request, route, guesses, now, outcome)?;
            self.refuse_over(outcome)?;
        }
        let may_renew = self.mode == Mode::Enforce && outcome.mode == Mode::Enforce;
        let ask = Ask { request, route, now, patient: outcome.patient, since: outcome.since };
        let renewing = Some(&mut outcome.renewing).filter(|_| may_renew);
        let verified = self.token(&ask, renewing, &mut recall);
        outcome.awaits_fetch = outcome.renewing.as_ref().is_some_and(|renewing| renewing.waits);
        outcome.token_sent = !matches!(verified, Ok(None));
        let token = match verified {
            Ok(None) if route.token == TokenMode::Required => {
                return Err(Refusal::from(&Error::Missing));
            }
            Ok(token) => token,
            Err(failure) => {
                outcome.awaits_fetch = failure.awaits_fetch;
                if !guesses.is_empty() && !outcome.awaits() && failure.is_of_the_token() {
                    self.count_guess(request, route, guesses, now, outcome)?;
                }
                outcome.unverified = failure.issuer.map(|issuer| (issuer, failure.kid));
                let refusal = Refusal::from(&failure.error);
                outcome.seen = Some(Seen {
                    issuer: failure.issuer,
                    kid: failure.tag,
                    code: Some(refusal.code),
                    recall,
                });
                if route.token != TokenMode::Lenient {
                    return Err(refusal);
                }
                outcome.lenient = Some(refusal);
                None
            }
        };
        if let Some((token, places)) = token {
            let issuer = token.issuer();
            outcome.seen =
                Some(Seen { issuer: Some(issuer), kid: token.tag(), code: None, recall });
            outcome.token = Some(token);
            outcome.places = places;
            check_origin(request, route, places, issuer)?;
        }
        let token = outcome.token.as_deref();
        let Some(condition) = &route.require else {
            return Ok(());
        };
        let context = self.context(request, route, host, method, &path, outcome);
        let evaluate = || condition.evaluate(&context) == Truth::True;
        let holds = match (token, outcome.route) {
            (Some(token), Some(id)) if route.by_token_alone => {
                token.holds(table.note(id), evaluate)
            }
            _ => evaluate(),
        };
        if holds {
            return Ok(());
        }
        let scope = token.and_then(|_| condition.lacking_scopes(&context));
        Err(match scope {
            Some(scope) => Refusal {
                scope: Some(scope),
                ..Refusal::new(Code::ScopeInsufficient, "scopes do not cover the route")
            },
            None => Refusal::new(Code::ClaimsInsufficient, "condition of the route does not hold"),
        })
    }

    /// What the condition of a route reads.
    pub(crate) fn context<'c>(
        &'c self,
        request: &'c Request<'c>,
        route: &'c Route,
        host: &'c str,
        method: &'c str,
        path: &'c Segments<'c>,
        outcome: &'c Outcome<'c>,
    ) -> Context<'c> {
        let captured =
            if route.asks_for_captures() { route.captured(path) } else { Captured::default() };
        Context {
            bindings: Bindings { request, host, method, captured },
            token: outcome.token.as_deref(),
            issuers: &self.issuers,
        }
    }

    /// Whether a request has a token that is not known to verify.
    fn is_guess(&self, request: &Request<'_>, route: &Route, now: Timestamp) -> bool {
        match extract::find(request, &route.carriers) {
            Ok(None) => false,
            Ok(Some(found)) => {
                self.trust.try_borrow_mut().is_ok_and(|mut trust| !trust.knows(&found.token, now))
            }
            Err(_) => true,
        }
    }

    /// The one token of a request, verified, and where it was found.
    fn token(
        &self,
        ask: &Ask<'_, '_>,
        renewing: Option<&mut Option<Box<Renewing>>>,
        recall: &mut Option<Recall>,
    ) -> Result<Option<(Rc<VerifiedToken>, u64)>, Failure> {
        let Ask { request, route, now, .. } = *ask;
        let Some(Found { token, places }) = extract::find(request, &route.carriers)? else {
            return Ok(None);
        };
        let carried = |id: IssuerId| route.carriers_of(places, id).next().is_some();
        let mut trust = self.trust.try_borrow_mut().map_err(|_| Error::KeysUnavailable)?;
        let verified = trust.verify(&token, &self.issuers, carried, self.max_token_bytes, now);
        *recall = Some(trust.last_recall());
        let verified = match renewing {
            Some(renewing) if !self.renewals.is_empty() => {
                self.renew(ask, places, verified, &mut trust, renewing)
            }
            _ => verified,
        };
        match verified {
            Ok(verified) => Ok(Some((verified, places))),
            // Looked for last, since a token that verifies has no comma in it.
            Err(_) if extract::is_joined(request) => Err(extract::REPEATED.into()),
            Err(failure) => Err(failure),
        }
    }
}

/// A request whose token is asked for.
struct Ask<'q, 'r> {
    request: &'q Request<'r>,
    route: &'q Route,
    now: Timestamp,
    /// Whether it may wait.
    patient: bool,
    /// Since when it has waited.
    since: Option<Timestamp>,
}

fn check_upgrade(request: &Request<'_>, route: &Route) -> Result<(), Refusal> {
    let mut protocols = request.values("upgrade").flat_map(|value| value.split(|b| *b == b','));
    let taken = |protocol: &[u8]| {
        route.upgrade.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(protocol.trim_ascii()))
    };
    if protocols.all(taken) {
        return Ok(());
    }
    Err(Refusal::new(Code::NoRoute, "the route does not upgrade to this protocol"))
}

/// A token that only a cookie carries authorises no more than reading, unless the origin is known
/// (interface 1.6).
fn check_origin(
    request: &Request<'_>,
    route: &Route,
    places: u64,
    issuer: IssuerId,
) -> Result<(), Refusal> {
    let method = request.first(":method").unwrap_or_default();
    let reads = matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE");
    if reads && request.first("upgrade").is_none() {
        return Ok(());
    }
    let safe = route.carriers_of(places, issuer).any(|carrier| match &carrier.source {
        Source::Cookie { origins, .. } => extract::origin_allowed(request, origins),
        Source::Header { .. } | Source::Query { .. } | Source::WebsocketProtocol { .. } => true,
    });
    if safe {
        return Ok(());
    }
    Err(Refusal::new(Code::OriginRefused, "a cookie's token from a foreign or unknown origin"))
}
