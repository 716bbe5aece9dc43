//! The filter as a host on Kubernetes fetches it, pinned to what it is.

use crate::Failure;

/// Where the filter comes from.
#[derive(clap::Args)]
#[group(skip)]
pub struct Arguments {
    /// The filter: an image, `oci://registry.example.com/claimgate:0.1.0`, or a file, `https://example.com/claimgate.wasm`.
    #[arg(long, value_name = "URL")]
    wasm: String,
    /// What the filter must be: the digest of the image, or of the file. Not needed where the URL says `@sha256:`.
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// The Kubernetes secret to pull the image with.
    #[arg(long, value_name = "SECRET")]
    pull_secret: Option<String>,
}

/// The filter, pinned.
pub struct Module {
    pub kind: Kind,
    /// Without the scheme where it is an image.
    pub url: String,
    pub sha256: Option<String>,
    pub pull_secret: Option<String>,
}

/// What a URL leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An OCI image.
    Image,
    /// A file over HTTP.
    Http,
    /// A file on the proxy's own disk.
    File,
}

/// Whether this is a SHA-256 as images and manifests write it.
pub fn is_digest(hex: &str) -> bool {
    hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a URL says what it leads to.
pub fn is_pinned(url: &str) -> bool {
    url.split_once("@sha256:").is_some_and(|(_, hex)| is_digest(hex))
}

impl Arguments {
    /// The filter, if it is pinned.
    pub fn module(&self) -> Result<Module, Failure> {
        let (kind, url) = match self.wasm.split_once("://") {
            Some(("oci", image)) => (Kind::Image, image),
            Some(("https" | "http", _)) => (Kind::Http, self.wasm.as_str()),
            Some(("file", _)) => (Kind::File, self.wasm.as_str()),
            _ => {
                return Err(format!(
                    "`--wasm {}`: expected `oci://registry.example.com/claimgate:0.1.0` or `https://...`",
                    self.wasm
                ));
            }
        };
        if url.is_empty() || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("`--wasm {}`: not a URL", self.wasm.escape_debug()));
        }
        if kind == Kind::Http && url.split('/').nth(2).is_some_and(|host| host.contains('@')) {
            return Err(
                "`--wasm`: a password in a URL is seen by whoever reads the manifest: leave it out"
                    .into(),
            );
        }
        let sha256 = self.sha256.as_deref().map(|hex| hex.trim_start_matches("sha256:"));
        let named = url.split_once("@sha256:").map(|(_, hex)| hex);
        for hex in sha256.iter().chain(&named) {
            if !is_digest(hex) {
                return Err(format!(
                    "`{}`: a digest is 64 digits of lower-case hexadecimal",
                    hex.escape_debug()
                ));
            }
        }
        if let (Some(one), Some(other)) = (sha256, named)
            && one != other
        {
            return Err("`--sha256` and the URL name two digests".into());
        }
        if kind != Kind::File && sha256.or(named).is_none() {
            return Err(format!(
                "`--wasm {}`: whoever can write there would decide what runs: pin it by `--sha256`, or by \
                 `@sha256:` in the URL",
                self.wasm
            ));
        }
        if kind != Kind::Image && self.pull_secret.is_some() {
            return Err("`--pull-secret` goes with an `oci://` image only".into());
        }
        let (url, pull_secret) = (url.to_owned(), self.pull_secret.clone());
        Ok(Module { kind, url, sha256: sha256.map(str::to_owned), pull_secret })
    }
}
