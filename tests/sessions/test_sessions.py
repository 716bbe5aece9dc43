#!/usr/bin/env python3
"""Holds the example of sessions to the truth: a real provider, which also fails on demand, the real Envoy, a real Chromium.

`make test` runs it; it needs dist/, an Envoy and the provider, which `make provider` installs. chromium.py gets a Chromium where
the machine has none. Python's standard library only.
"""

import base64
import concurrent.futures
import contextlib
import http.client
import io
import json
import os
import pathlib
import re
import sys
import tempfile
import time
import unittest
import urllib.parse
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "sessions"
HERE = ROOT / "tests" / "sessions"
sys.path[:0] = [str(HERE), str(EXAMPLE), str(ROOT / "tests" / "docs")]
sys.dont_write_bytecode = True

import sessions  # noqa: E402
from chromium import Chromium  # noqa: E402
from sessions import HOST, Browser, Gate, Provider  # noqa: E402
from test_docs import ENVIRONMENT, Program, blocks, plain, run  # noqa: E402

WHOAMI, REPORT, END = "/api/whoami", "/api/report", "/api/end-session"
GATE = None  # one for all tests, with a provider that fails on demand, for one user at a time
LIFETIME = 4


class Faulty(Provider):
    """The provider, with faults.py around it."""

    def __init__(self, folder):
        super().__init__(folder, program=HERE / "faults.py", lifetime=LIFETIME)

    def ask(self, path, method="GET", body=None, headers=None):
        """The status and the text of an answer."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=70)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def fault(self, user, fault):
        assert self.ask(f"/faults/{user}", "PUT", fault)[0] == 204, fault

    def uses(self, user):
        """How often each refresh token of the user's was used, from the first one to the last."""
        uses, tokens = (json.loads(self.ask(path)[1]) for path in ("/uses", f"/tokens/{user}"))
        return [uses.get(token, 0) for token in tokens]

    def exchange(self, form, secret=None):
        """One request to the token endpoint, by itself: the status and the document."""
        basic = base64.b64encode(f"web:{secret or self.secret}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
        status, text = self.ask("/token", "POST", urllib.parse.urlencode(form), headers)
        return status, json.loads(text)

    def renew(self, refresh_token, **options):
        return self.exchange({"grant_type": "refresh_token", "refresh_token": refresh_token}, **options)


def setUpModule():
    global GATE
    folder = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(folder.cleanup)
    provider = Faulty(pathlib.Path(folder.name)).__enter__()
    unittest.addModuleCleanup(provider.__exit__)
    GATE = Gate(pathlib.Path(folder.name), provider).__enter__()
    unittest.addModuleCleanup(GATE.__exit__)


def signed_in(user):
    browser = Browser(GATE.port)
    browser.sign_in(user)
    payload = browser.cookies["session"].split(".")[1]
    browser.exp = json.loads(base64.urlsafe_b64decode(payload + "=="))["exp"]
    return browser


def sleep_until(browser, second):
    """Waits until this second after the first token expires, or before it."""
    time.sleep(max(0, browser.exp + second - time.time()))


EARLY, EXPIRED = -1.9, 0.2  # `early` is 2s


class APage(unittest.TestCase):
    """The page of the example, in Chromium."""

    def setUp(self):
        self.chromium = Chromium().__enter__()
        self.addCleanup(self.chromium.__exit__)
        self.url = f"http://{HOST}:{GATE.port}"

    def number(self, name):
        return int(self.chromium.evaluate(f"document.getElementById('{name}').textContent"))

    def sign_in(self, user):
        self.chromium.open(f"{self.url}/login")
        self.chromium.until("document.querySelector('[name=user]')")
        self.chromium.evaluate(f"document.querySelector('[name=user]').value = '{user}', document.forms[0].submit()")
        self.chromium.until(f"document.getElementById('user')?.textContent === '{user}'")

    def shows(self, name, text, seconds=20):
        self.chromium.until(f"document.getElementById('{name}').textContent.includes({json.dumps(text)})", seconds)

    def cookies(self):
        found = self.chromium.call("Storage.getCookies")["cookies"]
        return {cookie["name"]: cookie for cookie in found if cookie["name"].startswith("session")}

    def test_asks_over_three_lifetimes_of_a_token_and_sees_no_401(self):
        self.sign_in("ann")
        first = self.cookies()
        time.sleep(3 * LIFETIME + 1)
        self.assertEqual(self.number("refused"), 0)
        self.assertGreater(self.number("asked"), 4 * LIFETIME)
        self.assertGreaterEqual(self.number("tokens"), 4)
        self.assertEqual(self.chromium.evaluate("document.getElementById('status').textContent"), "200")
        last = self.cookies()
        for name in ("session", "session_refresh"):
            with self.subTest(name):
                self.assertNotEqual(first[name]["value"], last[name]["value"])
                for attribute in ("domain", "path", "httpOnly", "secure", "sameSite"):
                    self.assertEqual(first[name][attribute], last[name][attribute])
                self.assertTrue(last[name]["httpOnly"])
        self.assertEqual(self.chromium.evaluate("document.cookie"), "")
        uses = GATE.provider.uses("ann")
        self.assertEqual(uses, [1] * (len(uses) - 1) + [0], "a refresh token was used twice")

    def test_that_slept_asks_fifty_times_at_once_and_gets_one_token(self):
        self.sign_in("ben")
        # As a laptop that is shut: no request goes out until the token has expired.
        self.chromium.open("about:blank")
        time.sleep(LIFETIME + 1.5)
        before = len(GATE.provider.uses("ben"))
        self.chromium.open(self.url)
        self.chromium.until("document.getElementById('fifty')")
        self.chromium.evaluate("document.getElementById('fifty').click()")
        self.shows("log", "50 at once: 50 x 200")
        self.assertEqual(self.number("refused"), 0)
        self.assertEqual(len(GATE.provider.uses("ben")), before + 1)

    def test_shows_limits_and_the_end_of_its_session(self):
        self.sign_in("cat")
        for answers in range(6):
            self.chromium.evaluate("document.getElementById('report').click()")
            self.chromium.until(f"document.getElementById('log').textContent.split('report:').length === {answers + 2}")
        log = self.chromium.evaluate("document.getElementById('log').textContent")
        self.assertEqual(re.findall(r"report: (.*?)  ", log), ["200"] * 5 + ["429 rate_limited"])
        self.assertRegex(log, r'ratelimit: .*"reports-of-session";r=4;.*')
        self.assertRegex(log.splitlines()[-1], r"retry-after: \d+$")
        self.chromium.evaluate("document.getElementById('end').click()")
        self.shows("log", "end of the session: 204")
        self.shows("status", "401 token_revoked")
        uses = GATE.provider.uses("cat")
        time.sleep(LIFETIME + 1)
        self.shows("status", "401 token_revoked")
        self.assertEqual(GATE.provider.uses("cat"), uses, "the provider was asked to renew what was taken back")


class TheGate(unittest.TestCase):
    def test_the_old_cookies_get_the_new_tokens_for_a_while(self):
        browser = signed_in("dora")
        old = dict(browser.cookies)
        sleep_until(browser, EXPIRED)
        answer = browser.ask(WHOAMI)
        self.assertEqual((str(answer), answer.headers["cache-control"]), ("200", "no-store"))
        new = dict(browser.cookies)
        self.assertNotEqual(old["session"], new["session"])
        browser.cookies = dict(old)
        self.assertEqual(str(browser.ask(WHOAMI)), "200")
        self.assertEqual(browser.cookies, new)
        self.assertEqual(GATE.provider.uses("dora"), [1, 0])

    def test_another_persons_refresh_token_renews_nothing(self):
        eve, victim = signed_in("eve"), signed_in("eli")
        sleep_until(victim, EXPIRED)
        eve.cookies["session_refresh"] = victim.cookies["session_refresh"]
        answer = eve.ask(WHOAMI)
        self.assertEqual(str(answer), "401 token_expired")
        self.assertEqual(answer.cookies, {})

    def test_nothing_is_renewed_for_other_sites(self):
        browser = signed_in("fay")
        sleep_until(browser, EXPIRED)
        browser.origin = "https://elsewhere.example"
        self.assertEqual(str(browser.ask(END, "POST")), "403 origin_refused")
        browser.origin = f"http://{HOST}:{GATE.port}"
        self.assertEqual(str(browser.ask(WHOAMI)), "200", "the session was ended from another site")

    def test_neither_cookie_reaches_the_application(self):
        browser = signed_in("gus")
        browser.cookies["theme"] = "dark"
        answer = browser.ask(WHOAMI)
        self.assertEqual(answer.received["cookie"], "theme=dark")
        sleep_until(browser, EXPIRED)
        answer = browser.ask(WHOAMI)
        self.assertEqual((str(answer), answer.received["cookie"]), ("200", "theme=dark"))
        # Without a token to look for, the refresh token is still nobody's but the gate's.
        self.assertNotIn("session_refresh", browser.ask("/healthz").received["cookie"])

    def test_a_body_waits_for_the_renewal_too(self):
        browser = signed_in("ian")
        sleep_until(browser, EXPIRED)
        answer = browser.ask(END, "POST", {"reason": "a" * 500_000})
        self.assertEqual((str(answer), set(answer.cookies)), ("204", {"session", "session_refresh"}))

    def test_renewals_are_counted_and_nothing_of_a_session_is_in_a_log(self):
        def counted():
            return {labels["outcome"]: value for labels, value in GATE.counters("claimgate_renewals_total")}

        browser, before = signed_in("joe"), counted().get("renewed", 0)
        secret = [GATE.provider.secret, *browser.cookies.values()]
        sleep_until(browser, EXPIRED)
        self.assertEqual(str(browser.ask(WHOAMI)), "200")
        GATE.until(lambda: counted().get("renewed", 0) > before, "the renewal was not counted")
        GATE.until(lambda: any('"joe"' in record for record in GATE.audit()), "no audit record came")
        logs = GATE.log_file.read_text(errors="replace") + GATE.access_file.read_text(errors="replace")
        for text in [*secret, *browser.cookies.values()]:
            self.assertNotIn(text.rpartition(".")[2], logs)

    def test_a_session_is_taken_back_by_its_sid_and_no_other_one_is(self):
        browser, elsewhere = signed_in("hal"), signed_in("hal")
        sid = browser.ask(WHOAMI).document["session"]
        basic = base64.b64encode(f"web:{GATE.provider.secret}".encode()).decode()
        self.assertEqual(GATE.provider.ask(f"/sessions/{sid}", "DELETE")[0], 401)
        self.assertEqual(GATE.provider.ask("/sessions/none", "DELETE", headers={"Authorization": f"Basic {basic}"})[0], 404)
        self.assertEqual(GATE.provider.ask(f"/sessions/{sid}", "DELETE", headers={"Authorization": f"Basic {basic}"})[0], 204)
        GATE.until(lambda: str(browser.ask(WHOAMI)) == "401 token_revoked", "the session was not taken back")
        uses = GATE.provider.uses("hal")
        sleep_until(browser, EXPIRED)
        self.assertEqual(str(browser.ask(WHOAMI)), "401 token_revoked")
        self.assertEqual(GATE.provider.uses("hal"), uses)
        self.assertEqual(str(elsewhere.ask(WHOAMI)), "200")

    def test_a_refresh_token_that_was_stolen_and_used_ends_the_session(self):
        browser = signed_in("ida")
        self.assertEqual(GATE.provider.renew(browser.cookies["session_refresh"])[0], 200)  # the thief was first
        sleep_until(browser, EARLY)
        # The token at hand is still good until the list says otherwise.
        self.assertIn(str(browser.ask(WHOAMI)), ("200", "401 token_revoked"))
        GATE.until(lambda: str(browser.ask(WHOAMI)) == "401 token_revoked", "the session was not taken back")
        self.assertEqual(GATE.provider.uses("ida"), [2, 0])


class Faults(unittest.TestCase):
    """What the gate makes of a provider that fails: the token at hand is what it was, and later the session is well again."""

    def case(self, fault, code, uses, ends, recovers=True):
        with self.subTest(fault):
            browser = signed_in(fault)
            GATE.provider.fault(fault, fault)
            sleep_until(browser, EARLY)
            early = browser.ask(WHOAMI)
            self.assertEqual((str(early), early.cookies), ("200", {}), "it is still valid")
            sleep_until(browser, EXPIRED)
            late = browser.ask(WHOAMI)
            self.assertEqual((str(late), late.cookies), (code, {}))
            self.assertEqual(GATE.provider.uses(fault)[0], uses)
            GATE.provider.fault(fault, "")
            if recovers:
                # It is asked again five seconds after it failed, which took a second at most.
                sleep_until(browser, EARLY + 1 + 5 + 0.5)
            self.assertEqual(str(browser.ask(WHOAMI)), ends)

    def test_each(self):
        expired = "401 token_expired"
        cases = [
            *((fault, expired, 1, "200") for fault in ("die", "html", "error", "huge")),
            ("stall", expired, 1, "200"),
            # The refresh token is gone with the answer that was lost or of no use: trying it again ends the session.
            *((fault, expired, 1, expired) for fault in ("lose", "other_subject", "expired")),
            ("invalid_grant", expired, 1, expired, False),
        ]
        with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
            for done in [pool.submit(self.case, *case) for case in cases]:
                done.result()


class TheProvider(unittest.TestCase):
    def test_a_refresh_token_counts_once_and_using_it_again_ends_the_session(self):
        browser = signed_in("jan")
        first = browser.cookies["session_refresh"]
        status, tokens = GATE.provider.renew(first)
        self.assertEqual((status, tokens["expires_in"]), (200, LIFETIME))
        second = tokens["refresh_token"]
        self.assertNotEqual(first, second)
        self.assertEqual(GATE.provider.renew(second, secret="guessed")[0], 401)
        self.assertEqual(GATE.provider.renew(first), (400, {"error": "invalid_grant"}))
        self.assertEqual(GATE.provider.renew(second), (400, {"error": "invalid_grant"}))

    def test_of_two_at_once_one_succeeds(self):
        token = signed_in("kim").cookies["session_refresh"]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            statuses = [status for status, _ in pool.map(GATE.provider.renew, [token] * 8)]
        self.assertEqual(sorted(statuses), [200] + [400] * 7)

    def test_it_sends_nobody_elsewhere_and_a_code_counts_once(self):
        for there in ("http://elsewhere.example/callback", f"http://{HOST}/other", "javascript:alert(1)"):
            query = urllib.parse.urlencode({"response_type": "code", "client_id": "web", "redirect_uri": there})
            self.assertEqual(GATE.provider.ask(f"/authorize?{query}")[0], 400, there)
        browser = Browser(GATE.port)
        with mock.patch.object(GATE.service, "provider", return_value=(400, {})) as asked:
            self.assertEqual(browser.sign_in("leo").status, 400)
        form = asked.call_args.args[2]
        self.assertEqual(GATE.provider.exchange({**form, "redirect_uri": f"http://{HOST}:1/callback"})[0], 400)
        self.assertEqual(GATE.provider.exchange(form)[0], 400, "a code counts once, whatever came of it")

    def test_a_login_that_began_elsewhere_is_none(self):
        browser = Browser(GATE.port)
        browser.ask("/login")
        browser.cookies = {}
        answer = browser.ask("/callback?code=any&state=any")
        self.assertEqual((answer.status, answer.cookies), (400, {}))


class TheExample(unittest.TestCase):
    def test_make_sessions_shows_what_the_readme_says(self):
        done = run(["make", "sessions"], 900)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("All as expected.", done.stdout)
        self.assertNotIn("\033[", done.stdout, "colours without a terminal")
        shown = next(text for language, text, _ in blocks(EXAMPLE / "README.md") if language == "text")
        printed = {plain(line) for line in done.stdout.splitlines()}
        lines = [line for line in shown.splitlines() if line.strip() and line.strip() != "…"]
        self.assertGreater(len(lines), 20)
        for line in lines:
            self.assertIn(plain(line), printed, f"the example does not print:\n{line}\nbut\n{done.stdout}")

    def test_it_serves_until_it_is_interrupted(self):
        with Program([sys.executable, str(EXAMPLE / "sessions.py"), "--run"]) as program:
            program.await_line("Ctrl-C ends")
            browser = Browser(int(re.search(rf"^ +http://{HOST}:(\d+)/$", program.output(), re.M).group(1)))
            browser.sign_in("alice")
            sid = browser.ask(WHOAMI).document["session"]
            commands = re.findall(r"^ +(\. .*|curl .*)$", program.output(), re.M)
            self.assertEqual(len(commands), 2, program.output())
            variables = pathlib.Path(commands[0][2:])
            self.assertEqual(variables.stat().st_mode & 0o777, 0o600)
            done = run(["sh", "-ec", "\n".join(commands).replace("/SID", f"/{sid}")])
            self.assertEqual(done.returncode, 0, done.stdout)
            end = time.monotonic() + 10
            while str(browser.ask(WHOAMI)) != "401 token_revoked":
                self.assertLess(time.monotonic(), end, "the session was not taken back")
                time.sleep(0.2)
            program.await_line("token_revoked", 10)
            self.assertIn("logins 1", program.output())
            program.interrupt()
            self.assertEqual(program.process.returncode, 0, program.output())
            self.assertFalse(variables.parent.exists(), "the secret is still there")

    def test_what_cannot_start_says_why_and_leaves_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**ENVIRONMENT, "CLAIMGATE_PROVIDER_PYTHON": f"{folder}/none", "TMPDIR": folder}
            done = run([sys.executable, str(EXAMPLE / "sessions.py")], env=environment)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn("make provider", done.stdout)
            self.assertEqual(os.listdir(folder), [])

    def test_its_programs_want_the_secret(self):
        environment = {name: value for name, value in ENVIRONMENT.items() if name != "OAUTH_SECRET"}
        python = os.environ.get("CLAIMGATE_PROVIDER_PYTHON") or ROOT / "target/sessions/bin/python"
        for command in ([python, EXAMPLE / "provider.py"], [sys.executable, EXAMPLE / "app.py"]):
            done = run(command, env=environment)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn("OAUTH_SECRET", done.stdout)

    def test_what_is_not_as_expected_fails_it(self):
        with contextlib.redirect_stdout(io.StringIO()) as output:
            self.assertFalse(sessions.lines((True, "one"), (False, "other")))
            self.assertTrue(sessions.lines((True, "one")))
        self.assertIn("NO  other", output.getvalue())


if __name__ == "__main__":
    unittest.main(verbosity=2)
