#!/usr/bin/env python3
"""The application of the example: a login, a page, and an API that answers with who it was told is asking.

It verifies no token and renews none. It only signs in: it sends the browser to the provider, swaps the code that comes back
for the first two tokens, and puts them into the cookies that Claimgate reads, and replaces when they have run out.

    python3 app.py [--port 9000] [--provider http://127.0.0.1:9001]

OAUTH_SECRET is its secret as the provider's client `web`.
"""

import argparse
import base64
import hmac
import http.cookies
import json
import os
import pathlib
import secrets
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = pathlib.Path(__file__).resolve().parent / "page.html"
CLIENT = "web"
# As in `renew.cookie` of claimgate.yaml: a renewed cookie has to replace the first one, and not to stand beside it.
ATTRIBUTES = "Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=2592000"
STATE = "login_state={}; Path=/callback; HttpOnly; Secure; SameSite=Lax; Max-Age={}"  # of a login that has begun


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        path, _, query = self.path.partition("?")
        self.server.paths.append(path)
        if path == "/":
            self.reply(200, PAGE.read_bytes(), ("content-type", "text/html; charset=utf-8"))
        elif path == "/login":
            self.login()
        elif path == "/callback":
            self.callback(dict(urllib.parse.parse_qsl(query)))
        else:
            self.echo()

    def do_POST(self):
        # Envoy keeps the connection: what is left of a body would be read as the next request.
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.paths.append(self.path)
        # Only Claimgate sets this header, and no client can: its value is the `sid` of a token that it verified.
        status, _ = self.server.provider("DELETE", f"/sessions/{self.headers['x-session-id']}")
        self.reply(204 if status == 204 else 502)

    def login(self):
        state = secrets.token_urlsafe(16)
        query = {"response_type": "code", "client_id": CLIENT, "redirect_uri": self.redirect_uri(), "state": state}
        where = f"{self.server.provider_url}/authorize?{urllib.parse.urlencode(query)}"
        self.reply(302, b"", ("location", where), ("set-cookie", STATE.format(state, 600)))

    def callback(self, query):
        """Back from the provider, with a code."""
        cookies = http.cookies.SimpleCookie(self.headers.get("cookie", ""))
        begun = cookies["login_state"].value if "login_state" in cookies else ""
        # Whoever comes with the state of somebody else's login would be signed in as somebody else.
        if not begun or not hmac.compare_digest(begun.encode(), query.get("state", "").encode()):
            return self.reply(400, b"this login did not begin in this browser\n")
        form = {"grant_type": "authorization_code", "code": query.get("code", ""), "redirect_uri": self.redirect_uri()}
        status, tokens = self.server.provider("POST", "/token", form)
        if status != 200:
            return self.reply(400, b"the provider does not know this login\n")
        kept = (("session", tokens["access_token"]), ("session_refresh", tokens["refresh_token"]))
        cookies = [("set-cookie", f"{name}={value}; {ATTRIBUTES}") for name, value in kept]
        cookies.append(("set-cookie", STATE.format("", 0)))
        return self.reply(302, b"", ("location", "/"), ("cache-control", "no-store"), *cookies)

    def redirect_uri(self):
        return f"http://{self.headers['host']}/callback"

    def echo(self):
        """All that arrived, so that one sees what the application would act on."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        document = {"user": headers.get("x-user-id"), "session": headers.get("x-session-id"), "received_headers": headers}
        self.reply(200, json.dumps(document, indent=2).encode() + b"\n", ("content-type", "application/json"))

    def reply(self, status, body=b"", *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class App(ThreadingHTTPServer):
    """A server; port 0 takes a free one. `paths` are those that were asked for, in order."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port, provider_url, secret):
        super().__init__(("127.0.0.1", port), Handler)
        self.port = self.server_address[1]
        self.provider_url, self.secret = provider_url, secret
        self.paths = []

    def provider(self, method, path, form=None):
        """Asks the provider, as its client; the status, and the document that came back."""
        asked = urllib.request.Request(self.provider_url + path, form and urllib.parse.urlencode(form).encode(), method=method)
        asked.add_header("authorization", "Basic " + base64.b64encode(f"{CLIENT}:{self.secret}".encode()).decode())
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            return error.code, {}


def main():
    parser = argparse.ArgumentParser(description="the application of the example")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--provider", default="http://127.0.0.1:9001", help="where the provider is")
    options = parser.parse_args()
    if not os.environ.get("OAUTH_SECRET"):
        raise SystemExit("app.py: OAUTH_SECRET is not set: its secret as the provider's client")
    app = App(options.port, options.provider, os.environ["OAUTH_SECRET"])
    print(f"application at http://127.0.0.1:{app.port}", flush=True)
    try:
        app.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
