//! Counters, gathered here and flushed on the tick: a host call for each request is spared.

use super::host::{self, Denied, Metric};
use crate::audit::{NO_CODE, Verdict};
use crate::engine::{Engine, Outcome, Seen};
use crate::limit::LimitId;
use crate::metrics::{self, AuditOutcome, KeySetOutcome, RenewalOutcome};
use crate::policy::RouteId;
use crate::policy::route::Mode;
use crate::policy::table::Table;
use crate::response::Code;
use crate::time::Timestamp;
use crate::token::IssuerId;
use crate::token::kids::KidTag;
use hashbrown::HashMap;

/// How many different things may have happened before they are sorted into counters, so that what
/// a second can gather is bounded.
const MAX_HAPPENED: usize = 4096;
/// How many verifications are timed between two flushes: enough to know how long they take, and few
/// enough that a flood of new tokens does not pay for the clock.
const MAX_TIMED: u8 = 8;

/// What one worker counted. The number of counters is bounded: by routes, issuers, 18 kids of each,
/// outcomes and codes.
#[derive(Default)]
pub struct Counters {
    /// What happened since the last flush: one place for all that is counted of a request.
    happened: HashMap<Key, (Happening, u32)>,
    requests: HashMap<(Option<RouteId>, Verdict, Option<Code>), Counter>,
    tokens: HashMap<(Option<IssuerId>, KidTag, Option<Code>), Counter>,
    recalls: HashMap<&'static str, Counter>,
    /// By the candidate's route.
    differences: HashMap<Option<RouteId>, Counter>,
    key_sets: HashMap<(IssuerId, KeySetOutcome), Counter>,
    renewals: HashMap<(IssuerId, RenewalOutcome), Counter>,
    /// By whether the limit refuses.
    limited: HashMap<(LimitId, Mode), Counter>,
    evictions: Counter,
    /// In the order of [`AuditOutcome::ALL`].
    audit: [Counter; AuditOutcome::ALL.len()],
    /// The host's name for the histogram.
    verify: Option<u32>,
    /// How many verifications were timed since the last flush.
    timed: u8,
}

/// All that is counted of one request.
#[derive(Clone, Copy)]
struct Happening {
    route: Option<RouteId>,
    verdict: Verdict,
    code: Option<Code>,
    token: Option<Seen>,
}

/// A [`Happening`] in two words, which hash and compare faster than their many parts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key(u64, u64);

#[derive(Default)]
struct Counter {
    id: Option<u32>,
    pending: u32,
}

impl Counters {
    /// Counts a decision.
    pub fn count(&mut self, outcome: &Outcome<'_>) {
        self.happen(Happening {
            route: outcome.route,
            verdict: outcome.verdict(),
            code: outcome.refused().map(|refusal| refusal.code),
            token: outcome.seen,
        });
        if let Some(difference) = &outcome.difference {
            self.differences.entry(difference.route).or_default().add(1);
        }
    }

    /// Counts the limits that a request was past.
    pub fn count_limits(&mut self, engine: &Engine, outcome: &Outcome<'_>) {
        let over = outcome.standings.iter().filter(|standing| !standing.room.passes());
        for standing in over {
            let mode = match engine.limits.get(standing.limit) {
                Some(limit) if outcome.mode == Mode::Enforce => limit.mode,
                _ => Mode::Shadow,
            };
            self.limited.entry((standing.limit, mode)).or_default().add(1);
        }
    }

    /// Counts a request on which no decision could be carried out.
    pub fn count_internal_error(&mut self) {
        let code = Some(Code::InternalError);
        self.happen(Happening { route: None, verdict: Verdict::Denied, code, token: None });
    }

    /// Counts what became of the audit record of a decision.
    pub fn count_audit(&mut self, outcome: AuditOutcome) {
        if let Some(counter) = self.audit.get_mut(outcome as usize) {
            counter.add(1);
        }
    }

    /// Counts a fetch of keys.
    pub fn count_key_set(&mut self, issuer: IssuerId, outcome: KeySetOutcome) {
        self.key_sets.entry((issuer, outcome)).or_default().add(1);
    }

