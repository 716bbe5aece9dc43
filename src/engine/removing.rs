//! What is taken out of a request: what its client forged, its token, its refresh tokens.

use super::{Edit, Edits, Engine, Outcome};
use crate::policy::route::Mode;
use crate::request::Request;
use crate::token::extract::{self, Carrier, Source};

impl Engine {
    /// Whether a trailer of this name is taken from the client.
    pub fn manages(&self, name: &[u8]) -> bool {
        self.identity.manages(name)
    }

    /// Takes what the client forged: every header that the filter sets or removes.
    pub(super) fn strip<'a>(&self, request: &Request<'a>) -> Edits<'a> {
        let mut edits = Edits::with_capacity(4);
        for (name, _) in request.headers() {
            let edit = Edit::Remove(name);
            if self.identity.manages(name) && !edits.contains(&edit) {
                edits.push(edit);
            }
        }
        edits
    }

    /// Takes every token out of the path of a refused request: Envoy's access log prints it.
    pub fn hide_token(&self, request: &Request<'_>) -> Option<Edit<'static>> {
        self.responses.without_tokens(request).map(|path| Edit::Replace(":path", path))
    }

    /// Takes the token out of a request that passes, and every refresh token; but for a filter that is itself on trial.
    pub(super) fn remove_token<'a>(&'a self, request: &Request<'_>, outcome: &mut Outcome<'a>) {
        if self.mode == Mode::Shadow {
            return;
        }
        let issuer = outcome.token.as_ref().and_then(|token| self.issuers.get(token.issuer().0));
        let forward = issuer.is_some_and(|issuer| issuer.forward_token);
        let renewed = outcome.renewing.as_mut().and_then(|renewing| renewing.token.take());
        let goes = outcome.token_sent && (!forward || renewed.is_some());
        let route = outcome.route.and_then(|id| self.routes.get(id.0)).filter(|_| goes);
        let carriers = route.map(|route| route.carriers.as_slice()).unwrap_or_default();
        // The usual route: there is one place, a header, and it had the token.
        if outcome.places != 0
            && self.refresh_cookies.is_empty()
            && let [Carrier { source: Source::Header { name, .. }, .. }] = carriers
        {
            outcome.edits.push(Edit::Remove(name.as_bytes()));
            return;
        }
        let sources = carriers.iter().map(|carrier| &carrier.source).chain(&self.refresh_cookies);
        let kept = renewed.filter(|_| forward);
        let kept = kept.as_ref().map(|(cookie, token)| format!("{cookie}={}", token.expose()));
        for removal in extract::removals(request, sources) {
            let rest = match (removal.name, &kept) {
                ("cookie", Some(kept)) => {
                    let rest = removal.rest.map(|rest| [&rest[..], b"; "].concat());
                    Some([&rest.unwrap_or_default()[..], kept.as_bytes()].concat())
                }
                _ => removal.rest,
            };
            outcome.edits.push(match rest {
                None => Edit::Remove(removal.name.as_bytes()),
                Some(rest) => Edit::Replace(removal.name, rest),
            });
        }
    }
}
