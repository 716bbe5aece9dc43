//! The explanation for people.

use super::routes::Read;
use super::token::{Says, Told};
use super::{Candidate, Explained, Upstream};
use crate::testing::printable;
use crate::testing::run::Answer;
use serde_json::Value;
use std::fmt::{self, Write as _};

/// A heading for each part, and what there is to say below it.
pub fn text(explained: &Explained) -> String {
    let mut text = String::new();
    // Writing to a string never fails.
    let _ = write(explained, &mut text);
    printable(text)
}

fn write(explained: &Explained, out: &mut String) -> fmt::Result {
    let asked = &explained.request;
    writeln!(out, "request: {} {}{}", asked.method, asked.authority, asked.target)?;
    match &asked.host {
        Read::Safe(host) => writeln!(out, "  host: {host}")?,
        Read::Refused(why) => writeln!(out, "  host: refused: {why}")?,
    }
    match &asked.path {
        Read::Safe(segments) => writeln!(out, "  path: {}", path(segments))?,
        Read::Refused(why) => writeln!(out, "  path: refused: {why}")?,
    }
    for reading in &asked.other_readings {
        writeln!(out, "  or, to another server: {}", path(reading))?;
    }
    writeln!(out, "routes of {}:", explained.configuration)?;
    if explained.routes.is_empty() {
        writeln!(out, "  none matches host and path")?;
    }
    for one in &explained.routes {
        let host = one.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
        let mark = if one.decides { "=>" } else { "  " };
        writeln!(out, "{mark} {} ({}), {}{host}: {}", one.route, one.place, one.path, one.why)?;
    }
    token(&explained.token, out)?;
    if explained.made_up {
        writeln!(out, "  made up of `--claims`, with a key of its own")?;
    }
    if let Some(condition) = &explained.condition {
        writeln!(out, "condition:")?;
        condition.lines(2, out);
    }
    if !explained.limits.is_empty() {
        writeln!(out, "limits:")?;
    }
    for limit in &explained.limits {
        writeln!(out, "  {limit}")?;
    }
    write!(out, "decision: {}", explained.decision)?;
    if let Some(code) = explained.code {
        write!(out, ", {code}")?;
    }
    if let Some(reason) = &explained.reason {
        write!(out, ": {reason}")?;
    }
    writeln!(out)?;
    if explained.mode == "shadow" {
        writeln!(out, "  in shadow mode: a refusal is recorded, and the request passes")?;
    }
    if let Some(Candidate { route, code }) = &explained.candidate {
        let route = route.as_deref().unwrap_or("no route");
        writeln!(out, "  the candidate would decide {}, by {route}", code.unwrap_or("allowed"))?;
    }
    upstream(explained.upstream.as_ref(), out)?;
    response(explained.response.as_ref(), out)
}

fn path(segments: &[String]) -> String {
    let quoted: Vec<String> =
        segments.iter().map(|segment| Value::from(segment.as_str()).to_string()).collect();
    if quoted.is_empty() { "no segment".to_owned() } else { quoted.join(" / ") }
}

fn token(told: &Told, out: &mut String) -> fmt::Result {
    match told {
        Told::NotLookedFor { why } => writeln!(out, "token: not looked for: {why}"),
        Told::Missing { places } => {
            writeln!(out, "token: none in {}", places.join(", "))
        }
        Told::Unusable { why } => writeln!(out, "token: not one to verify: {why}"),
        Told::Verified { places, issuer, kid, says: told } => {
            writeln!(out, "token: verified, of issuer {issuer}")?;
            if let Some(kid) = kid {
                writeln!(out, "  by key {kid}")?;
            }
            writeln!(out, "  found in {}", places.join(", "))?;
            says(told, "says", out)
        }
        Told::NotVerified { places, code, why, issuer, says: told } => {
            writeln!(out, "token: not verified: {code}: {why}")?;
            writeln!(out, "  found in {}", places.join(", "))?;
            if let Some(issuer) = issuer {
                writeln!(out, "  claims to be of issuer {issuer}")?;
            }
            match told {
                Some(told) => says(told, "says, which nothing proves,", out),
                None => writeln!(out, "  cannot be read"),
            }
        }
    }
}

fn says(says: &Says, verb: &str, out: &mut String) -> fmt::Result {
    let texts = [("alg", &says.alg), ("kid", &says.kid), ("typ", &says.typ)];
    let texts = texts.map(|(name, text)| (name, text.as_deref().map(Value::from)));
    let claims = [("iss", says.iss.clone()), ("aud", says.aud.clone()), ("sub", says.sub.clone())];
    let members = texts.into_iter().chain(claims);
    let members: Vec<String> =
        members.filter_map(|(name, value)| Some(format!("{name} {}", value?))).collect();
    writeln!(out, "  {verb} {}", members.join(", "))?;
    if says.times.is_empty() { Ok(()) } else { writeln!(out, "  {}", says.times.join(", ")) }
}

fn upstream(upstream: Option<&Upstream>, out: &mut String) -> fmt::Result {
    let Some(Upstream { removed, rewritten, set }) = upstream else { return Ok(()) };
    writeln!(out, "upstream:")?;
    for (what, names) in [("removed", removed), ("rewritten without the token", rewritten)] {
        if !names.is_empty() {
            writeln!(out, "  {what}: {}", names.join(", "))?;
        }
    }
    for (name, value) in set {
        writeln!(out, "  set: {name}: {value}")?;
    }
    if removed.is_empty() && rewritten.is_empty() && set.is_empty() {
        writeln!(out, "  headers as they came")?;
    }
    Ok(())
}

fn response(response: Option<&Answer>, out: &mut String) -> fmt::Result {
    let Some(Answer { status, headers, body }) = response else { return Ok(()) };
    writeln!(out, "response: {status}")?;
    for (name, value) in headers {
        writeln!(out, "  {name}: {value}")?;
    }
    if body.is_empty() { Ok(()) } else { writeln!(out, "  {body}") }
}
