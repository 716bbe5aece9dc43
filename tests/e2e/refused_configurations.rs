//! Configurations that are refused, with the place and never with a secret, while the old one serves on.

use serde_json::{Value, json};

use crate::harness::keys::{self, P256};
use crate::harness::{Proxy, Request, Setup, Table, changed, claims, filter, secrets};

/// The configuration that every case breaks in one place.
fn good() -> Value {
    filter(json!([{"name": "all", "paths": ["/**"]}]))
}

/// Each case: its name, what is changed in [`good`], and what the filter's log has to name (`a&b`: both).
fn check(cases: Vec<(&str, Value, &str)>) {
    let proxy = Proxy::start(Setup::new(good()).pushed());
    let mut table = Table::new();
    for (name, patch, place) in cases {
        match proxy.push(changed(good(), patch)) {
            Ok(()) => {
                table.hold(name, false, "was accepted");
                proxy.push(good()).unwrap();
            }
            Err(log) => {
                let named = place.split('&').all(|part| log.contains(part));
                table.hold(name, named, format!("`{place}` is not in the filter's log: {log}"));
            }
        }
        let serves = proxy.send(Request::get("/").bearer(claims().sign(&P256))).outcome();
        table.row(format!("{name}: the old one"), serves, "allowed");
    }
    table.check();
}

/// Changes of the only route.
fn route(patch: Value) -> Value {
    json!({"routes": [changed(json!({"name": "all", "paths": ["/**"]}), patch)]})
}

/// A condition for the only route.
fn require(condition: Value) -> Value {
    route(json!({"require": condition}))
}

fn corp(patch: Value) -> Value {
    json!({"issuers": {"corp": patch}})
}

#[test]
#[rustfmt::skip]
fn documents() {
    check(vec![
        ("an unknown key", json!({"isuers": {}}), "isuers"),
        ("an unknown key that is nearly an extension", json!({"X-anchors": {}}), "X-anchors"),
        ("another version", json!({"version": 2}), "version"),
        ("a version that is no number", json!({"version": "1"}), "version"),
        ("a mode that is none", json!({"mode": "off"}), "mode"),
        ("routes that are no list", json!({"routes": {}}), "routes"),
        ("issuers that are a list", json!({"issuers": []}), "issuers"),
        ("sizes that are text", json!({"max_token_bytes": "16k"}), "max_token_bytes"),
        ("sizes that are negative", json!({"max_token_bytes": -1}), "max_token_bytes"),
        ("a relaxation that is none", json!({"path_safety": {"encoded_slash": "yes"}}), "path_safety.encoded_slash"),
        ("a relaxation that is unknown", json!({"path_safety": {"dots": "allow"}}), "path_safety"),
    ]);
}

#[test]
#[rustfmt::skip]
fn limits() {
    let limit = |patch: Value| {
        let limit = json!({"name": "few", "by": ["subject"], "requests": 1, "per": "1m"});
        json!({"limits": [changed(limit, patch)]})
    };
    check(vec![
        ("an unknown key", limit(json!({"rate": 1})), "limits[0]"),
        ("no rate", limit(json!({"per": null})), "limits[0]&`per` is missing"),
        ("a rate of nothing", limit(json!({"requests": 0})), "limits[0].requests"),
        ("a rate that is a fraction", limit(json!({"requests": 1.5})), "limits[0].requests"),
        ("a part that is none", limit(json!({"by": ["user"]})), "limits[0].by[0]"),
        ("an unknown route", limit(json!({"routes": ["nowhere"]})), "limits[0].routes[0]&`all`"),
        ("a table of nobody", json!({"limit_identities": 0}), "limit_identities"),
    ]);
}

