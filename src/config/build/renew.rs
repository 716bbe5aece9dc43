//! How an issuer's sessions are renewed.

use super::source::{endpoint, time};
use super::{Builder, duration};
use crate::config::error::{ConfigError, Place};
use crate::config::raw;
use crate::token::Issuer;
use crate::token::cookie::{self, Attributes, SameSite};
use crate::token::extract::Source;
use crate::token::renewal::{Auth, Client, OnRefused, Renewal, Secret};
use std::time::Duration;

const DAY: u64 = 86_400;
/// How long a request waits at most, in milliseconds.
const MAX_WAIT: i64 = 5_000;

/// Each refresh token is for one provider, and in a cookie of its own: no issuer's token comes in it, nor another's refresh token.
pub(super) fn check_cookies(
    issuers: &[Issuer],
    renewals: &[Option<Renewal>],
    place: &Place,
) -> Result<(), ConfigError> {
    for (at, (issuer, renewal)) in issuers.iter().zip(renewals).enumerate() {
        let Some(Renewal { refresh_cookie: own, .. }) = renewal else { continue };
        let carries = |other: &Issuer| {
            let mut cookies = other.sources.iter().filter_map(Source::cookie);
            cookies.any(|name| cookie::is_of(name.as_bytes(), own))
        };
        let holds = |(other, renewal): (usize, &Option<Renewal>)| {
            other != at && renewal.as_ref().is_some_and(|renewal| renewal.refresh_cookie == *own)
        };
        let taken = issuers
            .iter()
            .zip(renewals)
            .enumerate()
            .find(|(number, (other, renewal))| carries(other) || holds((*number, renewal)));
        if let Some((_, (other, _))) = taken {
            let place = place.key(&issuer.name).key("renew").key("refresh_cookie");
            return Err(place.error(format!(
                "issuer `{}` has a cookie of this name too: a refresh token needs one of its own",
                other.name
            )));
        }
    }
    Ok(())
}

