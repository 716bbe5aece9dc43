//! Documents of an identity provider, over HTTPS.

use crate::{Failure, read};
use claimgate::token::fetching::too_large;
use claimgate::token::remote::MAX_BYTES;
use http::Uri;
use std::net::IpAddr;
use std::time::Duration;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// How a provider is reached.
#[derive(clap::Args)]
pub struct Reach {
    /// The certificate authorities to trust, in PEM, instead of the public ones.
    #[arg(long, value_name = "FILE")]
    ca: Option<String>,
    /// Allows an `http` address that is not of this machine: whoever is on the way can replace the keys.
    #[arg(long)]
    plain_http: bool,
    /// How long one answer may take.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = timeout)]
    timeout: Duration,
}

const MAX_REDIRECTS: usize = 3;

/// A time that an answer may take: more than none, and no more than an hour.
fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if timeout.is_zero() || timeout > Duration::from_secs(3600) {
        return Err("expected more than 0s and at most 1h".to_owned());
    }
    Ok(timeout)
}

/// An answer: its status and its body.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body of a 200.
    pub fn body(self, url: &str) -> Result<Vec<u8>, Failure> {
        match self.status {
            200 => Ok(self.body),
            status => Err(format!("`{url}`: status {status}, expected 200")),
        }
    }
}

impl Reach {
    /// The content of an address or of a file, `-` being standard input.
    pub fn read(&self, source: &str) -> Result<Vec<u8>, Failure> {
        if source.contains("://") {
            return self.get(source)?.body(source);
        }
        let content = read(source)?.into_bytes();
        if content.len() > MAX_BYTES {
            return Err(format!("`{source}`: {}", too_large(content.len(), MAX_BYTES)));
        }
        Ok(content)
    }

    /// Asks an address, and where it redirects to.
    pub fn get(&self, url: &str) -> Result<Answer, Failure> {
        let mut uri = self.allowed(url)?;
        for _ in 0..=MAX_REDIRECTS {
            let mut answer =
                self.agent(&uri)?.get(&uri).call().map_err(|error| said(&uri, error))?;
            let status = answer.status().as_u16();
            let location = answer.headers().get("location");
            if matches!(status, 301 | 302 | 303 | 307 | 308)
                && let Some(location) = location.and_then(|location| location.to_str().ok())
            {
                uri = self.redirected(&uri, location)?;
                continue;
            }
            let body = answer.body_mut().with_config().limit(MAX_BYTES as u64 + 1).read_to_vec();
            let too_long = || format!("`{uri}`: more than {MAX_BYTES} bytes, which is the limit");
            return match body {
                Ok(body) if body.len() > MAX_BYTES => Err(too_long()),
                Ok(body) => Ok(Answer { status, body }),
                Err(ureq::Error::BodyExceedsLimit(_)) => Err(too_long()),
                Err(error) => Err(said(&uri, error)),
            };
        }
        Err(format!(
            "`{url}`: more than {MAX_REDIRECTS} redirects: give the address that it ends at"
        ))
    }

    /// An address that may be asked.
    fn allowed(&self, url: &str) -> Result<Uri, Failure> {
        let bad = || format!("`{url}`: expected an address as `https://idp.example.com/jwks.json`");
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let authority = uri.authority().ok_or_else(bad)?;
        if authority.as_str().contains('@') {
            return Err(format!("`{}`: user info is not sent: leave it out", authority.host()));
        }
        match uri.scheme_str() {
            Some("https") => Ok(uri),
            Some("http") if self.plain_http || is_loopback(authority.host()) => Ok(uri),
            Some("http") => Err(format!(
                "`{url}`: whoever is on the way could replace the keys: use `https`, or say `--plain-http`"
            )),
            _ => Err(bad()),
        }
    }

    fn redirected(&self, from: &Uri, location: &str) -> Result<Uri, Failure> {
        let (scheme, authority) = (from.scheme_str(), from.authority().map(|a| a.as_str()));
        let (scheme, authority) = (scheme.unwrap_or_default(), authority.unwrap_or_default());
        let to = match location {
            _ if location.starts_with("//") => format!("{scheme}:{location}"),
            _ if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
            _ => location.to_owned(),
        };
        let refused = |why: &str| format!("`{from}`: redirects to `{to}`: {why}");
        if scheme == "https" && !to.to_ascii_lowercase().starts_with("https://") {
            return Err(refused("off `https`, which is not followed"));
        }
        self.allowed(&to).map_err(|why| refused(&why))
    }

