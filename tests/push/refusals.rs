//! What never replaces good keys, and what the provider is not believed.

use serde_json::json;

use crate::fixture::{Deployed, claimgate, commented, filter, key, kids};
use crate::provider::{Answer, Provider, set};

#[test]
fn good_keys_outlast_every_bad_answer() {
    let (a, b) = (key("a"), key("b"));
    let provider = Provider::start();
    let good = set(&[&b]).to_string();
    let http =
        |status: u16, body: &str| Answer::Http(status, String::new(), body.as_bytes().to_vec());
    let oct = json!({"kty": "oct", "kid": "s", "k": "AAAA"});
    let private = json!({"kty": "OKP", "crv": "Ed25519", "kid": "p", "x": b["x"], "d": "AAAA"});
    let encryption = json!({"kty": "OKP", "crv": "Ed25519", "kid": "e", "x": b["x"], "use": "enc"});
    let redirect = |to: &str| Answer::Http(302, format!("location: {to}\r\n"), Vec::new());
    let large = format!("{good}{}", " ".repeat(10 << 20));
    let cases = [
        (http(500, &good), "status 500, expected 200"),
        (http(404, &good), "status 404, expected 200"),
        (http(204, ""), "status 204, expected 200"),
        (http(200, "<!doctype html><html></html>"), "not JSON"),
        (http(200, &good[..good.len() - 2]), "not JSON"),
        (http(200, ""), "not JSON"),
        (http(200, "{}"), "expected a JWK Set"),
        (http(200, &set(&[]).to_string()), "no usable key ()"),
        (
            http(200, &set(&[&oct]).to_string()),
            "no usable key (a symmetric key in a key set never counts",
        ),
        (http(200, &set(&[&private]).to_string()), "no usable key (holds a private key"),
        (http(200, &set(&[&encryption]).to_string()), "no usable key (`use` is not `sig`"),
        (http(200, &set(&vec![&b; 257]).to_string()), "257 keys, the limit is 256"),
        (http(200, &large), "more than 1048576 bytes, which is the limit"),
        (
            redirect("http://idp.example.com/jwks.json"),
            "redirects to `http://idp.example.com/jwks.json`",
        ),
        (redirect("file:///etc/passwd"), "redirects to `file:///etc/passwd`"),
        (redirect("/jwks.json"), "more than 3 redirects"),
        (Answer::Stall, "no answer in time"),
    ];
    let deployed = Deployed::new("refusals", &commented(&[&a]));
    let before = deployed.identity();
    for (answer, want) in cases {
        provider.answers("/jwks.json", answer);
        let ran =
            deployed.push(&["--from", &provider.jwks(), "--timeout", "3s", "--overlap", "1h"]);
        assert_eq!((ran.status, ran.out.as_str()), (Some(2), ""), "{want}: {}", ran.err);
        assert!(
            ran.err.starts_with("error: ") && ran.err.contains(want),
            "wanted {want}: {}",
            ran.err
        );
        assert_eq!(deployed.identity(), before, "{want}");
        deployed.is_alone();
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = deployed.push(&["--from", &format!("http://{closed}/jwks.json")]);
    assert_eq!((ran.status, deployed.identity()), (Some(2), before));
    provider.publishes(&[&b]);
    deployed.push(&["--from", &provider.jwks()]).ok();
    assert_eq!(kids(&deployed.text()), ["b"]);
}

#[test]
fn https_is_verified_and_not_left() {
    let (a, b) = (key("a"), key("b"));
    let (provider, authority) = Provider::start_tls();
    let (_, other) = Provider::start_tls();
    let plain = Provider::start();
    plain.publishes(&[&b]);
    let deployed = Deployed::new("https", &commented(&[&a]));
    let before = deployed.identity();
    let folder = std::env::temp_dir().join(format!("claimgate-push-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (authority, other) = (file("ca.pem", &authority), file("other.pem", &other));
    let empty = file("empty.pem", "");
    provider.publishes(&[&b]);
    provider.redirects("/moved", "/jwks.json");
    provider.redirects("/off", &plain.jwks());
    let by_address = provider.jwks().replace("localhost", "127.0.0.1");
    let refused = [
        (provider.jwks(), None, "UnknownIssuer"),
        (provider.jwks(), Some(&other), ""),
        (provider.jwks(), Some(&empty), "no certificate in it"),
        (by_address, Some(&authority), "not valid for name"),
        (provider.at("/off"), Some(&authority), "off `https`, which is not followed"),
        (
            plain.jwks().replace("localhost", "idp.example.com"),
            None,
            "whoever is on the way could replace the keys",
        ),
    ];
    for (from, authority, want) in refused {
        let mut arguments = vec!["--from", &from];
        arguments.extend(authority.iter().flat_map(|file| ["--ca", file.as_str()]));
        let ran = deployed.push(&arguments);
        assert_eq!(ran.status, Some(2), "{from}");
        assert!(ran.err.contains(want), "wanted {want}: {}", ran.err);
        assert_eq!(deployed.identity(), before, "{from}");
    }
    deployed.push(&["--from", &provider.at("/moved"), "--ca", &authority]).ok();
    assert_eq!(kids(&deployed.text()), ["b"]);
    let asked = provider.asked();
    let last = asked.last().unwrap().to_lowercase();
    assert!(last.contains("user-agent: claimgate/") && !last.contains("accept-encoding"), "{last}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_the_filter_would_refuse_is_not_written() {
    let (a, b) = (key("a"), key("b"));
    let provider = Provider::start();
    provider.publishes(&[&b]);
    // The issuer is narrowed to what the new key cannot do; something else in the file is wrong.
    let narrow = filter(&[&a])
        .to_string()
        .replace("\"audiences\"", "\"algorithms\":[\"RS256\"],\"audiences\"");
    let typo = filter(&[&a]).to_string().replace("\"name\":\"all\"", "\"nme\":\"all\"");
    let cases = [
        (narrow, "no usable key (key admits none of the named algorithms)"),
        (typo, "the filter would refuse the configuration: routes[0].nme: unknown key"),
        ("routes: []\n".to_owned(), "no configuration of the filter with `issuers`"),
        ("a: [\n".to_owned(), "not YAML"),
        (
            filter(&[&a])
                .to_string()
                .replace("\"jwks\":{\"keys\":[", "\"pem\":\"x\",\"no\":{\"keys\":["),
            "no `jwks`, and only a key set is pushed into",
        ),
    ];
    for (text, want) in cases {
        let deployed = Deployed::new("unloadable", &text);
        let before = deployed.identity();
        let ran = deployed.push(&["--from", &provider.jwks()]);
        assert_eq!(ran.status, Some(2), "{want}");
        assert!(ran.err.contains(want), "wanted {want}: {}", ran.err);
        assert_eq!(deployed.identity(), before, "{want}");
        deployed.is_alone();
    }
}

#[test]
fn a_proxy_of_the_environment_is_used() {
    let proxy = Provider::start();
    let deployed = Deployed::new("proxy", &commented(&[&key("a")]));
    let push = |from: &str| {
        let arguments = ["keys", "push", deployed.file.to_str().unwrap(), "--from", from];
        let proxy = format!("http://{}", proxy.address);
        claimgate().args(arguments).env("HTTPS_PROXY", proxy).output().unwrap()
    };
    assert_eq!(push("https://idp.invalid/jwks.json").status.code(), Some(2));
    let asked = proxy.asked();
    assert!(asked[0].starts_with("CONNECT idp.invalid:443 "), "{asked:?}");
    // Not to this machine.
    let provider = Provider::start();
    provider.publishes(&[&key("b")]);
    assert_eq!(push(&provider.jwks()).status.code(), Some(0));
    assert_eq!(proxy.asked().len(), asked.len());
}
