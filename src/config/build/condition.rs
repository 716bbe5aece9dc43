//! Conditions: one combination, or one subject and one operator.

use super::issuer::{claim_path, header_name};
use super::{Builder, check_not_empty, list, number};
use crate::config::error::{ConfigError, Place};
use crate::config::raw;
use crate::json::kind;
use crate::policy::condition::{Condition, Leaf, Subject};
use crate::policy::operator::{Operand, Operator};
use crate::policy::template::Template;
use crate::request::CertificateField;
use ipnet::IpNet;
use regex_lite::RegexBuilder;
use serde_json::{Number, Value};

/// How deep conditions nest, references followed.
const MAX_DEPTH: usize = 32;

/// How many parts one condition has, references followed: each may cost every request.
const MAX_PARTS: usize = 4096;

impl Builder<'_> {
    /// Builds every named condition, so that one that no route uses is checked too.
    pub(super) fn check_conditions(&self, place: &Place) -> Result<(), ConfigError> {
        for (name, raw) in &self.conditions {
            self.condition(raw, &place.key(name))?;
        }
        Ok(())
    }

    pub(super) fn condition(
        &self,
        raw: &raw::Condition,
        place: &Place,
    ) -> Result<Condition, ConfigError> {
        self.budget.set(MAX_PARTS);
        self.nested(raw, place, 0)
    }

    fn nested(
        &self,
        raw: &raw::Condition,
        place: &Place,
        depth: usize,
    ) -> Result<Condition, ConfigError> {
        if depth > MAX_DEPTH {
            return Err(place.error("conditions nest deeper than 32, or refer to each other"));
        }
        let left = self.budget.get().checked_sub(1);
        self.budget.set(left.ok_or_else(|| {
            place.error("a condition of more than 4096 parts, references followed")
        })?);
        let combinations = [
            ("all", raw.all.is_some()),
            ("any", raw.any.is_some()),
            ("not", raw.not.is_some()),
            ("ref", raw.r#ref.is_some()),
            ("by_issuer", raw.by_issuer.is_some()),
            ("scopes", raw.scopes.is_some()),
            ("any_scope", raw.any_scope.is_some()),
            ("client_address", raw.client_address.is_some()),
        ];
        let present: Vec<&str> =
            combinations.iter().filter(|(_, present)| *present).map(|(name, _)| *name).collect();
        let members = subjects(raw).into_iter().chain(operators(raw)).map(|(name, _)| name);
        let beside: Vec<&str> = members.chain(raw.absent.map(|_| "absent")).collect();
        match present.as_slice() {
            [] => return self.leaf(raw, place).map(Condition::Leaf),
            [_] if beside.is_empty() => {}
            [one] => {
                let beside = list(beside.into_iter());
                return Err(place.error(format!("`{one}` stands alone, found beside it: {beside}")));
            }
            several => {
                let several = list(several.iter().copied());
                return Err(place.error(format!("expected exactly one of {several}: nest them")));
            }
        }
        let each = |parts: &[raw::Condition], place: &Place| {
            check_not_empty(parts, place)?;
            let part = |(index, part)| self.nested(part, &place.index(index), depth + 1);
            parts.iter().enumerate().map(part).collect::<Result<Vec<_>, _>>()
        };
        if let Some(parts) = &raw.all {
            return each(parts, &place.key("all")).map(Condition::All);
        }
        if let Some(parts) = &raw.any {
            return each(parts, &place.key("any")).map(Condition::Any);
        }
        if let Some(part) = &raw.not {
            let part = self.nested(part, &place.key("not"), depth + 1)?;
            return Ok(Condition::Not(Box::new(part)));
        }
        if let Some(name) = &raw.r#ref {
            let Some(named) = self.conditions.get(name) else {
                let known = list(self.conditions.keys().map(String::as_str));
                return Err(place.key("ref").error(format!(
                    "no condition `{name}` under `conditions`, there are: {known}"
                )));
            };
            return self.nested(named, place, depth + 1);
        }
        if let Some(parts) = &raw.by_issuer {
            return self.by_issuer(parts, &place.key("by_issuer"), depth);
        }
        if let Some(names) = &raw.scopes {
            return scopes(names, true, &place.key("scopes"));
        }
        if let Some(names) = &raw.any_scope {
            return scopes(names, false, &place.key("any_scope"));
        }
        let networks = raw.client_address.as_deref().unwrap_or_default();
        networks_of(networks, &place.key("client_address"))
    }

    fn by_issuer(
        &self,
        parts: &std::collections::BTreeMap<String, raw::Condition>,
        place: &Place,
        depth: usize,
    ) -> Result<Condition, ConfigError> {
        if parts.is_empty() {
            return Err(place.error("names no issuer, so that all are refused"));
        }
        let mut by_id: Vec<Option<Condition>> = self.names.iter().map(|_| None).collect();
        for (name, part) in parts {
            let place = place.key(name);
            let Some(slot) = self.issuer_id(name).and_then(|id| by_id.get_mut(id.0)) else {
                let known = list(self.names.iter().map(String::as_str));
                return Err(place.error(format!("no issuer `{name}`, there are: {known}")));
            };
            *slot = Some(self.nested(part, &place, depth + 1)?);
        }
        Ok(Condition::ByIssuer(by_id))
    }

    fn leaf(&self, raw: &raw::Condition, place: &Place) -> Result<Leaf, ConfigError> {
        let one = |what: &str, present: Vec<(&'static str, bool)>, all: &str| match present[..] {
            [(name, _)] => Ok(name),
            [] => Err(place.error(format!("no {what}, expected one of {all}"))),
            _ => {
                let found = list(present.iter().map(|(name, _)| *name));
                Err(place.error(format!("a leaf has one {what}, found {found}: use `all`")))
            }
        };
        let subject_name = one(
            "subject",
            subjects(raw),
            "`claim`, `attribute`, `path`, `host`, `method`, `header`, `query`, `cookie`, `peer` \
             (or of `all`, `any`, `not`, `ref`, `by_issuer`, `scopes`, `any_scope`, \
             `client_address`)",
        )?;
        let operator_name = one(
            "operator",
            operators(raw),
            "`any_of`, `all_of`, `none_of`, `equals`, `present`, `matches`, `at_least`, `at_most`",
        )?;
        let subject = self.subject(raw, &place.key(subject_name))?;
        let operator = operator(raw, &subject, &place.key(operator_name))?;
        if raw.absent.is_some() && raw.present.is_some() {
            return Err(place.key("absent").error("`present` says itself what absence means"));
        }
        Ok(Leaf { subject, operator, absent: raw.absent })
    }

    fn subject(&self, raw: &raw::Condition, place: &Place) -> Result<Subject, ConfigError> {
        let text = |text: &str| -> Result<Box<str>, ConfigError> {
            if text.is_empty() { Err(place.error("the name is empty")) } else { Ok(text.into()) }
        };
        if let Some(claim) = &raw.claim {
            return claim_path(claim, place).map(Subject::Claim);
        }
        if let Some(name) = &raw.attribute {
            return self.attribute(name, place);
        }
        if let Some(name) = &raw.path {
            return text(name).map(Subject::Path);
        }
        if let Some(name) = &raw.host {
            return text(name).map(Subject::Host);
        }
        if let Some(name) = &raw.header {
            return header_name(name, place).map(Subject::Header);
        }
        if let Some(name) = &raw.query {
            return text(name).map(Subject::Query);
        }
        if let Some(name) = &raw.cookie {
            return text(name).map(Subject::Cookie);
        }
        if let Some(field) = raw.peer {
            return Ok(Subject::Peer(match field {
                raw::PeerField::UriSan => CertificateField::UriSan,
                raw::PeerField::DnsSan => CertificateField::DnsSan,
                raw::PeerField::Subject => CertificateField::Subject,
                raw::PeerField::Sha256 => CertificateField::Sha256,
            }));
        }
        match raw.method {
            Some(true) => Ok(Subject::Method),
            _ => Err(place.error("found false, expected `method: true`")),
        }
    }

    fn attribute(&self, name: &str, place: &Place) -> Result<Subject, ConfigError> {
        if name == "issuer" {
            return Ok(Subject::Issuer);
        }
        self.attribute_paths(name, place).map(Subject::Attribute)
    }

    /// Each issuer's claim for an attribute.
    pub(super) fn attribute_paths(
        &self,
        name: &str,
        place: &Place,
    ) -> Result<Vec<Option<crate::token::ClaimPath>>, ConfigError> {
        let paths: Vec<_> = self.attributes.iter().map(|own| own.get(name).cloned()).collect();
        if paths.iter().any(Option::is_some) {
            return Ok(paths);
        }
        let mut known: Vec<&str> =
            self.attributes.iter().flat_map(|own| own.keys().map(String::as_str)).collect();
        known.push("issuer");
        known.sort_unstable();
        known.dedup();
        let known = list(known.into_iter());
        Err(place.error(format!("no issuer has an attribute `{name}`, there are: {known}")))
    }
}

