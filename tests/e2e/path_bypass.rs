//! Nothing reaches what a policy protects without the claim, however the upstream reads its path: every request that
//! Envoy forwarded is read as common servers do, and none of them may end up there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::harness::bulk::{self, Protocol};
use crate::harness::decoding::{MODELS, Model, SUFFIXES};
use crate::harness::keys::P256;
use crate::harness::recorder::{Recorder, Seen};
use crate::harness::{Proxy, Request, Setup, Table, changed, claims, filter};
use crate::path_attacks::{self, List};

/// The header that says which list and which of its targets a request is.
const CASE: &str = "x-case";

static LISTS: LazyLock<Vec<List>> = LazyLock::new(path_attacks::lists);

/// `/admin` and every `/logs/{env}` take a claim, beneath a route that takes everything.
fn policy(broad: Value, change: Value) -> Value {
    let routes = json!([
        changed(json!({"name": "broad", "paths": ["/**"], "token": "none"}), broad),
        {"name": "admin", "paths": ["/admin/**"], "require": {"claim": "roles", "any_of": ["admin"]}},
        {"name": "logs", "paths": ["/logs/{env}/**"], "require": {"claim": "envs", "any_of": ["${path.env}"]}},
    ]);
    // A record of each would be all that Envoy is busy with.
    let quiet = json!({"audit": {"allowed": "none", "denied": "none"}});
    changed(changed(filter(routes), quiet), change)
}

/// An Envoy before an upstream that records.
struct Scene {
    proxy: Proxy,
    recorder: Recorder,
}

impl Scene {
    fn of(setup: impl FnOnce(Setup) -> Setup, config: Value) -> Self {
        let recorder = Recorder::start();
        let setup = setup(Setup::new(config).upstream(recorder.address).workers(2));
        Scene { proxy: Proxy::start(setup), recorder }
    }

    /// An Envoy with this policy, which opens what it protects to who has the claim, and to nobody else.
    fn guarded(config: Value) -> Self {
        let scene = Scene::of(|setup| setup, config);
        let admin = claims().with("roles", json!(["admin"])).sign(&P256);
        let prod = claims().with("envs", json!(["prod"])).sign(&P256);
        for (path, token, other) in [
            ("/admin", &admin, &prod),
            ("/admin/x", &admin, &prod),
            ("/logs/prod/x", &prod, &admin),
        ] {
            let ask = || Request::get(path);
            scene.proxy.send(ask()).refused("token_missing");
            scene.proxy.send(ask().bearer(other)).refused("claims_insufficient");
            assert_eq!(scene.recorder.take().len(), 0, "{path} without the claim");
            assert_eq!(scene.proxy.send(ask().bearer(token)).response.status, 200, "{path}");
            let seen = scene.recorder.take();
            assert_eq!(seen.len(), 1, "{path} with the claim");
            assert_eq!(seen[0].target, path.as_bytes());
        }
        scene
    }

    /// Sends every `step`th target of every list; how many, and what reached the upstream.
    fn attack(&self, protocol: Protocol, step: usize, token: Option<&str>) -> (usize, Vec<Seen>) {
        let mut requests = Vec::new();
        for (list, List { targets, .. }) in LISTS.iter().enumerate() {
            for (index, (_, target)) in targets.iter().enumerate().step_by(step) {
                if protocol == Protocol::Http2 && !is_path(target) && index % SAMPLE != 0 {
                    continue;
                }
                let request = Request::get(target).header("connection", "keep-alive");
                let request = request.header(CASE, format!("{list}-{index}"));
                requests.push(token.iter().fold(request, Request::bearer));
            }
        }
        let answered = bulk::send(self.proxy.envoy.address, &requests, protocol);
        let count = requests.len();
        // Envoy closes without an answer where a target ends the request line, or a stream of HTTP/2 is no request.
        assert!(answered * 2 > count, "only {answered} of {count} requests were answered");
        (count, self.recorder.take())
    }
}

