#!/usr/bin/env python3
"""The OAuth 2 provider of the example: Authlib's server, with everything in memory. It needs what requirements.txt names.

Access tokens are JWTs (RFC 9068) that live for some seconds. A refresh token counts once: using it gives the next one, and
using it again ends the whole session, since one of the two who had it must have stolen it (RFC 9700, section 4.14.2).

    python3 provider.py [--port 9001] [--lifetime 6]

OAUTH_SECRET is the secret of its only client, `web`. Whoever reaches it signs in as anybody: it is for this machine only.
"""

import argparse
import os
import secrets
import threading
import urllib.parse

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # plain HTTP: it listens on the loopback interface only

from authlib.integrations.flask_oauth2 import AuthorizationServer  # noqa: E402
from authlib.oauth2 import OAuth2Error  # noqa: E402
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin, grants  # noqa: E402
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator  # noqa: E402
from flask import Flask, jsonify, request  # noqa: E402
from joserfc.jwk import KeySet, RSAKey  # noqa: E402
from markupsafe import escape  # noqa: E402
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402

HOST = "127.0.0.1"
ISSUER, AUDIENCE, CLIENT = "https://idp.example.com", "notes-api", "web"
FORM = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in</title><h1>Sign in</h1>
<form method="post"><label>Name <input name="user" value="alice" autofocus></label> <button>Sign in</button></form></html>"""


class Session:
    """What begins with a login: every token that descends from it has its `sid`. What Authlib calls the user."""

    def __init__(self, user):
        self.user, self.sid, self.ended = user, secrets.token_urlsafe(12), False

    def get_user_id(self):
        return self.user


class Code(AuthorizationCodeMixin):
    def __init__(self, session, redirect_uri, scope):
        self.session, self.redirect_uri, self.scope = session, redirect_uri, scope

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope


class RefreshToken(TokenMixin):
    def __init__(self, session, scope):
        self.session, self.scope, self.used = session, scope, False

    def check_client(self, client):
        return True  # there is one

    def get_scope(self):
        return self.scope


class Client(ClientMixin):
    def __init__(self, secret):
        self.secret = secret

    def get_client_id(self):
        return CLIENT

    def get_allowed_scope(self, scope):
        return scope or ""

    def check_redirect_uri(self, redirect_uri):
        # Of the loopback interface any port will do (RFC 8252, section 7.3).
        asked = urllib.parse.urlsplit(redirect_uri)
        return (asked.scheme, asked.hostname, asked.path) == ("http", HOST, "/callback")

    def check_client_secret(self, client_secret):
        return secrets.compare_digest(client_secret.encode(), self.secret.encode())

    def check_endpoint_auth_method(self, method, endpoint):
        return method in ("client_secret_basic", "client_secret_post")

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type in ("authorization_code", "refresh_token")


class Provider:
    """What it knows, and `app`, the WSGI application that tells it."""

    def __init__(self, secret, lifetime=6):
        self.client, self.lifetime = Client(secret), lifetime
        self.key = RSAKey.generate_key(2048, {"kid": "idp-1", "use": "sig", "alg": "RS256"})
        self.codes, self.refresh_tokens, self.sessions = {}, {}, {}
        self.counts = {"logins": 0, "renewals": 0, "refused": 0}
        self.lock = threading.Lock()  # a refresh token that comes twice at once must not pass twice
        self.app = Flask("provider")
        self.server = AuthorizationServer(self.app, lambda name: self.client if name == CLIENT else None, self.save)
        self.server.register_token_generator("default", AccessTokens(self))
        self.server.register_grant(bound(CodeGrant, self))
        self.server.register_grant(bound(RefreshGrant, self))
        for rule, view, methods in (
            ("/authorize", self.authorize, ["GET", "POST"]),
            ("/token", self.token, ["POST"]),
            ("/jwks.json", self.jwks, ["GET"]),
            ("/revoked.json", self.revoked, ["GET"]),
            ("/sessions/<sid>", self.end, ["DELETE"]),
            ("/counts", lambda: jsonify(self.counts), ["GET"]),
        ):
            self.app.add_url_rule(rule, rule, view, methods=methods)

    def save(self, token, asked):
        self.refresh_tokens[token["refresh_token"]] = RefreshToken(asked.user, token.get("scope", ""))

    def authorize(self):
        """The page to sign in on, and what its form sends."""
        try:
            grant = self.server.get_consent_grant()
        except OAuth2Error as error:
            return f"{escape(error.error)}: {escape(error.description)}", 400
        if request.method == "GET":
            return FORM
        session = Session(request.form["user"])
        self.sessions[session.sid] = session
        return self.server.create_authorization_response(grant_user=session, grant=grant)

    def token(self):
        with self.lock:
            answer = self.server.create_token_response()
            renewal = request.form.get("grant_type") == "refresh_token"
            self.counts["refused" if answer.status_code != 200 else "renewals" if renewal else "logins"] += 1
            return answer

    def jwks(self):
        return jsonify(KeySet([self.key]).as_dict(private=False))

    def revoked(self):
        """The list that the gate fetches."""
        return jsonify(sessions=[session.sid for session in list(self.sessions.values()) if session.ended])

    def end(self, sid):
        """Takes a session back, for who has the client's secret."""
        given = request.authorization
        if not given or given.username != CLIENT or not self.client.check_client_secret(given.password or ""):
            return "the client's name and secret are wanted", 401, {"www-authenticate": "Basic"}
        if sid not in self.sessions:
            return "no such session", 404
        self.sessions[sid].ended = True
        return "", 204


