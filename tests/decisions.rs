//! Decisions of whole configurations, natively: each case is one that once went wrong, or would be
//! the first to if a rule of the interface were bent.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claimgate::config;
use claimgate::engine::Outcome;
use claimgate::request::{Header, Request, UnknownPeer};
use claimgate::time::Timestamp;
use claimgate::token::signature::Portable;
use serde_json::{Value, json};

const SECRETS: [&str; 2] = [
    "the first secret of these tests, of 32 bytes",
    "the other secret of these tests, of 32 bytes",
];
const NOW: u64 = 1_800_000_000;

/// A configuration with two issuers, `a` and `b`.
fn configuration(routes: Value) -> Value {
    let issuer = |name: &str, secret: &str| {
        json!({
            "issuer": name,
            "any_audience": true,
            "keys": [{"secret": {"utf8": secret}, "algorithms": ["HS256"]}],
            "token_from": [{"header": "authorization", "scheme": "Bearer"}, {"query": "access_token"}],
        })
    };
    json!({
        "issuers": {"a": issuer("a", SECRETS[0]), "b": issuer("b", SECRETS[1])},
        "defaults": {"issuers": ["a", "b"]},
        "identity": {"headers": {"x-user-id": {"attribute": "subject"}}},
        "routes": routes,
    })
}

fn load(configuration: Value) -> Result<config::Loaded, String> {
    config::load_value(configuration, "test", &|_| None, &Portable)
        .map_err(|error| error.to_string())
}

/// A token of `a` or `b` with these further claims.
fn token(issuer: &str, claims: &Value) -> String {
    let mut payload = json!({"iss": issuer, "exp": NOW + 60, "sub": "alice"});
    for (name, value) in claims.as_object().unwrap() {
        payload[name] = value.clone();
    }
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let header = encode(br#"{"alg":"HS256"}"#);
    let input = format!("{header}.{}", encode(payload.to_string().as_bytes()));
    let secret = if issuer == "a" { SECRETS[0] } else { SECRETS[1] };
    let tag = hmac_sha256::HMAC::mac(input.as_bytes(), secret.as_bytes());
    format!("{input}.{}", encode(&tag))
}

/// The route that was taken, or the code of the refusal.
fn word(loaded: &config::Loaded, outcome: &Outcome<'_>) -> String {
    match (&outcome.refusal, outcome.route) {
        (Some(refusal), _) => refusal.code.name().to_owned(),
        (None, Some(route)) => loaded.engine.routes[route.0].name.to_string(),
        (None, None) => panic!("neither refused nor routed"),
    }
}

fn decide(loaded: &config::Loaded, method: &str, target: &str, token: Option<&str>) -> String {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers: Vec<Header<'_>> = vec![
        (b":method", method.as_bytes()),
        (b":authority", b"app.test"),
        (b":path", target.as_bytes()),
    ];
    headers.extend(bearer.as_ref().map(|value| (&b"authorization"[..], value.as_bytes())));
    let request = Request::new(&headers, &UnknownPeer);
    word(loaded, &loaded.engine.decide(&request, Timestamp::from_secs(NOW)))
}

#[test]
fn no_reading_of_a_relaxed_path_slips_past_a_narrower_route() {
    let routes = json!([
        {"name": "any", "paths": ["/**"], "token": "none",
         "path_safety": {"encoded_slash": "allow", "parameters": "allow"}},
        {"name": "admin", "paths": ["/admin/**"]},
        {"name": "closed", "paths": ["/closed/**"], "deny": true},
    ]);
    let loaded = load(configuration(routes)).unwrap();
    let cases = [
        ("/a;x=1", "any"),
        ("/a%2fb", "any"),
        ("/admin/x", "token_missing"),
        ("/%2fadmin/x", "path_ambiguous"),
        ("/;x/admin/x", "path_ambiguous"),
        ("/a;/..;/admin", "path_ambiguous"),
        ("/x%2f..%2fadmin", "path_ambiguous"),
        ("/admin%2fx", "path_ambiguous"),
        ("/;/closed/x", "route_denied"),
        ("/%2fclosed/x", "route_denied"),
        ("/closed;v=1/x", "route_denied"),
        ("//admin/x", "path_ambiguous"),
    ];
    for (target, want) in cases {
        assert_eq!(decide(&loaded, "GET", target, None), want, "{target}");
    }
}

