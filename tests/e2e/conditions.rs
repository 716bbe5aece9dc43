//! Conditions: every operator, every subject, three values.

use serde_json::{Value, json};

use crate::harness::keys::P256;
use crate::harness::{Proxy, Request, Setup, Table, changed, claims, filter};

/// A condition, the claims it meets, headers of the request, and whether it opens the route.
type Case = (&'static str, Value, Value, &'static [(&'static str, &'static str)], bool);

/// Serves every case by a route of its own, from one Envoy, and tries them all.
///
/// The request is `GET /case-N/prod?env=prod&tag=a&tag=b` for the host `acme.app.test`.
fn check(settings: Value, cases: &[Case]) {
    let routes: Vec<Value> = cases
        .iter()
        .enumerate()
        .map(|(number, (_, require, ..))| {
            json!({
                "name": format!("case-{number}"),
                "hosts": ["{tenant}.app.test"],
                "paths": [format!("/case-{number}/{{env}}")],
                "require": require,
            })
        })
        .collect();
    let proxy = Proxy::start(Setup::new(changed(filter(json!(routes)), settings)));
    let mut table = Table::new();
    for (number, (name, _, members, headers, opens)) in cases.iter().enumerate() {
        let token = claims().patched(members).sign(&P256);
        let target = format!("/case-{number}/prod?env=prod&tag=a&tag=b");
        let request = Request::get(target).host("acme.app.test").bearer(token).headers(headers);
        let expected = if *opens { "allowed" } else { "claims_insufficient" };
        table.row(*name, proxy.send(request).outcome(), expected);
    }
    table.check();
}

#[test]
#[rustfmt::skip]
fn sets_of_values() {
    let roles = || json!({"roles": ["reader", "sre"]});
    let condition = |operator: &str, values: Value| json!({"claim": "roles", operator: values});
    check(
        json!({}),
        &[
            ("any_of, one of two", condition("any_of", json!(["sre", "x"])), roles(), &[], true),
            ("any_of, none", condition("any_of", json!(["x"])), roles(), &[], false),
            ("any_of, a single string", condition("any_of", json!(["sre"])), json!({"roles": "sre"}), &[], true),
            ("any_of, not a part of a string", condition("any_of", json!(["sre"])), json!({"roles": "sre2"}), &[], false),
            ("any_of, case counts", condition("any_of", json!(["SRE"])), roles(), &[], false),
            ("any_of, an empty list", condition("any_of", json!(["sre"])), json!({"roles": []}), &[], false),
            ("any_of, numbers", condition("any_of", json!([1, 2])), json!({"roles": [2, 3]}), &[], true),
            ("any_of, types count", condition("any_of", json!(["1"])), json!({"roles": [1]}), &[], false),
            ("any_of, a boolean", condition("any_of", json!([true])), json!({"roles": true}), &[], true),
            ("all_of, all", condition("all_of", json!(["sre", "reader"])), roles(), &[], true),
            ("all_of, one missing", condition("all_of", json!(["sre", "x"])), roles(), &[], false),
            ("all_of, absent", condition("all_of", json!(["sre"])), json!({}), &[], false),
            ("none_of, none", condition("none_of", json!(["banned"])), roles(), &[], true),
            ("none_of, one", condition("none_of", json!(["banned", "sre"])), roles(), &[], false),
            ("none_of, absent is unknown", condition("none_of", json!(["banned"])), json!({}), &[], false),
            ("none_of, an empty list", condition("none_of", json!(["banned"])), json!({"roles": []}), &[], true),
            (
                "none_of, null is unknown",
                json!({"claim": "/x/roles", "none_of": ["banned"]}),
                json!({"x": {"roles": null}}),
                &[],
                false,
            ),
        ],
    );
}

