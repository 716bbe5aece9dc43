//! Requests whose decision waits for keys or lists that are being fetched, or for the renewal of their session. Nothing of them
//! reaches the upstream meanwhile.

use super::host;
use super::http::{Pending, Step};
use super::root::Gate;
use crate::time::Timestamp;
use std::cell::RefCell;
use std::rc::Rc;

/// How many requests of one worker may wait; further ones are decided with what is at hand.
const MAX_WAITING: usize = 1024;
/// How long a request may wait, in milliseconds.
const MAX_WAIT: i64 = 5_000;

/// See the module.
#[derive(Default)]
pub struct Waiting(RefCell<Vec<Waiter>>);

struct Waiter {
    context: u32,
    since: Timestamp,
    pending: Rc<Pending>,
}

impl Waiting {
    /// Whether one more may wait.
    pub fn has_room(&self) -> bool {
        self.0.try_borrow().is_ok_and(|waiters| waiters.len() < MAX_WAITING)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.try_borrow().map_or(0, |waiters| waiters.len())
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.0.try_borrow().is_ok_and(|waiters| waiters.is_empty())
    }

    /// Takes in a request.
    pub fn push(&self, context: u32, pending: Rc<Pending>, since: Timestamp) {
        if let Ok(mut waiters) = self.0.try_borrow_mut() {
            waiters.push(Waiter { context, since, pending });
        }
    }

    /// Decides again on every request that waits, from the root context `root`.
    pub fn retry(&self, gate: &Gate, root: u32, now: Timestamp) {
        let Ok(waiters) = self.0.try_borrow_mut().map(|mut waiters| std::mem::take(&mut *waiters))
        else {
            return;
        };
        if waiters.is_empty() {
            return;
        }
        for waiter in waiters {
            if !waiter.pending.waits() {
                continue;
            }
            let waited = now.as_millis().saturating_sub(waiter.since.as_millis());
            // A clock that was set back ends the wait: it must end some time.
            let may_wait = (0..MAX_WAIT).contains(&waited);
            if let Err(denied) = host::set_effective_context(waiter.context) {
                gate.tell(&denied);
                continue;
            }
            match waiter.pending.retry(gate, may_wait, waiter.since) {
                Step::Wait => self.push(waiter.context, waiter.pending, waiter.since),
                Step::Pass => {
                    if let Err(denied) = host::continue_request() {
                        gate.tell(&denied);
                    }
                }
                Step::Answered => {}
            }
        }
        if let Err(denied) = host::set_effective_context(root) {
            gate.tell(&denied);
        }
    }
}
