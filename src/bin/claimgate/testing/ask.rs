//! A request that is made up: as a case or the command line writes it, and as the engine takes it.

use super::read::{Read, member, object, text, unexpected};
use claimgate::config::Place;
use claimgate::request::{CertificateField, Header, Peer};
use claimgate::token::extract::Source;
use http::{HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::net::IpAddr;

/// What is said of a request so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    method: Option<String>,
    host: Option<String>,
    path: Option<String>,
    /// By name in lower case; without a value for one that is above, and not to be there.
    headers: Vec<(String, Vec<String>)>,
    connection: Connection,
}

/// What is known of the connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connection {
    pub client_address: Option<IpAddr>,
    pub certificate: Certificate,
}

/// The client certificate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Certificate {
    pub uri_san: Option<String>,
    pub dns_san: Option<String>,
    pub subject: Option<String>,
    pub sha256: Option<String>,
}

impl Peer for Connection {
    fn client_address(&self) -> Option<IpAddr> {
        // As the filter has it: an IPv4 address in IPv6 clothes is the same client.
        self.client_address.map(|address| address.to_canonical())
    }

    fn certificate(&self, field: CertificateField) -> Option<String> {
        let Certificate { uri_san, dns_san, subject, sha256 } = &self.certificate;
        match field {
            CertificateField::UriSan => uri_san.clone(),
            CertificateField::DnsSan => dns_san.clone(),
            CertificateField::Subject => subject.clone(),
            CertificateField::Sha256 => sha256.clone(),
        }
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub method: String,
    pub host: String,
    /// The `:path`, query included.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub connection: Connection,
}

const MEMBERS: [&str; 6] = ["method", "host", "path", "headers", "client_address", "certificate"];
const CERTIFICATE: [&str; 4] = ["uri_san", "dns_san", "subject", "sha256"];

impl Draft {
    /// Nothing but a host.
    pub fn of_host(host: String) -> Self {
        Self { host: Some(host), ..Self::default() }
    }

    /// `METHOD PATH`, `METHOD URL`, or the long form.
    pub fn read(value: &Value, place: &Place) -> Read<Self> {
        if let Value::String(line) = value {
            let parts = line.trim().split_once(' ');
            let parts = parts.and_then(|(method, to)| Some((method, target(to.trim_start())?)));
            let Some((method, (host, path))) = parts else {
                return Err(place.error(format!(
                    "`{line}` is no request: write `GET /path` or `GET https://host/path`"
                )));
            };
            let method = Some(method.to_owned());
            return Ok(Self { method, host, path: Some(path), ..Self::default() });
        }
        let members = object(value, place, &MEMBERS, "`METHOD PATH`, or an object")?;
        let address = member(members, "client_address", place)?;
        let address = address.map(|text| text.parse().map_err(|_| text)).transpose();
        let address = address.map_err(|text: String| {
            place.key("client_address").error(format!("`{text}` is no address: write `10.0.0.1`"))
        })?;
        let certificate = members.get("certificate").map(|value| {
            let place = place.key("certificate");
            let members = object(value, &place, &CERTIFICATE, "an object")?;
            let field = |name| member(members, name, &place);
            Ok(Certificate {
                uri_san: field("uri_san")?,
                dns_san: field("dns_san")?,
                subject: field("subject")?,
                sha256: field("sha256")?,
            })
        });
        let headers = members.get("headers").map(|value| headers(value, &place.key("headers")));
        Ok(Self {
            method: member(members, "method", place)?,
            host: member(members, "host", place)?,
            path: member(members, "path", place)?,
            headers: headers.transpose()?.unwrap_or_default(),
            connection: Connection {
                client_address: address,
                certificate: certificate.transpose()?.unwrap_or_default(),
            },
        })
    }

    /// This, and what it leaves open as it is above.
    pub fn over(self, above: &Self) -> Self {
        let mut headers = self.headers;
        for (name, values) in &above.headers {
            if !headers.iter().any(|(own, _)| own == name) {
                headers.push((name.clone(), values.clone()));
            }
        }
        let or = |own: Option<String>, above: &Option<String>| own.or_else(|| above.clone());
        let (own, other) = (self.connection.certificate, &above.connection.certificate);
        let certificate = Certificate {
            uri_san: or(own.uri_san, &other.uri_san),
            dns_san: or(own.dns_san, &other.dns_san),
            subject: or(own.subject, &other.subject),
            sha256: or(own.sha256, &other.sha256),
        };
        let client_address = self.connection.client_address.or(above.connection.client_address);
        Self {
            method: or(self.method, &above.method),
            host: or(self.host, &above.host),
            path: or(self.path, &above.path),
            headers,
            connection: Connection { client_address, certificate },
        }
    }

