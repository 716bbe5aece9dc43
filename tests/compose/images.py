"""Images of nothing but files of this machine: a program, the libraries that it loads, and what it reads."""

import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile

# Parts of Python's library that nothing here imports.
LEFT_OUT = {"site-packages", "__pycache__", "test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "pydoc_data", "turtledemo"}


class Missing(Exception):
    """Something that an image is made of is not on this machine."""


def found(program):
    """The path of a program on PATH."""
    path = shutil.which(program)
    if path is None:
        raise Missing(f"`{program}` is not on PATH")
    return path


def libraries(program):
    """What the loader maps for a program or a library, the loader itself too."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    if "not found" in done.stdout:
        raise Missing(f"`ldd {program}` says: {done.stdout}")
    return {path for path in re.findall(r"(/\S+) \(0x", done.stdout)}


class Image:
    """What is at each path of the image: the path of a file here, text as bytes, or where a link leads."""

    def __init__(self):
        self.files = {}

    def program(self, path, at):
        """A program, with its libraries where the loader looks for them."""
        self.files[at] = path
        self.files.update({library: library for library in libraries(path)})
        return self

    def text(self, at, text):
        """A program of text."""
        self.files[at] = text.encode()
        return self

    def python(self):
        """This machine's Python with its library, as /usr/local/bin/python3."""
        library = pathlib.Path(sysconfig.get_paths()["stdlib"])
        real = os.path.realpath(os.path.join(sys.base_prefix, "bin", "python3"))
        self.program(real, real)
        for path in library.rglob("*"):
            inside = path.relative_to(library).parts
            if path.is_file() and not LEFT_OUT & set(inside) and not inside[0].startswith("config-"):
                self.files[str(path)] = str(path)
                if path.suffix == ".so":
                    try:
                        self.files.update({each: each for each in libraries(str(path))})
                    except Missing:
                        del self.files[str(path)]
        # Python finds its library by where its binary is, through links.
        self.files["/usr/local/bin/python3"] = pathlib.PurePosixPath(real)
        return self.bash()

    def bash(self):
        """A shell at its usual place, for what has to run in an image as it does in the real one."""
        return self.program(os.path.realpath(found("bash")), "/bin/bash")

    def load(self, docker, tag, entrypoint=None):
        """Hands the image to the engine."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            for at, source in sorted(self.files.items()):
                entry = tarfile.TarInfo(at.lstrip("/"))
                if isinstance(source, pathlib.PurePosixPath):
                    entry.type, entry.linkname = tarfile.SYMTYPE, str(source)
                    archive.addfile(entry)
                    continue
                data = source if isinstance(source, bytes) else pathlib.Path(source).read_bytes()
                entry.size, entry.mode = len(data), 0o755
                archive.addfile(entry, io.BytesIO(data))
        change = ["--change", "ENV PATH=/usr/local/bin:/usr/bin:/bin"]
        if entrypoint:
            change += ["--change", f"ENTRYPOINT {json.dumps(entrypoint)}"]
        done = subprocess.run([docker, "import", *change, "-", tag], input=content.getvalue(), capture_output=True, check=False)
        if done.returncode != 0:
            raise Missing(f"`docker import` failed: {done.stderr.decode()}")
