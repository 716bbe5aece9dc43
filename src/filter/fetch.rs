//! Fetches key sets and revocation lists through Envoy's clusters, from the root context: a call of a stream's would end
//! with the stream.

use super::host::{self, Buffer, Map};
use super::root::{Call, Gate};
use crate::engine::Engine;
use crate::metrics::KeySetOutcome;
use crate::time::Timestamp;
use crate::token::fetching::{Endpoint, Fetched, Source, too_large};
use crate::token::trust::{FetchId, News};
use crate::token::{remote, revocation};
use log::{info, warn};
use proxy_wasm::hostcalls::dispatch_http_call;
use std::time::Duration;

const USER_AGENT: &str = concat!("claimgate/", env!("CARGO_PKG_VERSION"));

/// Begins every fetch that is due.
pub fn begin(gate: &Gate, engine: &Engine, now: Timestamp) {
    let Ok(mut trust) = engine.trust.try_borrow_mut() else { return };
    for id in trust.due(now) {
        let Some(source) = trust.source(id).cloned() else { continue };
        trust.sent(id, now);
        let etag = match id {
            FetchId::Keys(_) => None,
            FetchId::Revocations(issuer) => {
                trust.revocations(issuer).and_then(|lists| lists.etag())
            }
        };
        let answer = match (call(&source, etag), gate.calls.try_borrow_mut()) {
            (Ok(token), Ok(mut calls)) => {
                calls.insert(token, Call::Fetch(id));
                continue;
            }
            (Ok(_), Err(_)) => Err("the filter's own list of calls is in use".to_owned()),
            (Err(reason), _) => Err(reason),
        };
        let news = trust.received(id, answer, &gate.backend, now, spread());
        tell(gate, engine, id, &source, news);
    }
}

/// Ends a fetch. An answer without headers is none: the call failed,
/// or took too long.
pub fn end(gate: &Gate, engine: &Engine, id: FetchId, headers: usize, size: usize, now: Timestamp) {
    let Ok(mut trust) = engine.trust.try_borrow_mut() else { return };
    let Some(source) = trust.source(id).cloned() else { return };
    let map = host::header_map(Map::CallResponseHeaders).unwrap_or_default();
    let pairs = host::pairs(&map).unwrap_or_default();
    let first = |name: &[u8]| pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
    let limit = match id {
        FetchId::Keys(_) => remote::MAX_BYTES,
        FetchId::Revocations(_) => revocation::MAX_BYTES,
    };
    let answer = if headers == 0 {
        Err(format!(
            "no answer: none within {} ms, or a longer one than Envoy takes",
            source.endpoint.timeout
        ))
    } else if size > limit {
        Err(too_large(size, limit))
    } else {
        host::buffer(Buffer::CallResponseBody, size).map_err(|denied| denied.to_string())
    };
    let answer = answer.as_ref().map(|body| Fetched {
        status: first(b":status").unwrap_or_default(),
        cache_control: first(b"cache-control"),
        etag: first(b"etag"),
        body,
    });
    let answer = answer.map_err(Clone::clone);
    let news = trust.received(id, answer, &gate.backend, now, spread());
    tell(gate, engine, id, &source, news);
}

fn call(source: &Source, etag: Option<&[u8]>) -> Result<u32, String> {
    let mut headers =
        vec![(":method", "GET"), ("accept", "application/jwk-set+json, application/json")];
    if let Some(etag) = etag.and_then(|etag| std::str::from_utf8(etag).ok()) {
        headers.push(("if-none-match", etag));
    }
    ask(&source.endpoint, headers, None)
}

/// Asks an endpoint, from the root context. The host's name for the call.
pub fn ask<'a>(
    endpoint: &'a Endpoint,
    mut headers: Vec<(&'a str, &'a str)>,
    body: Option<&[u8]>,
) -> Result<u32, String> {
    headers.extend([
        (":scheme", &*endpoint.scheme),
        (":authority", &*endpoint.authority),
        (":path", &*endpoint.path),
        ("user-agent", USER_AGENT),
    ]);
    let timeout = Duration::from_millis(endpoint.timeout.unsigned_abs());
    dispatch_http_call(&endpoint.cluster, headers, body, Vec::new(), timeout)
        .map_err(|_| "Envoy takes no call to this cluster: is there one of this name?".to_owned())
}

fn tell(gate: &Gate, engine: &Engine, id: FetchId, source: &Source, news: Result<News, String>) {
    let issuer = engine.issuers.get(id.issuer().0).map_or("", |issuer| &issuer.name);
    let what = match id {
        FetchId::Keys(_) => "keys",
        FetchId::Revocations(_) => "revocations",
    };
    let from = format!("{what} of issuer `{issuer}` from cluster `{}`", source.endpoint.cluster);
    if let FetchId::Keys(id) = id {
        gate.count_key_set(
            id.issuer,
            match &news {
                Ok(News::Keys(learnt)) if learnt.changed => KeySetOutcome::Changed,
                Ok(_) => KeySetOutcome::Unchanged,
                Err(_) => KeySetOutcome::Failed,
            },
        );
    }
    match news {
        Err(reason) => warn!("claimgate: {from}: fetch failed, those at hand stay: {reason}"),
        Ok(News::Keys(learnt)) => {
            if learnt.changed || learnt.recovered {
                info!("claimgate: {from}: usable: {}", learnt.keys);
            }
            for key in learnt.skipped {
                let kid = key.kid.map(|kid| format!(" (kid {kid:?})")).unwrap_or_default();
                warn!("claimgate: {from}: keys[{}]{kid} skipped: {}", key.index, key.reason);
            }
        }
        Ok(News::Revocations(listed)) => {
            if listed.changed || listed.recovered {
                info!("claimgate: {from}: entries: {}", listed.entries);
            }
        }
    }
}

/// A number in [0, 1); the middle where the host has no randomness.
fn spread() -> f64 {
    getrandom::u32().map_or(0.5, |drawn| f64::from(drawn) / (f64::from(u32::MAX) + 1.0))
}
