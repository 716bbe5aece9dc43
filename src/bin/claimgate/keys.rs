//! `claimgate keys`: key pairs as JSON Web Keys.

use crate::output::Format;
use crate::{Failure, push, read};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jwt_simple::algorithms::*;
use jwt_simple::claims::{Claims, JWTClaims};
use jwt_simple::common::HeaderOptions;
use jwt_simple::prelude::Duration;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub enum Verb {
    /// Makes a key pair and writes it as a private JWK.
    New {
        /// RS256 to RS512, PS256 to PS512, ES256, ES384, ES256K, EdDSA, HS256 to HS512.
        #[arg(long)]
        alg: String,
        /// The key's id; its thumbprint (RFC 7638) where none is given.
        #[arg(long)]
        kid: Option<String>,
        /// The file, which only its owner may read; standard output where none is given.
        #[arg(long)]
        out: Option<String>,
    },
    /// Prints the JWK Set of the public halves of private JWKs.
    Jwks {
        /// Files that `keys new` wrote.
        #[arg(required = true)]
        files: Vec<String>,
    },
    /// Pushes the keys that an identity provider publishes into a deployed configuration, which Envoy then loads.
    #[command(after_help = push::STATUS)]
    Push(push::Arguments),
}

/// A file that was written.
#[derive(serde::Serialize)]
struct Written<'a> {
    file: &'a str,
    kid: Option<String>,
}