    /// Counts the renewal of a session.
    pub fn count_renewal(&mut self, issuer: IssuerId, outcome: RenewalOutcome) {
        self.renewals.entry((issuer, outcome)).or_default().add(1);
    }

    /// Records how long it took from `started` to now, for some.
    #[cold]
    pub fn record_time(&mut self, started: Timestamp) -> Result<(), Denied> {
        if self.timed >= MAX_TIMED {
            return Ok(());
        }
        self.timed += 1;
        let taken = host::now()?.as_nanos().saturating_sub(started.as_nanos());
        let id = match self.verify {
            Some(id) => id,
            None => *self.verify.insert(host::define_metric(Metric::Histogram, metrics::VERIFY)?),
        };
        host::record_metric(id, taken / 1000)
    }

    fn happen(&mut self, happening: Happening) {
        let (_, times) = self.happened.entry(happening.key()).or_insert((happening, 0));
        *times = times.saturating_add(1);
        if self.happened.len() >= MAX_HAPPENED {
            self.sort();
        }
    }

    /// Sorts what happened into the counters.
    fn sort(&mut self) {
        for (_, (happening, times)) in self.happened.drain() {
            let Happening { route, verdict, code, token } = happening;
            self.requests.entry((route, verdict, code)).or_default().add(times);
            let Some(seen) = token else { continue };
            self.tokens.entry((seen.issuer, seen.kid, seen.code)).or_default().add(times);
            if let Some(recall) = seen.recall {
                self.recalls.entry(recall.name()).or_default().add(times);
            }
        }
    }

    /// Hands everything to the host. What it refuses is kept for the next time.
    ///
    /// # Errors
    /// The first refusal; the others are tried all the same.
    pub fn flush(&mut self, filter: &str, engine: Option<&Engine>) -> Result<(), Denied> {
        self.timed = 0;
        self.sort();
        let mut all = Ok(());
        let mut note = |flushed: Result<(), Denied>| {
            if all.is_ok() {
                all = flushed;
            }
        };
        let name_of = |table: Option<&Table>, route: &Option<RouteId>| {
            let route = route.and_then(|id| table?.get(id.0));
            route.map_or(metrics::NONE, |route| &route.name).to_owned()
        };
        let live = engine.map(|engine| &engine.routes);
        for ((route, verdict, code), counter) in &mut self.requests {
            note(counter.flush(|| {
                let labels = [
                    ("filter", filter),
                    ("route", &*name_of(live, route)),
                    ("outcome", verdict.name()),
                    ("code", code.map_or(NO_CODE, Code::name)),
                ];
                metrics::name(metrics::REQUESTS, &labels)
            }));
        }
        for ((issuer, kid, code), counter) in &mut self.tokens {
            note(counter.flush(|| token_name(filter, engine, *issuer, *kid, *code)));
        }
        for (recall, counter) in &mut self.recalls {
            note(counter.flush(|| metrics::name(metrics::TOKEN_CACHE, &[("outcome", recall)])));
        }
        let candidate = engine.and_then(|engine| engine.candidate.as_ref());
        for (route, counter) in &mut self.differences {
            note(counter.flush(|| {
                metrics::name(metrics::DIFFERENCES, &[("route", &*name_of(candidate, route))])
            }));
        }
        let of_issuer = |metric: &str, issuer: IssuerId, outcome: &str| {
            let issuer = engine.and_then(|engine| engine.issuers.get(issuer.0));
            let issuer = issuer.map_or(metrics::NONE, |issuer| &issuer.name);
            metrics::name(metric, &[("issuer", issuer), ("outcome", outcome)])
        };
        for ((issuer, outcome), counter) in &mut self.key_sets {
            note(counter.flush(|| of_issuer(metrics::KEY_SETS, *issuer, outcome.name())));
        }
        for ((issuer, outcome), counter) in &mut self.renewals {
            note(counter.flush(|| of_issuer(metrics::RENEWALS, *issuer, outcome.name())));
        }
        for ((limit, mode), counter) in &mut self.limited {
            let limit = engine.and_then(|engine| engine.limits.get(*limit));
            note(counter.flush(|| {
                let limit = limit.map_or(metrics::NONE, |limit| &limit.name);
                metrics::name(metrics::LIMITED, &[("limit", limit), ("mode", mode.name())])
            }));
        }
        if let Some(engine) = engine.filter(|engine| !engine.limits.is_empty()) {
            self.evictions.add(engine.limits.take_evictions());
            note(self.evictions.define(|| metrics::LIMIT_EVICTIONS.to_owned()));
        }
        for (outcome, counter) in AuditOutcome::ALL.iter().zip(&mut self.audit) {
            note(counter.define(|| metrics::name(metrics::AUDIT, &[("outcome", outcome.name())])));
        }
        all
    }
}

