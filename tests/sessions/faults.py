#!/usr/bin/env python3
"""The provider of the example, whose token endpoint fails on demand when it is asked to renew a session of a user's.

    python faults.py [--port 9001] [--lifetime 6]

`PUT /faults/USER` with the name of a fault as its body begins one, with an empty body ends it; `GET /uses` tells how often each
refresh token came, and `GET /tokens/USER` which refresh tokens the user was given, in order.

| fault | what becomes of a renewal |
| --- | --- |
| `slow` | as ever, after half a second |
| `stall` | no answer; once the fault ends, the connection is closed, and nothing is renewed |
| `die` | the connection is closed without an answer, and nothing is renewed |
| `lose` | the same, but the refresh token was used |
| `html`, `error` | a page with 200, a page with 500; nothing is renewed |
| `huge` | 10 MiB of JSON; nothing is renewed |
| `other_subject`, `expired` | renewed, with an access token about somebody else, or one that expired |
| `invalid_grant` | refused, as after the end of a session |
"""

import argparse
import collections
import os
import pathlib
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "sessions"))
sys.dont_write_bytecode = True

from flask import jsonify, request  # noqa: E402
from joserfc import jwt  # noqa: E402
from provider import Provider, serve  # noqa: E402

INSTEAD = {
    "html": ("<!doctype html><title>Down for maintenance</title>", 200, {"content-type": "text/html"}),
    "error": ("<!doctype html><title>Internal server error</title>", 500, {"content-type": "text/html"}),
    "huge": ('{"access_token": "' + "a" * (10 << 20) + '"}', 200, {"content-type": "application/json"}),
    "invalid_grant": ('{"error": "invalid_grant"}', 400, {"content-type": "application/json"}),
}
FAULTS = {"slow", "stall", "die", "lose", "other_subject", "expired", *INSTEAD}


class Faulty(Provider):
    """A provider whose `faults` are by user."""

    def __init__(self, secret, lifetime):
        super().__init__(secret, lifetime)
        self.faults, self.uses, self.changed = {}, collections.Counter(), threading.Condition()
        self.app.before_request(self.before)
        self.app.after_request(self.after)
        self.app.add_url_rule("/faults/<user>", "fault", self.fault, methods=["PUT"])
        self.app.add_url_rule("/uses", "uses", lambda: jsonify(self.uses))
        self.app.add_url_rule("/tokens/<user>", "tokens", self.tokens)

    def fault(self, user):
        fault = request.get_data(as_text=True)
        if fault and fault not in FAULTS:
            return f"no such fault: {fault}", 400
        with self.changed:
            self.faults[user] = fault
            self.changed.notify_all()
        return "", 204

    def tokens(self, user):
        return jsonify([text for text, token in self.refresh_tokens.items() if token.session.user == user])

    def asked(self):
        """Whose session is to be renewed, and the fault that this user has."""
        token = self.refresh_tokens.get(request.form.get("refresh_token")) if request.path == "/token" else None
        return (token.session.user, self.faults.get(token.session.user)) if token else (None, None)

    def before(self):
        user, fault = self.asked()
        if user:
            self.uses[request.form["refresh_token"]] += 1
        if fault == "slow":
            time.sleep(0.5)
        if fault == "stall":
            with self.changed:
                self.changed.wait_for(lambda: self.faults.get(user) != "stall", timeout=60)
        if fault in ("stall", "die"):
            return self.hang_up()
        return INSTEAD.get(fault)

    def after(self, answer):
        _, fault = self.asked()
        if fault == "lose":
            return self.app.make_response(self.hang_up())
        if fault in ("other_subject", "expired") and answer.status_code == 200:
            document = answer.get_json()
            claims = jwt.decode(document["access_token"], self.key).claims
            past = {"iat": claims["iat"] - 3600, "exp": int(time.time()) - 60}
            claims |= {"sub": "mallory"} if fault == "other_subject" else past
            document["access_token"] = jwt.encode({"alg": "RS256", "typ": "at+jwt", "kid": self.key.kid}, claims, self.key)
            answer.set_data(self.app.json.dumps(document))
        return answer

    def hang_up(self):
        request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return ""


def main():
    parser = argparse.ArgumentParser(description="a provider that fails on demand")
    parser.add_argument("--port", type=int, default=9001, help="0 takes a free one")
    parser.add_argument("--lifetime", type=int, default=6, help="of access tokens, in seconds")
    options = parser.parse_args()
    serve(Faulty(os.environ["OAUTH_SECRET"], options.lifetime).app, options.port)


if __name__ == "__main__":
    main()
