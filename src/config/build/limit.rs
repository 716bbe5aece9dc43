//! Limits.

use super::issuer::claim_path;
use super::{Builder, check_name, check_not_empty, list, mode, time};
use crate::config::error::{ConfigError, Place};
use crate::config::raw;
use crate::limit::{Counted, Limit, Limits, Part, Rate, Rates};
use crate::policy::RouteId;
use crate::policy::condition::Part as Read;
use crate::policy::table::Table;
use crate::token::claims::ClaimPath;
use std::time::Duration;

/// How many identities are remembered where the configuration says nothing.
const IDENTITIES: u32 = 65_536;
/// How many may be: they take some 125 MiB.
const MAX_IDENTITIES: u32 = 4_194_304;
/// How many limits there may be: each that applies costs every request.
const MAX_LIMITS: usize = 64;
const DAY: u64 = 86_400;

impl Builder<'_> {
    pub(super) fn limits(
        &mut self,
        raws: &[raw::Limit],
        identities: Option<u32>,
        routes: &Table,
        top: &Place,
    ) -> Result<Limits, ConfigError> {
        let place = top.key("limits");
        let identities = identities.unwrap_or(IDENTITIES);
        if !(8..=MAX_IDENTITIES).contains(&identities) {
            let place = top.key("limit_identities");
            return Err(place.error(format!("expected between 8 and {MAX_IDENTITIES}")));
        }
        if raws.len() > MAX_LIMITS {
            return Err(place.error(format!("more than {MAX_LIMITS}: each costs every request")));
        }
        let mut limits: Vec<(Limit, Vec<RouteId>)> = Vec::with_capacity(raws.len());
        for (index, raw) in raws.iter().enumerate() {
            let place = place.index(index);
            let limit = self.limit(raw, &place)?;
            if limits.iter().any(|(other, _)| other.name == limit.name) {
                let name = &limit.name;
                return Err(place.key("name").error(format!("two limits are called `{name}`")));
            }
            let on = on_routes(raw.routes.as_deref(), routes, &place.key("routes"))?;
            limits.push((limit, on));
        }
        Ok(Limits::new(limits, routes.len(), identities))
    }

    fn limit(&mut self, raw: &raw::Limit, place: &Place) -> Result<Limit, ConfigError> {
        let Some(name) = &raw.name else {
            return Err(place.error("`name` is missing: it appears in audit and metrics"));
        };
        check_name(name, &place.key("name"))?;
        let by_place = place.key("by");
        let Some(by) = &raw.by else {
            return Err(place.error("`by` is missing: what is counted together, as `[subject]`"));
        };
        check_not_empty(by, &by_place)?;
        let parts = by.iter().enumerate().map(|(index, by)| part(by, &by_place.index(index)));
        let by = parts.collect::<Result<Vec<_>, _>>()?;
        let twice =
            by.iter().enumerate().find(|(index, part)| by.iter().take(*index).any(|p| p == *part));
        if let Some((index, _)) = twice {
            return Err(by_place.index(index).error("is there twice"));
        }
        let counted = match raw.count {
            None | Some(raw::Count::Requests) => Counted::Requests,
            Some(raw::Count::Refused) => Counted::Refused,
        };
        if counted == Counted::Refused {
            if by != [Part::ClientAddress] {
                return Err(by_place.error(
                    "with `count: refused` it is `[client_address]`: of a refused token nothing is \
                     known but where it came from",
                ));
            }
            if raw.tier.is_some() {
                return Err(place.key("tier").error("a refused token is of no tier"));
            }
        }
        let when = raw.when.as_ref().map(|when| {
            let place = place.key("when");
            let when = self.condition(when, &place)?;
            let mut captures = false;
            when.visit(&mut |part| {
                captures |= matches!(part, Read::PathCapture(_) | Read::HostCapture(_));
            });
            match captures {
                true => Err(place.error("reads a capture, which not every route has")),
                false => Ok(when),
            }
        });
        Ok(Limit {
            name: name.as_str().into(),
            by,
            rates: rates(raw, place)?,
            when: when.transpose()?,
            counted,
            mode: mode(raw.mode),
        })
    }
}