/// The metric of a token's. A `kid` is named only where a key of the issuer has it.
fn token_name(
    filter: &str,
    engine: Option<&Engine>,
    issuer: Option<IssuerId>,
    kid: KidTag,
    code: Option<Code>,
) -> String {
    let name = issuer.and_then(|id| engine?.issuers.get(id.0)).map(|issuer| &*issuer.name);
    let trust = engine.and_then(|engine| engine.trust.try_borrow().ok());
    let known = issuer.zip(trust.as_ref()).and_then(|(id, trust)| trust.keyring().kid(id, kid));
    let kid = match (kid, known) {
        (KidTag::None, _) => metrics::NONE.into(),
        (_, Some(known)) => metrics::kid(known),
        (KidTag::Known(_) | KidTag::Other, None) => metrics::OTHER.into(),
    };
    let stranger = if code == Some(Code::IssuerUnknown) { metrics::UNKNOWN } else { metrics::NONE };
    let labels = [
        ("filter", filter),
        ("issuer", name.unwrap_or(stranger)),
        ("kid", &*kid),
        ("outcome", code.map_or(metrics::VALID, Code::name)),
    ];
    metrics::name(metrics::TOKENS, &labels)
}

impl Happening {
    fn key(&self) -> Key {
        let id = |id: Option<usize>| id.map_or(0, |id| id as u64 + 1) & 0xFFFF_FFFF;
        let code = |code: Option<Code>| code.map_or(0, |code| code as u64 + 1) << 40;
        let route = id(self.route.map(|route| route.0));
        let request = route | (self.verdict as u64) << 32 | code(self.code);
        let Some(seen) = &self.token else { return Key(request, 0) };
        let kid = match seen.kid {
            KidTag::None => 0,
            KidTag::Known(place) => u64::from(place) + 1,
            KidTag::Other => 0xFF,
        };
        let recall = seen.recall.map_or(0, |recall| recall as u64 + 1);
        // The top bit tells a token of which nothing is known from none.
        let token = id(seen.issuer.map(|issuer| issuer.0)) | kid << 32 | code(seen.code);
        Key(request, token | recall << 48 | 1 << 63)
    }
}

impl Counter {
    fn add(&mut self, times: u32) {
        self.pending = self.pending.saturating_add(times);
    }

    /// Hands the count to the host, under a name that is made once.
    fn flush(&mut self, name: impl FnOnce() -> String) -> Result<(), Denied> {
        if self.pending == 0 { Ok(()) } else { self.define(name) }
    }

    /// The same, and a count of zero too, so that the first one is an increase.
    fn define(&mut self, name: impl FnOnce() -> String) -> Result<(), Denied> {
        if self.pending == 0 && self.id.is_some() {
            return Ok(());
        }
        let id = match self.id {
            Some(id) => id,
            None => *self.id.insert(host::define_metric(Metric::Counter, &name())?),
        };
        // Envoy takes no increase of zero: a counter stands at it once it is defined.
        if self.pending > 0 {
            host::increment_metric(id, self.pending.into())?;
            self.pending = 0;
        }
        Ok(())
    }
}
