//! The manifests in `examples/`: each is what the command in its first line writes today, and holds what every rendered
//! one does.

use super::harness::{check, documents, render, root};
use super::schemas::Schemas;
use std::path::PathBuf;

/// The files of the examples of Istio and Envoy Gateway that say how they are made.
fn rendered() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["examples/istio", "examples/envoy-gateway"] {
        let files = root().join(folder).read_dir().unwrap().map(|entry| entry.unwrap().path());
        let yaml =
            files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        found.extend(
            yaml.filter(|path| path.file_name().is_some_and(|name| name != "claimgate.yaml")),
        );
    }
    found.sort();
    found
}

#[test]
fn the_manifests_of_the_examples_are_what_render_writes() {
    let files = rendered();
    let schemas = Schemas::find("the manifests of examples/");
    let mut kinds = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap_or_default();
        let Some(command) = first.strip_prefix("# Made by: claimgate render ") else {
            panic!("{}: its first line names no command", path.display());
        };
        let fresh = render(command).done();
        let remedy = format!(
            "claimgate render {command} --out {}",
            path.strip_prefix(root()).unwrap().display()
        );
        assert!(fresh == text, "{} is not what render writes: run `{remedy}`", path.display());
        let checked = check(&path);
        assert_eq!((checked.status, checked.err.as_str()), (0, ""), "{}", path.display());
        for document in documents(&text) {
            let held = schemas.as_ref().is_none_or(|schemas| schemas.hold(&document));
            let kind = document["kind"].as_str().unwrap().to_owned();
            assert!(held || ["ServiceEntry", "DestinationRule"].contains(&kind.as_str()), "{kind}");
            kinds.push(kind);
        }
    }
    kinds.sort();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "DestinationRule",
            "EnvoyExtensionPolicy",
            "ServiceEntry",
            "TrafficExtension",
            "WasmPlugin"
        ]
    );
}
