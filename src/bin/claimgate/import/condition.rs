//! Conditions of the configuration that is made.

use crate::yaml::Node;
use serde_json::{Value, json};

/// A condition. It holds on *true* only, as the filter has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Whatever the request.
    Always,
    /// Whatever the request, not.
    Never,
    /// Every one holds.
    All(Vec<Self>),
    /// One holds.
    Any(Vec<Self>),
    /// It is false: unknown stays unknown.
    Not(Box<Self>),
    /// A subject and an operator, or a leaf of its own.
    Leaf(Leaf),
}

/// A leaf, member by member.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    members: Vec<(&'static str, Value)>,
    reads: Reads,
}

/// What a leaf reads.
#[derive(Clone, Debug, PartialEq)]
enum Reads {
    /// The token; what it says where there is none, if anything.
    Token(Option<bool>),
    /// The capture of this segment of the path, counted from 1.
    Segment(usize),
    /// Something else.
    Request,
}

impl Condition {
    /// Every one of these.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept: Vec<Self> = Vec::new();
        for part in parts {
            match part {
                Self::Never => return Self::Never,
                Self::Always => {}
                Self::All(parts) => parts.into_iter().for_each(|part| push(&mut kept, part)),
                part => push(&mut kept, part),
            }
        }
        match kept.len() {
            0 => Self::Always,
            1 => kept.pop().unwrap_or(Self::Always),
            _ => Self::All(kept),
        }
    }

    /// One of these.
    pub fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept: Vec<Self> = Vec::new();
        for part in parts {
            match part {
                Self::Always => return Self::Always,
                Self::Never => {}
                Self::Any(parts) => parts.into_iter().for_each(|part| push(&mut kept, part)),
                part => push(&mut kept, part),
            }
        }
        match kept.len() {
            0 => Self::Never,
            1 => kept.pop().unwrap_or(Self::Never),
            _ => Self::Any(kept),
        }
    }

    /// It is false.
    pub fn not(part: Self) -> Self {
        match part {
            Self::Always => Self::Never,
            Self::Never => Self::Always,
            Self::Not(part) => *part,
            part => Self::Not(Box::new(part)),
        }
    }

    /// A leaf on a claim, or on the token's issuer.
    pub fn token(members: Vec<(&'static str, Value)>) -> Self {
        let find =
            |name: &str| members.iter().find(|(own, _)| *own == name).map(|(_, value)| value);
        let absent = match find("present") {
            Some(present) => present.as_bool().map(|present| !present),
            None => find("absent").and_then(Value::as_bool),
        };
        Self::Leaf(Leaf { reads: Reads::Token(absent), members })
    }

    /// A leaf on the request.
    pub fn request(members: Vec<(&'static str, Value)>) -> Self {
        Self::Leaf(Leaf { reads: Reads::Request, members })
    }

    /// A leaf on a segment of the path, counted from 1, which the pattern captures.
    pub fn segment(number: usize, operator: &'static str, value: &str) -> Self {
        let members = vec![("path", json!(capture(number))), (operator, json!(value))];
        Self::Leaf(Leaf { reads: Reads::Segment(number), members })
    }

    /// The same where a claim that is absent makes a leaf false instead of unknown.
    pub fn absent_is_false(self) -> Self {
        match self {
            Self::All(parts) => Self::All(parts.into_iter().map(Self::absent_is_false).collect()),
            Self::Any(parts) => Self::Any(parts.into_iter().map(Self::absent_is_false).collect()),
            Self::Not(part) => Self::Not(Box::new(part.absent_is_false())),
            Self::Leaf(Leaf { mut members, reads: Reads::Token(None) }) => {
                members.push(("absent", json!(false)));
                Self::Leaf(Leaf { members, reads: Reads::Token(Some(false)) })
            }
            other => other,
        }
    }

    /// Whether it may hold for a request without a token.
    pub fn may_hold_without_token(&self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::All(parts) => parts.iter().all(Self::may_hold_without_token),
            Self::Any(parts) => parts.iter().any(Self::may_hold_without_token),
            Self::Not(part) => part.may_fail_without_token(),
            Self::Leaf(leaf) => match leaf.reads {
                Reads::Token(absent) => absent == Some(true),
                Reads::Segment(_) | Reads::Request => true,
            },
        }
    }

    fn may_fail_without_token(&self) -> bool {
        match self {
            Self::Always => false,
            Self::Never => true,
            Self::All(parts) => parts.iter().any(Self::may_fail_without_token),
            Self::Any(parts) => parts.iter().all(Self::may_fail_without_token),
            Self::Not(part) => part.may_hold_without_token(),
            Self::Leaf(leaf) => match leaf.reads {
                Reads::Token(absent) => absent == Some(false),
                Reads::Segment(_) | Reads::Request => true,
            },
        }
    }

    /// What is left of it where no token is looked at: never more than it says without one.
    pub fn without_token(&self) -> Self {
        match self {
            Self::All(parts) => Self::all(parts.iter().map(Self::without_token)),
            Self::Any(parts) => Self::any(parts.iter().map(Self::without_token)),
            Self::Not(part) if part.reads_token() => {
                // Only what is false for certain makes a negation hold.
                match (part.only_token(), part.may_fail_without_token()) {
                    (true, true) => Self::Always,
                    _ => Self::Never,
                }
            }
            Self::Leaf(Leaf { reads: Reads::Token(absent), .. }) => match absent {
                Some(true) => Self::Always,
                _ => Self::Never,
            },
            other => other.clone(),
        }
    }

    /// Whether all of it reads the token.
    fn only_token(&self) -> bool {
        let mut only = true;
        self.visit(&mut |leaf| only &= matches!(leaf.reads, Reads::Token(_)));
        only
    }

    /// Whether any of it reads the token.
    pub fn reads_token(&self) -> bool {
        let mut reads = false;
        self.visit(&mut |leaf| reads |= matches!(leaf.reads, Reads::Token(_)));
        reads
    }

    /// Whether the absence of a token helps it to hold.
    pub fn gains_by_absence(&self) -> bool {
        let mut gains = false;
        self.visit(&mut |leaf| gains |= matches!(leaf.reads, Reads::Token(Some(_))));
        gains
    }

    /// The segments of the path, counted from 1, whose captures it reads.
    pub fn segments(&self) -> Vec<usize> {
        let mut numbers = Vec::new();
        self.visit(&mut |leaf| {
            if let Reads::Segment(number) = leaf.reads
                && !numbers.contains(&number)
            {
                numbers.push(number);
            }
        });
        numbers
    }

    /// The headers whose single value it asks for, see [`super::leaf::single`].
    pub fn references(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.visit(&mut |leaf| {
            if let [("ref", Value::String(name))] = leaf.members.as_slice()
                && !names.contains(name)
            {
                names.push(name.clone());
            }
        });
        names
    }

    fn visit(&self, visitor: &mut dyn FnMut(&Leaf)) {
        match self {
            Self::Always | Self::Never => {}
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().for_each(|part| part.visit(visitor));
            }
            Self::Not(part) => part.visit(visitor),
            Self::Leaf(leaf) => visitor(leaf),
        }
    }

    /// As it is written; `Always` is nothing, `Never` a named condition.
    pub fn node(&self) -> Node {
        let list = |parts: &[Self]| Node::List(parts.iter().map(Self::node).collect());
        match self {
            Self::Always => Node::Map(Vec::new()),
            Self::Never => Node::map([("ref", Node::from("never"))]),
            Self::All(parts) => Node::map([("all", list(parts))]),
            Self::Any(parts) => Node::map([("any", list(parts))]),
            Self::Not(part) => Node::map([("not", part.node())]),
            Self::Leaf(leaf) => Node::Map(
                leaf.members
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), Node::from(value.clone())))
                    .collect(),
            ),
        }
    }
}

