"""Credentials for one host: from the configuration, or from a docker config.json that may change at any time.

A file that changed is read anew at the next request; one that cannot be read or understood leaves what was known, and so does a helper
that fails. Helpers inherit PATH, HOME and what the configuration says, and nothing else of our environment, where the secrets of other
upstreams are. A credential that ends has a source, which renews it.
"""

import asyncio
import logging
import shutil
import time
from pathlib import Path

from cachetools import LRUCache, TLRUCache

from regproxy import files
from regproxy.asker import asker
from regproxy.flights import Flights
from regproxy.policy.credential import Credential
from regproxy.policy.routing import Host
from regproxy.policy.upstream.keyring import Helper, InvalidKeyring, Keyring, told
from regproxy.telemetry.log import fields
from regproxy.upstream.auth.helper import HelperFailedError, answer, inherited
from regproxy.upstream.clouds.source import Source

_HELPER_BELIEVED = 300.0  # seconds; the shortest-lived secrets that helpers hand out live for an hour
_NO_HELP_BELIEVED = 10.0  # seconds, where it failed or knows nothing: somebody may be about to log in
_READ_TIMEOUT = 2.0  # seconds; what a file system that hangs holds back leaves what was known
_SERVERS = 256  # answers of helpers in memory

_log = logging.getLogger(__name__)


class Credentials:
    """The credentials for one host, by repository."""

    def __init__(
        self, host: Host, search_path: str | None = None, read_timeout: float = _READ_TIMEOUT, source: Source | None = None
    ) -> None:
        """Read nothing yet, and wait for a file for up to *read_timeout* seconds.

        Helpers are looked for in *search_path*, which is PATH unless given. Where there is a *source*, it knows the credential.
        """
        self._host = host
        self._source = source
        self._search_path = search_path
        self._read_timeout = read_timeout
        self._keyring = Keyring({}, {})
        self._version: files.FileVersion | None = None
        self._complaint: str | None = None
        self._told: TLRUCache[Helper, Credential | None] = TLRUCache(_SERVERS, _until, timer=time.monotonic)
        self._known: LRUCache[Helper, Credential] = LRUCache(_SERVERS)  # what each last answered, while the file is the same
        self._flights: Flights[Helper, Credential | None] = Flights()
        self._reading: Flights[Path, None] = Flights()  # one thread waits for a file that hangs, however many ask

    async def find(self, name: str) -> Credential | None:
        """Find the credential for repository *name*; None: anonymous. Raise `UpstreamError` where its source does not issue one.

        What is asked for a client is asked with the client's own, and with none of ours.
        """
        if (who := asker.get()) is not None and self._host.is_shown_credentials:
            return who.credential
        if self._source is not None:
            return await self._source.find(name)
        config = self._host.docker_config
        if config is None:
            return self._host.credential
        await self._refresh(config.path)
        for source in self._keyring.sources(config.servers, name):
            credential = await self._ask(source) if isinstance(source, Helper) else source
            if credential is not None:
                return credential
        return None

    async def replacement(self, refused: Credential, name: str) -> Credential | None:
        """Return another credential for *name* than one of ours that was refused before its end; None where there is no other."""
        is_ours = asker.get() is None or not self._host.is_shown_credentials
        return await self._source.replacement(refused, name) if self._source is not None and is_ours else None

    @property
    def failure(self) -> str:
        """Return why there is no credential; empty where there is one, or none is configured."""
        return self._source.failure if self._source is not None else ""

    async def close(self) -> None:
        await self._flights.close()
        await self._reading.close()
        if self._source is not None:
            await self._source.close()

    async def _refresh(self, path: Path) -> None:
        """Read the file if it is another one than before, together with all who ask now."""
        try:
            async with asyncio.timeout(self._read_timeout):
                await self._reading.join(path, lambda: self._read(path))
        except TimeoutError:
            self._complain(path, f"the file system did not answer within {self._read_timeout:g} s")

    async def _read(self, path: Path) -> None:
        try:
            version = await files.version(path)
            if version == self._version:
                return
            self._version = version
            self._keyring = Keyring.parse(await files.read_bytes(path))
        except (OSError, InvalidKeyring) as error:
            self._complain(path, error.strerror if isinstance(error, OSError) else str(error))
            return
        self._complaint = None
        self._told.clear()
        self._known.clear()

    def _complain(self, path: Path, reason: str | None) -> None:
        """Log once, not at every request."""
        if reason != self._complaint:
            self._complaint = reason
            _log.warning("credentials cannot be read", extra=fields(path=str(path), host=str(self._host), reason=reason))

    async def _ask(self, helper: Helper) -> Credential | None:
        if helper in self._told:
            return self._told[helper]
        return await self._flights.join(helper, lambda: self._run(helper))

    async def _run(self, helper: Helper) -> Credential | None:
        """Ask a helper; what it said before stands where it fails."""
        name, credential = f"docker-credential-{helper.suffix}", self._known.get(helper)
        if (program := shutil.which(name, path=self._search_path)) is None:
            _log.warning("credential helper not found", extra=fields(helper=name, host=str(self._host)))
            credential = None
        else:
            try:
                credential = told(await answer(program, helper.server, self._environment()))
            except HelperFailedError as error:
                _log.warning("credential helper failed", extra=fields(helper=name, host=str(self._host), reason=str(error)))
        self._told[helper] = credential
        if credential is not None:
            self._known[helper] = credential
        return credential

    def _environment(self) -> dict[str, str]:
        config = self._host.docker_config
        return inherited(config.helper_env if config else ())


def _until(_: Helper, credential: Credential | None, now: float) -> float:
    """Return until when an answer is believed."""
    return now + (_NO_HELP_BELIEVED if credential is None else _HELPER_BELIEVED)
