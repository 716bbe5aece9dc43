//! `claimgate token`: development tokens.

use crate::output::Format;
use crate::{Failure, keys, read};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claimgate::json;
use jwt_simple::claims::{Claims, JWTClaims};
use jwt_simple::common::HeaderOptions;
use jwt_simple::prelude::Duration;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(clap::Subcommand)]
pub enum Verb {
    /// Issues a token for development, signed with a private JWK, and prints it.
    Issue(Issue),
    /// Shows the header and the claims of a token. Nothing is verified.
    Show {
        /// The token; `-`, or none, is standard input.
        #[arg(default_value = "-")]
        token: String,
    },
}

#[derive(clap::Args)]
pub struct Issue {
    /// A private JWK that `keys new` wrote; `-` is standard input.
    #[arg(long)]
    key: String,
    /// `iss`.
    #[arg(long)]
    issuer: Option<String>,
    /// `aud`; may be given several times.
    #[arg(long)]
    audience: Vec<String>,
    /// `sub`.
    #[arg(long)]
    subject: Option<String>,
    /// How long it is valid, as `10m`; with a minus sign, how long it is expired.
    #[arg(long, default_value = "10m", allow_hyphen_values = true)]
    expires_in: String,
    /// `typ` of the header, as `at+jwt`.
    #[arg(long = "type")]
    typ: Option<String>,
    /// A further claim as NAME=VALUE, the value in JSON or else taken as a string.
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
}

/// A token that was issued.
#[derive(serde::Serialize)]
struct Issued {
    token: String,
}

pub fn run(verb: &Verb, format: Format) -> Result<(), Failure> {
    match verb {
        Verb::Issue(arguments) => {
            let issued = Issued { token: issue(arguments)? };
            format.print(&issued, || issued.token.clone());
        }
        Verb::Show { token } => {
            let read = if token == "-" { read(token)? } else { token.clone() };
            #[allow(clippy::disallowed_methods, reason = "the command line has a clock")]
            let now = SystemTime::now();
            let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let shown = Shown::of(read.trim(), i64::try_from(now).unwrap_or(i64::MAX))?;
            format.print(&shown, || shown.text());
        }
    }
    Ok(())
}

fn issue(arguments: &Issue) -> Result<String, Failure> {
    let mut custom = Map::new();
    let mut id = None;
    for claim in &arguments.claims {
        let (name, value) = claim
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| format!("`--claim {claim}`: expected NAME=VALUE"))?;
        let value = json::parse(value.as_bytes()).unwrap_or_else(|_| value.into());
        match (name, value) {
            ("iss" | "sub" | "aud" | "exp" | "iat" | "nbf", _) => {
                return Err(format!(
                    "`--claim {name}=...`: use --issuer, --subject, --audience and --expires-in"
                ));
            }
            ("jti", Value::String(jti)) => id = Some(jti),
            (name, value) => {
                custom.insert(name.to_owned(), value);
            }
        }
    }
    let mut claims = lifetime(&arguments.expires_in, custom)?;
    claims.issuer = arguments.issuer.clone();
    claims.subject = arguments.subject.clone();
    claims.jwt_id = id;
    let claims = match arguments.audience.as_slice() {
        [] => claims,
        [one] => claims.with_audience(one),
        several => claims.with_audiences(several.iter().collect::<HashSet<_>>()),
    };
    let header =
        HeaderOptions { signature_type: arguments.typ.clone(), ..HeaderOptions::default() };
    keys::sign(&read(&arguments.key)?, claims, &header)
}