impl Builder<'_> {
    pub(super) fn renew(
        &mut self,
        raw: &raw::Renew,
        sources: &[Source],
        place: &Place,
    ) -> Result<Renewal, ConfigError> {
        let cookies = sources.iter().filter_map(Source::cookie);
        if cookies.clone().next().is_none() {
            return Err(place.error(
                "`token_from` has no cookie: only a token that a cookie carries is renewed, since \
                 only a cookie can be set anew",
            ));
        }
        let Some(refresh_cookie) = raw.refresh_cookie.as_deref() else {
            return Err(place.error("`refresh_cookie` is missing: it holds the refresh token"));
        };
        let cookie_place = place.key("refresh_cookie");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if refresh_cookie.is_empty() || !refresh_cookie.bytes().all(plain) {
            return Err(cookie_place.error("no name for it: letters, digits, `-` and `_`"));
        }
        let cookie = self.cookie(&raw.cookie, &place.key("cookie"))?;
        // A browser takes none that breaks the promise of its name, and the new tokens were lost.
        let broken = |name: &str| {
            let host = cookie.secure && &*cookie.path == "/" && cookie.domain.is_none();
            name.starts_with("__Host-") && !host || name.starts_with("__Secure-") && !cookie.secure
        };
        if let Some(name) = cookies.chain([refresh_cookie]).find(|name| broken(name)) {
            return Err(place.key("cookie").error(format!(
                "`{name}` asks for `secure`, and with `__Host-` for the path `/` and no domain"
            )));
        }
        let span = |name: &str, text: &Option<String>, default, range| {
            time(text.as_deref(), default, range, &place.key(name))
        };
        let endpoint = endpoint([&raw.cluster, &raw.url, &raw.timeout], 3, "oauth2/token", place)?;
        if endpoint.timeout > MAX_WAIT {
            self.warnings.push(place.key("timeout").warning(
                "a request waits 5 seconds at most: what comes later is for the requests after it".to_owned(),
            ));
        }
        Ok(Renewal {
            endpoint,
            client: self.client(raw.client.as_ref(), place)?,
            refresh_cookie: refresh_cookie.into(),
            early: span("early", &raw.early, 60, 0..=DAY)?,
            grace: span("grace", &raw.grace, 12 * 3600, 0..=90 * DAY)?,
            reuse: span("reuse", &raw.reuse, 30, 1..=3600)?,
            on_refused: match raw.on_refused {
                None | Some(raw::OnRefused::Keep) => OnRefused::Keep,
                Some(raw::OnRefused::Clear) => OnRefused::Clear,
            },
            cookie,
        })
    }

    fn client(&mut self, raw: Option<&raw::Client>, place: &Place) -> Result<Client, ConfigError> {
        let Some(raw) = raw else {
            return Err(place.error("`client` is missing: the one that the sessions belong to"));
        };
        let place = place.key("client");
        let Some(id) = raw.id.as_deref().filter(|id| !id.is_empty()) else {
            return Err(place.error("`id` is missing"));
        };
        let secret_place = place.key("secret");
        let secret = match &raw.secret {
            Some(secret) => {
                let bytes = self.secret(secret, &secret_place)?;
                let text = String::from_utf8(bytes).ok().filter(|text| !text.is_empty());
                Some(Secret::new(text.ok_or_else(|| secret_place.error("no text, or empty"))?))
            }
            None => None,
        };
        let auth = match (raw.auth, secret) {
            (None | Some(raw::ClientAuth::Basic), Some(secret)) => Auth::Basic(secret),
            (Some(raw::ClientAuth::Post), Some(secret)) => Auth::Post(secret),
            (None | Some(raw::ClientAuth::None), None) => Auth::None,
            (Some(raw::ClientAuth::None), Some(_)) => {
                return Err(secret_place.error("contradicts `auth: none`"));
            }
            (Some(raw::ClientAuth::Basic | raw::ClientAuth::Post), None) => {
                return Err(place.error("`secret` is missing, which `auth` sends"));
            }
        };
        Ok(Client { id: id.into(), auth })
    }

    fn cookie(&mut self, raw: &raw::Cookie, place: &Place) -> Result<Attributes, ConfigError> {
        // RFC 6265 section 4.1.1: no control character and no semicolon.
        let value = |name: &str, text: &str| {
            let plain = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b';';
            let fine = !text.is_empty() && text.bytes().all(plain);
            fine.then(|| text.into()).ok_or_else(|| {
                place.key(name).error("a character is in it that no cookie has there")
            })
        };
        let path = raw.path.as_deref().unwrap_or("/");
        if !path.starts_with('/') {
            return Err(place.key("path").error("a path begins with `/`"));
        }
        if raw.domain.is_some() {
            self.warnings.push(
                place.key("domain").warning(
                    "every host under it is sent the cookies, and can set others of their names"
                        .to_owned(),
                ),
            );
        }
        let secure = raw.secure.unwrap_or(true);
        let same_site = match raw.same_site {
            Some(raw::SameSite::Strict) => SameSite::Strict,
            None | Some(raw::SameSite::Lax) => SameSite::Lax,
            Some(raw::SameSite::None) if secure => SameSite::None,
            Some(raw::SameSite::None) => {
                return Err(place.key("same_site").error("`none` goes with `secure: true` only"));
            }
        };
        if !secure {
            self.warnings.push(
                place.key("secure").warning(
                    "the tokens are sent over plain text too, where anybody on the way reads them"
                        .to_owned(),
                ),
            );
        }
        let max_age = raw.max_age.as_deref().map(|text| duration(text, &place.key("max_age")));
        let max_age = max_age.transpose()?.unwrap_or(Duration::from_secs(30 * DAY));
        // Browsers keep none longer (RFC 6265bis).
        if max_age < Duration::from_secs(1) || max_age > Duration::from_secs(400 * DAY) {
            return Err(place.key("max_age").error("expected between 1s and 400d"));
        }
        Ok(Attributes {
            path: value("path", path)?,
            domain: raw.domain.as_deref().map(|domain| value("domain", domain)).transpose()?,
            same_site,
            secure,
            max_age: max_age.as_secs(),
        })
    }
}
