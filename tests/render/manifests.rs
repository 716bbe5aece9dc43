//! Manifests of Istio and Envoy Gateway: their schemas take them, `check` has nothing to say of them, and they hold what
//! the rules of their definitions ask.

use super::harness::{
    check, documents, everything, file, folder, pinned, render, without_fetching,
};
use super::schemas::Schemas;
use serde_json::{Value, json};

/// Each way to ask for a manifest: the options, and whether the keys are fetched.
fn all() -> Vec<(String, Value)> {
    let istio = |rest: &str| format!("istio {} {rest}", pinned());
    let gateway = |rest: &str| format!("envoy-gateway {} {rest}", pinned());
    let fetching = [
        istio("--gateway public"),
        istio("--gateway public --namespace ingress --api trafficextension"),
        istio(
            "--gateway-selector istio=ingressgateway --namespace istio-ingress --priority 10 --pull-secret pull",
        ),
        istio("--selector app=orders,version=v1 --namespace shop"),
        istio("--selector app=orders --api trafficextension --priority -1"),
        format!(
            "istio --gateway g --wasm https://example.com/claimgate.wasm --sha256 {}",
            super::harness::DIGEST
        ),
        format!(
            "istio --gateway g --wasm oci://r.example.com:5000/c@sha256:{}",
            super::harness::DIGEST
        ),
        "istio --selector app=a --wasm file:///opt/claimgate.wasm".to_owned(),
        gateway(
            "--gateway eg --cluster idp=httproute/keys/idp/rule/0 --cluster partner=httproute/keys/partner/rule/0",
        ),
    ];
    let given = [
        gateway("--gateway eg --namespace envoy --pull-secret pull"),
        gateway("--http-route orders"),
        format!(
            "envoy-gateway --gateway eg --wasm https://example.com/claimgate.wasm --sha256 {}",
            super::harness::DIGEST
        ),
    ];
    let fetching = fetching.into_iter().map(|options| (options, everything()));
    fetching.chain(given.into_iter().map(|options| (options, without_fetching()))).collect()
}

#[test]
fn every_manifest_is_what_its_host_takes() {
    let schemas = Schemas::find("rendered manifests");
    let folder = folder("manifests");
    for (index, (options, configuration)) in all().into_iter().enumerate() {
        let source = file(&folder, &format!("source-{index}.json"), &configuration.to_string());
        let text = render(&format!("{options} {source}")).done();
        assert_eq!(
            text,
            render(&format!("{options} {source}")).done(),
            "another run writes another text"
        );
        let documents = documents(&text);
        let extension = &documents[0];
        if let Some(schemas) = &schemas {
            assert!(schemas.hold(extension), "no schema for {}", extension["kind"]);
        }
        rules(extension);
        let rendered = file(&folder, &format!("manifest-{index}.yaml"), &text);
        let checked = check(rendered.as_ref());
        assert_eq!((checked.status, checked.err.as_str()), (0, ""), "{options}\n{text}");
        beside(&documents, &configuration);
    }
}

