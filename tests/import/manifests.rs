//! Istio's own test manifests, filled in as its tests do, and those of this folder.

use std::path::{Path, PathBuf};

/// A source: its name, a file, and whether it is whole enough to hold policies.
pub struct Manifest {
    pub name: String,
    pub file: PathBuf,
}

/// The folder of the third-party data, if it is there.
fn vectors() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors");
    let folder = std::env::var_os("CLAIMGATE_VECTORS").map_or_else(|| beside.into(), PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// Every manifest that is here.
pub fn all() -> Vec<Manifest> {
    let mut all = Vec::new();
    files(&super::harness::own("istio"), &mut all);
    let Some(folder) = vectors() else {
        use std::io::Write as _;
        let told = "\nNOT RUN: Istio's manifests in tests/import, which are not here; CLAIMGATE_VECTORS names \
                    their folder\n";
        std::io::stderr().write_all(told.as_bytes()).unwrap();
        return all;
    };
    let mut templates = Vec::new();
    for part in ["authz", "requestauthn"] {
        files(&folder.join("istio/policies_yaml").join(part), &mut templates);
    }
    assert!(templates.len() >= 39, "only {} of Istio's manifests", templates.len());
    let filled =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("import-{}", std::process::id()));
    std::fs::create_dir_all(&filled).unwrap();
    for template in templates {
        let text = fill(&std::fs::read_to_string(&template.file).unwrap());
        let file = filled.join(template.file.file_stem().unwrap());
        std::fs::write(&file, text).unwrap();
        all.push(Manifest { name: template.name, file });
    }
    all
}

fn files(folder: &Path, all: &mut Vec<Manifest>) {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    for file in found {
        all.push(Manifest { name: file.file_name().unwrap().to_string_lossy().into_owned(), file });
    }
}

/// Fills a template in: the service is `b`, `a` is allowed, `c` is denied.
fn fill(template: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (action, after) = after.split_once("}}").unwrap();
        let action = action.trim_matches(|c: char| c == '-' || c.is_whitespace());
        text.push_str(before);
        if action.starts_with("range") || action == "end" {
            // One service: the body stands for itself, on lines of its own.
            let line = text.rfind('\n').map_or(0, |at| at + 1);
            text.truncate(line);
            rest = after.strip_prefix('\n').unwrap_or(after);
            continue;
        }
        text.push_str(&value(action));
        rest = after;
    }
    text + rest
}

fn value(action: &str) -> String {
    let who = match action {
        action if action.contains("Allowed") => "a",
        action if action.contains("Denied") => "c",
        _ => "b",
    };
    if let Some((_, default)) = action.split_once("default ") {
        return default.trim_matches('"').replace(".SystemNamespace.Name", "istio-system");
    }
    if let Some((_, port)) = action.split_once("PortForName") {
        let port = port.trim_start().trim_matches(|c: char| !c.is_alphanumeric());
        let port = port.split(|c: char| !c.is_alphanumeric()).next().unwrap();
        return match port {
            "http" => "18080",
            "http2" => "18085",
            "grpc" => "17070",
            "tcp" => "19090",
            other => panic!("{other}"),
        }
        .to_owned();
    }
    let known = [
        ("JwksURI", "https://jwt.example.com/jwks".to_owned()),
        ("toJson", format!("[\"10.0.0.{}\"]", u32::from(who == "c") + 1)),
        ("SpiffeIdentity", format!("cluster.local/ns/ns-{who}/sa/{who}")),
        ("NamespacedName", format!("ns-{who}/{who}")),
        ("SystemNamespace", "istio-system".to_owned()),
        ("ClusterLocalFQDN", format!("{who}.ns-{who}.svc.cluster.local")),
        ("Namespace", format!("ns-{who}")),
        ("ServiceName", who.to_owned()),
        ("Provider", "ext-authz".to_owned()),
    ];
    let found = known.iter().find(|(part, _)| action.contains(part));
    // What is left is of a path template.
    found.map_or_else(|| format!("{{{{{action}}}}}"), |(_, value)| value.clone())
}
