//! The backend that asks the host: Envoy's foreign function `verify_signature`, which is BoringSSL's RSA
//! PKCS#1 v1.5 and ECDSA in machine code. What the host cannot do, or did wrong when it was probed, the
//! portable backend does; nothing but time tells them apart.

use super::Algorithm::*;
use super::known_answers::KNOWN_ANSWERS;
use super::{Algorithm, AlgorithmSet, Material, Portable, SignatureBackend, Verifier};
use crate::token::asn1::{integers, to_spki};
use prost::Message;

/// Calls the host's function with a serialised argument; `None` where the host does not answer.
pub type Call = fn(&[u8]) -> Option<Vec<u8>>;

/// The algorithms that BoringSSL's `EVP_DigestVerify` covers: no PSS, no Ed25519, no secp256k1.
const ASKED: [Algorithm; 6] = [RS256, RS384, RS512, ES256, ES384, ES512];

/// The argument, as Envoy's `verify_signature.proto` has it.
#[derive(Clone, PartialEq, Message)]
struct Argument {
    #[prost(string, tag = "1")]
    hash_function: String,
    #[prost(bytes = "vec", tag = "2")]
    public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    text: Vec<u8>,
}

/// The answer. Its `error` says no more than the `result`.
#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(bool, tag = "1")]
    result: bool,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Hosted {
    call: Call,
    proven: AlgorithmSet,
}

impl Default for Hosted {
    /// A host that is not asked.
    fn default() -> Self {
        Self { call: |_| None, proven: AlgorithmSet::of(&[]) }
    }
}

impl Hosted {
    /// Probes the host: an algorithm is left to it only if it takes a good signature and refuses the
    /// same one of another message.
    pub fn probe(call: Call) -> Self {
        let mut proven = AlgorithmSet::of(&[]);
        for known in &KNOWN_ANSWERS {
            let Some(question) = Question::new(known.algorithm, &known.material()) else {
                continue;
            };
            let answers = |message| question.ask(call, message, known.signature);
            if answers(known.message) == Some(true) && answers(b"another message") == Some(false) {
                proven = proven.union(AlgorithmSet::of(&[known.algorithm]));
            }
        }
        Self { call, proven }
    }

    /// The algorithms that the host verifies.
    pub fn proven(&self) -> AlgorithmSet {
        self.proven
    }
}

impl SignatureBackend for Hosted {
    /// What loads is the portable backend's judgement alone, so that it is the same on every host.
    fn prepare(&self, material: &Material) -> Result<Box<dyn Verifier>, &'static str> {
        let portable = Portable.prepare(material)?;
        let asked = ASKED.into_iter().filter(|algorithm| self.proven.contains(*algorithm));
        let questions: Vec<Question> =
            asked.filter_map(|algorithm| Question::new(algorithm, material)).collect();
        if questions.is_empty() {
            return Ok(portable);
        }
        Ok(Box::new(HostedKey { call: self.call, questions, portable }))
    }
}

struct HostedKey {
    call: Call,
    questions: Vec<Question>,
    portable: Box<dyn Verifier>,
}

impl Verifier for HostedKey {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.questions
            .iter()
            .find(|question| question.algorithm == algorithm)
            .and_then(|question| question.ask(self.call, message, signature))
            .unwrap_or_else(|| self.portable.verify(algorithm, message, signature))
    }
}

/// The part of the argument that does not change from token to token.
struct Question {
    algorithm: Algorithm,
    form: Form,
    /// Hash function and key, serialised: fields may be appended to them.
    head: Vec<u8>,
}

/// How a JWS writes a signature.
#[derive(Clone, Copy)]
enum Form {
    /// As long as the modulus.
    Rsa { length: usize },
    /// Two integers of this many bytes each (RFC 7518 section 3.4), which the host wants in DER.
    Ecdsa { integer: usize },
}

impl Question {
    /// `None` where the key does not admit the algorithm, or is none that DER can name.
    fn new(algorithm: Algorithm, material: &Material) -> Option<Self> {
        if !material.algorithms().contains(algorithm) {
            return None;
        }
        let hash_function = match algorithm {
            RS256 | ES256 => "sha256",
            RS384 | ES384 => "sha384",
            RS512 | ES512 => "sha512",
            HS256 | HS384 | HS512 | PS256 | PS384 | PS512 | ES256K | EdDSA => return None,
        };
        let form = match material {
            Material::Rsa { n, .. } => {
                let zeros = n.iter().take_while(|byte| **byte == 0).count();
                Form::Rsa { length: n.len() - zeros }
            }
            Material::Ec { curve, .. } => Form::Ecdsa { integer: curve.coordinate() },
            Material::Ed25519(_) | Material::Hmac(_) => return None,
        };
        let head = Argument {
            hash_function: hash_function.to_owned(),
            public_key: to_spki(material)?,
            ..Argument::default()
        };
        Some(Self { algorithm, form, head: head.encode_to_vec() })
    }

