//! The audit records of one worker: which are written, and the chain that they make.

use super::host::{self, Denied};
use super::root::Gate;
use crate::audit::heads::Table;
use crate::audit::{Caps, Chain, Draft, End, Heads, Integrity, Internal, Members, Named};
use crate::audit::{Settings, Share, Verdict, Volume};
use crate::metrics::AuditOutcome;
use crate::time::Timestamp;
use hashbrown::HashMap;
use log::{error, warn};
use std::cell::{Cell, RefCell};

/// How often what workers share is written again, where others write at the same time: each of them succeeds in one try.
const TRIES: usize = 64;

/// See the module.
pub struct Journal {
    /// The level of the lines: what is configured, else info where the host prints it, else warn.
    level: Cell<log::Level>,
    /// Whether the host does not print lines of that level.
    silent: Cell<bool>,
    /// Whether it was told that records are lost.
    lost: Cell<bool>,
    /// The drafts of streams that have not ended, by their contexts.
    open: RefCell<HashMap<u32, Draft>>,
    volume: RefCell<Volume>,
    chain: RefCell<Option<Chain>>,
    heads: Option<Heads>,
    /// Whether it was told that the host lets workers share nothing.
    alone: Cell<bool>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            level: Cell::new(log::Level::Warn),
            silent: Cell::new(false),
            lost: Cell::new(false),
            open: RefCell::default(),
            volume: RefCell::default(),
            chain: RefCell::default(),
            heads: None,
            alone: Cell::new(false),
        }
    }
}

impl Journal {
    /// The journal of a policy. `seed` is random.
    pub fn new(settings: &Settings, seed: Option<u64>) -> Self {
        let mut journal = Self::default();
        if let Some(seed) = seed {
            journal.volume.get_mut().seed(seed);
        }
        journal.heads = settings.integrity.as_ref().map(Heads::new);
        journal
    }

    /// Whether a decision of this share is to be recorded.
    pub fn draws(&self, gate: &Gate, share: Share) -> bool {
        let draw = || self.volume.try_borrow_mut().is_ok_and(|mut volume| volume.draws(share));
        let drawn = share == Share::All || draw();
        if !drawn && share != Share::None {
            gate.count_audit(AuditOutcome::SampledOut);
        }
        drawn
    }

    /// Takes in the draft of a stream.
    pub fn enter(&self, context: u32, draft: Draft) {
        if let Ok(mut open) = self.open.try_borrow_mut() {
            open.insert(context, draft);
        }
    }

    /// Takes out the draft of a stream.
    pub fn leave(&self, context: u32) -> Option<Draft> {
        let mut open = self.open.try_borrow_mut().ok()?;
        // The usual case where nothing is recorded.
        if open.is_empty() { None } else { open.remove(&context) }
    }

    /// Writes the record of a stream that ends.
    pub fn end(&self, gate: &Gate, draft: Draft, end: &End) {
        let verdict = draft.verdict();
        self.write(gate, draft.finish(end), verdict, end.now);
    }

    /// Records the start of streams that are open for long, and closes the chain so far by a checkpoint when it is time.
    pub fn tick(&self, gate: &Gate, now: Option<Timestamp>) {
        let settings = gate.engine.as_ref().map(|engine| &engine.audit);
        let level = settings.and_then(|settings| settings.level).unwrap_or_else(|| {
            let info = host::prints(log::Level::Info) == Some(true);
            if info { log::Level::Info } else { log::Level::Warn }
        });
        self.level.set(level);
        self.silent.set(host::prints(level) == Some(false));
        let (Some(settings), Some(now)) = (settings, now) else { return };
        let mut started = Vec::new();
        if let Ok(mut open) = self.open.try_borrow_mut() {
            for draft in open.values_mut() {
                let verdict = draft.verdict();
                let record = draft.announce(settings.open_after, now);
                started.extend(record.map(|record| (record, verdict)));
            }
        }
        for (record, verdict) in started {
            self.write(gate, record, verdict, now);
        }
        if let Some(integrity) = &settings.integrity {
            let due = |chain: &Chain| chain.is_due(integrity, now);
            if self.chain.try_borrow().is_ok_and(|chain| chain.as_ref().is_some_and(due)) {
                self.checkpoint(gate, integrity, false, now);
            }
        }
    }

    /// Ends the chain. Whatever is recorded after this begins another.
    pub fn close(&self, gate: &Gate) {
        let integrity = gate.engine.as_ref().and_then(|engine| engine.audit.integrity.as_ref());
        if let (Some(integrity), Ok(now)) = (integrity, host::now()) {
            self.checkpoint(gate, integrity, true, now);
        }
        if let Ok(mut chain) = self.chain.try_borrow_mut() {
            *chain = None;
        }
    }

