#!/usr/bin/env python3
"""Puts what is released into a folder, from what `make dist` has built; the same input gives the same bytes.

    claimgate-VERSION.wasm                the filter
    claimgate-VERSION-TARGET.tar.gz       the command line, completions for shells, the schema, licences
    *.cdx.json                            what is linked into each of the two, as a CycloneDX document
    *.licenses.txt                        the licence texts of that
    SHA256SUMS                            of all of these

The times in the archive are SOURCE_DATE_EPOCH if it is set, else the day that CHANGELOG.md names for this version.
"""

import argparse
import datetime
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import uuid

from linked import OWN, ROOT, Failed, crates, texts, toolchain

COMPLETIONS = {"bash": f"{OWN}.bash", "zsh": f"_{OWN}", "fish": f"{OWN}.fish"}
WASM = "wasm32-wasip1"
# What an archive of a version without a day says: the earliest that every format can hold.
EARLIEST = datetime.datetime(1980, 1, 1, tzinfo=datetime.timezone.utc)


def manifest():
    """The fields of Cargo.toml's [package]."""
    section = re.search(r"^\[package\]\n(.*?)^\[", (ROOT / "Cargo.toml").read_text(), re.M | re.S)[1]
    return dict(re.findall(r'^([a-z-]+) = "(.*)"$', section, re.M))


