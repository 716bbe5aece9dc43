#!/usr/bin/env python3
"""Holds the example of limits across a fleet to the truth: two real Envoys share a real rate-limit service, built on the crate
that is inside of Limitador, and what it is asked is what the verified tokens say.

`make test` runs it; it needs dist/, an Envoy and the service, which `make limiter` builds. The windows are an hour, so that
none ends in a test. Python's standard library only.
"""

import collections
import concurrent.futures
import contextlib
import io
import json
import os
import pathlib
import re
import signal
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "global-rate-limit"
GUIDE = ROOT / "docs" / "rate-limits.md"
sys.path[:0] = [str(EXAMPLE), str(ROOT / "tests" / "docs")]
sys.dont_write_bytecode = True

import fleet  # noqa: E402
from test_docs import ENVIRONMENT, Program, blocks, plain, run  # noqa: E402

FLEET = None  # one for all tests: see setUpModule. Each test has people, tenants and addresses of its own
LOGS = "/logs/prod"


def setUpModule():
    global FLEET
    folder = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(folder.cleanup)
    FLEET = fleet.Fleet(pathlib.Path(folder.name))
    FLEET.__enter__()
    unittest.addModuleCleanup(FLEET.__exit__)


def corps(person, tenant=None, **claims):
    return FLEET.keys.corps(person, tenant or f"tenant-of-{person}", **claims)


def passed(answers):
    """How many requests reached the service behind; every other one has to be over the limit."""
    counts = collections.Counter(map(str, answers))
    assert set(counts) <= {"200", "429 rate_limited"}, counts
    return counts["200"]


def asked(send):
    """What the service is asked while these requests are sent: a list of descriptors for each question."""
    before = len(FLEET.service.questions())
    send()
    return [question["descriptors"] for question in FLEET.service.questions()[before:]]


class OverBothEnvoys(unittest.TestCase):
    def test_a_person_has_one_limit_whatever_she_asks_and_whomever(self):
        self.assertEqual(passed(FLEET.send(9, LOGS, corps("ann"))), 6)
        self.assertEqual(passed(FLEET.send(2, "/logs/staging", corps("ann"))), 0)
        # A new token is no new person.
        self.assertEqual(passed(FLEET.send(2, LOGS, corps("ann", expires_in="2h"))), 0)
        self.assertEqual(passed(FLEET.send(2, LOGS, corps("ben"))), 2)

    def test_never_more_than_the_limit_passes_when_all_ask_at_once(self):
        token = corps("cat")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda turn: FLEET.edges[turn % 2].ask(LOGS, token), range(32))
            self.assertEqual(passed(answers), 6)

    def test_the_same_subject_of_another_issuer_is_another_person(self):
        self.assertEqual(passed(FLEET.send(8, LOGS, corps("dora"))), 6)
        self.assertEqual(passed(FLEET.send(8, LOGS, FLEET.keys.partners("dora", "one"))), 6)

    def test_the_plan_decides_and_who_has_none_or_an_unknown_one_is_not_unlimited(self):
        for person, claims, limit in (
            ("eve", {"plan": "pro"}, 12),
            ("eli", {"plan": "free"}, 6),
            ("eda", {"plan": ""}, 6),
            ("ed", {"plan": ["pro"]}, 6),
            ("emma", {"plan": "PRO"}, 6),
        ):
            with self.subTest(**claims):
                self.assertEqual(passed(FLEET.send(14, LOGS, corps(person, **claims))), limit)

    def test_a_tenants_people_share_its_limit(self):
        people = [corps(person, "shared") for person in ("fay", "fin", "flo", "fox")]
        self.assertEqual([passed(FLEET.send(6, LOGS, token)) for token in people], [6, 6, 6, 2])
        # An issuer cannot use up the tenant of another one.
        self.assertEqual(passed(FLEET.send(6, LOGS, FLEET.keys.partners("fay", "shared"))), 6)

    def test_who_is_not_known_is_counted_by_address(self):
        self.assertEqual(passed(FLEET.send(5, "/status", source="127.0.0.11")), 3)
        claimed = (("X-Forwarded-For", "9.9.9.9"), ("X-Envoy-External-Address", "9.9.9.9"))
        self.assertEqual(passed(FLEET.send(2, "/status", source="127.0.0.11", headers=claimed)), 0)
        self.assertEqual(passed(FLEET.send(5, "/status", source="127.0.0.12")), 3)
        # Who is known is not counted by it.
        self.assertEqual(passed(FLEET.send(2, "/status", corps("gus"), source="127.0.0.11")), 2)

    def test_a_token_without_a_subject_is_counted_by_address_too(self):
        token = FLEET.keys.corps(None, "tenant-of-nobody")
        self.assertEqual(passed(FLEET.send(5, LOGS, token, source="127.0.0.13")), 3)


