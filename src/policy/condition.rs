//! Conditions: compiled when the configuration loads, evaluated in Kleene's three values.

use super::template::{Bindings, Placeholder, Template};
use crate::json;
use crate::request::CertificateField;
use crate::token::ClaimPath;
use crate::token::{Issuer, VerifiedToken};
use ipnet::IpNet;
use regex_lite::Regex;
use serde_json::{Number, Value};
use std::borrow::Cow;

/// A compiled condition.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Every one holds.
    All(Vec<Self>),
    /// One holds.
    Any(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// By the token's issuer; unknown for an issuer without one, also under `not`.
    ByIssuer(Vec<Option<Self>>),
    /// A subject and an operator.
    Leaf(Leaf),
    /// The token's scopes hold all, or one, of these (RFC 8693 section 4.2).
    Scopes {
        /// The scopes.
        names: Vec<Box<str>>,
        /// Whether all are needed.
        all: bool,
    },
    /// The client's address is in one of these networks.
    ClientAddress(Vec<IpNet>),
}

/// A subject and an operator.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// What is read.
    pub subject: Subject,
    /// What it must be.
    pub operator: Operator,
    /// What absence means; unknown where nothing is said.
    pub absent: Option<bool>,
}

/// What a leaf reads.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A claim.
    Claim(ClaimPath),
    /// An attribute: the claim that each issuer has for it.
    Attribute(Vec<Option<ClaimPath>>),
    /// The operator's name for the token's issuer.
    Issuer,
    /// A capture of the path.
    Path(Box<str>),
    /// A capture of the host.
    Host(Box<str>),
    /// The method.
    Method,
    /// A header.
    Header(Box<str>),
    /// A query parameter.
    Query(Box<str>),
    /// A cookie.
    Cookie(Box<str>),
    /// A field of the client certificate.
    Peer(CertificateField),
}

impl Subject {
    /// Whether it reads the token.
    pub fn is_claim(&self) -> bool {
        matches!(self, Self::Claim(_) | Self::Attribute(_) | Self::Issuer)
    }
}

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

impl Truth {
    fn not(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
            Self::True => Self::False,
        }
    }
}

/// What conditions read.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The request's side.
    pub bindings: Bindings<'a>,
    /// The token, where there is one.
    pub token: Option<&'a VerifiedToken>,
    /// The issuers.
    pub issuers: &'a [Issuer],
}

/// How a request value compares: every occurrence by itself.
type Occurrences<'a> = Vec<Option<Cow<'a, str>>>;

impl Condition {
    /// Whether it holds.
    pub fn evaluate(&self, context: &Context<'_>) -> Truth {
        self.judge(context, false)
    }

    /// The scopes that would make it hold, where scopes alone are what it lacks.
    pub fn lacking_scopes(&self, context: &Context<'_>) -> Option<String> {
        if self.judge(context, true) != Truth::True {
            return None;
        }
        let mut names = Vec::new();
        self.visit(&mut |part| {
            if let Part::Scope(name) = part
                && !names.contains(&name)
            {
                names.push(name);
            }
        });
        (!names.is_empty()).then(|| names.join(" "))
    }

    fn judge(&self, context: &Context<'_>, assume_scopes: bool) -> Truth {
        match self {
            Self::All(parts) => {
                let mut truth = Truth::True;
                for part in parts {
                    truth = truth.min(part.judge(context, assume_scopes));
                    if truth == Truth::False {
                        break;
                    }
                }
                truth
            }
            Self::Any(parts) => {
                let mut truth = Truth::False;
                for part in parts {
                    truth = truth.max(part.judge(context, assume_scopes));
                    if truth == Truth::True {
                        break;
                    }
                }
                truth
            }
            Self::Not(part) => part.judge(context, assume_scopes).not(),
            Self::ByIssuer(parts) => match context.token {
                None => Truth::Unknown,
                Some(token) => match parts.get(token.issuer().0) {
                    Some(Some(part)) => part.judge(context, assume_scopes),
                    _ => Truth::Unknown,
                },
            },
            Self::Leaf(leaf) => leaf.evaluate(context),
            Self::Scopes { .. } if assume_scopes => Truth::True,
            Self::Scopes { names, all } => scopes(context, names, *all),
            Self::ClientAddress(networks) => {
                match context.bindings.request.peer().client_address() {
                    None => Truth::Unknown,
                    Some(address) => {
                        networks.iter().any(|network| network.contains(&address)).into()
                    }
                }
            }
        }
    }

