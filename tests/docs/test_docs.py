#!/usr/bin/env python3
"""Holds the documentation to the truth: every configuration loads in the real Envoy and passes `claimgate check`, every
```sh block runs, what a ```text block behind it shows comes out, links lead somewhere, the demo shows what it says.

`make test` runs it; it needs dist/ and the variable ENVOY (or .envoy/bin/envoy). Python's standard library only.
"""

import base64
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "logs-proxy"
sys.path.insert(0, str(EXAMPLE))
sys.dont_write_bytecode = True

from harness import World, claimgate, envoy_command, product  # noqa: E402

SECRET = base64.b64encode(bytes(range(32))).decode()
# What Envoy does not load: rate-limit services and docker compose do, which tests/ratelimit and tests/compose run.
OF_OTHERS = {
    ROOT / "examples" / name
    for name in (
        "global-rate-limit/limitador/limits.yaml", "global-rate-limit/ratelimit/config.yaml", "logs-proxy/docker-compose.yaml"
    )
}  # fmt: skip
CONFIGURATIONS = sorted({*(ROOT / "envoy").rglob("*.yaml"), *(ROOT / "examples").rglob("*.yaml")} - OF_OTHERS)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "examples").rglob("*.md"), ROOT / "docs" / "deploy.md"])
EVERY_DOCUMENT = sorted({*DOCUMENTS, *(ROOT / "docs").rglob("*.md")})
SECRETS = ("JWT_SECRET", "BATCH_SECRET", "OAUTH_SECRET")
os.environ.update({variable: SECRET for variable in SECRETS})
# Without what make would hand down to the makes that these tests start.
OF_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")
ENVIRONMENT = {variable: value for variable, value in os.environ.items() if variable not in OF_MAKE}


def name(path):
    return str(path.relative_to(ROOT))


def run(command, seconds=120, **options):
    options = {"cwd": ROOT, "env": ENVIRONMENT, **options}
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=seconds, check=False, **options
    )  # fmt: skip


def blocks(document):
    """The fenced blocks of a document: (language, text, line)."""
    text = document.read_text()
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
        yield found.group(1), found.group(2), text[: found.start()].count("\n") + 1


def prose(document):
    """A document without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.M | re.S)


def links(document):
    """The links to files of the project: (file, anchor, as written)."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        path, _, anchor = target.partition("#")
        if "://" not in target and not target.startswith("mailto:"):
            yield (document.parent / path).resolve() if path else document, anchor, target


def anchors(document):
    """What GitHub names the headings of a document by; of several alike, all but the first have a number."""
    found = []
    for heading in re.findall(r"^#+ (.*)$", prose(document), re.M):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-")
        alike = sum(re.fullmatch(re.escape(anchor) + r"(-\d+)?", other) is not None for other in found)
        found.append(f"{anchor}-{alike}" if alike else anchor)
    return found


def indented(path, columns):
    return "".join(" " * columns + line + "\n" for line in path.read_text().splitlines())


# What loads policies: a plugin for each.
BOOTSTRAP = """
static_resources:
  listeners:
    - name: docs
      address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}
      filter_chains:
        - filters:
            - name: http
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: docs
                route_config: {{ virtual_hosts: [{{ name: all, domains: ["*"], routes: [{{ match: {{ prefix: / }}, direct_response: {{ status: 200 }} }}] }}] }}
                http_filters:
{plugins}
                - name: router
                  typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
"""
PLUGIN = """
                - name: claimgate
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
                    config:
                      name: claimgate
                      root_id: claimgate
                      vm_config: {{ vm_id: docs, runtime: envoy.wasm.runtime.v8, code: {{ local: {{ filename: "{wasm}" }} }} }}
                      configuration:
                        "@type": type.googleapis.com/google.protobuf.Struct
                        value:
"""


