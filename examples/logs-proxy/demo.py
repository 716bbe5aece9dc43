#!/usr/bin/env python3
"""Shows Claimgate at work, with a real Envoy and real tokens: `make demo`. With --run it keeps serving: `make run`.

It starts the log service and Envoy on free ports, sends the requests that matter, compares every answer with the one
that is expected, and ends all that it started. The exit status is 1 if an answer is not as expected.
"""

import argparse
import base64
import collections
import json
import os
import pathlib
import shutil
import signal
import socket
import sys
import tempfile
import textwrap
import threading
import time

from harness import HOST, ROOT, Failure, World, claimgate, envoy_command, policy, replace

ISSUER, AUDIENCE = "https://idp.example.com", "logs-api"
PEOPLE = {  # what their tokens say of them
    "alice": {"roles": ["log-reader"], "envs": ["staging"]},
    "bob": {"roles": ["sre"], "envs": ["prod", "staging"]},
    "carol": {"roles": ["log-reader"], "envs": []},
}
RUN_FOLDER = ROOT / ".envoy" / "run"

# --- Printing ---------------------------------------------------------------------------------------------------------

COLOURS = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text, colour):
    return f"\033[{colour}m{text}\033[0m" if COLOURS else text


def heading(text, aside=""):
    print("\n" + paint(text, "1") + (f"  {paint(aside, '2')}" if aside else ""))


def conclude(good, *following):
    """Says whether all went well, and what to do next; the exit status."""
    print()
    if not good:
        print(paint("Not everything is as expected: see the lines with NO.", "1;31"))
        return 1
    print(paint("All as expected.", "1;32"), "Next:", "\n".join(following))
    return 0


def mark(good):
    return paint("ok", "32") if good else paint("NO", "1;31")


def wrapped(text):
    print(textwrap.fill(text, 112, initial_indent=" " * 6, subsequent_indent=" " * 7, break_on_hyphens=False))


def table(rows, marks=None):
    """Rows of strings, aligned; each after its mark."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    for index, row in enumerate(rows):
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        print(f"  {marks[index] if marks else '  '}  {cells}", flush=True)


# --- Keys and tokens --------------------------------------------------------------------------------------------------


def new_key(folder, kid):
    """A new private key in a file."""
    path = folder / f"{kid}.jwk"
    claimgate("keys", "new", "--alg", "ES256", "--kid", kid, "--out", path)
    return path


def key_set(*keys):
    return json.loads(claimgate("keys", "jwks", *keys))


def token(key, person, expires_in="10m"):
    claims = PEOPLE[person]
    said = [part for name, value in claims.items() for part in ("--claim", f"{name}={json.dumps(value)}")]
    return claimgate(
        *("token", "issue", "--key", key, "--issuer", ISSUER, "--audience", AUDIENCE, "--subject", person),
        *(f"--expires-in={expires_in}", *said),
    )


def with_claims(token, **claims):
    """The token with other claims and its old signature: what somebody without the key can do."""
    header, payload, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    said.update(claims)
    payload = base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()
    return f"{header}.{payload}.{signature}"


# --- The requests that matter -----------------------------------------------------------------------------------------

Case = collections.namedtuple("Case", "what line token expected sees headers", defaults=[None, ()])


def cases(key, mallorys_key):
    alice, bob, carol = (token(key, person) for person in PEOPLE)
    staging, prod = "GET /logs/staging", "GET /logs/prod"
    forged = with_claims(alice, envs=["prod", "staging"])
    spoofed = (("X-User-Id", "root"), ("x_user_id", "root"), ("X-User-Roles", "sre"))
    is_alice = {"x-user-id": "alice", "x-user-roles": "log-reader"}
    is_bob = {"x-user-id": "bob", "x-user-roles": "sre"}
    return [
        Case("health check, no token", "GET /healthz", None, "200", {}),
        Case("alice reads staging", staging, alice, "200", is_alice),
        Case("alice reads prod", prod, alice, "403 claims_insufficient"),
        Case("bob reads staging", staging, bob, "200", is_bob),
        Case("bob reads prod", prod, bob, "200", is_bob),
        Case("carol, no environment", staging, carol, "403 claims_insufficient"),
        Case("alice says she is root", staging, alice, "200", is_alice, spoofed),
        Case("no token", staging, None, "401 token_missing"),
        Case("alice's token expired", staging, token(key, "alice", "-5m"), "401 token_expired"),
        Case("alice adds prod to it", prod, forged, "401 signature_invalid"),
        Case("bob's by another's key", prod, token(mallorys_key, "bob"), "401 signature_invalid"),
        Case("alice walks to prod", "GET /logs/staging/../prod", alice, "400 path_ambiguous"),
        Case("the same, encoded", "GET /logs/staging/%2e%2e/prod", alice, "400 path_ambiguous"),
        Case("a path denied to all", "GET /internal/keys", bob, "403 route_denied"),
        Case("a path of no route", "GET /metrics", bob, "403 no_route"),
        Case("a method of no route", "DELETE /logs/prod", bob, "405 method_not_allowed"),
    ]


def spelt(name):
    """A header's name as CGI, WSGI and PHP read it: `x_user_id` is `x-user-id`."""
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def send(world, case):
    """Sends a request; returns its row for the table, and whether all is as expected: status and code, that a refused
    request did not reach the service, and that the service saw this identity, no other, and no token."""
    before = world.served()
    method, path = case.line.split(" ", 1)
    answer = world.ask(path, case.token, case.headers, method)
    reached = world.served() > before
    identity = {name: value for name, value in answer.received.items() if spelt(name).startswith("x-user-")}
    good = str(answer) == case.expected and reached == (case.sees is not None)
    if case.sees is not None:
        good = good and identity == case.sees and "authorization" not in answer.received
    if not reached:
        saw = "not asked"
    else:
        saw = ", ".join(value for _, value in sorted(identity.items())) or "nobody"
    if not good:
        saw = f"{identity or saw}   EXPECTED {case.expected}, {case.sees if case.sees is not None else 'not asked'}"
    return (case.what, case.line, str(answer), saw), good