#[test]
#[rustfmt::skip]
fn issuers() {
    let secret = "a-secret-that-may-not-be-seen-in-any-log";
    secrets::keep_out_of_logs(secret);
    secrets::keep_out_of_logs(&keys::base64(secret));
    let partner = |patch: Value| json!({"issuers": {"partner": changed(crate::harness::corp(), patch)}, "defaults": {"issuers": ["corp"]}});
    check(vec![
        ("an unknown key", corp(json!({"audience": "x"})), "issuers.corp"),
        ("no issuer", corp(json!({"issuer": null})), "issuers.corp"),
        ("no keys", corp(json!({"keys": []})), "issuers.corp.keys"),
        ("keys missing", corp(json!({"keys": null})), "issuers.corp"),
        ("no audience", corp(json!({"audiences": null})), "issuers.corp"),
        ("an empty list of audiences", corp(json!({"audiences": []})), "issuers.corp.audiences"),
        ("audiences and any audience", corp(json!({"any_audience": true})), "issuers.corp"),
        ("only odd keys", corp(json!({"keys": [{"jwks": {"keys": [{"kty": "odd"}]}}]})), "issuers.corp.keys"),
        ("only oct keys", corp(json!({"keys": [{"jwks": {"keys": [keys::SECRET.jwk]}}]})), "issuers.corp.keys"),
        ("an empty key set", corp(json!({"keys": [{"jwks": {"keys": []}}]})), "issuers.corp.keys"),
        ("a key set that is none", corp(json!({"keys": [{"jwks": {"key": []}}]})), "issuers.corp.keys[0]"),
        ("a PEM that is none", corp(json!({"keys": [{"pem": "-----BEGIN NOTHING-----"}]})), "issuers.corp.keys[0]"),
        (
            "two sources in one",
            corp(json!({"keys": [{"pem": P256.pem, "jwks": {"keys": [P256.jwk]}}]})),
            "issuers.corp.keys[0]",
        ),
        ("a source that is none", corp(json!({"keys": [{"kid": "x"}]})), "issuers.corp.keys[0]"),
        (
            "a secret beside a public key",
            corp(json!({"keys": [{"jwks": {"keys": [P256.jwk]}}, {"secret": {"utf8": secret}, "algorithms": ["HS256"]}]})),
            "issuers.corp.keys",
        ),
        (
            "a secret for an asymmetric algorithm",
            corp(json!({"keys": [{"secret": {"utf8": secret}, "algorithms": ["RS256"]}]})),
            "issuers.corp.keys[0]",
        ),
        (
            "a secret from two places",
            corp(json!({"keys": [{"secret": {"utf8": secret, "env": "S"}, "algorithms": ["HS256"]}]})),
            "issuers.corp.keys[0].secret",
        ),
        (
            "a secret that is no base64",
            corp(json!({"keys": [{"secret": {"base64": format!("{secret}!")}, "algorithms": ["HS256"]}]})),
            "issuers.corp.keys[0].secret",
        ),
        (
            "a secret that is text",
            corp(json!({"keys": [{"secret": secret, "algorithms": ["HS256"]}]})),
            "issuers.corp.keys[0].secret",
        ),
        ("the algorithm none", corp(json!({"algorithms": ["none"]})), "issuers.corp.algorithms"),
        ("a revocation of nothing", corp(json!({"revocation": {}})), "issuers.corp.revocation"),
        ("a revoked id that is no text", corp(json!({"revocation": {"tokens": [1]}})), "issuers.corp.revocation.tokens[0]"),
        ("a revocation at a date", corp(json!({"revocation": {"issued_before": "2026-01-01"}})), "issuers.corp.revocation.issued_before&2026-11-22T10:00:00Z"),
        ("a revocation in another zone", corp(json!({"revocation": {"subjects": {"a": "2026-01-01T00:00:00+01:00"}}})), "issuers.corp.revocation.subjects.a"),
        ("revocations from nowhere", corp(json!({"revocation": {"remote": {"cluster": "idp"}}})), "issuers.corp.revocation.remote&url"),
        ("a stale list that is ignored", corp(json!({"revocation": {"remote": {"cluster": "idp", "url": "https://a/b", "on_stale": "ignore"}}})), "issuers.corp.revocation.remote.on_stale"),
        ("an unknown algorithm", corp(json!({"algorithms": ["ES257"]})), "issuers.corp.algorithms"),
        ("algorithms that no key admits", corp(json!({"algorithms": ["RS256"]})), "issuers.corp"),
        ("an HMAC for public keys", corp(json!({"algorithms": ["HS256"]})), "issuers.corp"),
        ("no algorithms", corp(json!({"algorithms": []})), "issuers.corp.algorithms"),
        ("a skew that is a number", corp(json!({"clock_skew": 30})), "issuers.corp.clock_skew"),
        ("a skew without a unit", corp(json!({"clock_skew": "30"})), "issuers.corp.clock_skew"),
        ("a negative skew", corp(json!({"clock_skew": "-30s"})), "issuers.corp.clock_skew"),
        ("places that are none", corp(json!({"token_from": []})), "issuers.corp.token_from"),
        (
            "a place of two kinds",
            corp(json!({"token_from": [{"header": "a", "cookie": "b"}]})),
            "issuers.corp.token_from[0]",
        ),
        ("a place with an unknown key", corp(json!({"token_from": [{"headers": "a"}]})), "issuers.corp.token_from[0]"),
        ("a name in capitals", json!({"issuers": {"Corp": crate::harness::corp(), "corp": null}}), "Corp"),
        ("two issuers of one iss", partner(json!({})), "issuers."),
        (
            "an RSA key that is too small",
            corp(json!({"keys": [{"jwks": {"keys": [
                {"kty": "RSA", "e": "AQAB", "n": keys::base64url([0xc3; 128])},
            ]}}]})),
            "issuers.corp.keys",
        ),
    ]);
}

