#!/usr/bin/env python3
"""Starts every bootstrap of envoy/ by `func-e run -c`, and the demo where func-e is what runs Envoy.

func-e itself is not fetched: a stand-in on PATH runs the Envoy of the tests as func-e does. What that is was read in func-e's
source (internal/envoy/run.go, runtime.go): Envoy is its child, in the folder that func-e is called in, with the arguments
of `run` as they are; then `--admin-address-path` is added where it is missing, and `-- --run-id`, which Envoy ignores.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from test_docs import ENVIRONMENT, ROOT, SECRET, Bootstrap, name, run  # noqa: E402

from harness import envoy_command  # noqa: E402

STAND_IN = """#!{python}
import os, pathlib, subprocess, sys
state = pathlib.Path({state!r})
if sys.argv[1:2] == ["which"]:
    sys.exit(print({envoy!r}))
if sys.argv[1:2] != ["run"]:
    sys.exit("func-e: unknown command " + repr(sys.argv[1:]))
arguments = sys.argv[2:]
with (state / "calls").open("a") as calls:
    print(os.getcwd(), *arguments, file=calls)
if not any(argument.startswith("--admin-address-path") for argument in arguments):
    arguments += ["--admin-address-path", str(state / "admin-address.txt")]
try:
    sys.exit(subprocess.run([{envoy!r}, *arguments, "--", "--run-id", "1"]).returncode)
except KeyboardInterrupt:
    pass
"""
BOOTSTRAPS = sorted(path for path in (ROOT / "envoy").glob("*.yaml") if "static_resources:" in path.read_text())


class FuncE(unittest.TestCase):
    def setUp(self):
        envoy = envoy_command()
        self.assertEqual(len(envoy), 1, f"the stand-in runs a binary, and ENVOY is `{' '.join(envoy)}`")
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.state = pathlib.Path(home.name)
        program = self.state / "bin" / "func-e"
        program.parent.mkdir()
        binary = subprocess.run(["sh", "-c", f"command -v '{envoy[0]}'"], capture_output=True, text=True, check=True).stdout.strip()
        program.write_text(STAND_IN.format(python=sys.executable, envoy=os.path.abspath(binary), state=str(self.state)))
        program.chmod(0o755)
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {key: value for key, value in ENVIRONMENT.items() if key not in ("ENVOY", "JWT_SECRET")} | {"PATH": path}

    def calls(self):
        return (self.state / "calls").read_text().splitlines()

    def test_every_bootstrap_serves(self):
        self.assertGreater(len(BOOTSTRAPS), 2)
        with mock.patch.dict(os.environ, self.environment | {"ENVOY": "func-e run", "JWT_SECRET": SECRET}):
            for path in BOOTSTRAPS:
                with self.subTest(name(path)):
                    with Bootstrap(path) as world:
                        self.assertEqual(world.ask("/healthz").status, 200)
                        self.assertEqual(str(world.ask("/nowhere/to/be/found")), "403 no_route")
                        child = world.process
                    self.assertIsNotNone(child.returncode, "func-e still runs")
                    self.assertTrue(self.calls()[-1].startswith(f"{ROOT} -c "))

    def test_every_bootstrap_is_valid_as_it_stands(self):
        for path in BOOTSTRAPS:
            with self.subTest(name(path)):
                command = f"func-e run -c {name(path)}"
                self.assertIn(f"#   {command} ", path.read_text(), "its head does not tell the command")
                done = run(["sh", "-c", f"{command} --mode validate"], env=self.environment | {"JWT_SECRET": SECRET})
                self.assertEqual(done.returncode, 0, done.stdout[-3000:])

    def test_make_takes_it_where_it_is_on_the_path(self):
        for command, expected in ((["make", "-n", "demo"], 'ENVOY="func-e run"'), (["make", "-n", "demo", "ENVOY=/an/envoy"], 'ENVOY="/an/envoy"')):
            done = run(command, env=self.environment)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn(expected, done.stdout)
            self.assertNotIn("fetch.py", done.stdout)

    def test_the_demo_runs_with_it(self):
        done = run(["make", "demo"], 600, env=self.environment)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("func-e run, with dist/claimgate.wasm", done.stdout)
        self.assertIn("All as expected.", done.stdout)
        self.assertEqual(len(self.calls()), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