class Configurations(unittest.TestCase):
    def bootstraps(self):
        return [path for path in CONFIGURATIONS if "static_resources:" in path.read_text()]

    def test_there_are_configurations(self):
        self.assertIn("envoy/envoy.yaml", map(name, CONFIGURATIONS))
        self.assertGreater(len(self.bootstraps()), 2)

    def test_envoy_validates_every_bootstrap(self):
        for path in self.bootstraps():
            with self.subTest(name(path)):
                done = run([*envoy_command(), "--mode", "validate", "-c", name(path)])
                self.assertEqual(done.returncode, 0, done.stdout[-3000:])

    def test_claimgate_checks_every_configuration(self):
        holding = [path for path in CONFIGURATIONS if re.search(r"configuration:|version: 1\b", path.read_text())]
        self.assertGreater(len(holding), 2)
        for path in holding:
            with self.subTest(name(path)):
                done = run([str(product("CLAIMGATE", "dist/claimgate")), "check", name(path)])
                self.assertEqual(done.returncode, 0, done.stdout)

    def test_envoy_serves_every_bootstrap(self):
        for path in self.bootstraps():
            with self.subTest(name(path)), Bootstrap(path) as world:
                self.assertEqual(world.ask("/healthz").status, 200)
                self.assertEqual(str(world.ask("/nowhere/to/be/found")), "403 no_route")
                self.assertEqual(world.refusals(), 0)

    def test_envoy_loads_every_policy_of_the_guide(self):
        policies = sorted(path for path in (ROOT / "docs/policies").glob("*.yaml") if ".test." not in path.name)
        self.assertGreater(len(policies), 10)
        plugins = "".join(PLUGIN.format(wasm=product("CLAIMGATE_WASM", "dist/claimgate.wasm")) + indented(path, 26) for path in policies)
        with tempfile.TemporaryDirectory() as folder:
            bootstrap = pathlib.Path(folder) / "envoy.yaml"
            bootstrap.write_text(BOOTSTRAP.format(plugins=plugins))
            done = run([*envoy_command(), "--mode", "validate", "-c", str(bootstrap)])
            self.assertEqual(done.returncode, 0, done.stdout[-3000:])
            # The main thread loads each more than once.
            self.assertGreaterEqual(done.stdout.count("loaded in "), len(policies), done.stdout[-3000:])

    def test_every_resource_file_is_loaded_by_a_bootstrap(self):
        loaded = "".join(path.read_text() for path in self.bootstraps())
        for path in CONFIGURATIONS:
            if re.search(r"^resources:", path.read_text(), re.M):
                self.assertIn(f"path: {name(path)}\n", loaded)

    def test_a_missing_secret_refuses_the_load(self):
        environment = {key: value for key, value in ENVIRONMENT.items() if key != "JWT_SECRET"}
        done = run([*envoy_command(), "--mode", "validate", "-c", "envoy/envoy.yaml"], env=environment)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("JWT_SECRET", done.stdout)

    def test_the_routes_of_envoy_yaml_do_what_their_comments_say(self):
        with tempfile.TemporaryDirectory() as folder:
            key = pathlib.Path(folder) / "dev.jwk"
            secret = base64.urlsafe_b64encode(base64.b64decode(SECRET)).rstrip(b"=").decode()
            key.write_text(json.dumps({"kty": "oct", "alg": "HS256", "k": secret}))

            def token(*said):
                claims = [part for claim in said for part in ("--claim", claim)]
                issue = ("token", "issue", "--key", key, "--issuer", "https://dev.example.com", "--audience", "api")
                return claimgate(*issue, "--subject", "alice", "--expires-in", "10m", *claims)

            reader, writer, admin = token("scope=read"), token("scope=write"), token('roles=["admin"]')
            tenant = token("tenant=acme")
            socket = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
            office = (("Host", "admin.example.com"),)
            expected = [
                ("GET", "/healthz", None, (), "200"),
                ("GET", "/", None, (), "200"),
                ("GET", "/docs/start", reader, (), "200"),
                ("GET", "/docs/start", "no.to.ken", (), "401 token_malformed"),
                ("GET", "/api/items", reader, (), "200"),
                ("GET", "/api/items", writer, (), "403 scope_insufficient"),
                ("POST", "/api/items", reader, (), "403 scope_insufficient"),
                ("POST", "/api/items", writer, (), "200"),
                ("DELETE", "/api/items/1", admin, (), "200"),
                ("GET", "/tenants/acme/bills", tenant, (), "200"),
                ("GET", "/tenants/globex/bills", tenant, (), "403 claims_insufficient"),
                ("GET", "/live", reader, socket, "200"),
                ("GET", "/api/items", reader, socket, "403 no_route"),
                ("GET", "/reports", admin, office, "200"),
                ("GET", "/reports", reader, office, "403 claims_insufficient"),
                ("GET", "/reports", admin, (), "403 no_route"),
                ("GET", "/internal/keys", admin, (), "403 route_denied"),
            ]
            with Bootstrap(ROOT / "envoy" / "envoy.yaml") as world:
                for method, path, bearer, headers, answer in expected:
                    with self.subTest(f"{method} {path} {answer}"):
                        self.assertEqual(str(world.ask(path, bearer, headers, method)), answer)
                counted = r'claimgate_requests_total\{(?=[^}]*route="read")(?=[^}]*code="scope_insufficient")[^}]*\} 1\b'
                world.until(lambda: re.search(counted, world.admin("/stats/prometheus")), "no labelled count came")


