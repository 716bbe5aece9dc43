//! Sessions that are renewed while their requests wait.

use super::{Ask, Engine};
use crate::token::cookie;
use crate::token::failure::Failure;
use crate::token::renewal::{Due, OnRefused, Secret, Standing};
use crate::token::trust::Trust;
use crate::token::{Error, IssuerId, VerifiedToken};
use std::rc::Rc;

/// What is renewed of a request's session.
#[derive(Debug)]
pub struct Renewing {
    /// The session, where nobody has asked the provider for it yet.
    pub due: Option<Due>,
    /// Whether the request is to wait for it.
    pub waits: bool,
    /// The values of `Set-Cookie` that its answer gets.
    pub cookies: Vec<Secret>,
    /// The cookie that carries the token, and the new one, where the upstream is to have it.
    pub(super) token: Option<(Box<str>, Secret)>,
    /// How records tell of it.
    pub told: &'static str,
}

impl Engine {
    /// What a token comes to whose session may be renewed.
    pub(super) fn renew(
        &self,
        ask: &Ask<'_, '_>,
        places: u64,
        verified: Result<Rc<VerifiedToken>, Failure>,
        trust: &mut Trust,
        renewing: &mut Option<Box<Renewing>>,
    ) -> Result<Rc<VerifiedToken>, Failure> {
        let Some(due) = self.session_due(ask, places, &verified) else { return verified };
        if let Err(Failure { lapsed: Some(lapsed), .. }) = &verified {
            match trust.check_lapsed(lapsed, ask.now) {
                Ok(()) => {}
                // One that was taken back is never renewed.
                Err(error @ Error::Revoked) => {
                    return verified.map_err(|failure| Failure { error, lapsed: None, ..failure });
                }
                Err(_) => return verified,
            }
        }
        let (Some(renewal), Some(carrier)) =
            (self.renewals.of(due.issuer), self.carrying_cookie(ask, places, due.issuer))
        else {
            return verified;
        };
        let mut tell = |told, waits, due, cookies, token| {
            *renewing = Some(Box::new(Renewing { due, waits, cookies, token, told }));
        };
        // Where the shelf is gone, or the provider, the token is what it was.
        let standing = self.renewals.standing(&due, ask.now).unwrap_or(Standing::Failed);
        match standing {
            Standing::Unknown | Standing::Pending if ask.patient => {
                let unasked = standing == Standing::Unknown;
                tell("waits", true, unasked.then_some(due), Vec::new(), None);
                verified.map_err(|failure| Failure { awaits_fetch: true, ..failure })
            }
            Standing::Unknown | Standing::Pending => {
                tell("pending", false, None, Vec::new(), None);
                self.as_it_came(ask, verified)
            }
            Standing::Failed => {
                tell("failed", false, None, Vec::new(), None);
                self.as_it_came(ask, verified)
            }
            Standing::Refused => {
                let names = [carrier, &renewal.refresh_cookie];
                let clears = names.iter().flat_map(|name| renewal.cookie.clear(ask.request, name));
                let cookies = match renewal.on_refused {
                    OnRefused::Clear => clears.map(Secret::new).collect(),
                    OnRefused::Keep => Vec::new(),
                };
                tell("refused", false, None, cookies, None);
                self.as_it_came(ask, verified)
            }
            Standing::Renewed(tokens) => {
                let accepted = |id: IssuerId| id == due.issuer;
                let token = tokens.token.expose();
                let limit = self.max_token_bytes;
                let new = trust.verify(token.as_bytes(), &self.issuers, accepted, limit, ask.now);
                match new {
                    Ok(new) if due.is_continued_by(&new) => {
                        let mut cookies = renewal.cookie.set(ask.request, carrier, token);
                        let refresh = tokens.refresh.as_ref().unwrap_or(due.refresh());
                        let name = &renewal.refresh_cookie;
                        cookies.extend(renewal.cookie.set(ask.request, name, refresh.expose()));
                        let cookies = cookies.into_iter().map(Secret::new).collect();
                        let token = (carrier.into(), tokens.token);
                        tell("renewed", false, None, cookies, Some(token));
                        Ok(new)
                    }
                    Err(failure) if failure.error == Error::Revoked => Err(failure),
                    // Its key, or the list of those taken back, is on the way.
                    Err(failure) if failure.awaits_fetch && ask.patient => {
                        tell("waits", true, None, Vec::new(), None);
                        verified.map_err(|failure| Failure { awaits_fetch: true, ..failure })
                    }
                    Ok(_) | Err(_) => {
                        tell("failed", false, None, Vec::new(), None);
                        self.as_it_came(ask, verified)
                    }
                }
            }
        }
    }

    /// A token that is not renewed, as it was when its request began to wait.
    fn as_it_came(
        &self,
        ask: &Ask<'_, '_>,
        verified: Result<Rc<VerifiedToken>, Failure>,
    ) -> Result<Rc<VerifiedToken>, Failure> {
        verified.or_else(|failure| {
            let lapsed = failure.lapsed.as_ref().zip(ask.since);
            let held = lapsed.and_then(|(lapsed, since)| {
                lapsed.held(self.issuers.get(lapsed.issuer().0)?, since)
            });
            held.ok_or(failure)
        })
    }

    /// The session of a token, where it is due.
    fn session_due(
        &self,
        ask: &Ask<'_, '_>,
        places: u64,
        verified: &Result<Rc<VerifiedToken>, Failure>,
    ) -> Option<Due> {
        let now = ask.now.as_millis();
        let (issuer, subject, due) = match verified {
            Ok(token) => {
                let renewal = self.renewals.of(token.issuer())?;
                let times = token.times();
                let exp = times.exp?;
                let life = times.iat.map(|iat| exp.saturating_sub(iat));
                (token.issuer(), token.subject(), renewal.is_early(exp.saturating_sub(now), life))
            }
            Err(Failure { lapsed: Some(lapsed), .. }) => {
                let renewal = self.renewals.of(lapsed.issuer())?;
                let since = now.saturating_sub(lapsed.exp()?);
                (lapsed.issuer(), lapsed.subject(), since < renewal.grace)
            }
            Err(_) => return None,
        };
        if !due {
            return None;
        }
        self.carrying_cookie(ask, places, issuer)?;
        let refresh = cookie::text(ask.request, &self.renewals.of(issuer)?.refresh_cookie)?;
        self.renewals.due(issuer, subject, refresh)
    }

    /// The name of the cookie that carried the token.
    fn carrying_cookie<'q>(
        &self,
        ask: &Ask<'q, '_>,
        places: u64,
        issuer: IssuerId,
    ) -> Option<&'q str> {
        ask.route.carriers_of(places, issuer).find_map(|carrier| carrier.source.cookie())
    }
}
