//! The limits of a route, and how they stand after a request.

use claimgate::engine::{Engine, Outcome};
use claimgate::limit::{Counted, LimitId, Standing};
use claimgate::policy::route::Mode;
use claimgate::response::Code;
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// See the module.
#[derive(Debug, Serialize)]
pub struct Limit {
    name: String,
    place: String,
    /// What is counted together, as it is written.
    by: Value,
    count: &'static str,
    mode: &'static str,
    /// `room`, `over`; where nothing was counted, why.
    stands: &'static str,
    /// How many pass at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<u32>,
    /// How long it takes until one more passes, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    period_ms: Option<u64>,
    /// How many more pass at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<u32>,
    /// In how many milliseconds one more passes, where none does now.
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_ms: Option<u64>,
}

/// Of all limits of the route that takes a request.
pub fn told(engine: &Engine, raw: &Value, outcome: &Outcome<'_>) -> Vec<Limit> {
    let Some(route) = outcome.route else { return Vec::new() };
    let ids = engine.limits.of_refused(route).iter().chain(engine.limits.of(route));
    ids.filter_map(|id| tell(engine, raw, outcome, *id)).collect()
}

fn tell(engine: &Engine, raw: &Value, outcome: &Outcome<'_>, id: LimitId) -> Option<Limit> {
    let limit = engine.limits.get(id)?;
    let standing = outcome.standings.iter().find(|standing| standing.limit == id);
    let by = raw.pointer(&format!("/limits/{}/by", id.0)).cloned().unwrap_or_default();
    let told = Limit {
        name: limit.name.to_string(),
        place: format!("limits[{}]", id.0),
        by,
        count: match limit.counted {
            Counted::Requests => "requests",
            Counted::Refused => "refused",
        },
        mode: limit.mode.name(),
        stands: match standing {
            Some(standing) if standing.room.passes() => "room",
            Some(_) => "over",
            None => uncounted(limit.counted, outcome),
        },
        burst: None,
        period_ms: None,
        left: None,
        wait_ms: None,
    };
    let Some(Standing { rate, room, .. }) = standing else { return Some(told) };
    let millis = |nanos: u64| nanos.div_ceil(1_000_000);
    Some(Limit {
        burst: Some(rate.burst()),
        period_ms: Some(millis(rate.period())),
        left: room.left,
        wait_ms: (room.wait > 0).then(|| millis(room.wait)),
        ..told
    })
}

/// Why a limit counted nothing, or does not say how it stands.
fn uncounted(counted: Counted, outcome: &Outcome<'_>) -> &'static str {
    let refused = outcome.refusal.as_ref().or(outcome.shadowed.as_ref());
    let refused = refused.map(|refusal| refusal.code);
    let judged = outcome.seen.and_then(|seen| seen.code);
    let fetched = matches!(judged, Some(Code::KeysUnavailable | Code::RevocationUnavailable));
    match counted {
        Counted::Refused if fetched => "not the token's fault",
        Counted::Refused if judged.is_some() => "counted where its `when` holds, and not told",
        Counted::Refused => "no refused token",
        Counted::Requests if outcome.preflight.is_some() => "a preflight is not counted",
        Counted::Requests => match refused {
            Some(code) if code != Code::RateLimited => "refused before it is counted",
            Some(_) if outcome.standings.is_empty() => "refused before it is counted",
            _ => "not for this request: its `when` does not hold",
        },
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, place, by, count, mode, stands, .. } = self;
        write!(f, "{name} ({place})")?;
        if *mode == Mode::Shadow.name() {
            f.write_str(", in shadow mode")?;
        }
        if *count == "refused" {
            f.write_str(", of refused tokens")?;
        }
        write!(f, ", by {by}: ")?;
        let time = |millis: u64| humantime::format_duration(Duration::from_millis(millis));
        let (Some(burst), Some(period)) = (self.burst, self.period_ms) else {
            return f.write_str(stands);
        };
        match self.left {
            Some(left) => write!(f, "room for {left} more")?,
            None => f.write_str("over")?,
        }
        if let Some(wait) = self.wait_ms {
            write!(f, ", the next one in {}", time(wait))?;
        }
        write!(f, " ({burst} at once, one more each {})", time(period))
    }
}
