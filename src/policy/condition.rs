//! Conditions: compiled when the configuration loads, evaluated in Kleene's three values.

use super::operator::{Item, Operand, Operator, Truth};
use super::template::{Bindings, Placeholder};
use crate::request::CertificateField;
use crate::token::ClaimPath;
use crate::token::claims::Values;
use crate::token::{Issuer, VerifiedToken};
use ipnet::IpNet;
use serde_json::Value;
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
            Self::Not(part) => !part.judge(context, assume_scopes),
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
            Self::ClientAddress(_) => visitor(Part::Request),
        }
    }

    /// Whether it reads nothing but the token, so that what it says of one stays.
    pub fn reads_token_alone(&self) -> bool {
        let mut alone = true;
        self.visit(&mut |part| alone &= matches!(part, Part::Token | Part::Scope(_)));
        alone
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
    /// Something else of the request.
    Request,
}

impl Leaf {
    fn visit<'c>(&'c self, visitor: &mut dyn FnMut(Part<'c>)) {
        match &self.subject {
            Subject::Path(name) => visitor(Part::PathCapture(name)),
            Subject::Host(name) => visitor(Part::HostCapture(name)),
            subject if subject.is_claim() => visitor(Part::Token),
            _ => visitor(Part::Request),
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
                    Placeholder::Query(_) | Placeholder::Header(_) => visitor(Part::Request),
                    Placeholder::Host | Placeholder::Method => visitor(Part::Request),
                }
            }
        }
    }

    fn evaluate(&self, context: &Context<'_>) -> Truth {
        if self.subject.is_claim() {
            return self.on_claim(context);
        }
        // Every occurrence is judged by itself.
        let (mut count, mut least, mut most) = (0, Truth::True, Truth::False);
        self.occurrences(context, &mut |occurrence| {
            let truth = match occurrence.as_deref().map(Item::Text) {
                None => Truth::Unknown,
                Some(item) => {
                    self.operator.judge(std::iter::once(item), Some(item), &context.bindings)
                }
            };
            (count, least, most) = (count + 1, least.min(truth), most.max(truth));
        });
        match self.operator {
            Operator::Present(present) => ((count > 0) == present).into(),
            _ if count == 0 => self.absence(),
            // Where they differ, neither the leaf nor its negation holds.
            _ if least == most => least,
            _ => Truth::Unknown,
        }
    }

    fn absence(&self) -> Truth {
        self.absent.map_or(Truth::Unknown, Truth::from)
    }

    fn on_claim(&self, context: &Context<'_>) -> Truth {
        if let Subject::Issuer = self.subject {
            let issuer = context.issuer_name();
            return match (issuer.map(Item::Text), &self.operator) {
                (issuer, Operator::Present(present)) => (issuer.is_some() == *present).into(),
                (None, _) => self.absence(),
                (Some(name), operator) => {
                    operator.judge(std::iter::once(name), Some(name), &context.bindings)
                }
            };
        }
        let values = self.claim_values(context);
        if let Operator::Present(present) = self.operator {
            let some = values.is_some_and(|values| values.iter().any(|value| !value.is_null()));
            return (some == present).into();
        }
        let Some(values) = values else {
            return self.absence();
        };
        let scalar = values.scalar().map(Item::of);
        self.operator.judge(values.iter().map(Item::of), scalar, &context.bindings)
    }

    fn claim_values<'a>(&self, context: &Context<'a>) -> Option<Values<'a>> {
        let token = context.token?;
        match &self.subject {
            Subject::Claim(path) => path.find(token.claims()),
            Subject::Attribute(paths) => {
                paths.get(token.issuer().0)?.as_ref()?.find(token.claims())
            }
            _ => None,
        }
    }

    /// Tells every occurrence of a value of the request; `None` is one that is not UTF-8.
    fn occurrences<'a>(&self, context: &Context<'a>, tell: &mut dyn FnMut(Option<Cow<'a, str>>)) {
        let text = |value: &'a [u8]| std::str::from_utf8(value).ok().map(Cow::Borrowed);
        let Bindings { request, host, method, captured } = context.bindings;
        match &self.subject {
            Subject::Path(name) => {
                captured.of_path(name).into_iter().for_each(|value| tell(Some(value.into())));
            }
            Subject::Host(name) => {
                captured.of_host(name, host).into_iter().for_each(|value| tell(Some(value.into())));
            }
            Subject::Method => tell(Some(method.into())),
            Subject::Header(name) => request.values(name).map(text).for_each(tell),
            Subject::Query(name) => request.query_values(name).for_each(tell),
            Subject::Cookie(name) => request.cookies(name).map(text).for_each(tell),
            Subject::Peer(field) => {
                let value = request.peer().certificate(*field).filter(|value| !value.is_empty());
                value.into_iter().for_each(|value| tell(Some(value.into())));
            }
            Subject::Claim(_) | Subject::Attribute(_) | Subject::Issuer => {}
        }
    }

    /// What the leaf looks at, as JSON: one text for each value, none where the subject is absent.
    pub(super) fn seen(&self, context: &Context<'_>) -> Vec<String> {
        if let Subject::Issuer = self.subject {
            return context
                .issuer_name()
                .map(|name| Value::from(name).to_string())
                .into_iter()
                .collect();
        }
        if self.subject.is_claim() {
            let values = self.claim_values(context);
            return values
                .map(|values| values.iter().map(Value::to_string).collect())
                .unwrap_or_default();
        }
        let mut seen = Vec::new();
        self.occurrences(context, &mut |occurrence| {
            let text = occurrence.map(|text| Value::from(&*text).to_string());
            seen.push(text.unwrap_or_else(|| "not UTF-8".to_owned()));
        });
        seen
    }
}

