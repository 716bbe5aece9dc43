//! Targets that are to get past a policy: the lines of public lists in the places they are meant for, and systematic
//! changes of the protected paths.

use std::collections::HashSet;
use std::path::PathBuf;

use serde_json::Value;

/// A list of targets.
pub struct List {
    /// The file, or what else it comes from.
    pub name: &'static str,
    /// What a failure calls each, and its bytes.
    pub targets: Vec<(String, Vec<u8>)>,
}

/// What is protected: the beginning of a path, and one beneath.
const PROTECTED: [&str; 2] = ["admin", "logs/prod"];

/// The files of lines, and the tables with the member that holds the path.
const LINES: [&str; 3] =
    ["patt_directory_traversal.txt", "nomore403_midpaths.txt", "nomore403_endpaths.txt"];
const TABLES: [(&str, &str); 4] = [
    ("envoy_path_utility.json", "in"),
    ("go_path_clean.json", "in"),
    ("http_pathname_view.json", "input"),
    ("istio_normalization.json", "in"),
];

/// Every list. Where the public ones are not here, the other ones, and it is said.
pub fn lists() -> Vec<List> {
    let mut lists = vec![changes(), ascents(), forms()];
    match folder() {
        Some(folder) => lists.extend(public(&folder)),
        None => {
            use std::io::Write as _;
            let names: Vec<&str> = LINES.into_iter().chain(TABLES.map(|(name, _)| name)).collect();
            let told = format!(
                "\nNOT RUN: {}, which are not here; CLAIMGATE_VECTORS names their folder\n",
                names.join(", ")
            );
            // Not captured by the test harness, unlike `eprintln`.
            std::io::stderr().write_all(told.as_bytes()).unwrap();
        }
    }
    for list in &mut lists {
        let mut known = HashSet::new();
        // What no protocol has as a target proves nothing.
        list.targets.retain(|(_, target)| !target.is_empty() && known.insert(target.clone()));
    }
    lists
}

fn folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors");
    let folder = std::env::var_os("CLAIMGATE_VECTORS").map_or_else(|| beside.into(), PathBuf::from);
    Some(folder.join("paths")).filter(|folder| folder.is_dir())
}

fn public(folder: &std::path::Path) -> Vec<List> {
    let read = |name: &str| {
        let file = folder.join(name);
        std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    };
    let lines = LINES.map(|name| {
        let text = read(name);
        let lines = text.split(|byte| *byte == b'\n').enumerate();
        let targets = lines.flat_map(|(index, line)| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            combined(line).into_iter().map(move |target| (format!("line {}", index + 1), target))
        });
        List { name, targets: targets.collect() }
    });
    let tables = TABLES.map(|(name, member)| {
        let table: Value = serde_json::from_slice(&read(name)).unwrap();
        let rows = table.as_array().or_else(|| table["cases"].as_array()).unwrap();
        let targets = rows.iter().enumerate().flat_map(|(index, row)| {
            let input = row[member].as_str().unwrap().as_bytes();
            let targets = renamed(input).into_iter().chain(combined(input));
            targets.map(move |target| (format!("case {index}"), target))
        });
        List { name, targets: targets.collect() }
    });
    lines.into_iter().chain(tables).collect()
}

/// A payload before, within and after the protected paths, and on the way to them from an open one.
fn combined(payload: &[u8]) -> Vec<Vec<u8>> {
    let mut targets = vec![[b"/", payload].concat()];
    let mut put = |parts: &[&[u8]]| targets.push(parts.concat());
    for protected in PROTECTED {
        let t = protected.as_bytes();
        let (first, rest) = t.split_at(4);
        put(&[payload, t]);
        put(&[b"/", payload, t]);
        put(&[b"/", payload, b"/", t, b"/x"]);
        put(&[b"/x", payload, t]);
        put(&[b"/x/", payload, t]);
        put(&[b"/x/", payload, b"/", t]);
        put(&[b"/open/a", payload, b"/", t]);
        put(&[b"/open/", payload, b"../", t]);
        put(&[b"/open/a/", payload, payload, t]);
        put(&[b"/", t, payload]);
        put(&[b"/", t, b"/", payload]);
        put(&[b"/", t, payload, b"/x"]);
        put(&[b"/", t, payload, b"x"]);
        put(&[b"/", first, payload, rest]);
    }
    put(&[b"/logs/", payload, b"prod"]);
    put(&[b"/logs/", payload, b"/prod/x"]);
    targets
}

