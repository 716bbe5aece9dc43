//! X.509: certificates as keys of an issuer, and certificates of clients in conditions.

use serde_json::{Value, json};

use crate::harness::certificate::{self, Certificate};
use crate::harness::keys::{Key, P256};
use crate::harness::{Proxy, Request, Setup, Table, changed, claims, filter};

#[test]
fn a_certificate_is_a_key_of_an_issuer() {
    let key = Key::p256("x509");
    let certificate = certificate::self_signed(&key, "idp", "https://idp.test", "idp.test");
    let patch = json!({"issuers": {"corp": {"keys": [{"pem": certificate.pem, "kid": "x509"}]}}});
    let proxy = Proxy::start(Setup::new(changed(
        filter(json!([{"name": "all", "paths": ["/**"]}])),
        patch,
    )));
    proxy.send(Request::get("/").bearer(claims().sign(&key))).allowed();
    let forged = claims().sign(&Key::p256("x509"));
    proxy.send(Request::get("/").bearer(forged)).refused("signature_invalid");
}

#[test]
fn conditions_see_the_certificate_of_the_client() {
    let (client_key, server_key) = (Key::p256("client"), Key::p256("server"));
    let client = certificate::self_signed(
        &client_key,
        "client-1",
        "spiffe://mesh.test/client",
        "client.mesh.test",
    );
    let server = certificate::self_signed(
        &server_key,
        "server",
        "spiffe://mesh.test/server",
        "server.mesh.test",
    );
    let trusted =
        |certificate: &Certificate| json!({"trusted_ca": {"inline_string": certificate.pem}});
    let own = |certificate: &Certificate, key: &Key| json!([{"certificate_chain": {"inline_string": certificate.pem}, "private_key": {"inline_string": key.private_pem}}]);

    let conditions = [
        ("uri", json!({"peer": "uri_san", "equals": "spiffe://mesh.test/client"}), true),
        ("other-uri", json!({"peer": "uri_san", "equals": "spiffe://mesh.test/other"}), false),
        ("dns", json!({"peer": "dns_san", "any_of": ["client.mesh.test"]}), true),
        ("subject", json!({"peer": "subject", "equals": "CN=client-1"}), true),
        ("sha256", json!({"peer": "sha256", "equals": client.sha256}), true),
        ("other-sha256", json!({"peer": "sha256", "equals": server.sha256}), false),
    ];
    let routes: Vec<Value> = conditions
        .iter()
        .map(|(name, require, _)| json!({"name": name, "paths": [format!("/{name}")], "require": require}))
        .collect();
    let proxy = Proxy::start(Setup::new(filter(json!(routes))).tls(json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": true,
        "common_tls_context": {"tls_certificates": own(&server, &server_key), "validation_context": trusted(&client)},
    })));
    let front = proxy.behind_http2(Some(json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {"tls_certificates": own(&client, &client_key), "validation_context": trusted(&server)},
    })));

    let mut table = Table::new();
    for (name, _, opens) in conditions {
        let request = Request::get(format!("/{name}")).bearer(claims().sign(&P256));
        let expected = if opens { "allowed" } else { "claims_insufficient" };
        table.row(name, proxy.send_by(front.address, request).outcome(), expected);
    }
    table.check();
}
