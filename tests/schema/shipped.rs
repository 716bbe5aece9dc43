//! Every configuration that the project shows anywhere: files, what Envoy's files hold, the blocks of documents.

use crate::{root, validator};
use claimgate::config::error::Place;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(path.to_str().unwrap(), end));
        } else if path.extension().is_some_and(|own| own == end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The configurations in a value: itself, or those that Envoy hands to a plugin, as YAML or as JSON text.
fn configurations(value: &Value, place: &Place, found: &mut Vec<(Place, Value)>) {
    match value {
        Value::Object(members)
            if members.contains_key("routes")
                && !members.contains_key("domains")
                // A limit names its routes.
                && !members.contains_key("by") =>
        {
            found.push((place.clone(), value.clone()));
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, of)| configurations(of, &place.key(name), found));
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(index, of)| configurations(of, &place.index(index), found));
        }
        Value::String(text) if text.trim_start().starts_with('{') => {
            if let Ok(inner) = serde_json::from_str(text) {
                configurations(&inner, place, found);
            }
        }
        _ => {}
    }
}

/// Validates what a text holds; how many configurations that was.
fn check(path: &Path, text: &str) -> usize {
    let mut found = Vec::new();
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_default();
    for document in &documents {
        configurations(document, &Place::default(), &mut found);
    }
    for (place, configuration) in &found {
        let errors = validator().errors(configuration);
        assert!(errors.is_empty(), "{}: {place}: {errors:#?}\n{text}", path.display());
    }
    found.len()
}

/// The blocks of YAML of a document, but for those that leave something out.
fn blocks(document: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = document.lines();
    while lines.by_ref().any(|line| line == "```yaml") {
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        found.push(block.join("\n"));
    }
    found.retain(|block| !block.contains("..."));
    found
}

#[test]
fn every_file_is_valid() {
    for (folder, least) in
        [("envoy", 3), ("examples", 2), ("docs/policies", 14), ("tests/policies", 1)]
    {
        let found: usize = files(folder, "yaml")
            .iter()
            .filter(|path| !path.to_str().unwrap().ends_with(".test.yaml"))
            .map(|path| check(path, &std::fs::read_to_string(path).unwrap()))
            .sum();
        assert!(found >= least, "only {found} configurations in {folder}");
    }
}

#[test]
fn every_block_of_a_document_is_valid() {
    let documents = [PathBuf::from("README.md")].into_iter();
    let documents = documents.chain(files("docs", "md")).chain(files("examples", "md"));
    let mut found = 0;
    for path in documents {
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        found += blocks(&text).iter().map(|block| check(&path, block)).sum::<usize>();
    }
    assert!(found > 30, "only {found} configurations");
}

/// A file that holds a configuration alone says to editors where the schema is.
#[test]
fn bare_configurations_name_the_schema() {
    const MODELINE: &str = "# yaml-language-server: $schema=";
    let schema = root().join("docs/claimgate.schema.json").canonicalize().unwrap();
    let mut count = 0;
    for path in
        ["examples", "docs/policies", "tests/policies"].iter().flat_map(|of| files(of, "yaml"))
    {
        let text = std::fs::read_to_string(&path).unwrap();
        let top: Value = serde_saphyr::from_str(&text).unwrap_or_default();
        if top.get("routes").is_none() {
            continue;
        }
        let named = text.lines().find_map(|line| line.strip_prefix(MODELINE));
        let named = named.unwrap_or_else(|| panic!("{}: no `{MODELINE}...`", path.display()));
        let there = path.parent().unwrap().join(named).canonicalize();
        assert_eq!(there.ok().as_ref(), Some(&schema), "{}: {named}", path.display());
        count += 1;
    }
    assert!(count > 14, "only {count} files");
}
