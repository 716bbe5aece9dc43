//! `claimgate issuer`: what it prints loads, and what it is not told it does not believe.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::fixture::{Ran, claimgate, key};
use crate::keys::Key;
use crate::provider::{Answer, Provider};

fn issuer(arguments: &[&str]) -> Ran {
    claimgate().arg("issuer").args(arguments).output().unwrap().into()
}

/// What `check` says of a configuration, warnings included, but for that of plain HTTP.
fn check(text: &str) -> Ran {
    let text = text.replace("http://", "https://");
    let mut child = claimgate()
        .args(["check", "-", "--strict"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

const ROUTES: &str = "routes:\n- { name: all, paths: [\"/**\"] }\n";

/// A provider whose discovery document is at a path, changed by `patch`.
fn provider(at: &str, path: &str, patch: Value) -> Provider {
    let provider = Provider::start();
    provider.publishes(&[&key("a")]);
    let mut document = json!({"issuer": provider.at(path), "jwks_uri": provider.jwks()});
    document.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
    provider.says(at, document.to_string());
    provider
}

#[test]
fn the_block_loads() {
    let cases = [
        ("/.well-known/openid-configuration", ""),
        ("/realms/x/.well-known/openid-configuration", "/realms/x"),
        ("/.well-known/oauth-authorization-server", ""),
        ("/.well-known/oauth-authorization-server/realms/x", "/realms/x"),
    ];
    for (at, path) in cases {
        let provider = provider(at, path, json!({}));
        let url = provider.at(path);
        let ran = issuer(&[&url, "--audience", "api", "--audience", "shop", "--name", "corp"]).ok();
        assert!(
            ran.out.contains("audiences: [\"api\", \"shop\"]")
                && ran.out.contains("cluster: \"corp\""),
            "{}",
            ran.out
        );
        assert!(
            ran.out.contains(&provider.jwks()) && ran.err.is_empty(),
            "{}\n{}",
            ran.out,
            ran.err
        );
        check(&(ran.out + ROUTES)).ok();
        // Keys in the block, for `keys push`; and the name of the host.
        let ran = issuer(&[&url, "--audience", "api", "--inline"]).ok();
        assert!(
            ran.out.contains("  localhost:\n") && ran.out.contains("\"kid\": \"a\""),
            "{}",
            ran.out
        );
        check(&(ran.out + ROUTES)).ok();
        let ran = issuer(&[&url, "--audience", "api", "--cluster", "idp", "--format", "json"]).ok();
        let told: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(told["complete"], true);
        let mut whole = told["configuration"].clone();
        assert_eq!(whole["issuers"]["localhost"]["keys"][0]["remote"]["cluster"], "idp");
        whole["routes"] = json!([{"name": "all", "paths": ["/**"]}]);
        check(&whole.to_string()).ok();
    }
}

#[test]
fn without_an_audience_it_does_not_load() {
    let provider = provider("/.well-known/openid-configuration", "", json!({}));
    let ran = issuer(&[&provider.at("")]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.err.contains("issuers.localhost: `audiences` is missing"), "{}", ran.err);
    let refused = check(&(ran.out.clone() + ROUTES));
    assert_eq!(refused.status, Some(2));
    assert!(refused.err.contains("`audiences` is missing"), "{}", refused.err);
    check(&(ran.out.replace("# audiences: [...]", "audiences: [api]") + ROUTES)).ok();
}

#[test]
fn algorithms_are_what_the_provider_signs_with() {
    let signs =
        json!({"id_token_signing_alg_values_supported": ["RS256", "ES256", "none", "HS256"]});
    let provider = provider("/.well-known/openid-configuration", "", signs);
    let rsa = Key::rsa("r").jwk;
    let encryption = json!({"kty": "RSA", "kid": "e", "use": "enc", "n": rsa["n"], "e": "AQAB"});
    provider.publishes(&[&rsa, &encryption]);
    let ran = issuer(&[&provider.at(""), "--audience", "api"]).ok();
    assert!(ran.out.contains("    algorithms: [RS256]\n"), "{}", ran.out);
    assert!(ran.err.contains("keys[1]: `use` is not `sig` (kid \"e\"): skipped"), "{}", ran.err);
    check(&(ran.out + ROUTES)).ok();
    // A key that admits one algorithm needs no narrowing.
    provider.publishes(&[&key("a")]);
    assert!(!issuer(&[&provider.at(""), "--audience", "api"]).ok().out.contains("algorithms"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let at = "/.well-known/openid-configuration";
    let cases = [
        (
            json!({"issuer": "https://idp.example.com"}),
            "is of the issuer `https://idp.example.com` and not of",
        ),
        (json!({"issuer": null}), "no `issuer`"),
        (json!({"jwks_uri": null}), "no `jwks_uri`"),
        (json!({"jwks_uri": "/etc/passwd"}), "expected an address"),
        (json!({"jwks_uri": "http://idp.example.com/jwks.json"}), "whoever is on the way"),
    ];
    for (patch, want) in cases {
        let provider = provider(at, "", patch);
        let ran = issuer(&[&provider.at(""), "--audience", "api"]);
        assert_eq!((ran.status, ran.out.as_str()), (Some(2), ""), "{want}");
        assert!(ran.err.contains(want), "wanted {want}: {}", ran.err);
    }
    let provider = provider(at, "", json!({}));
    let url = provider.at("");
    // A slash makes it another issuer.
    assert!(issuer(&[&format!("{url}/")]).err.contains("say it exactly so"));
    assert!(issuer(&[&url, "--name", "No"]).err.contains("lower-case"));
    provider.says("/jwks.json", "<html>");
    assert!(issuer(&[&url]).err.contains("not JSON"));
    provider.says(at, "<html>");
    assert!(issuer(&[&url]).err.contains("not JSON"));
    provider.answers(at, Answer::Http(500, String::new(), Vec::new()));
    assert!(issuer(&[&url]).err.contains("no discovery document: "));
}
