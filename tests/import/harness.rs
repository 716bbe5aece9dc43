//! Imports by the built command line, and asks the filter's own engine what it makes of requests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claimgate::config::{self, Loaded};
use claimgate::request::{CertificateField, Header, Peer, Request};
use claimgate::time::Timestamp;
use claimgate::token::signature::Portable;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

const SECRET: &str = "the secret of these tests, of 32 bytes";
const NOW: u64 = 1_800_000_000;

/// What an import wrote.
pub struct Imported {
    pub status: i32,
    pub text: String,
    pub messages: String,
}

/// Runs `claimgate import` in the folder of the first file, which is named without it.
pub fn import(files: &[&Path], options: &[&str]) -> Imported {
    let folder = files[0].parent().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_claimgate"))
        .current_dir(folder)
        .arg("import")
        .args(files.iter().map(|file| file.strip_prefix(folder).unwrap_or(file)))
        .args(options)
        .output()
        .unwrap();
    Imported {
        status: output.status.code().unwrap(),
        text: String::from_utf8(output.stdout).unwrap(),
        messages: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A file of these tests.
pub fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name)
}

/// The documents of a text.
pub fn documents(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    all.into_iter().filter(|value| !value.is_null()).collect()
}

/// Loads a configuration with the tests' key for every issuer.
pub fn load(text: &str) -> Loaded {
    let mut value: Value = serde_saphyr::from_str(text).unwrap();
    if let Some(issuers) = value.get_mut("issuers").and_then(Value::as_object_mut) {
        for issuer in issuers.values_mut() {
            issuer["keys"] = json!([{"secret": {"utf8": SECRET}, "algorithms": ["HS256"]}]);
        }
    }
    config::load_value(value, "test", &|_| None, &Portable).unwrap()
}

/// A request of a grid.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub host: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    /// The claims of a token that is signed well; `exp` is added.
    pub claims: Option<Value>,
    /// The same, signed; made where it is not there.
    pub token: Option<Rc<str>>,
    /// Where the token is carried; `Authorization` where nothing is said.
    pub carried: Option<(String, String)>,
    pub peer: Option<String>,
    pub address: IpAddr,
}

impl Asked {
    pub fn get(path: &str) -> Self {
        Self {
            method: "GET".into(),
            host: "app.test".into(),
            path: path.into(),
            headers: Vec::new(),
            claims: None,
            token: None,
            carried: None,
            peer: None,
            address: [10, 9, 9, 9].into(),
        }
    }

    /// The value of a header as Envoy has it: joined.
    pub fn header(&self, name: &str) -> Option<String> {
        let own = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        let values: Vec<&str> = own.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// The path without its query.
    pub fn plain_path(&self) -> &str {
        self.path.split('?').next().unwrap()
    }
}

struct Client<'a>(&'a Asked);

impl Peer for Client<'_> {
    fn client_address(&self) -> Option<IpAddr> {
        Some(self.0.address)
    }
    fn certificate(&self, field: CertificateField) -> Option<String> {
        self.0.peer.clone().filter(|_| field == CertificateField::UriSan)
    }
}

pub fn sign(claims: &Value) -> String {
    let mut payload = claims.clone();
    payload["exp"] = json!(NOW + 60);
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let input =
        format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(payload.to_string().as_bytes()));
    let tag = hmac_sha256::HMAC::mac(input.as_bytes(), SECRET.as_bytes());
    format!("{input}.{}", encode(&tag))
}

/// Whether the configuration lets a request through, or the code of the refusal.
pub fn decide(loaded: &Loaded, asked: &Asked) -> Result<(), &'static str> {
    let signed =
        asked.token.clone().or_else(|| asked.claims.as_ref().map(|claims| sign(claims).into()));
    let carried = signed.map(|token| match &asked.carried {
        None => ("authorization".to_owned(), format!("Bearer {token}")),
        Some((name, prefix)) => (name.clone(), format!("{prefix}{token}")),
    });
    let mut headers: Vec<Header<'_>> = vec![
        (b":method", asked.method.as_bytes()),
        (b":authority", asked.host.as_bytes()),
        (b":path", asked.path.as_bytes()),
    ];
    for (name, value) in asked.headers.iter().chain(&carried) {
        headers.push((name.as_bytes(), value.as_bytes()));
    }
    let client = Client(asked);
    let request = Request::new(&headers, &client);
    let outcome = loaded.engine.decide(&request, Timestamp::from_secs(NOW));
    outcome.refusal.as_ref().map_or(Ok(()), |refusal| Err(refusal.code.name()))
}
