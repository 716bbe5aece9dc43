//! The command, and the files that it is given.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The secret of `tests/policies/logs.yaml`.
pub const SECRET: (&str, &str) =
    ("CLAIMGATE_TEST_SECRET", "the secret of the policy tests, 32 bytes");

pub const CASES: &str = "tests/policies/logs-cases.yaml";

pub fn claimgate(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_claimgate"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove(SECRET.0)
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// The exit status, standard output and standard error.
pub fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    told(&claimgate(arguments, &[]))
}

pub fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A folder of its own for a test, with these files.
pub fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    folder
}

/// The path of a file of cases for `tests/policies/logs.yaml`.
pub fn cases(name: &str, cases: &str) -> String {
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies/logs.yaml");
    let text = format!("configuration: {}\ncases:\n{cases}", policy.display());
    folder(name, &[("cases.yaml", &text)]).join("cases.yaml").display().to_string()
}

/// A token of `corp` as its provider would make it.
pub fn token(claims: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let rest = r#""iss":"https://idp.example.com","aud":"logs-api","jti":"j","exp":4102444800"#;
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let input =
        format!("{}.{}", encode(r#"{"alg":"HS256"}"#), encode(&format!("{{{rest},{claims}}}")));
    let tag = hmac_sha256::HMAC::mac(input.as_bytes(), SECRET.1.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}
