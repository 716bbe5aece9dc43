#!/usr/bin/env python3
"""Shows limits for each identity over a fleet: `make ratelimit`. With --run it goes on serving: `make ratelimit RUN=1`.

It starts a rate-limit service with limitador/limits.yaml and two Envoys with the filter that share it, on free ports; sends
requests of several people to both, compares every answer, and what the service was asked, with what is expected; stops the
service and shows what Envoy says then; and ends all that it started. The exit status is 1 if something is not as expected.

The service is built from tests/ratelimit-service on the crate that is inside of Limitador, which this machine need not have.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "logs-proxy"))

from demo import conclude, heading, key_set, mark, new_key, paint, table  # noqa: E402
from harness import HOST, ROOT, Failure, World, claimgate, product, rendered  # noqa: E402

CORP, PARTNER = "https://idp.example.com", "https://login.partner.example"
LIMITS = HERE / "limitador" / "limits.yaml"

# --- What runs --------------------------------------------------------------------------------------------------------


class Service:
    """A rate-limit service in a process of its own. It writes down what it is asked before it answers."""

    def __init__(self, folder, limits=LIMITS):
        self.limits, self.output_file = limits, folder / "service.log"
        self.process, self.port = None, 0
        self.output_file.touch()

    def start(self):
        """Starts it, on the port that it had before if it had one. Its counters begin anew: they are in its memory."""
        program = pathlib.Path(os.environ.get("CLAIMGATE_RATELIMIT_SERVICE") or ROOT / "target/ratelimit/debug/ratelimit-service")
        if not program.is_file():
            raise Failure(f"{program} is missing: run `make limiter` first")
        before = len(self.output())
        with self.output_file.open("ab") as output:
            self.process = subprocess.Popen(
                [str(program), str(self.limits), str(self.port)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )  # fmt: skip
        end = time.monotonic() + 30
        while True:
            said = "".join(self.output()[before:])
            if said.startswith("listening on "):
                self.port = int(said.split()[2].rpartition(":")[2])
                return
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise Failure(f"the rate-limit service did not start: {said.strip()}")
            time.sleep(0.02)

    def output(self):
        """The lines that it wrote, whole ones only."""
        return [line for line in self.output_file.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def questions(self):
        """What it was asked so far: the domain, the descriptors as lists of key and value, the answer."""
        return [json.loads(line) for line in self.output() if line.startswith("{")]

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


class Edge(World):
    """One Envoy of the fleet, and the service behind it."""

    def __init__(self, folder, keys, service, failure_mode_deny=True, timeout="10s"):  # a busy machine is no failure
        folder.mkdir()
        super().__init__(folder, None)
        self.keys, self.limiter, self.failure_mode_deny, self.timeout = keys, service, failure_mode_deny, timeout

    def render(self):
        self.policy_file.write_text(
            rendered(
                HERE / "claimgate.yaml",
                (r"dist/claimgate\.wasm", json.dumps(str(product("CLAIMGATE_WASM", "dist/claimgate.wasm")))),
                (r"jwks: \{.*corp-1.*\}", "jwks: " + json.dumps(key_set(self.keys.corp))),
                (r"jwks: \{.*partner-1.*\}", "jwks: " + json.dumps(key_set(self.keys.partner))),
            )
        )
        return rendered(
            HERE / "envoy.yaml",
            (r"port_value: 10000", "port_value: 0"),
            (r"port_value: 9901", "port_value: 0"),
            (r"port_value: 9000", f"port_value: {self.service.port}"),
            (r"port_value: 8081", f"port_value: {self.limiter.port}"),
            (r"path: examples/global-rate-limit/claimgate\.yaml", "path: " + json.dumps(str(self.policy_file))),
            (r"\{ path: examples/global-rate-limit \}", json.dumps({"path": str(self.folder)})),
            (r"timeout: 0\.1s", f"timeout: {self.timeout}"),
            (r"failure_mode_deny: true", f"failure_mode_deny: {json.dumps(self.failure_mode_deny)}"),
        )

    def counted(self, name):
        """One of the filter's own counters: ok, over_limit, error, failure_mode_allowed."""
        found = re.search(rf"^cluster\.logs\.ratelimit\.{name}: (\d+)$", self.admin("/stats?filter=ratelimit"), re.M)
        return int(found.group(1)) if found else 0


class Keys:
    """The issuers' keys, made on the spot, and those of somebody who is none."""

    def __init__(self, folder):
        (folder / "others").mkdir()
        self.corp, self.partner = new_key(folder, "corp-1"), new_key(folder, "partner-1")
        self.forger = new_key(folder / "others", "corp-1")

    def corps(self, person, tenant="acme", key=None, expires_in="1h", **claims):
        return self.token(key or self.corp, CORP, person, expires_in, tid=tenant, **claims)

    def partners(self, person, organization, **claims):
        return self.token(self.partner, PARTNER, person, "1h", organization=organization, **claims)

    @staticmethod
    def token(key, issuer, person, expires_in, **claims):
        claims = {"roles": ["log-reader"], **claims}
        said = [part for name, value in claims.items() for part in ("--claim", f"{name}={json.dumps(value)}")]
        subject = () if person is None else (f"--subject={person}",)
        issue = ("token", "issue", "--key", key, "--issuer", issuer, "--audience", "logs-api", *subject)
        return claimgate(*issue, f"--expires-in={expires_in}", *said)


