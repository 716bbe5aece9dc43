#!/usr/bin/env python3
"""Takes unused exports out of the filter, and writes into it what it is: trim.py IN.wasm OUT.wasm

The Proxy-Wasm SDK exports every callback of the ABI, and Envoy calls each one that is exported, for every request, although
the filter does nothing in most of them. What it is stands in custom sections, as `wasm-tools metadata show` and
`claimgate version` read them: one for each annotation of an OCI image, its text as the content.
"""
import pathlib
import re
import sys

# What the host calls, and what a callback of the filter stands behind.
KEPT = {
    "memory", "_initialize", "proxy_abi_version_0_2_1", "proxy_on_memory_allocate",
    "proxy_on_context_create", "proxy_on_vm_start", "proxy_on_configure", "proxy_on_tick", "proxy_on_http_call_response",
    "proxy_on_request_headers", "proxy_on_request_body", "proxy_on_request_trailers",
    "proxy_on_response_headers", "proxy_on_delete",
}
CUSTOM_SECTION, EXPORT_SECTION = 0, 7
# The sections, and where Cargo.toml has their texts.
TOLD = {"version": "version", "licenses": "license", "source": "repository", "description": "description"}
MANIFEST = pathlib.Path(__file__).resolve().parent.parent / "Cargo.toml"


def read_number(data, at):
    """An unsigned LEB128 number, and the place behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def number(value):
    """The LEB128 form."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def trim_exports(section):
    """The content of an export section with the kept exports only."""
    count, at = read_number(section, 0)
    kept = []
    for _ in range(count):
        start = at
        length, at = read_number(section, at)
        name = section[at:at + length].decode()
        _, at = read_number(section, at + length + 1)
        if name in KEPT:
            kept.append((name, section[start:at]))
    missing = KEPT - {name for name, _ in kept}
    if missing:
        sys.exit(f"trim.py: the filter does not export {', '.join(sorted(missing))}")
    return number(len(kept)) + b"".join(entry for _, entry in kept)


def section(kind, content):
    return bytes([kind]) + number(len(content)) + content


def named(name):
    """The head of a custom section."""
    return number(len(name)) + name.encode()


def told(manifest):
    """Custom sections that say what the module is."""
    package = re.search(r"^\[package\]\n(.*?)^\[", manifest, re.M | re.S)
    for name, key in TOLD.items():
        found = package and re.search(rf'^{key} = "([^"\\]+)"$', package[1], re.M)
        if not found:
            sys.exit(f"trim.py: Cargo.toml has no line `{key} = \"...\"` under [package]")
        yield section(CUSTOM_SECTION, named(name) + found[1].encode())


def trim(module, manifest):
    """The module with its export section trimmed, and with sections that say what it is."""
    if module[:8] != b"\0asm\1\0\0\0":
        sys.exit("trim.py: not a WebAssembly module of version 1")
    out, at = bytearray(module[:8]), 8
    while at < len(module):
        kind = module[at]
        size, start = read_number(module, at + 1)
        content = module[start:start + size]
        at = start + size
        if kind == EXPORT_SECTION:
            content = trim_exports(content)
        out += section(kind, content)
    return bytes(out) + b"".join(told(manifest))


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as source:
        trimmed = trim(source.read(), MANIFEST.read_text())
    with open(sys.argv[2], "wb") as target:
        target.write(trimmed)
