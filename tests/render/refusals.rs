//! What is refused, with the place and the remedy.

use super::harness::{DIGEST, everything, file, folder, pinned, render, without_fetching};
use serde_json::{Value, json};

#[test]
fn what_a_host_cannot_say_is_refused() {
    let folder = folder("refusals");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut configuration = everything();
        change(&mut configuration);
        configuration.to_string()
    };
    let key = |configuration: &mut Value, issuer: &str, key: Value| {
        configuration["issuers"][issuer]["keys"][0] = key
    };
    let remote = |cluster: &str, url: &str| json!({"remote": {"cluster": cluster, "url": url}});
    let fine = with(&|_| {});
    let given = without_fetching().to_string();
    let broken = with(&|c| c["routes"][0]["paths"] = json!(["x"]));
    let inline = with(&|c| {
        key(
            c,
            "jobs",
            json!({"secret": {"utf8": "qmFgA7dhTy0Xp2LvBwRnKsUzCi9eJo4V"}, "algorithms": ["HS256"]}),
        )
    });
    let plain = with(&|c| key(c, "corp", remote("idp", "http://idp.example.com/keys")));
    let two = with(&|c| key(c, "corp", remote("partner", "https://idp.example.com/keys")));
    let upstream = with(&|c| key(c, "corp", remote("upstream", "https://idp.example.com/keys")));
    let address = with(&|c| key(c, "corp", remote("idp", "https://192.0.2.1/keys")));
    let near = with(&|c| key(c, "corp", remote("idp", "http://127.0.0.1:8080/keys")));
    let number = |n: u64| {
        let mut configuration = without_fetching();
        configuration["conditions"]["senior"] = json!({"claim": "level", "equals": n});
        configuration.to_string()
    };
    let (beyond, far_beyond) = (number(1 << 53), number(u64::MAX));
    let several = format!("{{\"a\": [{fine}]}}\n---\n{fine}\n---\n{fine}\n");
    let envoy = "envoy --upstream service:80";
    let istio = format!("istio --gateway g {}", pinned());
    let gateway = format!("envoy-gateway --gateway g {}", pinned());
    let unpinned = "istio --gateway g --wasm oci://r.example.com/c:1";
    let cases: Vec<(String, &str, &str)> = vec![
        (envoy.into(), &broken, "source.yaml:1:"),
        (envoy.into(), &broken, "routes[0].paths[0]: `x`"),
        (envoy.into(), "a: 1", "no configuration of the filter in it"),
        (envoy.into(), &several, "several configurations in it"),
        (
            envoy.into(),
            &inline,
            "issuers.jobs.keys[0].secret: a secret that stands in the configuration",
        ),
        (
            istio.clone(),
            &inline,
            "issuers.jobs.keys[0].secret: a secret that stands in the configuration",
        ),
        (
            gateway.clone(),
            &inline,
            "issuers.jobs.keys[0].secret: a secret that stands in the configuration",
        ),
        (envoy.into(), &plain, "issuers.corp.keys[0].remote.url: `http` is plain text"),
        (istio.clone(), &plain, "issuers.corp.keys[0].remote.url: `http` is plain text"),
        (
            envoy.into(),
            &two,
            "`partner` would lead to `idp.example.com` and to `login.partner.example`",
        ),
        (envoy.into(), &upstream, "keys come from a cluster `upstream`"),
        (istio.clone(), &address, "`idp` leads to `192.0.2.1`, which Istio has no name for"),
        (istio.clone(), &near, "`idp` leads to `127.0.0.1`, which Istio has no name for"),
        (gateway.clone(), &fine, "put the keys themselves into the configuration (`jwks`)"),
        (format!("{gateway} --cluster idp=httproute/a/b/rule/0"), &fine, "by `partner`"),
        (
            format!("{gateway} --cluster idp=idp"),
            &fine,
            "expected `NAME=httproute/NAMESPACE/NAME/rule/0`",
        ),
        (istio.clone(), &beyond, "conditions.senior.equals: Istio keeps numbers as doubles"),
        (
            gateway.clone(),
            &far_beyond,
            "conditions.senior.equals: Kubernetes keeps numbers as doubles",
        ),
        ("envoy --upstream x:y".into(), &fine, "`--upstream x:y`: expected `HOST:PORT`"),
        ("envoy".into(), &fine, "--upstream <ADDRESS>"),
        (format!("{envoy} --pushed /etc/envoy/f.yaml"), &fine, "--out <OUT>"),
        (format!("{envoy} --certificate c.pem"), &fine, "--private-key <FILE>"),
        (format!("istio {}", pinned()), &fine, "<--gateway <NAME>|"),
        (format!("istio --gateway g --selector app=a {}", pinned()), &fine, "cannot be used with"),
        (format!("istio --selector app {}", pinned()), &fine, "expected `label=value`"),
        (format!("istio --selector app=* {}", pinned()), &fine, "not a label of Kubernetes"),
        (format!("istio --gateway G {}", pinned()), &fine, "`G`: not a name of Kubernetes"),
        (
            format!("istio --gateway g --namespace n- {}", pinned()),
            &fine,
            "`n-`: not a name of Kubernetes",
        ),
        (unpinned.into(), &fine, "pin it by `--sha256`"),
        (format!("{unpinned} --sha256 abc"), &fine, "64 digits"),
        (
            format!(
                "istio --gateway g --wasm oci://r/c@sha256:{DIGEST} --sha256 {}",
                DIGEST.replace('8', "9")
            ),
            &fine,
            "name two digests",
        ),
        (
            format!("istio --gateway g --wasm ftp://r/c --sha256 {DIGEST}"),
            &fine,
            "expected `oci://",
        ),
        (
            format!("istio --gateway g --wasm https://r/c --sha256 {DIGEST} --pull-secret s"),
            &fine,
            "goes with an `oci://` image only",
        ),
        (
            "envoy-gateway --gateway g --wasm file:///c.wasm".into(),
            &given,
            "reads the filter from no file",
        ),
    ];
    for (options, text, want) in cases {
        let source = file(&folder, "source.yaml", text);
        let run = render(&format!("{options} {source}"));
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{options}: {}", run.err);
        assert!(run.err.contains(want), "{options}: wanted `{want}`, found {}", run.err);
        assert!(!run.err.contains("qmFgA7dhTy0Xp2LvBwRnKsUzCi9eJo4V"), "{}", run.err);
    }
    // What each of them would take.
    for (options, text) in [(gateway.as_str(), &beyond), (envoy, &far_beyond), (envoy, &near)] {
        let source = file(&folder, "source.yaml", text);
        let run = render(&format!("{options} {source}"));
        assert_eq!(run.status, 0, "{options}: {}", run.err);
    }
}

