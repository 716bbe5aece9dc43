#!/usr/bin/env python3
"""The example in containers, see docker-compose.yaml: what is done before they start, and the demo's requests to them.

    python3 compose.py prepare    makes keys, tokens and the files that Envoy reads; again, while it runs: new keys
    python3 compose.py ask        sends the requests of demo.py, and looks for their records in the log store

The environment's CLAIMGATE_FOLDER, CLAIMGATE_PORT and STORE_PORT mean what they mean in docker-compose.yaml. The exit status
is 1 if an answer or a record is not as expected.
"""

import argparse
import collections
import datetime
import http.client
import json
import os
import pathlib
import sys
import tempfile
import time
import urllib.parse

import demo
from harness import HOST, ROOT, Client, Failure, policy, rendered, replace

FOLDER = pathlib.Path(os.environ.get("CLAIMGATE_FOLDER") or ROOT / ".envoy" / "compose")
PORT = int(os.environ.get("CLAIMGATE_PORT") or 10000)
STORE_PORT = int(os.environ.get("STORE_PORT") or 9428)
KEY = FOLDER / "key-1.jwk"


def prepare():
    """Keys and tokens for this user alone; in etc/, which the containers see, public keys only."""
    FOLDER.mkdir(parents=True, exist_ok=True, mode=0o700)
    FOLDER.chmod(0o700)
    KEY.unlink(missing_ok=True)
    key = demo.new_key(FOLDER, "key-1")
    demo.write_tokens(FOLDER, key, URL=f"http://{HOST}:{PORT}", STORE=f"http://{HOST}:{STORE_PORT}")
    etc = FOLDER / "etc"
    etc.mkdir(exist_ok=True)
    files = {
        "claimgate.yaml": policy(demo.key_set(key), wasm="/etc/envoy/claimgate.wasm"),
        "envoy.yaml": rendered(
            "envoy.yaml",
            (r"127\.0\.0\.1, port_value: 10000", "0.0.0.0, port_value: 10000"),
            (r"127\.0\.0\.1, port_value: 9000", "logs, port_value: 9000"),
            (r"path: examples/logs-proxy/claimgate\.yaml", "path: /etc/claimgate/claimgate.yaml"),
            (r"\{ path: examples/logs-proxy \}", "{ path: /etc/claimgate }"),
        ),
    }
    for name, text in files.items():
        replace(etc / name, text)
    # Envoy runs as another user, whatever the umask here.
    for path in (etc, *etc.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    print(f"Keys, tokens and Envoy's files are in {os.path.relpath(FOLDER)}")
    return 0


class Containers(Client):
    """The containers, as they are reached from outside: that the service was asked shows in its answers alone."""

    def __init__(self):
        super().__init__(PORT)
        self.from_service = 0

    def ask(self, *arguments):
        answer = super().ask(*arguments)
        self.from_service += bool(answer.received)
        return answer

    def served(self):
        return self.from_service

    def await_policy(self, token, seconds=60):
        """Waits until Envoy has started, and has loaded the key that `prepare` made."""
        last, end = "", time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                last = str(self.ask("/logs/staging", token))
            except (OSError, http.client.HTTPException) as error:
                last = str(error)
            if last == "200":
                return
            time.sleep(0.2)
        raise Failure(f"http://{HOST}:{PORT} does not serve: `{last}`: see `docker compose -f examples/logs-proxy/docker-compose.yaml logs`")


def stored(since):
    """The audit records that the store has of the time since then."""
    path = "/select/logsql/query?" + urllib.parse.urlencode({"query": "claimgate_audit", "start": since, "limit": 10000})
    connection = http.client.HTTPConnection(HOST, STORE_PORT, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
    finally:
        connection.close()
    if answer.status != 200:
        raise Failure(f"the log store answered {answer.status}: {body[:400]}")
    lines = [json.loads(line)["_msg"] for line in body.splitlines() if line]
    records = [line.split("claimgate_audit ", 1)[1] for line in lines if "claimgate_audit {" in line]
    return [record for record in records if json.loads(record)["@timestamp"] >= since]


def summary(record):
    """What tells that a record is of a case: the method, the path, and the status with the code."""
    said = json.loads(record)
    code = "" if said["event.code"] == "allowed" else said["event.code"]
    answer = f"{said['http.response.status_code']} {code}".rstrip()
    return f"{said['http.request.method']} {said['url.path']}", answer


def records(cases, since, seconds=20):
    """Shows some of the records in the store; returns whether it has one for each request."""
    # Health checks are other requests of the same kind as the first case.
    wanted = collections.Counter((case.line, case.expected) for case in cases)
    missing, end = wanted, time.monotonic() + seconds
    while missing and time.monotonic() < end:
        time.sleep(0.2)
        found = stored(since)
        missing = wanted - collections.Counter(map(summary, found))
    own = sorted((record for record in found if '"/healthz"' not in record), key=lambda record: json.loads(record)["@timestamp"])
    demo.heading("Audit", f"in the log store, http://{HOST}:{STORE_PORT}/select/vmui/; some of the records, a few fields each:")
    demo.table([demo.audit_row(record) for record in own[:3] + own[6:9]])
    for (line, answer), count in missing.items():
        demo.wrapped(f"{demo.mark(False)} no record of {line}, {answer} ({count})")
    return not missing


def ask():
    if not KEY.is_file():
        raise Failure(f"{KEY} is missing: run `compose.py prepare` first")
    containers = Containers()
    containers.await_policy(demo.token(KEY, "alice"))
    since = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with tempfile.TemporaryDirectory() as folder:
        mallorys_key = demo.new_key(pathlib.Path(folder), "key-1")
        demo.introduce_people()
        cases = demo.cases(KEY, mallorys_key)
        results = demo.requests(containers, cases)
    results.append(records(cases, since))
    print()
    if not all(results):
        print(demo.paint("Not everything is as expected: see the lines with NO.", "1;31"))
        return 1
    print(demo.paint("All as expected.", "1;32"))
    return 0


def main():
    parser = argparse.ArgumentParser(description="the example in containers")
    parser.add_argument("step", choices=["prepare", "ask"])
    try:
        return {"prepare": prepare, "ask": ask}[parser.parse_args().step]()
    except KeyboardInterrupt:
        return 130
    except (Failure, OSError, ValueError, KeyError) as failure:
        print(f"{demo.paint('failed', '1;31')}: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
