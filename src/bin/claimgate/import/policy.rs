//! What both sources are turned into: one formula that says whether a request is let through, and
//! what is asked of its token.

use super::condition::Condition;
use super::host::{self, Host};
use super::path::Shape;
use super::pattern::{Owned, Pattern};
use super::text::Text;
use std::collections::BTreeSet;

/// Whether a request is let through, in two values, as the source has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Formula {
    /// Whatever the request.
    Const(bool),
    /// Every one holds.
    All(Vec<Self>),
    /// One holds.
    Any(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// The path, without its query, is so.
    Path(Shape),
    /// The host is so.
    Host(Text),
    /// The method is so.
    Method(Text),
    /// Where the first condition holds it holds, and where the second does it does not; where
    /// neither does, that is not to be relied on.
    Leaf {
        /// When it holds.
        holds: Condition,
        /// When it does not.
        fails: Condition,
    },
    /// The same of parts; the second holds where the whole does not.
    Bounds(Box<Self>, Box<Self>),
}

/// What is asked of the token.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// It is not looked at.
    Nothing,
    /// Tokens of these issuers are looked at.
    Token {
        /// What of a request without one, or with one that does not verify.
        without: Without,
        /// The issuers' names.
        issuers: Vec<String>,
        /// What must hold besides.
        besides: Condition,
    },
    /// Something that cannot be said: the request is refused.
    Unsaid,
}

/// What becomes of a request without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// It is refused.
    Refused,
    /// It is let through; one with a token that does not verify is refused.
    Anonymous,
    /// It is let through, and so is one with a token that does not verify.
    Lenient,
}

/// A policy.
#[derive(Debug)]
pub struct Policy {
    /// What is asked of the token: the first that holds.
    pub asks: Vec<(Formula, Ask)>,
    /// What is asked where none holds.
    pub otherwise: Ask,
    /// Whether the request is let through.
    pub allow: Formula,
}

/// Requests that one route owns.
pub struct Cell<'c> {
    /// Their hosts.
    pub host: &'c Host,
    /// All hosts that routes name.
    pub hosts: &'c BTreeSet<Host>,
    /// Their paths.
    pub pattern: &'c Pattern,
    /// All patterns.
    pub patterns: &'c BTreeSet<Pattern>,
    /// Their method; `None` for every one that no other cell has.
    pub method: Option<&'c str>,
    /// Whether the forms with a final slash are meant, of a pattern that refuses them.
    pub slash: bool,
    /// Whether the token is looked at.
    pub sees_token: bool,
}

impl Formula {
    /// What cannot be told.
    pub fn unknown() -> Self {
        Self::Leaf { holds: Condition::Never, fails: Condition::Never }
    }

    /// It does not hold.
    pub fn not(part: Self) -> Self {
        Self::Not(Box::new(part))
    }

    /// When it holds, in a cell, or when it does not. What is told too seldom is never told wrongly.
    pub fn when(&self, holds: bool, cell: &Cell<'_>) -> Condition {
        let each =
            |parts: &[Self]| parts.iter().map(|part| part.when(holds, cell)).collect::<Vec<_>>();
        match self {
            Self::Const(value) => known(*value == holds),
            Self::All(parts) if holds => Condition::all(each(parts)),
            Self::All(parts) => Condition::any(each(parts)),
            Self::Any(parts) if holds => Condition::any(each(parts)),
            Self::Any(parts) => Condition::all(each(parts)),
            Self::Not(part) => part.when(!holds, cell),
            Self::Path(shape) => match shape.owned(cell.pattern, cell.patterns, cell.slash) {
                Owned::Yes => known(holds),
                Owned::No => known(!holds),
                Owned::If(condition) if holds => condition,
                Owned::If(condition) => Condition::not(condition),
                Owned::Unknown => Condition::Never,
            },
            Self::Host(text) => match host::owned(text, cell.host, cell.hosts) {
                Some(is) => known(is == holds),
                None => Condition::Never,
            },
            Self::Method(text) => method(text, cell.method, holds),
            Self::Leaf { holds: when, fails } => {
                if !cell.sees_token && (when.reads_token() || fails.reads_token()) {
                    // A claim that nobody reads is absent.
                    let when = if holds { when } else { fails };
                    return when.without_token();
                }
                (if holds { when } else { fails }).clone()
            }
            Self::Bounds(when, _) if holds => when.when(true, cell),
            Self::Bounds(_, fails) => fails.when(true, cell),
        }
    }

    /// Visits its parts.
    pub fn visit(&self, visitor: &mut dyn FnMut(&Self)) {
        visitor(self);
        match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().for_each(|part| part.visit(visitor));
            }
            Self::Not(part) => part.visit(visitor),
            Self::Bounds(holds, fails) => {
                holds.visit(visitor);
                fails.visit(visitor);
            }
            Self::Const(_)
            | Self::Path(_)
            | Self::Host(_)
            | Self::Method(_)
            | Self::Leaf { .. } => {}
        }
    }
}

fn known(is: bool) -> Condition {
    if is { Condition::Always } else { Condition::Never }
}

fn method(text: &Text, method: Option<&str>, holds: bool) -> Condition {
    match (method, text) {
        (Some(method), _) => known(text.is(method) == holds),
        (None, Text::Something) => known(holds),
        // It has a cell of its own, or is a method that no route can take.
        (None, Text::Exact(_)) => known(!holds),
        (None, text) => {
            let members = vec![("method", true.into()), ("matches", text.pattern().into())];
            let is = Condition::request(members);
            if holds { is } else { Condition::not(is) }
        }
    }
}

/// Whether a route can list a method.
pub fn is_method(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
}