/// The CEL rules of the definitions, each held here in Rust.
fn rules(extension: &Value) {
    let spec = &extension["spec"];
    let has = |value: &Value, name: &str| value.get(name).is_some();
    let istio = |wasm: &Value| {
        // WasmPlugin, TrafficExtension: "only one of targetRefs or selector can be set".
        let targets =
            ["selector", "targetRef", "targetRefs"].iter().filter(|name| has(spec, name)).count();
        assert_eq!(targets, 1);
        // "wildcard not allowed in label value match", "... key match", "key must not be empty".
        for (name, value) in spec["selector"]["matchLabels"].as_object().into_iter().flatten() {
            assert!(
                !name.is_empty() && !name.contains('*') && !value.as_str().unwrap().contains('*')
            );
        }
        // "cross namespace referencing is not currently supported".
        assert!(
            spec["targetRefs"]
                .as_array()
                .into_iter()
                .flatten()
                .all(|target| !has(target, "namespace"))
        );
        // "url must have schema one of [http, https, file, oci]".
        let (scheme, _) = wasm["url"].as_str().unwrap().split_once("://").unwrap();
        assert!(["http", "https", "file", "oci"].contains(&scheme));
        // "value may only be set when valueFrom is INLINE".
        let env = wasm["vmConfig"]["env"].as_array().unwrap();
        assert!(
            env.iter().all(|variable| variable["valueFrom"] == "HOST" && !has(variable, "value"))
        );
        let mut names: Vec<&str> =
            env.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
        names.dedup();
        assert_eq!(names, ["AUDIT_HASH_KEY", "AUDIT_SIGN_KEY", "JOBS_SECRET"]);
        assert_eq!(spec["phase"], "AUTHN");
        // A gateway's requests are no SERVER's to Istio, and a sidecar's own are no business of the filter's.
        let selector =
            has(spec, "selector") && spec["selector"]["matchLabels"].get("istio").is_none();
        assert_eq!(spec.get("match"), selector.then(|| json!([{"mode": "SERVER"}])).as_ref());
    };
    match extension["kind"].as_str().unwrap() {
        "WasmPlugin" => {
            istio(spec);
            assert_eq!(spec["failStrategy"], "FAIL_CLOSE");
        }
        "TrafficExtension" => {
            // "exactly one of wasm or lua must be set".
            assert!(has(spec, "wasm") && !has(spec, "lua"));
            istio(&spec["wasm"]);
            assert_eq!(spec["wasm"]["failStrategy"], "FAIL_RELOAD");
        }
        "EnvoyExtensionPolicy" => {
            // "either targetRef or targetRefs must be used".
            assert!(!has(spec, "targetRef") && !has(spec, "targetSelectors"));
            // "this policy can only have a targetRefs[*].group of ...", "... kind of ...".
            for target in spec["targetRefs"].as_array().unwrap() {
                assert_eq!(target["group"], "gateway.networking.k8s.io");
                assert!(["Gateway", "HTTPRoute"].contains(&target["kind"].as_str().unwrap()));
            }
            // "Replace is not a valid MergeType", "mergeType can only be used with xRoute targets".
            assert!(!has(spec, "mergeType"));
            let wasm = &spec["wasm"][0];
            // "If type is HTTP, http field needs to be set", "If type is Image, image ...".
            let code = &wasm["code"];
            assert_eq!(
                (code["type"] == "HTTP", code["type"] == "Image"),
                (has(code, "http"), has(code, "image"))
            );
            // "only support Secret kind".
            if let Some(secret) = code["image"].get("pullSecretRef") {
                assert_eq!(secret["kind"], "Secret");
            }
            assert_eq!(wasm["failOpen"], false);
            assert_eq!(
                wasm["env"]["hostKeys"],
                json!(["AUDIT_HASH_KEY", "AUDIT_SIGN_KEY", "JOBS_SECRET"])
            );
        }
        kind => panic!("{kind}"),
    }
}

/// What stands beside an extension of Istio's: a way with TLS to each host that is asked.
fn beside(documents: &[Value], configuration: &Value) {
    let istio = documents[0]["apiVersion"].as_str().unwrap().contains("istio.io");
    let kinds: Vec<&str> = documents[1..].iter().map(|one| one["kind"].as_str().unwrap()).collect();
    if !istio {
        assert!(kinds.is_empty());
        return;
    }
    assert_eq!(kinds, ["ServiceEntry", "DestinationRule", "ServiceEntry", "DestinationRule"]);
    let wasm = documents[0]["spec"].get("wasm").unwrap_or(&documents[0]["spec"]);
    let cluster =
        |issuer: &str| &wasm["pluginConfig"]["issuers"][issuer]["keys"][0]["remote"]["cluster"];
    assert_eq!(cluster("corp"), "outbound|443|claimgate|idp.example.com");
    assert_eq!(cluster("partner"), "outbound|8443|claimgate|login.partner.example");
    // Nothing else differs, but for what only carries anchors.
    let mut want = configuration.clone();
    want.as_object_mut().unwrap().remove("x-anchors");
    for issuer in ["corp", "partner"] {
        want["issuers"][issuer]["keys"][0]["remote"]["cluster"] = cluster(issuer).clone();
    }
    assert_eq!(wasm["pluginConfig"], want);
    for (pair, (host, port)) in
        documents[1..].chunks(2).zip([("idp.example.com", 443), ("login.partner.example", 8443)])
    {
        let [entry, rule] = pair else { panic!() };
        assert_eq!(entry["metadata"], rule["metadata"]);
        assert_eq!(entry["metadata"].get("namespace"), documents[0]["metadata"].get("namespace"));
        let name = format!("https-{port}");
        assert_eq!(
            entry["spec"],
            json!({
                "hosts": [host], "location": "MESH_EXTERNAL", "resolution": "DNS", "exportTo": ["."],
                "ports": [{"number": port, "name": name, "protocol": "HTTPS"}],
            })
        );
        // The subset alone has TLS: what others send to the host is their own affair.
        let tls = json!({
            "mode": "SIMPLE", "sni": host, "subjectAltNames": [host],
            "caCertificates": "/etc/ssl/certs/ca-certificates.crt",
        });
        assert_eq!(
            rule["spec"],
            json!({
                "host": host, "exportTo": ["."],
                "subsets": [{"name": "claimgate", "trafficPolicy": {"tls": tls}}],
            })
        );
    }
}
