//! Rate limits: which requests are counted together, and how many of them pass.
//!
//! The counting itself is GCRA (the generic cell rate algorithm), by the crate `governor`: what is kept of an identity is one
//! moment, up to which its requests are paid for. These moments are on a [`Shelf`] that all workers share; how much of it they
//! take is chosen when the configuration loads, and never changes.

pub mod rate;
mod table;
#[cfg(test)]
mod tests;

pub use rate::{Rate, Room};
pub use table::BUCKET;

use crate::policy::RouteId;
use crate::policy::condition::{Condition, Context};
use crate::policy::operator::Truth;
use crate::policy::route::Mode;
use crate::request::Request;
use crate::shelf::{Shelf, Unavailable};
use crate::time::Timestamp;
use crate::token::VerifiedToken;
use crate::token::claims::ClaimPath;
use serde_json::Value;
use smallvec::SmallVec;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use table::{Claim, Table};

/// A part of what is counted together.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// The subject, always with its issuer.
    Subject,
    /// The issuer.
    Issuer,
    /// The token.
    Token,
    /// The client's address; of IPv6 the /64.
    ClientAddress,
    /// The route.
    Route,
    /// The value of a claim.
    Claim(ClaimPath),
}

/// How many requests pass.
#[derive(Debug)]
pub enum Rates {
    /// As many for each identity.
    Same(Rate),
    /// As many as the tier that a claim names.
    Tiers {
        /// The claim.
        claim: ClaimPath,
        /// What it may say.
        tiers: Vec<(Box<str>, Rate)>,
        /// Where it says none of these.
        otherwise: Rate,
    },
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Requests that all else lets pass.
    Requests,
    /// Tokens that are refused.
    Refused,
}

/// A limit.
#[derive(Debug)]
pub struct Limit {
    /// Its name.
    pub name: Box<str>,
    /// What is counted together.
    pub by: Vec<Part>,
    /// How many pass.
    pub rates: Rates,
    /// Which requests it is for: those of which this is not known to be false.
    pub when: Option<Condition>,
    /// What is counted.
    pub counted: Counted,
    /// Whether it refuses.
    pub mode: Mode,
}

/// The place of a limit in the configuration's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitId(pub usize);

/// What is counted of a request.
pub struct Asked<'c> {
    /// What conditions read.
    pub context: Context<'c>,
    /// The route's name.
    pub route: &'c str,
    /// The token as it was sent, where there is one.
    pub token: Option<&'c [u8]>,
    /// When.
    pub now: Timestamp,
}

/// How a limit stands after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The limit.
    pub limit: LimitId,
    /// The rate that counted.
    pub rate: Rate,
    /// What is left.
    pub room: Room,
}

/// How several stand; mostly it is one.
pub type Standings = SmallVec<[Standing; 1]>;

/// All limits, and what is counted by them.
#[derive(Debug)]
pub struct Limits {
    list: Vec<Limit>,
    /// By [`RouteId`].
    requests: Vec<Vec<LimitId>>,
    /// The same of those that count refused tokens.
    refused: Vec<Vec<LimitId>>,
    table: Table,
    by_token: bool,
    conditional: bool,
    /// A hash of each limit's name, the same in every configuration.
    names: Vec<u64>,
}

impl Limits {
    /// Of these limits, each with the routes that it is for, of `routes` in all; `identities` are remembered.
    pub fn new(list: Vec<(Limit, Vec<RouteId>)>, routes: usize, identities: u32) -> Self {
        let mut requests = vec![Vec::new(); routes];
        let mut refused = requests.clone();
        for (place, (limit, on)) in list.iter().enumerate() {
            let by_route = match limit.counted {
                Counted::Requests => &mut requests,
                Counted::Refused => &mut refused,
            };
            for route in on {
                if let Some(limits) = by_route.get_mut(route.0) {
                    limits.push(LimitId(place));
                }
            }
        }
        let list: Vec<Limit> = list.into_iter().map(|(limit, _)| limit).collect();
        let by_token = list.iter().any(|limit| limit.by.contains(&Part::Token));
        let conditional = list.iter().any(|limit| limit.when.is_some());
        let longest = list.iter().map(|limit| limit.rates.longest()).max().unwrap_or_default();
        let table = Table::new(identities, longest);
        let hash = |limit: &Limit| {
            let mut hasher = table.hasher();
            limit.name.hash(&mut hasher);
            hasher.finish()
        };
        let names = list.iter().map(hash).collect();
        Self { list, requests, refused, table, by_token, conditional, names }
    }

