//! What docs/keys.md and the manifests for Kubernetes say, run: with `claimgate` as it is built, a provider on this machine in
//! place of the one that is named, and a cluster of one object.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::fixture::{Ran, claimgate, filter, key, kids};
use crate::provider::Provider;

const NAMED: &str = "https://idp.example.com";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder with `claimgate` and other programs in it, which come first on the path.
fn folder(name: &str, programs: &[(&str, &str)]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("push").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_claimgate"), folder.join("bin/claimgate")).unwrap();
    for (name, script) in programs {
        let file = folder.join("bin").join(name);
        std::fs::write(&file, script).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    }
    folder
}

fn shell(folder: &Path, arguments: &[&str]) -> Ran {
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    for name in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    let output = command.args(arguments).env("PATH", path).current_dir(folder).output();
    output.unwrap().into()
}

/// A provider with a discovery document and a key.
fn provider() -> Provider {
    let provider = Provider::start();
    provider.publishes(&[&key("idp-1")]);
    let discovery = json!({"issuer": provider.at(""), "jwks_uri": provider.jwks()});
    provider.says("/.well-known/openid-configuration", discovery.to_string());
    provider
}

#[test]
fn the_guide_does_what_it_says() {
    let guide = std::fs::read_to_string(root().join("docs/keys.md")).unwrap();
    let provider = provider();
    let folder = folder("guide", &[]);
    symlink(root().join("envoy"), folder.join("envoy")).unwrap();
    // (language, the lines without the indentation of a list)
    let mut blocks: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.trim().strip_prefix("```") {
            blocks.push((
                language,
                lines.by_ref().map(str::trim).take_while(|line| *line != "```").collect(),
            ));
        }
    }
    let mut script = String::from("set -e\n");
    for (index, (_, lines)) in
        blocks.iter().enumerate().filter(|(_, (language, _))| *language == "sh")
    {
        script += &format!("{}\necho '<<<{index}>>>'\n", lines.join("\n"));
    }
    let ran = shell(&folder, &["-c", &script.replace(NAMED, &provider.at(""))]).ok();
    let said = ran.out.replace(&provider.at(""), NAMED);
    let mut rest = said.as_str();
    let mut shown = 0;
    for (index, (language, _)) in
        blocks.iter().enumerate().filter(|(_, (language, _))| *language == "sh")
    {
        let (own, after) = rest
            .split_once(&format!("<<<{index}>>>\n"))
            .unwrap_or_else(|| panic!("{language} {index}: {said}"));
        rest = after;
        if let Some(("text", lines)) = blocks.get(index + 1) {
            for line in lines {
                assert!(own.contains(line), "`{line}` did not come out of block {index}:\n{own}");
                shown += 1;
            }
        }
    }
    assert!(shown > 10, "{shown} lines");
}

/// The containers of the workloads in a manifest, and all its documents.
fn manifest(name: &str) -> (String, Vec<Value>, Vec<Value>) {
    let text = std::fs::read_to_string(root().join("examples/kubernetes").join(name)).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let mut containers = Vec::new();
    for document in &documents {
        let templates = ["/spec/jobTemplate/spec/template/spec", "/spec/template/spec"];
        for pod in templates.iter().filter_map(|path| document.pointer(path)) {
            for list in ["initContainers", "containers"] {
                containers.extend(pod[list].as_array().into_iter().flatten().cloned());
            }
        }
    }
    (text, documents, containers)
}

#[test]
fn the_manifests_confine_what_they_run() {
    for name in ["cronjob.yml", "sidecar.yml"] {
        let (text, _, containers) = manifest(name);
        assert!(text.contains("runAsNonRoot: true") && !containers.is_empty(), "{name}");
        for container in containers {
            let context = &container["securityContext"];
            assert_eq!(context["readOnlyRootFilesystem"], true, "{name}: {container}");
            assert_eq!(context["allowPrivilegeEscalation"], false, "{name}: {container}");
            assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{name}: {container}");
        }
    }
    let (_, documents, _) = manifest("cronjob.yml");
    let role = documents.iter().find(|document| document["kind"] == "Role").unwrap();
    assert_eq!(
        role["rules"],
        json!([{"apiGroups": ["extensions.istio.io"], "resources": ["wasmplugins"], "resourceNames": ["claimgate"], "verbs": ["get", "update"]}])
    );
}

