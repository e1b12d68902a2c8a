"""Credentials for one host: from the configuration, or from a docker config.json that may change at any time.

A file that changed is read anew at the next request; one that cannot be read or understood leaves what was known. Helpers are told the
server on their standard input and answer on their output, so that no secret is in a process list. They inherit PATH, HOME and what the
configuration says, and nothing else of our environment, where the secrets of other upstreams are.
"""

import asyncio
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from cachetools import TTLCache

from regproxy.flights import Flights
from regproxy.policy.routing import Credential, Host
from regproxy.policy.upstream.keyring import Helper, InvalidKeyring, Keyring, told
from regproxy.telemetry.log import fields

_HELPER_PATIENCE = 5.0  # seconds; one that asks a cloud takes two
_HELPER_BELIEVED = 300.0  # seconds; the shortest-lived secrets that helpers hand out live for an hour
_MAX_OUTPUT_BYTES = 64 * 1024  # of a helper; what it says is a few KiB
_INHERITED = ("PATH", "HOME")
_SERVERS = 256  # answers of helpers in memory

_log = logging.getLogger(__name__)

_Version: TypeAlias = tuple[int, int, int] | None


class Credentials:
    """The credentials for one host, by repository."""

    def __init__(self, host: Host, search_path: str | None = None) -> None:
        """Read nothing yet. Helpers are looked for in *search_path*, which is PATH unless given."""
        self._host = host
        self._search_path = search_path
        self._keyring = Keyring({}, {})
        self._version: _Version = None
        self._complaint: str | None = None
        self._told: TTLCache[Helper, Credential | None] = TTLCache(_SERVERS, _HELPER_BELIEVED)
        self._flights: Flights[Helper, Credential | None] = Flights()

    async def find(self, name: str) -> Credential | None:
        """Find the credential for repository *name*; None: anonymous."""
        config = self._host.docker_config
        if config is None:
            return self._host.credential
        self._refresh(config.path)
        for source in self._keyring.sources(config.servers, name):
            credential = await self._ask(source) if isinstance(source, Helper) else source
            if credential is not None:
                return credential
        return None

    async def close(self) -> None:
        await self._flights.close()

    def _refresh(self, path: Path) -> None:
        """Read the file if it is another one than before; a few KiB, on the loop."""
        try:
            found = path.stat()
            version = (found.st_ino, found.st_mtime_ns, found.st_size)
            if version == self._version:
                return
            self._version = version
            self._keyring = Keyring.parse(path.read_bytes())
        except (OSError, InvalidKeyring) as error:
            self._complain(path, error.strerror if isinstance(error, OSError) else str(error))
            return
        self._complaint = None
        self._told.clear()

    def _complain(self, path: Path, reason: str | None) -> None:
        """Log once, not at every request."""
        if reason != self._complaint:
            self._complaint = reason
            _log.warning("credentials cannot be read", extra=fields(path=str(path), host=str(self._host), reason=reason))

    async def _ask(self, helper: Helper) -> Credential | None:
        if helper not in self._told:
            self._told[helper] = await self._flights.join(helper, lambda: self._run(helper))
        return self._told.get(helper)

    async def _run(self, helper: Helper) -> Credential | None:
        name = f"docker-credential-{helper.suffix}"
        program = shutil.which(name, path=self._search_path)
        if program is None:
            _log.warning("credential helper not found", extra=fields(helper=name, host=str(self._host)))
            return None
        pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            program, "get", stdin=pipe, stdout=pipe, stderr=none, env=self._environment(), limit=_MAX_OUTPUT_BYTES
        )
        try:
            async with asyncio.timeout(_HELPER_PATIENCE):
                output = await _answer(process, helper.server)
        except TimeoutError:
            _log.warning("credential helper timed out", extra=fields(helper=name, host=str(self._host)))
            return None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return told(output) if process.returncode == 0 else None

    def _environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        config = self._host.docker_config
        return inherited | ({name: value.value for name, value in config.helper_env} if config else {})


async def _answer(process: asyncio.subprocess.Process, server: str) -> bytes:
    """Pass the server to a helper and return what it answers, as far as that has a use."""
    assert process.stdin is not None  # noqa: S101 -- both are pipes
    assert process.stdout is not None  # noqa: S101
    with suppress(ConnectionError):  # it may answer, or fail, without having listened
        process.stdin.write(server.encode())
        process.stdin.close()
        await process.stdin.wait_closed()
    output = bytearray()
    while len(output) <= _MAX_OUTPUT_BYTES and (piece := await process.stdout.read(_MAX_OUTPUT_BYTES)):
        output += piece
    if len(output) > _MAX_OUTPUT_BYTES:
        process.kill()
    await process.wait()
    return bytes(output)
