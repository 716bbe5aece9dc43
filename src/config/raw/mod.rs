//! The configuration as it is written: a serde mirror of the public interface, not yet checked. What is said of a member
//! here is its description in the JSON Schema; `as` names the shape of a value that Rust's type says too little of.

mod either;
mod words;

pub use either::*;
pub use words::*;

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
    })*) => {
        /// The members of each object, in the order in which they are best explained.
        #[cfg(not(target_arch = "wasm32"))]
        pub const MEMBERS: &[(&str, &[&str])] =
            &[$((stringify!($name), &[$(stringify!($field)),*])),*];
    $(
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
    /// The document. A member that is not listed here is refused, but for those whose names begin with `x-`: a place for the
    /// anchors of YAML. So is a member that is null.
    struct Config {
        /// The version of this document. Default: `1`, which is the only one.
        version: Option<u64>,
        /// What metrics and audit records call this filter (the label `filter`). Default: the plugin's name in Envoy.
        name: Option<String>,
        /// Who may sign, by names of the operator's own. Default: nobody, so that every route says `token: none`.
        issuers: BTreeMap<String, Issuer>,
        /// What a route that does not say otherwise has.
        defaults: Defaults,
        /// Named conditions, used as `ref: NAME`. They nest 32 deep and have 4096 parts at most, references followed.
        conditions: BTreeMap<String, Condition>,
        /// What is open to whom. A request that no route matches is refused; the order does not matter. Two routes that would
        /// match the same requests equally well are refused. Default: none, so that every request is refused.
        routes: Vec<Route>,
        /// What the upstream learns of the caller.
        identity: Identity,
        /// Which decisions are recorded, and how.
        audit: Audit,
        /// How many requests of whom pass: see rate-limits.md. Every limit that applies must have room. Default: no limit.
        limits: Vec<Limit>,
        /// How many identities the limits remember at once, of all limits together, from 8 to 4194304. The memory, some 32 bytes
        /// for each of them, is taken at load; in a full table a newcomer takes over the debt of the place that it takes. Default:
        /// `65536`.
        limit_identities: Option<u32>,
        /// Which ambiguous paths are let through on every route.
        path_safety: PathSafety,
        /// How refusals and preflights are answered.
        responses: Responses,
        /// The longest token that is looked at, in bytes; a longer one is 401 `token_too_large`. At least 1. Default: `16384`.
        max_token_bytes: Option<usize>,
        /// Whether refusals refuse, for the whole filter. Default: `enforce`.
        mode: Option<Mode>,
        /// A policy on trial: decided beside the live one; what it would decide otherwise is counted and recorded. Default:
        /// none.
        candidate: Option<Candidate>,
    }

    /// An issuer: who signs, with which keys, and what its tokens must say. The token's `iss` chooses the issuer before any key
    /// is tried, and only this one's keys, algorithms and places count. A name is lower-case letters, digits, `-` and `_`.
    struct Issuer {
        /// The exact `iss` of its tokens; no two issuers share one. Required.
        issuer: Option<String>,
        /// The token's `aud` must hold one of these. Required, unless `any_audience` is true.
        audiences: Option<Vec<String>>,
        /// Takes tokens for every audience, those for another service too. Not beside `audiences`. Default: `false`.
        any_audience: bool,
        /// Where its keys come from; all keys of all sources are candidates. Required.
        keys: Vec<KeySource>,
        /// The algorithms that it may sign with. Default: every one that its keys admit. `none` is never accepted.
        algorithms: Option<Vec<String>>,
        /// Where its tokens are carried. Default: `[{ header: authorization, scheme: Bearer }]`.
        token_from: Option<Vec<TokenFrom>>,
        /// Keeps the token on the request to the upstream. Default: `false`.
        forward_token: bool,
        /// How far clocks may be apart: `exp`, `nbf` and `iat` are taken with this leeway. At most a day. Default: `30s`.
        clock_skew: Option<String> as "schema::duration",
        /// The longest that a token may live: `exp` minus `iat`, so that `iat` must be there. Not beside `allow_no_expiry`.
        /// Default: no limit.
        max_lifetime: Option<String> as "schema::duration",
        /// The `typ` that its tokens must have, as `at+jwt` (RFC 9068); compared without case and without `application/`.
        /// Default: any, or none.
        r#type: Option<String>,
        /// Claims that must be present and not null: names, or JSON Pointers. Default: none but `exp`.
        require_claims: Vec<String>,
        /// Takes tokens without `exp`. Default: `false`.
        allow_no_expiry: bool,
        /// Its claims, by name or JSON Pointer, under names that all issuers share: conditions and identity headers read
        /// `attribute: NAME`. Default: `subject` is `sub`. `issuer` is built in: the operator's name for the issuer.
        attributes: BTreeMap<String, String>,
        /// Renews the tokens that its cookies carry, so that sessions last: see sessions.md. Default: never.
        renew: Option<Renew>,
        /// Which of its tokens were taken back before they expire. Default: none.
        revocation: Option<Revocation>,
    }

    /// Renewal of browser sessions by OAuth 2 refresh tokens (RFC 6749 section 6). Needs a cookie in `token_from`. A request whose
    /// token is due waits for the answer, up to 5 seconds; the new token goes through the same checks, must be of the same issuer
    /// and subject, and goes on with the request.
    struct Renew {
        /// The cluster of Envoy that leads to the provider. Its TLS context, not the URL, secures the way. Required.
        cluster: Option<String>,
        /// The URL of the token endpoint, `https://HOST/PATH`: what the request says. Required.
        url: Option<String>,
        /// The client that the sessions belong to. Required.
        client: Option<Client>,
        /// The cookie that holds the refresh token, set by whatever logs users in. It never reaches the upstream. Required.
        refresh_cookie: Option<String>,
        /// A token is renewed when less than this is left of it, but for half of its life at most. At most a day. Default: `60s`.
        early: Option<String> as "schema::duration",
        /// And for so long after it expired, if that is all that is wrong with it. At most 90 days. Default: `12h`.
        grace: Option<String> as "schema::duration",
        /// For so long the old cookies still get the new tokens, since providers take a refresh token once. Between 1s and an
        /// hour. Default: `30s`.
        reuse: Option<String> as "schema::duration",
        /// How long an answer may take. Between 1s and 30s. Default: `3s`.
        timeout: Option<String> as "schema::duration",
        /// What becomes of the cookies when the provider refuses the refresh token. It is not tried again for 5 minutes. Default:
        /// `keep`.
        on_refused: Option<OnRefused>,
        /// How the cookies are set.
        cookie: Cookie,
    }

    /// An OAuth 2 client.
    struct Client {
        /// Its id. Required.
        id: Option<String>,
        /// Its secret. Required, unless `auth` is `none`.
        secret: Option<Secret>,
        /// How it authenticates itself. Default: `basic` where there is a secret, else `none`.
        auth: Option<ClientAuth>,
    }

    /// How cookies are set: always `HttpOnly`. Path and domain must be those of whatever sets the first ones, else a browser holds
    /// two of one name.
    struct Cookie {
        /// The paths that it is sent to. Default: `/`.
        path: Option<String>,
        /// The domain that it is sent to, with all under it. Default: none, the host alone, which is the safer.
        domain: Option<String>,
        /// Whether it is sent along from other sites. Default: `lax`.
        same_site: Option<SameSite>,
        /// Whether it is sent over TLS only. Default: `true`.
        secure: Option<bool>,
        /// How long a browser keeps it. At most 400 days. Default: `720h`.
        max_age: Option<String> as "schema::duration",
    }

    /// Which of an issuer's tokens were taken back before they expire. Such a token is refused with `token_revoked`, also where
    /// it was verified before.
    struct Revocation {
        /// Values of the claim `jti`: these tokens. Default: none.
        tokens: Ids as "schema::strings",
        /// Values of the claim `sid`: every token of these sessions. Default: none.
        sessions: Ids as "schema::strings",
        /// By subject, a time in UTC as `2026-11-22T10:00:00Z`: every token of that subject which was issued before. One without
        /// `iat` is refused. Default: none.
        subjects: Subjects as "schema::times",
        /// A time in UTC: every token that was issued before. One without `iat` is refused. Default: none.
        issued_before: Option<Moment> as "schema::time",
        /// A list that Envoy fetches: an object of the four members above, up to 64 MiB. Default: none.
        remote: Option<RemoteRevocations>,
    }

    /// A revocation list that is fetched.
    struct RemoteRevocations {
        /// The cluster of Envoy that leads there. Its TLS context, not the URL, secures the way. Required.
        cluster: Option<String>,
        /// The URL of the list, `https://HOST/PATH`: what the request says. Required.
        url: Option<String>,
        /// How often it is fetched; `Cache-Control` of the answer can make it sooner, down to 30s. Between 1s and a day. Default:
        /// `30s`.
        refresh: Option<String> as "schema::duration",
        /// How long an answer may take. Between 1s and 30s. Default: `2s`.
        timeout: Option<String> as "schema::duration",
        /// How long the last list serves when fetching fails. Between 1s and 30 days, and not shorter than `refresh`. Default: `10m`.
        max_stale: Option<String> as "schema::duration",
        /// What the issuer's tokens come to before the first list and past `max_stale`. Default: `refuse`.
        on_stale: Option<OnStale>,
    }

    /// A source of keys: exactly one of `jwks`, `pem`, `secret` and `remote`. A source of which no key can be used is refused,
    /// but for `remote`, whose keys come later.
    struct KeySource {
        /// A JWK Set as it is published. Keys that cannot be used are skipped, with a warning; secrets (`oct`) never count.
        jwks: Option<Value> as "schema::key_set",
        /// A public key (SPKI or PKCS#1) or an X.509 certificate in PEM. Of a certificate only the key counts, not its dates.
        pem: Option<String>,
        /// An HMAC secret of 32 bytes or more; an issuer that has one has no other kind of key.
        secret: Option<Secret>,
        /// A JWK Set that Envoy fetches.
        remote: Option<Remote>,
        /// The id of the key of `pem` or `secret`; keys of sets have their own. Default: none; such a key serves tokens whose
        /// `kid` no other key has.
        kid: Option<String>,
        /// Narrows the algorithms of this source. Default: those of the issuer.
        algorithms: Option<Vec<String>>,
    }

    /// A key set that Envoy fetches through one of its clusters; each worker does so for itself. A request whose token needs
    /// keys that are not there yet waits for them, up to 5 seconds. A set has 256 keys and 1 MiB at most.
    struct Remote {
        /// The cluster of Envoy that leads there. Its TLS context, not the URL, secures the way. Required.
        cluster: Option<String>,
        /// The URL of the key set, `https://HOST/PATH`: what the request says. Required.
        url: Option<String>,
        /// How often it is fetched; `Cache-Control` of the answer can make it sooner, down to 30s. Between 1s and a day. Default:
        /// `5m`.
        refresh: Option<String> as "schema::duration",
        /// How long an answer may take. Between 1s and 30s. Default: `2s`.
        timeout: Option<String> as "schema::duration",
        /// How long the last keys serve when fetching fails. Between 1s and 30 days, and not shorter than `refresh`. Default: `24h`.
        max_stale: Option<String> as "schema::duration",
    }

    /// A secret: exactly one of `env`, `base64` and `utf8`. Prefer `env`: `check` warns of the others, since Envoy's
    /// `/config_dump` shows them.
    struct Secret {
        /// The environment variable that holds it; letters, digits and `_`, 64 at most. Envoy hands it over by
        /// `vm_config.environment_variables.host_env_keys`. One that is not set refuses the configuration.
        env: Option<String>,
        /// The secret itself in base64; it shows in `/config_dump`.
        base64: Option<String>,
        /// The secret itself as text; it shows in `/config_dump`.
        utf8: Option<String>,
        /// How the environment variable writes it; goes with `env` only. Default: `utf8`.
        encoding: Option<Encoding>,
    }

    /// A place that carries tokens: exactly one of `header`, `cookie`, `query` and `websocket_protocol`. Two places with two
    /// different tokens are 400 `token_ambiguous`. A route looks at 64 places at most.
    struct TokenFrom {
        /// A header that carries the token.
        header: Option<String>,
        /// The scheme before it in the header, compared without case. Default: none, the bare value.
        scheme: Option<String>,
        /// A cookie that carries the token. It authorises an unsafe method or an upgrade only from the request's own host or
        /// from `origins`; else the answer is 403 `origin_refused`.
        cookie: Option<String>,
        /// Further origins whose unsafe requests a token from this cookie authorises, as `https://app.example.com`. Default:
        /// the request's own host only.
        origins: Option<Vec<String>>,
        /// A query parameter that carries the token. URLs stay in histories and in logs on the way: prefer another place.
        query: Option<String>,
        /// The prefix of the entry in `Sec-WebSocket-Protocol` that carries the token.
        websocket_protocol: Option<String>,
    }

    /// What a route that does not say otherwise has. A route with `deny: true` takes no methods from here, and one with
    /// `token: none` no issuers.
    struct Defaults {
        /// The issuers of routes that name none. Default: the only issuer, where there is one.
        issuers: Option<Vec<String>>,
        /// The methods of routes that name none. Default: every method.
        methods: Option<Vec<String>>,
    }

    /// A route. The most specific one owns a request, and there is no falling back to a broader one: see routes.md.
    struct Route {
        /// Its name, which is unique and appears in audit records, metrics and access logs: lower-case letters, digits, `-`
        /// and `_`. Required.
        name: Option<String>,
        /// `logs.example.com`, `{tenant}.example.com` (one label, captured), `*.example.com` (any number of labels) or `*`.
        /// Default: every host.
        hosts: Option<Vec<String>>,
        /// Patterns such as `/logs/{env}/**`: `{env}` and `*` are one segment, a final `**` the path itself and all under it. 64
        /// segments at most. Required.
        paths: Option<Vec<String>>,
        /// The methods that it takes, in upper case. Default: as `defaults` says, else every one but CONNECT, TRACE and those
        /// with lower-case letters.
        methods: Option<Vec<String>>,
        /// What it asks of the token. Default: `required`.
        token: Option<Token>,
        /// Whose tokens it takes. Required, here or in `defaults`, once there are two issuers.
        issuers: Option<Vec<String>>,
        /// What must hold. Default: nothing more than what `token` asks.
        require: Option<Condition>,
        /// The protocols that it may be upgraded to, as `websocket`. Envoy's `upgrade_configs` must allow them too. Default: none.
        upgrade: Vec<String>,
        /// Which ambiguous paths it lets through, besides those that every route does.
        path_safety: PathSafety,
        /// Whether its refusals refuse. Default: `enforce`.
        mode: Option<Mode>,
        /// Refuses every request that it matches with 403 `route_denied`, whatever other routes say. It has `name`, `hosts`,
        /// `paths`, `methods`, `path_safety` and `audit` only. Default: `false`.
        deny: bool,
        /// Which of its decisions are recorded.
        audit: RouteAudit,
    }

    /// A condition: one combination, or one subject with one operator. It is true, false or unknown, and a route opens on true
    /// only: see conditions.md.
    struct Condition {
        /// Every one of these holds.
        all: Option<Vec<Condition>>,
        /// One of these holds.
        any: Option<Vec<Condition>>,
        /// This does not hold; what is unknown stays unknown.
        not: Option<Box<Condition>>,
        /// The condition of this name under `conditions`.
        r#ref: Option<String>,
        /// The condition for each issuer; one that is not listed is refused.
        by_issuer: Option<BTreeMap<String, Condition>>,
        /// The token has all of these scopes (the claim `scope`, or `scp`).
        scopes: Option<Vec<String>>,
        /// The token has one of these scopes.
        any_scope: Option<Vec<String>>,
        /// The client's address, as Envoy has it, is in one of these networks. Set `use_remote_address: true` in Envoy.
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
        /// Subject: a field of the client certificate, which only Envoy's TLS context can demand and verify.
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
        /// Operator: one of the values, whole, matches this regular expression, in linear time.
        matches: Option<String>,
        /// Operator: the subject is this number or more. Claims and attributes only.
        at_least: Option<Value> as "schema::number",
        /// Operator: the subject is this number or less. Claims and attributes only.
        at_most: Option<Value> as "schema::number",
        /// What absence of the subject means; not beside `present`. Default: unknown, which opens nothing.
        absent: Option<bool>,
    }

    /// What the upstream learns of the caller. Every name here is removed from what the client sent, on every route and also
    /// where no value is set. `x-http-method-override`, `x-http-method`, `x-method-override`, `x-original-url` and
    /// `x-rewrite-url` are removed in any case.
    struct Identity {
        /// Headers that are set from the token, by name: the name of a claim, or an object.
        headers: BTreeMap<String, IdentityHeader>,
        /// A header that gets the verified claims as base64url of JSON. Default: none.
        payload_header: Option<String>,
        /// Further headers of the client that are removed; a final `*` is a family, as `x-internal-*`. Default: none.
        strip: Vec<String>,
    }

    /// An identity header in full: exactly one of `claim` and `attribute`. A name alone is short for `{ claim: NAME }`. Where the
    /// token has no such value the header is not set. Names of HTTP's and Envoy's own, as `host` and `x-envoy-*`, are refused.
    struct Long {
        /// The claim: a name, or a JSON Pointer without `*`.
        claim: Option<String>,
        /// An attribute of the issuers, `subject`, or `issuer` (the operator's name for it).
        attribute: Option<String>,
        /// How it is written. Default: `text`.
        format: Option<Format>,
    }

    /// What is recorded of decisions in Envoy's log, and how: see audit-records.md.
    struct Audit {
        /// The level of the lines. Default: `auto`.
        level: Option<Level>,
        /// Which allowed requests are recorded: `all`, `none`, or a rate above 0 and at most 1, drawn by the filter. Default: `all`.
        allowed: Option<Value> as "schema::share",
        /// Which refused requests are recorded, those that shadow mode lets pass included: `all`, `none`, or a rate. Default: `all`.
        denied: Option<Value> as "schema::share",
        /// How many records a worker writes in a second.
        max_per_second: Caps,
        /// How the subject appears. Default: `plain`.
        subject: Option<Show>,
        /// How the path appears. Default: `plain`.
        path: Option<ShowPath>,
        /// How the query appears. Default: `none`.
        query: Option<ShowQuery>,
        /// Claims that are added, by name or JSON Pointer, each with how it appears. No other claim ever does. 32 at most.
        /// Default: none.
        claims: BTreeMap<String, ShowClaim>,
        /// The key of hashes, at least 32 bytes. Required where something is shown as `hash`.
        hash_key: Option<Secret>,
        /// A stream that is open for longer has a record of its start too. Between 1s and a day. Default: `10s`.
        open_after: Option<String> as "schema::duration",
        /// Makes tampering with the records evident. Default: not.
        integrity: Option<Integrity>,
    }

    /// Caps, apart for what is allowed and what is refused, so that neither crowds out the other. What is dropped is counted.
    struct Caps {
        /// Records of allowed requests, a second and worker. Default: no cap.
        allowed: Option<u32>,
        /// Records of refused requests, a second and worker. Default: `1000`.
        denied: Option<u32>,
    }

    /// A chain of the records of each worker, which is signed from time to time: see audit.md.
    struct Integrity {
        /// An Ed25519 private key: PKCS#8 PEM, or a JWK. Who verifies needs its public key only. Required.
        sign: Option<Secret>,
        /// The id of that key: 1 to 64 letters, digits, `-`, `_` and `.`. Default: the `kid` of the JWK; a PEM needs it here.
        key_id: Option<String>,
        /// How often a signed checkpoint closes what was recorded; each thirty times that where nothing was. Between 1s and an
        /// hour. Default: `10s`.
        checkpoint: Option<String> as "schema::duration",
    }

    /// Which decisions of a route are recorded, where that is not what `audit` says.
    struct RouteAudit {
        /// Which allowed requests: `all`, `none`, or a rate above 0 and at most 1. Default: as `audit.allowed`.
        allowed: Option<Value> as "schema::share",
        /// Which refused requests: `all`, `none`, or a rate above 0 and at most 1. Default: as `audit.denied`.
        denied: Option<Value> as "schema::share",
    }

    /// A limit: a bucket for each identity, of `burst` requests, that is refilled evenly. It counts in the whole Envoy process, over
    /// all workers. A request past it is 429 `rate_limited`, with `Retry-After`.
    struct Limit {
        /// Its name, which is unique and appears in audit records and metrics: lower-case letters, digits, `-` and `_`. What was
        /// counted under a name stays when the configuration changes. Required.
        name: Option<String>,
        /// What is counted together: `subject` (always with its issuer), `issuer`, `token`, `client_address` (of IPv6 the /64),
        /// `route`, or `{ claim: NAME }`. A part that a request does not have counts by its client address. Required.
        by: Option<Vec<By>>,
        /// How many requests are refilled in the time of `per`. Required, unless there are `tiers`.
        requests: Option<u32>,
        /// The time. Between 1s and 30 days. Required, unless there are `tiers`.
        per: Option<String> as "schema::duration",
        /// How many pass at once. Default: as `requests`.
        burst: Option<u32>,
        /// The claim that says which of `tiers` counts. Default: none, so that the same counts for all.
        tier: Option<Tier>,
        /// The rates by what that claim says; `default` is for whoever is none of the others, and required.
        tiers: BTreeMap<String, TierRate>,
        /// The routes that it is for. Default: every one that is not `deny`.
        routes: Option<Vec<String>>,
        /// A condition: the limit is for the requests of which this is true or unknown. Default: all.
        when: Option<Condition>,
        /// What is counted. Default: `requests`.
        count: Option<Count>,
        /// Whether it refuses. Default: `enforce`.
        mode: Option<Mode>,
    }

    /// A claim that names a tier.
    struct Tier {
        /// The claim, a string: a name, or a JSON Pointer without `*`. Required.
        claim: Option<String>,
    }

    /// The rate of a tier.
    struct TierRate {
        /// How many requests are refilled in the time of `per`. Required.
        requests: Option<u32>,
        /// The time. Between 1s and 30 days. Required.
        per: Option<String> as "schema::duration",
        /// How many pass at once. Default: as `requests`.
        burst: Option<u32>,
    }

    /// How refusals and preflights are answered. Without any of it a refusal is `application/problem+json`.
    struct Responses {
        /// Who may ask from another origin: preflights are answered, refusals show in a browser. Default: nobody.
        cors: Option<Cors>,
        /// Bodies instead of problem+json, by the code of the refusal. Default: none.
        body: BTreeMap<String, Body>,
        /// Sends a browser that lacks a valid token to the login: 302 instead of 401. Default: never.
        login: Option<Login>,
        /// A response header with the seconds that the token is still valid, on what passes with a token that expires. Default:
        /// none.
        expires_in_header: Option<String>,
        /// Tells clients how their limits stand, on what passes and on 429: `RateLimit-Policy` and `RateLimit` (IETF draft
        /// `ratelimit-headers`). Default: `false`.
        ratelimit_headers: bool,
    }

    /// Who may ask from another origin.
    struct Cors {
        /// `https://app.example.com`, `https://*.example.com` or `*`, in lower case and with no slash. Required.
        allow_origins: Option<Vec<String>>,
        /// Whether cookies and `Authorization` may come along; not with the origin `*`. Default: `false`.
        allow_credentials: bool,
        /// The headers of a refusal that a page may read. Default: none.
        expose_headers: Vec<String>,
        /// How long a browser may remember the answer to a preflight. Default: as it likes.
        max_age: Option<String> as "schema::duration",
    }

    /// The body of a refusal, instead of problem+json. Its status and its other headers stay.
    struct Body {
        /// Its media type. Default: `text/plain; charset=utf-8`.
        content_type: Option<String>,
        /// The text, at most 64 KiB. Required.
        text: Option<String>,
    }

    /// Where browsers log in. Only a navigation is sent there: what a page fetches still gets its 401.
    struct Login {
        /// `https://login.example.com/?rd={url}`, or a path of the same host; `{url}` is the address that was asked for. Required.
        url: Option<String>,
    }

    /// A policy on trial. It decides beside the live one and changes nothing.
    struct Candidate {
        /// Its routes, instead of those of the live policy; all else is shared.
        routes: Vec<Route>,
    }

    /// Which paths are let through that servers may read in two ways, and how paths compare. What is relaxed counts only where
    /// the route wins under every reading: see routes.md for each one's risk.
    struct PathSafety {
        /// Whether `%2f` passes, which some upstreams decode to a separator. Default: `refuse`.
        encoded_slash: Option<Relaxation>,
        /// Whether `;` passes, which some upstreams cut off. Default: `refuse`.
        parameters: Option<Relaxation>,
        /// Whether `//` passes, which some upstreams merge. Default: `refuse`.
        empty_segment: Option<Relaxation>,
        /// Whether a pattern without `**` also takes its form with a final slash. At the top level only. Default: `allow`.
        final_slash: Option<Relaxation>,
        /// How paths compare. At the top level only. Default: `sensitive`.
        case: Option<Case>,
    }
}
