#!/usr/bin/env python3
"""Prints where `prometheus` and `promtool` are, and leaves them in .prometheus/ where the machine has none.

PROMETHEUS and PROMTOOL name them if given; else those on PATH are taken, together; else Debian's package is downloaded
and unpacked beside its place, which needs no root, and renamed into it. A second run is over at once.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HOME = ROOT / ".prometheus"
REMEDY = (
    "remedy: install Prometheus (Debian, Ubuntu: apt install prometheus; else https://prometheus.io/download),"
    " or name both programs: PROMETHEUS=/path/to/prometheus PROMTOOL=/path/to/promtool"
)


class Failed(Exception):
    """What went wrong, and the remedy."""


def run(*command, folder=None):
    """Runs a command; what it printed, or a failure with the end of it."""
    try:
        done = subprocess.run(
            [str(part) for part in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
        )
    except OSError as error:
        raise Failed(f"cannot run `{command[0]}`: {error}\n{REMEDY}") from None
    if done.returncode != 0:
        tail = "".join("\n  | " + line for line in done.stdout.splitlines()[-8:])
        raise Failed(f"`{' '.join(map(str, command[:3]))}` failed{tail}\n{REMEDY}")
    return done.stdout


def download(folder):
    """Debian's package as a file. The lists are brought up to date only where they do not have it, and we may."""
    try:
        run("apt-get", "download", "prometheus", folder=folder)
    except Failed:
        if os.geteuid() != 0:
            raise
        run("apt-get", "update", "-qq")
        run("apt-get", "download", "prometheus", folder=folder)
    found = sorted(folder.glob("prometheus_*.deb"))
    if not found:
        raise Failed(f"`apt-get download prometheus` left no package\n{REMEDY}")
    return found[0]


def fetch():
    HOME.mkdir(exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fetch-", dir=HOME))
    try:
        run("dpkg-deb", "-x", download(folder), folder / "root")
        programs = folder / "root" / "usr" / "bin"
        for program in ("prometheus", "promtool"):
            run(programs / program, "--version")
        (HOME / "bin").mkdir(exist_ok=True)
        for program in ("prometheus", "promtool"):
            os.replace(programs / program, HOME / "bin" / program)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def programs():
    """The paths of prometheus and promtool."""
    given = [os.environ.get(variable, "").strip() for variable in ("PROMETHEUS", "PROMTOOL")]
    found = [path or shutil.which(program) for path, program in zip(given, ("prometheus", "promtool"))]
    if any(given) or all(found):
        for path, program in zip(found, ("prometheus", "promtool")):
            if not path or not shutil.which(path):
                raise Failed(f"there is no {program} at `{path or 'PATH'}`\n{REMEDY}")
        return found
    own = [HOME / "bin" / program for program in ("prometheus", "promtool")]
    if not all(os.access(path, os.X_OK) for path in own):
        print("No Prometheus here: downloading Debian's package (20 MB)", file=sys.stderr)
        fetch()
    return [str(path) for path in own]


def main():
    try:
        print("\n".join(programs()))
    except (Failed, OSError) as failure:
        print(f"examples/observability/fetch.py: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
