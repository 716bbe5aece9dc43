//! What a configuration fetches: the clusters that lead there, and how their TLS is to be.

use super::source::Source;
use crate::{Failure, document};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Where a cluster leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// A DNS name, or an address.
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

impl Destination {
    /// Of a URL, or of `HOST:PORT`.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: http::Uri = plain.parse().ok()?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let port = match authority.port_u16() {
            Some(port) => port,
            // A colon without a number behind it is a mistake.
            None if authority.as_str().rsplit(']').next()?.contains(':') => return None,
            None if tls => 443,
            None => 80,
        };
        let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
        // The root's own dot, which no certificate names.
        let host = host.strip_suffix('.').unwrap_or(&host).to_owned();
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let named = !host.is_empty() && host.bytes().all(plain);
        (port != 0 && (named || is_address(&host))).then_some(Self { host, port, tls })
    }

    /// Its address, where it has no name.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether it is on this machine.
    pub fn is_near(&self) -> bool {
        self.host == "localhost" || self.address().is_some_and(|address| address.is_loopback())
    }
}

fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

/// The clusters that a configuration names, each with where it leads.
pub fn clusters(source: &Source) -> Result<BTreeMap<String, Destination>, Failure> {
    let mut found: BTreeMap<String, Destination> = BTreeMap::new();
    let mut wrong = None;
    for (place, pointer) in document::fetches(&source.value) {
        let text = |name| source.value.pointer(&pointer)?.get(name)?.as_str();
        let (Some(cluster), Some(url)) = (text("cluster"), text("url")) else { continue };
        let mut refuse = |member: &str, why: String| {
            wrong.get_or_insert_with(|| source.refuse(&place.key(member), &why));
        };
        let Some(destination) = Destination::parse(url) else {
            refuse(
                "url",
                "no host to connect to: expected `https://idp.example.com/jwks.json`".into(),
            );
            continue;
        };
        if !destination.tls && !destination.is_near() {
            refuse(
                "url",
                "`http` is plain text, in which whoever is on the way puts its own answer: give it an \
                 `https` URL"
                    .into(),
            );
        }
        if let Some(other) = found.insert(cluster.to_owned(), destination.clone())
            && other != destination
        {
            let (a, b) = (other.host, destination.host);
            refuse(
                "cluster",
                format!("`{cluster}` would lead to `{a}` and to `{b}`: name two clusters"),
            );
        }
    }
    wrong.map_or(Ok(found), Err)
}

/// A configuration whose clusters have other names.
pub fn renamed(value: &Value, name: &dyn Fn(&str) -> Option<String>) -> Value {
    let mut value = value.clone();
    for (_, pointer) in document::fetches(&value) {
        if let Some(cluster) = value.pointer_mut(&format!("{pointer}/cluster"))
            && let Some(new) = cluster.as_str().and_then(name)
        {
            *cluster = Value::String(new);
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        let of = |host: &str, port, tls| Some(Destination { host: host.into(), port, tls });
        let cases = [
            ("127.0.0.1:9000", of("127.0.0.1", 9000, false)),
            ("service:80", of("service", 80, false)),
            ("https://IdP.example.com/keys?v=1", of("idp.example.com", 443, true)),
            ("https://idp.example.com:8443", of("idp.example.com", 8443, true)),
            ("http://[::1]:80/", of("::1", 80, false)),
            ("[::1]:9000", of("::1", 9000, false)),
            ("service", of("service", 80, false)),
            ("service:", None),
            ("service:x", None),
            ("service:0", None),
            ("service:70000", None),
            ("a@service:80", None),
            ("ftp://service", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(Destination::parse(text), want, "{text}");
        }
    }
}