def requests(world, cases):
    heading("Requests", "sent through Envoy")
    rows, results = [("who", "asks for", "answer", "the service saw")], [True]
    for case in cases:
        row, good = send(world, case)
        rows.append(row)
        results.append(good)
    table(rows, ["  ", *map(mark, results[1:])])
    return results


# --- What was recorded ------------------------------------------------------------------------------------------------


def audit_row(record):
    """The fields of an audit record that fit on a line."""
    said = json.loads(record)
    took = f"{said['event.duration'] / 1e6:.1f} ms" if "event.duration" in said else ""
    return tuple(
        str(value)
        for value in (
            said.get("@timestamp", "")[11:23],
            said.get("event.outcome", ""),
            said.get("http.response.status_code", ""),
            said.get("event.code", "") or "-",
            said.get("user.id", "-"),
            f"{said.get('http.request.method', '')} {said.get('url.path', '')}",
            took,
        )
    )


def audit(world, sent):
    """Shows what Envoy's log holds of the requests; returns whether it holds one record for each."""
    world.until(lambda: len(world.audit()) >= sent, f"Envoy's log did not hold {sent} audit records")
    records = world.audit()
    own = [record for record in records if '"/healthz"' not in record]
    heading("Audit", "one line of JSON a decision in Envoy's log; some of them, a few fields each:")
    table([audit_row(record) for record in own[:3] + own[6:9]])
    refused = next(record for record in own if "claims_insufficient" in record)
    print("\n      One in full:")
    wrapped(refused.replace(',"', ', "'))
    world.until(lambda: world.accesses("claimgate.claims_insufficient"), "Envoy's access log stayed empty")
    print("\n      Envoy's access log has of the same request, by %FILTER_STATE(wasm.claimgate:PLAIN)%:")
    wrapped(world.accesses("claimgate.claims_insufficient")[0]["identity"].replace(',"', ', "'))
    return len(records) == sent


