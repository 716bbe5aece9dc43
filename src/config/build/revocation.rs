//! Which tokens of an issuer were taken back.

use super::Builder;
use super::source::Asked;
use crate::config::error::{ConfigError, Place};
use crate::config::raw;
use crate::token::revocation::{List, OnStale, Published, Revocations};

impl Builder<'_> {
    pub(super) fn revocation(
        &mut self,
        raw: raw::Revocation,
        require_claims: &[String],
        place: &Place,
    ) -> Result<Revocations, ConfigError> {
        let raw::Revocation { tokens, sessions, subjects, issued_before, remote } = raw;
        let required = |claim: &str| require_claims.iter().any(|own| own == claim);
        for (member, claim, listed) in
            [("tokens", "jti", !tokens.is_empty()), ("sessions", "sid", !sessions.is_empty())]
        {
            if listed && !required(claim) {
                self.warnings.push(place.key(member).warning(format!(
                    "a token without `{claim}` cannot be taken back: name it in `require_claims`"
                )));
            }
        }
        let own = List { tokens, sessions, subjects, issued_before };
        let remote = remote.map(|remote| published(&remote, &place.key("remote"))).transpose()?;
        if own.is_empty() && remote.is_none() {
            return Err(place.error(
                "names nothing: say `tokens`, `sessions`, `subjects`, `issued_before` or `remote`",
            ));
        }
        Ok(Revocations::new(own, remote))
    }
}

fn published(raw: &raw::RemoteRevocations, place: &Place) -> Result<Published, ConfigError> {
    let raw::RemoteRevocations { cluster, url, refresh, timeout, max_stale, on_stale } = raw;
    let asked = Asked { cluster, url, refresh, timeout, max_stale };
    let on_stale = match on_stale {
        None | Some(raw::OnStale::Refuse) => OnStale::Refuse,
        Some(raw::OnStale::Allow) => OnStale::Allow,
    };
    Ok(Published { source: asked.source([30, 2, 600], place)?, on_stale })
}