    /// Visits what it reads, so that a route can be checked when it loads.
    pub fn visit<'c>(&'c self, visitor: &mut dyn FnMut(Part<'c>)) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().for_each(|part| part.visit(visitor));
            }
            Self::Not(part) => part.visit(visitor),
            Self::ByIssuer(parts) => {
                visitor(Part::Token);
                parts.iter().flatten().for_each(|part| part.visit(visitor));
            }
            Self::Leaf(leaf) => leaf.visit(visitor),
            Self::Scopes { names, .. } => {
                visitor(Part::Token);
                names.iter().for_each(|name| visitor(Part::Scope(name)));
            }
            Self::ClientAddress(_) => {}
        }
    }
}

/// Something that a condition reads.
#[derive(Clone, Copy, Debug)]
pub enum Part<'c> {
    /// The token.
    Token,
    /// A scope.
    Scope(&'c str),
    /// A capture of the path.
    PathCapture(&'c str),
    /// A capture of the host.
    HostCapture(&'c str),
}

impl Leaf {
    fn visit<'c>(&'c self, visitor: &mut dyn FnMut(Part<'c>)) {
        match &self.subject {
            Subject::Path(name) => visitor(Part::PathCapture(name)),
            Subject::Host(name) => visitor(Part::HostCapture(name)),
            subject if subject.is_claim() => visitor(Part::Token),
            _ => {}
        }
        let operands = match &self.operator {
            Operator::AnyOf(list) | Operator::AllOf(list) | Operator::NoneOf(list) => &list[..],
            Operator::Equals(operand) => std::slice::from_ref(operand),
            Operator::Present(_) | Operator::Matches(_) => &[],
            Operator::AtLeast(_) | Operator::AtMost(_) => &[],
        };
        for operand in operands {
            let Operand::Text(template) = operand else {
                continue;
            };
            for placeholder in template.placeholders() {
                match placeholder {
                    Placeholder::Path(name) => visitor(Part::PathCapture(name)),
                    Placeholder::HostCapture(name) => visitor(Part::HostCapture(name)),
                    Placeholder::Query(_) | Placeholder::Header(_) => {}
                    Placeholder::Host | Placeholder::Method => {}
                }
            }
        }
    }

    fn evaluate(&self, context: &Context<'_>) -> Truth {
        if self.subject.is_claim() {
            return self.on_claim(context);
        }
        let occurrences = self.occurrences(context);
        if let Operator::Present(present) = self.operator {
            return (occurrences.is_empty() != present).into();
        }
        if occurrences.is_empty() {
            return self.absence();
        }
        let of = |occurrence: &Option<Cow<'_, str>>| match occurrence {
            None => Truth::Unknown,
            Some(text) => {
                self.operator.judge(&[Item::Text(text)], Some(&Item::Text(text)), &context.bindings)
            }
        };
        let (least, most) =
            occurrences.iter().map(of).fold((Truth::True, Truth::False), |(least, most), one| {
                (least.min(one), most.max(one))
            });
        // Where they differ, neither the leaf nor its negation holds.
        if least == most { least } else { Truth::Unknown }
    }

    fn absence(&self) -> Truth {
        self.absent.map_or(Truth::Unknown, Truth::from)
    }

    fn on_claim(&self, context: &Context<'_>) -> Truth {
        if let Subject::Issuer = self.subject {
            let issuer = context.token.and_then(|token| context.issuers.get(token.issuer().0));
            return match (issuer, &self.operator) {
                (issuer, Operator::Present(present)) => (issuer.is_some() == *present).into(),
                (None, _) => self.absence(),
                (Some(issuer), operator) => {
                    let item = Item::Text(&issuer.name);
                    operator.judge(&[item], Some(&item), &context.bindings)
                }
            };
        }
        let values = context.token.and_then(|token| match &self.subject {
            Subject::Claim(path) => path.find(token.claims()),
            Subject::Attribute(paths) => {
                paths.get(token.issuer().0)?.as_ref()?.find(token.claims())
            }
            _ => None,
        });
        if let Operator::Present(present) = self.operator {
            let some = values.is_some_and(|values| values.iter().any(|value| !value.is_null()));
            return (some == present).into();
        }
        let Some(values) = values else {
            return self.absence();
        };
        // One claim of one value is the usual case: no list is made for it.
        if let Some(scalar) = values.scalar().map(Item::of) {
            return self.operator.judge(&[scalar], Some(&scalar), &context.bindings);
        }
        let items: Vec<Item<'_>> = values.iter().map(Item::of).collect();
        self.operator.judge(&items, None, &context.bindings)
    }

    fn occurrences<'a>(&'a self, context: &Context<'a>) -> Occurrences<'a> {
        let text = |value: &'a [u8]| std::str::from_utf8(value).ok().map(Cow::Borrowed);
        let captured = |captures: &'a [(&'a str, String)], name: &str| -> Occurrences<'a> {
            let of = captures.iter().filter(|(captured, _)| *captured == name);
            of.map(|(_, value)| Some(Cow::Borrowed(value.as_str()))).collect()
        };
        let bindings = &context.bindings;
        match &self.subject {
            Subject::Path(name) => captured(bindings.path_captures, name),
            Subject::Host(name) => captured(bindings.host_captures, name),
            Subject::Method => vec![Some(Cow::Borrowed(bindings.method))],
            Subject::Header(name) => bindings.request.values(name).map(text).collect(),
            Subject::Query(name) => bindings.request.query_values(name).collect(),
            Subject::Cookie(name) => bindings.request.cookies(name).map(text).collect(),
            Subject::Peer(field) => {
                let value = bindings.request.peer().certificate(*field);
                value
                    .filter(|value| !value.is_empty())
                    .map(Cow::Owned)
                    .map(Some)
                    .into_iter()
                    .collect()
            }
            Subject::Claim(_) | Subject::Attribute(_) | Subject::Issuer => Vec::new(),
        }
    }
}

