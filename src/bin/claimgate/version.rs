//! `claimgate version`: which version this is, and which one a built filter is.

use crate::Failure;
use crate::output::{Finding, Format, Severity};
use claimgate::audit::text::without_misleading;
use serde::Serialize;
use std::process::ExitCode;

/// The version of this command line, and of the filter's engine in it.
const OWN: &str = env!("CARGO_PKG_VERSION");
/// What a WebAssembly module of the one version that there is begins with.
const MAGIC: &[u8] = b"\0asm\x01\0\0\0";
/// The id of sections that a host need not know.
const CUSTOM: u8 = 0;
/// The custom section that says the version, named as the annotation of an OCI image is.
const SECTION: &[u8] = b"version";

#[derive(clap::Args)]
pub struct Arguments {
    /// A filter, `claimgate.wasm`: says its version as well, and whether it is this one.
    file: Option<String>,
}

pub const STATUS: &str =
    "Exit status: 0 done, 1 the filter is of another version, 2 the file is no filter that tells.";

#[derive(Serialize)]
struct Versions {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
}

pub fn run(arguments: &Arguments, format: Format) -> Result<ExitCode, Failure> {
    let Some(file) = &arguments.file else {
        format.print(&Versions { version: OWN, filter: None }, || format!("claimgate {OWN}"));
        return Ok(ExitCode::SUCCESS);
    };
    let module = std::fs::read(file).map_err(|error| format!("`{file}`: {error}"))?;
    let filter = told(&module).map_err(|why| format!("`{file}`: {why}"))?;
    let other = filter != OWN;
    let shown = without_misleading(filter.clone());
    if other {
        format.tell(&Finding {
            severity: Severity::Warning,
            file: file.clone(),
            place: String::new(),
            message: format!(
                "the filter is {shown}, and what this command line says holds for {OWN}"
            ),
        });
    }
    format.print(&Versions { version: OWN, filter: Some(filter) }, || {
        format!("claimgate {OWN}\n{file} {shown}")
    });
    Ok(ExitCode::from(u8::from(other)))
}

/// The version that a module tells in its section for it.
fn told(module: &[u8]) -> Result<String, &'static str> {
    const CUT: &str = "the module is cut off or damaged";
    let mut rest = module.strip_prefix(MAGIC).ok_or("no WebAssembly module")?;
    while let Some((kind, after)) = rest.split_first() {
        let (content, next) = counted(after).ok_or(CUT)?;
        rest = next;
        if *kind == CUSTOM {
            let (name, text) = counted(content).ok_or(CUT)?;
            if name == SECTION {
                return std::str::from_utf8(text).map(str::to_owned).map_err(|_| CUT);
            }
        }
    }
    Err(
        "the module does not tell its version: it is not Claimgate, or was not built by `make build`",
    )
}

/// What its length stands before, and what is behind it.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// An unsigned LEB128 number of at most 32 bits, and what is behind it.
fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(sections: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for (kind, content) in sections {
            bytes.push(*kind);
            bytes.push(content.len().try_into().unwrap());
            bytes.extend_from_slice(content);
        }
        bytes
    }

    #[test]
    fn the_section_is_found_among_others() {
        let sections: &[(u8, &[u8])] =
            &[(1, b"types"), (CUSTOM, b"\x04namex"), (CUSTOM, b"\x07version1.2.3-rc.1")];
        assert_eq!(told(&module(sections)).as_deref(), Ok("1.2.3-rc.1"));
    }

    #[test]
    fn what_is_no_filter_is_an_error_and_no_panic() {
        let whole = module(&[(1, b"types"), (CUSTOM, b"\x07version1.2.3")]);
        assert!(told(b"").is_err());
        assert!(told(b"\x7fELF").is_err());
        assert!(told(MAGIC).unwrap_err().contains("does not tell"));
        for end in 0..whole.len() {
            assert!(told(&whole[..end]).is_err(), "cut at {end}");
        }
        for wrong in [
            &b"\x00\xff\xff\xff\xff\x7f"[..],
            b"\x00\x80\x80\x80\x80\x80\x00",
            b"\x00\x02\x07v",
            b"\x00\x09\x07version\xff",
        ] {
            assert!(told(&[MAGIC, wrong].concat()).is_err(), "{wrong:?}");
        }
    }
}
