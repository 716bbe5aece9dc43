"""What is linked into a product: the crates, as cargo resolves them for its target, their licences and the texts of these.

Build scripts, procedural macros and what tests need are not in it. A crate whose licence deny.toml does not allow is an error.
"""

import html
import json
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
OWN = "claimgate"
LICENCE_FILE = re.compile(r"(licen[cs]e|copying|notice|unlicense|copyright)", re.I)
MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software
is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES
OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE
LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR
IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


class Failed(Exception):
    """What went wrong, and the remedy."""


def output(*command):
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"`{' '.join(command[:4])}` failed:\n{done.stderr.strip()}")
    return done.stdout


# --- Licences ---------------------------------------------------------------------------------------------------------


def allowed_licences(text):
    """`allow` of deny.toml's [licenses]."""
    section = re.search(r"^\[licenses\]\n(.*?)(?=^\[|\Z)", text, re.M | re.S)
    listed = section and re.search(r"^allow = \[(.*?)\]", section[1], re.M | re.S)
    if not listed:
        raise Failed("deny.toml has no `allow` under `[licenses]`")
    return set(re.findall(r'"([^"]+)"', listed[1]))


def permits(expression, allowed):
    """Whether an SPDX expression can be met by allowed licences: OR by one side, AND by both, WITH is part of a name."""
    words = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def alternatives():
        holds = parts()
        while words[:1] == ["OR"]:
            words.pop(0)
            holds = parts() or holds
        return holds

    def parts():
        holds = one()
        while words[:1] == ["AND"]:
            words.pop(0)
            holds = one() and holds
        return holds

    def one():
        word = words.pop(0) if words else ""
        if word == "(":
            holds = alternatives()
            if words[:1] != [")"]:
                raise Failed(f"`{expression}` is no licence expression")
            words.pop(0)
            return holds
        if word in ("", ")", "AND", "OR", "WITH"):
            raise Failed(f"`{expression}` is no licence expression")
        if words[:1] == ["WITH"]:
            words.pop(0)
            word = f"{word} WITH {words.pop(0) if words else ''}"
        return word in allowed

    holds = alternatives()
    if words:
        raise Failed(f"`{expression}` is no licence expression")
    return holds


def texts(package):
    """The licence texts that a crate carries: (name, text). MIT's, whose text is the same everywhere, where it carries none."""
    folder = pathlib.Path(package["manifest_path"]).parent
    files = {path for path in folder.iterdir() if path.is_file() and LICENCE_FILE.match(path.name) and path.suffix != ".rs"}
    if package.get("license_file"):
        files.add(folder / package["license_file"])
    found = [(path.name, path.read_text(errors="replace").strip()) for path in sorted(files)]
    if found:
        return found
    if permits(package["license"] or "", {"MIT"}):
        return [("MIT", f"Copyright (c) {', '.join(package['authors']) or 'the authors of ' + package['name']}\n\n{MIT}".strip())]
    raise Failed(f"{package['name']} {package['version']} carries no licence text: see {package['repository']}, and say in release/linked.py")


# --- Crates -----------------------------------------------------------------------------------------------------------


def checksums():
    """The SHA-256 of each crate's archive, by name and version."""
    blocks = (ROOT / "Cargo.lock").read_text().split("[[package]]")
    field = re.compile(r'^(name|version|checksum) = "(.*)"$', re.M)
    entries = [dict(field.findall(block)) for block in blocks[1:]]
    return {(entry["name"], entry["version"]): entry.get("checksum") for entry in entries}


def graph(target):
    """What depends on what: for each (name, version), the set of those that it links."""
    tree = output(
        *("cargo", "tree", "--locked", "--package", OWN, "--target", target, "--edges", "normal,no-proc-macro"),
        *("--prefix", "depth", "--format", "|{p}"),
    )
    found, above = {}, []
    for line in tree.splitlines():
        depth, package = line.split("|", 1)
        name, version = package.split()[:2]
        crate = (name, version.lstrip("v"))
        found.setdefault(crate, set())
        above[int(depth) :] = [crate]
        if int(depth):
            found[above[int(depth) - 1]].add(crate)
    return found


def crates(target):
    """The crates of a product, by (name, version): what cargo knows of each, with `links` and `checksum`."""
    said = json.loads(output("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target))
    known = {(package["name"], package["version"]): package for package in said["packages"]}
    sums = checksums()
    found = {crate: {**known[crate], "links": sorted(links), "checksum": sums[crate]} for crate, links in sorted(graph(target).items())}
    allowed = allowed_licences((ROOT / "deny.toml").read_text())
    refused = [
        f"{name} {version}: {package['license']}" for (name, version), package in found.items() if not permits(package["license"] or "none", allowed)
    ]
    if refused:
        raise Failed("deny.toml does not allow the licences of\n  " + "\n  ".join(refused) + "\nremedy: another crate, or a licence more there")
    return found


def toolchain():
    """The version of Rust, and the notices of its standard library and of the C library that it links."""
    version = re.search(r"^release: (\S+)$", output("rustc", "-vV"), re.M)[1]
    notices = pathlib.Path(output("rustc", "--print", "sysroot").strip()) / "share" / "doc" / "rust" / "COPYRIGHT-library.html"
    if not notices.is_file():
        raise Failed(f"{notices} is missing: reinstall the toolchain with rustup")
    plain = html.unescape(re.sub(r"<(style|script).*?</\1>|<[^>]*>", "", notices.read_text(), flags=re.S))
    return version, re.sub(r"\n\s*\n\s*(\n\s*)*", "\n\n", plain).strip()