/// A value to compare.
#[derive(Clone, Copy)]
enum Item<'a> {
    Text(&'a str),
    Number(&'a Number),
    Bool(bool),
    Null,
    /// An array or object: of a wrong type wherever a set of scalars is meant.
    Nested,
}

impl<'a> Item<'a> {
    fn of(value: &'a Value) -> Self {
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
    /// Whether it is this value; `None` where a placeholder is unresolved. Types are compared.
    fn is(&self, item: &Item<'_>, bindings: &Bindings<'_>) -> Option<bool> {
        Some(match (self, item) {
            (Self::Text(template), Item::Text(text)) => template.resolve(bindings)? == *text,
            (Self::Text(template), _) => {
                template.resolve(bindings)?;
                false
            }
            (Self::Number(number), Item::Number(other)) => json::same_number(number, other),
            (Self::Bool(value), Item::Bool(other)) => value == other,
            (Self::Number(_) | Self::Bool(_), _) => false,
        })
    }

    /// Whether it is of the type of this value.
    fn is_like(&self, item: &Item<'_>) -> bool {
        matches!(
            (self, item),
            (Self::Text(_), Item::Text(_))
                | (Self::Number(_), Item::Number(_))
                | (Self::Bool(_), Item::Bool(_))
        )
    }

    fn is_among(&self, items: &[Item<'_>], bindings: &Bindings<'_>) -> Option<bool> {
        let mut found = false;
        for item in items {
            found |= self.is(item, bindings)?;
        }
        if items.is_empty() {
            // Still unknown where a placeholder is unresolved.
            self.is(&Item::Null, bindings)?;
        }
        Some(found)
    }
}

impl Operator {
    /// `items` is the set of values; `scalar` the one value, where the subject is no array.
    fn judge(
        &self,
        items: &[Item<'_>],
        scalar: Option<&Item<'_>>,
        bindings: &Bindings<'_>,
    ) -> Truth {
        if items.iter().any(|item| matches!(item, Item::Nested)) {
            return Truth::Unknown;
        }
        // How many operands are among the values, and whether a value is of a type that none has.
        let compare = |operands: &[Operand]| {
            let mut held = 0;
            for operand in operands {
                held += usize::from(operand.is_among(items, bindings)?);
            }
            let foreign = |item: &Item<'_>| !operands.iter().any(|operand| operand.is_like(item));
            Some((held, items.iter().any(foreign)))
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
                decided(like.and_then(|scalar| operand.is(scalar, bindings)))
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

fn order(scalar: Option<&Item<'_>>, bound: &Number) -> Option<std::cmp::Ordering> {
    match scalar? {
        Item::Number(number) => json::compare(number, bound),
        Item::Text(_) | Item::Bool(_) | Item::Null | Item::Nested => None,
    }
}

fn decided(held: Option<bool>) -> Truth {
    held.map_or(Truth::Unknown, Truth::from)
}

/// The `scope` string split at spaces (RFC 8693 section 4.2), or `scp`.
fn scopes(context: &Context<'_>, names: &[Box<str>], all: bool) -> Truth {
    let Some(token) = context.token else {
        return Truth::Unknown;
    };
    let claims = token.claims();
    let granted: Vec<&str> = match (claims.get("scope"), claims.get("scp")) {
        (Some(Value::String(scope)), _)
        | (None | Some(Value::Null), Some(Value::String(scope))) => scope.split(' ').collect(),
        (None | Some(Value::Null), Some(Value::Array(items))) => {
            match items.iter().map(Value::as_str).collect() {
                Some(granted) => granted,
                None => return Truth::Unknown,
            }
        }
        _ => return Truth::Unknown,
    };
    let mut held = names.iter().map(|name| granted.contains(&&**name));
    if all { held.all(|held| held).into() } else { held.any(|held| held).into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Truth::{False, True, Unknown};

    fn text(text: &str) -> Operand {
        Operand::Text(Template::parse(text).unwrap())
    }

    #[test]
    fn types_and_occurrences_decide_only_what_they_can() {
        let request = crate::request::Request::new(
            &[(b":path", b"/?env=dev&env=prod&one=prod"), (b"x-odd", b"\xff")],
            &crate::request::UnknownPeer,
        );
        let bindings = Bindings {
            request: &request,
            host: "h",
            method: "GET",
            host_captures: &[],
            path_captures: &[],
        };
        let context = Context { bindings, token: None, issuers: &[] };
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
            let scalar = if let [one] = items.as_slice() { Some(one) } else { None };
            let got = operator.judge(&items, scalar, &bindings);
            assert_eq!(got, want, "{operator:?}");
        }
        let leaf = |name: &str, operator| {
            Condition::Leaf(Leaf { subject: Subject::Query(name.into()), operator, absent: None })
        };
        let odd = Condition::Leaf(Leaf {
            subject: Subject::Header("x-odd".into()),
            operator: any(&["a"]),
            absent: None,
        });
        let cases = [
            (leaf("one", any(&["prod"])), True, False),
            (leaf("env", any(&["prod"])), Unknown, Unknown),
            (leaf("env", any(&["dev", "prod"])), True, False),
            (leaf("env", any(&["none"])), False, True),
            (leaf("none", any(&["prod"])), Unknown, Unknown),
            (odd, Unknown, Unknown),
            (Condition::ByIssuer(Vec::new()), Unknown, Unknown),
        ];
        for (condition, plain, negated) in cases {
            assert_eq!(condition.evaluate(&context), plain, "{condition:?}");
            assert_eq!(Condition::Not(Box::new(condition)).evaluate(&context), negated);
        }
    }
}