fn subjects(raw: &raw::Condition) -> Vec<(&'static str, bool)> {
    present([
        ("claim", raw.claim.is_some()),
        ("attribute", raw.attribute.is_some()),
        ("path", raw.path.is_some()),
        ("host", raw.host.is_some()),
        ("method", raw.method.is_some()),
        ("header", raw.header.is_some()),
        ("query", raw.query.is_some()),
        ("cookie", raw.cookie.is_some()),
        ("peer", raw.peer.is_some()),
    ])
}

fn operators(raw: &raw::Condition) -> Vec<(&'static str, bool)> {
    present([
        ("any_of", raw.any_of.is_some()),
        ("all_of", raw.all_of.is_some()),
        ("none_of", raw.none_of.is_some()),
        ("equals", raw.equals.is_some()),
        ("present", raw.present.is_some()),
        ("matches", raw.matches.is_some()),
        ("at_least", raw.at_least.is_some()),
        ("at_most", raw.at_most.is_some()),
    ])
}

fn present<const N: usize>(members: [(&'static str, bool); N]) -> Vec<(&'static str, bool)> {
    members.into_iter().filter(|(_, present)| *present).collect()
}

fn operator(
    raw: &raw::Condition,
    subject: &Subject,
    place: &Place,
) -> Result<Operator, ConfigError> {
    let operands = |values: &[Value]| {
        check_not_empty(values, place)?;
        let operand = |(index, value)| operand(value, subject, &place.index(index));
        values.iter().enumerate().map(operand).collect::<Result<Vec<_>, _>>()
    };
    if let Some(values) = &raw.any_of {
        return operands(values).map(Operator::AnyOf);
    }
    if let Some(values) = &raw.all_of {
        return operands(values).map(Operator::AllOf);
    }
    if let Some(values) = &raw.none_of {
        return operands(values).map(Operator::NoneOf);
    }
    if let Some(value) = &raw.equals {
        return operand(value, subject, place).map(Operator::Equals);
    }
    if let Some(present) = raw.present {
        return Ok(Operator::Present(present));
    }
    if let Some(pattern) = &raw.matches {
        // By itself first, so that no bracket of it can close the anchors' own.
        let whole = RegexBuilder::new(pattern)
            .build()
            .and_then(|_| RegexBuilder::new(&format!("^(?:{pattern})$")).build());
        return whole
            .map(Operator::Matches)
            .map_err(|error| place.error(format!("not a regular expression: {error}")));
    }
    let bound = |value: &Value| -> Result<Number, ConfigError> {
        match number(value) {
            Some(_) if !subject.is_claim() => {
                Err(place.error("a value of the request is text: compare a claim or an attribute"))
            }
            Some(number) => Ok(number),
            None => Err(place.error(format!("found {}, expected a number", kind(value)))),
        }
    };
    match (&raw.at_least, &raw.at_most) {
        (Some(value), _) => bound(value).map(Operator::AtLeast),
        (None, Some(value)) => bound(value).map(Operator::AtMost),
        (None, None) => Err(place.error("no operator")),
    }
}

fn operand(value: &Value, subject: &Subject, place: &Place) -> Result<Operand, ConfigError> {
    match value {
        Value::String(text) => {
            Template::parse(text).map(Operand::Text).map_err(|reason| place.error(reason))
        }
        Value::Number(_) | Value::Bool(_) if !subject.is_claim() => Err(place.error(format!(
            "found {}, but a value of the request is text: write it in quotes",
            kind(value)
        ))),
        Value::Number(number) => Ok(Operand::Number(number.clone())),
        Value::Bool(value) => Ok(Operand::Bool(*value)),
        Value::Null => Err(place.error("found null: use `present: false`")),
        Value::Array(_) | Value::Object(_) => {
            Err(place.error(format!("found {}, expected a string, number or boolean", kind(value))))
        }
    }
}

fn scopes(names: &[String], all: bool, place: &Place) -> Result<Condition, ConfigError> {
    check_not_empty(names, place)?;
    // RFC 6749 section 3.3: scope-token.
    let token = |name: &String| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'))
    };
    if let Some(index) = names.iter().position(|name| !token(name)) {
        return Err(place.index(index).error("a scope has no spaces, quotes or backslashes"));
    }
    Ok(Condition::Scopes { names: names.iter().map(|name| name.as_str().into()).collect(), all })
}

fn networks_of(texts: &[String], place: &Place) -> Result<Condition, ConfigError> {
    check_not_empty(texts, place)?;
    let network = |(index, text): (usize, &String)| {
        let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or(address).map_err(|_| {
            place.index(index).error(format!("`{text}` is no network: write `10.0.0.0/8`"))
        })
    };
    texts.iter().enumerate().map(network).collect::<Result<_, _>>().map(Condition::ClientAddress)
}
