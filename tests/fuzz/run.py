#!/usr/bin/env python3
"""Fuzzes every target, two side by side: first what was found before, then the search, on a copy of the seeds.

`make fuzz` builds the targets and runs it: run.py FOLDER-OF-THE-BINARIES FOLDER-FOR-FINDINGS. FUZZ_SECONDS says how long each
target is searched, FUZZ_TARGETS which ones are (all), FUZZ_JOBS how many at a time. Python's standard library only.
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = int(os.environ.get("FUZZ_SECONDS") or 60)
JOBS = int(os.environ.get("FUZZ_JOBS") or 2)
TARGETS = (os.environ.get("FUZZ_TARGETS") or "").split() or sorted(path.stem for path in (HERE / "mains").glob("*.rs"))
# An input that takes longer, or more memory, is a finding too.
LIMITS = ["-timeout=10", "-rss_limit_mb=2048", "-malloc_limit_mb=512", "-max_len=8192"]


def files(kind, target):
    return sorted(path for path in (HERE / kind / target).glob("*") if path.is_file())


def run(command, findings):
    """The exit status, and what it printed."""
    done = subprocess.run(
        [*command, *LIMITS, f"-artifact_prefix={findings}/"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(errors="replace")


def why(output):
    """The lines that tell what happened."""
    lines = output.splitlines()
    told = re.compile(r"panicked at|ERROR: libFuzzer|ParseDictionaryFile")
    first = next((index for index, line in enumerate(lines) if told.search(line)), max(0, len(lines) - 4))
    return "\n".join("    " + line[:500] for line in lines[first : first + 4])


def fuzz(target, binaries, findings):
    """Whether nothing was found, and the report."""
    binary = str(binaries / target)
    findings = findings / target
    findings.mkdir(parents=True, exist_ok=True)
    for path in files("regressions", target) + files("seeds", target):
        status, output = run([binary, str(path)], findings)
        if status != 0:
            return False, f"{target}: {path.relative_to(HERE.parents[1])} does not hold\n{why(output)}"
    with tempfile.TemporaryDirectory(prefix="claimgate-fuzz-") as corpus:
        for index, path in enumerate(files("regressions", target) + files("seeds", target)):
            shutil.copyfile(path, pathlib.Path(corpus) / str(index))
        dictionary = HERE / "dictionaries" / f"{target}.dict"
        before = set(findings.iterdir())
        # Long inputs soon: the seeds show what a short one can do.
        search = ["-len_control=10", f"-max_total_time={SECONDS}", f"-dict={dictionary}", "-print_final_stats=1"]
        status, output = run([binary, corpus, *search], findings)
        new = sorted(set(findings.iterdir()) - before)
    if status != 0:
        where = ", ".join(map(str, new)) or "no reproducer was written"
        again = f"again: {binary} {new[0]}\n    once it is fixed: move it to tests/fuzz/regressions/{target}/" if new else ""
        return False, f"{target}: found {where}\n{why(output)}\n    {again}"
    count = re.search(r"number_of_executed_units: (\d+)", output)
    coverage = re.findall(r"cov: (\d+)", output)
    return True, f"{target}: {count.group(1) if count else '?'} inputs, coverage {coverage[-1] if coverage else '?'}, no finding"


def main():
    binaries, findings = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    good = True
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for held, report in pool.map(lambda target: fuzz(target, binaries, findings), TARGETS):
            print(report, flush=True)
            good &= held
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