    fn write(&self, gate: &Gate, mut record: Members, verdict: Verdict, now: Timestamp) {
        let settings = gate.engine.as_ref().map(|engine| &engine.audit);
        let caps = settings.map_or_else(Caps::default, |settings| settings.caps);
        let Ok(mut volume) = self.volume.try_borrow_mut() else { return };
        if self.silent.get() {
            self.lose(gate, "Envoy's log does not print their level: see `audit.level`");
            volume.drop(1);
            return;
        }
        if !volume.admits(&caps, verdict, now) {
            gate.count_audit(AuditOutcome::Dropped);
            return;
        }
        let dropped = volume.take_dropped();
        record.dropped(dropped);
        let integrity = settings.and_then(|settings| settings.integrity.as_ref());
        let line = match integrity {
            None => Ok(record.close()),
            Some(integrity) => self.seal(gate, integrity, record, now),
        };
        match line.and_then(|line| host::log(self.level.get(), &line)) {
            Ok(()) => gate.count_audit(AuditOutcome::Written),
            Err(denied) => {
                self.lose(gate, &denied.to_string());
                volume.drop(dropped.saturating_add(1));
            }
        }
    }

    /// Counts a record that is lost, and tells why, once.
    fn lose(&self, gate: &Gate, why: &str) {
        gate.count_audit(AuditOutcome::Dropped);
        if !self.lost.replace(true) {
            error!("claimgate: audit records are lost: {why}");
        }
    }

    /// Makes a record the next one of the chain, which it opens if there is none.
    fn seal(
        &self,
        gate: &Gate,
        integrity: &Integrity,
        record: Members,
        now: Timestamp,
    ) -> Result<String, Denied> {
        let Ok(mut chain) = self.chain.try_borrow_mut() else { return Ok(record.close()) };
        if let Some(chain) = chain.as_mut() {
            return Ok(chain.seal(record, now));
        }
        let mut id = [0; 16];
        host::random(&mut id)?;
        let before = self.share(now, |table| table.take_ended()).flatten();
        let internal = Internal { filter: gate.name(), node: &gate.node };
        let (mut opened, line) = Chain::open(id, integrity, &internal, before.as_ref(), now);
        host::log(self.level.get(), &line)?;
        self.tell(opened.head(), false, now);
        let line = opened.seal(record, now);
        *chain = Some(opened);
        Ok(line)
    }

    fn checkpoint(&self, gate: &Gate, integrity: &Integrity, closed: bool, now: Timestamp) {
        let (Ok(mut chain), Ok(mut volume)) =
            (self.chain.try_borrow_mut(), self.volume.try_borrow_mut())
        else {
            return;
        };
        let Some(chain) = chain.as_mut().filter(|_| !self.silent.get()) else { return };
        let own = chain.head().chain.clone();
        let heads = self.share(now, |table| table.others(&own)).unwrap_or_default();
        let internal = Internal { filter: gate.name(), node: &gate.node };
        let dropped = volume.take_dropped();
        let Some(line) = chain.checkpoint(integrity, &internal, &heads, dropped, closed, now)
        else {
            volume.drop(dropped);
            return self.lose(gate, "a checkpoint cannot be signed");
        };
        match host::log(self.level.get(), &line) {
            Ok(()) => self.tell(chain.head(), closed, now),
            Err(denied) => self.lose(gate, &denied.to_string()),
        }
    }

    /// Tells the other workers of a chain's newest record.
    fn tell(&self, head: &Named, ended: bool, now: Timestamp) {
        self.share(now, |table| table.tell(head, ended));
    }

    /// Changes what the workers share of their chains.
    fn share<T>(&self, now: Timestamp, change: impl Fn(&mut Table) -> T) -> Option<T> {
        let heads = self.heads.as_ref()?;
        for _ in 0..TRIES {
            let shared = host::shared(heads.name().as_bytes()).and_then(|(bytes, version)| {
                let before = heads.read(&bytes, now);
                let mut table = before.clone();
                let result = change(&mut table);
                let written = table == before
                    || host::share(heads.name().as_bytes(), &heads.write(&table), version)?;
                Ok(written.then_some(result))
            });
            match shared {
                Ok(Some(result)) => return Some(result),
                Ok(None) => {}
                Err(denied) => {
                    if !self.alone.replace(true) {
                        warn!(
                            "claimgate: {denied}: checkpoints do not name the chains of other workers"
                        );
                    }
                    return None;
                }
            }
        }
        None
    }
}
