#!/usr/bin/env python3
"""Shows what Prometheus tells of Claimgate: `make observe`. With --run it keeps serving: `make observe RUN=1`.

It starts a service, Envoy with the filter and a Prometheus with the rules of this folder, on free ports; sends requests
that are allowed and refused, pushes a configuration with a mistake, waits until Prometheus has it all, asks it which
endpoint is used most and what else one wants to know, and ends all that it started. The exit status is 1 if an answer to
a request is not as expected, or if Prometheus does not come to know of it.
"""

import argparse
import collections
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "logs-proxy")]

import fetch  # noqa: E402
from demo import conclude, free, heading, key_set, mark, new_key, paint, table  # noqa: E402
from harness import HOST, ROOT, Failure, World, claimgate, product, replace  # noqa: E402

WITHIN = 60  # seconds for what takes three: a busy machine is no failure

# --- What is asked ----------------------------------------------------------------------------------------------------


def counted(counters, window):
    """PromQL for how much these counters counted in a time window that ends now, for each of their label sets.

    `increase` does not see the first count of a counter, with which it appears. So one that was not there in the hour
    before the window gives all that it has counted; every other one its increase.
    """
    return (
        f"(last_over_time({counters}[{window}]) unless last_over_time({counters}[1h] offset {window}))"
        f" or increase({counters}[{window}])"
    )


def since_midnight(now=None):
    """The time since midnight UTC, as PromQL writes it."""
    return f"{max(1, int((time.time() if now is None else now) % 86400))}s"


Question = collections.namedtuple("Question", "text aside labels expression")


def questions(window):
    """What to ask of the time window, as PromQL."""
    refused = counted('claimgate_requests_total{outcome="denied"}', window)
    used = counted('claimgate_requests_total{outcome!="denied"}', window)
    invalid = counted('claimgate_tokens_total{outcome!="valid"}', window)
    differs = counted("claimgate_candidate_differences_total", window)
    shadow = counted('claimgate_requests_total{outcome="shadow_denied"}', window)
    return [
        Question("Which endpoint is used most?", "routes, by requests let through", ["route"], f"topk(5, sum by (route) ({used}))"),
        Question("How many invalid tokens today?", "", [], f"sum({invalid})"),
        Question("Why, and whose are they?", "", ["outcome", "issuer", "kid"], f"sum by (outcome, issuer, kid) ({invalid})"),
        Question("Which refusals are there?", "requests, by code", ["code"], f"sum by (code) ({refused})"),
        Question("What would shadow mode refuse?", "", ["route", "code"], f"sum by (route, code) ({shadow})"),
        Question("What would the candidate decide otherwise?", "", ["route"], f"sum by (route) ({differs})"),
    ]


# --- What is sent -----------------------------------------------------------------------------------------------------

Case = collections.namedtuple("Case", "what line token expected times")
CORP, PARTNER = "https://idp.example.com", "https://login.partner.example"


def token(key, issuer, person, roles=(), envs=(), expires_in="12h"):
    claims = ("--claim", f"roles={json.dumps(roles)}", "--claim", f"envs={json.dumps(envs)}")
    issue = ("token", "issue", "--key", key, "--issuer", issuer, "--audience", "logs-api", "--subject", person)
    return claimgate(*issue, f"--expires-in={expires_in}", *claims)


class Keys:
    """The issuers' keys, made on the spot, and those of somebody who is none."""

    def __init__(self, folder):
        self.corp_1, self.corp_2, self.partner = (new_key(folder, kid) for kid in ("corp-1", "corp-2", "partner-1"))
        (folder / "others").mkdir()
        self.forger, self.unknown = (new_key(folder / "others", kid) for kid in ("corp-2", "corp-0"))

    def cases(self):
        alice = token(self.corp_1, CORP, "alice", ["log-reader"], ["staging"])
        bob = token(self.corp_2, CORP, "bob", ["sre"], ["prod", "staging"])
        carol = token(self.corp_1, CORP, "carol")
        petra = token(self.partner, PARTNER, "petra", ["log-reader"], ["prod"])
        expired = token(self.corp_1, CORP, "alice", expires_in="-5m")
        forged = token(self.forger, CORP, "bob", ["sre"])
        unknown = token(self.unknown, CORP, "bob", ["sre"])
        staging, prod, search = "GET /logs/staging", "GET /logs/prod", "GET /search"
        return [
            Case("alice reads staging", staging, alice, "200", 6),
            Case("alice reads prod, which the candidate would refuse", prod, alice, "200", 2),
            Case("bob reads prod, by the issuer's second key", prod, bob, "200", 4),
            Case("petra searches, by another issuer", search, petra, "200", 5),
            Case("petra exports, which shadow mode lets through", "GET /export/all", petra, "200", 3),
            Case("carol has no role", staging, carol, "403 claims_insufficient", 2),
            Case("no token", search, None, "401 token_missing", 3),
            Case("alice's token expired", search, expired, "401 token_expired", 4),
            Case("bob's by another's key", prod, forged, "401 signature_invalid", 2),
            Case("a key that no issuer has", prod, unknown, "401 key_unknown", 1),
            Case("no token at all, but a text", search, "no.to.ken", "401 token_malformed", 1),
            Case("a path of no route", "GET /metrics", bob, "403 no_route", 1),
        ]


