//! `claimgate explain`: one request, the route that takes it and why, what was made of its token, what each part
//! of the condition saw, and what client and upstream get.

mod limits;
mod routes;
mod text;
mod token;

use crate::output::{Finding, Format};
use crate::testing::ask::{self, Ask, Certificate, Connection};
use crate::testing::cases::{self, Credential, DEFAULT_HOST};
use crate::testing::mode_name;
use crate::testing::policy::Policy;
use crate::testing::run::{self, Answer, Decided, Trouble};
use crate::testing::tree::{self, Node};
use crate::{Failure, read};
use claimgate::audit::{Verdict, without_tokens};
use claimgate::engine::{Edit, Engine, Outcome};
use claimgate::json;
use claimgate::request::Request;
use serde::Serialize;
use std::net::IpAddr;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// A configuration, as `check` reads it.
    #[arg(short, long, value_name = "FILE")]
    configuration: String,
    /// Which configuration of the file, where it holds several.
    #[arg(long, value_name = "PLACE")]
    place: Option<String>,
    /// The method.
    #[arg(short = 'X', long = "request", value_name = "METHOD", default_value = "GET")]
    method: String,
    /// A header as `name: value`; may be given several times. `host` is that of the request.
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// The claims of a token that verifies, as JSON, or @FILE; keys are made up for it, and iss, aud, iat, exp
    /// and require_claims are filled in.
    #[arg(long, value_name = "JSON")]
    claims: Option<String>,
    /// A token as it is, verified by the configuration's own keys; `-` is standard input.
    #[arg(long, conflicts_with = "claims")]
    token: Option<String>,
    /// The operator's name for the issuer whose token it is, where there are several.
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// The time of the request, as 2026-11-25T12:00:00Z; now where none is given.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// How often the request is made, all at once; the last one is explained. See what limits say of it.
    #[arg(long, value_name = "NUMBER", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(cases::MAX_TIMES)))]
    times: u32,
    /// The client's address.
    #[arg(long, value_name = "IP")]
    client_address: Option<IpAddr>,
    /// The first URI name of the client certificate.
    #[arg(long, value_name = "URI")]
    certificate_uri_san: Option<String>,
    /// The first DNS name of the client certificate.
    #[arg(long, value_name = "NAME")]
    certificate_dns_san: Option<String>,
    /// The subject of the client certificate.
    #[arg(long, value_name = "DN")]
    certificate_subject: Option<String>,
    /// The SHA-256 digest of the client certificate, hexadecimal.
    #[arg(long, value_name = "HEX")]
    certificate_sha256: Option<String>,
    /// What is asked for: https://host/path, or a path.
    url: String,
}

/// The document.
#[derive(Serialize)]
struct Explained {
    configuration: String,
    request: routes::Asked,
    routes: Vec<routes::Contender>,
    token: token::Told,
    /// Whether the token was made up of `--claims`.
    made_up: bool,
    /// The condition of the route.
    condition: Option<Node>,
    /// The limits of the route.
    limits: Vec<limits::Limit>,
    decision: &'static str,
    code: Option<&'static str>,
    reason: Option<String>,
    route: Option<String>,
    mode: &'static str,
    /// What a policy on trial would decide, where that is something else.
    candidate: Option<Candidate>,
    /// What changes on the way to the upstream; none where the filter answers.
    upstream: Option<Upstream>,
    /// The filter's answer, where it answers.
    response: Option<Answer>,
}

#[derive(Serialize)]
struct Candidate {
    route: Option<String>,
    code: Option<&'static str>,
}

/// How the headers of a request change.
#[derive(Serialize)]
struct Upstream {
    removed: Vec<String>,
    /// Those that are rewritten without the token.
    rewritten: Vec<String>,
    set: Vec<(String, String)>,
}

