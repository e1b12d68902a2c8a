"""A token service as the distribution token specification has it: RS256 tokens, pull for everybody but the private."""

import base64
import json
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

ISSUER = "tests"
SERVICE = "docker-registry of the tests"
USERNAME, PASSWORD = "robot", "canary:with@signs"
_LIFE = 300


class Signer:
    """The key of the token service, and the certificate by which the registry knows it."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(name, name, self._key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        self._certificate = builder.sign(self._key, hashes.SHA256())

    def write_certificate(self, path: Path) -> None:
        path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def token(self, scope: str, actions: list[str]) -> str:
        kind, name, _ = scope.split(":", 2) if scope else ("", "", "")
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": SERVICE,
            "nbf": now - 10,
            "iat": now,
            "exp": now + _LIFE,
            "jti": "canary" + str(time.monotonic_ns()),
            "access": [{"type": kind, "name": name, "actions": actions}] if actions else [],
        }
        return self._sign(claims)

    def _sign(self, claims: Mapping[str, object]) -> str:
        chain = [base64.b64encode(self._certificate.public_bytes(serialization.Encoding.DER)).decode()]
        signed = f"{_segment({'typ': 'JWT', 'alg': 'RS256', 'x5c': chain})}.{_segment(claims)}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64url(signature)}"


class TokenService:
    """The service, on loopback unless said otherwise; remembers which scopes it was asked for, and by whom."""

    def __init__(self, address: str = "127.0.0.1", tenants: Mapping[str, str] = MappingProxyType({})) -> None:
        """Know the robot, and *tenants* by their passwords, who may pull what is below `private/` and their name."""
        self._passwords = {USERNAME: PASSWORD, **tenants}
        self.signer = Signer()
        self.asked: list[tuple[str, str]] = []
        self._server = ThreadingHTTPServer((address, 0), self._handler())
        self.authority = f"{address}:{self._server.server_port}"
        self.realm = f"http://{self.authority}/token"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def grant(self, scope: str, user: str) -> str:
        """Make a token for what *user* may do of what was asked for: less, rather than a refusal."""
        self.asked.append((scope, user))
        wanted = scope.rpartition(":")[2].split(",")
        public = not scope.startswith("repository:private/")
        is_own = user != "" and scope.startswith(f"repository:private/{user}/")
        allowed = {"pull", "push"} if user == USERNAME else {"pull"} if public or is_own else set()
        return self.signer.token(scope, [action for action in wanted if action in allowed])

    def user(self, authorization: str | None) -> str | None:
        """Name the user, "" for nobody; None for a wrong password."""
        if authorization is None:
            return ""
        name, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        return name if self._passwords.get(name) == password else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                user = service.user(self.headers.get("Authorization"))
                if user is None or query.get("service") != [SERVICE]:
                    self.send_error(401 if user is None else 400)
                    return
                token = service.grant(query.get("scope", [""])[0], user)
                body = json.dumps({"token": token, "expires_in": _LIFE}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Stay silent: *asked* is the log."""

        return Handler


def _segment(content: Mapping[str, object]) -> str:
    return _base64url(json.dumps(content).encode())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
