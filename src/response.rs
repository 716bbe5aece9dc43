//! The one table from a code to a status, a challenge, a body and a gRPC status.

use crate::token;
use serde::Serialize;
use std::borrow::Cow;

/// Why a request is refused. The same word stands in the response, the audit record, the metrics
/// and Envoy's response code details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is explained by its title")]
pub enum Code {
    HostAmbiguous,
    PathAmbiguous,
    TokenAmbiguous,
    TokenMissing,
    TokenMalformed,
    TokenTooLarge,
    AlgorithmNotAllowed,
    KeyUnknown,
    SignatureInvalid,
    TokenExpired,
    TokenNotYetValid,
    TokenLifetimeTooLong,
    IssuerUnknown,
    AudienceMismatch,
    TypeMismatch,
    ClaimMissing,
    CriticalHeaderUnsupported,
    NoRoute,
    RouteDenied,
    ClaimsInsufficient,
    ScopeInsufficient,
    OriginRefused,
    MethodNotAllowed,
    KeysUnavailable,
    InternalError,
}

use Code::*;

impl Code {
    /// Every code.
    pub const ALL: [Self; 25] = [
        HostAmbiguous,
        PathAmbiguous,
        TokenAmbiguous,
        TokenMissing,
        TokenMalformed,
        TokenTooLarge,
        AlgorithmNotAllowed,
        KeyUnknown,
        SignatureInvalid,
        TokenExpired,
        TokenNotYetValid,
        TokenLifetimeTooLong,
        IssuerUnknown,
        AudienceMismatch,
        TypeMismatch,
        ClaimMissing,
        CriticalHeaderUnsupported,
        NoRoute,
        RouteDenied,
        ClaimsInsufficient,
        ScopeInsufficient,
        OriginRefused,
        MethodNotAllowed,
        KeysUnavailable,
        InternalError,
    ];

    /// The code of a token's refusal.
    pub fn of(error: &token::Error) -> Self {
        use token::Error;
        match error {
            Error::Missing => TokenMissing,
            Error::Ambiguous(_) => TokenAmbiguous,
            Error::Malformed(_) => TokenMalformed,
            Error::TooLarge { .. } => TokenTooLarge,
            Error::CriticalHeader => CriticalHeaderUnsupported,
            Error::AlgorithmNotAllowed => AlgorithmNotAllowed,
            Error::IssuerUnknown => IssuerUnknown,
            Error::KeyUnknown => KeyUnknown,
            Error::KeysUnavailable => KeysUnavailable,
            Error::SignatureInvalid => SignatureInvalid,
            Error::Expired { .. } => TokenExpired,
            Error::NotYetValid { .. } => TokenNotYetValid,
            Error::LifetimeTooLong { .. } => TokenLifetimeTooLong,
            Error::AudienceMismatch => AudienceMismatch,
            Error::TypeMismatch => TypeMismatch,
            Error::ClaimMissing(_) => ClaimMissing,
        }
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The response code details that Envoy shows.
    pub fn details(self) -> &'static str {
        self.row().1
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        self.row().2
    }

