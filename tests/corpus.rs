//! Replays what the fuzzer of `tests/fuzz` starts from, and what it once found, without the fuzzer.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests"
)]

#[path = "fuzz/targets/mod.rs"]
mod targets;

use std::path::Path;
use targets::Check;

fn replay(name: &str, check: Check) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let mut count = 0;
    for kind in ["regressions", "seeds"] {
        // Nothing may have been found yet.
        let Ok(entries) = std::fs::read_dir(folder.join(kind).join(name)) else { continue };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            let input = std::fs::read(&file).unwrap();
            if std::panic::catch_unwind(|| check(&input)).is_err() {
                panic!("{} does not hold, see above", file.display());
            }
            count += 1;
        }
    }
    assert!(count > 10, "only {count} inputs for {name}");
}

macro_rules! replays {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            replay(stringify!($name), targets::$name::check);
        }
    )*};
}

replays! { claims compact config keys request }