class Fleet:
    """The service and two Envoys that share it. A context manager: leaving it ends all."""

    def __init__(self, folder, limits=LIMITS):
        self.folder, self.keys = folder, Keys(folder)
        self.service = Service(folder, limits)
        self.edges = []

    def __enter__(self):
        try:
            self.service.start()
            for _ in range(2):
                self.add()
        except BaseException:
            self.__exit__()
            raise
        return self

    def add(self, **options):
        """Another Envoy."""
        edge = Edge(self.folder / f"edge-{len(self.edges) + 1}", self.keys, self.service, **options)
        edge.__enter__()
        self.edges.append(edge)
        return edge

    def __exit__(self, *_):
        for edge in self.edges:
            edge.__exit__()
        self.service.stop()

    def send(self, times, path, token=None, **options):
        """Sends a request again and again, to the first two Envoys in turn; returns the answers."""
        return [self.edges[turn % 2].ask(path, token, **options) for turn in range(times)]


# --- What is sent -----------------------------------------------------------------------------------------------------

Case = collections.namedtuple("Case", "what times path token expected asked headers", defaults=[()])


def cases(keys):
    """(who, how many requests to where, the answers, how often the service was asked)"""
    alice, bob = keys.corps("alice"), keys.corps("bob")
    logs = "/logs/prod"
    spoofed = (("X-User-Id", "bob"), ("x_user_id", "bob"), ("X-User-Plan", "pro"), ("X-User-Tenant", "other"))
    tenants = [
        Case(f"{person}, whose tenant has 20 for all", 6, logs, keys.corps(person, "globex"), {"200": 6}, 6)
        for person in ("carol", "dan", "erin")
    ]
    return [
        Case("alice", 8, logs, alice, {"200": 6, "429 rate_limited": 2}, 8),
        Case("bob", 5, logs, bob, {"200": 5}, 5),
        Case("alice, who says she is bob", 2, logs, alice, {"429 rate_limited": 2}, 2, spoofed),
        Case("another issuer's alice", 5, logs, keys.partners("alice", "acme"), {"200": 5}, 5),
        Case("petra, whose plan is pro", 13, logs, keys.partners("petra", "initech", plan="pro"), {"200": 12, "429 rate_limited": 1}, 13),
        *tenants,
        Case("fay, of the same tenant", 3, logs, keys.corps("fay", "globex"), {"200": 2, "429 rate_limited": 1}, 3),
        Case("nobody, by address", 4, "/status", None, {"200": 3, "429 rate_limited": 1}, 4),
        Case("nobody, who says she is bob", 1, "/status", None, {"429 rate_limited": 1}, 1, spoofed),
        Case("an expired token", 5, logs, keys.corps("bob", expires_in="-5m"), {"401 token_expired": 5}, 0),
        Case("bob's by another's key", 5, logs, keys.corps("bob", key=keys.forger), {"401 signature_invalid": 5}, 0),
        Case("gina, who has no role", 5, logs, keys.corps("gina", roles=[]), {"403 claims_insufficient": 5}, 0),
    ]


# --- Printing ---------------------------------------------------------------------------------------------------------


def tally(answers):
    return dict(collections.Counter(map(str, answers)))


def shown(counts):
    return ", ".join(f"{answer} x{count}" for answer, count in counts.items())


def requests(fleet):
    """Sends every case; returns whether each had the expected answers, and the service was asked as often as expected."""
    heading("Requests", "sent to the two Envoys in turn")
    rows, results, answered = [("who", "asks for", "times", "answers", "the service was asked")], [True], []
    for case in cases(fleet.keys):
        before = len(fleet.service.questions())
        answers = fleet.send(case.times, case.path, case.token, headers=case.headers)
        asked = len(fleet.service.questions()) - before
        good = tally(answers) == case.expected and asked == case.asked
        wrong = "" if good else f"   EXPECTED {shown(case.expected)}, {case.asked}"
        rows.append((case.what, case.path, str(case.times), shown(tally(answers)), f"{asked or 'not'}{wrong}"))
        results.append(good)
        answered += answers
    table(rows, ["  ", *map(mark, results[1:])])
    return all(results), answered


def descriptor(pairs):
    return ", ".join(f"{key}={value}" for key, value in pairs)


def questions(fleet):
    """Shows which different questions there were."""
    heading("What the service was asked", "the descriptors, each once")
    seen = dict.fromkeys(
        " | ".join(map(descriptor, question["descriptors"])) for question in fleet.service.questions()
    )
    for line in seen:
        print(f"      {line}")
    # Nobody's word but the issuers': what the clients' own headers said is in none of them.
    return not any("tenant=other" in line for line in seen)