/// The path of a table with its last name, or its every name, one of the protected.
fn renamed(path: &[u8]) -> Vec<Vec<u8>> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric();
    // The hexadecimal digits after a percent sign are no name.
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    while at < path.len() {
        if path[at] == b'%' {
            at += 3;
        } else if is_name(&path[at]) {
            let end = path[at..].iter().position(|byte| !is_name(byte));
            let end = end.map_or(path.len(), |end| at + end);
            runs.push((at, end));
            at = end;
        } else {
            at += 1;
        }
    }
    let with = |runs: &[(usize, usize)], name: &[u8]| {
        let mut changed = Vec::new();
        let mut last = 0;
        for (start, end) in runs {
            changed.extend([&path[last..*start], name].concat());
            last = *end;
        }
        changed.extend(&path[last..]);
        changed
    };
    let mut targets = Vec::new();
    for protected in PROTECTED.map(str::as_bytes) {
        targets.extend(runs.iter().map(|run| with(&[*run], protected)));
        targets.push(with(&runs, protected));
    }
    targets
}

/// What is put into every place of a protected path.
#[rustfmt::skip]
const INSERTIONS: &[&[u8]] = &[
    b";", b";x=y", b";/", b"/;", b"/;x/", b"%3b", b"%3Bx=y", b"%253b", b"/", b"//", b"///", b"/./", b"/x/../", b"/x/..;/",
    b"/x/%2e%2e/", b"/%2e/", b"/.%00/", b"%2f", b"%2F", b"%2f%2f", b"%252f", b"%25252f", b"%u002f", b"%25u002f", b"\\", b"%5c",
    b"%5C", b"%255c", b"\\\\", b"/\\", b"%00", b"%2500", b"%u0000", b"\0", b"\t", b"%09", b"%0a", b"%0d", b"%0d%0a", b"%0b", b"%1f",
    b"%7f", b"%c2%85", b"%c2%a0", b" ", b"%20", b"%2520", b"+", b"#", b"%23", b"%2523", b"?", b"%3f", b"%253f", b"%3F%23", b".",
    b"..", b"%2e", b"%252e", b"/.", b"/..", b"*", b"~", b"~1", b":", b"::$DATA", b"::$INDEX_ALLOCATION", b"%", b"%2", b"%zz", b"%25",
    b"%ff", b"\xff", b"%c0%af", b"%c1%9c", b"%c0%80", b"%e0%80%af", b"%f0%80%80%af", b"\xc0\xaf", b"%c0%2f", b"%c0%ae", b"%ad",
    b"%c2%ad", b"%e2%80%8b", b"%ef%bb%bf", b"%ef%bc%8f", b"%ef%bc%bc", b"%ef%bc%9b", b"%ef%bc%9f", b"%ef%bc%83", b"%ef%bc%852f",
    b"%ef%bc%8e", b"%e2%88%95", b"%e2%81%84", b".json", b".css", b".", b"%2ejson", b";.css", b"%00.css", b"%23.css", b"%3f.css",
];

/// Every change at every place of the protected paths.
fn changes() -> List {
    let mut targets = Vec::new();
    let mut put = |name: String, parts: &[&[u8]]| targets.push((name, parts.concat()));
    for path in ["/admin", "/admin/secret", "/logs/prod", "/logs/prod/x"] {
        let bytes = path.as_bytes();
        for at in 0..=bytes.len() {
            let (before, after) = bytes.split_at(at);
            for insertion in INSERTIONS {
                let name = format!("`{}` at {at} of {path}", insertion.escape_ascii());
                put(name, &[before, insertion, after]);
            }
            let Some((byte, after)) = after.split_first() else { continue };
            for (kind, spelling) in spellings(*byte) {
                let name = || format!("{kind} at {at} of {path}");
                put(name(), &[before, &spelling, after]);
                // And all that follows likewise.
                let following = after
                    .iter()
                    .map(|byte| spellings(*byte).into_iter().find(|(other, _)| *other == kind));
                let following = following.map(|found| found.map(|(_, spelling)| spelling));
                if let Some(following) = following.collect::<Option<Vec<_>>>() {
                    put(name() + " and after", &[before, &spelling, &following.concat()]);
                }
            }
        }
        put(format!("{path} in capitals"), &[path.to_uppercase().as_bytes()]);
    }
    List { name: "changes", targets }
}

