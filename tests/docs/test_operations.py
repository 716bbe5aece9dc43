#!/usr/bin/env python3
"""Holds docs/operations.md to the truth: every mistake of its troubleshooting table is made in a real Envoy, and what the table says
of it stands in Envoy's log or in the audit record.

`make test` runs it; it needs what test_docs.py needs.
"""

import http.server
import json
import pathlib
import re
import sys
import tempfile
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples" / "logs-proxy"))
sys.dont_write_bytecode = True

from harness import World, claimgate, replace  # noqa: E402

DOCUMENT = ROOT / "docs" / "operations.md"
ISSUER = "https://idp.example.com"


def said():
    """What the log or the record says, by the table: the code in its second column."""
    table = DOCUMENT.read_text().split("| what is seen |", 1)[1].split("\n\n", 1)[0]
    rows = [row.split(" | ") for row in table.splitlines()[2:]]
    codes = (re.fullmatch(r"`` ?(.*?) ?``|`([^`]*)`", says) for _, says, _ in rows)
    return [found.group(1) or found.group(2) for found in codes if found]


class Provider(http.server.ThreadingHTTPServer):
    """Answers every request with the status 503, or not at all."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.silent = False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.server.silent:
                time.sleep(5)
            self.send_error(503)

        def log_message(self, *_):
            pass


class Mistakes(World):
    """The example, with a cluster that leads to a provider of keys."""

    def __init__(self, folder, key_set, provider):
        super().__init__(folder, key_set)
        self.provider = provider

    def render(self):
        endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": self.provider.server_port}}}}
        cluster = {
            "name": "idp", "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {"cluster_name": "idp", "endpoints": [{"lb_endpoints": [endpoint]}]},
        }  # fmt: skip
        return super().render().replace("  clusters:\n", f"  clusters:\n    - {json.dumps(cluster)}\n", 1)

    def push(self, change):
        """Pushes the configuration with a change."""
        good = self.policy_file.with_suffix(".good")
        if not good.exists():
            good.write_text(self.policy_file.read_text())
        text = change(good.read_text())
        assert text != good.read_text(), "the change changed nothing"
        replace(self.policy_file, text)

    def tells(self, text):
        """Whether Envoy's log says this; a request is sent too, since some of it is told of requests only."""
        self.ask("/healthz")
        return any(text in line for line in self.log_lines())

    def records(self, reason):
        return any(json.loads(record).get("event.reason", "").startswith(reason) for record in self.audit())


class Troubleshooting(unittest.TestCase):
    def test_every_mistake_is_told_as_the_table_says(self):
        provider = Provider()
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for kid in ("key-1", "key-2"):
                claimgate("keys", "new", "--alg", "ES256", "--kid", kid, "--out", folder / f"{kid}.jwk")
            key_set = json.loads(claimgate("keys", "jwks", folder / "key-1.jwk"))

            def token(key="key-1", issuer=ISSUER, audience="logs-api"):
                claims = ("--claim", 'roles=["log-reader"]', "--claim", 'envs=["staging"]')
                about = ("--issuer", issuer, "--audience", audience, "--subject", "alice", *claims)
                return claimgate("token", "issue", "--key", folder / f"{key}.jwk", *about)

            def remote(cluster):
                keys = 'remote: { cluster: %s, url: "http://idp.example.com/jwks.json", timeout: 1s }' % cluster
                return lambda text: re.sub(r"jwks: \{.*\}", keys, text)

            def secret(text):
                keys = "keys: [{ secret: { env: NOPE } }]"
                return text.replace("issuers:\n", f"issuers:\n              own: {{ issuer: own, any_audience: true, {keys} }}\n", 1)

            broken = folder / "broken.wasm"
            broken.write_bytes(b"no module")
            pushes = [
                ("configuration refused: issuers.corp.audience", lambda text: text.replace("audiences:", "audience:")),
                ("environment variable", secret),
                ("Failed to parse corrupted", lambda text: re.sub(r'filename: "[^"]*"', f'filename: "{broken}"', text)),
                ("fetch failed, those at hand stay: Envoy takes", remote("nowhere")),
                ("fetch failed, those at hand stay: status 503", remote("idp")),
                ("fetch failed, those at hand stay: status 504", remote("idp")),
                # Who has no token is counted by the address.
                ("limit", lambda text: text.replace("version: 1\n", "version: 1\n            limits: [{ name: per-user, by: [subject], requests: 1, per: 1h }]\n")),
                ("audit records are lost", lambda text: text.replace("version: 1\n", "version: 1\n            audit: { level: debug }\n")),
            ]
            requests = [
                ("`iss` is no", "/logs/staging/x", token(issuer=f"{ISSUER}/")),
                ("`aud` holds", "/logs/staging/x", token(audience="another")),
                ("no key has", "/logs/staging/x", token(key="key-2")),
                ("no route", "/nowhere", token()),
                ("condition", "/logs/prod/x", token()),
                ("path with", "/logs/staging/../prod", token()),
            ]
            rows = said()
            run = folder / "run"
            run.mkdir()
            with Mistakes(run, key_set, provider) as world:
                for begins, path, bearer in requests:
                    row = self.row(rows, begins)
                    with self.subTest(row):
                        world.ask(path, bearer)
                        world.until(lambda: world.records(row), f"no record says `{row}`")
                for number, (begins, change) in enumerate(pushes):
                    row = self.row(rows, begins)
                    with self.subTest(row):
                        provider.silent = begins.endswith("504")
                        # Another name makes another configuration of one that was pushed before.
                        renamed = ("name: logs\n", f"name: logs-{number}\n", 1)
                        world.push(lambda text: change(text).replace(*renamed))
                        world.until(lambda: world.tells(row), f"the log does not say `{row}`", 20)
            self.assertEqual(rows, [], "rows of the table that nothing here provokes")
        provider.shutdown()
        provider.server_close()

    def row(self, rows, begins):
        found = [row for row in rows if row.startswith(begins)]
        self.assertEqual(len(found), 1, f"rows that begin with {begins}: {found}")
        rows.remove(found[0])
        return found[0]


if __name__ == "__main__":
    unittest.main(verbosity=2)