class Bootstrap(World):
    """A committed bootstrap as it stands, but for its ports, which are free ones."""

    def __init__(self, path):
        self.home = tempfile.TemporaryDirectory()
        super().__init__(pathlib.Path(self.home.name), None)
        self.path = path

    def render(self):
        text = self.path.read_text()
        for port, value in ((10000, 0), (9901, 0), (9000, self.service.port)):
            text, count = re.subn(f"port_value: {port}\\b", f"port_value: {value}", text)
            assert count == 1, f"{name(self.path)}: port {port} is there {count} times"
        return text

    def stop(self):
        super().stop()
        self.home.cleanup()


class Documents(unittest.TestCase):
    def test_relative_links_resolve(self):
        for document in EVERY_DOCUMENT:
            for there, anchor, target in links(document):
                with self.subTest(f"{name(document)}: {target}"):
                    self.assertTrue(there.exists(), "leads nowhere")
                    if anchor:
                        self.assertIn(anchor, anchors(there))

    def test_every_document_is_reached_from_the_readme(self):
        reached, further = set(), [ROOT / "README.md"]
        while further:
            document = further.pop()
            reached.add(document)
            further += [there for there, _, _ in links(document) if there.suffix == ".md" and there not in reached]
        self.assertEqual([name(document) for document in EVERY_DOCUMENT if document not in reached], [])

    def test_make_targets_that_are_named_exist(self):
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
        for document in DOCUMENTS:
            said = [text for language, text, _ in blocks(document) if language in ("sh", "console")]
            said += re.findall(r"`(make [^`]*)`", document.read_text())
            for words in re.findall(r"\bmake((?: [a-z]+\b(?!=))+)", "\n".join(said)):
                for target in words.split():
                    with self.subTest(f"{name(document)}: make {target}"):
                        self.assertIn(target, targets)

    def test_configurations_in_documents_load(self):
        found = 0
        for document in EVERY_DOCUMENT:
            for language, text, line in blocks(document):
                if language == "yaml" and re.match(r"version: 1\b", text):
                    found += 1
                    with self.subTest(f"{name(document)}:{line}"), tempfile.TemporaryDirectory() as folder:
                        path = pathlib.Path(folder) / "claimgate.yaml"
                        path.write_text(text)
                        sign = run([str(product("CLAIMGATE", "dist/claimgate")), "keys", "new", "--alg", "EdDSA"]).stdout
                        keys = {"AUDIT_HASH_KEY": "a key of more than thirty-two bytes", "AUDIT_SIGN_KEY": sign}
                        environment = {**ENVIRONMENT, **keys}
                        done = run([str(product("CLAIMGATE", "dist/claimgate")), "check", str(path)], env=environment)
                        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertGreater(found, 0)

    def run_blocks(self, document):
        """Runs the ```sh blocks of a document in one shell, as a reader would; each ends with a mark and its status."""
        found = list(blocks(document))
        shell = [(index, text) for index, (language, text, _) in enumerate(found) if language == "sh"]
        script = "".join(f"{text}\nprintf '\\n<<<%s %s>>>\\n' {index} $?\n" for index, text in shell)
        # A reader has set nothing but what the document says.
        environment = {key: value for key, value in ENVIRONMENT.items() if key not in SECRETS}
        # Any command that fails ends it, and not only the last of a block.
        done = run(["sh", "-ec", script], env=environment)
        for index, text in shell:
            line = found[index][2]
            with self.subTest(f"{name(document)}:{line}"):
                before, mark, done.stdout = done.stdout.partition(f"\n<<<{index} ")
                self.assertTrue(mark, f"the shell ended in:\n{text}\n{before}")
                status, _, done.stdout = done.stdout.partition(">>>\n")
                self.assertEqual(status, "0", f"{text}\n{before}")
                if index + 1 < len(found) and found[index + 1][0] == "text":
                    for shown in found[index + 1][1].splitlines():
                        self.assertIn(shown.strip(), before, f"what `{shown.strip()}` stands for did not come out of:\n{text}")

    def test_the_commands_of_the_documents_run(self):
        for document in [*DOCUMENTS, ROOT / "docs" / "operations.md"]:
            if document != EXAMPLE / "README.md":
                self.run_blocks(document)

    def test_the_commands_of_the_example_run_while_make_run_serves(self):
        self.assertTrue(shutil.which("curl"), "the example's commands need curl: install it")
        with Program(["make", "run"]) as program:
            program.await_line("Ctrl-C ends")
            self.run_blocks(EXAMPLE / "README.md")
            program.interrupt()
            # make itself ends by the signal, once its child has ended in order.
            self.assertIn(program.process.returncode, (0, -signal.SIGINT), program.output())
            self.assertIn("stopped", program.output())
            self.assertRegex(program.output(), r"alice +GET /logs/prod/payments")
        self.assertFalse((ROOT / ".envoy" / "run").exists(), "keys and tokens are still there")


