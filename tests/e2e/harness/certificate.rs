//! X.509 certificates (RFC 5280) of P-256 keys.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::keys::{self, Key};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const BOOLEAN: u8 = 0x01;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// ecdsa-with-SHA256.
const ES256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// A certificate.
pub struct Certificate {
    /// As Envoy and the filter's configuration take it.
    pub pem: String,
    /// The SHA-256 digest of it, in lower-case hexadecimal.
    pub sha256: String,
}

/// The certificate of `key`, signed by itself, with these alternative names.
pub fn self_signed(key: &Key, common_name: &str, uri: &str, dns: &str) -> Certificate {
    certificate(key, common_name, key, common_name, uri, dns)
}

/// The certificate of `key`, signed by another one of this common name, with these alternative names.
#[allow(dead_code, reason = "not every test that includes this file has an authority")]
pub fn signed_by(authority: &Key, issuer: &str, key: &Key, uri: &str, dns: &str) -> Certificate {
    certificate(authority, issuer, key, "leaf", uri, dns)
}

fn certificate(
    authority: &Key,
    issuer: &str,
    key: &Key,
    common_name: &str,
    uri: &str,
    dns: &str,
) -> Certificate {
    let spki: String = key.pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let spki = BASE64_STANDARD.decode(spki).unwrap();
    let algorithm = der(SEQUENCE, &[&der(OID, &[ES256])]);
    let name = |common_name: &str| {
        let text = der(UTF8_STRING, &[common_name.as_bytes()]);
        let attribute = der(SEQUENCE, &[&der(OID, &[COMMON_NAME]), &text]);
        der(SEQUENCE, &[&der(SET, &[&attribute])])
    };
    let validity =
        der(SEQUENCE, &[&der(UTC_TIME, &[b"200101000000Z"]), &der(UTC_TIME, &[b"491231235959Z"])]);
    // Whether it is an authority, which is no by default.
    let is_authority = if issuer == common_name { der(BOOLEAN, &[&[0xff]]) } else { Vec::new() };
    let constraints = der(SEQUENCE, &[&is_authority]);
    let names = der(SEQUENCE, &[&der(0x86, &[uri.as_bytes()]), &der(0x82, &[dns.as_bytes()])]);
    let extension = |oid: &[u8], value: &[u8]| {
        der(SEQUENCE, &[&der(OID, &[oid]), &der(OCTET_STRING, &[value])])
    };
    let extensions = der(
        SEQUENCE,
        &[&extension(BASIC_CONSTRAINTS, &constraints), &extension(SUBJECT_ALT_NAME, &names)],
    );
    let signed = der(
        SEQUENCE,
        &[
            &der(0xa0, &[&der(INTEGER, &[&[2]])]),
            &der(INTEGER, &[&[&[1], &keys::random(8)[..]].concat()]),
            &algorithm,
            &name(issuer),
            &validity,
            &name(common_name),
            &spki,
            &der(0xa3, &[&extensions]),
        ],
    );
    let signature = authority.sign("ES256", &signed);
    let (r, s) = signature.split_at(32);
    let signature = der(SEQUENCE, &[&integer(r), &integer(s)]);
    let certificate = der(SEQUENCE, &[&signed, &algorithm, &der(BIT_STRING, &[&[0], &signature])]);
    let lines: Vec<String> = keys::base64(&certificate)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    Certificate {
        pem: format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            lines.join("\n")
        ),
        sha256: hmac_sha256::Hash::hash(&certificate)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    }
}

/// A positive number, with a zero before a set first bit and none otherwise.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    let bytes = &bytes[first..];
    if bytes[0] < 0x80 { der(INTEGER, &[bytes]) } else { der(INTEGER, &[&[0], bytes]) }
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let first = length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1);
    let length = &length[first..];
    let head = if content.len() < 0x80 {
        vec![tag, length[0]]
    } else {
        [&[tag, 0x80 | u8::try_from(length.len()).unwrap()], length].concat()
    };
    [head, content].concat()
}