def bound(grant, provider):
    """Authlib makes an object of the grant for each request: this one knows the provider."""
    return type(grant.__name__, (grant,), {"provider": provider})


class CodeGrant(grants.AuthorizationCodeGrant):
    def save_authorization_code(self, code, request):
        self.provider.codes[code] = Code(request.user, request.payload.redirect_uri, request.scope)

    def query_authorization_code(self, code, client):
        return self.provider.codes.pop(code, None)  # whatever comes of it, it counts once

    def delete_authorization_code(self, authorization_code):
        pass

    def authenticate_user(self, authorization_code):
        return authorization_code.session


class RefreshGrant(grants.RefreshTokenGrant):
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token):
        token = self.provider.refresh_tokens.get(refresh_token)
        if token and token.used:
            token.session.ended = True
        return token if token and not token.session.ended else None

    def authenticate_user(self, refresh_token):
        return refresh_token.session

    def revoke_old_credential(self, refresh_token):
        refresh_token.used = True


class AccessTokens(JWTBearerTokenGenerator):
    def __init__(self, provider):
        super().__init__(
            ISSUER,
            refresh_token_generator=lambda **_: secrets.token_urlsafe(32),
            expires_generator=lambda client, grant_type: provider.lifetime,
        )
        self.provider = provider

    def get_jwks(self):
        return KeySet([self.provider.key])

    def get_audiences(self, client, user, scope):
        return AUDIENCE

    def get_extra_claims(self, client, grant_type, user, scope):
        return {"sid": user.sid}


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


def serve(app, port):
    """Serves until the process ends, and says where, for whoever started it."""
    try:
        server = make_server(HOST, port, app, threaded=True, request_handler=Quiet)
    except SystemExit:
        raise SystemExit(f"provider.py: port {port} is taken: choose another by --port") from None
    print(f"provider at http://{HOST}:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


def main():
    parser = argparse.ArgumentParser(description="the OAuth 2 provider of the example")
    parser.add_argument("--port", type=int, default=9001, help="0 takes a free one")
    parser.add_argument("--lifetime", type=int, default=6, help="of access tokens, in seconds")
    options = parser.parse_args()
    if not os.environ.get("OAUTH_SECRET"):
        raise SystemExit("provider.py: OAUTH_SECRET is not set: the secret of its client")
    serve(Provider(os.environ["OAUTH_SECRET"], options.lifetime).app, options.port)


if __name__ == "__main__":
    main()
