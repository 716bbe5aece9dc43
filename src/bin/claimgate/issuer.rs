//! `claimgate issuer`: the block of an issuer for a configuration, from its discovery document (OpenID Connect
//! Discovery 1.0 section 4, RFC 8414 section 3).

use crate::fetch::Reach;
use crate::output::{Finding, Format, Severity};
use crate::{Failure, push, yaml};
use claimgate::json;
use claimgate::token::remote;
use claimgate::token::signature::{Algorithm, AlgorithmSet, Portable};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

pub const STATUS: &str =
    "Exit status: 0 done, 1 the block needs its `audiences` filled in, 2 refused or not possible.";

#[derive(clap::Args)]
pub struct Arguments {
    /// The issuer, exactly as its tokens' `iss` says it.
    url: String,
    /// What the token's `aud` must hold one of; may be repeated.
    #[arg(long, value_name = "AUDIENCE")]
    audience: Vec<String>,
    /// The name of the issuer in the configuration; its host where none is given.
    #[arg(long)]
    name: Option<String>,
    /// The cluster of Envoy that leads to the key set; the issuer's name where none is given.
    #[arg(long, conflicts_with = "inline")]
    cluster: Option<String>,
    /// Writes the keys into the block, for `claimgate keys push`, instead of having Envoy fetch them.
    #[arg(long)]
    inline: bool,
    #[command(flatten)]
    reach: Reach,
}

/// What discovery tells.
struct Discovered {
    /// The document's address.
    at: String,
    jwks_uri: String,
    /// The algorithms that it says it signs with.
    signs_with: Vec<Algorithm>,
}

/// The block, and what there is to say of it.
#[derive(serde::Serialize)]
struct Block {
    name: String,
    discovery: String,
    jwks_uri: String,
    /// Whether it can be loaded: its audiences are named.
    complete: bool,
    configuration: Value,
    #[serde(skip)]
    text: String,
}

pub fn run(arguments: &Arguments, format: Format) -> Result<ExitCode, Failure> {
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => named_by(&arguments.url)?,
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(format!("`--name {name}`: expected lower-case letters, digits, `-` and `_`"));
    }
    let found = discover(arguments)?;
    let body = arguments.reach.get(&found.jwks_uri)?.body(&found.jwks_uri)?;
    let of_set = |why: String| format!("`{}`: {why}", found.jwks_uri);
    let (keys, skipped) = remote::read_set(&body, None, &Portable).map_err(of_set)?;
    let warn = |message: String| {
        let (file, place) = (found.jwks_uri.clone(), String::new());
        format.tell(&Finding { severity: Severity::Warning, file, place, message });
    };
    for skipped in &skipped {
        let kid = skipped.kid.as_ref().map(|kid| format!(" (kid {kid:?})")).unwrap_or_default();
        warn(format!("keys[{}]: {}{kid}: skipped", skipped.index, skipped.reason));
    }
    let admitted = keys.iter().map(|key| key.algorithms());
    let admitted = admitted.fold(AlgorithmSet::of(&[]), AlgorithmSet::union);
    let admits = |algorithm: &Algorithm| admitted.contains(*algorithm);
    let several = Algorithm::ALL.iter().filter(|algorithm| admits(algorithm)).count();
    let signs_with: Vec<Algorithm> = found.signs_with.iter().copied().filter(admits).collect();
    let narrowed = !signs_with.is_empty() && signs_with.len() < several;
    let inline =
        if arguments.inline { push::published(&body, None).map_err(of_set)?.0 } else { Vec::new() };
    let block = arguments.block(name, found, if narrowed { &signs_with } else { &[] }, &inline);
    format.print(&block, || block.text.clone());
    if block.complete {
        return Ok(ExitCode::SUCCESS);
    }
    let message = "`audiences` is missing, and the block does not load without: say `--audience`, or fill it in";
    let (file, place) = (String::new(), format!("issuers.{}", block.name));
    format.tell(&Finding { severity: Severity::Warning, file, place, message: message.to_owned() });
    Ok(ExitCode::from(1))
}

/// A name made of an address: its host.
fn named_by(url: &str) -> Result<String, Failure> {
    let uri: Option<http::Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(http::Uri::host);
    let host =
        host.ok_or_else(|| format!("`{url}`: expected an address as `https://idp.example.com`"))?;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    Ok(host.trim_matches(['[', ']']).chars().map(plain).collect())
}

/// Where an issuer's documents are: OpenID's, and that of RFC 8414 section 3.1, which goes between host and path.
fn documents(url: &str) -> Result<[String; 2], Failure> {
    let bare = url.trim_end_matches('/');
    if bare.contains(['?', '#']) {
        return Err(format!("`{url}`: an issuer has neither query nor fragment"));
    }
    let scheme = bare.find("://").map_or(0, |at| at + 3);
    let host = bare.get(scheme..).unwrap_or_default();
    let end = scheme + host.find('/').unwrap_or(host.len());
    let (host, path) = bare.split_at_checked(end).unwrap_or((bare, ""));
    Ok([
        format!("{bare}/.well-known/openid-configuration"),
        format!("{host}/.well-known/oauth-authorization-server{path}"),
    ])
}

fn discover(arguments: &Arguments) -> Result<Discovered, Failure> {
    let [openid, oauth] = documents(&arguments.url)?;
    let mut at = openid;
    let mut answer = arguments.reach.get(&at)?;
    if answer.status != 200 {
        let other = arguments.reach.get(&oauth)?;
        if other.status != 200 {
            return Err(format!(
                "no discovery document: `{at}`: status {}; `{oauth}`: status {}",
                answer.status, other.status
            ));
        }
        (at, answer) = (oauth, other);
    }
    let body = answer.body(&at)?;
    let document = json::parse_object(&body).map_err(|why| format!("`{at}`: not JSON: {why}"))?;
    read(&arguments.url, at, &document)
}

