//! How a refusal is answered: from a code to a status, a challenge, a body and a gRPC status.

mod code;
pub mod cors;
pub mod login;
mod quota;

pub use code::Code;
pub use cors::{Cors, Preflight};
pub use login::Login;
pub use quota::Quota;

use crate::request::Request;
use crate::token;
use crate::token::extract::{self, Source};
use Code::*;
use serde::Serialize;
use std::borrow::Cow;

/// A refusal, with what its response and its record say beyond the code.
#[derive(Debug, PartialEq)]
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// The evidence, for the record only.
    pub reason: Cow<'static, str>,
    /// The methods that the route takes; for 405.
    pub allow: Option<String>,
    /// The scopes that the route asks for; for `scope_insufficient`.
    pub scope: Option<String>,
    /// After how many seconds it may be tried again; for `rate_limited`.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// A refusal that says no more than this.
    pub fn new(code: Code, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into(), allow: None, scope: None, retry_after: None }
    }
}

impl From<&token::Error> for Refusal {
    fn from(error: &token::Error) -> Self {
        Self::new(Code::of(error), error.to_string())
    }
}

/// How the client speaks, by the request's `content-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Neither of the others.
    Http,
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
}

impl Protocol {
    /// Tells from a `content-type`, as Envoy does.
    pub fn of(content_type: Option<&[u8]>) -> Self {
        let Some(value) = content_type else {
            return Self::Http;
        };
        if value.starts_with(b"application/grpc-web") {
            return Self::GrpcWeb;
        }
        match value.strip_prefix(b"application/grpc") {
            Some([] | [b'+' | b';', ..]) => Self::Grpc,
            _ => Self::Http,
        }
    }
}

/// The answer to a refused request.
#[derive(Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// gRPC status, where the client speaks gRPC.
    pub grpc_status: Option<u8>,
    /// Envoy's response code details.
    pub details: &'static str,
}

#[derive(Serialize)]
struct Problem<'a> {
    status: u16,
    title: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// What an operator says of answers.
#[derive(Debug, Default)]
pub struct Responses {
    /// Who may ask from another origin.
    pub cors: Option<Cors>,
    /// Bodies instead of problem+json.
    pub bodies: Vec<(Code, Body)>,
    /// Where browsers log in.
    pub login: Option<Login>,
    /// The query parameters that carry a token: they are in no address that is handed on.
    pub query_sources: Vec<Source>,
    /// Whether clients are told how their limits stand.
    pub ratelimit_headers: bool,
    /// A header of answers to requests that pass: how many seconds the token is still valid.
    pub expires_in_header: Option<Box<str>>,
}

/// The body of a refusal.
#[derive(Debug)]
pub struct Body {
    /// Its media type.
    pub content_type: Box<str>,
    /// Its text.
    pub text: Box<str>,
}

impl Responses {
    /// Takes a request for a preflight that may be answered.
    pub fn preflight<'a>(&'a self, request: &Request<'a>) -> Option<Preflight<'a>> {
        self.cors.as_ref()?.preflight(request)
    }

    /// Every token out of the path of a request; `None` where there is none.
    pub fn without_tokens(&self, request: &Request<'_>) -> Option<Vec<u8>> {
        extract::without_parameters(request, self.query_sources.iter())
    }

    fn login(&self, code: Code, request: &Request<'_>) -> Option<String> {
        let login = self.login.as_ref().filter(|_| code.status() == 401)?;
        let path = self.without_tokens(request);
        login.location(request, path.as_deref().or(request.first(":path"))?)
    }
}

