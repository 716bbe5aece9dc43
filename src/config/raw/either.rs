//! What is written in one of two forms: as a word or a name, or as an object.

use super::{ByWord, Format, Long, Tier};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::fmt;

/// What an identity header is made of: a claim's name, or an object.
#[derive(Clone, Default)]
pub struct IdentityHeader {
    /// The claim.
    pub claim: Option<String>,
    /// The attribute.
    pub attribute: Option<String>,
    /// How it is written.
    pub format: Option<Format>,
}

impl<'de> Deserialize<'de> for IdentityHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = IdentityHeader;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a claim, or an object with `claim` or `attribute`")
            }
            fn visit_str<E>(self, claim: &str) -> Result<IdentityHeader, E> {
                Ok(IdentityHeader { claim: Some(claim.to_owned()), ..IdentityHeader::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<IdentityHeader, A::Error> {
                let Long { claim, attribute, format } =
                    Long::deserialize(MapAccessDeserializer::new(map))?;
                Ok(IdentityHeader { claim, attribute, format })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A part of what is counted together: a word, or an object with a claim.
#[derive(Clone)]
pub enum By {
    /// A word.
    Word(ByWord),
    /// The value of a claim.
    Claim(Tier),
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = By;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word, or an object with `claim`")
            }
            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<By, E> {
                ByWord::deserialize(StrDeserializer::new(word)).map(By::Word)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<By, A::Error> {
                Tier::deserialize(MapAccessDeserializer::new(map)).map(By::Claim)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
