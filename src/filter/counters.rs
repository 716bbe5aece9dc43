//! Counters, gathered here and flushed on the tick: a host call for each request is spared.

use super::host::{self, Denied, Metric};
use crate::engine::{Engine, Outcome};
use crate::metrics;
use crate::policy::RouteId;
use crate::response::Code;
use hashbrown::HashMap;

/// The requests of one worker since the last flush. Their number is bounded: by routes, outcomes
/// and codes.
#[derive(Default)]
pub struct Counters {
    requests: HashMap<(Option<RouteId>, &'static str, Option<Code>), Counter>,
}

#[derive(Default)]
struct Counter {
    id: Option<u32>,
    pending: u32,
}

impl Counters {
    /// Counts a decision.
    pub fn count(&mut self, outcome: &Outcome<'_>) {
        let word = match (&outcome.refusal, &outcome.shadowed) {
            (Some(_), _) => "denied",
            (None, Some(_)) => "shadow_denied",
            (None, None) => "allowed",
        };
        self.add(outcome.route, word, outcome.code());
    }

    /// Counts a refusal that no policy made.
    pub fn count_internal_error(&mut self) {
        self.add(None, "denied", Some(Code::InternalError));
    }

    fn add(&mut self, route: Option<RouteId>, outcome: &'static str, code: Option<Code>) {
        let counter = self.requests.entry((route, outcome, code)).or_default();
        counter.pending = counter.pending.saturating_add(1);
    }

    /// Hands everything to the host. What it refuses is kept for the next time.
    pub fn flush(&mut self, filter: &str, engine: Option<&Engine>) -> Result<(), Denied> {
        for ((route, outcome, code), counter) in &mut self.requests {
            if counter.pending == 0 {
                continue;
            }
            let id = match counter.id {
                Some(id) => id,
                None => {
                    let route = route.and_then(|id| engine?.routes.get(id.0));
                    let labels = [
                        ("filter", filter),
                        ("route", route.map_or("none", |route| &route.name)),
                        ("outcome", outcome),
                        ("code", code.map_or("allowed", |code| code.name())),
                    ];
                    let name = metrics::name(metrics::REQUESTS, &labels);
                    *counter.id.insert(host::define_metric(Metric::Counter, &name)?)
                }
            };
            host::increment_metric(id, counter.pending)?;
            counter.pending = 0;
        }
        Ok(())
    }
}