def metrics(world, sent):
    """Shows the decisions as counted; returns whether every request was."""
    totals = {}

    def counted():
        totals.clear()
        for labels, value in world.counters("claimgate_requests_total"):
            name = labels.get("code") if labels.get("outcome") != "allowed" else ""
            totals[name or "allowed"] = totals.get(name or "allowed", 0) + value
        return sum(totals.values()) >= sent

    world.until(counted, f"the metrics did not count {sent} requests")
    line = ", ".join(f"{name} {value}" for name, value in sorted(totals.items(), key=lambda item: (-item[1], item[0])) if value)
    heading("Metrics", "claimgate_requests_total, by code; in Envoy's /stats and /stats/prometheus:")
    wrapped(line)
    return sum(totals.values()) == sent


# --- A key rotation, live ---------------------------------------------------------------------------------------------


class Readers(threading.Thread):
    """Sends requests without a pause while the configuration changes, and counts what was not answered with 200."""

    def __init__(self, world, token):
        super().__init__(daemon=True)
        self.world, self.token = world, token
        self.sent, self.failed, self.over = 0, [], threading.Event()

    def run(self):
        while not self.over.is_set():
            try:
                answer = str(self.world.ask("/logs/staging", self.token))
            except OSError as error:
                answer = repr(error)
            self.sent += 1
            if answer != "200":
                self.failed.append(answer)

    def end(self):
        self.over.set()
        self.join(15)


def rotate(world, folder, old_key):
    """Replaces the key by a new one while requests come in; returns whether each step had the expected effect."""
    new = new_key(folder, "key-2")
    old_token, new_token = token(old_key, "alice"), token(new, "alice")
    old, both, only_new = key_set(old_key), key_set(old_key, new), key_set(new)
    rows, results = [("Envoy's configuration", "token by key-1", "token by key-2")], [True]

    def answers():
        return tuple(str(world.ask("/logs/staging", token)) for token in (old_token, new_token))

    def settled(expected):
        # Each of Envoy's workers changes over by itself, and every request is on a connection of its own.
        return all(answers() == expected for _ in range(10))

    def step(what, expected, first=lambda: True):
        try:
            world.until(lambda: first() and settled(expected), what)
            good = True
        except Failure:
            good = False
        rows.append((what, *answers()))
        results.append(good)

    heading("A key rotation", "the configuration file is replaced, Envoy runs on, requests keep coming:")
    step("key-1, as above", ("200", "401 key_unknown"))
    readers = Readers(world, old_token)
    readers.start()
    try:
        replace(world.policy_file, policy(both))
        step("key-1 and key-2", ("200", "200"))
        readers.token = new_token
        time.sleep(0.2)  # a request with the old token may be under way
        replace(world.policy_file, policy(only_new))
        step("key-2", ("401 key_unknown", "200"))
        replace(world.policy_file, policy(old, broken=True))
        step("key-1, with a mistake: refused", ("401 key_unknown", "200"), lambda: world.refusals() > 0)
    finally:
        readers.end()
    table(rows, ["  ", *map(mark, results[1:])])
    print(f"  {mark(not readers.failed)}  {readers.sent} requests meanwhile, {len(readers.failed)} failed", end="")
    print(": " + ", ".join(sorted(set(readers.failed))[:3]) if readers.failed else "")
    for line in world.log_lines():
        if "`audience`" in line:
            print("      What Envoy's log says of the mistake:")
            wrapped(line.split(": ", 1)[-1])
            break
    return [*results, not readers.failed]


# --- The two programs -------------------------------------------------------------------------------------------------


def introduce(world):
    envoy = " ".join(envoy_command())
    envoy = os.path.relpath(envoy, ROOT) if envoy.startswith(str(ROOT)) else envoy
    print(paint("Claimgate: a log service behind Envoy, open to whom the token's claims say", "1"))
    table(
        [
            ("Envoy", f"http://{HOST}:{world.port}", f"{envoy}, with dist/claimgate.wasm"),
            ("service", f"http://{HOST}:{world.service.port}", "knows no tokens, believes x-user-id and x-user-roles"),
            ("policy", "examples/logs-proxy/claimgate.yaml", "/logs/{env}/** needs a role, and {env} in the token's envs"),
        ]
    )