/// The name under which a pattern captures a segment.
pub fn capture(number: usize) -> String {
    format!("s{number}")
}

fn push(kept: &mut Vec<Condition>, part: Condition) {
    if !kept.contains(&part) {
        kept.push(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_without_token_may_do() {
        let claim = || Condition::token(vec![("claim", json!("a")), ("equals", json!("b"))]);
        let header = || Condition::request(vec![("header", json!("h")), ("present", json!(true))]);
        let gone = || Condition::token(vec![("claim", json!("a")), ("present", json!(false))]);
        let cases = [
            (Condition::Always, true),
            (claim(), false),
            (Condition::not(claim()), false),
            (Condition::not(claim().absent_is_false()), true),
            (gone(), true),
            (Condition::not(gone()), false),
            (Condition::any([claim(), header()]), true),
            (Condition::all([claim(), header()]), false),
            (Condition::not(Condition::any([claim().absent_is_false(), header()])), true),
        ];
        for (condition, want) in cases {
            assert_eq!(condition.may_hold_without_token(), want, "{condition:?}");
        }
    }

    #[test]
    fn simplifies() {
        let leaf = |name: &str| Condition::request(vec![("header", json!(name))]);
        assert_eq!(Condition::all([Condition::Always, leaf("a"), leaf("a")]), leaf("a"));
        assert_eq!(Condition::any([Condition::Never]), Condition::Never);
        assert_eq!(Condition::any([leaf("a"), Condition::Always]), Condition::Always);
        assert_eq!(Condition::not(Condition::not(leaf("a"))), leaf("a"));
    }
}