    fn agent(&self, uri: &Uri) -> Result<ureq::Agent, Failure> {
        let roots = match &self.ca {
            None => RootCerts::WebPki,
            Some(file) => RootCerts::new_with_certs(&authorities(file)?),
        };
        let config = ureq::Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .timeout_global(Some(self.timeout))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .accept("application/json")
            .user_agent(concat!("claimgate/", env!("CARGO_PKG_VERSION")));
        // No proxy leads to this machine.
        let config = match uri.host().is_some_and(is_loopback) {
            true => config.proxy(None),
            false => config,
        };
        Ok(config.build().new_agent())
    }
}

/// The certificates of a file.
fn authorities(file: &str) -> Result<Vec<Certificate<'static>>, Failure> {
    let bad = |why: &str| format!("`{file}`: {why}");
    let pem = read(file)?;
    let items: Result<Vec<PemItem<'_>>, ureq::Error> = parse_pem(pem.as_bytes()).collect();
    let items = items.map_err(|_| bad("not PEM"))?;
    let found = items.into_iter().filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    let found: Vec<Certificate<'static>> = found.collect();
    if found.is_empty() { Err(bad("no certificate in it")) } else { Ok(found) }
}

fn said(uri: &Uri, error: ureq::Error) -> Failure {
    match error {
        ureq::Error::Timeout(_) => format!("`{uri}`: no answer in time"),
        ureq::Error::HostNotFound => format!("`{uri}`: no such host"),
        error => format!("`{uri}`: {error}"),
    }
}

/// Whether a host is this machine.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(plain_http: bool) -> Reach {
        Reach { ca: None, plain_http, timeout: Duration::from_secs(1) }
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        // (address, whether it may be asked, whether it may with `--plain-http`)
        let cases = [
            ("https://idp.example.com/jwks", true, true),
            ("http://idp.example.com/jwks", false, true),
            ("http://localhost:8080/jwks", true, true),
            ("http://127.0.0.1/jwks", true, true),
            ("http://[::1]:8080/jwks", true, true),
            ("http://127.0.0.1.example.com/jwks", false, true),
            ("http://localhost.example.com/jwks", false, true),
            ("https://user:pass@idp.example.com/jwks", false, false),
            ("ftp://idp.example.com/jwks", false, false),
            ("file:///etc/jwks", false, false),
            ("https://", false, false),
        ];
        for (url, secure, plain) in cases {
            assert_eq!(reach(false).allowed(url).is_ok(), secure, "{url}");
            assert_eq!(reach(true).allowed(url).is_ok(), plain, "{url}");
            let why = reach(false).allowed(url).err().unwrap_or_default();
            assert!(!why.contains("pass"), "{why}");
        }
    }

    #[test]
    fn redirects_stay_on_https() {
        let cases = [
            ("https://a.example/x", "/y", Some("https://a.example/y")),
            ("https://a.example/x", "//b.example/y", Some("https://b.example/y")),
            ("https://a.example/x", "https://b.example/y", Some("https://b.example/y")),
            ("https://a.example/x", "HTTPS://b.example/y", Some("https://b.example/y")),
            ("https://a.example/x", "http://a.example/y", None),
            ("https://a.example/x", "http://127.0.0.1/y", None),
            ("https://a.example/x", "y", None),
            ("http://127.0.0.1/x", "/y", Some("http://127.0.0.1/y")),
            ("http://127.0.0.1/x", "https://a.example/y", Some("https://a.example/y")),
            ("http://127.0.0.1/x", "http://a.example/y", None),
        ];
        for (from, to, want) in cases {
            let got = reach(false).redirected(&from.parse().unwrap(), to);
            assert_eq!(got.ok().map(|uri| uri.to_string()).as_deref(), want, "{from} {to}");
        }
        let plain =
            reach(true).redirected(&"https://a.example/x".parse().unwrap(), "http://a.example/");
        assert!(plain.unwrap_err().contains("off `https`"));
    }
}
