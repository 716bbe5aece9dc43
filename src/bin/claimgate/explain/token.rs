//! What was made of the token, with the evidence, and without the token.

use claimgate::engine::{Engine, Outcome};
use claimgate::policy::route::TokenMode;
use claimgate::request::Request;
use claimgate::time::Timestamp;
use claimgate::token::VerifiedToken;
use claimgate::token::claims::Registered;
use claimgate::token::compact::{self, Headers};
use claimgate::token::extract::{self, Source};
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// See the module.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Told {
    /// No route takes the request, or the one that does asks for none.
    NotLookedFor { why: &'static str },
    /// There is none where the route looks.
    Missing { places: Vec<String> },
    /// What is there is not one token.
    Unusable { why: String },
    /// It passed every check of its issuer.
    Verified { places: Vec<String>, issuer: String, kid: Option<String>, says: Says },
    /// It did not. Nothing that it says is known to be true.
    NotVerified {
        places: Vec<String>,
        code: &'static str,
        why: String,
        /// The issuer that it claims to be of, where the configuration has it.
        issuer: Option<String>,
        says: Option<Says>,
    },
}

/// What a token says of itself.
#[derive(Serialize)]
pub struct Says {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typ: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<Value>,
    /// `expires in 4m 59s`.
    pub times: Vec<String>,
}

/// What became of the token of a request.
pub fn told(engine: &Engine, request: &Request<'_>, outcome: &Outcome<'_>, now: Timestamp) -> Told {
    let Some(route) = outcome.route.and_then(|id| engine.routes.get(id.0)) else {
        return Told::NotLookedFor { why: "no route takes the request" };
    };
    if route.deny {
        return Told::NotLookedFor { why: "the route denies everything" };
    }
    if route.token == TokenMode::None {
        return Told::NotLookedFor { why: "the route has `token: none`" };
    }
    if outcome.preflight.is_some() {
        return Told::NotLookedFor { why: "a preflight brings none" };
    }
    let found = match extract::find(request, &route.carriers) {
        Ok(Some(found)) => found,
        Ok(None) => {
            let places = route.carriers.iter().map(|carrier| place(&carrier.source)).collect();
            return Told::Missing { places };
        }
        Err(error) => return Told::Unusable { why: error.to_string() },
    };
    let carriers = route.carriers.iter().enumerate();
    let places = carriers.filter(|(index, _)| found.places >> index & 1 == 1);
    let places: Vec<String> = places.map(|(_, carrier)| place(&carrier.source)).collect();
    let says = says(&found.token, engine.max_token_bytes, now);
    let name = |id: claimgate::token::IssuerId| {
        engine.issuers.get(id.0).map(|issuer| issuer.name.to_string())
    };
    match (&outcome.token, says) {
        (Some(token), Some(says)) => Told::Verified {
            places,
            issuer: name(token.issuer()).unwrap_or_default(),
            kid: VerifiedToken::kid(token).map(str::to_owned),
            says,
        },
        (_, says) => {
            let refused = outcome.refused();
            let issuer = outcome.unverified.as_ref().and_then(|(id, _)| name(*id));
            let code = refused.map_or("token_malformed", |refusal| refusal.code.name());
            let why = refused.map(|refusal| refusal.reason.to_string()).unwrap_or_default();
            Told::NotVerified { places, code, why, issuer, says }
        }
    }
}

/// A place that carries tokens, in words.
fn place(source: &Source) -> String {
    match source {
        Source::Header { name, scheme: Some(scheme) } => {
            format!("header `{name}`, scheme `{scheme}`")
        }
        Source::Header { name, scheme: None } => format!("header `{name}`"),
        Source::Cookie { name, .. } => format!("cookie `{name}`"),
        Source::Query { name } => format!("query parameter `{name}`"),
        Source::WebsocketProtocol { prefix } => format!("WebSocket protocol `{prefix}…`"),
    }
}

/// What a token says of itself; `None` where it cannot be read.
fn says(token: &[u8], limit: usize, now: Timestamp) -> Option<Says> {
    let compact = compact::parse(token, limit, &Headers::default()).ok()?;
    let claim = |name: &str| compact.payload.get(name).cloned();
    Some(Says {
        alg: Some(compact.header.alg.clone()),
        kid: compact.header.kid.clone(),
        typ: compact.header.typ.clone(),
        iss: claim("iss"),
        aud: claim("aud"),
        sub: claim("sub"),
        times: times(&compact.payload, now),
    })
}

/// The times of a token, as they are from now.
fn times(claims: &Map<String, Value>, now: Timestamp) -> Vec<String> {
    let Ok(Registered { exp, nbf, iat }) = Registered::read(claims) else {
        return vec!["its times are no numbers".to_owned()];
    };
    let now = now.as_millis();
    let words = [
        (exp, "expired", "expires"),
        (nbf, "valid since", "valid only"),
        (iat, "issued", "issued (in the future)"),
    ];
    let times = words.into_iter().filter_map(|(time, past, future)| {
        let away = time?.saturating_sub(now) / 1000;
        let length = humantime::format_duration(Duration::from_secs(away.unsigned_abs()));
        Some(match away {
            1.. => format!("{future} in {length}"),
            _ if past == "valid since" => format!("{past} {length}"),
            _ => format!("{past} {length} ago"),
        })
    });
    times.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tells_times_from_now() {
        let cases = [
            (json!({"exp": 1300, "iat": 1000}), "expires in 5m; issued 0s ago"),
            (json!({"exp": 940, "nbf": 900}), "expired 1m ago; valid since 1m 40s"),
            (json!({"nbf": 1060, "iat": 4600}), "valid only in 1m; issued (in the future) in 1h"),
            (json!({"exp": "soon"}), "its times are no numbers"),
            (json!({}), ""),
        ];
        for (claims, want) in cases {
            let claims = claims.as_object().unwrap();
            assert_eq!(times(claims, Timestamp::from_secs(1000)).join("; "), want);
        }
    }
}