class WhatTheServiceIsAsked(unittest.TestCase):
    def test_the_descriptors(self):
        person = [["issuer", "corp"], ["subject", "hal"]]
        tenant = [["issuer", "corp"], ["tenant", "t1"]]
        address = [["identity", "none"], ["remote_address", "127.0.0.21"]]
        pro = [["issuer", "corp"], ["plan", "pro"], ["subject", "hal"]]
        for path, token, expected in (
            (LOGS, FLEET.keys.corps("hal", "t1"), [person, tenant]),
            (LOGS, FLEET.keys.corps("hal", "t1", plan="pro"), [pro, tenant]),
            (LOGS, FLEET.keys.corps("hal", None), [person]),
            ("/status", None, [address]),
            (LOGS, FLEET.keys.corps(None, None), [address]),
            (LOGS, FLEET.keys.corps(None, "t1"), [address, tenant]),
        ):
            with self.subTest(expected):
                self.assertEqual(asked(lambda: FLEET.edges[0].ask(path, token, source="127.0.0.21")), [expected])

    def test_no_header_of_the_client_changes_them(self):
        token = corps("ida")
        honest = asked(lambda: FLEET.edges[0].ask(LOGS, token))
        nobody = asked(lambda: FLEET.edges[0].ask("/status", source="127.0.0.22"))
        for name in ("X-User-Id", "x-user-id", "x_user_id", "X-User-Issuer", "X-User-Tenant", "X-User-Plan", "x_user_plan"):
            for headers in (((name, "forged"),), ((name, "forged"), (name, "forged again")), ((name, ""),)):
                with self.subTest(headers):
                    self.assertEqual(asked(lambda: FLEET.edges[0].ask(LOGS, token, headers)), honest)
                    # Nor does it make somebody of nobody, or a person of a refused token.
                    self.assertEqual(asked(lambda: FLEET.edges[0].ask("/status", None, headers, source="127.0.0.22")), nobody)
                    self.assertEqual(asked(lambda: FLEET.edges[0].ask(LOGS, "no.to.ken", headers)), [])

    def test_two_subjects_are_never_one(self):
        subjects = ["a", "A", "a ", "a%20", "a b", "a,b", "a\tb", "a_subject_b", "ä", "a\u0308", "*", "%", "\u200ba"]
        seen = asked(lambda: [FLEET.edges[0].ask(LOGS, FLEET.keys.corps(subject, None)) for subject in subjects])
        self.assertEqual(len(seen), len(subjects))
        self.assertEqual(len({json.dumps(descriptors[0]) for descriptors in seen}), len(subjects))

    def test_it_is_not_asked_about_requests_that_are_refused_or_free(self):
        good = corps("joe")
        for expected, path, token, method in (
            ("401 token_missing", LOGS, None, "GET"),
            ("401 token_malformed", LOGS, "no.to.ken", "GET"),
            ("401 token_expired", LOGS, corps("joe", expires_in="-5m"), "GET"),
            ("401 signature_invalid", LOGS, corps("joe", key=FLEET.keys.forger), "GET"),
            ("401 token_malformed", "/status", "no.to.ken", "GET"),
            ("403 claims_insufficient", LOGS, corps("joe", roles=[]), "GET"),
            ("403 no_route", "/elsewhere", good, "GET"),
            ("400 path_ambiguous", "/logs/../healthz", good, "GET"),
            ("405 method_not_allowed", LOGS, good, "DELETE"),
            ("200", "/healthz", None, "GET"),
            ("200", "/healthz", good, "GET"),
        ):
            with self.subTest(expected, path=path):
                answers = []
                self.assertEqual(asked(lambda: answers.append(str(FLEET.edges[0].ask(path, token, method=method)))), [])
                self.assertEqual(answers, [expected])

    def test_the_service_behind_sees_who_asks_but_not_the_plan(self):
        received = FLEET.edges[0].ask(LOGS, corps("kim", "t2", plan="pro")).received
        own = {name: value for name, value in received.items() if name.startswith("x-user-")}
        self.assertEqual(own, {"x-user-issuer": "corp", "x-user-id": "kim", "x-user-tenant": "t2"})