def introduce_people():
    heading("Tokens", "made just now by `claimgate keys new` and `claimgate token issue`")
    table([(name, *(f"{claim}: {json.dumps(value)}" for claim, value in says.items())) for name, says in PEOPLE.items()])


def demo():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="claimgate-demo-"))
    try:
        # Mallory's key has the same id as the one that Envoy knows.
        (folder / "mallory").mkdir()
        key, mallorys_key = new_key(folder, "key-1"), new_key(folder / "mallory", "key-1")
        with World(folder, key_set(key)) as world:
            introduce(world)
            introduce_people()
            results = requests(world, cases(key, mallorys_key))
            results += [audit(world, world.answered), metrics(world, world.answered)]
            results += rotate(world, folder, key)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return conclude(
        all(results), "`make run` serves this until Ctrl-C and prints curl commands for it;",
        "examples/logs-proxy/README.md goes through the policy, and changes it while Envoy runs.",
    )  # fmt: skip


def free(port):
    """The port if nothing has it, else 0, for any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return 0
    return port


def fresh_run_folder():
    """The folder of `make run`, for this process alone."""
    owner = RUN_FOLDER / "pid"
    try:
        os.kill(int(owner.read_text()), 0)
    except (OSError, ValueError):
        shutil.rmtree(RUN_FOLDER, ignore_errors=True)
    else:
        raise Failure(f"`make run` is running already, as process {owner.read_text().strip()}: end it with Ctrl-C, or remove {owner}")
    RUN_FOLDER.mkdir(parents=True, mode=0o700)
    owner.write_text(str(os.getpid()))
    return RUN_FOLDER


def follow(world):
    """Prints every decision as it is made, until interrupted."""
    shown = len(world.audit())
    told = 0
    while True:
        time.sleep(0.3)
        if world.process.poll() is not None:
            raise Failure(f"Envoy ended with status {world.process.returncode}{world.log_tail()}")
        records = world.audit()
        table([audit_row(record) for record in records[shown:]])
        shown = len(records)
        refusals = [line for line in world.log_lines() if "configuration refused" in line]
        for line in refusals[told:]:
            print(f"      {paint('refused', '1;31')}, the old one serves on: {line.split('configuration refused: ', 1)[1]}", flush=True)
        told = len(refusals)


def write_tokens(folder, key, **places):
    """A file for the shell: a token of each person's, and where to ask."""
    path = folder / "tokens.sh"
    lines = [f"{person.upper()}={token(key, person, '12h')}\n" for person in PEOPLE]
    path.touch(mode=0o600)
    path.chmod(0o600)  # of an earlier run it has whatever mode that left
    path.write_text("".join([*lines, *(f"{name}={value}\n" for name, value in places.items())]))
    return path


def run():
    folder = fresh_run_folder()
    try:
        key = new_key(folder, "key-1")
        with World(folder, key_set(key), free(10000), free(9901)) as world:
            url = f"http://{HOST}:{world.port}"
            tokens = write_tokens(folder, key, URL=url, ADMIN=f"http://{HOST}:{world.admin_port}")
            introduce(world)
            introduce_people()
            heading("Ask", "in another terminal, in this folder:")
            print(f"      . {tokens.relative_to(ROOT)}                 # the tokens, as ALICE, BOB and CAROL; URL is {url}")
            for person, environment in (("alice", "staging"), ("alice", "prod"), ("bob", "prod")):
                print(f'      curl -i $URL/logs/{environment}/payments -H "Authorization: Bearer ${person.upper()}"')
            heading("Change", "Envoy reads this file again when it is replaced; examples/logs-proxy/README.md shows how:")
            print(f"      {world.policy_file.relative_to(ROOT)}")
            heading("Decisions", "as they are made; Ctrl-C ends:")
            follow(world)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description="the example: a log service behind Envoy with Claimgate")
    parser.add_argument("--run", action="store_true", help="keep serving until Ctrl-C")
    options = parser.parse_args()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(143))
    try:
        return run() if options.run else demo()
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
        return 0 if options.run else 130
    except Failure as failure:
        print(f"{paint('failed', '1;31')}: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
