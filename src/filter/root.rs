//! The root context: loads the configuration, ticks, and makes a context for each stream.

use super::additions::Additions;
use super::counters::Counters;
use super::fetch;
use super::gauges::{self, Gauges};
use super::host::{self, Buffer, Denied};
use super::http::Http;
use super::journal::Journal;
use super::renewal::Renewer;
use super::shared::{self, Shared};
use super::waiting::Waiting;
use crate::config;
use crate::engine::{Engine, Outcome};
use crate::metrics::{AuditOutcome, KeySetOutcome, LoadOutcome, RenewalOutcome};
use crate::response::Responses;
use crate::time::Timestamp;
use crate::token::IssuerId;
use crate::token::renewal::Due;
use crate::token::signature::Hosted;
use crate::token::trust::{Expired, FetchId, Recall};
use hashbrown::HashMap;
use log::{error, info, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// How often counters are flushed and what is due is looked for, in milliseconds.
const TICK: u32 = 1000;
/// How often while requests wait.
const FAST_TICK: u32 = 50;

/// What an answer is awaited for.
pub enum Call {
    /// A document.
    Fetch(FetchId),
    /// A session.
    Renewal(Box<Due>),
}

/// What the streams of one configuration share in one worker.
pub struct Gate {
    /// The policy, if one was loaded.
    pub engine: Option<Engine>,
    /// Whether every request is refused all the same: the host denies something.
    closed: bool,
    /// How a closed gate answers.
    pub responses: Responses,
    /// What prepares keys.
    pub backend: Hosted,
    /// The calls that are under way, by the host's names for them.
    pub calls: RefCell<HashMap<u32, Call>>,
    /// The requests that wait for them.
    pub waiting: Waiting,
    /// Renews sessions.
    pub renewer: Renewer,
    /// What answers get.
    pub additions: Additions,
    /// The period of the tick that was last asked for, in milliseconds.
    period: Cell<u32>,
    /// About how many milliseconds of ticks passed since the last one of [`TICK`].
    passed: Cell<u32>,
    /// Envoy's node id.
    pub node: String,
    /// Audit records.
    pub journal: Journal,
    /// Counters.
    pub counters: RefCell<Counters>,
    gauges: RefCell<Gauges>,
    /// Whether a refusal of the host was told; the log need not repeat it for every request.
    told: Cell<bool>,
    /// Whether it was told that counters are refused.
    uncounted: Cell<bool>,
    /// Whether it was told that headers of answers are.
    unsaid: Cell<bool>,
}

impl Gate {
    fn new(engine: Option<Engine>, backend: Hosted) -> Self {
        Self {
            engine,
            closed: false,
            responses: Responses::default(),
            backend,
            calls: RefCell::default(),
            renewer: Renewer::default(),
            additions: Additions::default(),
            waiting: Waiting::default(),
            period: Cell::new(TICK),
            passed: Cell::new(0),
            node: String::new(),
            journal: Journal::default(),
            counters: RefCell::default(),
            gauges: RefCell::default(),
            told: Cell::new(false),
            uncounted: Cell::new(false),
            unsaid: Cell::new(false),
        }
    }

    /// The policy that decides; none refuses every request.
    pub fn serving(&self) -> Option<&Engine> {
        self.engine.as_ref().filter(|_| !self.closed)
    }

    /// The filter's name.
    pub fn name(&self) -> &str {
        self.engine.as_ref().map_or("claimgate", |engine| &engine.name)
    }

    /// Tells once that the host refuses what a decision needs.
    pub fn tell(&self, why: &dyn std::fmt::Display) {
        if !self.told.replace(true) {
            error!("claimgate: {why}: requests are refused with 503 internal_error");
        }
    }

    /// Asks for ticks to come soon: a request waits.
    pub fn hurry(&self) {
        self.set_period(FAST_TICK);
    }

    /// Asks for the next tick to come at once: there is something to begin.
    pub fn hurry_at_once(&self) {
        self.set_period(1);
    }

    fn set_period(&self, period: u32) {
        if self.period.replace(period) != period
            && let Err(denied) = host::set_tick_period(period)
        {
            self.tell(&denied);
        }
    }

    /// Tells once that the host refuses to count.
    fn tell_uncounted(&self, counted: Result<(), Denied>) {
        if let Err(denied) = counted
            && !self.uncounted.replace(true)
        {
            warn!("claimgate: {denied}: requests are decided, and not counted");
        }
    }

    /// Tells that the host refuses what an answer was to say besides.
    pub fn tell_unsaid(&self, denied: &Denied) {
        if !self.unsaid.replace(true) {
            warn!("claimgate: {denied}: answers lack cookies or headers that they were to get");
        }
    }

    /// Records how long a decision took, where it took a signature: only then is the clock read
    /// again, a few times a second.
    pub fn time(&self, outcome: &Outcome<'_>, started: Timestamp) {
        if outcome.seen.is_some_and(|seen| seen.recall == Some(Recall::Checked))
            && let Ok(mut counters) = self.counters.try_borrow_mut()
        {
            self.tell_uncounted(counters.record_time(started));
        }
    }

    /// Counts what became of an audit record.
    pub fn count_audit(&self, outcome: AuditOutcome) {
        if let Ok(mut counters) = self.counters.try_borrow_mut() {
            counters.count_audit(outcome);
        }
    }

    /// Counts a fetch of keys.
    pub fn count_key_set(&self, issuer: IssuerId, outcome: KeySetOutcome) {
        if let Ok(mut counters) = self.counters.try_borrow_mut() {
            counters.count_key_set(issuer, outcome);
        }
    }

    /// Counts the renewal of a session.
    pub fn count_renewal(&self, issuer: IssuerId, outcome: RenewalOutcome) {
        if let Ok(mut counters) = self.counters.try_borrow_mut() {
            counters.count_renewal(issuer, outcome);
        }
    }

    /// Tells once that this worker serves.
    fn serve(&self) {
        if let (Some(_), Ok(mut gauges)) = (self.serving(), self.gauges.try_borrow_mut()) {
            self.tell_uncounted(gauges.serve());
        }
    }

    fn flush(&self) {
        if let Ok(mut counters) = self.counters.try_borrow_mut() {
            self.tell_uncounted(counters.flush(self.name(), self.engine.as_ref()));
        }
        if let (Some(engine), Ok(mut gauges)) = (self.serving(), self.gauges.try_borrow_mut()) {
            self.tell_uncounted(gauges.flush(engine, self.waiting.len()));
        }
    }

    fn tick(&self) {
        self.journal.tick(self, host::now().ok());
        self.flush();
    }

    /// Ticks come faster while requests wait; what is not about these waits for its second.
    fn tick_each_second(&self) {
        let passed = self.passed.get().saturating_add(self.period.get());
        self.passed.set(if passed >= TICK { 0 } else { passed });
        if passed >= TICK {
            self.tick();
        }
    }

    /// Asks for what is due, lets go what is too old, and decides on requests that waited for it.
    fn call_out(&self, root: u32) {
        let (Some(engine), Ok(now)) = (self.serving(), host::now()) else { return };
        let expired = engine.trust.try_borrow_mut().map(|mut trust| trust.expire(now));
        let name = |issuer: IssuerId| engine.issuers.get(issuer.0).map_or("", |it| &it.name);
        for expired in expired.unwrap_or_default() {
            match expired {
                Expired::Keys(issuer) => {
                    self.count_key_set(issuer, KeySetOutcome::Expired);
                    let issuer = name(issuer);
                    warn!(
                        "claimgate: keys of issuer `{issuer}` are older than `max_stale`, and gone"
                    );
                }
                Expired::Revocations(issuer) => {
                    let issuer = name(issuer);
                    warn!("claimgate: revocations of issuer `{issuer}` are older than `max_stale`");
                }
            }
        }
        fetch::begin(self, engine, now);
        self.renewer.begin(self, engine, now);
        self.waiting.retry(self, root, now);
        let urgent = engine.trust.try_borrow().is_ok_and(|trust| trust.is_urgent());
        let fast = urgent || !self.waiting.is_empty();
        self.set_period(if fast { FAST_TICK } else { TICK });
    }

    /// Whether anything is asked for.
    fn has_calls(&self) -> bool {
        let Some(engine) = self.serving() else { return false };
        let remotes = || engine.trust.try_borrow().is_ok_and(|trust| trust.has_remotes());
        !engine.renewals.is_empty() || remotes()
    }
}

/// See the module.
pub struct Root {
    context: u32,
    gate: Rc<Gate>,
}

impl Root {
    /// A root context that refuses everything until it is configured.
    pub fn new(context: u32) -> Self {
        Self { context, gate: Rc::new(Gate::new(None, Hosted::default())) }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.gate.journal.close(&self.gate);
        self.gate.flush();
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, size: usize, _: usize) {
        if let (Some(engine), Ok(now)) = (self.gate.serving(), host::now()) {
            let calls = self.gate.calls.try_borrow_mut();
            match calls.ok().and_then(|mut calls| calls.remove(&token)) {
                Some(Call::Fetch(id)) => fetch::end(&self.gate, engine, id, headers, size, now),
                Some(Call::Renewal(due)) => {
                    self.gate.renewer.end(&self.gate, engine, &due, headers, size, now);
                }
                None => {}
            }
            self.gate.waiting.retry(&self.gate, self.context, now);
        }
    }
}

impl RootContext for Root {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http::new(context, Rc::clone(&self.gate))))
    }

    /// Loads the configuration. False refuses it, and depends on its bytes and the environment
    /// alone: a worker that answered false, after the main thread answered true, would serve
    /// without the filter. Whatever the host denies leaves a gate that is closed instead.
    fn on_configure(&mut self, size: usize) -> bool {
        let bytes = match host::buffer(Buffer::PluginConfiguration, size) {
            Ok(bytes) => bytes,
            Err(denied) => {
                self.close(Gate::new(None, Hosted::default()), &denied);
                return true;
            }
        };
        let plugin = host::property("plugin_name").unwrap_or_default();
        let plugin = String::from_utf8_lossy(&plugin);
        let started = host::now().ok();
        let backend = Hosted::probe(host::verify_signature);
        let mut loaded = match config::load(&bytes, &plugin, &environment, &backend) {
            Ok(loaded) => loaded,
            Err(wrong) => {
                error!("claimgate: configuration refused: {wrong}");
                // The log has said it: a host that counts nothing changes nothing.
                let _ = gauges::count_load(LoadOutcome::Refused);
                return false;
            }
        };
        for warning in &loaded.warnings {
            warn!("claimgate: {warning}");
        }
        if let Ok(seed) = getrandom::u64() {
            loaded.engine.trust.get_mut().remember(seed);
        }
        let journal = Journal::new(&loaded.engine.audit, getrandom::u64().ok());
        let mut gate = Gate::new(Some(loaded.engine), backend);
        gate.journal = journal;
        gate.node = host::property("xds\0node\0id")
            .map(|id| String::from_utf8_lossy(&id).into_owned())
            .unwrap_or_default();
        match self.probe(&mut gate, &loaded.digest) {
            Ok(()) => {
                gate.tick();
                if let Some(engine) = &gate.engine {
                    let taken = started
                        .zip(host::now().ok())
                        .map(|(started, now)| now.as_millis().saturating_sub(started.as_millis()));
                    info!(
                        "claimgate {}: `{}` loaded in {} ms, routes: {}, issuers: {}, the host verifies: {:?}",
                        env!("CARGO_PKG_VERSION"),
                        engine.name,
                        taken.unwrap_or_default(),
                        engine.routes.len(),
                        engine.issuers.len(),
                        backend.proven()
                    );
                }
                self.gate = Rc::new(gate);
            }
            Err(denied) => self.close(gate, &denied),
        }
        true
    }

    fn on_tick(&mut self) {
        self.gate.serve();
        self.gate.tick_each_second();
        if self.gate.has_calls() {
            self.gate.call_out(self.context);
        }
    }
}