fn part(by: &raw::By, place: &Place) -> Result<Part, ConfigError> {
    Ok(match by {
        raw::By::Word(raw::ByWord::Subject) => Part::Subject,
        raw::By::Word(raw::ByWord::Issuer) => Part::Issuer,
        raw::By::Word(raw::ByWord::Token) => Part::Token,
        raw::By::Word(raw::ByWord::ClientAddress) => Part::ClientAddress,
        raw::By::Word(raw::ByWord::Route) => Part::Route,
        raw::By::Claim(tier) => Part::Claim(one_claim(tier, place)?),
    })
}

fn one_claim(raw: &raw::Tier, place: &Place) -> Result<ClaimPath, ConfigError> {
    let Some(claim) = &raw.claim else { return Err(place.error("`claim` is missing")) };
    let place = place.key("claim");
    let path = claim_path(claim, &place)?;
    if path.has_star() {
        return Err(place.error("`*` names several values, what is counted together has one"));
    }
    Ok(path)
}

fn rates(raw: &raw::Limit, place: &Place) -> Result<Rates, ConfigError> {
    let own = [
        ("requests", raw.requests.is_some()),
        ("per", raw.per.is_some()),
        ("burst", raw.burst.is_some()),
    ];
    let Some(tier) = &raw.tier else {
        if !raw.tiers.is_empty() {
            return Err(place.key("tiers").error("goes with `tier`: the claim that names one"));
        }
        return rate(raw.requests, raw.per.as_deref(), raw.burst, place).map(Rates::Same);
    };
    if let Some((name, _)) = own.iter().find(|(_, present)| *present) {
        return Err(place.key(name).error("contradicts `tier`: each of `tiers` has its own"));
    }
    let claim = one_claim(tier, &place.key("tier"))?;
    let place = place.key("tiers");
    let mut otherwise = None;
    let mut tiers = Vec::new();
    for (name, raw) in &raw.tiers {
        let rate = rate(raw.requests, raw.per.as_deref(), raw.burst, &place.key(name))?;
        if name == "default" {
            otherwise = Some(rate);
        } else {
            tiers.push((name.as_str().into(), rate));
        }
    }
    let otherwise = otherwise.ok_or_else(|| {
        place.error("`default` is missing: the rate of whoever is of none of the tiers")
    })?;
    Ok(Rates::Tiers { claim, tiers, otherwise })
}

fn rate(
    requests: Option<u32>,
    per: Option<&str>,
    burst: Option<u32>,
    place: &Place,
) -> Result<Rate, ConfigError> {
    let requests = requests.ok_or_else(|| place.error("`requests` is missing"))?;
    let Some(per) = per else { return Err(place.error("`per` is missing, as `1m`")) };
    let per = time(Some(per), 0, 1..=30 * DAY, &place.key("per"))?;
    let burst = burst.unwrap_or(requests);
    if let Some((name, _)) =
        [("requests", requests), ("burst", burst)].iter().find(|(_, n)| *n == 0)
    {
        return Err(place.key(name).error("found 0, expected at least 1"));
    }
    Rate::new(requests, Duration::from_millis(per.unsigned_abs()), burst)
        .map_err(|reason| place.error(reason))
}

/// The routes of these names; all that let anything pass where there are none.
fn on_routes(
    names: Option<&[String]>,
    routes: &Table,
    place: &Place,
) -> Result<Vec<RouteId>, ConfigError> {
    let ids = || routes.iter().enumerate().map(|(index, route)| (RouteId(index), route));
    let Some(names) = names else {
        return Ok(ids().filter(|(_, route)| !route.deny).map(|(id, _)| id).collect());
    };
    check_not_empty(names, place)?;
    let id = |(index, name): (usize, &String)| {
        let place = place.index(index);
        match ids().find(|(_, route)| *route.name == **name) {
            Some((_, route)) if route.deny => {
                Err(place.error(format!("route `{name}` lets nothing pass that could be counted")))
            }
            Some((id, _)) => Ok(id),
            None => {
                let known = list(routes.iter().map(|route| &*route.name));
                Err(place.error(format!("no route `{}`, there are: {known}", name.escape_debug())))
            }
        }
    };
    let mut on = names.iter().enumerate().map(id).collect::<Result<Vec<_>, _>>()?;
    on.sort_unstable();
    on.dedup();
    Ok(on)
}
