//! The keys of an issuer as metrics name them: each known `kid` has a number, so that counting one
//! request compares and copies no text.

/// How many key ids of an issuer have a name of their own in metrics. It bounds how many metrics
/// there are, however often keys rotate while a configuration stays.
pub const MAX_KIDS: usize = 16;

/// The place of a key id among those of its issuer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KidTag {
    /// No known key is named.
    #[default]
    None,
    /// One of the first [`MAX_KIDS`].
    Known(u8),
    /// One that came after them.
    Other,
}

/// The key ids of one issuer, in the order in which they were first there. One that is gone keeps
/// its place: it may still be counted.
#[derive(Debug, Default)]
pub struct Kids(Vec<Box<str>>);

impl Kids {
    /// Takes in the ids of keys that are there now. Those that are new take the places that are
    /// left.
    pub fn extend<'a>(&mut self, kids: impl Iterator<Item = &'a str>) {
        for kid in kids {
            if self.0.len() < MAX_KIDS && !self.0.iter().any(|known| **known == *kid) {
                self.0.push(kid.into());
            }
        }
    }

    /// The place of the id of a key that is known.
    pub fn tag(&self, kid: Option<&str>) -> KidTag {
        let Some(kid) = kid else { return KidTag::None };
        let place = self.0.iter().position(|known| **known == *kid);
        place.and_then(|place| u8::try_from(place).ok()).map_or(KidTag::Other, KidTag::Known)
    }

    /// The id at this place.
    pub fn name(&self, tag: KidTag) -> Option<&str> {
        match tag {
            KidTag::Known(place) => self.0.get(usize::from(place)).map(|kid| &**kid),
            KidTag::None | KidTag::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_keep_their_place_and_the_rest_share_one() {
        let mut kids = Kids::default();
        let names: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
        kids.extend(names.iter().take(3).map(|name| &**name));
        kids.extend(["k2", "k1", "k2"].into_iter());
        kids.extend(names.iter().rev().map(|name| &**name));
        // (id, its place)
        let cases = [("k0", 0), ("k2", 2), ("k19", 3), ("k7", 15)];
        for (kid, place) in cases {
            let tag = kids.tag(Some(kid));
            assert_eq!(tag, KidTag::Known(place), "{kid}");
            assert_eq!(kids.name(tag), Some(kid));
        }
        for kid in ["k6", "k3", "never seen"] {
            assert_eq!(kids.tag(Some(kid)), KidTag::Other, "{kid}");
        }
        assert_eq!(kids.tag(None), KidTag::None);
        assert_eq!(kids.name(KidTag::None).or(kids.name(KidTag::Other)), None);
    }
}