/// Renders a refusal: problem+json (RFC 9457), with the challenge of RFC 6750 section 3, or what the
/// operator says instead.
///
/// `realm` names the filter; `token_sent` says whether the request carried a token, since section
/// 3.1 forbids an error code where none was. There is no `request` where its headers could not be had.
pub fn render(
    refusal: &Refusal,
    realm: &str,
    token_sent: bool,
    request: Option<&Request<'_>>,
    responses: &Responses,
) -> Response {
    let code = refusal.code;
    let header = |name| request.and_then(|request| request.first(name));
    let protocol = Protocol::of(header("content-type"));
    let mut headers = vec![("cache-control", "no-store".to_owned())];
    let mut status = code.status();
    if let Some(location) = request.and_then(|request| responses.login(code, request)) {
        status = 302;
        headers.push(("location", location));
    } else if matches!(status, 401 | 403) {
        headers.push(("www-authenticate", challenge(refusal, realm, token_sent)));
    }
    if let Some(allow) = &refusal.allow {
        headers.push(("allow", allow.clone()));
    }
    if let Some(secs) = refusal.retry_after {
        headers.push(("retry-after", secs.to_string()));
    }
    if protocol == Protocol::GrpcWeb {
        headers.push(("grpc-status", code.grpc_status().to_string()));
        headers.push(("grpc-message", code.title().to_owned()));
    }
    let own = if protocol == Protocol::GrpcWeb { "grpc-status, grpc-message" } else { "" };
    match (&responses.cors, request) {
        (Some(cors), Some(request)) => cors.mark(request, own, &mut headers),
        _ if own.is_empty() => {}
        _ => headers.push(("access-control-expose-headers", own.to_owned())),
    }
    let custom = responses.bodies.iter().find(|(of, _)| *of == code && protocol == Protocol::Http);
    let body = match (protocol, custom) {
        // Envoy makes the body the grpc-message.
        (Protocol::Grpc, _) => code.title().into(),
        (_, Some((_, body))) => {
            headers.push(("content-type", body.content_type.to_string()));
            body.text.as_bytes().into()
        }
        (_, None) => {
            headers.push(("content-type", "application/problem+json".to_owned()));
            let request_id = header("x-request-id").and_then(|id| std::str::from_utf8(id).ok());
            let problem = Problem { status, title: code.title(), code: code.name(), request_id };
            serde_json::to_vec(&problem).unwrap_or_default()
        }
    };
    Response {
        status,
        headers,
        body,
        grpc_status: (protocol == Protocol::Grpc).then(|| code.grpc_status()),
        details: code.details(),
    }
}

fn challenge(refusal: &Refusal, realm: &str, token_sent: bool) -> String {
    let mut challenge = format!("Bearer realm=\"{}\"", quoted(realm));
    if !token_sent {
        return challenge;
    }
    let error = match (refusal.code, refusal.code.status()) {
        (ClaimsInsufficient | ScopeInsufficient, _) => "insufficient_scope",
        (_, 401) => "invalid_token",
        _ => return challenge,
    };
    challenge.push_str(&format!(", error=\"{error}\""));
    if refusal.code.status() == 401 {
        challenge.push_str(&format!(", error_description=\"{}\"", refusal.code.title()));
    }
    if let Some(scope) = &refusal.scope {
        challenge.push_str(&format!(", scope=\"{}\"", quoted(scope)));
    }
    challenge
}

/// The inside of a quoted-string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    let visible = text.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\'));
    visible.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::UnknownPeer;

    #[test]
    fn challenges_as_rfc_6750_says() {
        let scope = Refusal { scope: Some("a b".into()), ..Refusal::new(ScopeInsufficient, "") };
        let cases = [
            (Refusal::new(TokenMissing, ""), false, r#"Bearer realm="edge""#),
            (
                Refusal::new(TokenExpired, ""),
                true,
                r#"Bearer realm="edge", error="invalid_token", error_description="The token has expired""#,
            ),
            (
                Refusal::new(ClaimsInsufficient, ""),
                true,
                r#"Bearer realm="edge", error="insufficient_scope""#,
            ),
            (Refusal::new(ClaimsInsufficient, ""), false, r#"Bearer realm="edge""#),
            (Refusal::new(NoRoute, ""), false, r#"Bearer realm="edge""#),
            (Refusal::new(RouteDenied, ""), true, r#"Bearer realm="edge""#),
            (scope, true, r#"Bearer realm="edge", error="insufficient_scope", scope="a b""#),
        ];
        for (refusal, sent, want) in cases {
            assert_eq!(challenge(&refusal, "ed\"ge\r\n", sent), want);
        }
    }

    #[test]
    fn speaks_the_clients_protocol() {
        let cases: [(&[u8], Protocol); 7] = [
            (b"application/grpc", Protocol::Grpc),
            (b"application/grpc+proto", Protocol::Grpc),
            (b"application/grpc;charset=utf-8", Protocol::Grpc),
            (b"application/grpc-web", Protocol::GrpcWeb),
            (b"application/grpc-web-text+proto", Protocol::GrpcWeb),
            (b"application/grpcish", Protocol::Http),
            (b"application/json", Protocol::Http),
        ];
        for (value, want) in cases {
            assert_eq!(Protocol::of(Some(value)), want);
        }
        let refusal = Refusal::new(TokenExpired, "evidence");
        let answer = |content_type: &'static [u8]| {
            let headers = [(&b"content-type"[..], content_type), (b"x-request-id", b"id\"")];
            let request = Request::new(&headers, &UnknownPeer);
            render(&refusal, "edge", true, Some(&request), &Responses::default())
        };
        let web = answer(b"application/grpc-web");
        assert!(web.headers.contains(&("grpc-status", "16".to_owned())));
        assert_eq!(
            String::from_utf8(web.body).unwrap(),
            r#"{"status":401,"title":"The token has expired","code":"token_expired","request_id":"id\""}"#
        );
        let grpc = answer(b"application/grpc");
        assert_eq!((grpc.grpc_status, grpc.body), (Some(16), b"The token has expired".to_vec()));
    }
}
