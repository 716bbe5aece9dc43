//! The configuration as it is written: a serde mirror of the public interface, not yet checked. What is said of a member
//! here is its description in the JSON Schema; `as` names the shape of a value that Rust's type says too little of.

#[cfg(not(target_arch = "wasm32"))]
use super::schema;

use crate::token::revocation::{Ids, Moment, Subjects};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

macro_rules! raw {
    ($($(#[$meta:meta])* struct $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $type:ty $(as $shape:literal)?,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Default, serde::Deserialize)]
        #[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!remote))]
        #[serde(deny_unknown_fields, remote = "Self")]
        pub struct $name {$(
            $(#[$field_meta])*
            #[serde(default)]
            $(#[cfg_attr(not(target_arch = "wasm32"), schemars(schema_with = $shape))])?
            pub $field: $type,
        )*}

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
    struct Config {
        /// The version of this document: 1, which is the default.
        version: Option<u64>,
        /// The label `filter` of metrics and audit records. Default: the plugin's name in Envoy.
        name: Option<String>,
        /// Who may sign, by names of the operator's own.
        issuers: BTreeMap<String, Issuer>,
        /// What a route that does not say otherwise has.
        defaults: Defaults,
        /// Named conditions, used as `ref: name`.
        conditions: BTreeMap<String, Condition>,
        /// What is open to whom. A request that no route matches is refused; the order does not matter.
        routes: Vec<Route>,
        /// What the upstream learns of the caller.
        identity: Identity,
        /// Which decisions are recorded.
        audit: Audit,
        /// Which ambiguous paths are let through on every route. Default: none.
        path_safety: PathSafety,
        /// How refusals and preflights are answered.
        responses: Responses,
        /// The longest token that is looked at, in bytes. Default: 16384.
        max_token_bytes: Option<usize>,
        /// `shadow` records every refusal and lets the request pass. Default: `enforce`.
        mode: Option<Mode>,
        /// A policy on trial: decided beside the live one, what it would decide otherwise is counted and recorded.
        candidate: Option<Candidate>,
    }

    /// An issuer.
    struct Issuer {
        /// The exact `iss` of its tokens; no two issuers share one. Required.
        issuer: Option<String>,
        /// The token's `aud` must hold one of these. Required, unless `any_audience` is true.
        audiences: Option<Vec<String>>,
        /// Takes tokens for every audience. Default: false.
        any_audience: bool,
        /// Where its keys come from; all keys of all sources are candidates. Required.
        keys: Vec<KeySource>,
        /// The algorithms that it may sign with. Default: every one that its keys admit; `none` is never accepted.
        algorithms: Option<Vec<String>>,
        /// Where its tokens are carried. Default: `Authorization: Bearer`.
        token_from: Option<Vec<TokenFrom>>,
        /// Keeps the token on the request to the upstream. Default: false.
        forward_token: bool,
        /// How far clocks may be apart. Default: 30s; at most a day.
        clock_skew: Option<String> as "schema::duration",
        /// The longest that a token may live: `exp` minus `iat`. Default: no limit.
        max_lifetime: Option<String> as "schema::duration",
        /// The `typ` that its tokens must have, as `at+jwt` (RFC 9068). Default: any.
        #[serde(rename = "type")]
        typ: Option<String>,
        /// Claims that must be present: names, or JSON Pointers.
        require_claims: Vec<String>,
        /// Takes tokens without `exp`. Default: false.
        allow_no_expiry: bool,
        /// Its claims under names that all issuers share; `subject` is `sub` unless it is here.
        attributes: BTreeMap<String, String>,
        /// Which of its tokens were taken back. Default: none.
        revocation: Option<Revocation>,
    }

    /// Which of an issuer's tokens were taken back. A list that is fetched has these members too, but for `remote`.
    struct Revocation {
        /// Values of the claim `jti`: these tokens.
        tokens: Ids as "schema::strings",
        /// Values of the claim `sid`: every token of these sessions.
        sessions: Ids as "schema::strings",
        /// By subject, a time in UTC as `2026-11-22T10:00:00Z`: every token of hers that was issued before. One without `iat` is refused.
        subjects: Subjects as "schema::times",
        /// A time in UTC: every token that was issued before. One without `iat` is refused.
        issued_before: Option<Moment> as "schema::time",
        /// A list that Envoy fetches.
        remote: Option<RemoteRevocations>,
    }

    /// A revocation list that is fetched.
    struct RemoteRevocations {
        /// The cluster of Envoy that leads there; its TLS context, not the URL, secures the way. Required.
        cluster: Option<String>,
        /// The URL of the list. Required.
        url: Option<String>,
        /// How often it is fetched. Default: 30s; between 1s and a day.
        refresh: Option<String> as "schema::duration",
        /// How long an answer may take. Default: 2s; between 1s and 30s.
        timeout: Option<String> as "schema::duration",
        /// How long the last list serves when fetching fails. Default: 10m; between 1s and 30 days.
        max_stale: Option<String> as "schema::duration",
        /// What the issuer's tokens come to before the first list, and past `max_stale`: `refuse` answers 503, `allow` goes by
        /// the last list. Default: `refuse`.
        on_stale: Option<OnStale>,
    }

    /// A source of keys.
    struct KeySource {
        /// A JWK Set as it is published; keys that cannot be used are skipped and reported.
        jwks: Option<Value> as "schema::key_set",
        /// A public key (SPKI or PKCS#1) or an X.509 certificate in PEM.
        pem: Option<String>,
        /// An HMAC secret; never beside other sources in one issuer.
        secret: Option<Secret>,
        /// A JWK Set that Envoy fetches.
        remote: Option<Remote>,
        /// The id of the key of `pem` or `secret`. Default: none; such a key serves tokens whose `kid` no other has.
        kid: Option<String>,
        /// Narrows the algorithms of this source. Default: those of the issuer.
        algorithms: Option<Vec<String>>,
    }

    /// A key set that is fetched.
    struct Remote {
        /// The cluster of Envoy that leads there; its TLS context, not the URL, secures the way. Required.
        cluster: Option<String>,
        /// The URL of the key set. Required.
        url: Option<String>,
        /// How often it is fetched. Default: 5m; between 1s and a day.
        refresh: Option<String> as "schema::duration",
        /// How long an answer may take. Default: 2s; between 1s and 30s.
        timeout: Option<String> as "schema::duration",
        /// How long the last keys serve when fetching fails. Default: 24h; between 1s and 30 days.
        max_stale: Option<String> as "schema::duration",
    }

    /// A secret.
    struct Secret {
        /// The environment variable that holds it, which `vm_config.environment_variables` hands over.
        env: Option<String>,
        /// The secret itself in base64; it shows in `/config_dump`.
        base64: Option<String>,
        /// The secret itself as text; it shows in `/config_dump`.
        utf8: Option<String>,
        /// How the environment variable writes it. Default: `utf8`.
        encoding: Option<Encoding>,
    }

    /// A place that carries tokens.
    struct TokenFrom {
        /// A header that carries the token.
        header: Option<String>,
        /// The scheme before it in the header, compared without case. Default: none, the bare value.
        scheme: Option<String>,
        /// A cookie that carries the token.
        cookie: Option<String>,
        /// Further origins whose unsafe requests a token from this cookie authorises. Default: the request's own host.
        origins: Option<Vec<String>>,
        /// A query parameter that carries the token.
        query: Option<String>,
        /// The prefix of the entry in `Sec-WebSocket-Protocol` that carries the token.
        websocket_protocol: Option<String>,
    }

    /// What a route that does not say otherwise has.
    struct Defaults {
        /// The issuers of routes that name none.
        issuers: Option<Vec<String>>,
        /// The methods of routes that name none.
        methods: Option<Vec<String>>,
    }

    /// A route.
    struct Route {
        /// Its name, which is unique and appears in audit records, metrics and response details. Required.
        name: Option<String>,
        /// `logs.example.com`, `{tenant}.example.com`, `*.example.com` or `*`. Default: every host.
        hosts: Option<Vec<String>>,
        /// Patterns such as `/logs/{env}/**`; `*` is one segment, a final `**` the path itself and all under it. Required.
        paths: Option<Vec<String>>,
        /// The methods that it takes, in upper case. Default: every method.
        methods: Option<Vec<String>>,
        /// What it asks of the token. Default: `required`.
        token: Option<Token>,
        /// Whose tokens it takes. Required, here or in `defaults`, once there are two issuers.
        issuers: Option<Vec<String>>,
        /// What must hold. Default: nothing more than a token.
        require: Option<Condition>,
        /// The protocols that it may be upgraded to, as `websocket`. Default: none.
        upgrade: Vec<String>,
        /// Which ambiguous paths it lets through. Default: none.
        path_safety: PathSafety,
        /// `shadow` records its refusals and lets the request pass. Default: `enforce`.
        mode: Option<Mode>,
        /// Refuses every request that it matches, whatever other routes say. Default: false.
        deny: bool,
        /// Which of its decisions are recorded. Default: as `audit` says.
        audit: RouteAudit,
    }

    /// A condition: a combination, or a subject and an operator.
    struct Condition {
        /// Every one of these holds.
        all: Option<Vec<Condition>>,
        /// One of these holds.
        any: Option<Vec<Condition>>,
        /// This does not hold; what is unknown stays unknown.
        not: Option<Box<Condition>>,
        /// A condition of this name under `conditions`.
        #[serde(rename = "ref")]
        reference: Option<String>,
        /// The condition for each issuer; one that is not listed is refused.
        by_issuer: Option<BTreeMap<String, Condition>>,
        /// The token has all of these scopes.
        scopes: Option<Vec<String>>,
        /// The token has one of these scopes.
        any_scope: Option<Vec<String>>,
        /// The client's address, as Envoy has it, is in one of these networks.
        client_address: Option<Vec<String>>,
        /// Subject: a top-level claim by its exact name, or a JSON Pointer with `*` for every element.
        claim: Option<String>,
        /// Subject: an attribute of the issuers, `subject`, or `issuer` (the operator's name for it).
        attribute: Option<String>,
        /// Subject: a capture of the path.
        path: Option<String>,
        /// Subject: a capture of the host.
        host: Option<String>,
        /// Subject: the method; written `method: true`.
        method: Option<bool>,
        /// Subject: a header of the request; every occurrence must hold.
        header: Option<String>,
        /// Subject: a query parameter; every occurrence must hold.
        query: Option<String>,
        /// Subject: a cookie; every occurrence must hold.
        cookie: Option<String>,
        /// Subject: a field of the client certificate.
        peer: Option<PeerField>,
        /// Operator: the subject has one of these values.
        any_of: Option<Vec<Value>> as "schema::scalars",
        /// Operator: the subject has all of these values.
        all_of: Option<Vec<Value>> as "schema::scalars",
        /// Operator: the subject has none of these values.
        none_of: Option<Vec<Value>> as "schema::scalars",
        /// Operator: the subject is exactly this; types are compared.
        equals: Option<Value> as "schema::scalar",
        /// Operator: whether there is a value that is not null.
        present: Option<bool>,
        /// Operator: one of the values, whole, matches this regular expression.
        matches: Option<String>,
        /// Operator: the subject is this number or more.
        at_least: Option<Value> as "schema::number",
        /// Operator: the subject is this number or less.
        at_most: Option<Value> as "schema::number",
        /// What absence of the subject means. Default: unknown, which opens nothing.
        absent: Option<bool>,
    }

    /// Identity headers.
    struct Identity {
        /// Headers that are set from the token, and always removed from what the client sent.
        headers: BTreeMap<String, IdentityHeader>,
        /// A header that gets the verified claims in base64url of JSON. Default: none.
        payload_header: Option<String>,
        /// Further headers of the client that are removed; a final `*` is a family.
        strip: Vec<String>,
    }

    /// An identity header in full: one of `claim` and `attribute`.
    struct Long {
        /// The claim: a name, or a JSON Pointer.
        claim: Option<String>,
        /// An attribute of the issuers, `subject`, or `issuer` (the operator's name for it).
        attribute: Option<String>,
        /// How it is written. Default: `text`, which carries single values only.
        format: Option<Format>,
    }

    /// What is recorded, and how.
    struct Audit {
        /// The level of the lines. Default: `auto`, info where Envoy's log prints it, else warn.
        level: Option<Level>,
        /// Which allowed requests are recorded: `all`, `none`, or a rate in (0, 1]. Default: `all`.
        allowed: Option<Value> as "schema::share",
        /// Which refused requests are recorded: `all`, `none`, or a rate in (0, 1]. Default: `all`.
        denied: Option<Value> as "schema::share",
        /// How many records a worker writes in a second; what is dropped is counted.
        max_per_second: Caps,
        /// How the subject appears. Default: `plain`.
        subject: Option<Show>,
        /// How the path appears: as it is, by the route's name only, or not at all. Default: `plain`.
        path: Option<ShowPath>,
        /// How the query appears. Default: `none`.
        query: Option<ShowQuery>,
        /// Claims that are added, each with how it appears. No other claim ever does.
        claims: BTreeMap<String, ShowClaim>,
        /// The key of hashes. Required where something is shown as `hash`.
        hash_key: Option<Secret>,
        /// A stream that is open for longer has a record of its start too. Default: 10s; between 1s and a day.
        open_after: Option<String> as "schema::duration",
        /// Makes tampering evident. Default: not.
        integrity: Option<Integrity>,
    }

    /// Caps, apart for what is allowed and what is refused, so that neither crowds out the other.
    struct Caps {
        /// Records of allowed requests. Default: no cap.
        allowed: Option<u32>,
        /// Records of refused requests. Default: 1000.
        denied: Option<u32>,
    }

    /// A chain of the records of each worker, which is signed from time to time.
    struct Integrity {
        /// An Ed25519 private key: PKCS#8 PEM, or a JWK; who verifies needs its public key only. Required.
        sign: Option<Secret>,
        /// The id of that key. Default: the `kid` of the JWK.
        key_id: Option<String>,
        /// How often a signed checkpoint closes what was recorded; each thirty times that where nothing was. Default: 10s; between
        /// 1s and an hour.
        checkpoint: Option<String> as "schema::duration",
    }

    /// Which decisions of a route are recorded, where that is not what `audit` says.
    struct RouteAudit {
        /// Which allowed requests: `all`, `none`, or a rate in (0, 1].
        allowed: Option<Value> as "schema::share",
        /// Which refused requests: `all`, `none`, or a rate in (0, 1].
        denied: Option<Value> as "schema::share",
    }

    /// How refusals and preflights are answered.
    struct Responses {
        /// Who may ask from another origin: preflights are answered, refusals show in a browser. Default: nobody.
        cors: Option<Cors>,
        /// Bodies instead of problem+json, by the code of the refusal.
        body: BTreeMap<String, Body>,
        /// Sends a browser that lacks a valid token to the login: 302 instead of 401. Default: never.
        login: Option<Login>,
    }

    /// Who may ask from another origin.
    struct Cors {
        /// `https://app.example.com`, `https://*.example.com` or `*`. Required.
        allow_origins: Option<Vec<String>>,
        /// Whether cookies and `Authorization` may come along; not with the origin `*`. Default: false.
        allow_credentials: bool,
        /// The headers of a refusal that a page may read.
        expose_headers: Vec<String>,
        /// How long a browser may remember the answer to a preflight. Default: as it likes.
        max_age: Option<String> as "schema::duration",
    }

    /// The body of a refusal.
    struct Body {
        /// Its media type. Default: `text/plain; charset=utf-8`.
        content_type: Option<String>,
        /// The text, at most 64 KiB. Required.
        text: Option<String>,
    }

    /// Where browsers log in.
    struct Login {
        /// Where browsers log in; `{url}` is the address that was asked for. Required.
        url: Option<String>,
    }

    /// A policy on trial.
    struct Candidate {
        /// Its routes, instead of those of the live policy; all else is shared.
        routes: Vec<Route>,
    }

    /// Path safety.
    struct PathSafety {
        /// Whether `%2f` passes, which some upstreams decode to a separator. Default: `refuse`.
        encoded_slash: Option<Relaxation>,
        /// Whether `;` passes, which some upstreams cut off. Default: `refuse`.
        parameters: Option<Relaxation>,
        /// Whether `//` passes, which some upstreams merge. Default: `refuse`.
        empty_segment: Option<Relaxation>,
        /// Whether a pattern without `**` also takes its form with a final slash; for all routes only. Default: `allow`.
        final_slash: Option<Relaxation>,
        /// How paths compare; for all routes only. Default: `sensitive`.
        case: Option<Case>,
    }
}

macro_rules! words {
    ($($(#[$meta:meta])* enum $name:ident { $($word:ident,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, serde::Deserialize)]
        #[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs, reason = "the interface names and explains each word")]
        pub enum $name { $($word,)* }
    )*};
}

words! {
    /// How an environment variable writes a secret.
    enum Encoding { Utf8, Base64, Pem, }
    /// The level of audit lines.
    enum Level { Auto, Trace, Debug, Info, Warn, Error, }
    /// How the subject appears.
    enum Show { Plain, Mask, Hash, None, }
    /// How a claim appears.
    enum ShowClaim { Plain, Mask, Hash, }
    /// How the path appears.
    enum ShowPath { Plain, Route, None, }
    /// How the query appears.
    enum ShowQuery { None, Names, Plain, }
    /// What a route asks of the token.
    enum Token { Required, Optional, Lenient, None, }
    /// What tokens come to while there is no revocation list that is fresh enough.
    enum OnStale { Refuse, Allow, }
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
pub struct IdentityHeader {
    /// The claim.
    pub claim: Option<String>,
    /// The attribute.
    pub attribute: Option<String>,
    /// How it is written.
    pub format: Option<Format>,
}

impl<'de> Deserialize<'de> for IdentityHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
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