    /// The request, where enough is said of it.
    pub fn finish(self, place: &Place) -> Read<Ask> {
        let missing = |name: &str| place.error(format!("`{name}` is missing: write `GET /path`"));
        let headers = self
            .headers
            .into_iter()
            .flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value)));
        Ok(Ask {
            method: self.method.ok_or_else(|| missing("method"))?,
            host: self.host.ok_or_else(|| missing("host"))?,
            path: self.path.ok_or_else(|| missing("path"))?,
            headers: headers.collect(),
            connection: self.connection,
        })
    }
}

/// The host, where it is named, and the `:path` of a target. Nothing of it is decoded or tidied: policy is to
/// see what a client may send.
pub fn target(text: &str) -> Option<(Option<String>, String)> {
    let after = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(after) = after else {
        return (text.starts_with('/') || text == "*").then(|| (None, text.to_owned()));
    };
    let end = after.find(['/', '?']).unwrap_or(after.len());
    let (host, path) = after.split_at_checked(end)?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    (!host.is_empty()).then(|| (Some(host.to_owned()), path))
}

/// A header's name in lower case.
///
/// # Errors
/// What is wrong with it.
pub fn header_name(name: &str) -> Result<String, String> {
    if name.starts_with(':') {
        return Err(format!("`{name}`: say `method`, `host` and `path` for pseudo-headers"));
    }
    let parsed = HeaderName::from_bytes(name.as_bytes());
    parsed
        .map(|name| name.as_str().to_owned())
        .map_err(|_| format!("`{}` is no header name", name.escape_debug()))
}

/// Whether a text can be a header's value.
pub fn is_header_value(value: &str) -> bool {
    HeaderValue::from_bytes(value.as_bytes()).is_ok()
}

fn headers(value: &Value, place: &Place) -> Read<Vec<(String, Vec<String>)>> {
    let members =
        value.as_object().ok_or_else(|| unexpected(value, place, "an object of headers"))?;
    let one = |value: &Value, place: &Place| {
        let value = text(value, place)?;
        match is_header_value(&value) {
            true => Ok(value),
            false => Err(place.error("a header holds no line ends or control characters")),
        }
    };
    let header = |(name, value): (&String, &Value)| {
        let place = place.key(name);
        let name = header_name(name).map_err(|reason| place.error(reason))?;
        let values = match value {
            Value::Null => Vec::new(),
            Value::Array(values) => {
                let values = values.iter().enumerate();
                values.map(|(n, value)| one(value, &place.index(n))).collect::<Read<_>>()?
            }
            value => vec![one(value, &place)?],
        };
        Ok((name, values))
    };
    members.iter().map(header).collect()
}

impl Ask {
    /// Puts a token where an issuer has its tokens carried.
    pub fn carry(&mut self, token: &str, source: &Source) {
        let (name, value) = match source {
            Source::Header { name, scheme: Some(scheme) } => {
                (name.to_string(), format!("{scheme} {token}"))
            }
            Source::Header { name, scheme: None } => (name.to_string(), token.to_owned()),
            Source::Cookie { name, .. } => ("cookie".to_owned(), format!("{name}={token}")),
            Source::WebsocketProtocol { prefix } => {
                ("sec-websocket-protocol".to_owned(), format!("{prefix}{token}"))
            }
            Source::Query { name } => {
                let separator = if self.path.contains('?') { '&' } else { '?' };
                let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
                self.path.push_str(&format!("{separator}{}={}", encode(name), encode(token)));
                return;
            }
        };
        self.headers.push((name, value));
    }