def refusal(answers):
    """Shows a refusal as the client gets it."""
    heading("A refusal", "as the client gets it")
    answer = next(answer for answer in answers if answer.status == 429)
    for name in ("content-type", "retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-envoy-ratelimited"):
        print(f"      {name}: {answer.headers.get(name, 'MISSING')}")
    print(f"      {json.dumps(answer.document)}")
    return "retry-after" in answer.headers


def outage(fleet):
    """Stops the service; returns whether the Envoys do what `failure_mode_deny` says."""
    heading("The service is down", "what `failure_mode_deny` is about")
    bob = fleet.keys.corps("bob")
    open_edge = fleet.add(failure_mode_deny=False)
    fleet.service.stop()
    rows, results = [("failure_mode_deny", "bob", "an expired token", "counted by Envoy")], []
    expired = fleet.keys.corps("bob", expires_in="-5m")
    for edge, deny, expected in ((fleet.edges[0], "true", "503 limits_unavailable"), (open_edge, "false", "200")):
        answers = (str(edge.ask("/logs/prod", bob)), str(edge.ask("/logs/prod", expired)))
        counted = edge.counted("failure_mode_allowed")
        results.append(answers == (expected, "401 token_expired") and counted == (0 if deny == "true" else 1))
        rows.append((deny, *answers, f"error {edge.counted('error')}, failure_mode_allowed {counted}"))
    fleet.service.start()
    try:
        fleet.edges[0].until(lambda: fleet.edges[0].ask("/logs/prod", bob).status == 200, "the service did not come back")
        results.append(True)
    except Failure:
        results.append(False)
    rows.append(("and back", "200" if results[-1] else "NOT 200", "", "its counters were in its memory, and began anew"))
    table(rows, ["  ", *map(mark, results)])
    return all(results)


def introduce(fleet):
    print(paint("Claimgate: limits for each identity, over two Envoys that share one rate-limit service", "1"))
    one, other = fleet.edges
    table(
        [
            ("Envoy", f"http://{HOST}:{one.port}", "claimgate, then envoy.filters.http.ratelimit"),
            ("Envoy", f"http://{HOST}:{other.port}", "the same"),
            ("service", f"{HOST}:{fleet.service.port}, gRPC", "the crate limitador, examples/global-rate-limit/limitador/limits.yaml"),
        ]
    )
    heading("Limits", "an hour, counted together by both Envoys:")
    table([("a person", "6"), ("with the plan pro", "12"), ("a tenant's people together", "20"), ("an address, where nobody is known", "3")])


def follow(fleet):
    """Serves until interrupted, and prints each question that the service is asked."""
    tokens = fleet.folder / "tokens.sh"
    tokens.touch(mode=0o600)
    people = {"ALICE": fleet.keys.corps("alice"), "BOB": fleet.keys.corps("bob"), "PETRA": fleet.keys.partners("petra", "initech", plan="pro")}
    urls = {name: f"http://{HOST}:{edge.port}" for name, edge in zip(("ONE", "OTHER"), fleet.edges)}
    tokens.write_text("".join(f"{name}={value}\n" for name, value in (people | urls).items()))
    heading("Ask", "in another terminal:")
    print(f"      . {tokens}   # tokens as ALICE, BOB and PETRA, the Envoys as ONE and OTHER")
    print('      curl -i $ONE/logs/prod -H "Authorization: Bearer $ALICE"')
    print("      curl -i $OTHER/status -H 'X-User-Id: bob'")
    heading("Questions", "as the service is asked them; Ctrl-C ends:")
    told = len(fleet.service.questions())
    while True:
        time.sleep(0.3)
        for running, name in ((fleet.service.process, "the service"), *((edge.process, "Envoy") for edge in fleet.edges)):
            if running.poll() is not None:
                raise Failure(f"{name} ended with status {running.returncode}")
        new = fleet.service.questions()[told:]
        table([(question["answer"], " | ".join(map(descriptor, question["descriptors"]))) for question in new])
        told += len(new)


def main():
    parser = argparse.ArgumentParser(description="the example: limits for each identity, over two Envoys that share one service")
    parser.add_argument("--run", action="store_true", help="go on serving until Ctrl-C, and print curl commands")
    options = parser.parse_args()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(143))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="claimgate-fleet-"))
    try:
        with Fleet(folder) as fleet:
            introduce(fleet)
            if options.run:
                follow(fleet)
            good, answers = requests(fleet)
            results = [good, questions(fleet), refusal(answers), outage(fleet)]
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
        return 0 if options.run else 130
    except Failure as failure:
        print(f"{paint('failed', '1;31')}: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return conclude(
        all(results), "`make ratelimit RUN=1` serves this until Ctrl-C and prints curl commands;",
        "docs/rate-limits.md says which limit to take, and how to run Limitador or envoyproxy/ratelimit.",
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
