//! Counters, gathered here and flushed on the tick: a host call for each request is spared.

use super::host::{self, Denied, Metric};
use crate::audit::{NO_CODE, Verdict};
use crate::engine::Engine;
use crate::metrics;
use crate::policy::RouteId;
use crate::response::Code;
use hashbrown::HashMap;

/// The requests of one worker since the last flush. Their number is bounded: by routes, outcomes
/// and codes.
#[derive(Default)]
pub struct Counters {
    requests: HashMap<(Option<RouteId>, Verdict, Option<Code>), Counter>,
}

#[derive(Default)]
struct Counter {
    id: Option<u32>,
    pending: u32,
}

impl Counters {
    /// Counts a decision.
    pub fn count(&mut self, route: Option<RouteId>, verdict: Verdict, code: Option<Code>) {
        let counter = self.requests.entry((route, verdict, code)).or_default();
        counter.pending = counter.pending.saturating_add(1);
    }

    /// Hands everything to the host. What it refuses is kept for the next time.
    pub fn flush(&mut self, filter: &str, engine: Option<&Engine>) -> Result<(), Denied> {
        for ((route, verdict, code), counter) in &mut self.requests {
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
                        ("outcome", verdict.name()),
                        ("code", code.map_or(NO_CODE, Code::name)),
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
