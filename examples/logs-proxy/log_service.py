#!/usr/bin/env python3
"""The service of the example: log lines of two environments, which it gives to everyone who reaches it.

It knows no tokens. Who asks, it learns from the headers that Claimgate sets (x-user-id, x-user-roles); every answer
shows all the headers that arrived, so that you see what it would act on.

    python3 log_service.py [--port 9000] [--host 127.0.0.1]
"""

import argparse
import json
import posixpath
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LINES = {
    "prod": {
        "payments": [
            ("10:41:02.118", "info", "charge ch_5Q1 of 49.90 EUR captured, acquirer answered in 212 ms"),
            ("10:41:03.770", "warn", "acquirer timeout after 3000 ms, attempt 1 of 3"),
            ("10:41:05.034", "info", "charge ch_5Q2 of 12.00 EUR captured on attempt 2"),
        ],
        "checkout": [
            ("10:41:01.900", "info", "order 88213 placed, 3 items"),
            ("10:41:04.412", "error", "cart 5d2f: stock of SKU 1207 went negative, order held"),
        ],
    },
    "staging": {
        "payments": [
            ("10:40:57.001", "info", "sandbox acquirer selected"),
            ("10:40:58.245", "error", "migration 0042 pending: column charges.payer_id is missing"),
        ],
        "checkout": [
            ("10:40:59.610", "debug", "feature flag new-cart on for 100% of sessions"),
            ("10:41:00.127", "info", "order 17 placed, 1 item"),
        ],
    },
}


def answer(path):
    """The status and the document for a path: /logs/{env}, /logs/{env}/{service}, and 200 for all others.

    As many servers do, it decodes the path and resolves `..`: that is what a request must not slip past the policy with.
    """
    resolved = posixpath.normpath(urllib.parse.unquote(path.split("?")[0]))
    parts = resolved.strip("/").split("/")
    if parts[0] != "logs":
        return 200, {"service": "logs", "path": resolved}
    environment = parts[1] if len(parts) > 1 else ""
    services = LINES.get(environment)
    wanted = parts[2:3] or list(services or ())
    if services is None or len(parts) > 3 or any(service not in services for service in wanted):
        return 404, {"service": "logs", "path": resolved, "error": "no such logs"}
    lines = [
        {"time": time, "service": service, "level": level, "message": message}
        for service in wanted
        for time, level, message in services[service]
    ]
    return 200, {"service": "logs", "environment": environment, "lines": sorted(lines, key=lambda line: line["time"])}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def reply(self):
        # Envoy keeps the connection: what is left of a body would be read as the next request.
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.paths.append(self.path)
        status, document = answer(self.path)
        headers = {}
        for name, value in self.headers.items():
            headers.setdefault(name.lower(), []).append(value)
        document["received_headers"] = {name: ", ".join(values) for name, values in sorted(headers.items())}
        body = (json.dumps(document, indent=2) + "\n").encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = reply

    def log_message(self, *_):
        pass


class LogService(ThreadingHTTPServer):
    """A server; port 0 takes a free one. `paths` are those that were asked for, in order."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port, host="127.0.0.1"):
        super().__init__((host, port), Handler)
        self.port = self.server_address[1]
        self.paths = []


def main():
    parser = argparse.ArgumentParser(description="the log service of the example")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--host", default="127.0.0.1", help="whoever reaches this address is served")
    options = parser.parse_args()
    try:
        service = LogService(options.port, options.host)
    except OSError as error:
        raise SystemExit(f"log_service.py: port {options.port} of {options.host}: {error.strerror}: take another by --port") from None
    print(f"logs at http://{options.host}:{service.port}", flush=True)
    try:
        service.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