#[test]
fn inline_secrets_are_rendered_where_one_says_so() {
    let folder = folder("inline");
    let mut configuration = without_fetching();
    configuration["issuers"]["jobs"]["keys"][0]["secret"] =
        json!({"utf8": "qmFgA7dhTy0Xp2LvBwRnKsUzCi9eJo4V"});
    let source = file(&folder, "source.json", &configuration.to_string());
    let run = render(&format!("envoy --upstream service:80 --allow-inline-secrets {source}"));
    assert_eq!(run.status, 0, "{}", run.err);
    assert!(
        run.err.starts_with("warning: ")
            && run.err.contains("an inline secret shows in `/config_dump`"),
        "{}",
        run.err
    );
    assert!(run.out.contains("qmFgA7dhTy0Xp2LvBwRnKsUzCi9eJo4V"));
    assert!(!run.out.contains("JOBS_SECRET"));
}

#[test]
fn a_client_address_is_warned_of_where_a_sidecar_may_be() {
    let folder = folder("address");
    let mut configuration = everything();
    configuration["conditions"]["senior"] = json!({"client_address": ["10.0.0.0/8"]});
    let source = file(&folder, "source.json", &configuration.to_string());
    let cases = [
        ("istio --gateway g", false),
        ("istio --selector app=a", true),
        ("istio --gateway-selector istio=ingressgateway", true),
    ];
    for (options, warned) in cases {
        let run = render(&format!("{options} {} {source}", pinned()));
        assert_eq!(run.status, 0, "{}", run.err);
        let want = "conditions.senior: `client_address` is the client's own word behind a sidecar";
        assert_eq!(run.err.contains(want), warned, "{options}: {}", run.err);
    }
}

#[test]
fn results_speak_json() {
    let folder = folder("json");
    let source = file(&folder, "source.json", &everything().to_string());
    let run = render(&format!("envoy --upstream service:80 {source} --format json"));
    let printed: Value = serde_json::from_str(&run.done()).unwrap();
    assert!(printed["manifest"].as_str().unwrap().contains("static_resources:"));
    let out = folder.join("envoy.yaml");
    let run = render(&format!(
        "envoy --upstream service:80 {source} --format json --out {}",
        out.display()
    ));
    assert_eq!(serde_json::from_str::<Value>(&run.done()).unwrap(), json!({"files": [out]}));
    let text = std::fs::read_to_string(&out).unwrap();
    assert_eq!(
        Some(text.as_str()),
        printed["manifest"].as_str(),
        "where it is written to changes nothing"
    );
    let run = render("envoy --upstream service:80 /nowhere --format json");
    assert_eq!(run.status, 2);
    assert!(run.err.starts_with(r#"{"severity":"error","message":"`/nowhere`"#), "{}", run.err);
}

#[test]
fn only_what_is_fetched_is_renamed() {
    let folder = folder("names");
    let mut configuration = without_fetching();
    let attributes = json!({"cluster": "k8s", "url": "https://claims.example.com/url"});
    configuration["issuers"]["jobs"]["attributes"] = attributes;
    configuration["audit"] = json!({"claims": {"cluster": "plain", "url": "plain"}});
    let source = file(&folder, "source.json", &configuration.to_string());
    let run = render(&format!("istio --selector app=a {} {source}", pinned()));
    assert_eq!(run.status, 0, "{}", run.err);
    assert!(run.out.contains("cluster: k8s"), "{}", run.out);
    assert!(!run.out.contains("kind: ServiceEntry"), "nothing is fetched: {}", run.out);
}

#[test]
fn addresses_and_files_that_would_be_dropped_are_refused() {
    let folder = folder("dropped");
    let source = file(&folder, "source.json", &without_fetching().to_string());
    for (options, said) in [
        ("envoy --upstream https://svc:443/api/v2", "expected `HOST:PORT`"),
        ("envoy --upstream svc:80 --ca=", "--ca"),
        ("envoy --upstream svc:80 --wasm=", "--wasm"),
        ("istio --selector app=a --wasm https://u:p@h/c.wasm --sha256 00", "a password in a URL"),
        (
            "istio --selector app=a --namespace a..b --wasm file:///c.wasm",
            "not a name of Kubernetes",
        ),
    ] {
        let run = render(&format!("{options} {source}"));
        assert_eq!(run.status, 2, "{options}");
        assert!(run.err.contains(said), "{options}: {}", run.err);
    }
}
