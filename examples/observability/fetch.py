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
        raise Failed(f"`{' '.join(map(str, command[:3]))}` failed{tail(done.stdout)}\n{REMEDY}")
    return done.stdout


def tail(output):
    lines = [line for line in output.splitlines() if line.strip()][-8:]
    return "".join("\n  | " + line for line in lines)


def download(folder):
    """Debian's package as a file. Where the machine's lists do not have it, or an old one, lists of our own are made."""
    try:
        run("apt-get", "download", "prometheus", folder=folder)
    except Failed:
        (folder / "lists" / "partial").mkdir(parents=True)
        # The user that root's apt becomes cannot write here.
        own = ("Dir::State::lists=" + str(folder / "lists"), "Dir::Cache=" + str(folder / "cache"), "APT::Sandbox::User=root")
        options = [part for option in own for part in ("-o", option)]
        updated = run("apt-get", "update", "-q", *options)
        try:
            run("apt-get", "download", "prometheus", *options, folder=folder)
        except Failed as failure:
            # `update` ends well where it reached nothing; what it printed says why there is no package.
            raise Failed(f"`apt-get update` said{tail(updated)}\nand then {failure}") from None
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
                where = f"`{path}` is no program" if path else f"{program.upper()} is not given, and PATH has none"
                raise Failed(f"there is no {program}: {where}\n{REMEDY}")
        return found
    own = [HOME / "bin" / program for program in ("prometheus", "promtool")]
    if not all(os.access(path, os.X_OK) for path in own):
        print("No Prometheus here: downloading Debian's package (20 MB)", file=sys.stderr)
        try:
            fetch()
        except OSError as error:
            raise Failed(f"cannot unpack Prometheus into {HOME}: {error}\n{REMEDY}") from None
    return [str(path) for path in own]


def main():
    try:
        print("\n".join(programs()))
    except Failed as failure:
        print(f"examples/observability/fetch.py: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
