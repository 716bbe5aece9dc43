#!/usr/bin/env python3
"""Holds the example for Prometheus and Grafana to the truth: a real Envoy is asked, a real Prometheus scrapes it, and what
it answers is what was sent. Every expression of the rules, the dashboard and the README is asked of it.

`make test` runs it; it needs dist/, an Envoy and a Prometheus, which examples/observability/fetch.py gets. Python's
standard library only.
"""

import contextlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "observability"
sys.path[:0] = [str(EXAMPLE), str(ROOT / "tests" / "docs")]
sys.dont_write_bytecode = True

import fetch  # noqa: E402
import observe  # noqa: E402
from test_docs import ENVIRONMENT, Program, blocks, plain, run  # noqa: E402

RULES = EXAMPLE / "rules" / "claimgate.yml"
DASHBOARD = json.loads((EXAMPLE / "grafana" / "claimgate.json").read_text())
WORLD = None  # one for all tests: see setUpModule
PRINTED = ""


def setUpModule():
    """Runs the example once, as `make observe` does, and leaves Envoy and Prometheus running for the tests."""
    global WORLD, PRINTED
    fetch.programs()  # where there is none to be had, it says what to do
    folder = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(folder.cleanup)
    WORLD = observe.Observed(pathlib.Path(folder.name))
    WORLD.__enter__()
    unittest.addModuleCleanup(WORLD.__exit__)
    # Midnight may come in between: then today's are fewer.
    today = mock.patch.object(observe, "since_midnight", lambda: "3600s")
    with contextlib.redirect_stdout(io.StringIO()) as output, today:
        good = observe.observe(WORLD)
    PRINTED = output.getvalue()
    if not good:
        raise AssertionError(f"a request was not answered as expected:\n{PRINTED}")


def documented():
    """The metrics of docs/metrics.md, with their labels."""
    found = re.findall(r"^\| `(claimgate_\w+)` \| ([^|]*)\|", (ROOT / "docs" / "metrics.md").read_text(), re.M)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in found}


def base(metric):
    """A metric's name without what Prometheus adds to a histogram's."""
    return re.sub(r"(?<=microseconds)_(bucket|sum|count)$", "", metric)


def metrics_of(expression):
    return set(re.findall(r"\bclaimgate_\w+", expression))