pub fn run(verb: &Verb, format: Format) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Push(arguments) => return push::run(arguments, format),
        Verb::New { alg, kid, out } => {
            let key = make(alg, kid.as_deref())?;
            // A key is JSON in either form.
            let document: Value = serde_json::from_str(&key).map_err(|_| BAD)?;
            match out {
                None => format.print(&document, || key),
                Some(file) => {
                    write_private(file, &key)?;
                    let kid = document.get("kid").and_then(Value::as_str).map(str::to_owned);
                    if format == Format::Json {
                        format.print(&Written { file, kid }, String::new);
                    }
                }
            }
        }
        Verb::Jwks { files } => {
            let keys: Result<Vec<Value>, Failure> = files
                .iter()
                .map(|file| public(&read(file)?).map_err(|why| format!("`{file}`: {why}")))
                .collect();
            let set = json!({ "keys": keys? });
            format.print(&set, || set.to_string());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The thumbprint of a public JWK (RFC 7638): of its material alone. Of a key that only its certificate holds, the
/// digest of that (`x5t#S256`, RFC 7517 section 4.9).
pub fn thumbprint(jwk: &Value) -> String {
    let required: &[&str] = match jwk.get("kty").and_then(Value::as_str) {
        Some("EC") => &["crv", "kty", "x", "y"],
        Some("RSA") => &["e", "kty", "n"],
        Some("OKP") => &["crv", "kty", "x"],
        _ => &["kty"],
    };
    let certificate = jwk.get("x5c").and_then(|chain| chain.get(0)).and_then(Value::as_str);
    let certificate = certificate.and_then(|text| STANDARD.decode(text).ok());
    let bytes = match certificate {
        Some(der) if required.iter().any(|name| jwk.get(*name).is_none()) => der,
        _ => {
            // RFC 7638 section 3.3: no white space, and the members in the order of their names.
            let members = required.iter().filter_map(|name| {
                let value = jwk.get(*name)?;
                Some(format!("\"{name}\":{value}"))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(",")).into_bytes()
        }
    };
    URL_SAFE_NO_PAD.encode(Sha256::digest(&bytes))
}

/// Writes a new file that only its owner may read.
fn write_private(path: &str, key: &str) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let file = options.open(path);
    file.and_then(|mut file| writeln!(file, "{key}")).map_err(|error| format!("`{path}`: {error}"))
}

const BAD: &str = "not a private JWK as `claimgate keys new` writes it";

/// What `--alg` takes.
fn unknown(alg: &str) -> Failure {
    format!(
        "no keys for `{alg}` are made here; those for: RS256, RS384, RS512, PS256, PS384, PS512, ES256, \
         ES384, ES256K, EdDSA, HS256, HS384, HS512"
    )
}

/// Does the same with the key type of an algorithm, whichever it is.
macro_rules! with_pair {
    ($alg:expr, $pair:ident => $body:expr, $hmac:ident => $hmac_body:expr) => {{
        macro_rules! asymmetric {
            ($type:ty) => {{
                type $pair = $type;
                $body
            }};
        }
        macro_rules! symmetric {
            ($type:ty) => {{
                type $hmac = $type;
                $hmac_body
            }};
        }
        match $alg {
            "RS256" => asymmetric!(RS256KeyPair),
            "RS384" => asymmetric!(RS384KeyPair),
            "RS512" => asymmetric!(RS512KeyPair),
            "PS256" => asymmetric!(PS256KeyPair),
            "PS384" => asymmetric!(PS384KeyPair),
            "PS512" => asymmetric!(PS512KeyPair),
            "ES256" => asymmetric!(ES256KeyPair),
            "ES384" => asymmetric!(ES384KeyPair),
            "ES256K" => asymmetric!(ES256kKeyPair),
            "EdDSA" => asymmetric!(Ed25519KeyPair),
            "HS256" => symmetric!(HS256Key),
            "HS384" => symmetric!(HS384Key),
            "HS512" => symmetric!(HS512Key),
            other => Err(unknown(other)),
        }
    }};
}

/// Makes a key.
trait Generate: Sized {
    fn new() -> Result<Self, Failure>;
}

macro_rules! generate {
    ($($type:ty: $make:expr;)*) => {$(
        impl Generate for $type {
            fn new() -> Result<Self, Failure> { $make }
        }
    )*};
}

fn rsa<K>(made: Result<K, jwt_simple::Error>) -> Result<K, Failure> {
    made.map_err(|error| format!("no RSA key: {error}"))
}

generate! {
    RS256KeyPair: rsa(Self::generate(2048));
    RS384KeyPair: rsa(Self::generate(2048));
    RS512KeyPair: rsa(Self::generate(2048));
    PS256KeyPair: rsa(Self::generate(2048));
    PS384KeyPair: rsa(Self::generate(2048));
    PS512KeyPair: rsa(Self::generate(2048));
    ES256KeyPair: Ok(Self::generate());
    ES384KeyPair: Ok(Self::generate());
    ES256kKeyPair: Ok(Self::generate());
    Ed25519KeyPair: Ok(Self::generate());
}

pub fn make(alg: &str, kid: Option<&str>) -> Result<String, Failure> {
    with_pair!(alg,
        Pair => {
            let pair = Pair::new()?;
            let kid = kid.map_or_else(|| pair.jwk_thumbprint(), str::to_owned);
            Ok(pair.with_key_id(&kid).to_jwk())
        },
        Secret => {
            let secret = URL_SAFE_NO_PAD.encode(Secret::generate().to_bytes());
            Ok(json!({ "kty": "oct", "alg": alg, "kid": kid.unwrap_or("secret"), "k": secret })
                .to_string())
        }
    )
}

/// The public half of a private JWK.
fn public(jwk: &str) -> Result<Value, Failure> {
    let alg = alg(jwk)?;
    let public: Result<String, Failure> = with_pair!(alg.as_str(),
        Pair => Ok(Pair::from_jwk(jwk.trim()).map_err(|_| BAD)?.public_key().to_jwk()),
        Secret => {
            let _ = std::marker::PhantomData::<Secret>;
            Err("a symmetric key has no public half: hand it over as a `secret`".to_owned())
        }
    );
    serde_json::from_str(&public?).map_err(|_| BAD.to_owned())
}

fn alg(jwk: &str) -> Result<String, Failure> {
    let jwk: Value = serde_json::from_str(jwk).map_err(|_| BAD)?;
    Ok(jwk.get("alg").and_then(Value::as_str).ok_or(BAD)?.to_owned())
}

/// Signs claims with a private JWK.
pub fn sign(
    jwk: &str,
    claims: JWTClaims<Map<String, Value>>,
    header: &HeaderOptions,
) -> Result<String, Failure> {
    let alg = alg(jwk)?;
    with_pair!(alg.as_str(),
        Pair => Pair::from_jwk(jwk.trim())
            .map_err(|_| BAD.to_owned())?
            .sign_with_options(claims, header)
            .map_err(|error| format!("cannot sign: {error}")),
        Secret => {
            let key: Value = serde_json::from_str(jwk).map_err(|_| BAD)?;
            let secret = key.get("k").and_then(Value::as_str).ok_or(BAD)?;
            let secret = URL_SAFE_NO_PAD.decode(secret).map_err(|_| BAD)?;
            let signer = Secret::from_bytes(&secret);
            let signer = match key.get("kid").and_then(Value::as_str) {
                Some(kid) => signer.with_key_id(kid),
                None => signer,
            };
            signer
                .authenticate_with_options(claims, header)
                .map_err(|error| format!("cannot sign: {error}"))
        }
    )
}

/// A secret that lives as long as this process, to sign what is tried.
pub struct Secret(String);

impl Secret {
    /// A new one.
    pub fn new() -> Self {
        Self(URL_SAFE_NO_PAD.encode(HS256Key::generate().to_bytes()))
    }

    /// As a configuration writes it.
    pub fn base64(&self) -> &str {
        &self.0
    }

    /// A token of exactly these claims.
    pub fn sign(&self, claims: Map<String, Value>, typ: Option<&str>) -> Result<String, Failure> {
        let mut exact = Claims::with_custom_claims(claims, Duration::from_secs(0));
        (exact.issued_at, exact.expires_at, exact.invalid_before) = (None, None, None);
        let header =
            HeaderOptions { signature_type: typ.map(str::to_owned), ..HeaderOptions::default() };
        let jwk = json!({ "kty": "oct", "alg": "HS256", "k": self.0 });
        sign(&jwk.to_string(), exact, &header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use claimgate::token::key::parse_jwks;
    use claimgate::token::signature::Portable;

    #[test]
    fn public_halves_load_and_hold_nothing_private() {
        for alg in ["RS256", "PS512", "ES256", "ES384", "ES256K", "EdDSA"] {
            let private = make(alg, Some("k1")).unwrap();
            let public = public(&private).unwrap();
            assert!(public.get("d").is_none(), "{alg}");
            let (keys, skipped) =
                parse_jwks(&json!({ "keys": [public] }), None, &Portable).unwrap();
            assert_eq!((keys.len(), skipped.len()), (1, 0), "{alg}");
            assert_eq!(keys[0].kid(), Some("k1"), "{alg}");
        }
        assert!(public(&make("HS256", None).unwrap()).is_err());
        assert!(make("none", None).is_err());
    }

    #[test]
    fn thumbprints_are_those_of_the_standard() {
        // RFC 8037 appendix A.3.
        let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        assert_eq!(thumbprint(&key), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        for alg in ["RS256", "ES256", "ES384", "ES256K", "EdDSA"] {
            // Without a name of its own a new key has its thumbprint.
            let public = public(&make(alg, None).unwrap()).unwrap();
            assert_eq!(public["kid"], thumbprint(&public), "{alg}");
        }
    }
}
