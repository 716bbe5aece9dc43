//! A deployed configuration in a folder of its own, and the command line at work on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::keys::{self, Key};

/// A file in a folder.
pub struct Deployed {
    pub folder: PathBuf,
    pub file: PathBuf,
}

/// A public key of this id.
pub fn key(kid: &str) -> Value {
    Key::ed25519(kid).jwk
}

/// The command line, without what the environment of the test says of proxies.
pub fn claimgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claimgate"));
    for name in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command
}

/// What a run said and did.
pub struct Ran {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { status: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Ran {
    /// It did what it was asked for.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, Some(0), "{}\n{}", self.out, self.err);
        self
    }
}

/// A configuration on lines, with comments, whose issuer `corp` has these keys.
pub fn commented(keys: &[&Value]) -> String {
    let keys = keys.iter().map(|key| {
        format!(
            "          # the key {kid}\n          - kty: OKP   # of {kid}\n            crv: Ed25519\n            kid: {kid}\n            x: {x}\n",
            kid = key["kid"].as_str().unwrap(),
            x = key["x"],
        )
    });
    let keys: String = keys.collect();
    format!(
        "# The edge.\nversion: 1\nissuers:\n  corp:   # ours\n    issuer: https://idp.example.com\n    audiences: [api] # theirs\n\
         \x20   keys:\n      - jwks:\n          keys: # as published\n{keys}      # no more\n    max_lifetime: 1h\n\n# What is open.\n\
         routes:\n- {{ name: all, paths: [\"/**\"] }}   # all of it\n"
    )
}

impl Deployed {
    /// A file of this content, in a new folder.
    pub fn new(name: &str, content: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("push").join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("filter.yaml");
        std::fs::write(&file, content).unwrap();
        Self { folder, file }
    }

    /// Pushes into the file.
    pub fn push(&self, arguments: &[&str]) -> Ran {
        let push = ["keys", "push", self.file.to_str().unwrap()];
        claimgate().args(push).args(arguments).output().unwrap().into()
    }

    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }

    /// What tells whether the file was written.
    pub fn identity(&self) -> (u64, std::time::SystemTime, String) {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = self.file.metadata().unwrap();
        (metadata.ino(), metadata.modified().unwrap(), self.text())
    }

    /// The filter loads the file.
    #[track_caller]
    pub fn loads(&self) {
        let check: Ran = claimgate().arg("check").arg(&self.file).output().unwrap().into();
        check.ok();
    }

    /// Nothing is left beside the file.
    #[track_caller]
    pub fn is_alone(&self) {
        let entries = std::fs::read_dir(&self.folder).unwrap();
        let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["filter.yaml"]);
    }
}

/// The ids of the keys in a text, in order.
pub fn kids(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let pairs = words.windows(2).filter(|pair| pair[0] == "kid");
    pairs.map(|pair| pair[1].to_owned()).collect()
}

/// A filter in JSON that can be loaded, with these keys.
pub fn filter(keys: &[&Value]) -> Value {
    json!({
        "issuers": { "corp": {
            "issuer": "https://idp.example.com", "audiences": ["api"], "keys": [{ "jwks": { "keys": keys } }],
        } },
        "routes": [{ "name": "all", "paths": ["/**"] }],
    })
}

/// Base64, as a `BytesValue` is written.
pub fn base64(text: &str) -> String {
    keys::base64(text)
}
