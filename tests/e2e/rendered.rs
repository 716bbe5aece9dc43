//! Bootstraps that `claimgate render` wrote, serving: keys come over TLS from who has the right certificate only, and a
//! configuration that is rendered again is read under the running Envoy.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::bootstrap;
use crate::harness::envoy::{self, Envoy};
use crate::harness::keys::{Key, P256};
use crate::harness::{
    Echo, IdentityProvider, Proxy, Request, Setup, certificate, changed, claims, eventually,
    filter, upstream,
};

/// An identity provider behind TLS, whose certificate is for this name and stands in `ca`.
fn tls_provider(keys: &[&Key], name: &str, ca: &Path) -> Proxy {
    let provider = IdentityProvider::with_keys(keys);
    let own = Key::p256("server");
    let certificate = certificate::self_signed(&own, name, "https://idp.test", name);
    std::fs::write(ca, &certificate.pem).unwrap();
    let context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificates": [{
            "certificate_chain": {"inline_string": certificate.pem},
            "private_key": {"inline_string": own.private_pem},
        }]},
    });
    Proxy::start(Setup::new(Value::Null).unguarded().tls(context).upstream(provider.address))
}

fn configuration(provider: SocketAddr, header: &str) -> Value {
    let url = format!("https://localhost:{}/keys", provider.port());
    let routes = json!([
        {"name": "health", "paths": ["/healthz"], "token": "none"},
        {"name": "all", "paths": ["/**"]},
    ]);
    let keys = json!([{"remote": {"cluster": "idp", "url": url}}]);
    let patch = json!({
        "issuers": {"corp": {"keys": keys}},
        "identity": {"headers": {header: {"attribute": "subject"}}},
        // A fraction, which Envoy would make text of.
        "audit": {"allowed": 0.5},
    });
    changed(filter(routes), patch)
}

/// Renders a configuration into a folder, for an Envoy on free ports; options come last.
fn render(folder: &Path, configuration: &Value, upstream: SocketAddr, options: &[&Path]) {
    let source = folder.join("claimgate.json");
    std::fs::write(&source, configuration.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_claimgate"))
        .args(["render", "envoy"])
        .arg(&source)
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--upstream", &upstream.to_string()])
        .arg("--wasm")
        .arg(envoy::module("CLAIMGATE_WASM", "dist/claimgate.wasm"))
        .arg("--ca")
        .arg(folder.join("ca.pem"))
        .args(options)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// The same, with the filter in a file of its own.
fn render_pushed(folder: &Path, configuration: &Value, upstream: SocketAddr) {
    let file = folder.join("filter.yaml");
    let options = ["--pushed".as_ref(), file.as_path(), "--out".as_ref(), folder];
    render(folder, configuration, upstream, &options);
}

fn start(folder: &Path) -> Envoy {
    let text = std::fs::read_to_string(folder.join("envoy.yaml")).unwrap();
    let bootstrap: Value = serde_saphyr::from_str(&text).unwrap();
    Envoy::start(folder.to_owned(), &bootstrap, 1)
        .unwrap_or_else(|_| panic!("Envoy refused what was rendered"))
}

/// The status of a request, and the code of a refusal or what the upstream saw.
fn ask(envoy: &Envoy, request: &Request) -> (u16, Value) {
    let response = request.send(envoy.address).unwrap();
    (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
}

#[test]
fn a_rendered_bootstrap_serves_and_is_pushed_to() {
    let folder = envoy::new_folder();
    let key = Key::p256("k");
    let provider = tls_provider(&[&key], "localhost", &folder.join("ca.pem"));
    let upstream = upstream::start();
    let configuration = |header: &str| configuration(provider.envoy.address, header);
    render_pushed(&folder, &configuration("x-user-id"), upstream);
    let envoy = start(&folder);
    assert_eq!(ask(&envoy, &Request::get("/healthz")).0, 200);
    assert_eq!(ask(&envoy, &Request::get("/a")).1["code"], "token_missing");
    let stranger = Request::get("/a").bearer(claims().sign(&Key::p256("k")));
    assert_eq!(ask(&envoy, &stranger).1["code"], "signature_invalid");
    let request = Request::get("/a")
        .bearer(claims().sign(&key))
        .header("x-user-id", "forged")
        .header("x-subject", "forged");
    let seen = |name: &str| {
        let (status, echo) = ask(&envoy, &request);
        assert_eq!(status, 200, "{echo}");
        Echo(echo).header(name).map(str::to_owned)
    };
    let subject = claims().0["sub"].as_str().map(str::to_owned);
    assert_eq!(seen("x-user-id"), subject);
    assert_eq!(seen("x-subject").as_deref(), Some("forged"));
    // The next version, under the running Envoy.
    render_pushed(&folder, &configuration("x-subject"), upstream);
    let pushed =
        eventually(Duration::from_secs(20), || (seen("x-subject") == subject).then_some(()));
    assert!(pushed.is_some(), "the new file was not read");
    assert_eq!(seen("x-user-id").as_deref(), Some("forged"));
}

#[test]
fn keys_come_from_nobody_with_a_certificate_for_another_name() {
    let folder = envoy::new_folder();
    let key = Key::p256("k");
    let provider = tls_provider(&[&key], "other.test", &folder.join("ca.pem"));
    render_pushed(&folder, &configuration(provider.envoy.address, "x-user-id"), upstream::start());
    let envoy = start(&folder);
    let request = Request::get("/a").bearer(claims().sign(&key));
    let (status, problem) = ask(&envoy, &request);
    assert_eq!((status, problem["code"].as_str()), (503, Some("keys_unavailable")));
    let refused = envoy.admin("/stats?filter=cluster.idp.ssl.fail_verify_san");
    assert!(!refused.trim_end().ends_with(": 0") && refused.contains(": "), "{refused}");
}

#[test]
fn a_rendered_listener_serves_tls() {
    let folder = envoy::new_folder();
    let own = Key::p256("server");
    let certificate = certificate::self_signed(&own, "edge", "https://edge.test", "edge.test");
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    std::fs::write(&chain, &certificate.pem).unwrap();
    std::fs::write(&key, own.private_pem.as_ref().unwrap()).unwrap();
    let out = folder.join("envoy.yaml");
    let options: [&Path; 6] =
        ["--certificate".as_ref(), &chain, "--private-key".as_ref(), &key, "--out".as_ref(), &out];
    let routes = json!([{"name": "health", "paths": ["/healthz"], "token": "none"}, {"name": "all", "paths": ["/**"]}]);
    render(&folder, &filter(routes), upstream::start(), &options);
    let envoy = start(&folder);
    let front = bootstrap::http2_front(
        envoy.address,
        Some(json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {"validation_context": {"trusted_ca": {"inline_string": certificate.pem}}},
        })),
    );
    let front = Envoy::start(envoy::new_folder(), &front, 1)
        .unwrap_or_else(|_| panic!("the front Envoy did not start"));
    assert_eq!(ask(&front, &Request::get("/healthz")).0, 200);
    assert_eq!(ask(&front, &Request::get("/a")).1["code"], "token_missing");
    let good = Request::get("/a").bearer(claims().sign(&P256));
    assert_eq!(ask(&front, &good).0, 200);
    // In plain text there is no answer.
    assert!(Request::get("/healthz").send(envoy.address).is_err());
}