#[test]
fn a_star_lets_nothing_slip_into_a_broader_route() {
    let routes = json!([
        {"name": "any", "paths": ["/**"], "token": "none"},
        {"name": "backups", "paths": ["/files/*.bak"]},
        {"name": "no-keys", "paths": ["/files/*.key"], "deny": true},
    ]);
    let loaded = load(configuration(routes)).unwrap();
    let cases = [
        ("/files/x.bak", "token_missing"),
        ("/files/x.y.bak", "path_ambiguous"),
        ("/files/x%20.bak", "path_ambiguous"),
        ("/files/x.txt", "any"),
        ("/files/x.key", "route_denied"),
        ("/files/x.y.key", "route_denied"),
        ("/files/x%20.key", "route_denied"),
    ];
    for (target, want) in cases {
        assert_eq!(decide(&loaded, "GET", target, None), want, "{target}");
    }
}

#[test]
fn a_final_slash_is_refused_where_it_is_no_form_of_the_path() {
    let routes = || {
        json!([
            {"name": "exact", "paths": ["/a"], "token": "none"},
            {"name": "both", "paths": ["/b", "/c/**"], "token": "none"},
            {"name": "root", "paths": ["/"], "token": "none"},
            {"name": "closed", "paths": ["/d"], "deny": true},
        ])
    };
    let cases = [
        ("/", "root", "root"),
        ("/a", "exact", "exact"),
        ("/a?x=/", "exact", "exact"),
        ("/a/", "exact", "path_ambiguous"),
        ("/a/?x", "exact", "path_ambiguous"),
        ("/b/", "both", "path_ambiguous"),
        ("/c/", "both", "both"),
        ("/c/x/", "both", "both"),
        ("/d/", "route_denied", "route_denied"),
    ];
    let allowing = load(configuration(routes())).unwrap();
    let mut refusing = configuration(routes());
    refusing["path_safety"] = json!({"final_slash": "refuse"});
    let refusing = load(refusing).unwrap();
    for (target, allowed, refused) in cases {
        // More than once, since a request that was routed before is known.
        for _ in 0..20 {
            assert_eq!(decide(&allowing, "GET", target, None), allowed, "{target}");
            assert_eq!(decide(&refusing, "GET", target, None), refused, "{target}");
        }
    }
    let own = json!([{"name": "x", "paths": ["/x"], "path_safety": {"final_slash": "refuse"}}]);
    let error = load(configuration(own)).err().unwrap();
    assert!(error.starts_with("routes[0].path_safety.final_slash: goes with"), "{error}");
}

#[test]
fn the_pattern_that_wins_captures() {
    let routes = json!([{
        "name": "tenant",
        "paths": ["/cap/{t}/**", "/cap/shared/{t}"],
        "require": {"claim": "tenant", "equals": "${path.t}"},
    }]);
    let loaded = load(configuration(routes)).unwrap();
    let acme = token("a", &json!({"tenant": "acme"}));
    assert_eq!(decide(&loaded, "GET", "/cap/shared/acme", Some(&acme)), "tenant");
    assert_eq!(decide(&loaded, "GET", "/cap/acme/x", Some(&acme)), "tenant");
    let shared = token("a", &json!({"tenant": "shared"}));
    assert_eq!(decide(&loaded, "GET", "/cap/shared/acme", Some(&shared)), "claims_insufficient");
}

