//! Signatures: the algorithms (RFC 7518 section 3.1, RFC 8037, RFC 8812) and who computes them.
//!
//! This folder is the only place that names a crypto crate. [`Hosted`] asks Envoy's own cryptography, and
//! leaves to [`Portable`] what that cannot do.
//!
//! What a token costs that was not seen before, in thousand instructions over no filter, counted as
//! `make bench` does (tokens of some 700 bytes, RSA keys of 2048 bits):
//!
//! | algorithm | asked of the host | in WebAssembly |
//! | --- | ---: | ---: |
//! | RS256 | 407 | 4,789 |
//! | PS256 | | 4,831 |
//! | ES256 | 811 | 6,994 |
//! | EdDSA | | 1,307 |
//! | HS256 | | 82 |
//!
//! RS384 and RS512 cost what RS256 does; ES384 and ES512 more than ES256, with the size of their numbers.
//! A token that was seen before costs some 40, whatever its algorithm.

mod digest;
mod hosted;
mod known_answers;
mod portable;

pub use digest::short_digest;
pub use hosted::Hosted;
pub use portable::Portable;

use std::fmt;

/// A JWS algorithm. `none` is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are those of RFC 7518 section 3.1")]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    ES256K,
    EdDSA,
}

use Algorithm::*;

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 14] = [
        HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, ES256K,
        EdDSA,
    ];

    /// The name in the `alg` header, compared with case (RFC 7515 section 4.1.1).
    pub fn name(self) -> &'static str {
        match self {
            HS256 => "HS256",
            HS384 => "HS384",
            HS512 => "HS512",
            RS256 => "RS256",
            RS384 => "RS384",
            RS512 => "RS512",
            PS256 => "PS256",
            PS384 => "PS384",
            PS512 => "PS512",
            ES256 => "ES256",
            ES384 => "ES384",
            ES512 => "ES512",
            ES256K => "ES256K",
            EdDSA => "EdDSA",
        }
    }

    /// The algorithm of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// A set of algorithms.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AlgorithmSet(u16);

impl AlgorithmSet {
    /// The set of these.
    pub fn of(algorithms: &[Algorithm]) -> Self {
        Self(algorithms.iter().fold(0, |bits, algorithm| bits | 1 << (*algorithm as u8)))
    }

    /// Every one but HMAC.
    pub fn asymmetric() -> Self {
        Self(!Self::of(&[HS256, HS384, HS512]).0)
    }

    /// Whether it holds this one.
    pub fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & 1 << (algorithm as u8) != 0
    }

    /// What both hold.
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What either holds.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it holds none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for AlgorithmSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = Algorithm::ALL.into_iter().filter(|algorithm| self.contains(*algorithm));
        f.debug_set().entries(members).finish()
    }
}

/// An elliptic curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of RFC 7518 section 6.2.1.1")]
pub enum Curve {
    P256,
    P384,
    P521,
    Secp256k1,
}

impl Curve {
    /// The one algorithm of this curve.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::P256 => ES256,
            Self::P384 => ES384,
            Self::P521 => ES512,
            Self::Secp256k1 => ES256K,
        }
    }

    /// The length of a coordinate in bytes.
    pub fn coordinate(self) -> usize {
        match self {
            Self::P256 | Self::Secp256k1 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// The numbers of a key, not yet checked.
pub enum Material {
    /// An RSA public key, both numbers big-endian.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
    /// A point on a curve, as SEC 1 encodes it.
    Ec {
        /// The curve.
        curve: Curve,
        /// The point.
        point: Vec<u8>,
    },
    /// An Ed25519 public key.
    Ed25519(Vec<u8>),
    /// An HMAC secret.
    Hmac(Secret),
}

impl Material {
    /// The algorithms that a key of this kind can verify; for a secret those whose hash is not
    /// longer than it (RFC 7518 section 3.2).
    pub fn algorithms(&self) -> AlgorithmSet {
        match self {
            Self::Rsa { .. } => AlgorithmSet::of(&[RS256, RS384, RS512, PS256, PS384, PS512]),
            Self::Ec { curve, .. } => AlgorithmSet::of(&[curve.algorithm()]),
            Self::Ed25519(_) => AlgorithmSet::of(&[EdDSA]),
            Self::Hmac(secret) => match secret.as_bytes().len() {
                0..32 => AlgorithmSet::of(&[]),
                32..48 => AlgorithmSet::of(&[HS256]),
                48..64 => AlgorithmSet::of(&[HS256, HS384]),
                64.. => AlgorithmSet::of(&[HS256, HS384, HS512]),
            },
        }
    }
}

/// Bytes that no message shows.
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Something that computes signatures.
pub trait SignatureBackend {
    /// Checks a key and makes it ready.
    ///
    /// # Errors
    /// Says what is wrong with the key.
    fn prepare(&self, material: &Material) -> Result<Box<dyn Verifier>, &'static str>;
}

/// A key made ready.
pub trait Verifier {
    /// Whether this key made this signature of this message. An algorithm that is not of the key's
    /// kind verifies nothing.
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool;
}