def targets():
    """Every query of the dashboard: (panel, expression with the variables put in as Grafana does)."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, value in (("$__range", "3600s"), ("$__rate_interval", "1m"), ("$filter", "logs|another")):
                expression = expression.replace(variable, value)
            yield panel["title"], expression


def promtool(*arguments):
    return run([fetch.programs()[1], *map(str, arguments)])


class Rules(unittest.TestCase):
    def test_promtool_accepts_the_configuration_and_the_rules(self):
        done = promtool("check", "config", EXAMPLE / "prometheus.yml")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r"claimgate\.yml\s+SUCCESS: \d\d rules found")

    def test_the_rules_tests_pass(self):
        done = promtool("test", "rules", *sorted((EXAMPLE / "rules" / "tests").glob("*.yml")))
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not(self):
        tests = "".join(path.read_text() for path in (EXAMPLE / "rules" / "tests").glob("*.yml"))
        alerts = re.findall(r"alert: (\w+)", RULES.read_text())
        self.assertGreater(len(alerts), 7)
        for alert in alerts:
            with self.subTest(alert):
                self.assertRegex(tests, rf"alertname: {alert}\n +exp_alerts: *(&\w+)?\n +- exp_labels")
                self.assertRegex(tests, rf"alertname: {alert}\n +exp_alerts: \[\]")

    def test_what_was_counted_is_the_count_whether_or_not_a_counter_was_there_before(self):
        """`increase` alone would say 0, 600 and 4."""
        series = 'claimgate_tokens_total{outcome="token_expired"}'
        expected = {
            "appears with its first count": ("_x990 5x60", 5),
            "was there before the window": ("0+1x1100", 600),
            "appears and counts on": ("_x900 3x10 7x300", 7),
            "appears, and goes with its Envoy": ("_x900 3x10 7x20 stale", 7),
            "went before the window": ("8x300 stale", None),
            "stood still": ("8x1100", 0),
        }
        tests = [
            {
                "name": name,
                "interval": "1m",
                "input_series": [{"series": series, "values": values}],
                "promql_expr_test": [
                    {
                        "expr": f"sum({observe.counted(series, '600m')})",
                        "eval_time": "1000m",
                        "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
                    }
                ],
            }
            for name, (values, value) in expected.items()
        ]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "counted.yml"
            path.write_text(json.dumps({"evaluation_interval": "1m", "tests": tests}))  # JSON is YAML
            done = promtool("test", "rules", path)
            self.assertEqual(done.returncode, 0, done.stdout)

    def test_today_begins_at_midnight(self):
        day = 86400
        for now, window in ((5 * day, "1s"), (5 * day + 1.5, "1s"), (5 * day + 61, "61s"), (6 * day - 1, "86399s")):
            self.assertEqual(observe.since_midnight(now), window)


class Answers(unittest.TestCase):
    """What Prometheus has of the requests that were sent."""

    def setUp(self):
        self.prometheus = WORLD.prometheus

    def expect(self, expression, expected, *labels):
        """Waits until an expression gives these values by label; the last answer is in the failure."""
        answers = {}

        def holds():
            answers.clear()
            for series, value in self.prometheus.ask(expression):
                answers[tuple(series.get(label, "") for label in labels)] = value
            return answers == expected

        with contextlib.suppress(observe.Failure):
            self.prometheus.until(holds, expression, 30)
        self.assertEqual(answers, expected, expression)

    def test_requests_by_route_outcome_and_code(self):
        healthy = WORLD.answered - sum(case.times for case in WORLD.keys.cases())
        self.assertGreater(healthy, 0)
        expected = {
            ("logs", "health", "allowed", "allowed"): healthy,
            ("logs", "read-logs", "allowed", "allowed"): 12,
            ("logs", "search", "allowed", "allowed"): 5,
            ("logs", "export", "shadow_denied", "claims_insufficient"): 3,
            ("logs", "read-logs", "denied", "claims_insufficient"): 2,
            ("logs", "read-logs", "denied", "signature_invalid"): 2,
            ("logs", "read-logs", "denied", "key_unknown"): 1,
            ("logs", "search", "denied", "token_missing"): 3,
            ("logs", "search", "denied", "token_expired"): 4,
            ("logs", "search", "denied", "token_malformed"): 1,
            ("logs", "none", "denied", "no_route"): 1,
        }
        self.expect("claimgate_requests_total", expected, "filter", "route", "outcome", "code")

    def test_tokens_by_issuer_and_key(self):
        expected = {
            ("corp", "corp-1", "valid"): 10.0,
            ("corp", "corp-2", "valid"): 4.0,
            ("partner", "partner-1", "valid"): 8.0,
            ("corp", "corp-1", "token_expired"): 4.0,
            ("corp", "corp-2", "signature_invalid"): 2.0,
            ("corp", "none", "key_unknown"): 1.0,
            ("none", "none", "token_malformed"): 1.0,
        }
        self.expect("claimgate_tokens_total", expected, "issuer", "kid", "outcome")

    def test_the_candidate_configurations_and_audit_records(self):
        self.expect("claimgate_candidate_differences_total", {("read-logs-of-env",): 2}, "route")
        self.expect('sum(claimgate_config_loads_total{outcome="refused"})', {(): 1})
        self.expect('sum(claimgate_config_loads_total{outcome="accepted"}) > bool 1', {(): 1})
        records = {("written",): WORLD.answered, ("sampled_out",): 0, ("dropped",): 0}
        self.expect("claimgate_audit_total", records, "outcome")
        self.expect("claimgate_keys", {("corp",): 2, ("partner",): 1}, "issuer")

    def test_the_questions(self):
        """Of a window that holds all that was sent, also where midnight has come since."""
        endpoint, invalid, why, refusals, shadow, candidate = observe.questions("3600s")
        health = WORLD.answered - sum(case.times for case in WORLD.keys.cases())
        expected = {("read-logs",): 12, ("search",): 5, ("export",): 3, ("health",): health}
        self.expect(endpoint.expression, expected, "route")
        self.expect(invalid.expression, {(): 8})
        expected = {("token_expired", "corp-1"): 4, ("signature_invalid", "corp-2"): 2, ("key_unknown", "none"): 1, ("token_malformed", "none"): 1}
        self.expect(why.expression, expected, "outcome", "kid")
        codes = {"token_expired": 4, "token_missing": 3, "claims_insufficient": 2, "signature_invalid": 2, "key_unknown": 1, "token_malformed": 1, "no_route": 1}
        self.expect(refusals.expression, {(code,): count for code, count in codes.items()}, "code")
        self.expect(shadow.expression, {("export", "claims_insufficient"): 3}, "route", "code")
        self.expect(candidate.expression, {("read-logs-of-env",): 2}, "route")

    def test_the_alerts_that_this_traffic_calls_for_and_no_others(self):
        alerts = {name: state for name, state, _, _ in self.prometheus.alerts()}
        self.assertEqual(set(alerts), observe.EXPECTED_ALERTS)
        self.assertLessEqual(set(alerts.values()), {"pending", "firing"})

    def test_labels_are_labels_and_names_are_those_of_the_documentation(self):
        known = documented()
        self.assertGreater(len(known), 10)
        series = self.prometheus.api("series", **{"match[]": '{__name__=~"claimgate_.*"}'})
        self.assertGreater(len(series), 20)
        for labels in series:
            name = base(labels.pop("__name__"))
            self.assertIn(name, known, "of these names, none holds a label")
            self.assertLessEqual(set(labels) - {"instance", "job", "le"}, known[name], name)

    def test_prometheus_evaluates_every_rule(self):
        rules = [rule for group in self.prometheus.api("rules")["groups"] for rule in group["rules"]]
        self.assertEqual(len(rules), len(re.findall(r"^ +- (?:alert|record): ", RULES.read_text(), re.M)))
        for rule in rules:
            with self.subTest(rule["name"]):
                self.assertEqual((rule["health"], rule.get("lastError", "")), ("ok", ""))
                self.assertLessEqual(set(map(base, metrics_of(rule["query"]))), set(documented()))

    def ask(self, expression):
        """Asks an expression, which must be one, and gives data where Prometheus has all of its metrics."""
        self.prometheus.ask(expression)
        metrics = metrics_of(expression)
        self.assertTrue(metrics, expression)
        self.assertLessEqual(set(map(base, metrics)), set(documented()))
        if metrics <= set(self.prometheus.api("label/__name__/values")):
            self.prometheus.until(lambda: self.prometheus.ask(expression), f"Prometheus has the metrics, but no data for {expression}", 30)
            return 1
        return 0

    def test_prometheus_answers_every_panel(self):
        empty = set()
        for title, expression in targets():
            with self.subTest(title):
                if not self.ask(expression):
                    empty.add(title)
        # No key set is fetched here, the keys stand in the configuration; and it has no limits.
        self.assertEqual(empty, {"Age of key sets", "Past a limit", "Limits: identities that took over a debt", "Renewals of sessions"})

    def test_prometheus_answers_what_the_documents_ask(self):
        said = [text for language, text, _ in blocks(EXAMPLE / "README.md") if language == "promql"]
        for language, text, _ in blocks(ROOT / "docs" / "metrics.md"):
            said += text.splitlines() if language == "promql" else []
        self.assertGreater(len(said), 6)
        for expression in said:
            with self.subTest(expression):
                self.prometheus.ask(expression)


class Dashboard(unittest.TestCase):
    """The dashboard's structure. Grafana itself is not asked."""

    def test_it_is_a_dashboard(self):
        self.assertEqual((DASHBOARD["uid"], DASHBOARD["title"]), ("claimgate", "Claimgate"))
        self.assertGreaterEqual(DASHBOARD["schemaVersion"], 36)  # what refers to data sources by type and uid
        self.assertNotIn("__inputs", DASHBOARD, "a provisioned dashboard cannot ask for inputs")
        self.assertEqual([variable["name"] for variable in DASHBOARD["templating"]["list"]], ["datasource", "filter"])

    def test_panels_have_ids_of_their_own_and_places_that_nothing_else_takes(self):
        panels = DASHBOARD["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken = {}
        for panel in panels:
            place = panel["gridPos"]
            self.assertGreaterEqual(min(place["x"], place["y"]), 0)
            self.assertGreater(min(place["w"], place["h"]), 0)
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertNotIn((x, y), taken, f"{panel['title']} lies over {taken.get((x, y))}")
                    taken[x, y] = panel["title"]

    def test_every_panel_says_what_it_shows_and_asks_the_chosen_data_source(self):
        source = {"type": "prometheus", "uid": "${datasource}"}
        for panel in DASHBOARD["panels"]:
            with self.subTest(panel["title"]):
                self.assertIn(panel["type"], ("stat", "timeseries", "bargauge"))
                self.assertTrue(panel["title"] and panel["description"])
                self.assertTrue(panel["targets"])
                self.assertEqual(panel["datasource"], source)
                letters = [target["refId"] for target in panel["targets"]]
                self.assertEqual(len(set(letters)), len(letters))
                for target in panel["targets"]:
                    self.assertEqual(target["datasource"], source)
                    self.assertNotEqual(target["instant"], target["range"])
        titles = " ".join(panel["title"] for panel in DASHBOARD["panels"])
        for word in ("outcome", "Endpoint used most", "Invalid tokens today", "code", "issuer and key", "cache", "Verification time", "Age of key sets", "wait", "Shadow and candidate", "Audit records", "Configurations loaded", "Past a limit"):
            self.assertIn(word, titles)

    def test_labels_that_are_asked_for_are_documented_and_so_are_their_values(self):
        """A misspelt one would give nothing, which looks like all is well."""
        words = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "metrics.md").read_text() + (ROOT / "docs" / "refusals.md").read_text()))
        asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
        asked += [question.expression for question in observe.questions("1h")] + [RULES.read_text()]
        found = 0
        for expression in asked:
            for metric, matchers in re.findall(r"\b(claimgate_\w+)\{([^}]*)\}", expression):
                for label, value in re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"', matchers):
                    found += 1
                    with self.subTest(f"{metric} {label} {value}"):
                        self.assertIn(label, documented()[metric])
                        self.assertLessEqual(set(value.split("|")) - {"$filter"}, words)
        self.assertGreater(found, 20)

    def test_today_is_today(self):
        panel = next(panel for panel in DASHBOARD["panels"] if panel["title"] == "Invalid tokens today")
        self.assertEqual(panel["timeFrom"], "now/d")
        self.assertIn("[$__range]", panel["targets"][0]["expr"])

    def test_variables_are_all_known_and_every_metric_with_a_filter_is_chosen_by_it(self):
        for panel in DASHBOARD["panels"]:
            for target in panel["targets"]:
                with self.subTest(panel["title"]):
                    variables = set(re.findall(r"\$\{?(\w+)", target["expr"]))
                    self.assertLessEqual(variables, {"filter", "__range", "__rate_interval"})
                    for metric, labels in documented().items():
                        count = len(re.findall(rf"\b{metric}\b", target["expr"]))
                        if "filter" in labels:
                            self.assertEqual(len(re.findall(rf'\b{metric}{{filter=~"\$filter"', target["expr"])), count)

    def test_provisioning_names_the_data_source_and_the_dashboards_folder(self):
        folder = EXAMPLE / "grafana" / "provisioning"
        self.assertRegex((folder / "datasources" / "prometheus.yml").read_text(), r"\n    type: prometheus\n(.*\n)*    url: http://127.0.0.1:9090\n")
        place = re.search(r"\n      path: (\S+)\n", (folder / "dashboards" / "claimgate.yml").read_text())[1]
        self.assertIn(f"claimgate.json:{place}/claimgate.json", (EXAMPLE / "README.md").read_text())