#[test]
fn a_negation_opens_only_on_what_is_known() {
    let cases = [
        (json!({"not": {"claim": "suspended", "equals": true}}), json!({"suspended": false}), true),
        (json!({"not": {"claim": "suspended", "equals": true}}), json!({"suspended": true}), false),
        (
            json!({"not": {"claim": "suspended", "equals": true}}),
            json!({"suspended": "true"}),
            false,
        ),
        (json!({"not": {"claim": "suspended", "equals": true}}), json!({}), false),
        (json!({"not": {"claim": "s", "equals": true, "absent": false}}), json!({}), true),
        (json!({"claim": "state", "none_of": ["bad"]}), json!({"state": "good"}), true),
        (json!({"claim": "state", "none_of": ["bad"]}), json!({"state": ["bad", 1]}), false),
        (json!({"claim": "state", "none_of": ["bad"]}), json!({"state": 1}), false),
        (json!({"claim": "state", "none_of": ["bad"]}), json!({"state": [{"bad": 1}]}), false),
        (json!({"claim": "state", "none_of": ["bad"]}), json!({"state": []}), true),
        (json!({"claim": "state", "present": true}), json!({"state": []}), false),
        (json!({"claim": "state", "present": false}), json!({"state": [null]}), true),
        (
            json!({"not": {"by_issuer": {"b": {"claim": "x", "equals": "y"}}}}),
            json!({"x": "z"}),
            false,
        ),
        (json!({"not": {"query": "env", "equals": "prod"}}), json!({}), false),
        (json!({"claim": "n", "at_least": 5}), json!({"n": "9"}), false),
        (json!({"claim": "n", "equals": 1}), json!({"n": 1.0}), true),
    ];
    for (require, claims, opens) in cases {
        let routes = json!([{"name": "guarded", "paths": ["/x"], "require": require}]);
        let loaded = load(configuration(routes)).unwrap();
        let got =
            decide(&loaded, "GET", "/x?env=dev&env=prod", Some(&token("a", &claims))) == "guarded";
        assert_eq!(got, opens, "{require} {claims}");
    }
}

#[test]
fn a_key_signs_for_its_own_issuer_only() {
    let routes = json!([{"name": "b-only", "paths": ["/b"], "issuers": ["b"]}, {"name": "both", "paths": ["/x"]}]);
    let loaded = load(configuration(routes)).unwrap();
    let (a, b) = (token("a", &json!({})), token("b", &json!({})));
    // The payload of one under the signature of the other.
    let mixed = format!("{}.{}", b.rsplit_once('.').unwrap().0, a.rsplit_once('.').unwrap().1);
    let cases = [
        ("/x", &a, "both"),
        ("/x", &b, "both"),
        ("/x", &mixed, "signature_invalid"),
        ("/b", &b, "b-only"),
        ("/b", &a, "issuer_unknown"),
    ];
    for (target, token, want) in cases {
        assert_eq!(decide(&loaded, "GET", target, Some(token)), want, "{target}");
    }
}

