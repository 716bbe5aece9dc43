//! Where something is fetched from.

use super::duration;
use crate::config::error::{ConfigError, Place};
use crate::token::fetching::{Endpoint, Source};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What the configuration says of a fetch.
pub(super) struct Asked<'a> {
    pub cluster: &'a Option<String>,
    pub url: &'a Option<String>,
    pub refresh: &'a Option<String>,
    pub timeout: &'a Option<String>,
    pub max_stale: &'a Option<String>,
}

impl Asked<'_> {
    /// Where from, and how; the defaults of `refresh`, `timeout` and `max_stale` are in seconds.
    pub(super) fn source(
        &self,
        [refresh, timeout, max_stale]: [u64; 3],
        place: &Place,
    ) -> Result<Source, ConfigError> {
        let time = |name: &str, text: &Option<String>, default: u64, range| {
            time(text.as_deref(), default, range, &place.key(name))
        };
        let refresh = time("refresh", self.refresh, refresh, 1..=DAY)?;
        let max_stale = time("max_stale", self.max_stale, max_stale, 1..=30 * DAY)?;
        if max_stale < refresh {
            let place = place.key("max_stale");
            return Err(place.error("shorter than `refresh`: too old between two fetches"));
        }
        let endpoint =
            endpoint([self.cluster, self.url, self.timeout], timeout, "jwks.json", place)?;
        Ok(Source { endpoint, refresh, max_stale })
    }
}

/// What is asked of a cluster by its name, a URL and the time that an answer may take, whose default is in seconds; a message
/// shows a URL that ends like this `sample`.
pub(super) fn endpoint(
    [cluster, url, timeout]: [&Option<String>; 3],
    default: u64,
    sample: &str,
    place: &Place,
) -> Result<Endpoint, ConfigError> {
    let cluster = cluster.as_deref().filter(|cluster| !cluster.is_empty());
    let cluster = cluster
        .ok_or_else(|| place.error("`cluster` is missing: the Envoy cluster that leads there"))?;
    let url = url.as_deref().ok_or_else(|| place.error("`url` is missing"))?;
    let url_place = place.key("url");
    let bad = || url_place.error(format!("expected `https://idp.example.com/{sample}`"));
    let uri: http::Uri = url.parse().map_err(|_| bad())?;
    let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority())
    else {
        return Err(bad());
    };
    if authority.as_str().contains('@') || url.contains('#') {
        return Err(url_place.error("user info and fragments are not sent: leave them out"));
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok(Endpoint {
        cluster: cluster.into(),
        scheme: scheme.into(),
        authority: authority.as_str().into(),
        path: path.into(),
        timeout: time(timeout.as_deref(), default, 1..=30, &place.key("timeout"))?,
    })
}

/// A time within a range, both in seconds; in milliseconds.
pub(super) fn time(
    text: Option<&str>,
    default: u64,
    range: RangeInclusive<u64>,
    place: &Place,
) -> Result<i64, ConfigError> {
    let time = text.map(|text| duration(text, place)).transpose()?;
    let time = time.unwrap_or(Duration::from_secs(default));
    if time < Duration::from_secs(*range.start()) || time > Duration::from_secs(*range.end()) {
        let (least, most) = range.into_inner();
        return Err(place.error(format!("expected between {least}s and {most}s")));
    }
    Ok(time.as_millis() as i64)
}

const DAY: u64 = 86_400;