class Answers(unittest.TestCase):
    def test_headers_tell_what_is_left(self):
        answers = FLEET.send(7, LOGS, corps("lee"))
        self.assertEqual([answer.headers["x-ratelimit-remaining"] for answer in answers], [*"543210", "0"])
        for answer in answers:
            self.assertRegex(answer.headers["x-ratelimit-limit"], r"^6, ")
        refused = answers[-1]
        self.assertEqual((refused.status, refused.code), (429, "rate_limited"))
        self.assertTrue(0 < int(refused.headers["retry-after"]) <= 3600, refused.headers)
        self.assertEqual(refused.headers["retry-after"], refused.headers["x-ratelimit-reset"])
        self.assertEqual(refused.document.keys(), {"status", "title", "code", "request_id"})
        self.assertNotIn("retry-after", answers[0].headers)

    def test_grpc_clients_learn_that_it_is_the_limit(self):
        token, grpc = corps("lynn"), (("Content-Type", "application/grpc"),)
        FLEET.send(6, LOGS, token)
        answer = FLEET.edges[0].ask(LOGS, token, grpc)
        self.assertEqual((answer.status, answer.headers.get("grpc-status")), (200, "8"), answer.headers)

    def test_a_refusal_of_the_filter_keeps_its_own_form(self):
        answer = FLEET.edges[0].ask(LOGS)
        self.assertEqual((str(answer), answer.document["code"]), ("401 token_missing", "token_missing"))
        self.assertIn("www-authenticate", answer.headers)

    def test_envoys_access_log_and_counters_know_the_refusal(self):
        edge = FLEET.edges[0]
        before = edge.counted("over_limit")
        for _ in range(7):
            edge.ask(LOGS, corps("lou"))
        self.assertEqual(edge.counted("over_limit"), before + 1)
        edge.until(
            lambda: any('"subject":"lou"' in line["identity"] for line in edge.accesses("request_rate_limited")),
            "the access log has no line of it",
        )
        # To Claimgate it was an allowed request, that another filter answered.
        records = [json.loads(record) for record in edge.audit()]
        own = [record for record in records if record.get("user.id") == "lou"]
        self.assertEqual({record["event.code"] for record in own}, {"allowed"})
        self.assertEqual([record["http.response.status_code"] for record in own], [200] * 6 + [429])