#[test]
#[rustfmt::skip]
fn single_values() {
    let on = |operator: &str, value: Value| json!({"claim": "x", operator: value});
    check(
        json!({}),
        &[
            ("equals, a string", on("equals", json!("a")), json!({"x": "a"}), &[], true),
            ("equals, another", on("equals", json!("a")), json!({"x": "b"}), &[], false),
            ("equals, true", on("equals", json!(true)), json!({"x": true}), &[], true),
            ("equals, false", on("equals", json!(false)), json!({"x": false}), &[], true),
            ("equals, a string is no boolean", on("equals", json!(true)), json!({"x": "true"}), &[], false),
            ("equals, a string is no number", on("equals", json!(1)), json!({"x": "1"}), &[], false),
            ("equals, a number is no string", on("equals", json!("1")), json!({"x": 1}), &[], false),
            ("equals, a list is no scalar", on("equals", json!("a")), json!({"x": ["a"]}), &[], false),
            (
                "equals, 64 bits",
                on("equals", json!(9_007_199_254_740_993_u64)),
                json!({"x": 9_007_199_254_740_993_u64}),
                &[],
                true,
            ),
            (
                "equals, one off beyond 2^53",
                on("equals", json!(9_007_199_254_740_993_u64)),
                json!({"x": 9_007_199_254_740_992_u64}),
                &[],
                false,
            ),
            ("present", on("present", json!(true)), json!({"x": 0}), &[], true),
            ("present, absent", on("present", json!(true)), json!({}), &[], false),
            ("not present", on("present", json!(false)), json!({}), &[], true),
            ("not present, but is", on("present", json!(false)), json!({"x": false}), &[], false),
            ("matches, whole", on("matches", json!("sre-[0-9]+")), json!({"x": "sre-12"}), &[], true),
            ("matches, only the beginning", on("matches", json!("sre")), json!({"x": "sre-12"}), &[], false),
            ("matches, only the end", on("matches", json!("12")), json!({"x": "sre-12"}), &[], false),
            ("matches, alternatives as a whole", on("matches", json!("a|ab")), json!({"x": "xab"}), &[], false),
            ("matches, the longer alternative", on("matches", json!("a|ab")), json!({"x": "ab"}), &[], true),
            ("matches, one of a list", on("matches", json!("b.")), json!({"x": ["a1", "b1"]}), &[], true),
            ("matches, a line end is no end", on("matches", json!("sre")), json!({"x": "sre\n"}), &[], false),
            ("matches, a number is no text", on("matches", json!("[0-9]")), json!({"x": 1}), &[], false),
            ("at_least, equal", on("at_least", json!(3)), json!({"x": 3}), &[], true),
            ("at_least, less", on("at_least", json!(3)), json!({"x": 2.9}), &[], false),
            ("at_least, a fraction", on("at_least", json!(2.5)), json!({"x": 2.75}), &[], true),
            ("at_least, a string", on("at_least", json!(3)), json!({"x": "4"}), &[], false),
            ("at_most, equal", on("at_most", json!(3)), json!({"x": 3}), &[], true),
            ("at_most, more", on("at_most", json!(3)), json!({"x": 4}), &[], false),
            ("at_most, negative", on("at_most", json!(-1)), json!({"x": -2}), &[], true),
            (
                "at_most, 64 bits",
                on("at_most", json!(9_007_199_254_740_992_u64)),
                json!({"x": 9_007_199_254_740_993_u64}),
                &[],
                false,
            ),
            ("at_most, beyond 64 bits signed", on("at_least", json!(u64::MAX)), json!({"x": u64::MAX}), &[], true),
        ],
    );
}

#[test]
#[rustfmt::skip]
fn where_a_claim_is() {
    let url = "https://example.com/roles";
    let any = |claim: &str| json!({"claim": claim, "any_of": ["sre"]});
    let nested = || json!({"realm_access": {"roles": ["sre"]}});
    check(
        json!({}),
        &[
            ("a name that is a URL", any(url), json!({url: ["sre"]}), &[], true),
            ("a name with dots", any("a.b.c"), json!({"a.b.c": "sre"}), &[], true),
            ("dots are no path", any("a.b.c"), json!({"a": {"b": {"c": "sre"}}}), &[], false),
            ("a pointer", any("/realm_access/roles"), nested(), &[], true),
            ("a pointer to nowhere", any("/realm_access/groups"), nested(), &[], false),
            ("a pointer through a scalar", any("/roles/x"), json!({"roles": "sre"}), &[], false),
            (
                "a pointer with an index",
                any("/groups/1/name"),
                json!({"groups": [{"name": "a"}, {"name": "sre"}]}),
                &[],
                true,
            ),
            (
                "a pointer to every element",
                any("/groups/*/name"),
                json!({"groups": [{"name": "a"}, {"name": "sre"}]}),
                &[],
                true,
            ),
            ("every element, none of them", any("/groups/*/name"), json!({"groups": [{"name": "a"}]}), &[], false),
            (
                "every element of what is no list",
                any("/groups/*/name"),
                json!({"groups": {"*": {"name": "sre"}}}),
                &[],
                false,
            ),
            ("an escaped slash and tilde", any("/a~1b/c~0d"), json!({"a/b": {"c~d": "sre"}}), &[], true),
        ],
    );
}

