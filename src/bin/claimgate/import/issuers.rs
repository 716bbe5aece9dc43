//! Issuers: what both sources say of those who sign, and what the configuration says of them.

use super::condition::Condition;
use super::finding::{At, Findings};
use super::policy::Formula;
use crate::yaml::Node;
use claimgate::config;
use claimgate::token::signature::Portable;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where a token is carried.
#[derive(Clone, Debug, PartialEq)]
pub enum Carried {
    /// In a header, behind a prefix.
    Header(String, String),
    /// In a query parameter.
    Query(String),
    /// In a cookie.
    Cookie(String),
}

/// An issuer of a source.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// What the source calls it, in Envoy.
    pub provider: String,
    /// The name that it has here.
    pub name: String,
    /// The exact `iss`.
    pub iss: String,
    /// What `aud` must hold one of, if anything.
    pub audiences: Vec<String>,
    /// Its keys.
    pub keys: Node,
    /// Where its tokens are carried.
    pub carried: Vec<Carried>,
    /// Whether the upstream gets the token.
    pub forward: bool,
    /// Seconds.
    pub clock_skew: u64,
    /// Whether a token must have an `exp`; those that need none are refused all the same.
    pub max_lifetime: Option<u64>,
    /// The header that gets the payload.
    pub payload_header: Option<String>,
    /// Headers and the claims that they get.
    pub claim_headers: Vec<(String, String)>,
    /// The key of the payload in dynamic metadata.
    pub metadata: Option<String>,
    /// Claims that are split at spaces.
    pub words: Vec<String>,
    /// Where it stands.
    pub at: At,
}

/// The issuers that the configuration has.
#[derive(Debug, Default)]
pub struct Issuers {
    /// They.
    pub kept: Vec<Issuer>,
    /// Where tokens of those that are left out were carried.
    left_out: Vec<Carried>,
}

/// Where a token is carried if a source says nothing.
pub fn usual_places() -> Vec<Carried> {
    vec![
        Carried::Header("authorization".to_owned(), "Bearer ".to_owned()),
        Carried::Query("access_token".to_owned()),
    ]
}

impl Issuers {
    /// Adds one, unless it cannot be said.
    pub fn add(&mut self, mut issuer: Issuer, findings: &mut Findings) {
        issuer.name = self.fresh_name(&issuer.iss);
        if let Some(other) = self.kept.iter_mut().find(|other| other.iss == issuer.iss) {
            let alike = other.keys == issuer.keys && other.carried == issuer.carried;
            // Where all are asked together, a token need satisfy one of the two only.
            if alike && other.provider == issuer.provider {
                if other.audiences.is_empty() || issuer.audiences.is_empty() {
                    other.audiences.clear();
                } else {
                    let known = other.audiences.clone();
                    let fresh = issuer.audiences.into_iter().filter(|one| !known.contains(one));
                    other.audiences.extend(fresh);
                }
                return;
            }
            findings.left_out(
                &issuer.at,
                format!(
                    "the issuer `{}` is there twice, with other settings: tokens are verified by \
                     the first",
                    issuer.iss
                ),
            );
            self.leave_out(issuer.carried);
            return;
        }
        if let Err(why) = issuer.loads() {
            findings.left_out(&issuer.at, format!("the issuer `{}`: {why}", issuer.iss));
            self.leave_out(issuer.carried);
            return;
        }
        self.kept.push(issuer);
    }

    /// Notes that tokens are carried here that nobody looks at any more.
    pub fn leave_out(&mut self, carried: Vec<Carried>) {
        self.left_out.extend(carried);
    }