    /// What a person reads; tells nothing of the policy or the token.
    pub fn title(self) -> &'static str {
        self.row().3
    }

    /// The gRPC status that stands for the HTTP one.
    pub fn grpc_status(self) -> u8 {
        match self.status() {
            400 => 3,
            401 => 16,
            403 => 7,
            405 => 12,
            _ => 14,
        }
    }

    fn row(self) -> (&'static str, &'static str, u16, &'static str) {
        macro_rules! row {
            ($name:literal, $status:literal, $title:literal) => {
                ($name, concat!("claimgate.", $name), $status, $title)
            };
        }
        match self {
            HostAmbiguous => row!("host_ambiguous", 400, "The host is missing or malformed"),
            PathAmbiguous => {
                row!("path_ambiguous", 400, "The path can be read in more than one way")
            }
            TokenAmbiguous => {
                row!("token_ambiguous", 400, "The request carries more than one token")
            }
            TokenMissing => row!("token_missing", 401, "A token is required"),
            TokenMalformed => row!("token_malformed", 401, "The token is malformed"),
            TokenTooLarge => row!("token_too_large", 401, "The token is too large"),
            AlgorithmNotAllowed => {
                row!("algorithm_not_allowed", 401, "The token's algorithm is not allowed")
            }
            KeyUnknown => row!("key_unknown", 401, "The token's key is unknown"),
            SignatureInvalid => row!("signature_invalid", 401, "The token's signature is invalid"),
            TokenExpired => row!("token_expired", 401, "The token has expired"),
            TokenNotYetValid => row!("token_not_yet_valid", 401, "The token is not valid yet"),
            TokenLifetimeTooLong => {
                row!("token_lifetime_too_long", 401, "The token's lifetime is too long")
            }
            IssuerUnknown => row!("issuer_unknown", 401, "The token's issuer is not accepted here"),
            AudienceMismatch => row!("audience_mismatch", 401, "The token is for another audience"),
            TypeMismatch => row!("type_mismatch", 401, "The token is of another type"),
            ClaimMissing => row!("claim_missing", 401, "The token lacks a required claim"),
            CriticalHeaderUnsupported => row!(
                "critical_header_unsupported",
                401,
                "The token demands an extension that is not supported"
            ),
            NoRoute => row!("no_route", 403, "Nothing is open here"),
            RouteDenied => row!("route_denied", 403, "This is closed to everyone"),
            ClaimsInsufficient => {
                row!("claims_insufficient", 403, "The identity is not permitted to do this")
            }
            ScopeInsufficient => {
                row!("scope_insufficient", 403, "The token's scope does not cover this")
            }
            OriginRefused => row!("origin_refused", 403, "The request comes from a foreign origin"),
            MethodNotAllowed => row!("method_not_allowed", 405, "The method is not allowed here"),
            KeysUnavailable => {
                row!("keys_unavailable", 503, "The issuer's keys are not available")
            }
            InternalError => row!("internal_error", 503, "The access proxy cannot decide"),
        }
    }
}

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
}

impl Refusal {
    /// A refusal that says no more than this.
    pub fn new(code: Code, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into(), allow: None, scope: None }
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

/// Renders a refusal: problem+json (RFC 9457), with the challenge of RFC 6750 section 3.
///
/// `realm` names the filter; `token_sent` says whether the request carried a token, since section
/// 3.1 forbids an error code where none was.
pub fn render(
    refusal: &Refusal,
    realm: &str,
    token_sent: bool,
    protocol: Protocol,
    request_id: Option<&[u8]>,
) -> Response {
    let code = refusal.code;
    let mut headers = vec![("cache-control", "no-store".to_owned())];
    if matches!(code.status(), 401 | 403) {
        headers.push(("www-authenticate", challenge(refusal, realm, token_sent)));
    }
    if let Some(allow) = &refusal.allow {
        headers.push(("allow", allow.clone()));
    }
    let body = if protocol == Protocol::Grpc {
        // Envoy makes the body the grpc-message.
        code.title().into()
    } else {
        headers.push(("content-type", "application/problem+json".to_owned()));
        if protocol == Protocol::GrpcWeb {
            headers.push(("grpc-status", code.grpc_status().to_string()));
            headers.push(("grpc-message", code.title().to_owned()));
            headers.push(("access-control-expose-headers", "grpc-status, grpc-message".to_owned()));
        }
        let request_id = request_id.and_then(|id| std::str::from_utf8(id).ok());
        let problem =
            Problem { status: code.status(), title: code.title(), code: code.name(), request_id };
        serde_json::to_vec(&problem).unwrap_or_default()
    };
    Response {
        status: code.status(),
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

    #[test]
    fn codes_are_distinct_and_spelled_alike() {
        for (index, code) in Code::ALL.into_iter().enumerate() {
            assert!(Code::ALL.iter().skip(index + 1).all(|other| other.name() != code.name()));
            assert_eq!(code.details(), format!("claimgate.{}", code.name()));
        }
    }

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
        let web = render(&refusal, "edge", true, Protocol::GrpcWeb, Some(b"id\""));
        assert!(web.headers.contains(&("grpc-status", "16".to_owned())));
        assert_eq!(
            String::from_utf8(web.body).unwrap(),
            r#"{"status":401,"title":"The token has expired","code":"token_expired","request_id":"id\""}"#
        );
        let grpc = render(&refusal, "edge", true, Protocol::Grpc, None);
        assert_eq!((grpc.grpc_status, grpc.body), (Some(16), b"The token has expired".to_vec()));
    }
}
