"""The keys of an issuer of JWTs (OpenID Connect Discovery 1.0; RFC 7517), fetched through the guard that every upstream is behind."""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from yarl import URL

from regproxy import files
from regproxy.config import Timeouts
from regproxy.config.clients import JwtEntry
from regproxy.flights import Flights
from regproxy.policy.clock import MonotonicClock
from regproxy.policy.routing import Host
from regproxy.policy.upstream.transport import Tls
from regproxy.ports import Unavailable, UnexpectedResponse, UpstreamError, detached
from regproxy.telemetry.log import fields
from regproxy.upstream.connections import Connections, Deadline, Pool, read_at_most

Key = RSAKey | ECKey | OKPKey

_MAX_BYTES = 256 * 1024  # of a document; large issuers have 10 KiB
_MAX_KEYS = 100
_SECONDS = 10.0  # for each document
_RENEWED_AFTER = 3600.0  # seconds; a key that the issuer withdrew is believed for so long
_BELIEVED_FOR = 24 * 3600.0  # seconds, while the issuer is out of reach
_AGAIN_AFTER = 10.0  # seconds until keys are fetched again because one is unknown, or because the last time failed
_DISCOVERY = "/.well-known/openid-configuration"

_log = logging.getLogger(__name__)


class IssuerKeys:
    """The keys of one issuer."""

    def __init__(self, entry: JwtEntry, clock: MonotonicClock = time.monotonic) -> None:
        """Fetch nothing yet."""
        self._entry = entry
        self._clock = clock
        self._keys: Mapping[str, Key] = {}
        self._fetched_at: float | None = None
        self._asked_at: float | None = None
        self._failure: UpstreamError | None = None
        self._flights: Flights[str, None] = Flights()
        self._connections = Connections(_host(entry), Timeouts())

    async def find(self, name: str) -> Key | None:
        """Return the key *name*; "" is the only key there is. Raise `UpstreamError` where no keys are known.

        One that is unknown may be new: it is asked for, but not again and again.
        """
        now = self._clock()
        is_over = self._fetched_at is None or now - self._fetched_at > _BELIEVED_FOR
        if self._may_ask(now) and (is_over or self._get(name) is None):
            await self._flights.join("keys", self._renew)
        elif self._may_ask(now) and self._fetched_at is not None and now - self._fetched_at > _RENEWED_AFTER:
            self._flights.start("keys", self._renew)
        now = self._clock()  # it may have taken a while
        if self._fetched_at is None or now - self._fetched_at > _BELIEVED_FOR:
            raise detached(self._failure or Unavailable(f"the issuer {self._entry.issuer} has not named its keys yet"))
        return self._get(name)

    async def close(self) -> None:
        await self._flights.close()
        await self._connections.close()

    def _get(self, name: str) -> Key | None:
        if not name:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(name)

    def _may_ask(self, now: float) -> bool:
        return self._asked_at is None or now - self._asked_at >= _AGAIN_AFTER

    async def _renew(self) -> None:
        self._asked_at = self._clock()
        try:
            self._keys = _keys_of(await self._fetched(await self._location()))
            self._fetched_at, self._failure = self._clock(), None
        except UpstreamError as error:
            self._failure = detached(error)
            _log.warning("keys of the issuer not fetched", extra=fields(issuer=self._entry.issuer, reason=str(error)))

    async def _location(self) -> str:
        if self._entry.keys is not None:
            return self._entry.keys
        found = await self._fetched(f"{self._entry.issuer}{_DISCOVERY}")
        if found.get("issuer") != self._entry.issuer:
            raise UnexpectedResponse(f"{self._entry.issuer} answered for another issuer")
        location = found.get("jwks_uri")
        if not isinstance(location, str):
            raise UnexpectedResponse(f"{self._entry.issuer} does not name its keys (jwks_uri)")
        return location

    async def _fetched(self, location: str) -> dict[str, Any]:
        home = URL(self._entry.keys or self._entry.issuer)
        try:
            url = URL(location)
            origin = url.origin()
        except ValueError:
            raise UnexpectedResponse(f"{self._entry.issuer} names a place for its keys that is no URL") from None
        if url.scheme != "https" and origin != home.origin():
            raise UnexpectedResponse(f"{self._entry.issuer} names keys that are not at https")
        headers = {"Accept": "application/json"}
        if self._entry.token_file is not None and origin == home.origin():
            headers["Authorization"] = f"Bearer {await _token(self._entry.token_file)}"
        async with self._connections.request(Pool.TOKEN, "GET", url, headers, deadline=Deadline(_SECONDS)) as response:
            if response.status != 200:
                raise Unavailable(f"{url.host} answered {response.status} for the keys of {self._entry.issuer}")
            with self._connections.translated(url):
                body = await read_at_most(response, _MAX_BYTES, "keys")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise UnexpectedResponse(f"{url.host} did not answer with JSON for the keys of {self._entry.issuer}")
        return document


def _keys_of(document: Mapping[str, Any]) -> dict[str, Key]:
    """Read the public keys that can be used; one that cannot is nobody else's fault."""
    listed = document.get("keys")
    found: dict[str, Key] = {}
    for each in listed[:_MAX_KEYS] if isinstance(listed, list) else ():
        try:
            [key] = KeySet.import_key_set({"keys": [each]}).keys
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            continue
        if isinstance(key, Key) and each.get("use", "sig") == "sig":
            found[str(each.get("kid", ""))] = key
    if not found:
        raise UnexpectedResponse("the issuer has no key that can be used")
    return found


def _host(entry: JwtEntry) -> Host:
    home = str(URL(entry.keys or entry.issuer).origin())
    return Host(home, private_networks=entry.private_networks, tls=Tls(ca=entry.ca))


async def _token(path: Path) -> str:
    try:
        return (await files.read_bytes(path)).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"{path} cannot be read: {getattr(error, 'strerror', None) or type(error).__name__}") from None
