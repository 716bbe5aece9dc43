//! docs/policy-tests.md: its files are written, its commands run, and print what it shows.

use crate::command::{folder, told};
use std::process::Command;

/// The fenced blocks of a document that are in this language.
fn blocks<'d>(document: &'d str, language: &str) -> Vec<&'d str> {
    let open = format!("\n```{language}\n");
    document.split(&open).skip(1).map(|rest| rest.split_once("```\n").unwrap().0).collect()
}

/// The words of a shell's line, quotes taken away.
fn words(line: &str) -> Vec<&str> {
    let (mut words, mut rest) = (Vec::new(), line.trim());
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap(),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}

#[test]
fn the_document_shows_what_comes_out() {
    let document = std::fs::read_to_string("docs/policy-tests.md").unwrap();
    let files: Vec<(&str, &str)> = blocks(&document, "yaml")
        .into_iter()
        .map(|block| (block.strip_prefix("# ").unwrap().lines().next().unwrap(), block))
        .collect();
    assert_eq!(
        files.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["policy.yaml", "cases.yaml"]
    );
    let folder = folder("document", &files);
    let shown = blocks(&document, "console");
    assert_eq!(shown.len(), 3);
    for block in shown {
        let (line, want) = block.strip_prefix("$ claimgate ").unwrap().split_once('\n').unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_claimgate"))
            .args(words(line))
            .current_dir(&folder)
            .output()
            .unwrap();
        assert_eq!(told(&output).1, want, "{line}");
    }
}