    /// Counts on this shelf from now on. `seed` is random, and the same for all who share it.
    pub fn open(&mut self, seed: u64, shelf: Box<dyn Shelf>) {
        self.table.open(seed, shelf);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many places of the shelf are taken, each of [`BUCKET`] bytes.
    pub fn buckets(&self) -> u32 {
        self.table.buckets()
    }

    /// A limit.
    pub fn get(&self, id: LimitId) -> Option<&Limit> {
        self.list.get(id.0)
    }

    /// Every limit.
    pub fn iter(&self) -> impl Iterator<Item = &Limit> {
        self.list.iter()
    }

    /// Those that count the requests of a route.
    pub fn of(&self, route: RouteId) -> &[LimitId] {
        self.requests.get(route.0).map(Vec::as_slice).unwrap_or_default()
    }

    /// Those that count the refused tokens of a route.
    pub fn of_refused(&self, route: RouteId) -> &[LimitId] {
        self.refused.get(route.0).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether one has to be told the token.
    pub fn count_by_token(&self) -> bool {
        self.by_token
    }

    /// Whether one has to be told what conditions read.
    pub fn are_conditional(&self) -> bool {
        self.conditional
    }

    /// How many identities in force had to make room for others since this was last asked.
    pub fn take_evictions(&self) -> u32 {
        self.table.evictions.take()
    }

    /// Takes a request's part of each of these limits that applies, or of none where one that refuses has no room. How they
    /// stand, in their order.
    ///
    /// # Errors
    /// [`Unavailable`] where the shelf is.
    pub fn take(&self, ids: &[LimitId], asked: &Asked<'_>) -> Result<Standings, Unavailable> {
        if let [id] = ids {
            // The usual case, which every request pays for.
            let Some(claim) = self.claim(*id, asked) else { return Ok(Standings::new()) };
            let room = self.table.take_one(&claim, asked.now)?;
            let mut standings = Standings::new();
            standings.push(Standing { limit: *id, rate: claim.rate, room });
            return Ok(standings);
        }
        let claims = self.claims(ids, asked);
        let refuses = |place: usize| {
            claims.get(place).and_then(|claim| self.get(claim.limit)).map(|limit| limit.mode)
                == Some(Mode::Enforce)
        };
        let rooms = self.table.take(&claims, refuses, asked.now)?;
        Ok(standings(&claims, rooms))
    }

    /// How these limits stand, of which nothing is taken.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn peek(&self, ids: &[LimitId], asked: &Asked<'_>) -> Result<Standings, Unavailable> {
        let claims = self.claims(ids, asked);
        let rooms = claims.iter().map(|claim| self.table.peek(claim, asked.now));
        let rooms = rooms.collect::<Result<Vec<_>, _>>()?;
        Ok(standings(&claims, rooms))
    }

    fn claims(&self, ids: &[LimitId], asked: &Asked<'_>) -> Vec<Claim> {
        ids.iter().filter_map(|id| self.claim(*id, asked)).collect()
    }

    /// The part of a limit, if that applies.
    fn claim(&self, id: LimitId, asked: &Asked<'_>) -> Option<Claim> {
        let applies = |limit: &&Limit| {
            limit.when.as_ref().is_none_or(|when| when.evaluate(&asked.context) != Truth::False)
        };
        let limit = self.get(id).filter(applies)?;
        let mut hasher = self.table.hasher();
        hasher.write_u64(self.names.get(id.0).copied().unwrap_or_default());
        for part in &limit.by {
            part.identify(asked, &mut hasher);
        }
        let rate = limit.rates.of(asked.context.token);
        Some(Claim { limit: id, identity: hasher.finish(), rate, counted: limit.counted })
    }
}

fn standings(claims: &[Claim], rooms: Vec<Room>) -> Standings {
    let standing = |(claim, room): (&Claim, Room)| {
        let Claim { limit, rate, .. } = *claim;
        Standing { limit, rate, room }
    };
    claims.iter().zip(rooms).map(standing).collect()
}

impl Rates {
    /// The longest that an identity can owe, in nanoseconds.
    fn longest(&self) -> u64 {
        match self {
            Self::Same(rate) => rate.refill(),
            Self::Tiers { tiers, otherwise, .. } => {
                let tiers = tiers.iter().map(|(_, rate)| rate.refill());
                tiers.max().unwrap_or_default().max(otherwise.refill())
            }
        }
    }

    fn of(&self, token: Option<&VerifiedToken>) -> Rate {
        match self {
            Self::Same(rate) => *rate,
            Self::Tiers { claim, tiers, otherwise } => {
                let named = token.and_then(|token| claim.value(token.claims())?.as_str());
                let tier = named.and_then(|named| tiers.iter().find(|(tier, _)| **tier == *named));
                tier.map_or(*otherwise, |(_, rate)| *rate)
            }
        }
    }
}

impl Part {
    /// Adds what this part says of a request; where that is nothing, the client's address.
    fn identify(&self, asked: &Asked<'_>, hasher: &mut impl Hasher) {
        let Context { bindings, token, issuers } = &asked.context;
        let issuer = |token: &VerifiedToken| issuers.get(token.issuer().0).map(|it| &*it.name);
        let said = match self {
            Self::Subject => token.and_then(|token| {
                let subject = token.subject()?;
                (issuer(token)?, subject).hash(hasher);
                Some(())
            }),
            Self::Issuer => token.and_then(issuer).map(|issuer| issuer.hash(hasher)),
            Self::Token => asked.token.map(|token| signed(token).hash(hasher)),
            Self::ClientAddress => None,
            Self::Route => {
                asked.route.hash(hasher);
                Some(())
            }
            Self::Claim(claim) => token
                .and_then(|token| claim.value(token.claims()))
                .filter(|value| !value.is_null())
                .map(|value| identify_value(value, hasher)),
        };
        if said.is_none() {
            identify_client(bindings.request, hasher);
        }
        // So that nothing said is told apart from an address that is said.
        said.is_some().hash(hasher);
    }
}

/// The part of a token that its signature covers: of some algorithms anybody can make a second signature out of one.
fn signed(token: &[u8]) -> &[u8] {
    memchr::memrchr(b'.', token).and_then(|end| token.get(..end)).unwrap_or(token)
}

fn identify_value(value: &Value, hasher: &mut impl Hasher) {
    match value {
        Value::String(text) => text.hash(hasher),
        // With its type, since `"1"` is not `1`.
        other => (0u8, other.to_string()).hash(hasher),
    }
}

fn identify_client(request: &Request<'_>, hasher: &mut impl Hasher) {
    match request.peer().client_address() {
        Some(IpAddr::V4(address)) => address.octets().hash(hasher),
        // A client has a /64 to itself, at least (RFC 6177).
        Some(IpAddr::V6(address)) => (address.to_bits() >> 64).hash(hasher),
        None => (),
    }
}
