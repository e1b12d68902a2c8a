"""An issuer of JWTs (OpenID Connect): its keys, and tokens that it signs."""

import json
import time
from collections.abc import Mapping

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from tests.fakes.entry import Entry
from tests.fakes.reply import Reply, error_reply, json_reply
from tests.fakes.server import FakeServer

AUDIENCE = "regproxy"


class Issuer(FakeServer):
    """Names its keys to everybody."""

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self.name: str | None = None  # that it gives itself, beside its URL
        self.location: str | None = None  # of its keys, beside its own
        self.rotate()

    def rotate(self) -> None:
        """Sign by another key, and name no other."""
        self._number += 1
        self.key = RSAKey.generate_key(2048, {"kid": f"key-{self._number}", "use": "sig"})

    def answer(self, entry: Entry) -> Reply:
        if entry.path == "/.well-known/openid-configuration":
            return json_reply({"issuer": self.name or self.url, "jwks_uri": self.location or f"{self.url}/keys"})
        if entry.path == "/keys":
            return json_reply(json.loads(json.dumps(KeySet([self.key]).as_dict(private=False))))
        return error_reply(404, "NOT_FOUND")

    def token(self, subject: str = "system:serviceaccount:ci:builder", **claims: object) -> str:
        """Sign a token for regproxy that holds for five minutes, unless *claims* say otherwise."""
        now = int(time.time())
        told: Mapping[str, object] = {"iss": self.url, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 300, **claims}
        kept = {name: value for name, value in told.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": str(self.key.kid)}, kept, self.key)
