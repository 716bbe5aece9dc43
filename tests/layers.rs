//! Holds the direction of dependencies that the crate page states, by what each file names.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

/// (what a file may not name, the files that may all the same)
const RULES: [(&[&str], &[&str]); 11] = [
    // The host.
    (&["proxy_wasm", "unsafe "], &["filter/", "lib.rs"]),
    // The clock and the environment.
    (&["SystemTime::now", "Instant::now", "std::env::"], &["filter/root.rs", "bin/claimgate/"]),
    // Crypto crates.
    (
        &[
            "jwt_simple",
            "ed25519_dalek",
            "hmac::",
            "sha2::",
            "rsa::",
            "p256::",
            "p384::",
            "p521::",
            "k256::",
        ],
        &["token/signature/", "audit/sign.rs", "bin/claimgate/keys.rs", "bin/claimgate/token.rs"],
    ),
    (&["blake3::"], &["audit/", "token/renewal/seal.rs"]),
    (&["chacha20poly1305::"], &["token/renewal/seal.rs"]),
    // The configuration builds the other values; they never see it.
    (&["crate::config"], &["config/", "filter/root.rs"]),
    // From here on, from the top down: nothing names what stands above it.
    (&["crate::filter"], &["filter/"]),
    (&["crate::engine"], &["filter/", "config/", "engine/"]),
    (
        &["crate::policy", "crate::identity", "crate::audit", "crate::response"],
        &[
            "filter/",
            "config/",
            "engine/",
            "policy/",
            "identity.rs",
            "audit/",
            "response/",
            "limit/",
        ],
    ),
    (&["crate::limit"], &["filter/", "config/", "engine/", "limit/"]),
    (
        &["crate::token"],
        &[
            "filter/",
            "config/",
            "engine/",
            "policy/",
            "identity.rs",
            "audit/",
            "response/",
            "limit/",
            "token/",
        ],
    ),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn nothing_names_what_stands_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 40, "only {} files", files.len());
    let mut wrong = Vec::new();
    for file in &files {
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
        let text = std::fs::read_to_string(file).unwrap();
        // Unit tests may name what they test with.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for (number, line) in code.enumerate() {
            for (names, allowed) in RULES {
                let may = allowed.iter().any(|place| name.starts_with(place));
                if !may && names.iter().any(|named| line.contains(named)) {
                    wrong.push(format!("src/{name}, about line {}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
