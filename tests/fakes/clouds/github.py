"""GitHub's API, as far as apps are given tokens of their installations."""

import json
from collections.abc import Callable

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from tests.fakes.clouds.cloud import FakeCloud
from tests.fakes.entry import Entry
from tests.fakes.reply import Reply, json_reply

APP, INSTALLATION = "Iv23liCLIENT", "12345678"


class FakeGithub(FakeCloud):
    """Knows one app with one installation."""

    def __init__(self, clock: Callable[[], float], key: RSAKey) -> None:
        super().__init__(clock)
        self.key = key

    def said(self, entry: Entry) -> Reply | None:
        if (entry.method, entry.path) != ("POST", f"/api/v3/app/installations/{INSTALLATION}/access_tokens"):
            return json_reply({"message": "Not Found"}, 404)
        assert entry.headers["x-github-api-version"] == "2022-11-28"
        assert json.loads(entry.body) == {"permissions": {"packages": "read"}}
        try:
            claims = jwt.decode(entry.headers["authorization"].removeprefix("Bearer "), self.key, algorithms=["RS256"]).claims
        except JoseError:
            return json_reply({"message": "A JSON web token could not be decoded: canary"}, 401)
        now = self.now()
        if claims["iss"] != APP or claims["iat"] > now or not now < claims["exp"] <= now + 600:
            return json_reply({"message": "'Expiration time' claim ('exp') is too far in the future: canary"}, 401)
        return json_reply({"token": self.issue(), "expires_at": self.end(), "permissions": {"packages": "read"}}, 201)
