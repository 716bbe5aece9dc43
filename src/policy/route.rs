//! Routes: what they match, and what they ask.

use super::condition::Condition;
use super::host::HostPattern;
use super::path::Hazards;
use super::pattern::PathPattern;
use super::template::{Captured, Captures};
use crate::audit::Share;
use crate::token::IssuerId;
use crate::token::extract::Carrier;
use std::borrow::Cow;

/// What a route asks of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenMode {
    /// There must be one, and it must verify.
    Required,
    /// None anywhere is anonymous; one that is there must verify.
    Optional,
    /// One that does not verify counts as absent.
    Lenient,
    /// Not looked at, and left alone.
    None,
}

/// Whether a refusal refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It does.
    Enforce,
    /// It is recorded, and the request passes.
    Shadow,
}

impl Mode {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}

/// The methods that a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// Every one but CONNECT, TRACE and those with lower-case letters.
    Every,
    /// These, compared exactly (RFC 9110 section 9.1).
    Listed(Vec<Box<str>>),
}

impl Methods {
    /// Whether it takes this one.
    pub fn take(&self, method: &str) -> bool {
        match self {
            Self::Every => {
                !method.is_empty()
                    && !matches!(method, "CONNECT" | "TRACE")
                    && !method.bytes().any(|byte| byte.is_ascii_lowercase())
            }
            Self::Listed(methods) => methods.iter().any(|listed| **listed == *method),
        }
    }

    /// Whether a deny route with these refuses this one: without a list also those that no route takes.
    pub fn deny(&self, method: &str) -> bool {
        matches!(self, Self::Every) || self.take(method)
    }

    /// Whether a method is taken by both alike.
    pub fn overlap(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Every, Self::Every) => true,
            (Self::Listed(methods), Self::Listed(others)) => {
                methods.iter().any(|method| others.contains(method))
            }
            // The one that lists the method wins over the one that takes every.
            (Self::Every, Self::Listed(_)) | (Self::Listed(_), Self::Every) => false,
        }
    }

    /// The names of those it takes, as `Allow` lists them.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Every => vec!["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"],
            Self::Listed(methods) => methods.iter().map(|method| &**method).collect(),
        }
    }
}

/// Which decisions of a route are recorded; `None` is what all routes have.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteShares {
    /// Of those that let the request pass.
    pub allowed: Option<Share>,
    /// Of the others.
    pub denied: Option<Share>,
}

/// A route: what it matches, and what it asks.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub name: Box<str>,
    /// The hosts that it names; none is every host.
    pub hosts: Vec<HostPattern>,
    /// Its path patterns, the most specific first, so that the one that won captures.
    pub paths: Vec<PathPattern>,
    /// The methods that it takes.
    pub methods: Methods,
    /// Whether it refuses everything.
    pub deny: bool,
    /// What it asks of the token.
    pub token: TokenMode,
    /// Where tokens are sought, and whose.
    pub carriers: Vec<Carrier>,
    /// What must hold.
    pub require: Option<Condition>,
    /// Whether that reads nothing but the token.
    pub by_token_alone: bool,
    /// The protocols that it upgrades to, in lower case.
    pub upgrade: Vec<Box<str>>,
    /// The path hazards that it accepts.
    pub relaxed: Hazards,
    /// Whether its refusals refuse.
    pub mode: Mode,
    /// Which of its decisions are recorded, where it says so.
    pub audit: RouteShares,
}

impl Route {
    /// The places, of those that are set in `places`, that carry tokens of this issuer.
    pub fn carriers_of(&self, places: u64, issuer: IssuerId) -> impl Iterator<Item = &Carrier> {
        let carriers = self.carriers.iter().enumerate();
        let carriers = carriers.filter(move |(index, _)| places >> index & 1 == 1);
        carriers.map(|(_, carrier)| carrier).filter(move |one| one.issuers.contains(&issuer))
    }

    /// Whether its condition may ask for what it captures.
    pub fn asks_for_captures(&self) -> bool {
        self.require.is_some() && !self.by_token_alone
    }

    /// What its condition may ask for of host and path; takes nothing apart before that does.
    pub fn captured<'a>(&'a self, segments: &'a [Cow<'a, str>]) -> Captured<'a> {
        let path = self.paths.iter().find(|pattern| pattern.matches(segments));
        Captured { hosts: &self.hosts, path, segments }
    }

    /// All that it captures of a path.
    pub fn path_captures<'t>(&self, path: &'t [Cow<'_, str>]) -> Captures<'_, 't> {
        self.paths.iter().find_map(|pattern| pattern.captures(path)).unwrap_or_default()
    }

    /// Whether the pattern by which it takes this path ends with `**`.
    pub fn owns_beneath(&self, path: &[Cow<'_, str>]) -> bool {
        self.paths.iter().find(|pattern| pattern.matches(path)).is_some_and(|pattern| pattern.rest)
    }
}