class Alone(unittest.TestCase):
    """What needs an Envoy, or a service, of its own."""

    @contextlib.contextmanager
    def world(self, limits=fleet.LIMITS, edge=fleet.Edge, **options):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            keys, service = fleet.Keys(folder), fleet.Service(folder, limits)
            service.start()
            try:
                with edge(folder / "edge", keys, service, **options) as world:
                    yield world
            finally:
                service.stop()

    def test_without_an_answer_the_request_is_refused(self):
        with self.world(timeout="2s") as edge:
            token = edge.keys.corps("mia")
            self.assertEqual(edge.ask(LOGS, token).status, 200)
            os.kill(edge.limiter.process.pid, signal.SIGSTOP)  # it is there, and says nothing
            self.assertEqual(str(edge.ask(LOGS, token)), "503 limits_unavailable")
            edge.limiter.stop()
            answer = edge.ask(LOGS, token)
            self.assertEqual(str(answer), "503 limits_unavailable")
            self.assertEqual(answer.headers["content-type"], "application/problem+json")
            self.assertRegex(answer.document["request_id"], r"^[0-9a-f-]{36}$")
            self.assertEqual(str(edge.ask(LOGS)), "401 token_missing")
            self.assertEqual(edge.ask("/healthz").status, 200)
            self.assertEqual((edge.counted("error"), edge.counted("failure_mode_allowed")), (2, 0))
            edge.until(lambda: len(edge.accesses("rate_limiter_error")) == 2, "the access log does not tell")

    def test_what_the_guide_says_of_limitadors_conditions(self):
        """A search in the list never applies; an absent key makes both `==` and `!=` false; a place that is not there is no
        answer, unless the size is asked for first. Each person here is of one limit, of one request."""
        people = {
            "plain": ("descriptors[0].subject == 'plain'", ["200", "429 rate_limited"]),
            "search": ("descriptors.exists(d, d.subject == 'search')", ["200", "200"]),
            "absent": ("descriptors[0].subject == 'absent' && descriptors[0].plan != 'pro'", ["200", "200"]),
            "asked": ("descriptors[0].subject == 'asked' && !has(descriptors[0].plan)", ["200", "429 rate_limited"]),
            "placed": ("descriptors[0].subject == 'placed' && size(descriptors) > 1 && descriptors[1].tenant == 'x'", ["200", "200"]),
            "lost": ("descriptors[0].subject == 'lost' && descriptors[1].tenant == 'x'", ["503 limits_unavailable"] * 2),
        }
        limits = [
            {"namespace": "logs", "max_value": 1, "seconds": 3600, "conditions": [condition], "variables": []}
            for condition, _ in people.values()
        ]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "limits.yaml"
            path.write_text(json.dumps(limits))  # JSON is YAML
            with self.world(path) as edge:
                for person, (condition, expected) in people.items():
                    with self.subTest(condition):
                        token = edge.keys.corps(person, None)
                        self.assertEqual([str(edge.ask(LOGS, token)) for _ in range(2)], expected)

    def test_the_limits_of_one_process(self):
        """The filter of the guide, in the place of the one that asks a service."""
        local = next(text for language, text, _ in blocks(GUIDE) if text.startswith("- name: envoy.filters.http.local_ratelimit"))
        local = "".join(" " * 18 + line + "\n" for line in local.splitlines())

        class Local(fleet.Edge):
            def render(self):
                pattern = r"^ {18}- name: envoy.filters.http.ratelimit\n.*?(?=^ {18}- name: envoy.filters.http.router)"
                text, count = re.subn(pattern, lambda _: local, super().render(), flags=re.M | re.S)
                assert count == 1
                return text

        with self.world(edge=Local) as edge:
            tokens = edge.keys.corps("sue"), edge.keys.corps("tom"), edge.keys.partners("sue", "one")
            for token, path, limit in (*((token, LOGS, 6) for token in tokens), (None, "/status", 3)):
                answers = [edge.ask(path, token).status for _ in range(limit + 1)]
                self.assertEqual(answers, [200] * limit + [429])
            self.assertEqual(edge.limiter.questions(), [])

    def test_by_filter_state_the_service_sees_a_keyed_hash_only(self):
        """The descriptors, the limit and the setting of the guide; and what it warns of, `generic_key`."""
        yaml = [text for language, text, _ in blocks(GUIDE) if language == "yaml"]
        rate_limits = next(text for text in yaml if text.startswith("rate_limits:")).partition("rate_limits:\n")[2]
        rate_limits += '  - actions: [{ generic_key: { descriptor_value: "%REQ(x-user-id)%" } }]\n'
        limits = next(text for text in yaml if "namespace:" in text)
        audit = next(text for text in yaml if text.startswith("audit:"))
        edge_class = with_rate_limits(rate_limits, audit.replace("{ env: AUDIT_HASH_KEY }", f'{{ utf8: "{"k" * 32}" }}'))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "limits.yaml"
            path.write_text(limits)
            number = int(re.search(r"max_value: (\d+)", limits).group(1))
            with self.world(path, edge_class) as edge:
                for person in ("quinn", "rosa"):
                    answers = [str(edge.ask(LOGS, edge.keys.corps(person))) for _ in range(number + 1)]
                    self.assertEqual(answers, ["200"] * number + ["429 rate_limited"])
                self.assertEqual(edge.ask("/status").status, 200)
                told = "".join(edge.limiter.output())
                self.assertNotIn("quinn", told)
                self.assertNotIn("rosa", told)
                states = {json.dumps(question["descriptors"]) for question in edge.limiter.questions()}
                self.assertEqual(len(states), 3, states)  # two people, and nobody
                for question in edge.limiter.questions():
                    self.assertEqual(question["descriptors"][1], [["generic_key", "%REQ(x-user-id)%"]])


