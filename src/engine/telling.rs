//! What is told of a decision: which part of such decisions, and in which words.

use super::{Engine, Outcome};
use crate::audit::{self, Draft, Share, Shown, Verdict};
use crate::policy::route::Mode;
use crate::request::Request;
use crate::time::Timestamp;
use crate::token::VerifiedToken;
use crate::token::verify::Note;
use std::rc::Rc;

impl Engine {
    /// What is said of a decision; where a route lets a token in, it is always the same.
    pub fn note(&self, outcome: &Outcome<'_>) -> Rc<Note> {
        let write = || Note::new(self.describe(outcome).state(&self.audit.redaction));
        let usual = outcome.refused().is_none()
            && outcome.difference.is_none()
            && outcome.renewing.is_none()
            && self.limits_in_shadow(outcome).next().is_none();
        match (&outcome.token, outcome.route) {
            (Some(token), Some(route)) if usual => token.note(route.0, write),
            _ => Rc::new(write()),
        }
    }

    /// The part of such decisions that is recorded. What a candidate would decide otherwise always is.
    pub fn share(&self, outcome: &Outcome<'_>) -> Share {
        if outcome.difference.is_some() {
            return Share::All;
        }
        let verdict = match (outcome.verdict(), self.limits_in_shadow(outcome).next()) {
            (Verdict::Allowed, Some(_)) => Verdict::ShadowDenied,
            (verdict, _) => verdict,
        };
        let route = outcome.route.and_then(|id| self.routes.get(id.0));
        let own = route.and_then(|route| match verdict {
            Verdict::Allowed => route.audit.allowed,
            Verdict::Denied | Verdict::ShadowDenied => route.audit.denied,
        });
        own.unwrap_or_else(|| self.audit.shares.of(verdict))
    }

    /// Drafts the record of a decision. `node` is Envoy's node id, `status` is that of the filter's own answer, if there is one.
    pub fn draft(
        &self,
        request: &Request<'_>,
        outcome: &Outcome<'_>,
        note: &Note,
        node: &str,
        status: Option<u16>,
        now: Timestamp,
    ) -> Draft {
        let redaction = &self.audit.redaction;
        let decision = note.record(|| self.describe(outcome).members(redaction, node));
        let path = self.responses.without_tokens(request);
        let shown =
            Shown { request, host: outcome.host.as_deref(), redaction, path: path.as_deref() };
        Draft::new(outcome.verdict(), &decision, Some(&shown), status, now)
    }

    /// A decision in the words of records and filter state.
    pub fn describe<'a>(&'a self, outcome: &'a Outcome<'_>) -> audit::Decision<'a> {
        let refused = outcome.refused();
        let token = outcome.token.as_deref();
        let unverified = outcome.unverified.as_ref().filter(|_| token.is_none());
        let issuer = token.map(VerifiedToken::issuer).or(unverified.map(|(issuer, _)| *issuer));
        audit::Decision {
            filter: &self.name,
            verdict: outcome.verdict(),
            code: refused.map(|refusal| refusal.code),
            reason: refused.map(|refusal| &*refusal.reason),
            route: outcome.route.and_then(|id| self.routes.get(id.0)).map(|route| &*route.name),
            issuer: issuer.and_then(|id| self.issuers.get(id.0)).map(|issuer| &*issuer.name),
            kid: match (token, unverified) {
                (Some(token), _) => token.kid(),
                (None, Some((_, kid))) => kid.as_deref(),
                (None, None) => None,
            },
            unverified: unverified.is_some(),
            subject: token.and_then(VerifiedToken::subject),
            claims: token.map(VerifiedToken::claims),
            candidate: outcome.difference.map(|difference| audit::Candidate {
                code: difference.code,
                route: difference
                    .route
                    .and_then(|id| self.candidate.as_ref()?.get(id.0))
                    .map(|route| &*route.name),
            }),
            shadow: outcome.mode == Mode::Shadow,
            renewal: outcome.renewing.as_ref().map(|renewing| renewing.told),
            limits_in_shadow: self.limits_in_shadow(outcome).map(|limit| &*limit.name).collect(),
        }
    }
}
