#!/usr/bin/env python3
"""Stands in for the log store of docker-compose.yaml where its image cannot be pulled: takes syslog by RFC 5424, one message
a line, over TCP, and answers queries of one word. Its arguments are those of the store; others are errors, as there.
"""

import datetime
import json
import pathlib
import re
import signal
import socketserver
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MESSAGE = re.compile(r"<\d+>1 (\S+) (\S+) (\S+) (\S+) (\S+) - (.*)", re.S)
WANTED = {"storageDataPath", "retentionPeriod", "httpListenAddr", "syslog.listenAddr.tcp"}


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


class Syslog(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            found = MESSAGE.fullmatch(line.decode().rstrip("\n"))
            if not found:
                print(f"no message of RFC 5424: {line!r}", flush=True)
                continue
            time, host, app, process, _, text = found.groups()
            record = {"_time": time, "_msg": text, "hostname": host, "app_name": app, "proc_id": process}
            with self.server.file.open("a") as file:
                file.write(json.dumps(record) + "\n")


class Query(BaseHTTPRequestHandler):
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self, form=""):
        path, _, query = self.path.partition("?")
        if path == "/health":
            return self.answer(200, b"OK")
        said = dict(urllib.parse.parse_qsl(form or query))
        word, since = said.get("query", ""), said.get("start", "")
        if path != "/select/logsql/query" or not re.fullmatch(r"\w+", word) or not set(said) <= {"query", "start", "limit"}:
            return self.answer(400, f"the stand-in does not know {self.path} {form}".encode())
        lines = self.server.file.read_text().splitlines(keepends=True) if self.server.file.exists() else []
        found = [line for line in lines if re.search(rf"\b{word}\b", line)]
        if since:
            found = [line for line in found if moment(json.loads(line)["_time"]) >= moment(since)]
        return self.answer(200, "".join(found).encode())

    def do_POST(self):
        self.do_GET(self.rfile.read(int(self.headers["content-length"])).decode())

    def log_message(self, *_):
        pass


def main():
    options = dict(argument.lstrip("-").split("=", 1) for argument in sys.argv[1:])
    if set(options) != WANTED:
        sys.exit(f"the options are {sorted(options)}, and not {sorted(WANTED)}")
    file = pathlib.Path(options["storageDataPath"]) / "lines"
    file.touch()
    socketserver.ThreadingTCPServer.daemon_threads = True
    syslog = socketserver.ThreadingTCPServer(("", int(options["syslog.listenAddr.tcp"].lstrip(":"))), Syslog)
    server = ThreadingHTTPServer(("", int(options["httpListenAddr"].lstrip(":"))), Query)
    # The first process of a container ends by no signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    syslog.file = server.file = file
    threading.Thread(target=syslog.serve_forever, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