def with_rate_limits(actions, audit=""):
    """An Envoy with other actions than the example's, and more in the filter's configuration."""
    lines = actions.strip("\n").splitlines()
    margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    actions = "".join(" " * 30 + line[margin:] + "\n" for line in lines)
    audit = "".join(" " * 12 + line + "\n" for line in audit.splitlines())

    class Changed(fleet.Edge):
        def render(self):
            text = super().render()
            policy, count = re.subn(r"^ {12}identity:\n", lambda found: audit + found.group(0), self.policy_file.read_text(), flags=re.M)
            assert count == 1
            self.policy_file.write_text(policy)
            changed, count = re.subn(r"(rate_limits:\n)(.*?)(^ {16}http_filters:)", lambda found: found[1] + actions + found[3], text, flags=re.M | re.S)
            assert count == 1
            return changed

    return Changed


class TheExample(unittest.TestCase):
    def test_it_is_as_expected_and_the_readme_shows_it(self):
        done = run(["make", "--no-print-directory", "ratelimit"], 600)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("All as expected.", done.stdout)
        self.assertNotIn("\033[", done.stdout, "colours without a terminal")
        shown = next(text for language, text, _ in blocks(EXAMPLE / "README.md") if language == "text")
        printed = {plain(line) for line in done.stdout.splitlines()}
        lines = [line for line in shown.splitlines() if line.strip() and line.strip() != "…"]
        self.assertGreater(len(lines), 15)
        for line in lines:
            self.assertIn(plain(line), printed, f"it does not print:\n{line}\nbut\n{done.stdout}")

    def test_it_serves_until_it_is_interrupted(self):
        with Program([sys.executable, "examples/global-rate-limit/fleet.py", "--run"]) as program:
            program.await_line("Ctrl-C ends", 120)
            said = program.output()
            tokens = pathlib.Path(re.search(r"^ +\. (\S+)", said, re.M).group(1))
            commands = "".join(f"{line}\n" for line in re.findall(r"^ +(\. .*|curl .*)", said, re.M))
            done = run(["sh", "-ec", commands])
            self.assertEqual(re.findall(r"^HTTP/1.1 (\d+)", done.stdout, re.M), ["200", "200"], done.stdout)
            program.await_line("remote_address", 30)
            self.assertRegex(program.output(), r"ok +issuer=corp, subject=alice \| issuer=corp, tenant=acme\n")
            self.assertEqual(tokens.stat().st_mode & 0o777, 0o600)
            program.interrupt()
            self.assertEqual(program.process.returncode, 0, program.output())
            self.assertFalse(tokens.parent.exists(), "keys and tokens are still there")

    def test_what_cannot_start_says_why_and_leaves_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**ENVIRONMENT, "CLAIMGATE_RATELIMIT_SERVICE": f"{folder}/none", "TMPDIR": folder}
            done = run([sys.executable, "examples/global-rate-limit/fleet.py"], env=environment)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn("make limiter", done.stdout)
            self.assertEqual(os.listdir(folder), [])

    def test_what_is_not_as_expected_fails_it(self):
        token = corps("uma")
        for case, good in (
            (fleet.Case("uma", 1, LOGS, token, {"200": 1}, 1), True),
            (fleet.Case("uma", 1, LOGS, token, {"429 rate_limited": 1}, 1), False),
            (fleet.Case("uma", 1, LOGS, token, {"200": 1}, 0), False),
        ):
            with contextlib.redirect_stdout(io.StringIO()) as output, mock.patch.object(fleet, "cases", lambda _, case=case: [case]):
                self.assertEqual(fleet.requests(FLEET)[0], good)
            self.assertEqual("EXPECTED" in output.getvalue(), not good)


if __name__ == "__main__":
    unittest.main(verbosity=2)
