//! Bootstraps of Envoy: a real one takes them, with the filter loaded, and `check` has nothing to say of them.

use super::harness::{check, documents, everything, file, folder, render, root};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// Where an Envoy and the filter are, as `make test` says.
fn product(variable: &str, default: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| root().join(default).to_str().unwrap().to_owned())
}

/// What a real Envoy says of a bootstrap; it loads the filter and its configuration for that.
fn validate(bootstrap: &Path) -> (bool, String) {
    let envoy = product("ENVOY", ".envoy/bin/envoy");
    let mut words = envoy.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--mode", "validate", "-c"]).arg(bootstrap);
    let key = super::harness::claimgate().args(["keys", "new", "--alg", "EdDSA"]).output().unwrap();
    command.env("AUDIT_SIGN_KEY", String::from_utf8(key.stdout).unwrap());
    command.env("JOBS_SECRET", "cW1GZ0E3ZGhUeTBYcDJMdkJ3Um5Lc1V6Q2k5ZUpvNFY=");
    command.env("AUDIT_HASH_KEY", "cW1GZ0E3ZGhUeTBYcDJMdkJ3Um5Lc1V6Q2k5ZUpvNFY=");
    let output =
        command.output().unwrap_or_else(|error| panic!("{envoy}: {error}; `make test` gets one"));
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn options(more: &str) -> String {
    let wasm = product("CLAIMGATE_WASM", "dist/claimgate.wasm");
    let ca = ca();
    format!("envoy --upstream 127.0.0.1:9000 --wasm {wasm} --ca {ca} {more}")
}

/// A certificate that Envoy takes for an authority's: this machine may have none.
fn ca() -> String {
    root().join("tests/render/ca.pem").to_str().unwrap().to_owned()
}

#[test]
fn envoy_takes_every_bootstrap() {
    let folder = folder("bootstraps");
    let mut fractions = everything();
    fractions["audit"]["allowed"] = json!(0.25);
    fractions["conditions"]["senior"] = json!({"claim": "level", "equals": 2.5});
    let mut large = everything();
    large["conditions"]["senior"] = json!({"claim": "level", "equals": u64::MAX});
    // Beyond 32 bits Envoy makes text of an integer in YAML.
    let small = |n: i64| {
        let mut configuration = everything();
        configuration["conditions"]["senior"] = json!({"claim": "level", "at_least": n});
        configuration
    };
    let mut named = small(i32::MIN.into());
    named["name"] = json!("claimgate");
    let cases = [
        (
            "plain",
            small(i32::MAX.into()),
            "--listen 127.0.0.1:0 --admin 127.0.0.1:0",
            "Struct",
            "claimgate-all_of-it",
        ),
        ("wide", small(i64::from(i32::MAX) + 1), "", "StringValue", "claimgate-all_of-it"),
        ("fractions", fractions, "", "StringValue", "claimgate-all_of-it"),
        ("large", large, "--trusted-hops 2", "StringValue", "claimgate-all_of-it"),
        ("named", named, "--listen [::1]:0", "Struct", "claimgate"),
    ];
    for (name, configuration, more, form, vm_id) in cases {
        let source = file(&folder, &format!("{name}.json"), &configuration.to_string());
        let text = render(&format!("{} {source}", options(more))).done();
        let path = file(&folder, &format!("{name}.yaml"), &text);
        let checked = check(path.as_ref());
        assert_eq!((checked.status, checked.err.as_str()), (0, ""), "{text}");
        let (takes, log) = validate(path.as_ref());
        assert!(takes && log.contains("loaded in "), "{log}\n{text}");
        let documents = documents(&text);
        let plugin = plugin(&documents[0]);
        assert_eq!(
            plugin["configuration"]["@type"],
            format!("type.googleapis.com/google.protobuf.{form}")
        );
        assert_eq!(plugin["vm_config"]["vm_id"], vm_id);
        assert_eq!(
            plugin["vm_config"]["environment_variables"],
            json!({"host_env_keys": ["AUDIT_HASH_KEY", "AUDIT_SIGN_KEY", "JOBS_SECRET"]})
        );
        let value = &plugin["configuration"]["value"];
        let handed = match value.as_str() {
            Some(text) => serde_json::from_str(text).unwrap(),
            None => value.clone(),
        };
        let mut want = configuration;
        want.as_object_mut().unwrap().remove("x-anchors");
        assert_eq!(handed, want);
    }
}

#[test]
fn clusters_take_no_certificate_but_their_hosts() {
    let folder = folder("clusters");
    let source = file(&folder, "source.json", &everything().to_string());
    let text = render(
        &format!("{} {source} --upstream https://orders.example.com", options("")).replacen(
            "--upstream 127.0.0.1:9000",
            "",
            1,
        ),
    )
    .done();
    let bootstrap = &documents(&text)[0];
    let clusters = bootstrap["static_resources"]["clusters"].as_array().unwrap();
    let got: Vec<Value> = clusters
        .iter()
        .map(|cluster| {
            let tls = &cluster["transport_socket"]["typed_config"];
            let context = &tls["common_tls_context"]["validation_context"];
            assert_eq!(context["trusted_ca"]["filename"], ca());
            let socket = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
                ["address"]["socket_address"];
            json!([
                cluster["name"],
                socket["address"],
                socket["port_value"],
                tls["sni"],
                context["match_typed_subject_alt_names"]
            ])
        })
        .collect();
    let row = |name: &str, host: &str, port: u16| json!([name, host, port, host, [{"san_type": "DNS", "matcher": {"exact": host}}]]);
    assert_eq!(
        got,
        [
            row("upstream", "orders.example.com", 443),
            row("idp", "idp.example.com", 443),
            row("partner", "login.partner.example", 8443),
        ]
    );
    let manager = &bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
        ["typed_config"];
    assert_eq!(manager["use_remote_address"], true);
    assert_eq!(manager["upgrade_configs"], json!([{"upgrade_type": "websocket"}]));
    assert_eq!(manager["http_filters"].as_array().unwrap().len(), 2);
    let own: Value =
        documents(&std::fs::read_to_string(root().join("envoy/envoy.yaml")).unwrap()).remove(0);
    assert_eq!(bootstrap["stats_config"], own["stats_config"]);
    let log = |bootstrap: &Value| {
        bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["access_log"].clone()
    };
    assert_eq!(log(bootstrap), log(&own));
}

#[test]
fn a_pushed_configuration_stands_in_a_file_of_its_own() {
    let folder = folder("pushed");
    let source = file(&folder, "source.json", &everything().to_string());
    let out = folder.join("deploy");
    let pushed = out.join("filter.yaml");
    let run = render(&format!(
        "{} {source} --pushed {} --out {}",
        options(""),
        pushed.display(),
        out.display()
    ));
    assert_eq!(run.done(), "");
    let bootstrap = out.join("envoy.yaml");
    let checked = check(&bootstrap);
    assert_eq!((checked.status, checked.err.as_str()), (0, ""));
    assert!(checked.out.contains("filter.yaml: resources[0]"), "{}", checked.out);
    let (takes, log) = validate(&bootstrap);
    assert!(takes, "{log}");
    let text = std::fs::read_to_string(&bootstrap).unwrap();
    let document = &documents(&text)[0];
    assert_eq!(document["node"], json!({"id": "all_of-it", "cluster": "all_of-it"}));
    let filter = &document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        ["http_filters"][0];
    assert_eq!(
        filter["config_discovery"]["config_source"]["path_config_source"],
        json!({
            "path": pushed, "watched_directory": {"path": out},
        })
    );
    assert!(!text.contains("idp.example.com/keys"), "the configuration is in the bootstrap too");
    let mut left: Vec<String> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["envoy.yaml", "filter.yaml"]);
}

#[test]
fn a_rendered_manifest_is_a_source_too() {
    let folder = folder("again");
    let source = file(&folder, "source.json", &everything().to_string());
    let envoy = render(&format!("{} {source}", options(""))).done();
    let istio = render(&format!("istio --gateway g {} {source}", super::harness::pinned())).done();
    let from_envoy = file(&folder, "envoy.yaml", &envoy);
    let from_istio = file(&folder, "istio.yaml", &istio);
    let parts = |text: &str| documents(text);
    let again =
        render(&format!("istio --gateway g {} {from_envoy}", super::harness::pinned())).done();
    assert_eq!(parts(&again), parts(&istio));
    let again =
        render(&format!("istio --gateway g {} {from_istio}", super::harness::pinned())).done();
    assert_eq!(parts(&again), parts(&istio));
}

fn plugin(bootstrap: &Value) -> &Value {
    &bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        ["http_filters"][0]["typed_config"]["config"]
}