/// Claims that are valid, or expired, for so long.
fn lifetime(
    text: &str,
    custom: Map<String, Value>,
) -> Result<JWTClaims<Map<String, Value>>, Failure> {
    let (past, length) = match text.strip_prefix('-') {
        Some(length) => (true, length),
        None => (false, text),
    };
    let length = humantime::parse_duration(length)
        .map_err(|_| format!("`--expires-in {text}`: expected a duration such as `10m`"))?;
    let length = Duration::from_secs(length.as_secs());
    let mut claims = Claims::with_custom_claims(custom, length);
    if past {
        let expired = claims.issued_at.map(|now| now - length);
        claims.expires_at = expired;
        claims.issued_at = expired.map(|expired| expired - Duration::from_mins(10));
        claims.invalid_before = claims.issued_at;
    }
    Ok(claims)
}

/// What a token says.
#[derive(serde::Serialize)]
struct Shown {
    /// Never: nothing here looks for a key.
    verified: bool,
    header: Value,
    claims: Value,
    times: BTreeMap<&'static str, Time>,
}

/// A moment that a token names.
#[derive(serde::Serialize)]
struct Time {
    at: String,
    seconds_from_now: i64,
}

impl Shown {
    /// Decodes a token at this time, in seconds since the epoch.
    fn of(token: &str, now: i64) -> Result<Self, Failure> {
        let mut segments = token.split('.');
        let mut part = |what: &str| {
            let decoded = segments.next().and_then(|segment| URL_SAFE_NO_PAD.decode(segment).ok());
            decoded
                .and_then(|bytes| json::parse(&bytes).ok())
                .ok_or_else(|| format!("the {what} is not base64url of JSON"))
        };
        let (header, claims) = (part("header")?, part("payload")?);
        let time = |name| {
            let seconds =
                claims.get(name)?.as_f64().filter(|seconds| (0.0..1e11).contains(seconds))?;
            let at = UNIX_EPOCH + std::time::Duration::from_secs(seconds as u64);
            let at = humantime::format_rfc3339_seconds(at).to_string();
            Some((name, Time { at, seconds_from_now: seconds as i64 - now }))
        };
        let times = ["iat", "nbf", "exp", "auth_time"].into_iter().filter_map(time).collect();
        Ok(Self { verified: false, header, claims, times })
    }

    fn text(&self) -> String {
        let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
        let times = self.times.iter().map(|(name, time)| {
            let length = std::time::Duration::from_secs(time.seconds_from_now.unsigned_abs());
            let length = humantime::format_duration(length);
            let when = match time.seconds_from_now {
                0 => "now".to_owned(),
                1.. => format!("in {length}"),
                ..0 => format!("{length} ago"),
            };
            let expired =
                if *name == "exp" && time.seconds_from_now <= 0 { ", expired" } else { "" };
            format!("{name:9}  {}  {when}{expired}\n", time.at)
        });
        let times: String = times.collect();
        let (header, claims) = (pretty(&self.header), pretty(&self.claims));
        format!(
            "decoded, not verified: anybody can have written it\n\nheader {header}\nclaims {claims}\n{times}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_times() {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let token = |claims: &str| format!("{}.{}.x", part(r#"{"alg":"ES256"}"#), part(claims));
        let cases = [
            (r#"{"exp": 1800000060}"#, "exp        2027-01-15T08:01:00Z  in 1m"),
            (r#"{"exp": 1799996400}"#, "exp        2027-01-15T07:00:00Z  1h ago, expired"),
            (r#"{"iat": 1799999999.5}"#, "iat        2027-01-15T07:59:59Z  1s ago"),
            (r#"{"nbf": 1800000000}"#, "nbf        2027-01-15T08:00:00Z  now"),
            (r#"{"exp": "soon"}"#, "}"),
            (r#"{"exp": 1e300}"#, "}"),
            (r#"{"exp": -1}"#, "}"),
        ];
        for (claims, want) in cases {
            let shown = Shown::of(&token(claims), 1_800_000_000).unwrap();
            let text = shown.text();
            assert_eq!(text.lines().last(), Some(want), "{claims}");
            assert!(text.starts_with("decoded, not verified") && !shown.verified);
        }
        for bad in ["", "x", "a.b.c"] {
            assert!(Shown::of(bad, 0).is_err(), "{bad}");
        }
    }
}