#[test]
#[rustfmt::skip]
fn three_values() {
    let yes = || json!({"claim": "sub", "equals": "alice"});
    let no = || json!({"claim": "sub", "equals": "bob"});
    let unknown = || json!({"claim": "absent", "equals": 1});
    let absent = |means: bool| json!({"claim": "absent", "any_of": ["x"], "absent": means});
    let wrong_type = || json!({"claim": "sub", "at_least": 1});
    check(
        json!({"conditions": {"alice": yes(), "nested": {"not": {"ref": "bob"}}, "bob": no()}}),
        &[
            ("true", yes(), json!({}), &[], true),
            ("false", no(), json!({}), &[], false),
            ("unknown", unknown(), json!({}), &[], false),
            ("not true", json!({"not": yes()}), json!({}), &[], false),
            ("not false", json!({"not": no()}), json!({}), &[], true),
            ("not unknown", json!({"not": unknown()}), json!({}), &[], false),
            ("not not unknown", json!({"not": {"not": unknown()}}), json!({}), &[], false),
            ("not of a wrong type", json!({"not": wrong_type()}), json!({}), &[], false),
            ("all", json!({"all": [yes(), yes()]}), json!({}), &[], true),
            ("all, one false", json!({"all": [yes(), no()]}), json!({}), &[], false),
            ("all, one unknown", json!({"all": [yes(), unknown()]}), json!({}), &[], false),
            ("not all, one false, one unknown", json!({"not": {"all": [no(), unknown()]}}), json!({}), &[], true),
            ("not all, one unknown", json!({"not": {"all": [yes(), unknown()]}}), json!({}), &[], false),
            ("any", json!({"any": [no(), yes()]}), json!({}), &[], true),
            ("any, one unknown, one true", json!({"any": [unknown(), yes()]}), json!({}), &[], true),
            ("any, one unknown, one false", json!({"any": [unknown(), no()]}), json!({}), &[], false),
            ("not any, one unknown, one false", json!({"not": {"any": [unknown(), no()]}}), json!({}), &[], false),
            ("not any, all false", json!({"not": {"any": [no(), no()]}}), json!({}), &[], true),
            ("absent means true", absent(true), json!({}), &[], true),
            ("absent means false", absent(false), json!({}), &[], false),
            ("not absent that means false", json!({"not": absent(false)}), json!({}), &[], true),
            ("absent means true, but is there", absent(true), json!({"absent": "y"}), &[], false),
            ("a named condition", json!({"ref": "alice"}), json!({}), &[], true),
            ("a named condition that names another", json!({"ref": "nested"}), json!({}), &[], true),
            ("by issuer", json!({"by_issuer": {"corp": yes()}}), json!({}), &[], true),
            ("by issuer, false", json!({"by_issuer": {"corp": no()}}), json!({}), &[], false),
        ],
    );
}

#[test]
#[rustfmt::skip]
fn subjects_of_the_request() {
    let is = |kind: &str, name: &str, value: &str| json!({kind: name, "equals": value});
    let any = |kind: &str, name: &str| json!({kind: name, "any_of": ["a", "c"]});
    let attributes = json!({"issuers": {"corp": {"attributes": {"tenant": "tid", "subject": "uid"}}}});
    check(
        attributes,
        &[
            ("an attribute", is("attribute", "tenant", "acme"), json!({"tid": "acme"}), &[], true),
            ("an attribute that is absent", is("attribute", "tenant", "acme"), json!({}), &[], false),
            ("the issuer's name", is("attribute", "issuer", "corp"), json!({}), &[], true),
            ("the subject", is("attribute", "subject", "u-1"), json!({"uid": "u-1"}), &[], true),
            ("a capture of the path", is("path", "env", "prod"), json!({}), &[], true),
            ("a capture of the path, another", is("path", "env", "dev"), json!({}), &[], false),
            ("a capture of the host", is("host", "tenant", "acme"), json!({}), &[], true),
            ("the method", json!({"method": true, "any_of": ["GET", "HEAD"]}), json!({}), &[], true),
            ("the method, another", json!({"method": true, "equals": "POST"}), json!({}), &[], false),
            ("a header", any("header", "x-tag"), json!({}), &[("x-tag", "a")], true),
            ("a header, its name in capitals", any("header", "x-tag"), json!({}), &[("X-Tag", "a")], true),
            ("a header that is absent", any("header", "x-tag"), json!({}), &[], false),
            ("every occurrence of a header", any("header", "x-tag"), json!({}), &[("x-tag", "a"), ("x-tag", "c")], true),
            ("one bad occurrence of a header", any("header", "x-tag"), json!({}), &[("x-tag", "a"), ("x-tag", "b")], false),
            (
                "none_of, one bad occurrence",
                json!({"header": "x-tag", "none_of": ["b"]}),
                json!({}),
                &[("x-tag", "a"), ("x-tag", "b")],
                false,
            ),
            ("a query parameter", is("query", "env", "prod"), json!({}), &[], true),
            ("one bad occurrence of a parameter", any("query", "tag"), json!({}), &[], false),
            ("every occurrence of a parameter", json!({"query": "tag", "any_of": ["a", "b"]}), json!({}), &[], true),
            ("a cookie", any("cookie", "c"), json!({}), &[("cookie", "b=1; c=a")], true),
            ("one bad cookie of that name", any("cookie", "c"), json!({}), &[("cookie", "c=a; c=b")], false),
            (
                "a bad cookie in another header",
                any("cookie", "c"),
                json!({}),
                &[("cookie", "c=a"), ("cookie", "c=b")],
                false,
            ),
            ("the address", json!({"client_address": ["127.0.0.0/8", "::1/128"]}), json!({}), &[], true),
            ("another address", json!({"client_address": ["10.0.0.0/8"]}), json!({}), &[], false),
            (
                "an address that the client claims",
                json!({"client_address": ["10.0.0.0/8"]}),
                json!({}),
                &[("x-forwarded-for", "10.0.0.1"), ("x-real-ip", "10.0.0.1"), ("x-envoy-external-address", "10.0.0.1")],
                false,
            ),
            ("a certificate where there is none", json!({"peer": "uri_san", "matches": ".*"}), json!({}), &[], false),
            (
                "no certificate, said to be fine",
                json!({"peer": "sha256", "equals": "x", "absent": true}),
                json!({}),
                &[],
                true,
            ),
        ],
    );
}

