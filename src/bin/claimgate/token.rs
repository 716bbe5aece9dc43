//! `claimgate token`: development tokens.

use crate::{Failure, keys, read};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claimgate::json;
use jwt_simple::claims::{Claims, JWTClaims};
use jwt_simple::common::HeaderOptions;
use jwt_simple::prelude::Duration;
use serde_json::{Map, Value};
use std::collections::HashSet;

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

pub fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Issue(arguments) => println!("{}", issue(arguments)?),
        Verb::Show { token } => {
            let read = if token == "-" { read(token)? } else { token.clone() };
            println!("{}", show(read.trim())?);
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

fn show(token: &str) -> Result<String, Failure> {
    let mut segments = token.split('.');
    let mut part = |what: &str| {
        let decoded = segments.next().and_then(|segment| URL_SAFE_NO_PAD.decode(segment).ok());
        decoded
            .and_then(|bytes| json::parse(&bytes).ok())
            .ok_or_else(|| format!("the {what} is not base64url of JSON"))
    };
    let shown = serde_json::json!({ "header": part("header")?, "claims": part("payload")? });
    serde_json::to_string_pretty(&shown).map_err(|error| error.to_string())
}