# --- What runs --------------------------------------------------------------------------------------------------------


def rendered(name, *changes):
    """A file of this folder with parts of it replaced; each must be there exactly once, so that none is missed."""
    text = (HERE / name).read_text()
    for pattern, value in changes:
        text, count = re.subn(pattern, lambda _, value=value: value, text)
        if count != 1:
            raise Failure(f"{name} has {count} places like `{pattern}`, where this example needs one")
    return text


def unused_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


class Prometheus:
    """A Prometheus that scrapes one Envoy every second, with the rules of this folder, in a folder of its own."""

    def __init__(self, folder, admin_port, wanted=0):
        self.folder, self.admin_port, self.wanted = folder, admin_port, wanted
        self.log_file = folder / "prometheus.log"
        self.process = self.port = None

    def start(self):
        program = fetch.programs()[0]
        settings = self.folder / "prometheus.yml"
        settings.write_text(
            rendered(
                "prometheus.yml",
                (r"scrape_interval: 15s", "scrape_interval: 1s"),
                (r"evaluation_interval: 15s", "evaluation_interval: 1s"),
                (r"rules/\*\.yml", json.dumps(str(HERE / "rules" / "*.yml"))),
                (r"127\.0\.0\.1:9901", f"{HOST}:{self.admin_port}"),
            )
        )
        for attempt in range(5):  # Prometheus does not say which port it took, and another may take the one that was free
            self.port = self.wanted if self.wanted and attempt == 0 else unused_port()
            command = [
                *(program, f"--config.file={settings}", f"--storage.tsdb.path={self.folder / f'data-{attempt}'}"),
                *(f"--web.listen-address={HOST}:{self.port}", "--log.level=warn"),
            ]
            with self.log_file.open("wb") as log:
                self.process = subprocess.Popen(
                    command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            try:
                self.until(lambda: self.get("/-/ready") is not None, "Prometheus did not start")
                return
            except Failure:
                if "address already in use" not in self.log_file.read_text(errors="replace"):
                    raise
        raise Failure(f"Prometheus found no port{self.log_tail()}")

    def stop(self):
        if self.process is None:
            return
        for kind in (signal.SIGTERM, signal.SIGKILL):
            try:
                self.process.send_signal(kind)
                self.process.wait(10)
                return
            except subprocess.TimeoutExpired:
                continue

    def log_tail(self):
        lines = self.log_file.read_text(errors="replace").splitlines()[-10:]
        return "; the end of its log:" + "".join(f"\n  | {line[:400]}" for line in lines) if lines else ""

    def get(self, path, **parameters):
        """A page; None where its status is not 200, or 400, with which the API tells of a query's mistake."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request("GET", path + ("?" + urllib.parse.urlencode(parameters) if parameters else ""))
            answer = connection.getresponse()
            body = answer.read().decode()
            return body if answer.status in (200, 400) else None
        finally:
            connection.close()

    def api(self, path, **parameters):
        answer = json.loads(self.get(f"/api/v1/{path}", **parameters) or '{"error": "no answer"}')
        if answer.get("status") != "success":
            raise Failure(f"Prometheus does not answer {path} {parameters}: {answer.get('error')}")
        return answer["data"]

    def ask(self, expression):
        """What an expression gives now: (labels, value), the greatest first."""
        found = self.api("query", query=expression)["result"]
        rows = [(series["metric"], float(series["value"][1])) for series in found]
        return sorted(rows, key=lambda row: (-row[1], sorted(row[0].items())))

    def number(self, expression):
        """The one value that an expression gives; 0 where it gives none."""
        return sum(value for _, value in self.ask(expression))

    def alerts(self):
        """The alerts that are pending or firing: (name, state, severity, summary)."""
        return sorted(
            (alert["labels"]["alertname"], alert["state"], alert["labels"]["severity"], alert["annotations"]["summary"])
            for alert in self.api("alerts")["alerts"]
        )

    def until(self, holds, what, seconds=WITHIN):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Failure(f"Prometheus ended with status {self.process.returncode}{self.log_tail()}")
            try:
                if holds():
                    return
            except (OSError, http.client.HTTPException, ValueError):
                pass  # not yet
            time.sleep(0.1)
        raise Failure(f"{what} within {seconds} s{self.log_tail()}")


class Observed(World):
    """The service, Envoy before it, and Prometheus, which looks at Envoy. A context manager: leaving it ends all."""

    def __init__(self, folder, port=0, admin_port=0, prometheus_port=0):
        self.keys = Keys(folder)
        super().__init__(folder, None, port, admin_port)
        self.prometheus_port = prometheus_port
        self.prometheus = None

    def policy(self, broken=False):
        """claimgate.yaml with the public keys; `broken` misspells a setting, so that the filter must refuse it."""
        corp, partner = key_set(self.keys.corp_1, self.keys.corp_2), key_set(self.keys.partner)
        return rendered(
            "claimgate.yaml",
            (r"dist/claimgate\.wasm", json.dumps(str(product("CLAIMGATE_WASM", "dist/claimgate.wasm")))),
            (r"jwks: \{.*corp-1.*\}", "jwks: " + json.dumps(corp)),
            (r"jwks: \{.*partner-1.*\}", "jwks: " + json.dumps(partner)),
            *([(r"defaults:", "default:")] if broken else []),
        )

    def render(self):
        port, admin_port = self.wanted
        self.policy_file.write_text(self.policy())
        return rendered(
            "envoy.yaml",
            (r"port_value: 10000", f"port_value: {port}"),
            (r"port_value: 9901", f"port_value: {admin_port}"),
            (r"port_value: 9000", f"port_value: {self.service.port}"),
            (r"path: examples/observability/claimgate\.yaml", "path: " + json.dumps(str(self.policy_file))),
            (r"\{ path: examples/observability \}", json.dumps({"path": str(self.folder)})),
        )

    def start(self):
        super().start()
        self.prometheus = Prometheus(self.folder, self.admin_port, self.prometheus_port)
        self.prometheus.start()
        # A counter that stood at 0 before it counts is one whose increase is seen.
        self.prometheus.until(lambda: self.prometheus.ask("claimgate_config_loads_total"), "Prometheus did not scrape Envoy")

    def stop(self):
        if self.prometheus is not None:
            self.prometheus.stop()
        super().stop()

    def send(self, case):
        """Sends a request once; returns the answer, as text."""
        method, path = case.line.split(" ", 1)
        return str(self.ask(path, case.token, method=method))

    def push_a_mistake(self):
        """Replaces the pushed configuration by one that the filter refuses: the old one serves on."""
        replace(self.policy_file, self.policy(broken=True))
        self.until(lambda: self.refusals() > 0, "Envoy did not refuse the configuration with a mistake")

    def await_scrape(self):
        """Waits until Prometheus has counted every request that was answered, and the configuration that was refused."""
        asked, refused = "sum(claimgate_requests_total)", 'sum(claimgate_config_loads_total{outcome="refused"})'
        self.prometheus.until(
            lambda: self.prometheus.number(asked) >= self.answered and self.prometheus.number(refused) >= self.refusals(),
            f"Prometheus did not count {self.answered} requests",
        )


# --- Printing ---------------------------------------------------------------------------------------------------------

EXPECTED_ALERTS = {"ClaimgateShadowRefusals", "ClaimgateCandidateDiffers", "ClaimgateConfigurationRefused"}


def traffic(world):
    """Sends every case as often as it says; returns whether each answer was the expected one."""
    heading("Requests", "sent through Envoy")
    rows, results = [("what", "asks for", "answer", "times")], [True]
    for case in world.keys.cases():
        answers = [world.send(case) for _ in range(case.times)]
        wrong = [answer for answer in answers if answer != case.expected]
        rows.append((case.what, case.line, wrong[0] + f"   EXPECTED {case.expected}" if wrong else case.expected, str(case.times)))
        results.append(not wrong)
    table(rows, ["  ", *map(mark, results[1:])])
    world.push_a_mistake()
    print(f"  {mark(True)}  a configuration with a mistake, pushed: refused, the old one serves on", flush=True)
    return all(results)


def shown(number):
    """A count as it is read: increases of old counters are estimates, and no whole numbers."""
    return str(round(number))


def tell(world):
    """Asks Prometheus, and prints what it says."""
    window = since_midnight()
    for question in questions(window):
        heading(question.text, question.aside)
        answers = world.prometheus.ask(question.expression)
        table([(shown(value).rjust(5), *(labels.get(name, "") for name in question.labels)) for labels, value in answers] or [("none",)])
    heading("Alerts")
    table([alert for alert in world.prometheus.alerts()] or [("none",)])
    example = questions(window)[1]
    heading("In PromQL", f"{example.text} {window} have passed since midnight UTC:")
    print(f"      {example.expression}", flush=True)


def introduce(world):
    print(paint("Claimgate, watched by Prometheus", "1"))
    table(
        [
            ("Envoy", f"http://{HOST}:{world.port}", "examples/observability/envoy.yaml, claimgate.yaml"),
            ("its metrics", f"http://{HOST}:{world.admin_port}/stats/prometheus", "scraped every second"),
            ("Prometheus", f"http://{HOST}:{world.prometheus.port}", "examples/observability/prometheus.yml, rules/claimgate.yml"),
        ]
    )


def observe(world):
    """Everything once; returns whether all is as expected."""
    introduce(world)
    good = traffic(world)
    world.await_scrape()
    prometheus = world.prometheus
    prometheus.until(
        lambda: EXPECTED_ALERTS <= {alert[0] for alert in prometheus.alerts()}, "Prometheus did not raise the alerts"
    )
    tell(world)
    return good


def follow(world):
    """Keeps sending, a few requests a second, and says every ten seconds what Prometheus knows; until interrupted."""
    cases = world.keys.cases()
    told = time.monotonic()
    while True:
        for running, name in ((world.process, "Envoy"), (world.prometheus.process, "Prometheus")):
            if running.poll() is not None:
                raise Failure(f"{name} ended with status {running.returncode}")
        world.send(random.choices(cases, [case.times for case in cases])[0])
        time.sleep(0.2)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            most = world.prometheus.ask(questions(since_midnight())[0].expression)
            invalid = world.prometheus.number(questions(since_midnight())[1].expression)
            firing = len(world.prometheus.alerts())
            table([(time.strftime("%H:%M:%S"), f"most used: {most[0][0]['route']}", f"invalid tokens today: {shown(invalid)}", f"alerts: {firing}")])


def go_on(world):
    url = f"http://{HOST}:{world.prometheus.port}"
    promtool = fetch.programs()[1]
    promtool = os.path.relpath(promtool, ROOT) if promtool.startswith(str(ROOT)) else promtool
    heading("Ask", "in another terminal, in this folder:")
    print(f"      {promtool} query instant {url} 'sum by (route, code) (claimgate_requests_total)'")
    if world.prometheus.get("/graph/") is not None or world.prometheus.get("/classic/graph") is not None:
        heading("Look", f"{url}/graph and {url}/alerts; for Grafana, examples/observability/README.md")
    else:
        heading("Look", "the unpacked package has no pages for a browser, the API only; examples/observability/README.md has Grafana")
    heading("Requests keep coming;", "Ctrl-C ends:")
    follow(world)


def main():
    parser = argparse.ArgumentParser(description="the example: Claimgate, watched by Prometheus")
    parser.add_argument("--run", action="store_true", help="keep serving, and sending requests, until Ctrl-C")
    options = parser.parse_args()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(143))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="claimgate-observe-"))
    try:
        fetch.programs()  # before anything starts: it may take a while, or not be possible
        ports = [free(port) for port in (10000, 9901, 9090)] if options.run else ()
        with Observed(folder, *ports) as world:
            good = observe(world)
            if options.run:
                go_on(world)
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
        return 0 if options.run else 130
    except (Failure, fetch.Failed) as failure:
        print(f"{paint('failed', '1;31')}: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return conclude(good, "`make observe RUN=1` serves this, and keeps sending, until Ctrl-C.")


if __name__ == "__main__":
    sys.exit(main())
