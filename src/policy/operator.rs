//! Operators: what the values of a subject are compared with, in Kleene's three values.

use super::template::{Bindings, Template};
use crate::json;
use regex_lite::Regex;
use serde_json::{Number, Value};

/// What a subject must be.
#[derive(Clone, Debug)]
pub enum Operator {
    /// Its values hold one of these.
    AnyOf(Vec<Operand>),
    /// Its values hold all of these.
    AllOf(Vec<Operand>),
    /// Its values hold none of these.
    NoneOf(Vec<Operand>),
    /// It is exactly this scalar.
    Equals(Operand),
    /// There is a value that is not null, or there is none.
    Present(bool),
    /// One of its values, whole, matches.
    Matches(Regex),
    /// It is a number, and no smaller.
    AtLeast(Number),
    /// It is a number, and no greater.
    AtMost(Number),
}

/// A JSON scalar to compare with.
#[derive(Clone, Debug)]
pub enum Operand {
    /// A string, perhaps with placeholders.
    Text(Template),
    /// A number.
    Number(Number),
    /// A boolean.
    Bool(bool),
}

/// Kleene's three values, in the order that makes `all` a minimum and `any` a maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// It does not hold.
    False,
    /// It cannot be told.
    Unknown,
    /// It holds.
    True,
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// The negation: unknown stays unknown.
impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
            Self::True => Self::False,
        }
    }
}

/// A value to compare.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A string.
    Text(&'a str),
    /// A number.
    Number(&'a Number),
    /// A boolean.
    Bool(bool),
    /// Null, inside an array.
    Null,
    /// An array or object: of a wrong type wherever a set of scalars is meant.
    Nested,
}

impl<'a> Item<'a> {
    /// A claim's value.
    pub fn of(value: &'a Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text),
            Value::Number(number) => Self::Number(number),
            Value::Bool(value) => Self::Bool(*value),
            Value::Null => Self::Null,
            Value::Array(_) | Value::Object(_) => Self::Nested,
        }
    }
}

impl Operand {
    /// Whether it is of the type of this value.
    fn is_like(&self, item: &Item<'_>) -> bool {
        matches!(
            (self, item),
            (Self::Text(_), Item::Text(_))
                | (Self::Number(_), Item::Number(_))
                | (Self::Bool(_), Item::Bool(_))
        )
    }

    /// Whether one of these is this value, types compared; `None` where a placeholder is unresolved.
    fn is_among<'i>(
        &self,
        mut items: impl Iterator<Item = Item<'i>>,
        bindings: &Bindings<'_>,
    ) -> Option<bool> {
        Some(match self {
            Self::Text(template) => {
                let text = template.resolve(bindings)?;
                items.any(|item| matches!(item, Item::Text(own) if own == text))
            }
            Self::Number(number) => items
                .any(|item| matches!(item, Item::Number(own) if json::same_number(number, own))),
            Self::Bool(value) => items.any(|item| matches!(item, Item::Bool(own) if own == *value)),
        })
    }
}

