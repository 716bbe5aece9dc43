//! The configuration as it is written: a serde mirror of the public interface, not yet checked.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

macro_rules! raw {
    ($($(#[$meta:meta])* struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Default, serde::Deserialize)]
        #[serde(deny_unknown_fields, remote = "Self")]
        pub struct $name { $($(#[$field_meta])* #[serde(default)] pub $field: $type,)* }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // Left to itself, serde takes a list for a struct too, member by member.
                struct Object;
                impl<'de> Visitor<'de> for Object {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$name, A::Error> {
                        $name::deserialize(MapAccessDeserializer::new(map))
                    }
                }
                deserializer.deserialize_map(Object)
            }
        }
    )*};
}

raw! {
    /// The document.
    #[allow(missing_docs, reason = "the interface names and explains each member")]
    struct Config {
        version: Option<u64>,
        name: Option<String>,
        issuers: BTreeMap<String, Issuer>,
        defaults: Defaults,
        conditions: BTreeMap<String, Condition>,
        routes: Vec<Route>,
        identity: Identity,
        audit: Audit,
        path_safety: PathSafety,
        max_token_bytes: Option<usize>,
        mode: Option<Mode>,
    }

    /// An issuer.
    #[allow(missing_docs, reason = "the interface names and explains each member")]
    struct Issuer {
        issuer: Option<String>,
        audiences: Option<Vec<String>>,
        any_audience: bool,
        keys: Vec<KeySource>,
        algorithms: Option<Vec<String>>,
        token_from: Option<Vec<TokenFrom>>,
        forward_token: bool,
        clock_skew: Option<String>,
        max_lifetime: Option<String>,
        #[serde(rename = "type")]
        typ: Option<String>,
        require_claims: Vec<String>,
        allow_no_expiry: bool,
        attributes: BTreeMap<String, String>,
    }

    /// A source of keys.
    #[allow(missing_docs, reason = "the interface names and explains each member")]
    struct KeySource {
        jwks: Option<Value>,
        pem: Option<String>,
        secret: Option<Secret>,
        remote: Option<Remote>,
        kid: Option<String>,
        algorithms: Option<Vec<String>>,
    }

    /// A key set that is fetched.
    #[allow(missing_docs, reason = "the interface names and explains each member")]
    struct Remote {
        cluster: Option<String>,
        url: Option<String>,
        refresh: Option<String>,
        timeout: Option<String>,
        max_stale: Option<String>,
    }

    /// A secret.
    #[allow(missing_docs, reason = "the interface names and explains each member")]
    struct Secret {
        env: Option<String>,
        base64: Option<String>,
        utf8: Option<String>,
        encoding: Option<Encoding>,
    }

    /// A place that carries tokens.
    #[allow(missing_docs, reason = "the interface names and explains each member")]
    struct TokenFrom {
        header: Option<String>,
        scheme: Option<String>,
        cookie: Option<String>,
        origins: Option<Vec<String>>,
        query: Option<String>,
        websocket_protocol: Option<String>,
    }

    /// What a route that does not say otherwise has.
    #[allow(missing_docs, reason = "the interface names and explains each member")]
    struct Defaults {
        issuers: Option<Vec<String>>,
        methods: Option<Vec<String>>,
    }

    /// A route.
    #[allow(missing_docs, reason = "the interface names and explains each member")]
    struct Route {
        name: Option<String>,
        hosts: Option<Vec<String>>,
        paths: Option<Vec<String>>,
        methods: Option<Vec<String>>,
        token: Option<Token>,
        issuers: Option<Vec<String>>,
        require: Option<Condition>,
        upgrade: Vec<String>,
        path_safety: PathSafety,
        mode: Option<Mode>,
        deny: bool,
    }

    /// A condition: a combination, or a subject and an operator.
    #[allow(missing_docs, reason = "the interface names and explains each member")]
    struct Condition {
        all: Option<Vec<Condition>>,
        any: Option<Vec<Condition>>,
        not: Option<Box<Condition>>,
        #[serde(rename = "ref")]
        reference: Option<String>,
        by_issuer: Option<BTreeMap<String, Condition>>,
        scopes: Option<Vec<String>>,
        any_scope: Option<Vec<String>>,
        client_address: Option<Vec<String>>,
        claim: Option<String>,
        attribute: Option<String>,
        path: Option<String>,
        host: Option<String>,
        method: Option<bool>,
        header: Option<String>,
        query: Option<String>,
        cookie: Option<String>,
        peer: Option<PeerField>,
        any_of: Option<Vec<Value>>,
        all_of: Option<Vec<Value>>,
        none_of: Option<Vec<Value>>,
        equals: Option<Value>,
        present: Option<bool>,
        matches: Option<String>,
        at_least: Option<Value>,
        at_most: Option<Value>,
        absent: Option<bool>,
    }

    /// Identity headers.
    #[allow(missing_docs, reason = "the interface names and explains each member")]
    struct Identity {
        headers: BTreeMap<String, IdentityHeader>,
        payload_header: Option<String>,
        strip: Vec<String>,
    }

    /// What is recorded.
    #[allow(missing_docs, reason = "the interface names and explains each member")]
    struct Audit {
        allowed: Option<Share>,
        denied: Option<Share>,
    }

    /// Path safety.
    #[allow(missing_docs, reason = "the interface names and explains each member")]
    struct PathSafety {
        encoded_slash: Option<Relaxation>,
        parameters: Option<Relaxation>,
        empty_segment: Option<Relaxation>,
        final_slash: Option<Relaxation>,
        case: Option<Case>,
    }
}

macro_rules! words {
    ($($(#[$meta:meta])* enum $name:ident { $($word:ident,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs, reason = "the interface names and explains each word")]
        pub enum $name { $($word,)* }
    )*};
}

words! {
    /// How an environment variable writes a secret.
    enum Encoding { Utf8, Base64, Pem, }
    /// Which decisions are recorded.
    enum Share { All, None, }
    /// What a route asks of the token.
    enum Token { Required, Optional, Lenient, None, }
    /// Whether refusals refuse.
    enum Mode { Enforce, Shadow, }
    /// A relaxation of path safety.
    enum Relaxation { Refuse, Allow, }
    /// How paths compare.
    enum Case { Sensitive, Insensitive, }
    /// A field of the client certificate.
    enum PeerField { UriSan, DnsSan, Subject, Sha256, }
    /// How an identity header is written.
    enum Format { Text, Csv, Json, Base64, }
}

/// What an identity header is made of: a claim's name, or an object.
#[derive(Clone, Default)]
#[allow(missing_docs, reason = "the interface names and explains each member")]
pub struct IdentityHeader {
    pub claim: Option<String>,
    pub attribute: Option<String>,
    pub format: Option<Format>,
}

impl<'de> Deserialize<'de> for IdentityHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct Long {
            claim: Option<String>,
            attribute: Option<String>,
            format: Option<Format>,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = IdentityHeader;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a claim, or an object with `claim` or `attribute`")
            }
            fn visit_str<E>(self, claim: &str) -> Result<IdentityHeader, E> {
                Ok(IdentityHeader { claim: Some(claim.to_owned()), ..IdentityHeader::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<IdentityHeader, A::Error> {
                let Long { claim, attribute, format } =
                    Long::deserialize(MapAccessDeserializer::new(map))?;
                Ok(IdentityHeader { claim, attribute, format })
            }
        }
        deserializer.deserialize_any(Either)
    }
}