#[test]
#[rustfmt::skip]
fn routes() {
    let two = |first: Value, second: Value| json!({"routes": [first, second]});
    let partner = json!({"partner": changed(crate::harness::corp(), json!({"issuer": "https://partner.test"}))});
    check(vec![
        ("an unknown key", route(json!({"path": "/x"})), "routes[0]"),
        ("no name", route(json!({"name": null})), "routes[0]"),
        ("a name with blanks", route(json!({"name": "a b"})), "routes[0].name"),
        ("no paths", route(json!({"paths": null})), "routes[0]"),
        ("an empty list of paths", route(json!({"paths": []})), "routes[0].paths"),
        ("paths that are text", route(json!({"paths": "/x"})), "routes[0].paths"),
        ("a path without a slash", route(json!({"paths": ["x"]})), "routes[0].paths[0]"),
        ("stars within", route(json!({"paths": ["/a/**/b"]})), "routes[0].paths[0]"),
        ("a brace that stays open", route(json!({"paths": ["/a/{b"]})), "routes[0].paths[0]"),
        ("a capture without a name", route(json!({"paths": ["/a/{}"]})), "routes[0].paths[0]"),
        ("a capture twice", route(json!({"paths": ["/{a}/{a}"]})), "routes[0].paths[0]"),
        ("captures that touch", route(json!({"paths": ["/{a}{b}"]})), "routes[0].paths[0]"),
        ("dots in a pattern", route(json!({"paths": ["/a/../b"]})), "routes[0].paths[0]"),
        ("an empty segment", route(json!({"paths": ["/a//b"]})), "routes[0].paths[0]"),
        ("a star within a host", route(json!({"hosts": ["a.*.test"]})), "routes[0].hosts[0]"),
        ("a host with a port", route(json!({"hosts": ["a.test:80"]})), "routes[0].hosts[0]"),
        ("no hosts", route(json!({"hosts": []})), "routes[0].hosts"),
        ("no methods", route(json!({"methods": []})), "routes[0].methods"),
        ("a mode that is none", route(json!({"token": "maybe"})), "routes[0].token"),
        ("an issuer that is unknown", route(json!({"issuers": ["partner"]})), "routes[0].issuers"),
        ("no issuers", route(json!({"issuers": []})), "routes[0].issuers"),
        ("two issuers and none chosen", json!({"issuers": partner}), "routes[0]"),
        ("an unknown issuer as default", json!({"defaults": {"issuers": ["partner"]}}), "defaults.issuers"),
        ("an unknown default", json!({"defaults": {"token": "none"}}), "defaults"),
        (
            "claims without a token",
            route(json!({"token": "none", "require": {"claim": "x", "present": true}})),
            "routes[0]",
        ),
        ("denied and conditional", route(json!({"deny": true, "require": {"claim": "x", "present": true}})), "routes[0]"),
        ("two of a name", two(json!({"name": "x", "paths": ["/a"]}), json!({"name": "x", "paths": ["/b"]})), "routes[1]"),
        ("a tie", two(json!({"name": "one", "paths": ["/a/{x}"]}), json!({"name": "two", "paths": ["/a/*"]})), "one&two"),
    ]);
}