fn read(url: &str, at: String, document: &Map<String, Value>) -> Result<Discovered, Failure> {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    // RFC 8414 section 3.3: "MUST be identical"; "If these values are not identical, the data MUST NOT be used".
    let issuer = text("issuer").ok_or_else(|| format!("`{at}`: no `issuer` in it"))?;
    if issuer != url {
        return Err(format!(
            "`{at}`: is of the issuer `{}` and not of `{url}`: if that is the one you mean, say it exactly so",
            issuer.escape_debug()
        ));
    }
    let jwks_uri =
        text("jwks_uri").ok_or_else(|| format!("`{at}`: no `jwks_uri` in it"))?.to_owned();
    if url.starts_with("https://") && !jwks_uri.starts_with("https://") {
        return Err(format!(
            "`{at}`: `jwks_uri` is `{}`: expected `https`",
            jwks_uri.escape_debug()
        ));
    }
    let names = document.get("id_token_signing_alg_values_supported").and_then(Value::as_array);
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    Ok(Discovered { at, jwks_uri, signs_with: names.filter_map(Algorithm::parse).collect() })
}

impl Arguments {
    fn block(
        &self,
        name: String,
        found: Discovered,
        algorithms: &[Algorithm],
        inline: &[Value],
    ) -> Block {
        let Discovered { at, jwks_uri, .. } = found;
        let cluster = self.cluster.as_ref().unwrap_or(&name);
        let algorithms: Vec<&str> = algorithms.iter().map(|algorithm| algorithm.name()).collect();
        let quoted = |text: &str| yaml::quoted(&text.into());
        let list = |texts: Vec<String>| format!("[{}]", texts.join(", "));
        let audiences = list(self.audience.iter().map(|audience| quoted(audience)).collect());
        let mut text =
            format!("# As {at} says.\nissuers:\n  {name}:\n    issuer: {}\n", quoted(&self.url));
        text += &match self.audience.is_empty() {
            true => "    # audiences: [...]    # to be filled in: what `aud` holds in the tokens that are meant for you\n".to_owned(),
            false => format!("    audiences: {audiences}\n"),
        };
        text += "    keys:\n";
        let keys = if inline.is_empty() {
            text += &format!(
                "      - remote: {{ cluster: {}, url: {} }}\n",
                quoted(cluster),
                quoted(&jwks_uri)
            );
            json!([{ "remote": { "cluster": cluster, "url": jwks_uri } }])
        } else {
            text += "      - jwks:\n          keys:\n";
            for key in inline {
                text += &format!("            - {}\n", push::flow(key));
            }
            json!([{ "jwks": { "keys": inline } }])
        };
        let mut issuer = json!({ "issuer": self.url, "keys": keys });
        if let Some(members) = issuer.as_object_mut() {
            if !self.audience.is_empty() {
                members.insert("audiences".to_owned(), json!(self.audience));
            }
            if !algorithms.is_empty() {
                text += "    # What it says it signs with; its keys admit others too.\n";
                text += &format!("    algorithms: [{}]\n", algorithms.join(", "));
                members.insert("algorithms".to_owned(), json!(algorithms));
            }
        }
        let configuration = json!({ "issuers": { name.as_str(): issuer } });
        let complete = !self.audience.is_empty();
        Block { name, discovery: at, jwks_uri, complete, configuration, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_documents() {
        let cases = [
            (
                "https://a.example",
                "https://a.example",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://a.example/",
                "https://a.example",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://a.example:8443/x/y",
                "https://a.example:8443/x/y",
                "https://a.example:8443/.well-known/oauth-authorization-server/x/y",
            ),
        ];
        for (url, openid, oauth) in cases {
            assert_eq!(
                documents(url).unwrap(),
                [format!("{openid}/.well-known/openid-configuration"), oauth.to_owned()]
            );
        }
        assert!(documents("https://a.example?x").is_err());
        assert_eq!(named_by("https://Login.example.com:8443/x").unwrap(), "login-example-com");
        assert_eq!(named_by("http://[::1]/").unwrap(), "--1");
        assert!(named_by("idp").is_ok() && named_by("/x").is_err());
    }

    #[test]
    fn takes_the_document_of_this_issuer_only() {
        let url = "https://a.example";
        let read = |document: Value| {
            super::read(url, "at".into(), document.as_object().unwrap()).map(|found| found.jwks_uri)
        };
        let cases = [
            (json!({"issuer": url, "jwks_uri": "https://a.example/k"}), Ok("https://a.example/k")),
            (
                json!({"issuer": "https://a.example/", "jwks_uri": "x"}),
                Err("is of the issuer `https://a.example/`"),
            ),
            (json!({"issuer": "https://A.example", "jwks_uri": "x"}), Err("is of the issuer")),
            (json!({"issuer": url, "jwks_uri": "http://a.example/k"}), Err("expected `https`")),
            (json!({"issuer": url, "jwks_uri": "/etc/passwd"}), Err("expected `https`")),
            (json!({"jwks_uri": "x"}), Err("no `issuer`")),
            (json!({"issuer": url}), Err("no `jwks_uri`")),
            (json!({"issuer": url, "jwks_uri": 1}), Err("no `jwks_uri`")),
        ];
        for (document, want) in cases {
            match (read(document), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want),
                (Err(got), Err(want)) => assert!(got.contains(want), "{got}"),
                (got, want) => panic!("{got:?}, not {want:?}"),
            }
        }
    }
}