class Example(unittest.TestCase):
    def test_the_readme_shows_what_the_example_prints(self):
        shown = next(text for language, text, _ in blocks(EXAMPLE / "README.md") if language == "text")
        printed = {plain(line) for line in PRINTED.splitlines()}
        lines = [line for line in shown.splitlines() if line.strip() and line.strip() != "…"]
        self.assertGreater(len(lines), 15)
        for line in lines:
            self.assertIn(plain(line), printed, f"the example does not print:\n{line}\nbut\n{PRINTED}")

    def test_the_readme_asks_what_the_example_asks(self):
        said = ["".join(text.split()) for language, text, _ in blocks(EXAMPLE / "README.md") if language == "promql"]
        self.assertEqual(said, ["".join(question.expression.split()) for question in observe.questions("13h")[:2]])

    def test_the_readme_names_every_alert(self):
        for alert in re.findall(r"alert: (\w+)", RULES.read_text()):
            self.assertIn(f"`{alert}`", (EXAMPLE / "README.md").read_text())

    def test_run_serves_until_it_is_interrupted_and_leaves_nothing(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(ENVIRONMENT, {"TMPDIR": folder}):
            with Program([sys.executable, str(EXAMPLE / "observe.py"), "--run"]) as program:
                program.await_line("Ctrl-C ends", 120)
                command = re.search(r"^ +(\S*promtool query instant .*)$", program.output(), re.M)[1]
                done = run(["sh", "-c", command])
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertRegex(done.stdout, r'\{code="token_expired", route="search"\} => [4-9]')
                program.interrupt()
                self.assertEqual(program.process.returncode, 0, program.output())
                self.assertIn("stopped", program.output())
            self.assertEqual(os.listdir(folder), [])

    def test_make_observe_hands_on_that_it_is_to_run(self):
        for command, expected in ((["make", "-n", "observe"], False), (["make", "-n", "observe", "RUN=1"], True)):
            done = run(command)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertEqual("observe.py --run" in done.stdout, expected, done.stdout)

    def test_without_a_prometheus_it_says_so_and_what_to_do(self):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**ENVIRONMENT, "PROMETHEUS": "/none/at/all", "TMPDIR": folder}
            done = run([sys.executable, str(EXAMPLE / "observe.py")], env=environment)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn("there is no prometheus: `/none/at/all` is no program", done.stdout)
            self.assertIn("remedy: install Prometheus", done.stdout)
            self.assertEqual(os.listdir(folder), [])


