//! Keys and signatures in ASN.1: PEM and DER, `SubjectPublicKeyInfo`, PKCS#1, X.509 certificates.

use super::signature::{Curve, Material};
use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use der::{Decode, Encode, Header, Reader, SliceReader, Tag};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use x509_cert::Certificate;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const CURVES: [(ObjectIdentifier, Curve); 4] = [
    (ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"), Curve::P256),
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), Curve::P384),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), Curve::P521),
    (ObjectIdentifier::new_unwrap("1.3.132.0.10"), Curve::Secp256k1),
];

/// Reads a public key from PEM (RFC 7468). Of a certificate only the key counts: neither its chain
/// nor its dates are checked, since it is the operator who vouches for it.
///
/// # Errors
/// Says what is wrong, and shows nothing of the text.
pub fn parse_pem(text: &str) -> Result<Material, &'static str> {
    let expected = "not PEM: expected `-----BEGIN PUBLIC KEY-----`, base64 lines and its end";
    let (label, der) = der::pem::decode_vec(wrap(text).as_bytes())
        .map(|(label, der)| (label.to_owned(), der))
        .map_err(|_| expected)?;
    match label.as_str() {
        "PUBLIC KEY" => from_spki(&der),
        "RSA PUBLIC KEY" => from_pkcs1(&der),
        "CERTIFICATE" => from_certificate(&der),
        label if label.ends_with("PRIVATE KEY") => {
            Err("this is a private key: give the public one (`openssl pkey -pubout`)")
        }
        _ => Err("PEM of another kind: expected PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE"),
    }
}

/// The text in lines of 64 characters, which the decoder insists on: YAML, JSON and environment
/// variables carry PEM with indentation, or its base64 in one line.
fn wrap(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let [first, inner @ .., last] = lines.as_slice() else { return String::new() };
    let inner: Vec<char> = inner.iter().flat_map(|line| line.chars()).collect();
    let mut wrapped = format!("{first}\n");
    for line in inner.chunks(64) {
        wrapped.extend(line);
        wrapped.push('\n');
    }
    wrapped + last
}

/// The key of a DER certificate (RFC 5280).
///
/// # Errors
/// Says what is wrong.
pub fn from_certificate(der: &[u8]) -> Result<Material, &'static str> {
    let bad = "not an X.509 certificate";
    let certificate = Certificate::from_der(der).map_err(|_| bad)?;
    let spki = certificate.tbs_certificate().subject_public_key_info().to_der();
    from_spki(&spki.map_err(|_| bad)?)
}

/// A `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7).
///
/// # Errors
/// Says what is wrong.
pub fn from_spki(der: &[u8]) -> Result<Material, &'static str> {
    let bad = "not a SubjectPublicKeyInfo";
    let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| bad)?;
    let bits = spki.subject_public_key.as_bytes().ok_or(bad)?;
    if spki.algorithm.oid == RSA {
        return from_pkcs1(bits);
    }
    if spki.algorithm.oid == ED25519 {
        return Ok(Material::Ed25519(bits.to_vec()));
    }
    if spki.algorithm.oid == EC {
        let oid = spki.algorithm.parameters_oid().map_err(|_| bad)?;
        let (_, curve) = CURVES
            .iter()
            .find(|(known, _)| *known == oid)
            .ok_or("curve is not P-256, P-384, P-521 or secp256k1")?;
        return Ok(Material::Ec { curve: *curve, point: bits.to_vec() });
    }
    Err("key is neither RSA, nor of an elliptic curve, nor Ed25519")
}

/// An `RSAPublicKey` (RFC 8017 appendix A.1.1).
fn from_pkcs1(der: &[u8]) -> Result<Material, &'static str> {
    SliceReader::new(der)
        .and_then(|mut reader| {
            let key = reader.sequence(|reader| {
                let n = UintRef::decode(reader)?.as_bytes().to_vec();
                let e = UintRef::decode(reader)?.as_bytes().to_vec();
                Ok::<_, der::Error>(Material::Rsa { n, e })
            })?;
            reader.finish()?;
            Ok(key)
        })
        .map_err(|_| "not an RSA public key")
}

/// The `SubjectPublicKeyInfo` of an RSA or elliptic key; `None` where the numbers are none.
pub fn to_spki(material: &Material) -> Option<Vec<u8>> {
    let pkcs1;
    let (oid, curve, bits) = match material {
        Material::Rsa { n, e } => {
            pkcs1 = integers(n, e)?;
            (RSA, None, &pkcs1)
        }
        Material::Ec { curve, point } => {
            let (oid, _) = CURVES.iter().find(|(_, known)| known == curve)?;
            (EC, Some(oid), point)
        }
        Material::Ed25519(point) => (ED25519, None, point),
        Material::Hmac(_) => return None,
    };
    let parameters = match material {
        // RFC 3279 section 2.3.1: "the parameters field MUST have ASN.1 type NULL".
        Material::Rsa { .. } => Some(AnyRef::NULL),
        _ => curve.map(AnyRef::from),
    };
    let spki = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid, parameters },
        subject_public_key: BitStringRef::from_bytes(bits).ok()?,
    };
    spki.to_der().ok()
}

/// A sequence of two unsigned integers, both given big-endian: an `RSAPublicKey` (RFC 8017 appendix
/// A.1.1) and an `ECDSA-Sig-Value` (RFC 5480 appendix A) are such.
pub fn integers(first: &[u8], second: &[u8]) -> Option<Vec<u8>> {
    let (first, second) = (UintRef::new(first).ok()?, UintRef::new(second).ok()?);
    let length = (first.encoded_len().ok()? + second.encoded_len().ok()?).ok()?;
    let mut out = Vec::new();
    Header::new(Tag::Sequence, length).encode_to_vec(&mut out).ok()?;
    first.encode_to_vec(&mut out).ok()?;
    second.encode_to_vec(&mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_integers_as_der_wants_them() {
        let cases: [(&[u8], &[u8], &[u8]); 3] = [
            (&[0, 0, 1], &[0x7f], &[0x30, 6, 2, 1, 1, 2, 1, 0x7f]),
            (&[0x80], &[0], &[0x30, 7, 2, 2, 0, 0x80, 2, 1, 0]),
            (&[0, 0], &[0, 0x80, 0], &[0x30, 8, 2, 1, 0, 2, 3, 0, 0x80, 0]),
        ];
        for (first, second, want) in cases {
            assert_eq!(integers(first, second).as_deref(), Some(want));
        }
    }

    #[test]
    fn spki_goes_there_and_back() {
        let point = vec![4; 65];
        for material in [
            Material::Rsa { n: vec![0xc5; 256], e: vec![1, 0, 1] },
            Material::Ec { curve: Curve::P256, point: point.clone() },
            Material::Ec { curve: Curve::P521, point },
            Material::Ed25519(vec![7; 32]),
        ] {
            let again = from_spki(&to_spki(&material).unwrap()).unwrap();
            assert_eq!(to_spki(&again), to_spki(&material));
        }
    }
}