#[test]
fn a_refused_path_keeps_no_token() {
    let routes = json!([{"name": "x", "paths": ["/x"]}, {"name": "trial", "paths": ["/trial"], "mode": "shadow"}]);
    let loaded = load(configuration(routes)).unwrap();
    for target in ["/x", "/none", "/trial"] {
        let path = format!("{target}?a=1&access%5Ftoken=x.y.z&b=2");
        let headers: [Header<'_>; 3] =
            [(b":method", b"GET"), (b":authority", b"app.test"), (b":path", path.as_bytes())];
        let request = Request::new(&headers, &UnknownPeer);
        let outcome = loaded.engine.decide(&request, Timestamp::from_secs(NOW));
        let cleaned =
            claimgate::engine::Edit::Replace(":path", format!("{target}?a=1&b=2").into_bytes());
        assert!(outcome.edits.contains(&cleaned), "{target}");
        assert!(!format!("{outcome:?}").contains("x.y.z"), "Debug shows the token");
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let route = |change: Value| {
        let mut route = json!({"name": "x", "paths": ["/x"]});
        for (name, value) in change.as_object().unwrap() {
            route[name] = value.clone();
        }
        configuration(json!([route]))
    };
    let issuer = |change: Value| {
        let mut configuration = route(json!({}));
        for (name, value) in change.as_object().unwrap() {
            configuration["issuers"]["a"][name] = value.clone();
        }
        configuration
    };
    let identity = |name: &str| {
        let mut configuration = route(json!({}));
        configuration["identity"]["headers"] = json!({ name: "sub" });
        configuration
    };
    let siblings = configuration(json!([
        {"name": "one", "paths": ["/t/a*"], "methods": ["GET"]},
        {"name": "two", "paths": ["/t/*b"]},
    ]));
    let mut bomb = route(json!({"require": {"ref": "c4"}}));
    bomb["conditions"]["c0"] = json!({"claim": "x", "equals": "y"});
    for level in 1..5 {
        let refs = vec![json!({"ref": format!("c{}", level - 1)}); 40];
        bomb["conditions"][format!("c{level}")] = json!({ "any": refs });
    }
    let cases = [
        (route(json!({"require": null})), "routes[0].require: found null"),
        (route(json!({"hosts": null})), "routes[0].hosts: found null"),
        (
            route(json!({"require": {"claim": "x", "matches": "x)|(?:y"}})),
            "routes[0].require.matches",
        ),
        (route(json!({"require": {"claim": "/*/a", "present": true}})), "routes[0].require.claim"),
        (route(json!({"upgrade": [""]})), "routes[0].upgrade[0]"),
        (siblings, "routes[1]: routes `one` and `two` tie"),
        (bomb, "conditions.c"),
        (
            issuer(json!({"max_lifetime": "1h", "allow_no_expiry": true})),
            "issuers.a.allow_no_expiry",
        ),
        (issuer(json!({"clock_skew": "300000d"})), "issuers.a.clock_skew"),
        (issuer(json!({"token_from": [{"cookie": "a=b;c"}]})), "issuers.a.token_from[0].cookie"),
        (
            issuer(json!({"token_from": [{"cookie": "a", "origins": ["null"]}]})),
            "issuers.a.token_from[0].origins[0]",
        ),
        (
            issuer(
                json!({"token_from": [{"header": "authorization"}, {"header": "Authorization", "scheme": "Bearer"}]}),
            ),
            "issuers.a.token_from",
        ),
        (issuer(json!({"issuer": "b"})), "issuers.b.issuer: issuer `a` has the same `iss`"),
        (identity("x-original-url"), "identity.headers.x-original-url"),
        (identity("content_length"), "identity.headers.content_length"),
        (identity("x_envoy_original_path"), "identity.headers.x_envoy_original_path"),
    ];
    for (configuration, want) in cases {
        let error = load(configuration).err().unwrap_or_else(|| panic!("loads: {want}"));
        assert!(error.starts_with(want), "{error}, wanted {want}");
    }
}

#[test]
fn no_preflight_takes_the_way_of_a_route_on_trial() {
    let mut configuration = configuration(json!([
        {"name": "trial", "paths": ["/x"], "methods": ["GET"], "mode": "shadow"},
        {"name": "options", "paths": ["/x"], "methods": ["OPTIONS"]},
        {"name": "any-trial", "paths": ["/y"], "mode": "shadow"},
        {"name": "live", "paths": ["/z"], "methods": ["GET"]},
    ]));
    configuration["responses"] = json!({"cors": {"allow_origins": ["https://app.test"]}});
    let loaded = load(configuration).unwrap();
    let cases = [
        ("/x", "GET", "token_missing"),
        ("/x", "PUT", "method_not_allowed"),
        ("/y", "GET", "any-trial"),
        ("/z", "GET", "answered"),
    ];
    for (path, asked, want) in cases {
        let headers: [Header<'_>; 5] = [
            (b":method", b"OPTIONS"),
            (b":authority", b"app.test"),
            (b":path", path.as_bytes()),
            (b"origin", b"https://app.test"),
            (b"access-control-request-method", asked.as_bytes()),
        ];
        let request = Request::new(&headers, &UnknownPeer);
        let outcome = loaded.engine.decide(&request, Timestamp::from_secs(NOW));
        let got = match outcome.preflight {
            Some(_) => "answered".to_owned(),
            None => word(&loaded, &outcome),
        };
        assert_eq!(got, want, "{path} {asked}");
    }
}