/// Of what HTTP/2 itself does not let pass as `:path`, one in so many is tried: Envoy takes a second to close on each.
const SAMPLE: usize = 500;

fn is_path(target: &[u8]) -> bool {
    target.starts_with(b"/") && !target.iter().any(|byte| matches!(byte, 0..=0x20 | 0x7f))
}

/// The list of a request, and what a failure calls it.
fn origin(seen: &Seen) -> Option<(&'static str, &'static str)> {
    let (list, index) = seen.header(CASE)?.split_once('-')?;
    let list = LISTS.get(list.parse::<usize>().ok()?)?;
    let (case, _) = list.targets.get(index.parse::<usize>().ok()?)?;
    Some((list.name, case))
}

/// Fails the test where a request that was forwarded is one for a protected path to any of the models, or where none
/// of some list was.
fn judge((sent, seen): (usize, Vec<Seen>), models: &[&Model]) {
    let mut reached: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for request in &seen {
        let (list, case) = origin(request).unwrap_or(("no list", "a request that nobody sent"));
        *reached.entry(list).or_default() += 1;
        for model in models {
            if let Some(path) = model.protected(&request.target) {
                let target = request.target.escape_ascii();
                let bypass = format!("{list}, {case}: `{target}` is `{path}`");
                found.entry(model.name).or_default().push(bypass);
            }
        }
    }
    let shown = found.iter().map(|(model, bypasses)| {
        let first = bypasses.iter().take(12).cloned().collect::<Vec<_>>().join("\n    ");
        format!("  {model}: {} such as\n    {first}", bypasses.len())
    });
    let shown = shown.collect::<Vec<_>>().join("\n");
    assert!(found.is_empty(), "protected paths were reached without the claim:\n{shown}");
    for list in LISTS.iter() {
        assert!(reached.contains_key(list.name), "nothing of {} reached the upstream", list.name);
    }
    assert!(seen.len() * 50 > sent, "only {} of {sent} requests reached the upstream", seen.len());
}

fn models(folds: bool) -> Vec<&'static Model> {
    MODELS.iter().filter(|model| folds || !model.folds).collect()
}

/// Every `step`th target; all of them against the two policies that most have.
fn hold(config: Value, folds: bool, step: usize) {
    let scene = Scene::guarded(config);
    judge(scene.attack(Protocol::Http2, step, None), &models(folds));
}

#[test]
fn path_bypass_by_http1() {
    let scene = Scene::guarded(policy(json!({}), json!({})));
    // Envoy closes the connection after a refusal with status 400: a few in each list have to do.
    judge(scene.attack(Protocol::Http1, 7, None), &models(false));
}

#[test]
fn path_bypass_by_http2() {
    hold(policy(json!({}), json!({})), false, 1);
}

#[test]
fn path_bypass_with_a_token_that_lacks_the_claim() {
    let scene = Scene::guarded(policy(json!({"token": "required"}), json!({})));
    let token = claims().with("roles", json!(["reader"])).with("envs", json!(["test"])).sign(&P256);
    judge(scene.attack(Protocol::Http2, 4, Some(&token)), &models(false));
}

#[test]
fn path_bypass_where_case_is_folded() {
    hold(policy(json!({}), json!({"path_safety": {"case": "insensitive"}})), true, 1);
}

#[test]
fn path_bypass_beside_encoded_slashes() {
    hold(policy(json!({"path_safety": {"encoded_slash": "allow"}}), json!({})), false, 2);
}

#[test]
fn path_bypass_beside_parameters() {
    hold(policy(json!({"path_safety": {"parameters": "allow"}}), json!({})), false, 2);
}

#[test]
fn path_bypass_beside_empty_segments() {
    hold(policy(json!({"path_safety": {"empty_segment": "allow"}}), json!({})), false, 2);
}

#[test]
fn path_bypass_with_every_relaxation_for_all() {
    let safety = json!({
        "encoded_slash": "allow", "parameters": "allow", "empty_segment": "allow", "case": "insensitive",
    });
    hold(policy(json!({}), json!({"path_safety": safety})), true, 2);
}