    /// A request with a token of an issuer that is left out is refused, where nobody looks at it:
    /// the source would have verified it.
    pub fn guard(&self) -> Formula {
        let looked_at = |one: &&Carried| {
            self.kept.iter().any(|issuer| issuer.carried.iter().any(|own| own.same_place(one)))
        };
        let mut parts = Vec::new();
        for one in self.left_out.iter().filter(|one| !looked_at(one)) {
            let member = match one {
                Carried::Header(name, _) => ("header", json!(name)),
                Carried::Query(name) => ("query", json!(name)),
                Carried::Cookie(name) => ("cookie", json!(name)),
            };
            let absent = Condition::request(vec![member, ("present", json!(false))]);
            let part = Formula::Leaf { holds: absent, fails: Condition::Never };
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        Formula::All(parts)
    }

    /// The names that they have here.
    pub fn names(&self) -> Vec<String> {
        self.kept.iter().map(|issuer| issuer.name.clone()).collect()
    }

    fn fresh_name(&self, iss: &str) -> String {
        let host = iss.strip_prefix("https://").or_else(|| iss.strip_prefix("http://"));
        let name = slug(host.unwrap_or(iss));
        let name = if name.is_empty() { "issuer".to_owned() } else { name };
        let taken = |name: &str| self.kept.iter().any(|issuer| issuer.name == name);
        if !taken(&name) {
            return name;
        }
        let mut names = (2..).map(|number| format!("{name}-{number}"));
        names.find(|name| !taken(name)).unwrap_or(name)
    }

    /// `issuers`.
    pub fn node(&self) -> Node {
        let shared = self.shared_headers();
        let issuers = self.kept.iter().map(|issuer| (issuer.name.clone(), issuer.node(&shared)));
        Node::Map(issuers.collect())
    }

    /// `identity`, if there is any.
    pub fn identity(&self, findings: &mut Findings) -> Option<Node> {
        let shared = self.shared_headers();
        let mut headers = Vec::new();
        for issuer in &self.kept {
            for (header, claim) in &issuer.claim_headers {
                if headers.iter().any(|(name, _): &(String, Node)| name == header) {
                    continue;
                }
                let node = match shared.contains_key(header) {
                    true => Node::map([("claim", Node::from(claim.as_str()))]),
                    false => Node::map([("attribute", Node::from(attribute(header).as_str()))]),
                };
                headers.push((header.clone(), node));
            }
        }
        let mut payload = None;
        for issuer in &self.kept {
            match (&payload, &issuer.payload_header) {
                (None, Some(header)) => payload = Some(header.clone()),
                (Some(one), Some(other)) if one != other => findings.left_out(
                    &issuer.at,
                    format!("the payload header `{other}`: there is one for all issuers, `{one}`"),
                ),
                _ => {}
            }
        }
        let mut members = Vec::new();
        if !headers.is_empty() {
            members.push(("headers".to_owned(), Node::Map(headers)));
        }
        if let Some(header) = payload {
            members.push(("payload_header".to_owned(), Node::from(header.as_str())));
        }
        (!members.is_empty()).then_some(Node::Map(members))
    }

    /// The headers that every issuer fills by the same claim.
    fn shared_headers(&self) -> BTreeMap<String, String> {
        let Some(first) = self.kept.first() else { return BTreeMap::new() };
        let shared = first
            .claim_headers
            .iter()
            .filter(|pair| self.kept.iter().all(|issuer| issuer.claim_headers.contains(pair)));
        shared.cloned().collect()
    }
}

impl Carried {
    fn same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header(a, _), Self::Header(b, _)) => a == b,
            _ => self == other,
        }
    }

    fn node(&self) -> Node {
        match self {
            Self::Header(name, prefix) if prefix.trim().is_empty() => {
                Node::map([("header", Node::from(name.as_str()))])
            }
            Self::Header(name, prefix) => Node::map([
                ("header", Node::from(name.as_str())),
                ("scheme", Node::from(prefix.trim())),
            ]),
            Self::Query(name) => Node::map([("query", Node::from(name.as_str()))]),
            Self::Cookie(name) => Node::map([("cookie", Node::from(name.as_str()))]),
        }
    }
}

impl Issuer {
    /// Whether the filter would take it, alone.
    fn loads(&self) -> Result<(), String> {
        let document = Node::map([(
            "issuers",
            Node::Map(vec![(self.name.clone(), self.node(&BTreeMap::new()))]),
        )]);
        load(&document)
    }

    fn node(&self, shared: &BTreeMap<String, String>) -> Node {
        let mut members = vec![("issuer", Node::from(self.iss.as_str()))];
        if self.audiences.is_empty() {
            members.push(("any_audience", Node::from(json!(true))));
        } else {
            members.push(("audiences", Node::texts(&self.audiences)));
        }
        members.push(("keys", self.keys.clone()));
        let places = self.carried.iter().map(Carried::node).collect();
        members.push(("token_from", Node::List(places)));
        if self.forward {
            members.push(("forward_token", Node::from(json!(true))));
        }
        members.push(("clock_skew", Node::from(format!("{}s", self.clock_skew).as_str())));
        if let Some(seconds) = self.max_lifetime {
            members.push(("max_lifetime", Node::from(format!("{seconds}s").as_str())));
        }
        let own = self.claim_headers.iter().filter(|(header, _)| !shared.contains_key(header));
        let attributes: Vec<_> =
            own.map(|(header, claim)| (attribute(header), Node::from(claim.as_str()))).collect();
        if !attributes.is_empty() {
            members.push(("attributes", Node::Map(attributes)));
        }
        Node::Map(members.into_iter().map(|(name, node)| (name.to_owned(), node)).collect())
    }
}

/// Whether the filter would set this header.
pub fn check_header(header: &str, claim: &str) -> Result<(), String> {
    let headers = Node::Map(vec![(header.to_owned(), Node::map([("claim", Node::from(claim))]))]);
    let keys = Node::from(json!([{"remote": {"cluster": "a", "url": "https://a"}}]));
    let any = Node::map([
        ("issuer", Node::from("a")),
        ("any_audience", Node::from(json!(true))),
        ("keys", keys),
    ]);
    load(&Node::map([
        ("issuers", Node::map([("a", any)])),
        ("identity", Node::map([("headers", headers)])),
    ]))
}

/// Loads a document by the filter's own code.
pub fn load(document: &Node) -> Result<(), String> {
    let value: Value = serde_saphyr::from_str(&document.yaml()).map_err(|e| e.to_string())?;
    config::load_value(value, "import", &|_| None, &Portable)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// Lower-case letters and digits, and `-` for the rest.
pub fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().take(64) {
        match c {
            c if c.is_ascii_alphanumeric() => slug.push(c.to_ascii_lowercase()),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.trim_end_matches('-').to_owned()
}

fn attribute(header: &str) -> String {
    format!("header-{}", slug(header))
}
