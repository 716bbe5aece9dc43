"""What the demo stands on: the command line, a real Envoy on free ports, requests as they are written, Envoy's log."""

import http.client
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import threading
import time

from log_service import LogService

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HOST = "127.0.0.1"


class Failure(Exception):
    """Something that the demo stands on does not work; the text says what, and what to do."""


def product(variable, path):
    """A file that `make build` leaves in dist/."""
    found = pathlib.Path(os.environ.get(variable) or ROOT / path).resolve()
    if not found.is_file():
        raise Failure(f"{found} is missing: run `make build` first")
    return found


def claimgate(*arguments):
    """Runs the command line; returns what it printed."""
    command = [str(product("CLAIMGATE", "dist/claimgate")), *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"`claimgate {' '.join(command[1:3])} ...` failed:\n{done.stderr or done.stdout}")
    return done.stdout.strip()


def envoy_command():
    """The variable ENVOY (one path, or a command with arguments such as `func-e run`), else the downloaded one."""
    given = os.environ.get("ENVOY", "").strip() or str(ROOT / ".envoy" / "bin" / "envoy")
    return [given] if os.path.exists(given) else shlex.split(given)


def rendered(name, *changes):
    """A file of this folder with parts of it replaced; each must be there exactly once, so that none is missed."""
    text = (HERE / name).read_text()
    for pattern, value in changes:
        text, count = re.subn(pattern, lambda _, value=value: value, text)
        if count != 1:
            raise Failure(f"{name} has {count} places like `{pattern}`, where the demo needs one")
    return text


def policy(key_set, broken=False, wasm=None):
    """claimgate.yaml with these public keys; `broken` misspells a setting, so that the filter must refuse it."""
    changes = [
        (r"dist/claimgate\.wasm", json.dumps(wasm or str(product("CLAIMGATE_WASM", "dist/claimgate.wasm")))),
        (r"jwks: \{.*\}", "jwks: " + json.dumps(key_set)),
    ]
    return rendered("claimgate.yaml", *changes, *([(r"audiences:", "audience:")] if broken else []))


def replace(path, text):
    """Writes beside, then renames over: Envoy never reads half a file."""
    beside = path.with_name(path.name + ".next")
    beside.write_text(text)
    os.replace(beside, path)


class Answer:
    """A status, the headers, the refusal's code, the document that came back."""

    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        body = response.read()
        try:
            self.document = json.loads(body)
        except ValueError:
            self.document = {}
        problem = response.getheader("content-type", "").startswith("application/problem+json")
        self.code = self.document.get("code", "") if problem else ""
        self.received = {name.lower(): value for name, value in self.document.get("received_headers", {}).items()}

    def __str__(self):
        return f"{self.status} {self.code}".rstrip()


