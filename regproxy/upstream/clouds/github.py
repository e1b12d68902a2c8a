"""Tokens of an installation of a GitHub App, as passwords of ghcr.io (docs.github.com: "Authenticating as a GitHub App installation")."""

import json
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from regproxy import files
from regproxy.policy.clock import WallClock
from regproxy.policy.clouds.signing import CloudRequest
from regproxy.policy.clouds.sources import GithubApp
from regproxy.policy.credential import Credential, Secret
from regproxy.policy.routing import Host
from regproxy.ports import Unavailable
from regproxy.upstream.clouds.issuer import Issued, seconds_left, text_of
from regproxy.upstream.clouds.service import CloudService

_USER = "x-access-token"
_BEFORE, _AFTER = 60, 540  # seconds before and after now: GitHub takes ten minutes at most, and recommends the first for clocks that differ
_HEADERS = (("accept", "application/vnd.github+json"), ("content-type", "application/json"), ("x-github-api-version", "2022-11-28"))
_CREATED = 201
_ADVICE = "check app_id, installation_id, private_key and our clock, and that the app has the permission packages: read"


class GithubIssuer:
    """Asks GitHub's API, as the app."""

    def __init__(self, source: GithubApp, host: Host, clock: WallClock) -> None:
        """Ask nothing yet, for the sake of *host*."""
        self._source = source
        parts = urlsplit(source.endpoint)
        self._path = f"{parts.path.rstrip('/')}/app/installations/{source.installation_id}/access_tokens"
        self._github = CloudService("GitHub", f"{parts.scheme}://{parts.netloc}", host, clock)

    async def issue(self) -> Issued:
        key = await self._key()
        body = json.dumps({"permissions": {"packages": "read"}}).encode()

        def signed(now: float) -> CloudRequest:
            claims = {"iat": int(now) - _BEFORE, "exp": int(now) + _AFTER, "iss": self._source.app_id}
            token = jwt.encode({"alg": "RS256"}, claims, key)
            return CloudRequest("POST", self._github.host, self._path, headers=(*_HEADERS, ("authorization", f"Bearer {token}")), body=body)

        answer = await self._github.ask_signed(signed)
        if answer.status != _CREATED:
            raise answer.failure("a token of the installation", _ADVICE)
        document = answer.document()
        return Issued(Credential(_USER, Secret(text_of(answer, document, "token"))), seconds_left(answer, document.get("expires_at")))

    async def close(self) -> None:
        await self._github.close()

    async def _key(self) -> RSAKey:
        """Read the app's key, which may be another one than at the start."""
        path = self._source.private_key
        try:
            return RSAKey.import_key(await files.read_bytes(path))
        except OSError as error:
            raise Unavailable(f"the private key of the GitHub App cannot be read: {path}: {error.strerror}") from None
        except (JoseError, ValueError, TypeError):
            raise Unavailable(f"{path} is not an RSA private key in PEM form") from None