#[test]
fn a_condition_by_issuer_refuses_those_it_does_not_list() {
    let mut config = filter(json!([{
        "name": "all", "paths": ["/**"], "issuers": ["corp", "partner"],
        "require": {"by_issuer": {"corp": {"claim": "roles", "any_of": ["sre"]}}},
    }]));
    config["issuers"]["partner"] = config["issuers"]["corp"].clone();
    config["issuers"]["partner"]["issuer"] = json!("https://partner.test");
    let proxy = Proxy::start(Setup::new(config));
    let claims = claims().with("roles", json!(["sre"]));
    proxy.send(Request::get("/").bearer(claims.sign(&P256))).allowed();
    let partner = claims.with("iss", "https://partner.test").sign(&P256);
    proxy.send(Request::get("/").bearer(partner)).refused("claims_insufficient");
}

#[test]
#[rustfmt::skip]
fn scopes() {
    let routes = json!([
        {"name": "both", "paths": ["/both"], "require": {"scopes": ["logs:read", "logs:list"]}},
        {"name": "either", "paths": ["/either"], "require": {"any_scope": ["logs:read", "logs:admin"]}},
    ]);
    let proxy = Proxy::start(Setup::new(filter(routes)));
    let mut table = Table::new();
    for (path, claim, expected) in [
        ("/both", json!({"scope": "logs:read logs:list other"}), "allowed"),
        ("/both", json!({"scope": "logs:list logs:read"}), "allowed"),
        ("/both", json!({"scope": "logs:read"}), "scope_insufficient"),
        ("/both", json!({"scope": "logs:read,logs:list"}), "scope_insufficient"),
        ("/both", json!({"scope": "xlogs:read logs:list"}), "scope_insufficient"),
        ("/both", json!({"scope": ""}), "scope_insufficient"),
        ("/both", json!({}), "scope_insufficient"),
        ("/both", json!({"scp": ["logs:read", "logs:list"]}), "allowed"),
        ("/both", json!({"scp": "logs:read logs:list"}), "allowed"),
        ("/both", json!({"scp": ["logs:read"]}), "scope_insufficient"),
        ("/either", json!({"scope": "logs:admin"}), "allowed"),
        ("/either", json!({"scope": "logs:write"}), "scope_insufficient"),
        ("/either", json!({}), "scope_insufficient"),
    ] {
        let token = claims().patched(&claim).sign(&P256);
        table.row(format!("{path} {claim}"), proxy.send(Request::get(path).bearer(token)).outcome(), expected);
    }
    table.check();
    let refusal = proxy.send(Request::get("/both").bearer(claims().sign(&P256)));
    let challenge = refusal.header("www-authenticate").unwrap();
    assert!(challenge.contains(r#"error="insufficient_scope""#), "{challenge}");
    assert!(challenge.contains(r#"scope="logs:read logs:list""#), "{challenge}");
}