class Program:
    """A program of its own process group, whose output is read while it runs."""

    def __init__(self, command):
        environment = {**ENVIRONMENT, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True
        )  # fmt: skip
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.interrupt()
        self.process.stdout.close()

    def output(self):
        return "".join(self.lines)

    def await_line(self, text, seconds=600):
        end = time.monotonic() + seconds
        while text not in self.output():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"`{text}` did not come:\n{self.output()}")
            time.sleep(0.1)

    def interrupt(self):
        """Ctrl-C: the signal goes to the whole group, as a terminal sends it."""
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        self.reader.join(5)


class Demo(unittest.TestCase):
    def test_make_demo(self):
        done = run(["make", "demo"], 600)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("All as expected.", done.stdout)
        self.assertNotIn("\033[", done.stdout, "colours without a terminal")
        self.assertNotRegex(done.stdout, r"^  NO  ", "an answer was not as expected")

    def test_the_readme_shows_what_the_demo_prints(self):
        """Words and columns; what differs from run to run (ports, times, ids) is left out of the comparison."""
        shown = next((text for language, text, _ in blocks(ROOT / "README.md") if language == "text"), "")
        done = run([sys.executable, name(EXAMPLE / "demo.py")], 300)
        printed = {plain(line) for line in done.stdout.splitlines()}
        lines = [line for line in shown.splitlines() if line.strip() and line.strip() != "…"]
        self.assertGreater(len(lines), 20)
        for line in lines:
            self.assertIn(plain(line), printed, f"the demo does not print:\n{line}\nbut\n{done.stdout}")

    def test_a_demo_that_cannot_start_says_why_and_leaves_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            wasm = pathlib.Path(folder) / "broken.wasm"
            wasm.write_bytes(b"no wasm")
            environment = {**ENVIRONMENT, "CLAIMGATE_WASM": str(wasm), "TMPDIR": folder}
            done = run([sys.executable, name(EXAMPLE / "demo.py")], env=environment)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn("Envoy refused the filter", done.stdout)
            self.assertEqual(os.listdir(folder), ["broken.wasm"])


def plain(line):
    line = re.sub(r"\d+", "0", line.replace("…", " "))
    return re.sub(r"\s+", " ", line).strip()


if __name__ == "__main__":
    unittest.main(verbosity=2)
