//! The command line as it is run: arguments, what is on standard input, the exit status, and what is said where.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// A secret that loads, and one that only looks like one.
const SECRET: &str = "cW1GZ0E3ZGhUeTBYcDJMdkJ3Um5Lc1V6Q2k5ZUpvNFY=";

fn run(arguments: &str, input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_claimgate"))
        .args(arguments.split_whitespace())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("JWT_SECRET", SECRET)
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A verb that reads nothing may be gone.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// A configuration with one route, and further members.
fn with(members: &str) -> String {
    format!("routes:\n- name: all\n  paths: [\"/**\"]\n  token: none\n{members}")
}

/// Each case: arguments, standard input, the exit status, a part of standard output, and of standard error. An empty
/// part means that nothing is there.
fn check(cases: &[(&str, &str, i32, &str, &str)]) {
    for (arguments, input, status, stdout, stderr) in cases {
        let output = run(arguments, input);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        let shown = format!("claimgate {arguments}\n{input}\nstdout: {out}\nstderr: {err}");
        assert_eq!(output.status.code(), Some(*status), "{shown}");
        for (said, want) in [(&out, stdout), (&err, stderr)] {
            let holds = if want.is_empty() { said.is_empty() } else { said.contains(want) };
            assert!(holds, "wanted `{want}`\n{shown}");
        }
    }
}

#[test]
#[rustfmt::skip]
fn verbs() {
    let fine = with("");
    let warned = with("path_safety: { parameters: allow }\n");
    let open = "resources:\n- config:\n    name: claimgate\n    fail_open: true\n    vm_config: { vm_id: c }\n    configuration:\n      '@type': t/google.protobuf.Struct\n      value: { routes: [{ name: all, paths: [/], token: none }] }\n";
    let inner = open.replace("    fail_open: true\n", "").replace("paths: [/]", "paths: [x]");
    let refused = with("mod: shadow\n");
    let relaxed = "warning: -:5:28: path_safety.parameters: an upstream that cuts `;` off";
    check(&[
        ("check -", &fine, 0, "-: `claimgate` loads, routes: 1, issuers: 0", ""),
        ("check - --strict", &fine, 0, "loads", ""),
        ("check -", &warned, 0, "loads", relaxed),
        ("check - --strict", &warned, 1, "loads", relaxed),
        ("check - --color always", &warned, 0, "loads", "\u{1b}["),
        ("check - --color never", &warned, 0, "loads", "warning: -:5:28: "),
        ("check -", &refused, 2, "", "error: -:5:6: mod: unknown key `mod`, accepted: `version`"),
        ("check - --format json", &refused, 2, r#""loads":false"#, r#"{"severity":"error","file":"-","place":"mod","message":"unknown key"#),
        ("check -", open, 2, "loads", "error: -:4:16: resources[0].config.fail_open: lets every request pass"),
        ("check -", &inner, 2, "", ": resources[0].config.configuration: routes[0].paths[0]: `x`"),
        ("check -", "a: [", 2, "", "error: `-`: not YAML: line 1 column 4"),
        ("check -", "routes: []\nroutes: []\n", 2, "", "error: `-`: not YAML: line 2 column 1: duplicate mapping key: routes\n"),
        ("check -", "a: 1", 2, "", "no configuration of the filter in it"),
        ("check /nowhere --format json", "", 2, "", r#"{"severity":"error","message":"`/nowhere`: "#),
        ("check envoy/envoy.yaml --strict", "", 0, "`claimgate` loads, routes: 8", ""),
        ("check envoy/envoy-pushed.yaml --strict", "", 0, "envoy/claimgate-filter.yaml: resources[0]", ""),
        ("check examples/logs-proxy/envoy.yaml --strict", "", 0, "`logs` loads", ""),
        ("routes envoy/envoy.yaml --host admin.example.com", "", 0, "/**                   every                  back-office", ""),
        ("routes - --format json", &fine, 0, r#"[{"place":"","name":"claimgate","hosts":[{"host":null,"named_as":null,"kind":"unnamed","routes":[{"path":"/**","methods":null,"route":"all""#, ""),
        ("routes - --host a..b", &fine, 2, "", "error: `--host a..b`: "),
        ("routes -", &refused, 2, "", "error: -:5:6: mod: unknown key `mod`"),
        ("keys new --alg EdDSA --kid k", "", 0, r#""kid":"k""#, ""),
        ("keys new --alg EdDSA --kid k --format json", "", 0, r#""kid":"k""#, ""),
        ("keys new --alg none", "", 2, "", "error: no keys for `none` are made here; those for: RS256"),
        ("keys jwks -", "{}", 2, "", "error: `-`: not a private JWK"),
        ("keys push - --from /nowhere", &fine, 2, "", "error: `/nowhere`: "),
        ("keys push - --from http://idp.example.com/jwks", &fine, 2, "", "error: `http://idp.example.com/jwks`: whoever is on the way"),
        ("keys push - --from x --every 0s", &fine, 2, "", "at least `1s`"),
        ("keys push - --from x --every 1s", &fine, 2, "", "error: `--every` needs a file"),
        ("keys push --help", "", 0, "Exit status: 0 pushed, or nothing changed; 1 under `--dry-run`", ""),
        ("issuer idp", "", 2, "", "error: `idp/.well-known/openid-configuration`: expected an address"),
        ("issuer --help", "", 0, "Exit status: 0 done, 1 the block needs its `audiences` filled in", ""),
        ("token show e30.e30.x", "", 0, "decoded, not verified", ""),
        ("token show", "e30.e30.x\n", 0, "decoded, not verified", ""),
        ("token show e30.e30.x --format json", "", 0, r#"{"verified":false,"header":{},"claims":{},"times":{}}"#, ""),
        ("token show x", "", 2, "", "error: the header is not base64url of JSON"),
        ("token issue --key - --issuer i", "{}", 2, "", "error: not a private JWK"),
        ("completions bash", "", 0, "_claimgate()", ""),
        ("completions zsh", "", 0, "#compdef claimgate", ""),
        ("completions fish", "", 0, "complete -c claimgate", ""),
        ("completions powershell", "", 0, "claimgate", ""),
        ("completions elvish", "", 0, "claimgate", ""),
        ("schema", "", 0, "\"title\": \"Configuration of Claimgate\"", ""),
        ("schema --markdown", "", 0, "## `issuers.NAME.keys[].remote`", ""),
        ("schema --markdown --format json", "", 0, r#"{"markdown":"<!-- Made by"#, ""),
        ("schema --format json", "", 0, "\"title\":\"Configuration of Claimgate\"", ""),
        ("--help", "", 0, "Exit status: 0 done, 1 done and something was found, 2 refused", ""),
        ("check --help", "", 0, "Exit status: 0 fine, 1 warnings under `--strict`, 2 refused.", ""),
        ("--version --format json", "", 0, "claimgate ", ""),
        ("version", "", 0, concat!("claimgate ", env!("CARGO_PKG_VERSION"), "\n"), ""),
        ("version --format json", "", 0, concat!("{\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}"), ""),
        ("version Cargo.toml", "", 2, "", "error: `Cargo.toml`: no WebAssembly module"),
        ("version none.wasm", "", 2, "", "error: `none.wasm`: "),
        ("keys push a --from b --overlap 300000000000y", "", 2, "", "more than ten years"),
        ("keys push a --from b --timeout 300000000000y", "", 2, "", "at most 1h"),
        ("issuer https://a --timeout 0s", "", 2, "", "more than 0s"),
        ("chek", "", 2, "", "unrecognized subcommand 'chek'"),
        ("chek --format json", "", 2, "", r#"{"severity":"error","message":"unrecognized subcommand 'chek'"}"#),
        ("check --format=json", "", 2, "", r#"{"severity":"error","message":"the following required arguments"#),
    ]);
}

#[test]
fn findings_name_the_line() {
    let path = std::env::temp_dir().join(format!("claimgate-cli-{}.yaml", std::process::id()));
    std::fs::write(&path, with("mode: none\n")).unwrap();
    let path = path.to_str().unwrap();
    let said = format!("error: {path}:5:7: mode: unknown word");
    check(&[
        (&format!("check {path}"), "", 2, "", &said),
        (&format!("routes {path}"), "", 2, "", &said),
        (&format!("check {path} --format json"), "", 2, "[", r#""line":5,"column":7}"#),
    ]);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn keys_and_tokens_go_together() {
    let folder = std::env::temp_dir().join(format!("claimgate-cli-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let key = folder.join("key.jwk");
    let key = key.to_str().unwrap();
    let new = format!("keys new --alg ES256 --kid k --out {key}");
    let issue = format!("token issue --key {key} --issuer i --format json");
    let show = |token: &str| format!("token show {token} --format json");
    check(&[
        (&format!("{new} --format json"), "", 0, r#""kid":"k""#, ""),
        (&new, "", 2, "", "File exists"),
        (&format!("keys jwks {key}"), "", 0, r#"{"keys":[{"#, ""),
        (&issue, "", 0, r#"{"token":"ey"#, ""),
    ]);
    let issued = run(&issue, "");
    let issued: serde_json::Value = serde_json::from_slice(&issued.stdout).unwrap();
    let token = issued.get("token").and_then(serde_json::Value::as_str).unwrap();
    check(&[(&show(token), "", 0, r#""iss":"i""#, "")]);
    std::fs::remove_dir_all(folder).unwrap();
}

#[cfg(unix)]
#[test]
fn an_argument_need_not_be_utf_8() {
    use std::os::unix::ffi::OsStrExt as _;
    let odd = std::ffi::OsStr::from_bytes(b"n\xff.yaml");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_claimgate"));
    let status = command.arg("check").arg(odd).output().unwrap().status;
    assert_eq!(status.code(), Some(2));
}
