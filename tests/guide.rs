//! The policy guide, `docs/policies.md`: every policy of it loads, its cases hold and try all of it, and what the guide
//! shows stands in them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Policies of which `check` warns, with a part of the warning, and why it is meant to.
const WARNED: [(&str, &str, &str); 2] = [
    (
        "limits.yaml",
        "use_remote_address",
        "that setting is Envoy's, and the file holds the filter's alone",
    ),
    ("office.yaml", "use_remote_address", "the same"),
];

/// There is nothing to hold where the files are not found.
const AT_LEAST: usize = 14;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The policies, without their cases, sorted.
fn policies() -> Vec<PathBuf> {
    let files = root().join("docs/policies").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut policies: Vec<PathBuf> =
        files.filter(|path| !path.to_str().unwrap().ends_with(".test.yaml")).collect();
    policies.sort();
    policies
}

fn claimgate(arguments: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_claimgate"))
        .args(arguments)
        .arg(file)
        .current_dir(root())
        .output()
        .unwrap()
}

fn shown(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The lines without the indentation that all of them have, and without spaces at their ends.
fn flush(lines: &[&str]) -> Vec<String> {
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let common = lines.iter().filter(|line| !line.trim().is_empty()).map(indent).min().unwrap_or(0);
    lines.iter().map(|line| line.get(common..).unwrap_or("").trim_end().to_owned()).collect()
}

/// The lines of each block of YAML in a document.
fn blocks(document: &str) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    let mut lines = document.lines();
    while lines.by_ref().any(|line| line.trim() == "```yaml") {
        found.push(lines.by_ref().take_while(|line| line.trim() != "```").collect());
    }
    found
}

#[test]
fn policies_load_without_a_warning() {
    for policy in policies() {
        let output = claimgate(&["check", "--strict"], &policy);
        let said = shown(&output);
        let warned = WARNED.iter().find(|(name, ..)| policy.ends_with(name));
        let status = i32::from(warned.is_some());
        assert_eq!(output.status.code(), Some(status), "{said}");
        if let Some((_, warning, reason)) = warned {
            assert_eq!(said.matches("warning: ").count(), 1, "{said}");
            assert!(said.contains(warning), "wanted `{warning}`, because {reason}: {said}");
        }
    }
}

#[test]
fn cases_hold_and_try_all_of_a_policy() {
    let policies = policies();
    assert!(policies.len() >= AT_LEAST, "{policies:?}");
    for policy in policies {
        let cases = policy.with_extension("test.yaml");
        let own = format!("configuration: {}\n", policy.file_name().unwrap().to_str().unwrap());
        let text = std::fs::read_to_string(&cases).unwrap();
        assert!(text.starts_with(&own), "{} does not begin with `{own}`", cases.display());
        let output = claimgate(&["test", "--coverage", "--min-coverage", "100"], &cases);
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    }
}

#[test]
fn what_the_guide_shows_stands_in_a_policy() {
    let guide = std::fs::read_to_string(root().join("docs/policies.md")).unwrap();
    let policies: Vec<(PathBuf, String)> = policies()
        .into_iter()
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    let blocks = blocks(&guide);
    assert!(blocks.len() >= AT_LEAST, "{} blocks", blocks.len());
    for block in blocks {
        let wanted = flush(&block);
        let stands = policies.iter().any(|(_, text)| {
            let lines: Vec<&str> = text.lines().collect();
            lines.windows(wanted.len().max(1)).any(|window| flush(window) == wanted)
        });
        assert!(stands, "no policy has this:\n{}", block.join("\n"));
    }
    // None that the guide forgets.
    for (path, _) in policies {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(guide.contains(&format!("(policies/{name})")), "the guide does not link {name}");
    }
}
