//! Counters, gathered here and flushed on the tick: a host call for each request is spared.

use super::host::{self, Denied, Metric};
use crate::audit::{NO_CODE, Verdict};
use crate::engine::Engine;
use crate::metrics;
use crate::policy::RouteId;
use crate::policy::table::Table;
use crate::response::Code;
use hashbrown::HashMap;

/// The requests of one worker since the last flush. Their number is bounded: by routes, outcomes
/// and codes.
#[derive(Default)]
pub struct Counters {
    requests: HashMap<(Option<RouteId>, Verdict, Option<Code>), Counter>,
    /// By the candidate's route.
    differences: HashMap<Option<RouteId>, Counter>,
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

    /// Counts a request that the candidate would have decided otherwise.
    pub fn count_difference(&mut self, route: Option<RouteId>) {
        let counter = self.differences.entry(route).or_default();
        counter.pending = counter.pending.saturating_add(1);
    }

    /// Hands everything to the host. What it refuses is kept for the next time.
    pub fn flush(&mut self, filter: &str, engine: Option<&Engine>) -> Result<(), Denied> {
        let name_of = |table: Option<&Table>, route: &Option<RouteId>| {
            let route = route.and_then(|id| table?.get(id.0));
            route.map_or("none", |route| &route.name).to_owned()
        };
        let live = engine.map(|engine| &engine.routes);
        for ((route, verdict, code), counter) in &mut self.requests {
            counter.flush(|| {
                let labels = [
                    ("filter", filter),
                    ("route", &*name_of(live, route)),
                    ("outcome", verdict.name()),
                    ("code", code.map_or(NO_CODE, Code::name)),
                ];
                metrics::name(metrics::REQUESTS, &labels)
            })?;
        }
        let candidate = engine.and_then(|engine| engine.candidate.as_ref());
        for (route, counter) in &mut self.differences {
            counter.flush(|| {
                metrics::name(metrics::DIFFERENCES, &[("route", &*name_of(candidate, route))])
            })?;
        }
        Ok(())
    }
}

impl Counter {
    /// Hands the count to the host, under a name that is made once.
    fn flush(&mut self, name: impl FnOnce() -> String) -> Result<(), Denied> {
        if self.pending == 0 {
            return Ok(());
        }
        let id = match self.id {
            Some(id) => id,
            None => *self.id.insert(host::define_metric(Metric::Counter, &name())?),
        };
        host::increment_metric(id, self.pending)?;
        self.pending = 0;
        Ok(())
    }
}