class Fetch(unittest.TestCase):
    """What fetch.py says where it cannot get a Prometheus; that it can is shown by all of the above."""

    def fetch(self, folder, programs):
        """Runs a copy of it in a root of its own, where PATH has these programs only."""
        root, path = pathlib.Path(folder) / "root", pathlib.Path(folder) / "bin"
        place = root / "examples" / "observability"
        place.mkdir(parents=True)
        path.mkdir()
        (place / "fetch.py").write_text((EXAMPLE / "fetch.py").read_text())
        for name, script in programs.items():
            (path / name).write_text(f"#!/bin/sh\n{script}\n")
            (path / name).chmod(0o755)
        environment = {"PATH": str(path), "HOME": folder}
        done = subprocess.run(
            [sys.executable, str(place / "fetch.py")], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        left = sorted(str(path.relative_to(root / ".prometheus")) for path in (root / ".prometheus").rglob("*") if path.is_file())
        return done, left

    def expect_failure(self, programs, *said):
        with tempfile.TemporaryDirectory() as folder:
            done, left = self.fetch(folder, programs)
            self.assertEqual((done.returncode, done.stdout, left), (1, "", []), done.stderr)
            for text in (*said, "remedy: install Prometheus"):
                self.assertIn(text, done.stderr)

    def test_a_machine_without_apt(self):
        self.expect_failure({}, "cannot run `apt-get`")

    def test_a_mirror_that_is_not_reached(self):
        apt = 'case "$1" in update) echo "W: Failed to fetch";; *) echo "E: Unable to locate package prometheus"; exit 100;; esac'
        self.expect_failure({"apt-get": apt}, "`apt-get update` said\n  | W: Failed to fetch", "E: Unable to locate package prometheus")

    def test_a_package_that_is_not_there(self):
        self.expect_failure({"apt-get": "exit 0"}, "left no package")

    def test_a_half_of_the_two(self):
        self.expect_failure({"prometheus": "exit 0"}, "cannot run `apt-get`")

    def test_a_binary_that_does_not_run(self):
        unpack = '/bin/mkdir -p "$3/usr/bin"; for name in prometheus promtool; do echo "no binary" > "$3/usr/bin/$name"; done'
        self.expect_failure({"apt-get": "> prometheus_1_amd64.deb", "dpkg-deb": unpack}, "cannot run `")

    def test_lists_that_lack_the_package_are_read_without_touching_the_machines(self):
        apt = (
            'case "$*" in\n'
            '  "download prometheus") exit 100;;\n'
            '  *Dir::State::lists=*) case "$1" in download) : > prometheus_1_amd64.deb;; esac;;\n'
            "  *) exit 9;;\n"
            "esac"
        )
        unpack = (
            '/bin/mkdir -p "$3/usr/bin"; for name in prometheus promtool; do\n'
            "  printf '#!/bin/sh\\n' > \"$3/usr/bin/$name\"; /bin/chmod +x \"$3/usr/bin/$name\"; done"
        )
        with tempfile.TemporaryDirectory() as folder:
            done, left = self.fetch(folder, {"apt-get": apt, "dpkg-deb": unpack})
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(left, ["bin/prometheus", "bin/promtool"])
            self.assertEqual([pathlib.Path(line).name for line in done.stdout.splitlines()], ["prometheus", "promtool"])

    def test_those_on_the_path_are_taken(self):
        with tempfile.TemporaryDirectory() as folder:
            done, left = self.fetch(folder, {"prometheus": "exit 0", "promtool": "exit 0"})
            self.assertEqual((done.returncode, left), (0, []), done.stderr)
            self.assertEqual(done.stdout.split(), [f"{folder}/bin/prometheus", f"{folder}/bin/promtool"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