impl Root {
    /// Serves with a gate that refuses every request, and records that as the configuration has it.
    fn close(&mut self, mut gate: Gate, why: &Denied) {
        let _ = gauges::count_load(LoadOutcome::Closed);
        gate.closed = true;
        gate.tell(why);
        gate.tick();
        self.gate = Rc::new(gate);
    }

    /// Asks the host for what every decision needs, and for what the configuration does.
    fn probe(&self, gate: &mut Gate, digest: &str) -> Result<(), Denied> {
        host::now()?;
        host::set_tick_period(TICK)?;
        gate.gauges.get_mut().open(digest)?;
        host::try_property("plugin_name")?;
        // Audit lines go to the log: without it nothing would be told of who was let in.
        host::log(log::Level::Debug, "claimgate: the host grants what is needed")?;
        if gate.engine.as_ref().is_some_and(|engine| engine.audit.integrity.is_some()) {
            // For the ids of chains, and for signatures.
            host::random(&mut [0; 16])?;
        }
        if let Some(Engine { limits, renewals, name, .. }) = &mut gate.engine {
            shared::open(limits, name)?;
            if !renewals.is_empty() {
                host::random(&mut [0; 24])?;
                let shelf = Shared::new(&format!("renewals {name}"));
                // Whether it can be read and written.
                host::share(&shelf.name(Shared::PROBE), &[], 0)?;
                renewals.open(Box::new(shelf));
            }
        }
        if gate.has_calls() {
            // The first tick is to come at once.
            host::set_effective_context(self.context)?;
            gate.hurry();
        }
        Ok(())
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the host's side")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
