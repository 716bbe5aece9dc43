//! The codes of refusals, with all that depends on nothing else.

use crate::token;

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
    TokenRevoked,
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
    RateLimited,
    KeysUnavailable,
    RevocationUnavailable,
    InternalError,
}

use Code::*;

impl Code {
    /// Every code.
    pub const ALL: [Self; 28] = [
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
        TokenRevoked,
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
        RateLimited,
        KeysUnavailable,
        RevocationUnavailable,
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
            Error::Revoked => TokenRevoked,
            Error::RevocationUnavailable => RevocationUnavailable,
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
            429 => 8,
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
            TokenRevoked => row!("token_revoked", 401, "The token was revoked"),
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
            RateLimited => row!("rate_limited", 429, "Too many requests; try again later"),
            KeysUnavailable => {
                row!("keys_unavailable", 503, "The issuer's keys are not available")
            }
            RevocationUnavailable => {
                row!("revocation_unavailable", 503, "The list of revoked tokens is not available")
            }
            InternalError => row!("internal_error", 503, "The access proxy cannot decide"),
        }
    }
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
}