#[test]
fn path_bypass_by_a_suffix_takes_a_pattern_that_names_it() {
    let routes = json!([
        {"name": "broad", "paths": ["/**"], "token": "none"},
        {"name": "admin", "paths": ["/admin/**", "/admin.*", "/admin."], "require": {"claim": "roles", "any_of": ["admin"]}},
        {"name": "logs", "paths": ["/logs/{env}/**"], "require": {"claim": "envs", "any_of": ["${path.env}"]}},
    ]);
    let scene = Scene::guarded(changed(policy(json!({}), json!({})), json!({"routes": routes})));
    judge(scene.attack(Protocol::Http2, 4, None), &SUFFIXES.iter().collect::<Vec<_>>());
}

/// The same without the filter: each list has targets that get there, each model has a way of its own.
#[test]
fn path_bypass_succeeds_without_the_filter() {
    let scene = Scene::of(Setup::unguarded, json!({}));
    for (protocol, step) in [(Protocol::Http1, 7), (Protocol::Http2, 3)] {
        let (_, seen) = scene.attack(protocol, step, None);
        let mut hits: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for request in &seen {
            let list = origin(request).map_or("no list", |(list, _)| list);
            // What a server that takes every path as it comes would refuse by itself is no finding.
            if MODELS[0].protected(&request.target).is_some() {
                continue;
            }
            for model in MODELS.iter().chain(SUFFIXES) {
                if model.protected(&request.target).is_some() {
                    *hits.entry(list).or_default().entry(model.name).or_default() += 1;
                }
            }
        }
        let biting: BTreeSet<&str> = hits.values().flat_map(BTreeMap::keys).copied().collect();
        let mut table = Table::new();
        for list in LISTS.iter() {
            table.hold(list.name, hits.contains_key(list.name), "none of it gets anywhere");
        }
        for model in MODELS[1..].iter().chain(SUFFIXES) {
            table.hold(model.name, biting.contains(model.name), "nothing gets past it");
        }
        table.check();
    }
}

/// Names by which a client asks frameworks for another path or method, and what gateways to CGI take for the same.
const OVERRIDES: [&str; 9] = [
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "X_Original_Url",
    "X_REWRITE-URL",
    "x_http_method_override",
    "x-http_method",
];

#[test]
fn path_bypass_by_a_header() {
    let ask = |name: &str| {
        let value = if name.to_lowercase().contains("method") { "DELETE" } else { "/admin" };
        Request::get("/open").header(name, value)
    };
    let overrides = |seen: &[Seen]| {
        let names = seen.iter().flat_map(|seen| &seen.headers);
        let names = names.map(|(name, _)| name.replace('_', "-"));
        names.filter(|name| OVERRIDES.contains(&name.as_str())).count()
    };
    let guarded = Scene::guarded(policy(json!({}), json!({})));
    let open = Scene::of(Setup::unguarded, json!({}));
    let mut table = Table::new();
    for name in OVERRIDES {
        for (scene, want) in [(&guarded, 0), (&open, 1)] {
            assert_eq!(scene.proxy.send(ask(name)).response.status, 200);
            let seen = scene.recorder.take();
            let got = format!("{} of {}", overrides(&seen), seen[0].method);
            table.row(format!("{name} arrives"), got, format!("{want} of GET"));
        }
        let repeated = ask(name).header(name, "/admin/x").header("connection", name);
        guarded.proxy.send(repeated);
        table.row(format!("{name} twice"), overrides(&guarded.recorder.take()).to_string(), "0");
    }
    table.check();
}

