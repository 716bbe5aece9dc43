//! Strings with placeholders of the request.

use super::host::HostPattern;
use super::pattern::PathPattern;
use crate::request::Request;
use std::borrow::Cow;

/// A string that may hold placeholders such as `${path.env}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Placeholder(Placeholder),
}

/// A value of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// A capture of the path.
    Path(Box<str>),
    /// A capture of the host.
    HostCapture(Box<str>),
    /// A query parameter.
    Query(Box<str>),
    /// A header.
    Header(Box<str>),
    /// The host.
    Host,
    /// The method.
    Method,
}

/// Names and values that a pattern captured.
pub type Captures<'p, 't> = Vec<(&'p str, &'t str)>;

/// Where captures are looked up when a condition asks for one: a route's patterns and what they took.
#[derive(Clone, Copy, Default)]
pub struct Captured<'a> {
    /// The route's hosts.
    pub hosts: &'a [HostPattern],
    /// The pattern that won.
    pub path: Option<&'a PathPattern>,
    /// The segments of the path that it took.
    pub segments: &'a [Cow<'a, str>],
}

impl<'a> Captured<'a> {
    /// The capture of the path that has this name.
    pub fn of_path(&self, name: &str) -> Option<&'a str> {
        self.path?.capture(name, self.segments)
    }

    /// The capture of `host` that has this name.
    pub fn of_host<'h>(&self, name: &str, host: &'h str) -> Option<&'h str> {
        let (own, value) = self.hosts.iter().find_map(|pattern| pattern.capture(host))?;
        (own == name).then_some(value)
    }
}

/// What placeholders read.
#[derive(Clone, Copy)]
pub struct Bindings<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// The safe host.
    pub host: &'a str,
    /// The method.
    pub method: &'a str,
    /// Captures of host and path.
    pub captured: Captured<'a>,
}

impl Template {
    /// Reads a string; `$${` stands for `${`.
    ///
    /// # Errors
    /// Says which placeholder is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(escaped) = before.strip_suffix('$') {
                literal.push_str(escaped);
                literal.push_str("${");
                rest = after;
                continue;
            }
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| "`${` without `}`; `$${` escapes".to_owned())?;
            literal.push_str(before);
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Placeholder(Placeholder::parse(name)?));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() || parts.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Ok(Self { parts })
    }

    /// Its placeholders.
    pub fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(placeholder) => Some(placeholder),
            Part::Text(_) => None,
        })
    }

    /// The string for a request; `None` where a placeholder has no value, or several.
    pub fn resolve<'a>(&'a self, bindings: &Bindings<'a>) -> Option<Cow<'a, str>> {
        match self.parts.as_slice() {
            [Part::Text(text)] => Some(Cow::Borrowed(text)),
            [Part::Placeholder(placeholder)] => placeholder.resolve(bindings),
            parts => {
                let mut text = String::new();
                for part in parts {
                    match part {
                        Part::Text(literal) => text.push_str(literal),
                        Part::Placeholder(placeholder) => {
                            text.push_str(&placeholder.resolve(bindings)?);
                        }
                    }
                }
                Some(Cow::Owned(text))
            }
        }
    }
}

impl Placeholder {
    fn parse(name: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "unknown placeholder `${{{name}}}`, accepted: `${{path.NAME}}`, `${{host.NAME}}`, \
                 `${{query.NAME}}`, `${{header.NAME}}`, `${{host}}`, `${{method}}`"
            )
        };
        match name.split_once('.') {
            None if name == "host" => Ok(Self::Host),
            None if name == "method" => Ok(Self::Method),
            Some((_, "")) | None => Err(unknown()),
            Some(("path", capture)) => Ok(Self::Path(capture.into())),
            Some(("host", capture)) => Ok(Self::HostCapture(capture.into())),
            Some(("query", parameter)) => Ok(Self::Query(parameter.into())),
            Some(("header", header)) => Ok(Self::Header(header.to_ascii_lowercase().into())),
            Some(_) => Err(unknown()),
        }
    }

    fn resolve<'a>(&'a self, bindings: &Bindings<'a>) -> Option<Cow<'a, str>> {
        match self {
            Self::Host => Some(Cow::Borrowed(bindings.host)),
            Self::Method => Some(Cow::Borrowed(bindings.method)),
            Self::Path(name) => bindings.captured.of_path(name).map(Cow::Borrowed),
            Self::HostCapture(name) => {
                bindings.captured.of_host(name, bindings.host).map(Cow::Borrowed)
            }
            Self::Query(name) => {
                let mut values = bindings.request.query_values(name);
                let value = values.next()?;
                if values.next().is_some() { None } else { value }
            }
            Self::Header(name) => {
                let mut values = bindings.request.values(name);
                let value = values.next()?;
                if values.next().is_some() {
                    return None;
                }
                std::str::from_utf8(value).ok().map(Cow::Borrowed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Header, UnknownPeer};

    #[test]
    fn resolves_placeholders() {
        let headers: [Header<'_>; 4] = [
            (b":path", b"/?q=a+b&two=1&two=2"),
            (b"x-one", b"1"),
            (b"x-two", b"1"),
            (b"x-two", b"1"),
        ];
        let request = Request::new(&headers, &UnknownPeer);
        let bindings = Bindings {
            request: &request,
            host: "acme.example.com",
            method: "GET",
            captured: Captured {
                hosts: &[HostPattern::parse("{t}.example.com").unwrap()],
                path: Some(&PathPattern::parse("/logs/{env}/**", false).unwrap()),
                segments: &["logs".into(), "prod".into()],
            },
        };
        let cases = [
            ("plain", Some("plain")),
            ("", Some("")),
            ("${path.env}", Some("prod")),
            ("a-${path.env}-${host.t}!", Some("a-prod-acme!")),
            ("$${path.env}", Some("${path.env}")),
            ("${host} ${method}", Some("acme.example.com GET")),
            ("${query.q}", Some("a b")),
            ("${query.two}", None),
            ("${query.none}", None),
            ("${header.X-One}", Some("1")),
            ("${header.x-two}", None),
            ("x${path.none}", None),
            ("5$", Some("5$")),
        ];
        for (text, want) in cases {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.resolve(&bindings).as_deref(), want, "{text}");
        }
        for text in ["${", "${path}", "${claim.x}", "${path.}", "${}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
