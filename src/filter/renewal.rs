//! Asks providers for new tokens, from the root context: a client that leaves loses none.

use super::fetch::ask;
use super::host::{self, Buffer, Map};
use super::root::{Call, Gate};
use crate::engine::Engine;
use crate::metrics::RenewalOutcome;
use crate::time::Timestamp;
use crate::token::IssuerId;
use crate::token::cookie;
use crate::token::fetching::too_large;
use crate::token::renewal::{Answer, Candidate, Due, MAX_BYTES, Settled, Tokens};
use hashbrown::HashSet;
use log::{info, warn};
use std::cell::RefCell;

/// How many calls of one worker may be under way, and as many more to be begun.
const MAX_CALLS: usize = 1024;

/// The renewals of one worker.
#[derive(Default)]
pub struct Renewer {
    /// Those that the next tick begins.
    queue: RefCell<Vec<Due>>,
    /// The issuers whose last call failed: it is told once.
    failing: RefCell<HashSet<IssuerId>>,
}

impl Renewer {
    /// Has a session renewed.
    pub fn push(&self, gate: &Gate, due: Due) {
        if let Ok(mut queue) = self.queue.try_borrow_mut()
            && queue.len() < MAX_CALLS
            && !queue.iter().any(|queued| queued.is_same(&due))
        {
            queue.push(due);
            gate.hurry_at_once();
        }
    }

    /// Begins what is queued, where no other worker has.
    pub fn begin(&self, gate: &Gate, engine: &Engine, now: Timestamp) {
        let queue = self.queue.try_borrow_mut().map(|mut queue| std::mem::take(&mut *queue));
        for due in queue.unwrap_or_default() {
            let under_way = gate.calls.try_borrow().map_or(usize::MAX, |calls| calls.len());
            if under_way >= MAX_CALLS {
                // The requests that wait for it ask again.
                continue;
            }
            match engine.renewals.claim(&due, now) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(reason) => {
                    self.tell(gate, engine, &due, Err(reason.to_owned()));
                    continue;
                }
            }
            let Some((headers, body)) = engine.renewals.request(&due) else { continue };
            let Some(renewal) = engine.renewals.of(due.issuer) else { continue };
            let headers = headers.iter().map(|(name, value)| (*name, &**value)).collect();
            let asked = ask(&renewal.endpoint, headers, Some(body.as_bytes()));
            let reason = match (asked, gate.calls.try_borrow_mut()) {
                (Ok(token), Ok(mut calls)) => {
                    calls.insert(token, Call::Renewal(Box::new(due)));
                    continue;
                }
                (Ok(_), Err(_)) => "the filter's own list of calls is in use".to_owned(),
                (Err(reason), _) => reason,
            };
            self.settle(gate, engine, &due, Err(reason), now);
        }
    }

    /// Ends a call. An answer without headers is none.
    pub fn end(
        &self,
        gate: &Gate,
        engine: &Engine,
        due: &Due,
        headers: usize,
        size: usize,
        now: Timestamp,
    ) {
        let settled = if headers == 0 {
            Err("no answer in time, or a longer one than Envoy takes".to_owned())
        } else if size > MAX_BYTES {
            Err(too_large(size, MAX_BYTES))
        } else {
            let map = host::header_map(Map::CallResponseHeaders).unwrap_or_default();
            let pairs = host::pairs(&map).unwrap_or_default();
            let status = pairs.iter().find(|(name, _)| *name == b":status");
            let status = status.map(|(_, value)| *value).unwrap_or_default();
            let body = host::buffer(Buffer::CallResponseBody, size);
            body.map_err(|denied| denied.to_string())
                .and_then(|body| Answer::read(status, &body))
                .and_then(|answer| judge(engine, due, answer, now))
        };
        self.settle(gate, engine, due, settled, now);
    }

    fn settle(
        &self,
        gate: &Gate,
        engine: &Engine,
        due: &Due,
        settled: Result<Settled, String>,
        now: Timestamp,
    ) {
        let mut nonce = [0; 24];
        let recorded = settled.as_ref().unwrap_or(&Settled::Failed);
        let recorded = match host::random(&mut nonce) {
            Ok(()) => engine.renewals.settle(due, recorded, now, nonce).map_err(str::to_owned),
            Err(denied) => Err(denied.to_string()),
        };
        self.tell(gate, engine, due, recorded.and(settled));
    }

    fn tell(&self, gate: &Gate, engine: &Engine, due: &Due, settled: Result<Settled, String>) {
        let outcome = match &settled {
            Ok(Settled::Renewed(_)) => RenewalOutcome::Renewed,
            Ok(Settled::Refused) => RenewalOutcome::Refused,
            Ok(Settled::Failed) | Err(_) => RenewalOutcome::Failed,
        };
        gate.count_renewal(due.issuer, outcome);
        let Ok(mut failing) = self.failing.try_borrow_mut() else { return };
        let issuer = engine.issuers.get(due.issuer.0).map_or("", |issuer| &issuer.name);
        match settled {
            Err(reason) => {
                if failing.insert(due.issuer) {
                    warn!("claimgate: sessions of issuer `{issuer}` are not renewed: {reason}");
                }
            }
            Ok(_) => {
                if failing.remove(&due.issuer) {
                    info!("claimgate: sessions of issuer `{issuer}` are renewed again");
                }
            }
        }
    }
}

/// The first token of an answer that continues the session.
fn judge(engine: &Engine, due: &Due, answer: Answer, now: Timestamp) -> Result<Settled, String> {
    let Candidate { tokens, refresh } = match answer {
        Answer::Refused => return Ok(Settled::Refused),
        Answer::Tokens(candidate) => candidate,
    };
    let mut trust = engine.trust.try_borrow_mut().map_err(|_| "the keys are in use")?;
    let mut why = String::new();
    for token in tokens {
        let text = token.expose().as_bytes();
        if text.len() > cookie::LONGEST {
            why = "the new token is longer than cookies hold".to_owned();
            continue;
        }
        let accepted = |id| id == due.issuer;
        match trust.verify(text, &engine.issuers, accepted, engine.max_token_bytes, now) {
            Ok(verified) if due.is_continued_by(&verified) => {
                return Ok(Settled::Renewed(Tokens { token, refresh }));
            }
            Ok(_) => why = "the new token is about another subject".to_owned(),
            // By a key, or a list, that is on the way: it is verified when it is used, and the old one is of no use any more.
            Err(failure) if failure.awaits_fetch => {
                return Ok(Settled::Renewed(Tokens { token, refresh }));
            }
            // The access token's fault is the one to tell: it comes first.
            Err(failure) if why.is_empty() => why = format!("the new token: {}", failure.error),
            Err(_) => {}
        }
    }
    Err(why)
}