    /// As the engine takes it, and as Envoy hands it over.
    pub fn headers(&self) -> Vec<Header<'_>> {
        let pseudo: [Header<'_>; 4] = [
            (b":method", self.method.as_bytes()),
            (b":scheme", b"https"),
            (b":authority", self.host.as_bytes()),
            (b":path", self.path.as_bytes()),
        ];
        let own = self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        pseudo.into_iter().chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Draft, String> {
        let value: Value = serde_json::from_str(text).unwrap();
        Draft::read(&value, &Place::default().key("request")).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_lines() {
        let cases = [
            ("GET /a", "GET example.com /a"),
            ("GET  /a?b=c", "GET example.com /a?b=c"),
            ("GET /a b", "GET example.com /a b"),
            ("GET //a/%2f/..", "GET example.com //a/%2f/.."),
            ("OPTIONS *", "OPTIONS example.com *"),
            ("GET https://h.test", "GET h.test /"),
            ("GET http://h.test:80?x", "GET h.test:80 /?x"),
            ("GET https://h.test/a//b", "GET h.test /a//b"),
            ("GET", "request: `GET` is no request: write"),
            ("/a", "request: `/a` is no request: write"),
            ("GET a", "request: `GET a` is no request: write"),
            ("GET https:///a", "request: `GET https:///a` is no request: write"),
        ];
        for (text, want) in cases {
            let above = Draft::of_host("example.com".to_owned());
            let got = match read(&Value::from(text).to_string()) {
                Ok(draft) => {
                    let ask = draft.over(&above).finish(&Place::default()).unwrap();
                    format!("{} {} {}", ask.method, ask.host, ask.path)
                }
                Err(error) => error,
            };
            assert!(got.starts_with(want), "{got}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        let cases = [
            ("5", "request: found a number, expected `METHOD PATH`, or an object"),
            (r#"{"url": "/"}"#, "request.url: unknown key `url`, accepted: `method`"),
            (r#"{"headers": []}"#, "request.headers: found an array, expected an object"),
            (r#"{"headers": {":path": "/"}}"#, "request.headers[\":path\"]: `:path`: say `method`"),
            (r#"{"headers": {"a b": "c"}}"#, "request.headers[\"a b\"]: `a b` is no header name"),
            (
                r#"{"headers": {"a": 5}}"#,
                "request.headers.a: found a number, expected a string: quote it",
            ),
            (
                r#"{"headers": {"a": ["b\nc"]}}"#,
                "request.headers.a[0]: a header holds no line ends",
            ),
            (r#"{"client_address": "10.0.0"}"#, "request.client_address: `10.0.0` is no address"),
            (r#"{"certificate": {"san": "x"}}"#, "request.certificate.san: unknown key `san`"),
        ];
        for (text, want) in cases {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(want), "{error}");
        }
        let error = read("{}").unwrap().finish(&Place::default().key("request")).unwrap_err();
        assert_eq!(error.to_string(), "request: `method` is missing: write `GET /path`");
    }

    #[test]
    fn a_row_changes_some_of_a_request() {
        let above = r#"{"method": "GET", "path": "/a", "host": "h", "headers": {"A": "1", "b": ["2", "3"]}}"#;
        let own = r#"{"path": "/b", "headers": {"a": null, "c": "4"}, "client_address": "::ffff:10.0.0.1"}"#;
        let ask = read(own).unwrap().over(&read(above).unwrap());
        let ask = ask.finish(&Place::default()).unwrap();
        let headers: Vec<String> =
            ask.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(headers, ["c=4", "b=2", "b=3"]);
        assert_eq!((ask.method.as_str(), ask.path.as_str()), ("GET", "/b"));
        let address = ask.connection.client_address().map(|address| address.to_string());
        assert_eq!(address.as_deref(), Some("10.0.0.1"));
    }

    #[test]
    fn carries_tokens_where_issuers_have_them() {
        let ask = Ask {
            method: "GET".into(),
            host: "h".into(),
            path: "/a?b=c".into(),
            headers: vec![("cookie".into(), "d=e".into())],
            connection: Connection::default(),
        };
        let bare = |name: &str| Source::Header { name: name.into(), scheme: None };
        let cases = [
            (
                Source::Header { name: "authorization".into(), scheme: Some("Bearer".into()) },
                "authorization: Bearer t.t",
            ),
            (bare("x-token"), "x-token: t.t"),
            (Source::Cookie { name: "s".into(), origins: Vec::new() }, "cookie: s=t.t"),
            (
                Source::WebsocketProtocol { prefix: "bearer.".into() },
                "sec-websocket-protocol: bearer.t.t",
            ),
            (Source::Query { name: "access token".into() }, "/a?b=c&access%20token=t%2Et"),
        ];
        for (source, want) in cases {
            let mut carrying = ask.clone();
            carrying.carry("t.t", &source);
            let got = match carrying.headers.get(1) {
                Some((name, value)) => format!("{name}: {value}"),
                None => carrying.path,
            };
            assert_eq!(got, want);
        }
    }
}
