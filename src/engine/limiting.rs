//! Limits: requests that all else lets pass, and guesses.

use super::{Engine, Outcome};
use crate::limit::{Asked, Limit, LimitId, Standing, Standings};
use crate::policy::condition::Context;
use crate::policy::route::{Mode, Route};
use crate::policy::template::{Bindings, Captured};
use crate::request::Request;
use crate::response::{Code, Quota, Refusal};
use crate::shelf::Unavailable;
use crate::time::Timestamp;
use crate::token::extract;

impl Engine {
    /// Counts a request that all else lets pass.
    pub(super) fn limit(
        &self,
        request: &Request<'_>,
        now: Timestamp,
        outcome: &mut Outcome<'_>,
    ) -> Result<(), Refusal> {
        let Some(id) = outcome.route.filter(|_| outcome.preflight.is_none()) else { return Ok(()) };
        let ids = self.limits.of(id);
        if ids.is_empty() {
            return Ok(());
        }
        if self.mode == Mode::Shadow && self.responses.preflight(request).is_some() {
            // It passes, and would be answered here if this filter were not on trial.
            return Ok(());
        }
        let Some(route) = self.routes.get(id.0) else { return Ok(()) };
        let found = match outcome.token {
            Some(_) if self.limits.count_by_token() => {
                extract::find(request, &route.carriers).ok().flatten()
            }
            _ => None,
        };
        let token = found.as_ref().map(|found| &*found.token);
        let asked = self.asked(request, route, token, outcome, now);
        let standings = self.limits.take(ids, &asked).map_err(unavailable)?;
        if outcome.standings.is_empty() {
            outcome.standings = standings;
        } else {
            outcome.standings.extend(standings);
        }
        self.refuse_over(outcome)
    }

    /// The limits by which an address has guessed too often already. What is left of the others is told to nobody.
    pub(super) fn guessed_out(
        &self,
        request: &Request<'_>,
        route: &Route,
        ids: &[LimitId],
        now: Timestamp,
        outcome: &Outcome<'_>,
    ) -> Result<Standings, Refusal> {
        let asked = self.asked(request, route, None, outcome, now);
        let mut standings = self.limits.peek(ids, &asked).map_err(unavailable)?;
        standings.retain(|standing| !standing.room.passes());
        Ok(standings)
    }

    /// Counts a token that was refused.
    pub(super) fn count_guess(
        &self,
        request: &Request<'_>,
        route: &Route,
        ids: &[LimitId],
        now: Timestamp,
        outcome: &Outcome<'_>,
    ) -> Result<(), Refusal> {
        let asked = self.asked(request, route, None, outcome, now);
        self.limits.take(ids, &asked).map(drop).map_err(unavailable)
    }

    /// The limits in shadow mode that would have refused.
    pub fn limits_in_shadow<'o>(
        &'o self,
        outcome: &'o Outcome<'_>,
    ) -> impl Iterator<Item = &'o Limit> {
        let over = outcome.standings.iter().filter(|standing| !standing.room.passes());
        over.filter_map(|standing| self.limits.get(standing.limit))
            .filter(|limit| limit.mode == Mode::Shadow)
    }

    /// What a client is told of its limits; in shadow mode nothing.
    pub fn quotas<'o>(
        &'o self,
        outcome: &'o Outcome<'_>,
    ) -> impl Iterator<Item = Quota<'o>> + Clone {
        let enforced = |standing: &&Standing| {
            self.limits.get(standing.limit).is_some_and(|limit| limit.mode == Mode::Enforce)
        };
        let standings = outcome.standings.iter().filter(enforced);
        standings.filter(|_| outcome.mode == Mode::Enforce).filter_map(|standing| {
            let Standing { rate, room, .. } = standing;
            Some(Quota {
                limit: &self.limits.get(standing.limit)?.name,
                burst: rate.burst(),
                window: rate.refill(),
                left: room.left.unwrap_or_default(),
                refill: room.refill,
            })
        })
    }

    /// The refusal of the limit that lasts the longest, of those that refuse.
    pub(super) fn refuse_over(&self, outcome: &Outcome<'_>) -> Result<(), Refusal> {
        let over = outcome.standings.iter().filter(|standing| !standing.room.passes());
        let over = over
            .filter_map(|standing| Some((standing, self.limits.get(standing.limit)?)))
            .filter(|(_, limit)| limit.mode == Mode::Enforce);
        match over.max_by_key(|(standing, _)| standing.room.wait) {
            None => Ok(()),
            Some((standing, limit)) => Err(Refusal {
                retry_after: Some(standing.room.wait.div_ceil(1_000_000_000).max(1)),
                ..Refusal::new(Code::RateLimited, format!("limit `{}` has no room", limit.name))
            }),
        }
    }

    fn asked<'c>(
        &'c self,
        request: &'c Request<'c>,
        route: &'c Route,
        token: Option<&'c [u8]>,
        outcome: &'c Outcome<'c>,
        now: Timestamp,
    ) -> Asked<'c> {
        let bindings = Bindings {
            request,
            host: outcome.host.as_deref().unwrap_or_default(),
            method: if self.limits.are_conditional() {
                let method = request.first(":method").unwrap_or_default();
                std::str::from_utf8(method).unwrap_or_default()
            } else {
                ""
            },
            captured: Captured::default(),
        };
        let context = Context { bindings, token: outcome.token.as_deref(), issuers: &self.issuers };
        Asked { context, route: &route.name, token, now }
    }
}

fn unavailable(Unavailable(why): Unavailable) -> Refusal {
    Refusal::new(Code::InternalError, why)
}