#[test]
#[rustfmt::skip]
fn conditions() {
    check(vec![
        ("empty", require(json!({})), "routes[0].require"),
        ("an unknown key", require(json!({"claim": "x", "equal": 1})), "routes[0].require"),
        ("no operator", require(json!({"claim": "x"})), "routes[0].require"),
        ("no subject", require(json!({"any_of": ["x"]})), "routes[0].require"),
        ("two operators", require(json!({"claim": "x", "equals": 1, "present": true})), "routes[0].require"),
        ("two subjects", require(json!({"claim": "x", "header": "y", "equals": "1"})), "routes[0].require"),
        ("two combinations", require(json!({"all": [{"scopes": ["a"]}], "any": [{"scopes": ["a"]}]})), "routes[0].require"),
        ("an empty list of values", require(json!({"claim": "x", "any_of": []})), "routes[0].require"),
        ("an empty all", require(json!({"all": []})), "routes[0].require"),
        ("an empty any", require(json!({"any": []})), "routes[0].require"),
        ("empty scopes", require(json!({"scopes": []})), "routes[0].require"),
        (
            "deep within",
            require(json!({"all": [{"scopes": ["a"]}, {"not": {"claim": "x", "any_of": []}}]})),
            "routes[0].require.all[1].not",
        ),
        ("a name that is unknown", require(json!({"ref": "nobody"})), "routes[0].require"),
        ("a list to equal", require(json!({"claim": "x", "equals": ["a"]})), "routes[0].require"),
        ("a bound that is text", require(json!({"claim": "x", "at_least": "3"})), "routes[0].require.at_least"),
        ("a bad expression", require(json!({"claim": "x", "matches": "("})), "routes[0].require.matches"),
        ("a back reference", require(json!({"claim": "x", "matches": "(a)\\1"})), "routes[0].require.matches"),
        (
            "a placeholder in an expression",
            require(json!({"claim": "x", "matches": "${host}"})),
            "routes[0].require.matches",
        ),
        ("a bad network", require(json!({"client_address": ["10.0.0.0/33"]})), "routes[0].require.client_address"),
        (
            "a placeholder as a network",
            require(json!({"client_address": ["${query.ip}"]})),
            "routes[0].require.client_address",
        ),
        ("a capture that is not there", require(json!({"path": "env", "equals": "x"})), "routes[0].require"),
        ("a placeholder for it", require(json!({"claim": "x", "any_of": ["${path.env}"]})), "routes[0].require"),
        ("a placeholder that is unknown", require(json!({"claim": "x", "any_of": ["${body.x}"]})), "routes[0].require"),
        ("a placeholder that stays open", require(json!({"claim": "x", "any_of": ["${path.x"]})), "routes[0].require"),
        ("an unknown issuer", require(json!({"by_issuer": {"nobody": {"scopes": ["a"]}}})), "routes[0].require.by_issuer"),
        ("an unknown attribute", require(json!({"attribute": "tenant", "equals": "x"})), "routes[0].require"),
        ("an unknown part of a certificate", require(json!({"peer": "name", "equals": "x"})), "routes[0].require.peer"),
        ("a circle", json!({"conditions": {"a": {"ref": "b"}, "b": {"not": {"ref": "a"}}}}), "conditions"),
        ("a bad condition that nobody uses", json!({"conditions": {"a": {"claim": "x"}}}), "conditions.a"),
    ]);
}