impl Operator {
    /// Judges a subject. `items` is the set of its values; `scalar` the one value, where the subject is no array.
    pub fn judge<'i>(
        &self,
        items: impl Iterator<Item = Item<'i>> + Clone,
        scalar: Option<Item<'i>>,
        bindings: &Bindings<'_>,
    ) -> Truth {
        if items.clone().any(|item| matches!(item, Item::Nested)) {
            return Truth::Unknown;
        }
        // How many operands are among the values, and whether a value is of a type that none has.
        let compare = |operands: &[Operand]| {
            let mut held = 0;
            for operand in operands {
                held += usize::from(operand.is_among(items.clone(), bindings)?);
            }
            let foreign = |item: Item<'_>| !operands.iter().any(|operand| operand.is_like(&item));
            Some((held, items.clone().any(foreign)))
        };
        match self {
            Self::AnyOf(operands) => match compare(operands) {
                Some((1.., _)) => Truth::True,
                Some((0, false)) => Truth::False,
                Some((0, true)) | None => Truth::Unknown,
            },
            Self::AllOf(operands) => match compare(operands) {
                Some((held, _)) if held == operands.len() => Truth::True,
                Some((_, false)) => Truth::False,
                Some((_, true)) | None => Truth::Unknown,
            },
            Self::NoneOf(operands) => match compare(operands) {
                Some((1.., _)) => Truth::False,
                Some((0, false)) => Truth::True,
                Some((0, true)) | None => Truth::Unknown,
            },
            Self::Equals(operand) => {
                let like = scalar.filter(|scalar| operand.is_like(scalar));
                decided(like.and_then(|scalar| operand.is_among(std::iter::once(scalar), bindings)))
            }
            Self::Present(present) => (*present).into(),
            Self::Matches(regex) => {
                let mut matched = false;
                for item in items {
                    let Item::Text(text) = item else {
                        return Truth::Unknown;
                    };
                    matched |= regex.is_match(text);
                }
                matched.into()
            }
            Self::AtLeast(bound) => decided(order(scalar, bound).map(|order| order.is_ge())),
            Self::AtMost(bound) => decided(order(scalar, bound).map(|order| order.is_le())),
        }
    }
}

fn order(scalar: Option<Item<'_>>, bound: &Number) -> Option<std::cmp::Ordering> {
    match scalar? {
        Item::Number(number) => json::compare(number, bound),
        Item::Text(_) | Item::Bool(_) | Item::Null | Item::Nested => None,
    }
}

fn decided(held: Option<bool>) -> Truth {
    held.map_or(Truth::Unknown, Truth::from)
}

#[cfg(test)]
mod tests {
    use super::super::template::Captured;
    use super::*;
    use Truth::{False, True, Unknown};

    fn text(text: &str) -> Operand {
        Operand::Text(Template::parse(text).unwrap())
    }

    #[test]
    fn types_decide_only_what_they_can() {
        let request =
            crate::request::Request::new(&[(b":path", b"/")], &crate::request::UnknownPeer);
        let bindings =
            Bindings { request: &request, host: "h", method: "GET", captured: Captured::default() };
        let any = |list: &[&str]| Operator::AnyOf(list.iter().map(|item| text(item)).collect());
        let (t, n, b) = (Item::Text("a"), Item::Null, Item::Bool(true));
        let one = Number::from(1);
        let cases = [
            (any(&["a"]), vec![t], True),
            (any(&["b"]), vec![t], False),
            (any(&["a"]), vec![t, b], True),
            (any(&["b"]), vec![t, b], Unknown),
            (any(&["b"]), vec![], False),
            (any(&["a", "${query.none}"]), vec![t], Unknown),
            (any(&["a", "${query.none}"]), vec![], Unknown),
            (any(&["a"]), vec![t, Item::Nested], Unknown),
            (Operator::NoneOf(vec![text("b")]), vec![t], True),
            (Operator::NoneOf(vec![text("a")]), vec![t, b], False),
            (Operator::NoneOf(vec![Operand::Bool(true)]), vec![t], Unknown),
            (Operator::NoneOf(vec![text("b")]), vec![t, n], Unknown),
            (Operator::AllOf(vec![text("a")]), vec![t, b], True),
            (Operator::AllOf(vec![text("a"), text("b")]), vec![t], False),
            (Operator::Equals(text("b")), vec![t], False),
            (Operator::Equals(Operand::Number(one.clone())), vec![t], Unknown),
            (Operator::AtLeast(one), vec![t], Unknown),
        ];
        for (operator, items, want) in cases {
            let scalar = if let [one] = items.as_slice() { Some(*one) } else { None };
            let got = operator.judge(items.iter().copied(), scalar, &bindings);
            assert_eq!(got, want, "{operator:?}");
        }
    }
}