    /// Whether the signature is one; `None` where the host does not answer.
    fn ask(&self, call: Call, message: &[u8], signature: &[u8]) -> Option<bool> {
        let (der, length) = match self.form {
            Form::Rsa { length } => (None, length),
            Form::Ecdsa { integer } => (signature.split_at_checked(integer), 2 * integer),
        };
        if signature.len() != length {
            return Some(false);
        }
        let der = der.and_then(|(r, s)| integers(r, s));
        let signature = der.as_deref().unwrap_or(signature);
        let mut argument =
            Vec::with_capacity(self.head.len() + signature.len() + message.len() + 16);
        argument.extend_from_slice(&self.head);
        for (tag, bytes) in [(3, signature), (4, message)] {
            prost::encoding::encode_key(
                tag,
                prost::encoding::WireType::LengthDelimited,
                &mut argument,
            );
            prost::encoding::encode_varint(bytes.len() as u64, &mut argument);
            argument.extend_from_slice(bytes);
        }
        let answer = Answer::decode(call(&argument)?.as_slice()).ok()?;
        Some(answer.result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::asn1;
    use der::asn1::UintRef;
    use der::{Decode, Reader, SliceReader};

    /// A host that does what Envoy's does, by the portable backend.
    fn honest(argument: &[u8]) -> Option<Vec<u8>> {
        let Argument { hash_function, public_key, signature, text } =
            Argument::decode(argument).ok()?;
        let material = asn1::from_spki(&public_key).ok()?;
        let raw = match &material {
            Material::Ec { curve, .. } => {
                let mut reader = SliceReader::new(&signature).ok()?;
                let (r, s) = reader
                    .sequence(|reader| {
                        let r = UintRef::decode(reader)?.as_bytes().to_vec();
                        Ok::<_, der::Error>((r, UintRef::decode(reader)?.as_bytes().to_vec()))
                    })
                    .ok()?;
                let full = |n: &[u8]| [&vec![0; curve.coordinate() - n.len()], n].concat();
                [full(&r), full(&s)].concat()
            }
            _ => signature,
        };
        let algorithm = ASKED.into_iter().find(|algorithm| {
            material.algorithms().contains(*algorithm)
                && hash_function.strip_prefix("sha") == algorithm.name().get(2..)
        });
        let result = Portable.prepare(&material).unwrap().verify(algorithm?, &text, &raw);
        Some(Answer { result }.encode_to_vec())
    }

    #[test]
    fn a_host_is_believed_where_it_is_proven_only() {
        let hosts: [(Call, usize); 6] = [
            (honest, ASKED.len()),
            (|_| None, 0),
            (|_| Some(vec![8, 1]), 0),
            (|_| Some(Vec::new()), 0),
            (|_| Some(vec![0xff; 9]), 0),
            (
                |argument| {
                    if argument.starts_with(b"\x0a\x06sha256") { honest(argument) } else { None }
                },
                2,
            ),
        ];
        for (index, (call, want)) in hosts.into_iter().enumerate() {
            let hosted = Hosted::probe(call);
            let proven = ASKED.into_iter().filter(|a| hosted.proven().contains(*a)).count();
            assert_eq!(proven, want, "host {index}");
            for known in &KNOWN_ANSWERS {
                let key = hosted.prepare(&known.material()).unwrap();
                let verifies = |message, signature| key.verify(known.algorithm, message, signature);
                assert!(verifies(known.message, known.signature), "host {index}");
                assert!(!verifies(b"other", known.signature), "host {index}");
                assert!(!verifies(known.message, &known.signature[1..]), "host {index}");
                let longer = [known.signature, &[0]].concat();
                assert!(!verifies(known.message, &longer), "host {index}");
                assert!(!verifies(known.message, b""), "host {index}");
            }
        }
    }

    #[test]
    fn a_host_that_falls_silent_is_not_missed() {
        thread_local!(static SILENT: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
        let hosted = Hosted::probe(|argument| if SILENT.get() { None } else { honest(argument) });
        let known = &KNOWN_ANSWERS[0];
        let key = hosted.prepare(&known.material()).unwrap();
        SILENT.set(true);
        assert!(key.verify(known.algorithm, known.message, known.signature));
        assert!(!key.verify(known.algorithm, b"other", known.signature));
    }
}