pub fn run(arguments: &Arguments, format: Format) -> Result<ExitCode, Failure> {
    let now = match &arguments.at {
        None => crate::testing::now(),
        Some(text) => cases::time(text)
            .ok_or_else(|| format!("`--at {text}`: write a time as `2026-11-25T12:00:00Z`"))?,
    };
    let ask = ask(arguments)?;
    let credential = credential(arguments)?;
    let cannot = |finding: Finding| {
        format.tell(&finding);
        Ok(ExitCode::from(2))
    };
    let policy = match Policy::load(&arguments.configuration, arguments.place.as_deref()) {
        Ok(policy) => policy,
        Err(finding) => return cannot(finding),
    };
    let issuer = arguments.issuer.as_deref();
    let (ask, engine) = match run::prepare(&policy, ask, &credential, issuer, now) {
        Ok(prepared) => prepared,
        Err(Trouble::Issuer(message)) => return Err(format!("`--issuer`: {message}")),
        Err(Trouble::Claims(message)) => return Err(format!("`--claims`: {message}")),
        Err(Trouble::Policy(finding)) => return cannot(finding),
    };
    let headers = ask.headers();
    let request = Request::new(&headers, &ask.connection);
    let outcome = run::last_of(&policy, engine, arguments.times, &request, now);
    let decided = Decided::tell(engine, &policy.raw, &request, &outcome);
    let candidate = engine.describe(&outcome).candidate.map(|candidate| Candidate {
        route: candidate.route.map(str::to_owned),
        code: candidate.code.map(|code| code.name()),
    });
    let is_answered = decided.response.is_some();
    let unasked =
        decided.route_index.and_then(|route| tree::of_route(engine, &policy.raw, route, None));
    let mut condition = decided.condition.or(unasked);
    if let Some(condition) = &mut condition {
        condition.edit_seen(&|_, value| without_tokens(value).into_owned());
    }
    let explained = Explained {
        configuration: policy.title(),
        request: routes::Asked::of(engine, &request, &outcome),
        routes: routes::contenders(engine, &request, &outcome),
        token: token::told(engine, &request, &outcome, now),
        made_up: matches!(credential, Credential::Claims(_)),
        condition,
        limits: limits::told(engine, &policy.raw, &outcome),
        decision: decided.decision.name(),
        code: decided.code.map(|code| code.name()),
        reason: decided.reason,
        route: decided.route,
        mode: mode_name(decided.mode),
        candidate,
        upstream: (!is_answered).then(|| upstream(engine, &outcome)),
        response: decided.response,
    };
    format.print(&explained, || text::text(&explained));
    Ok(match decided.decision {
        Verdict::Denied => ExitCode::from(3),
        Verdict::Allowed | Verdict::ShadowDenied => ExitCode::SUCCESS,
    })
}

fn ask(arguments: &Arguments) -> Result<Ask, Failure> {
    let url = &arguments.url;
    let target = ask::target(url);
    let (mut host, path) = target.ok_or_else(|| {
        format!("`{}` is no address: write `https://host/path` or `/path`", without_tokens(url))
    })?;
    let mut headers = Vec::new();
    for header in &arguments.headers {
        // Not shown: it may hold a credential.
        let (name, value) = header
            .split_once(':')
            .ok_or("`--header`: found no colon, expected `name: value`".to_owned())?;
        let value = value.trim();
        if !ask::is_header_value(value) {
            return Err(format!("`--header {name}`: a header holds no control characters"));
        }
        match ask::header_name(name).map_err(|reason| format!("`--header`: {reason}"))? {
            name if name == "host" => host = Some(value.to_owned()),
            name => headers.push((name, value.to_owned())),
        }
    }
    Ok(Ask {
        method: arguments.method.clone(),
        host: host.unwrap_or_else(|| DEFAULT_HOST.to_owned()),
        path,
        headers,
        connection: Connection {
            client_address: arguments.client_address,
            certificate: Certificate {
                uri_san: arguments.certificate_uri_san.clone(),
                dns_san: arguments.certificate_dns_san.clone(),
                subject: arguments.certificate_subject.clone(),
                sha256: arguments.certificate_sha256.clone(),
            },
        },
    })
}

fn credential(arguments: &Arguments) -> Result<Credential, Failure> {
    if let Some(token) = &arguments.token {
        let token = if token == "-" { read(token)? } else { token.clone() };
        return Ok(Credential::Token(token.trim().to_owned()));
    }
    let Some(claims) = &arguments.claims else { return Ok(Credential::None) };
    let claims = match claims.strip_prefix('@') {
        Some(file) => read(file)?,
        None => claims.clone(),
    };
    let claims = json::parse_object(claims.as_bytes());
    claims.map(Credential::Claims).map_err(|error| format!("`--claims`: {error}"))
}

fn upstream(engine: &Engine, outcome: &Outcome<'_>) -> Upstream {
    let mut changes = Upstream { removed: Vec::new(), rewritten: Vec::new(), set: Vec::new() };
    for edit in &outcome.edits {
        match edit {
            Edit::Remove(name) => changes.removed.push(String::from_utf8_lossy(name).into_owned()),
            // What is left of a cookie is nobody's business.
            Edit::Replace(name, _) => changes.rewritten.push((*name).to_owned()),
        }
    }
    let identity = engine.identity_headers(outcome);
    changes.set.extend(identity.iter().map(|(name, value)| (name.to_string(), value.clone())));
    changes
}
