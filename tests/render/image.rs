//! The image of `examples/oci`: one layer with one file, which is the filter. Built where a Docker engine answers.

use super::harness::{folder, root};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

fn text(output: Output) -> String {
    String::from_utf8(output.stdout).unwrap()
}

/// An image that is removed in the end.
struct Image(String);

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rmi", "--force", &self.0]).output();
    }
}

#[test]
fn the_image_holds_the_filter_and_nothing_else() {
    let answers = Command::new("docker").args(["info", "--format", "{{.ServerVersion}}"]).output();
    if !answers
        .is_ok_and(|output| output.status.success() && !output.stdout.trim_ascii().is_empty())
    {
        use std::io::Write as _;
        let told =
            "\nNOT RUN: the image of examples/oci, since no Docker engine answers `docker info`\n";
        std::io::stderr().write_all(told.as_bytes()).unwrap();
        return;
    }
    let folder = folder("image");
    let filter = std::env::var_os("CLAIMGATE_WASM")
        .map_or_else(|| root().join("dist/claimgate.wasm"), PathBuf::from);
    let bytes = std::fs::read(&filter)
        .unwrap_or_else(|error| panic!("{}: {error}; run `make build`", filter.display()));
    // A folder as dist/ is, with something in it that does not belong into the image.
    let dist = folder.join("dist");
    std::fs::create_dir(&dist).unwrap();
    std::fs::write(dist.join("claimgate.wasm"), &bytes).unwrap();
    std::fs::write(dist.join("claimgate"), "not for the image").unwrap();
    let image = Image(format!("claimgate-test:{}", std::process::id()));
    run(Command::new("docker")
        .args(["build", "--tag", &image.0, "--file"])
        .arg(root().join("examples/oci/Dockerfile"))
        .arg(&dist));

    // The layers themselves.
    let saved = folder.join("image.tar");
    run(Command::new("docker").arg("save").arg("--output").arg(&saved).arg(&image.0));
    unpack(&saved, &folder.join("image"));
    let manifest = std::fs::read_to_string(folder.join("image/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let layers = manifest[0]["Layers"].as_array().unwrap();
    let [layer] = layers.as_slice() else { panic!("layers: {layers:?}") };
    let layer = folder.join("image").join(layer.as_str().unwrap());
    assert_eq!(text(run(Command::new("tar").arg("-tf").arg(&layer))), "plugin.wasm\n");
    unpack(&layer, &folder.join("layer"));
    assert!(std::fs::read(folder.join("layer/plugin.wasm")).unwrap() == bytes, "another filter");

    // What a container of it would see.
    let container = text(run(Command::new("docker").args(["create", &image.0, "nothing"])));
    let exported = folder.join("container.tar");
    let export = run_export(container.trim(), &exported);
    run(Command::new("docker").args(["rm", container.trim()]));
    assert!(export, "cannot export");
    unpack(&exported, &folder.join("container"));
    assert!(
        std::fs::read(folder.join("container/plugin.wasm")).unwrap() == bytes,
        "another filter"
    );
}

fn run_export(container: &str, to: &Path) -> bool {
    let status =
        Command::new("docker").arg("export").arg("--output").arg(to).arg(container).status();
    status.is_ok_and(|status| status.success())
}

fn unpack(archive: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    // Without the devices that a container has and a test may not make.
    run(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(to).arg("--exclude=dev"));
}