#[test]
#[rustfmt::skip]
fn identity() {
    let header = |name: &str| json!({"identity": {"headers": {name: "sub"}}});
    check(vec![
        ("an unknown key", json!({"identity": {"header": {}}}), "identity"),
        ("a pseudo-header", header(":path"), "identity.headers"),
        ("the host", header("host"), "identity.headers"),
        ("the length", header("content-length"), "identity.headers"),
        ("cookies", header("cookie"), "identity.headers"),
        ("a hop-by-hop header", header("connection"), "identity.headers"),
        ("another hop-by-hop header", header("transfer-encoding"), "identity.headers"),
        ("one of Envoy's own", header("x-envoy-user"), "identity.headers"),
        ("one with a blank", header("x user"), "identity.headers"),
        ("an empty name", header(""), "identity.headers"),
        (
            "a format that is none",
            json!({"identity": {"headers": {"x-a": {"claim": "a", "format": "xml"}}}}),
            "identity.headers",
        ),
        (
            "claim and attribute",
            json!({"identity": {"headers": {"x-a": {"claim": "a", "attribute": "subject"}}}}),
            "identity.headers",
        ),
        ("an unknown attribute", json!({"identity": {"headers": {"x-a": {"attribute": "nobody"}}}}), "identity.headers"),
        (
            "a payload header of Envoy's",
            json!({"identity": {"payload_header": "x-envoy-payload"}}),
            "identity.payload_header",
        ),
        (
            "a payload header that is managed",
            json!({"identity": {"headers": {"x-a": "sub"}, "payload_header": "x-a"}}),
            "identity",
        ),
    ]);
}

#[test]
#[rustfmt::skip]
fn audit() {
    let audit = |patch: Value| json!({"audit": patch});
    let long = "a key of more than thirty-two bytes";
    let pem = jwt_simple::algorithms::Ed25519KeyPair::generate().to_pem();
    check(vec![
        ("a rate of nothing", audit(json!({"allowed": 0})), "audit.allowed"),
        ("a rate of more than all", audit(json!({"denied": 1.5})), "audit.denied"),
        ("a word that is no share", audit(json!({"denied": "some"})), "audit.denied"),
        ("a rate of a route", route(json!({"audit": {"allowed": -1}})), "routes[0].audit.allowed"),
        ("a cap that is negative", audit(json!({"max_per_second": {"denied": -1}})), "audit.max_per_second.denied"),
        ("a level that is none", audit(json!({"level": "loud"})), "audit.level"),
        ("a way to show that is none", audit(json!({"subject": "half"})), "audit.subject"),
        ("a claim that is shown as nothing", audit(json!({"claims": {"email": "none"}})), "audit.claims.email"),
        ("a pointer that is none", audit(json!({"claims": {"/a~2": "plain"}})), "audit.claims[\"/a~2\"]"),
        ("a hash without a key", audit(json!({"subject": "hash"})), "audit"),
        ("a hash of a claim without a key", audit(json!({"claims": {"email": "hash"}})), "audit"),
        ("a short key", audit(json!({"subject": "hash", "hash_key": {"utf8": "short"}})), "audit.hash_key"),
        ("a key that is not set", audit(json!({"subject": "hash", "hash_key": {"env": "NOT_SET"}})), "audit.hash_key.env"),
        ("a time without a unit", audit(json!({"open_after": "10"})), "audit.open_after"),
        ("a time of nothing", audit(json!({"open_after": "0s"})), "audit.open_after"),
        ("integrity without a key", audit(json!({"integrity": {}})), "audit.integrity"),
        ("a key that is none", audit(json!({"integrity": {"sign": {"utf8": long}, "key_id": "1"}})), "audit.integrity.sign.utf8"),
("an id of a key that is none", audit(json!({"integrity": {"sign": {"utf8": pem}, "key_id": "\n"}})), "audit.integrity.key_id"),
    ]);
}