class Client:
    """Sends requests to Envoy on a port of this machine."""

    def __init__(self, port=None):
        self.port = port
        self.answered = 0

    def ask(self, path, token=None, headers=(), method="GET", source=HOST):
        """One request on a connection of its own; the path goes out as it is written, and headers may repeat."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10, source_address=(source, 0))
        try:
            connection.putrequest(method, path, skip_host=any(name == "Host" for name, _ in headers))
            if token:
                connection.putheader("Authorization", f"Bearer {token}")
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders()
            answer = Answer(connection.getresponse())
            self.answered += 1
            return answer
        finally:
            connection.close()


class World(Client):
    """The log service, or another one, and Envoy before it, in a folder of their own. A context manager: leaving it ends both."""

    def __init__(self, folder, key_set, port=0, admin_port=0, service=None):
        super().__init__()
        self.folder = folder
        self.policy_file = folder / "claimgate.yaml"
        self.log_file = folder / "envoy.log"
        self.access_file = folder / "access.log"
        self.key_set = key_set
        self.wanted = (port, admin_port)
        self.process = None
        self.admin_port = None
        self.service = service or LogService(0)

    def __enter__(self):
        threading.Thread(target=self.service.serve_forever, daemon=True).start()
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        bootstrap = self.folder / "envoy.yaml"
        bootstrap.write_text(self.render())
        admin = self.folder / "admin.txt"
        command = [
            *envoy_command(),
            *("-c", str(bootstrap), "--admin-address-path", str(admin)),
            *("--concurrency", "2", "--disable-hot-restart", "--file-flush-interval-msec", "100"),
            *("--log-level", "warning", "--component-log-level", "wasm:info"),
        ]
        with self.log_file.open("wb") as log, self.access_file.open("wb") as access:
            try:
                # A session of its own, so that Ctrl-C reaches this program only, which then ends it in order.
                self.process = subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=access, stderr=log, start_new_session=True
                )
            except OSError as error:
                raise Failure(f"cannot start Envoy (`{' '.join(command[:2])}`): {error}: correct or unset ENVOY, then `make envoy` gets one") from None
        self.until(lambda: admin.is_file() and ":" in admin.read_text(), "Envoy did not start", 60)
        self.admin_port = int(admin.read_text().rsplit(":", 1)[1])
        self.until(lambda: self.listening(), "Envoy did not open its port", 30)
        self.until(self.serving, "the filter did not load", 30)

    def serving(self):
        if self.refusals():
            raise Failure(f"Envoy refused the filter or its configuration{self.log_tail()}")
        return self.ask("/healthz").status == 200

    def render(self):
        """Writes the policy, and returns the bootstrap."""
        port, admin_port = self.wanted
        self.policy_file.write_text(policy(self.key_set))
        return rendered(
            "envoy.yaml",
            (r"port_value: 10000", f"port_value: {port}"),
            (r"port_value: 9901", f"port_value: {admin_port}"),
            (r"port_value: 9000", f"port_value: {self.service.port}"),
            (r"path: examples/logs-proxy/claimgate\.yaml", "path: " + json.dumps(str(self.policy_file))),
            (r"\{ path: examples/logs-proxy \}", json.dumps({"path": str(self.folder)})),
        )

    def stop(self):
        self.service.shutdown()
        self.service.server_close()
        if self.process is None:
            return
        for kind, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            try:
                os.killpg(self.process.pid, kind)
                self.process.wait(seconds)
                break
            except ProcessLookupError:
                self.process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue

    def served(self):
        """How many requests have reached the service."""
        return len(self.service.paths)

    def listening(self):
        listeners = json.loads(self.admin("/listeners?format=json")).get("listener_statuses", [])
        for listener in listeners:
            self.port = listener["local_address"]["socket_address"]["port_value"]
        return self.port is not None

    def until(self, holds, what, seconds=10):
        """Waits until something holds; a failure shows the end of Envoy's log."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Failure(f"Envoy ended with status {self.process.returncode}{self.log_tail()}")
            try:
                if holds():
                    return
            except (OSError, http.client.HTTPException, ValueError):
                pass  # not yet
            time.sleep(0.05)
        raise Failure(f"{what} within {seconds} s{self.log_tail()}")

    def log_tail(self):
        lines = [line for line in self.log_lines() if "claimgate_audit" not in line][-15:]
        return "; the end of its log:" + "".join(f"\n  | {line[:400]}" for line in lines) if lines else ""

    def log_lines(self):
        return self.log_file.read_text(errors="replace").splitlines() if self.log_file.exists() else []

    def admin(self, path):
        connection = http.client.HTTPConnection(HOST, self.admin_port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def audit(self):
        """The audit records in Envoy's log, as they are."""
        return [line.split("claimgate_audit ", 1)[1] for line in self.log_lines() if "claimgate_audit {" in line]

    def accesses(self, details):
        """The lines of Envoy's access log with these response code details."""
        lines = self.access_file.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and f'"details":"{details}"' in line]

    def refusals(self):
        """How many pushed configurations Envoy has refused."""
        stats = self.admin("/stats?filter=extension_config_discovery.http_filter.claimgate.config_fail")
        return sum(int(line.rpartition(": ")[2]) for line in stats.splitlines())

    def counters(self, name):
        """The counters of one metric: (labels, value), from names that hold labels as `key=.=value;.;`."""
        found = []
        for line in self.admin(f"/stats?filter={name}").splitlines():
            stat, _, value = line.rpartition(": ")
            found.append((dict(re.findall(r"(\w+)=\.=(.*?);\.;", stat)), int(value)))
        return found