/// How a character can be spelt.
fn spellings(byte: u8) -> Vec<(&'static str, Vec<u8>)> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let character = |code: u32| hex(char::from_u32(code).unwrap().to_string().as_bytes());
    let mut spellings = vec![
        ("encoded", format!("%{byte:02x}")),
        ("encoded in capitals", format!("%{byte:02X}")),
        ("encoded twice", format!("%25{byte:02x}")),
        ("encoded twice, the digits too", format!("%{}", hex(format!("{byte:02x}").as_bytes()))),
        ("wholly encoded twice", hex(format!("%{byte:02x}").as_bytes())),
        ("encoded three times", format!("%2525{byte:02x}")),
        ("encoded by %u", format!("%u00{byte:02x}")),
        ("encoded by %u twice", format!("%25u00{byte:02x}")),
        ("fullwidth by %u", format!("%u{:04x}", u32::from(byte) + 0xfee0)),
        ("fullwidth", character(u32::from(byte) + 0xfee0)),
        ("overlong, two bytes", hex(&[0xc0 | byte >> 6, 0x80 | byte & 0x3f])),
        ("overlong, three bytes", hex(&[0xe0, 0x80 | byte >> 6, 0x80 | byte & 0x3f])),
        ("overlong, four bytes", hex(&[0xf0, 0x80, 0x80 | byte >> 6, 0x80 | byte & 0x3f])),
        ("with the eighth bit", hex(&[byte | 0x80])),
    ];
    let other_case = if byte.is_ascii_lowercase() {
        byte.to_ascii_uppercase()
    } else {
        byte.to_ascii_lowercase()
    };
    if other_case != byte {
        spellings.push(("in the other case", char::from(other_case).to_string()));
        spellings.push(("in the other case, encoded", format!("%{other_case:02x}")));
    }
    match byte {
        b's' => spellings.push(("as another letter", character(0x17f))),
        b'i' => spellings
            .extend([("as another letter", character(0x131)), ("with a dot", character(0x130))]),
        _ => {}
    }
    spellings.into_iter().map(|(kind, spelling)| (kind, spelling.into_bytes())).collect()
}

/// Ways up from the open part, in all spellings of dots and slashes.
fn ascents() -> List {
    let ups: [&str; 22] = [
        "..",
        ".",
        "%2e%2e",
        "%2E.",
        ".%2e",
        "..;",
        "..;x=y",
        "%2e%2e;",
        "..%3b",
        "..%00",
        "..%09",
        "..%20",
        "..%23",
        "..%3f",
        "%252e%252e",
        "%25252e%25252e",
        "%u002e%u002e",
        "%25u002e%25u002e",
        "%c0%ae%c0%ae",
        "%ef%bc%8e%ef%bc%8e",
        "%e2%80%a5",
        "%ef%bc%85%32%65%ef%bc%852e",
    ];
    let slashes: [&str; 16] = [
        "/",
        "//",
        "%2f",
        "%2F",
        "\\",
        "%5c",
        "%252f",
        "%25252f",
        "%255c",
        "%u002f",
        "%25u002f",
        "%c0%af",
        "%ef%bc%8f",
        "%ef%bc%bc",
        ";/",
        "/;/",
    ];
    let mut targets = Vec::new();
    for up in ups {
        for slash in slashes {
            for protected in PROTECTED {
                let spelt = protected.replace('/', slash);
                for target in [
                    format!("/{up}{slash}{spelt}"),
                    format!("/open{slash}{up}{slash}{spelt}"),
                    format!("/open/{up}{slash}{protected}"),
                    format!("/open/a{slash}{up}{slash}{up}{slash}{spelt}/x"),
                    format!("/logs{slash}{up}{slash}{spelt}"),
                ] {
                    targets.push((format!("`{up}` and `{slash}`"), target.into_bytes()));
                }
            }
        }
    }
    List { name: "ascents", targets }
}

/// Targets in other forms than a path, and paths that can be taken for such.
fn forms() -> List {
    let hosts = ["app.test", "APP.test.:80", "x", "user@x", "x;y", ""];
    let starts = [
        "http://", "HTTP://", "https://", "http:/", "http:", "ftp://", "//", "///", "////", "/\\",
        "\\\\", "/%2f", "%2f%2f", "/%5c", "/;/", "/./", "/.//", "ws://", "/http://", "/http:/",
        "*//", "#//", "?//",
    ];
    let mut targets = Vec::new();
    for start in starts {
        for host in hosts {
            for protected in PROTECTED {
                for end in ["", "/secret?x=y", "%3fx"] {
                    for between in ["/", "//", "\\", "%2f", "?/", "#/", "/%23/"] {
                        let target = format!("{start}{host}{between}{protected}{end}");
                        targets.push((format!("`{start}` and `{host}`"), target.into_bytes()));
                    }
                }
            }
        }
    }
    List { name: "forms", targets }
}
