#!/usr/bin/env python3
"""Holds what `make dist` puts together to what release/package.py promises: the same bytes from the same input, hashes that
match, nothing but what is linked, licences that deny.toml allows, and a filter that tells its version.

It packs the command line of `make build` in the place of the released one, which takes long to build; that a second build
gives the same bytes is shown by tests/dist/reproduce.py.
"""

import hashlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "release"), str(ROOT / "envoy"), str(ROOT / "examples" / "logs-proxy")]
sys.dont_write_bytecode = True

import linked  # noqa: E402
import package  # noqa: E402
import trim  # noqa: E402

from harness import envoy_command, product  # noqa: E402

BINARY, FILTER = product("CLAIMGATE", "dist/claimgate"), product("CLAIMGATE_WASM", "dist/claimgate.wasm")
VERSION = package.manifest()["version"]
TARGET = re.search(r"^host: (\S+)$", linked.output("rustc", "-vV"), re.M)[1]


def pack(folder, umask, zone):
    """Runs the script as make does, where a difference could show; returns the files by name."""
    command = [
        *(sys.executable, ROOT / "release" / "package.py", "--wasm", FILTER, "--binary", BINARY),
        *("--target", TARGET, "--out", folder),
    ]
    done = subprocess.run(command, cwd=folder.parent, env={**os.environ, "TZ": zone}, umask=umask, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Release(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        home = tempfile.TemporaryDirectory()
        cls.addClassCleanup(home.cleanup)
        (pathlib.Path(home.name) / "deeper").mkdir()
        cls.files = pack(pathlib.Path(home.name) / "release", 0o022, "UTC")
        cls.again = pack(pathlib.Path(home.name) / "deeper" / "release", 0o077, "Pacific/Kiritimati")

    def bill(self, name):
        return json.loads(self.files[f"{name}.cdx.json"])

    def test_the_same_input_gives_the_same_bytes(self):
        self.assertEqual(self.files, self.again)

    def test_the_sums_name_every_file(self):
        said = dict(reversed(line.split("  ")) for line in self.files["SHA256SUMS"].decode().splitlines())
        found = {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items() if name != "SHA256SUMS"}
        self.assertEqual(said, found)
        self.assertEqual(len(found), 5)
        self.assertEqual(self.files[f"claimgate-{VERSION}.wasm"], FILTER.read_bytes())

    def test_the_archive_is_plain_and_whole(self):
        with tarfile.open(fileobj=io.BytesIO(self.files[f"claimgate-{VERSION}-{TARGET}.tar.gz"])) as tar:
            entries = {entry.name.split("/", 1)[1]: entry for entry in tar}
            self.assertEqual(list(entries), sorted(entries))
            self.assertEqual({(entry.uid, entry.gid, entry.uname, entry.isfile()) for entry in entries.values()}, {(0, 0, "", True)})
            self.assertEqual({entry.mtime for entry in entries.values()}, {int(package.moment(VERSION).timestamp())})
            self.assertEqual([name for name, entry in entries.items() if entry.mode & 0o111], ["claimgate"])
            for name in ("LICENSE", "THIRD-PARTY-LICENSES.txt", "completions/_claimgate", "completions/claimgate.bash", "completions/claimgate.fish"):
                self.assertGreater(entries[name].size, 1000, name)
            self.assertEqual(tar.extractfile(entries["claimgate"]).read(), BINARY.read_bytes())

    def test_the_time_is_given_or_the_day_of_the_version(self):
        with mock.patch.dict(os.environ, SOURCE_DATE_EPOCH="86400"):
            self.assertEqual(package.moment("0.1.0").timestamp(), 86400)
        with mock.patch.dict(os.environ, SOURCE_DATE_EPOCH=""), mock.patch.object(pathlib.Path, "read_text", return_value="## 9.8.7 - 2026-12-01\n"):
            self.assertEqual(package.moment("9.8.7").isoformat(), "2026-12-01T00:00:00+00:00")
            self.assertEqual(package.moment("9.8.6"), package.EARLIEST)

    def test_the_bills_hold_what_is_linked_and_nothing_else(self):
        filters, programs = self.bill(f"claimgate-{VERSION}.wasm"), self.bill(f"claimgate-{VERSION}-{TARGET}")
        names = {}
        for key, bill in (("filter", filters), ("program", programs)):
            self.assertEqual((bill["bomFormat"], bill["specVersion"]), ("CycloneDX", "1.5"))
            names[key] = {each["name"] for each in bill["components"]}
            references = [each["bom-ref"] for each in [*bill["components"], bill["metadata"]["component"]]]
            self.assertEqual(len(references), len(set(references)))
            self.assertEqual({each["ref"] for each in bill["dependencies"]}, set(references))
            self.assertLessEqual({link for each in bill["dependencies"] for link in each["dependsOn"]}, set(references))
            for each in bill["components"]:
                if each["name"] != "rust-std":
                    self.assertEqual(each["purl"], f"pkg:cargo/{each['name']}@{each['version']}")
                    self.assertIn(f'checksum = "{each["hashes"][0]["content"]}"', (ROOT / "Cargo.lock").read_text())
                self.assertTrue(each["licenses"][0]["expression"])
        for both in ("jwt-simple", "serde_json", "rust-std"):
            self.assertTrue(both in names["filter"] and both in names["program"], both)
        self.assertEqual([name in names["filter"] for name in ("proxy-wasm", "clap")], [True, False])
        self.assertEqual([name in names["program"] for name in ("proxy-wasm", "clap")], [False, True])
        for built_with in ("serde_derive", "clap_derive", "autocfg", "version_check", "syn"):
            self.assertNotIn(built_with, names["filter"] | names["program"], "it is not linked")
        self.assertEqual(filters["metadata"]["component"]["hashes"][0]["content"], hashlib.sha256(FILTER.read_bytes()).hexdigest())

    def test_the_licence_texts_name_every_crate(self):
        text = self.files[f"claimgate-{VERSION}.wasm.licenses.txt"].decode()
        for each in self.bill(f"claimgate-{VERSION}.wasm")["components"]:
            if each["name"] != "rust-std":
                self.assertIn(f"\n{each['name']} {each['version']} (", text)
        for said in ("Permission is hereby granted", "Apache License", "Redistribution and use", "The Rust Standard Library"):
            self.assertIn(said, text)

    def test_no_path_of_this_machine_is_in_the_filter(self):
        home = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
        for path in (str(ROOT), home):
            self.assertNotIn(path.encode(), FILTER.read_bytes())
        self.assertIn(b"/cargo/registry/src/", FILTER.read_bytes(), "nothing was replaced: the test sees nothing")


class Licences(unittest.TestCase):
    def test_expressions(self):
        allowed = {"MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"}
        for expression, holds in (
            ("MIT", True),
            ("MIT OR GPL-3.0", True),
            ("GPL-3.0 OR MIT", True),
            ("MIT/Apache-2.0", True),
            ("MIT AND GPL-3.0", False),
            ("GPL-3.0", False),
            ("none", False),
            ("(MIT OR GPL-3.0) AND Apache-2.0", True),
            ("(MIT OR Apache-2.0) AND GPL-3.0", False),
            ("MIT OR Apache-2.0 AND GPL-3.0", True),
            ("GPL-3.0 OR Apache-2.0 AND GPL-3.0", False),
            ("Apache-2.0 WITH LLVM-exception", True),
            ("MIT WITH LLVM-exception", False),
        ):
            with self.subTest(expression):
                self.assertEqual(linked.permits(expression, allowed), holds)
        for wrong in ("", "OR", "MIT OR", "(MIT", "MIT)", "MIT MIT", "AND MIT"):
            with self.subTest(wrong), self.assertRaises(linked.Failed):
                linked.permits(wrong, allowed)

    def test_what_deny_toml_does_not_allow_is_refused(self):
        allowed = linked.allowed_licences((ROOT / "deny.toml").read_text())
        self.assertIn("MIT", allowed)
        with mock.patch.object(linked, "allowed_licences", return_value=allowed - {"BSD-3-Clause"}):
            with self.assertRaisesRegex(linked.Failed, "ed25519-dalek .*: BSD-3-Clause"):
                linked.crates("wasm32-wasip1")

    def test_a_crate_without_a_text_is_refused_unless_its_text_is_known(self):
        with tempfile.TemporaryDirectory() as folder:
            crate = {"manifest_path": f"{folder}/Cargo.toml", "name": "a", "version": "1.0.0", "authors": ["B"], "repository": "c"}
            self.assertIn("Copyright (c) B", linked.texts({**crate, "license": "MIT OR Zlib"})[0][1])
            with self.assertRaisesRegex(linked.Failed, "a 1.0.0 carries no licence text"):
                linked.texts({**crate, "license": "Zlib"})
            (pathlib.Path(folder) / "COPYING").write_text("mine\n")
            self.assertEqual(linked.texts({**crate, "license": "Zlib"}), [("COPYING", "mine")])


class Version(unittest.TestCase):
    """The version in the module, in the command line and in what the filter logs first is one."""

    def ask(self, module):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "claimgate.wasm"
            path.write_bytes(module)
            done = subprocess.run([BINARY, "version", path, "--format", "json"], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_of_the_filter(self):
        status, said, _ = self.ask(FILTER.read_bytes())
        self.assertEqual((status, json.loads(said)), (0, {"version": VERSION, "filter": VERSION}))

    def test_of_another_filter(self):
        section = trim.named("version") + VERSION.encode()
        other = FILTER.read_bytes().replace(section, trim.named("version") + b"9" * len(VERSION))
        status, said, told = self.ask(other)
        self.assertEqual((status, json.loads(said)["filter"]), (1, "9" * len(VERSION)))
        self.assertIn(f"holds for {VERSION}", told)

    def test_of_another_module(self):
        status, said, told = self.ask(b"\0asm\1\0\0\0")
        self.assertEqual((status, said), (2, ""))
        self.assertIn("does not tell its version", told)

    def test_in_the_log(self):
        command = [*envoy_command(), "--mode", "validate", "--component-log-level", "wasm:info", "-c", "envoy/envoy.yaml"]
        environment = {**os.environ, "JWT_SECRET": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        self.assertRegex(done.stderr, rf"claimgate {re.escape(VERSION)}: `[\w-]+` loaded in \d+ ms")


if __name__ == "__main__":
    unittest.main(verbosity=2)
