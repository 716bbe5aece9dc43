//! The words of the configuration, each with what it means, which is its description in the JSON Schema.

macro_rules! words {
    ($($(#[$meta:meta])* enum $name:ident { $($(#[$word_meta:meta])* $word:ident,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, serde::Deserialize)]
        #[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$word_meta])* $word,)* }
    )*};
}

words! {
    /// How an environment variable writes a secret.
    enum Encoding {
        /// As it is.
        Utf8,
        /// In base64, of either alphabet, with or without padding.
        Base64,
        /// In PEM: for the key of `audit.integrity`.
        Pem,
    }
    /// The level of audit lines.
    enum Level {
        /// `info` where Envoy's log prints it, else `warn`.
        Auto,
        /// Where Envoy's log level is `trace`.
        Trace,
        /// Where it is `debug` or `trace`.
        Debug,
        /// Where it is `info` or lower: Envoy's default.
        Info,
        /// Where it is `warning` or lower.
        Warn,
        /// Where it is `error` or lower.
        Error,
    }
    /// How the subject appears.
    enum Show {
        /// As it is.
        Plain,
        /// Its first letter, and the domain of an address: `j***@example.com`.
        Mask,
        /// A keyed hash, the same for the same text, so that records can be joined; needs `hash_key`.
        Hash,
        /// Not at all.
        None,
    }
    /// How a claim appears.
    enum ShowClaim {
        /// As it is.
        Plain,
        /// Its first letter, and the domain of an address: `j***@example.com`.
        Mask,
        /// A keyed hash, the same for the same text; needs `hash_key`.
        Hash,
    }
    /// How the path appears.
    enum ShowPath {
        /// As it was sent.
        Plain,
        /// By the route's name only.
        Route,
        /// Not at all, nor the route.
        None,
    }
    /// How the query appears.
    enum ShowQuery {
        /// Not at all.
        None,
        /// The names of its parameters.
        Names,
        /// As it was sent, without the parameters that `token_from` names.
        Plain,
    }
    /// What a route asks of the token.
    enum Token {
        /// One that verifies.
        Required,
        /// One that verifies, or none at all.
        Optional,
        /// Any; one that does not verify counts as none, and what was wrong with it is recorded.
        Lenient,
        /// Nothing: tokens are not looked at, and stay on the request.
        None,
    }
    /// How an OAuth 2 client authenticates itself (RFC 6749 section 2.3.1).
    enum ClientAuth {
        /// By HTTP Basic.
        Basic,
        /// In the body of the request.
        Post,
        /// Not: a public client.
        None,
    }
    /// What becomes of the cookies when the provider refuses the refresh token.
    enum OnRefused {
        /// They stay.
        Keep,
        /// The browser is told to forget them.
        Clear,
    }
    /// Whether a browser sends a cookie along from other sites.
    enum SameSite {
        /// Never.
        Strict,
        /// With a navigation.
        Lax,
        /// Always; goes with `secure` only.
        None,
    }
    /// What tokens come to while there is no revocation list that is fresh enough.
    enum OnStale {
        /// They are refused, with 503.
        Refuse,
        /// They are judged by the last list, if there was any.
        Allow,
    }
    /// A part of what a limit counts together.
    enum ByWord {
        /// The subject, always with its issuer.
        Subject,
        /// The issuer.
        Issuer,
        /// The token.
        Token,
        /// The client's address, as Envoy has it; of IPv6 the /64.
        ClientAddress,
        /// The route.
        Route,
    }
    /// What a limit counts.
    enum Count {
        /// Requests that all else lets pass.
        Requests,
        /// Tokens that are refused, `by: [client_address]`: past the limit no signature is checked any more. A token that is
        /// already known to verify passes all the same.
        Refused,
    }
    /// Whether refusals refuse.
    enum Mode {
        /// They do.
        Enforce,
        /// They are recorded, and the request passes.
        Shadow,
    }
    /// Whether something passes.
    enum Relaxation {
        /// It does not.
        Refuse,
        /// It does.
        Allow,
    }
    /// How paths compare.
    enum Case {
        /// With case.
        Sensitive,
        /// Without case, for upstreams that fold it.
        Insensitive,
    }
    /// A field of the client certificate.
    enum PeerField {
        /// The first URI among its names, as `spiffe://example.com/ns/shop/sa/checkout`.
        UriSan,
        /// The first DNS name among its names.
        DnsSan,
        /// Its subject, as the CA spells it.
        Subject,
        /// Its SHA-256, in hexadecimal.
        Sha256,
    }
    /// How an identity header is written.
    enum Format {
        /// A single value as text. A list or an object sets no header.
        Text,
        /// A list of single values with commas between; commas, quotes and spaces within are percent-encoded.
        Csv,
        /// JSON.
        Json,
        /// Base64url of the text, or of the JSON of what is no text.
        Base64,
    }
}