def moment(version):
    """The time that stands in what is made."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "").strip()
    if given:
        return datetime.datetime.fromtimestamp(int(given), datetime.timezone.utc)
    day = re.search(rf"^## \[?{re.escape(version)}\]? - (\d{{4}}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    return datetime.datetime.fromisoformat(f"{day[1]}T00:00:00+00:00") if day else EARLIEST


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# --- What is linked ---------------------------------------------------------------------------------------------------


def purl(name, version):
    return f"pkg:cargo/{name}@{version}"


def component(package):
    """A crate, as CycloneDX describes it."""
    said = {
        "type": "library",
        "bom-ref": purl(package["name"], package["version"]),
        "name": package["name"],
        "version": package["version"],
        "description": package["description"],
        "licenses": [{"expression": package["license"].replace("/", " OR ")}],
        "purl": purl(package["name"], package["version"]),
    }
    if package["checksum"]:
        said["hashes"] = [{"alg": "SHA-256", "content": package["checksum"]}]
    if package["repository"]:
        said["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return {key: value for key, value in said.items() if value}


def bill(product, data, found, rust, when):
    """The CycloneDX document of a product: its own hash, and every crate that is linked into it."""
    said = manifest()
    own = purl(OWN, said["version"])
    about = {
        **component(next(package for (name, _), package in found.items() if name == OWN)),
        "type": "application",
        "name": product,
        "hashes": [{"alg": "SHA-256", "content": sha256(data)}],
    }
    std = {
        "type": "library",
        "bom-ref": f"rust-std@{rust}",
        "name": "rust-std",
        "version": rust,
        "description": "The Rust standard library, with what it links of the target's C library",
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
    }
    dependencies = [
        {"ref": purl(*crate), "dependsOn": [purl(*link) for link in package["links"]] + ([std["bom-ref"]] if crate[0] == OWN else [])}
        for crate, package in found.items()
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, own + product + sha256(data))}",
        "version": 1,
        "metadata": {"timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": about},
        "components": [*(component(package) for (name, _), package in found.items() if name != OWN), std],
        "dependencies": [*dependencies, {"ref": std["bom-ref"], "dependsOn": []}],
    }
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def notices(product, found, rust, notice):
    """The licence texts of what is linked, each once, with the crates that carry it."""
    carried = {}
    for (name, version), package in found.items():
        if name != OWN:
            for _, text in texts(package):
                carried.setdefault(text, []).append(f"{name} {version} ({package['license']})")
    rule = "=" * 100
    parts = [f"What is linked into {product}, and the licences of it. Its own is Apache-2.0, in the file LICENSE of its source."]
    for text, names in sorted(carried.items(), key=lambda entry: (-len(entry[1]), entry[1])):
        parts.append(f"{rule}\n" + "\n".join(names) + f"\n{rule}\n\n{text}")
    parts.append(f"{rule}\nThe standard library of Rust {rust}, and the C library that comes with it\n{rule}\n\n{notice}")
    return ("\n\n".join(parts) + "\n").encode()


# --- The archive ------------------------------------------------------------------------------------------------------


def archive(folder, files, when):
    """A .tar.gz of nothing but names, modes and contents: sorted, one owner, one time."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", compresslevel=9, mtime=0) as compressed:
        with tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, (data, mode) in sorted(files.items()):
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size, entry.mode, entry.mtime = len(data), mode, int(when.timestamp())
                tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def completions(binary):
    """What completes the command line in each shell, as the binary prints it."""
    for shell, name in COMPLETIONS.items():
        done = subprocess.run([binary, "completions", shell], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode != 0 or not done.stdout:
            raise Failed(f"`{binary} completions {shell}` failed: {done.stderr.decode()}")
        yield f"completions/{name}", (done.stdout, 0o644)


def release(wasm, binary, target):
    """Everything that is released: contents by file name."""
    version = manifest()["version"]
    when = moment(version)
    rust, notice = toolchain()
    filter_name, archive_name = f"{OWN}-{version}.wasm", f"{OWN}-{version}-{target}"
    filter_data, program = wasm.read_bytes(), binary.read_bytes()
    filter_crates, program_crates = crates(WASM), crates(target)
    own_licences = notices(archive_name, program_crates, rust, notice)
    packed = {
        OWN: (program, 0o755),
        "LICENSE": ((ROOT / "LICENSE").read_bytes(), 0o644),
        "THIRD-PARTY-LICENSES.txt": (own_licences, 0o644),
        "CHANGELOG.md": ((ROOT / "CHANGELOG.md").read_bytes(), 0o644),
        "claimgate.schema.json": ((ROOT / "docs" / "claimgate.schema.json").read_bytes(), 0o644),
        **dict(completions(binary)),
    }
    files = {
        filter_name: filter_data,
        f"{filter_name}.cdx.json": bill(filter_name, filter_data, filter_crates, rust, when),
        f"{filter_name}.licenses.txt": notices(filter_name, filter_crates, rust, notice),
        f"{archive_name}.tar.gz": archive(archive_name, packed, when),
        f"{archive_name}.cdx.json": bill(archive_name, program, program_crates, rust, when),
    }
    sums = "".join(f"{sha256(data)}  {name}\n" for name, data in sorted(files.items()))
    return {**files, "SHA256SUMS": sums.encode()}


def write(folder, files):
    """Writes beside, then renames, the old one aside first: at no time is there half a release under the name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = pathlib.Path(tempfile.mkdtemp(prefix=".release-", dir=folder.parent))
    for name, data in files.items():
        (fresh / name).write_bytes(data)
        (fresh / name).chmod(0o644)
    fresh.chmod(0o755)
    if folder.exists():
        if not (folder / "SHA256SUMS").is_file() and any(folder.iterdir()):
            shutil.rmtree(fresh)
            raise Failed(f"{folder}: holds something else than a release: name another folder by --out")
        aside = fresh.with_name(fresh.name + ".old")
        folder.rename(aside)
        shutil.rmtree(aside)
    fresh.rename(folder)


def main():
    parser = argparse.ArgumentParser(description="puts what is released into a folder")
    for name, what in (("--wasm", "the filter"), ("--binary", "the command line"), ("--out", "the folder")):
        parser.add_argument(name, type=pathlib.Path, required=True, help=what)
    parser.add_argument("--target", required=True, help="what the command line was built for")
    options = parser.parse_args()
    try:
        files = release(options.wasm, options.binary, options.target)
        write(options.out, files)
    except (Failed, OSError, ValueError) as failure:
        print(f"release/package.py: {failure}", file=sys.stderr)
        return 1
    print(files["SHA256SUMS"].decode(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
