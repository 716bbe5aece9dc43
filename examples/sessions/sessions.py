#!/usr/bin/env python3
"""Shows a browser's session that Claimgate keeps alive: `make sessions`. With --run it goes on serving: `make sessions RUN=1`.

It starts the provider, the application and Envoy with the filter on free ports, and does what a browser does: signs in, asks
over three lifetimes of a token, then fifty times at once, then too often, and at last with a session that was taken back. It
compares every answer, and how often the provider was asked, with what is expected, and ends all that it started. The exit
status is 1 if something is not as expected.
"""

import argparse
import collections
import concurrent.futures
import http.client
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "logs-proxy")]

from app import CLIENT, App  # noqa: E402
from demo import audit_row, conclude, free, heading, mark, paint, table  # noqa: E402
from harness import HOST, ROOT, Answer, Failure, World, product, rendered  # noqa: E402

LIFETIME = 6  # seconds, of a token

# --- What runs --------------------------------------------------------------------------------------------------------


class Provider:
    """The provider, in a process of its own. A context manager: leaving it ends it."""

    def __init__(self, folder, port=0, program=HERE / "provider.py", lifetime=LIFETIME):
        self.secret, self.log_file = secrets.token_urlsafe(24), folder / "provider.log"
        self.command = [str(program), "--port", str(port), "--lifetime", str(lifetime)]
        self.process = self.port = None

    def __enter__(self):
        python = pathlib.Path(os.environ.get("CLAIMGATE_PROVIDER_PYTHON") or ROOT / "target/sessions/bin/python")
        if not python.is_file():
            raise Failure(f"{python} is missing: run `make provider` first")
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [str(python), *self.command], env={**os.environ, "OAUTH_SECRET": self.secret},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )  # fmt: skip
        end = time.monotonic() + 30
        while not (said := self.log_file.read_text()).endswith("\n"):
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise Failure(f"the provider did not start: {said.strip()[-2000:]}")
            time.sleep(0.02)
        if not said.startswith("provider at "):
            self.__exit__()
            raise Failure(f"the provider did not start: {said.strip()[-2000:]}")
        self.port = urllib.parse.urlsplit(said.split()[2]).port
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    @property
    def url(self):
        return f"http://{HOST}:{self.port}"

    def counts(self):
        """How many logins, renewals and refusals there were so far."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request("GET", "/counts")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def renewals(self):
        return self.counts()["renewals"]


class Gate(World):
    """Envoy with the filter before the application, and the provider beside them."""

    def __init__(self, folder, provider, port=0, admin_port=0):
        super().__init__(folder, None, port, admin_port, App(0, provider.url, provider.secret))
        self.provider = provider
        os.environ["OAUTH_SECRET"] = provider.secret  # Envoy hands it to the filter

    def render(self):
        self.policy_file.write_text(
            rendered(
                HERE / "claimgate.yaml",
                (r"dist/claimgate\.wasm", json.dumps(str(product("CLAIMGATE_WASM", "dist/claimgate.wasm")))),
            )
        )
        port, admin_port = self.wanted
        return rendered(
            HERE / "envoy.yaml",
            (r"port_value: 10000", f"port_value: {port}"),
            (r"port_value: 9901", f"port_value: {admin_port}"),
            (r"port_value: 9000", f"port_value: {self.service.port}"),
            (r"port_value: 9001", f"port_value: {self.provider.port}"),
            (r"path: examples/sessions/claimgate\.yaml", "path: " + json.dumps(str(self.policy_file))),
            (r"\{ path: examples/sessions \}", json.dumps({"path": str(self.folder)})),
        )


class Browser:
    """What a browser does of it all: it keeps cookies, sends them back, and says which page asks."""

    def __init__(self, port):
        self.origin, self.port, self.cookies = f"http://{HOST}:{port}", port, {}

    def ask(self, path, method="GET", form=None, port=None):
        """One request; the answer also has `cookies`, the names and values that it set."""
        headers = {"Cookie": "; ".join("=".join(pair) for pair in self.cookies.items())}
        if method != "GET":
            headers["Origin"] = self.origin
        if form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection(HOST, port or self.port, timeout=30)
        try:
            connection.request(method, path, form and urllib.parse.urlencode(form), headers)
            response = connection.getresponse()
            set_cookies = response.headers.get_all("set-cookie") or []
            answer = Answer(response)
        finally:
            connection.close()
        answer.set_cookies = set_cookies
        answer.cookies = dict(line.partition(";")[0].split("=", 1) for line in set_cookies)
        self.cookies = {name: value for name, value in (self.cookies | answer.cookies).items() if value}
        return answer

    def sign_in(self, user):
        """Through the login of the application: to the provider, its form, and back with a code."""
        page = self.ask("/login").headers["location"]
        there = urllib.parse.urlsplit(page)
        back = self.ask(f"{there.path}?{there.query}", "POST", {"user": user}, there.port).headers["location"]
        if not back.startswith(self.origin + "/"):
            raise Failure(f"the provider sends the browser to {back}")
        return self.ask(back[len(self.origin) :])

    def ask_at_once(self, times, path):
        """Requests that all leave with the same cookies."""
        with concurrent.futures.ThreadPoolExecutor(times) as pool:
            before = dict(self.cookies)
            copies = [Browser(self.port) for _ in range(times)]
            for copy in copies:
                copy.cookies = dict(before)
            answers = list(pool.map(lambda copy: copy.ask(path), copies))
        for answer in answers:
            self.cookies |= answer.cookies
        return answers


# --- What is shown ----------------------------------------------------------------------------------------------------


def tally(answers):
    return dict(collections.Counter(map(str, answers)))


def shown(counts):
    return ", ".join(f"{answer} x{count}" for answer, count in counts.items())


def lines(*checks):
    """(whether it is so, what): a line for each; whether all are so."""
    table([(what,) for _, what in checks], [mark(good) for good, _ in checks])
    return all(good for good, _ in checks)


def sign_in(gate, browser):
    heading("Signing in", "the application's own: to the provider, and back with a code")
    answer = browser.sign_in("alice")
    kept = [line.partition("=")[::2] for line in answer.set_cookies if line.startswith("session")]
    attributes = {name: line.partition("; ")[2] for name, line in kept}
    table([("cookie", "attributes"), *attributes.items()])
    seen = browser.ask("/api/whoami")
    return lines(
        (len(attributes) == 2 and all("HttpOnly" in each for each in attributes.values()), "two tokens, which no script of a page can read"),
        (seen.document.get("user") == "alice", f"the application is told of {seen.document.get('user')}, and of no token"),
        ("cookie" not in seen.received, "both cookies end at the gate"),
    )  # fmt: skip


def keep_alive(gate, browser):
    """Asks twice a second for three lifetimes of a token and a little more."""
    heading("Three lifetimes of a token", f"{LIFETIME} s each; the browser asks twice a second")
    before, answers, rows, begun, left_before = gate.provider.renewals(), [], [], time.monotonic(), -1
    while (second := time.monotonic() - begun) < 3 * LIFETIME + 2:
        answer = browser.ask("/api/whoami")
        answers.append(answer)
        left = int(answer.headers.get("x-token-expires-in", -1))
        if left > left_before or answer.status != 200:
            renewed = "two new cookies" if answer.cookies else ""
            rows.append((f"{second:.1f} s", str(answer), f"{left} s", str(gate.provider.renewals() - before), renewed))
        left_before = left
        time.sleep(0.5)
    table([("after", "answer", "the token has", "renewals at the provider", ""), *rows])
    renewals = gate.provider.renewals() - before
    return lines(
        (tally(answers) == {"200": len(answers)}, f"{len(answers)} requests: {shown(tally(answers))}"),
        (3 <= renewals <= 6, f"{renewals} renewals"),
    )


def fifty(gate, browser):
    heading("Fifty requests at once", "the token has expired, and no page asked meanwhile")
    time.sleep(LIFETIME + 1)
    before = gate.provider.counts()
    answers = browser.ask_at_once(50, "/api/whoami")
    after = gate.provider.counts()
    pairs = {tuple(sorted(answer.cookies.items())) for answer in answers}
    renewals = after["renewals"] - before["renewals"]
    return lines(
        (tally(answers) == {"200": 50}, f"50 requests: {shown(tally(answers))}"),
        (renewals == 1 and after["refused"] == before["refused"], f"{renewals} renewal: the refresh token was used once"),
        (len(pairs) == 1, "all fifty answers set the same two cookies"),
    )


def limits(gate, browser):
    """Asks for reports: five an hour for a session, eight for a user."""
    heading("Limits", "an hour: 5 reports a session, 8 a user")
    elsewhere, other = Browser(gate.port), Browser(gate.port)
    elsewhere.sign_in("alice")
    other.sign_in("bob")
    rows, results, first = [("who", "answers", "Retry-After")], [True], None
    for who, asking, expected in (
        ("alice", browser, {"200": 5, "429 rate_limited": 1}),
        ("alice, in another browser", elsewhere, {"200": 3, "429 rate_limited": 1}),
        ("bob", other, {"200": 5, "429 rate_limited": 1}),
    ):
        answers = [asking.ask("/api/report") for _ in range(sum(expected.values()))]
        first = first or answers[0].headers.get("ratelimit", "MISSING")
        retry_after = answers[-1].headers.get("retry-after", "MISSING")
        good = tally(answers) == expected and retry_after.isdecimal()
        results.append(good)
        rows.append((who, shown(tally(answers)), retry_after if good else f"{retry_after}   EXPECTED {shown(expected)}"))
    table(rows, ["  ", *map(mark, results[1:])])
    print(f"      RateLimit of the first: {first}")
    return all(results) and first.count(";r=") == 3


def take_back(gate, browser):
    heading("Taken back", "the page's button: the provider lists the session, and the gate fetches that list every second")
    other = Browser(gate.port)
    other.sign_in("bob")
    sid = browser.ask("/api/whoami").document.get("session")
    ended = browser.ask("/api/end-session", "POST")
    gate.until(lambda: browser.ask("/api/whoami").status != 200, "the session was not taken back")
    at_once = browser.ask("/api/whoami")
    before = gate.provider.counts()
    time.sleep(LIFETIME + 1)
    later, after = browser.ask("/api/whoami"), gate.provider.counts()
    untouched = other.ask("/api/whoami")
    table([("session", sid or "UNKNOWN"), ("POST /api/end-session", str(ended))])
    return lines(
        (str(at_once) == "401 token_revoked", f"its token, before it expires: {at_once}"),
        (str(later) == "401 token_revoked", f"and when it has expired: {later}"),
        (not later.cookies, "no new cookies"),
        (before == after, "and nobody asked the provider for a new one"),
        (str(untouched) == "200", f"bob's session, renewed meanwhile: {untouched}"),
    )  # fmt: skip


def introduce(gate):
    print(paint("Claimgate: a browser's session, kept alive by the gate", "1"))
    table(
        [
            ("Envoy", f"http://{HOST}:{gate.port}", "claimgate, examples/sessions/claimgate.yaml"),
            ("application", f"http://{HOST}:{gate.service.port}", "signs in, and knows no tokens after that"),
            ("provider", gate.provider.url, f"Authlib: tokens for {LIFETIME} s, refresh tokens that count once"),
        ]
    )


def follow(gate):
    """Serves until interrupted, and prints what is refused, and each change of the provider's counts."""
    variables = gate.folder / "provider.sh"
    variables.touch(mode=0o600)
    variables.write_text(f"OAUTH_SECRET={gate.provider.secret}\nPROVIDER={gate.provider.url}\n")
    heading("Open", "in a browser on this machine; sign in as whom you like:")
    print(f"      http://{HOST}:{gate.port}/")
    heading("Take a session back", "in another terminal, with the session that the page shows as SID:")
    print(f"      . {variables}")
    print(f"      curl -X DELETE -u {CLIENT}:$OAUTH_SECRET $PROVIDER/sessions/SID")
    heading("What happens", "refusals of the gate, and what the provider counts; Ctrl-C ends:")
    told, counts = 0, {}
    while True:
        time.sleep(0.3)
        for running, name in ((gate.process, "Envoy"), (gate.provider.process, "the provider")):
            if running.poll() is not None:
                raise Failure(f"{name} ended with status {running.returncode}")
        records = gate.audit()
        table([audit_row(record) for record in records[told:] if '"event.outcome":"failure"' in record])
        told = len(records)
        if (now := gate.provider.counts()) != counts:
            counts = now
            table([tuple(f"{name} {count}" for name, count in counts.items())])


def main():
    parser = argparse.ArgumentParser(description="the example: a browser's session that the gate keeps alive")
    parser.add_argument("--run", action="store_true", help="go on serving until Ctrl-C")
    options = parser.parse_args()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(143))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="claimgate-sessions-"))
    ports = [free(port) if options.run else 0 for port in (9001, 10000, 9901)]
    try:
        with Provider(folder, ports[0]) as provider, Gate(folder, provider, *ports[1:]) as gate:
            introduce(gate)
            if options.run:
                follow(gate)
            browser = Browser(gate.port)
            results = [part(gate, browser) for part in (sign_in, keep_alive, fifty, limits, take_back)]
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
        return 0 if options.run else 130
    except Failure as failure:
        print(f"{paint('failed', '1;31')}: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return conclude(
        all(results), "`make sessions RUN=1` serves this until Ctrl-C, for your browser;",
        "examples/sessions/README.md says what to take from it.",
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