/// The hosts that an upstream could take an authority for.
fn hosts(authority: &str) -> Vec<String> {
    let lower = authority.to_lowercase();
    let port = |host: &str| host.split(':').next().unwrap_or_default().to_owned();
    let user = lower.rsplit('@').next().unwrap_or_default();
    let first = lower.split([',', ' ', '/', '\\', '#', '?']).next().unwrap_or_default();
    let decoded = lower.replace("%2e", ".").replace("%61", "a");
    let readings =
        [&*lower, user, first, lower.trim(), &*decoded, &lower.replace(['\t', '\0'], "")];
    readings.map(|host| port(host).trim_matches('.').to_owned()).into()
}

/// Whether HTTP/2 itself lets it pass, on which Envoy would take a second to close.
fn is_plain(request: &Request) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".:%-/".contains(byte);
    let mut fields = request.fields().into_iter();
    fields.all(|(name, value)| match name.as_slice() {
        b":authority" => value.iter().all(plain),
        b":path" => value.starts_with(b"/"),
        name => name != b"host" && !name.starts_with(b":a"),
    })
}

#[test]
#[rustfmt::skip]
fn path_bypass_by_a_host() {
    let routes = json!([
        {"name": "broad", "paths": ["/**"], "token": "none"},
        {"name": "others", "hosts": ["*.test", "{tenant}.test"], "paths": ["/**"], "token": "none"},
        {"name": "admin", "hosts": ["app.test"], "paths": ["/admin/**"], "require": {"claim": "roles", "any_of": ["admin"]}},
        {"name": "logs", "hosts": ["app.test"], "paths": ["/logs/{env}/**"], "require": {"claim": "envs", "any_of": ["${path.env}"]}},
    ]);
    let config = || changed(policy(json!({}), json!({})), json!({"routes": routes}));
    let spellings: [&[u8]; 34] = [
        b"app.test", b"APP.TEST", b"App.Test:80", b"app.test:443", b"app.test.", b"app.test.:80", b"app.test..", b".app.test",
        b"app.test:", b"app.test:x", b"app.test:080", b"app.test:99999", b"app.test:80:80", b"user@app.test", b"x.test@app.test",
        b"app.test@x.test", b"app%2etest", b"%61pp.test", b"app.test/", b"app.test/x", b"app.test\\x", b"app.test#x", b"app.test?x",
        b"app.test,x.test", b"x.test,app.test", b"app.test x.test", b"app.test\tx", b"app.test\x00", b"app.test%00", b"app.test\xa0",
        b"app.test:80#", b"app.test;x", b"a\xc2\xadpp.test", b"app..test",
    ];
    let requests: Vec<Request> = spellings
        .iter()
        .flat_map(|host| {
            let absolute = [b"http://", *host, b"/admin/x"].concat();
            let plain = |path: &str| Request::get(path).host(host);
            [plain("/admin"), plain("/logs/prod"), Request::get(absolute).host("x.test"), plain("/open")]
        })
        .chain([
            Request::get("http://app.test/admin").without_host(),
            Request::get("/admin").host("x.test").header("host", "app.test"),
            Request::get("/admin").host("app.test").header("host", "x.test"),
            Request::get("/admin").host("x.test").header(":authority", "app.test"),
        ])
        .map(|request| request.header("connection", "keep-alive"))
        .collect();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let reached = |scene: &Scene| {
            let requests: Vec<Request> = match protocol {
                Protocol::Http1 => requests.clone(),
                Protocol::Http2 => requests.iter().filter(|one| is_plain(one)).cloned().collect(),
            };
            bulk::send(scene.proxy.envoy.address, &requests, protocol);
            let mut reached = BTreeSet::new();
            for seen in scene.recorder.take() {
                let authority = seen.header("host").unwrap_or_default();
                let host = hosts(authority).into_iter().any(|host| host == "app.test");
                if host && MODELS[0].protected(&seen.target).is_some() {
                    reached.insert(format!("{authority} {}", seen.target.escape_ascii()));
                }
            }
            reached
        };
        assert_eq!(reached(&Scene::guarded(config())), BTreeSet::new());
        let open = reached(&Scene::of(Setup::unguarded, json!({})));
        assert!(open.len() > 10, "without the filter there is more: {open:?}");
    }
}
