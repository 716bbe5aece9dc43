#!/usr/bin/env python3
"""Builds the same source once more, in another folder and otherwise than usual, and compares what comes out byte by byte.

    reproduce.py          what `make dist` leaves in dist/release
    reproduce.py filter   dist/claimgate.wasm alone, in half the time
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
OF_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "ONLY", "CARGO_TARGET_DIR")


def sources():
    """The files of the source, also those that are not committed yet."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def elsewhere(folder):
    """A copy of the source under a longer path, and an environment that differs where a build could show it."""
    place = folder / "an other" / "place"
    for name in sources():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, place / name)
    # Another home for cargo, with the downloads of the usual one.
    usual = pathlib.Path(os.environ.get("CARGO_HOME") or pathlib.Path.home() / ".cargo")
    home = folder / "cargo"
    home.mkdir()
    for name in ("registry", "git", "config.toml", "config"):
        if (usual / name).exists():
            (home / name).symlink_to(usual / name)
    environment = {key: value for key, value in os.environ.items() if key not in OF_MAKE}
    environment.update(CARGO_HOME=str(home), TZ="Pacific/Kiritimati", LC_ALL="C", CARGO_BUILD_JOBS="2")
    return place, environment


def hashes(root, what):
    """The SHA-256 of each file that was built."""
    paths = [root / "dist" / "claimgate.wasm"] if what == "filter" else sorted((root / "dist" / "release").iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def main():
    what = "filter" if sys.argv[1:] == ["filter"] else "dist"
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="claimgate-reproduce-") as folder:
        place, environment = elsewhere(pathlib.Path(folder))
        done = subprocess.run(["sh", "-c", f"umask 077 && make {what}"], cwd=place, env=environment, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            print(f"reproduce: `make {what}` failed in {place}", file=sys.stderr)
            return 1
        here, there = hashes(ROOT, what), hashes(place, what)
    for name in sorted(here | there):
        same = here.get(name) == there.get(name)
        print(f"  {'ok' if same else 'NO'}  {here.get(name)}  {name}" + ("" if same else f", there {there.get(name)}"))
    if here != there or not here:
        print("reproduce: two builds of the same source differ", file=sys.stderr)
        return 1
    print(f"reproduce: the same bytes in two builds; the second took {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