impl<'a> Context<'a> {
    /// The operator's name for the token's issuer.
    fn issuer_name(&self) -> Option<&'a str> {
        let issuer = self.issuers.get(self.token?.issuer().0)?;
        Some(&issuer.name)
    }
}

/// The `scope` string split at spaces (RFC 8693 section 4.2), or `scp`.
fn scopes(context: &Context<'_>, names: &[Box<str>], all: bool) -> Truth {
    let Some(token) = context.token else {
        return Truth::Unknown;
    };
    let Some(granted) = Scopes::of(token) else {
        return Truth::Unknown;
    };
    let mut held = names.iter().map(|name| granted.hold(name));
    if all { held.all(|held| held).into() } else { held.any(|held| held).into() }
}

/// What a token is granted.
pub(super) enum Scopes<'a> {
    /// Separated by spaces.
    Text(&'a str),
    /// Strings.
    List(&'a [Value]),
}

impl<'a> Scopes<'a> {
    /// `None` where the token has none, or of a wrong type.
    pub(super) fn of(token: &'a VerifiedToken) -> Option<Self> {
        let claims = token.claims();
        match (claims.get("scope"), claims.get("scp")) {
            (Some(Value::String(scope)), _)
            | (None | Some(Value::Null), Some(Value::String(scope))) => Some(Self::Text(scope)),
            (None | Some(Value::Null), Some(Value::Array(items))) => {
                items.iter().all(Value::is_string).then_some(Self::List(items))
            }
            _ => None,
        }
    }

    fn hold(&self, name: &str) -> bool {
        match self {
            Self::Text(text) => text.split(' ').any(|granted| granted == name),
            Self::List(items) => items.iter().any(|granted| granted.as_str() == Some(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::operator::Operand;
    use super::super::template::{Captured, Template};
    use super::*;
    use Truth::{False, True, Unknown};

    #[test]
    fn occurrences_decide_only_where_they_agree() {
        let request = crate::request::Request::new(
            &[(b":path", b"/?env=dev&env=prod&one=prod"), (b"x-odd", b"\xff")],
            &crate::request::UnknownPeer,
        );
        let bindings =
            Bindings { request: &request, host: "h", method: "GET", captured: Captured::default() };
        let context = Context { bindings, token: None, issuers: &[] };
        let text = |item: &&str| Operand::Text(Template::parse(item).unwrap());
        let any = |list: &[&str]| Operator::AnyOf(list.iter().map(text).collect());
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
