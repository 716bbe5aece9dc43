#!/usr/bin/env python3
"""Prints where Chromium is, and leaves one in .chromium/ where the machine has none; and drives it, for tests.

CHROMIUM names it if given; else one on PATH is taken; else Debian's packages, those of its libraries that are missing among them,
are downloaded and unpacked beside their place, which needs no root, and renamed into it. A second run is over at once.

It is driven by the DevTools protocol over a pipe (--remote-debugging-pipe): JSON texts that end with NUL. Standard library only.
"""

import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOME = ROOT / ".chromium"
PACKAGE = "chromium-headless-shell"
NAMES = ("chromium", PACKAGE, "chromium-browser", "google-chrome")
REMEDY = "remedy: install Chromium (Debian: apt install chromium), or name one: CHROMIUM=/path/to/chromium"
# Chromium takes the commands from descriptor 3 and answers on 4, which Python's subprocess does not place.
AT_3_AND_4 = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"


class Failed(Exception):
    """What went wrong, and the remedy."""


def run(*command, folder=None):
    """Runs a command, or fails with the end of what it printed."""
    try:
        done = subprocess.run(
            [str(part) for part in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
        )  # fmt: skip
    except OSError as error:
        raise Failed(f"cannot run `{command[0]}`: {error}\n{REMEDY}") from None
    if done.returncode != 0:
        end = "".join("\n  | " + line for line in done.stdout.splitlines()[-8:])
        raise Failed(f"`{' '.join(map(str, command[:3]))}` failed{end}\n{REMEDY}")


def fetch():
    """Lists and packages of our own: the machine's are root's, and may be old."""
    HOME.mkdir(exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fetch-", dir=HOME))
    try:
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True)
        # The user that root's apt becomes cannot write here; and who is not root may not lock the machine's packages.
        own = (f"Dir::State::lists={folder}/lists", f"Dir::Cache={folder}/cache", "APT::Sandbox::User=root", "Debug::NoLocking=1")
        options = [part for option in own for part in ("-o", option)]
        run("apt-get", "update", "-q", *options)
        run("apt-get", "install", "-q", "-y", "--download-only", "--no-install-recommends", *options, PACKAGE)
        for package in sorted((folder / "cache" / "archives").glob("*.deb")):
            run("dpkg-deb", "-x", package, folder / "root")
        run("sh", "-c", f"LD_LIBRARY_PATH={libraries(folder / 'root')} {program(folder / 'root')} --version")
        shutil.rmtree(HOME / "root", ignore_errors=True)
        (folder / "root").rename(HOME / "root")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def program(root):
    return root / "usr" / "lib" / "chromium" / PACKAGE


def libraries(root):
    """The folders of the unpacked libraries, as LD_LIBRARY_PATH has them."""
    return ":".join(sorted({str(found.parent) for found in (root / "usr" / "lib").rglob("*.so*")}))


def chromium():
    """The program, and what its environment needs."""
    given = os.environ.get("CHROMIUM", "").strip()
    if given and not shutil.which(given):
        raise Failed(f"CHROMIUM: `{given}` is no program\n{REMEDY}")
    found = given or next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return shutil.which(found), {}
    if not os.access(program(HOME / "root"), os.X_OK):
        print("No Chromium here: downloading Debian's packages (80 MB)", file=sys.stderr)
        try:
            fetch()
        except OSError as error:
            raise Failed(f"cannot unpack Chromium into {HOME}: {error}\n{REMEDY}") from None
    return str(program(HOME / "root")), {"LD_LIBRARY_PATH": libraries(HOME / "root")}


class Chromium:
    """A browser without a window and with a profile of its own. A context manager: leaving it ends it."""

    def __enter__(self):
        path, environment = chromium()
        self.profile = tempfile.TemporaryDirectory(prefix="claimgate-chromium-", ignore_cleanup_errors=True)
        read_commands, self.commands = map(high, os.pipe())
        self.answers, write_answers = map(high, os.pipe())
        command = [
            *(sys.executable, "-c", AT_3_AND_4, str(read_commands), str(write_answers)),
            *(path, "--headless", "--remote-debugging-pipe", f"--user-data-dir={self.profile.name}"),
            # It sees this machine's pages only; its sandbox does not start for root.
            *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        ]
        self.process = subprocess.Popen(
            command, env={**os.environ, "HOME": self.profile.name, **environment}, pass_fds=(read_commands, write_answers),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )  # fmt: skip
        os.close(read_commands)
        os.close(write_answers)
        self.replies, self.arrived, self.asked = {}, threading.Condition(), 0
        threading.Thread(target=self.read, daemon=True).start()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.page = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return self

    def __exit__(self, *_):
        os.close(self.commands)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.profile.cleanup()

    def read(self):
        with os.fdopen(self.answers, "rb") as answers:
            rest = b""
            while part := answers.read1(1 << 16):
                *texts, rest = (rest + part).split(b"\0")
                with self.arrived:
                    for reply in map(json.loads, texts):
                        self.replies[reply.get("id")] = reply
                    self.arrived.notify_all()

    def call(self, method, page=None, **parameters):
        """A call of the DevTools protocol; its result."""
        self.asked += 1
        asked = self.asked
        message = {"id": asked, "method": method, "params": parameters, **({"sessionId": page} if page else {})}
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        with self.arrived:
            if not self.arrived.wait_for(lambda: asked in self.replies, timeout=60):
                raise Failed(f"Chromium did not answer {method}; its exit status is {self.process.poll()}")
            reply = self.replies.pop(asked)
        if "error" in reply:
            raise Failed(f"{method}: {reply['error']}")
        return reply["result"]

    def open(self, url):
        self.call("Page.navigate", self.page, url=url)

    def evaluate(self, script):
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", self.page, expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise Failed(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def until(self, script, seconds=20):
        """Waits until an expression is true."""
        end = time.monotonic() + seconds
        while True:
            try:
                if self.evaluate(f"Boolean({script})"):
                    return
            except Failed:
                pass  # between two pages there is none
            if time.monotonic() > end:
                raise Failed(f"`{script}` did not come true; the page is {self.evaluate('document.documentElement.outerHTML')}")
            time.sleep(0.1)


def high(descriptor):
    """The same file at a descriptor of ten or more, where 3 and 4 do not get in its way."""
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return copy


def main():
    try:
        print(chromium()[0])
    except Failed as failure:
        print(f"tests/sessions/chromium.py: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
