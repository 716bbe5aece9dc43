//! Runs the command line, and holds the configurations that the tests render.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A secret that `check` finds nothing against.
const SECRET: &str = "cW1GZ0E3ZGhUeTBYcDJMdkJ3Um5Lc1V6Q2k5ZUpvNFY=";

/// A digest.
pub const DIGEST: &str = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";

/// The options that say where the filter comes from.
pub fn pinned() -> String {
    format!("--wasm oci://registry.example.com/claimgate:0.1.0 --sha256 {DIGEST}")
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The built command line, in the project's folder.
pub fn claimgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claimgate"));
    command.current_dir(root());
    command
}

/// What a run came to.
pub struct Run {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        Self { status: output.status.code().unwrap(), out, err }
    }

    /// What was printed, where all went well.
    pub fn done(self) -> String {
        assert_eq!((self.status, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }
}

/// Runs `claimgate render` without any secret in the environment.
pub fn render(arguments: &str) -> Run {
    let mut command = claimgate();
    command.arg("render").args(arguments.split_whitespace());
    for name in ["JOBS_SECRET", "AUDIT_SIGN_KEY", "AUDIT_HASH_KEY", "BATCH_SECRET"] {
        command.env_remove(name);
    }
    Run::of(command.output().unwrap())
}

/// Runs `claimgate check --strict` with the secrets that a deployment would have.
pub fn check(file: &Path) -> Run {
    let key = claimgate().args(["keys", "new", "--alg", "EdDSA"]).output().unwrap();
    let key = String::from_utf8(key.stdout).unwrap();
    let mut command = claimgate();
    command.args(["check", "--strict"]).arg(file);
    command.env("JOBS_SECRET", SECRET).env("BATCH_SECRET", SECRET).env("AUDIT_HASH_KEY", SECRET);
    command.env("AUDIT_SIGN_KEY", key);
    Run::of(command.output().unwrap())
}

/// A folder of a test's own.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("render-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes a file of a test.
pub fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The documents of a text.
pub fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A configuration with something of each kind that a host has to carry.
pub fn everything() -> Value {
    let pem = claimgate().args(["keys", "new", "--alg", "ES256", "--kid", "own"]).output().unwrap();
    let own: Value = serde_json::from_slice(&pem.stdout).unwrap();
    let public = json!({"kty": "EC", "crv": "P-256", "kid": "own", "x": own["x"], "y": own["y"]});
    json!({
        "version": 1,
        "name": "all_of-it",
        "x-anchors": {"unused": [1, 2.5]},
        "issuers": {
            "corp": {
                "issuer": "https://idp.example.com", "audiences": ["api"], "max_lifetime": "1h",
                "keys": [
                    {"remote": {"cluster": "idp", "url": "https://idp.example.com/keys?v=1", "refresh": "10m"}},
                    {"jwks": {"keys": [public]}},
                ],
            },
            "partner": {
                "issuer": "https://login.partner.example", "audiences": ["api"],
                "keys": [{"remote": {"cluster": "partner", "url": "https://login.partner.example:8443/jwks"}}],
            },
            "jobs": {
                "issuer": "https://jobs.example.com", "audiences": ["api"],
                "keys": [{"secret": {"env": "JOBS_SECRET", "encoding": "base64"}, "algorithms": ["HS256"]}],
            },
        },
        "defaults": {"issuers": ["corp"]},
        "conditions": {"senior": {"claim": "level", "at_least": 9_007_199_254_740_991_i64}},
        "routes": [
            {"name": "health", "paths": ["/healthz"], "token": "none", "methods": ["GET"]},
            {"name": "live", "paths": ["/live"], "methods": ["GET"], "upgrade": ["websocket"]},
            {"name": "yes", "paths": ["/no/{on}/**"], "issuers": ["corp", "partner", "jobs"], "require": {"all": [
                {"ref": "senior"},
                {"claim": "words", "any_of": ["null", "~", "1e3", "no", "a: b", "# x", "é\u{2028}", "two\nlines\n", "1_000", "0x1f"]},
                {"claim": "mixed", "any_of": [true, -3, "${path.on}", ""]},
            ]}},
        ],
        "identity": {"headers": {"x-user-id": {"attribute": "subject"}, "x-roles": {"claim": "/r/0", "format": "csv"}}},
        "audit": {
            "allowed": "none", "claims": {"email": "hash"}, "hash_key": {"env": "AUDIT_HASH_KEY"},
            "integrity": {"sign": {"env": "AUDIT_SIGN_KEY"}, "checkpoint": "10s"},
        },
    })
}

/// The same with keys that nobody has to fetch.
pub fn without_fetching() -> Value {
    let mut value = everything();
    let keys = value["issuers"]["corp"]["keys"][1].clone();
    for issuer in ["corp", "partner"] {
        value["issuers"][issuer]["keys"] = json!([keys]);
    }
    value
}
