//! Limits that cannot be meant.

use crate::gate::*;
use serde_json::{Value, json};

#[test]
#[rustfmt::skip]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let tiers = |tiers: Value| {
        configuration(json!([{"name": "x", "by": ["subject"], "tier": {"claim": "plan"}, "tiers": tiers}]))
    };
    let rate = || json!({"requests": 1, "per": "1m"});
    let one = |changes: Value| configuration(json!([limit(changes)]));
    let identities = |count: Value| {
        let mut configuration = one(json!({}));
        configuration["limit_identities"] = count;
        configuration
    };
    let bare = |limit: Value| configuration(json!([limit]));
    let many: Vec<Value> = (0..65).map(|n| limit(json!({"name": format!("l{n}")}))).collect();
    let path = json!({"path": "env", "equals": "x"});
    let host = json!({"not": {"host": "tenant", "equals": "x"}});
    let cases = [
        (identities(json!(7)), "limit_identities: expected between 8 and 4194304"),
        (identities(json!(4_194_305)), "limit_identities: expected between 8 and 4194304"),
        (configuration(json!(many)), "limits: more than 64: each costs every request"),
        (configuration(json!([limit(json!({})), limit(json!({}))])), "limits[1].name: two limits are called `three`"),
        (bare(json!({"by": ["subject"], "requests": 1, "per": "1m"})), "limits[0]: `name` is missing"),
        (one(json!({"name": "Three"})), "limits[0].name: "),
        (bare(json!({"name": "x", "requests": 1, "per": "1m"})), "limits[0]: `by` is missing: what is counted together"),
        (one(json!({"by": []})), "limits[0].by: "),
        (one(json!({"by": ["user"]})), "limits[0].by[0]"),
        (one(json!({"by": ["subject", "subject"]})), "limits[0].by[1]: is there twice"),
        (one(json!({"by": [{"claim": "a"}, {"claim": "a"}]})), "limits[0].by[1]: is there twice"),
        (one(json!({"by": [{}]})), "limits[0].by[0]: `claim` is missing"),
        (one(json!({"by": [{"claim": "/a/*"}]})), "limits[0].by[0].claim: `*` names several values"),
        (one(json!({"by": [{"clam": "a"}]})), "limits[0].by[0]"),
        (one(json!({"count": "refused"})), "limits[0].by: with `count: refused` it is `[client_address]`"),
        (one(json!({"count": "refused", "by": ["client_address", "route"]})), "limits[0].by: with `count: refused`"),
        (
            bare(json!({"name": "x", "by": ["client_address"], "count": "refused", "tier": {"claim": "p"}, "tiers": {"default": rate()}})),
            "limits[0].tier: a refused token is of no tier",
        ),
        (one(json!({"count": "all"})), "limits[0].count"),
        (one(json!({"mode": "off"})), "limits[0].mode"),
        (one(json!({"when": path})), "limits[0].when: reads a capture, which not every route has"),
        (one(json!({"when": host})), "limits[0].when: reads a capture, which not every route has"),
        (one(json!({"when": {"claim": "x"}})), "limits[0].when"),
        (one(json!({"routes": []})), "limits[0].routes: "),
        (one(json!({"routes": ["one", "nowhere"]})), "limits[0].routes[1]: no route `nowhere`, there are: `one`"),
        (one(json!({"routes": ["closed"]})), "limits[0].routes[0]: route `closed` lets nothing pass"),
        (one(json!({"requests": 0})), "limits[0].requests: found 0, expected at least 1"),
        (one(json!({"burst": 0})), "limits[0].burst: found 0, expected at least 1"),
        (one(json!({"requests": -1})), "limits[0].requests"),
        (bare(json!({"name": "x", "by": ["subject"], "per": "1m"})), "limits[0]: `requests` is missing"),
        (bare(json!({"name": "x", "by": ["subject"], "requests": 1})), "limits[0]: `per` is missing, as `1m`"),
        (one(json!({"per": "999ms"})), "limits[0].per: "),
        (one(json!({"per": "31d"})), "limits[0].per: "),
        (one(json!({"per": "a minute"})), "limits[0].per: "),
        (one(json!({"requests": 1, "per": "1d", "burst": 367})), "limits[0]: a full bucket takes more than a year"),
        (one(json!({"tiers": {"default": rate()}})), "limits[0].tiers: goes with `tier`"),
        (one(json!({"tier": {"claim": "plan"}, "tiers": {"default": rate()}})), "limits[0].requests: contradicts `tier`"),
        (tiers(json!({})), "limits[0].tiers: `default` is missing"),
        (tiers(json!({"free": rate()})), "limits[0].tiers: `default` is missing"),
        (tiers(json!({"default": {"per": "1m"}})), "limits[0].tiers.default: `requests` is missing"),
        (tiers(json!({"default": rate(), "free": {"requests": 1}})), "limits[0].tiers.free: `per` is missing"),
        (tiers(json!({"default": rate(), "free": {"requests": 0, "per": "1m"}})), "limits[0].tiers.free.requests: found 0"),
    ];
    for (configuration, want) in cases {
        let error = load(configuration).err().unwrap_or_else(|| panic!("loads: {want}"));
        assert!(error.starts_with(want), "{error}, wanted {want}");
    }
    for fine in [identities(json!(8)), one(json!({"per": "1s"})), one(json!({"per": "30d"}))] {
        assert!(load(fine).is_ok());
    }
}