/// The text of a script in a manifest, with a folder and a provider of the test's.
fn here(script: &Value, folder: &Path, provider: &Provider, mounts: &[&str]) -> String {
    let text = script.as_str().unwrap().replace(NAMED, &provider.at(""));
    mounts
        .iter()
        .fold(text, |text, mount| text.replace(mount, &format!("{}{mount}", folder.display())))
}

#[test]
fn the_cron_job_pushes_into_the_object() {
    let (_, _, containers) = manifest("cronjob.yml");
    let kubectl = "#!/bin/sh\ncase \"$*\" in\n'get wasmplugin claimgate -o yaml') cat object.yaml ;;\n'replace -f '*) cp \"$3\" object.yaml; echo replaced ;;\n\
                   *) echo \"unknown: $*\" >&2; exit 1 ;;\nesac\n";
    let folder = folder("cronjob", &[("kubectl", kubectl)]);
    std::fs::create_dir(folder.join("manifest")).unwrap();
    let object = json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
        "metadata": {"name": "claimgate", "resourceVersion": "17"},
        "spec": {"pluginName": "claimgate", "pluginConfig": filter(&[&key("old")])},
    });
    let object_file = folder.join("object.yaml");
    std::fs::write(&object_file, object.to_string()).unwrap();
    let provider = provider();
    let [container] = containers.as_slice() else { panic!("{containers:?}") };
    assert_eq!(container["command"], json!(["sh", "-ec"]));
    let script = here(&container["args"][0], &folder, &provider, &["/manifest"]);
    let ran = shell(&folder, &["-ec", &script]).ok();
    assert!(ran.out.contains("added    idp-1") && ran.out.contains("replaced"), "{}", ran.out);
    let object = std::fs::read_to_string(&object_file).unwrap();
    assert_eq!(kids(&object), ["old", "idp-1"]);
    assert!(object.contains("\"resourceVersion\":\"17\""));
    // Where the push is refused, nothing is replaced.
    provider.says("/jwks.json", "<html>");
    let ran = shell(&folder, &["-ec", &script]);
    assert_eq!((ran.status, ran.out.as_str()), (Some(2), ""));
    assert_eq!(std::fs::read_to_string(&object_file).unwrap(), object);
}

#[test]
fn the_sidecar_pushes_into_the_volume() {
    let (_, _, containers) = manifest("sidecar.yml");
    let folder = folder("sidecar", &[]);
    for mount in ["config", "live"] {
        std::fs::create_dir(folder.join(mount)).unwrap();
    }
    std::fs::copy(
        root().join("envoy/claimgate-filter.yaml"),
        folder.join("config/claimgate-filter.yaml"),
    )
    .unwrap();
    let live = folder.join("live/claimgate-filter.yaml");
    let there = || kids(&std::fs::read_to_string(&live).unwrap());
    let provider = provider();
    let [begin, keys, envoy] = containers.as_slice() else { panic!("{containers:?}") };
    let mounts = ["/config", "/live"];
    let script = here(&begin["args"][0], &folder, &provider, &mounts);
    // The pod starts where the provider is down, too.
    provider.says("/jwks.json", "<html>");
    shell(&folder, &["-ec", &script]).ok();
    assert_eq!(there(), ["example-1"]);
    provider.publishes(&[&key("idp-2")]);
    shell(&folder, &["-ec", &script]).ok();
    assert_eq!(there(), ["idp-2"]);

    assert_eq!((&keys["command"], &envoy["command"][0]), (&json!(["claimgate"]), &json!("envoy")));
    let arguments = keys["args"].as_array().unwrap();
    let mut arguments: Vec<String> =
        arguments.iter().map(|argument| here(argument, &folder, &provider, &mounts)).collect();
    // Once is enough here; that the rest is understood is the point.
    let every = arguments.iter().position(|argument| argument == "--every").unwrap();
    assert_eq!(arguments.drain(every..).collect::<Vec<_>>(), ["--every", "5m"]);
    provider.publishes(&[&key("idp-3")]);
    Ran::from(claimgate().args(&arguments).output().unwrap()).ok();
    assert_eq!(there(), ["idp-2", "idp-3"]);
}
