//! Conditions: compiled when the configuration loads, evaluated in Kleene's three values.

use super::operator::{Item, Operand, Operator, Truth};
use super::template::{Bindings, Placeholder};
use crate::request::CertificateField;
use crate::token::ClaimPath;
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
    use super::super::operator::Operand;
    use super::super::template::Template;
    use super::*;
    use Truth::{False, True, Unknown};

    #[test]
    fn occurrences_decide_only_where_they_agree() {
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
