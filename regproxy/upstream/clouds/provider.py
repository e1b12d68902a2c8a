"""Credentials of a program that speaks the kubelet's credential provider protocol.

Its responses are kept as it says, by image, registry or globally; one that may not be kept serves the requests of one pull. It is run
behind the requests before a response ends. What it fails with is remembered, so that it is not run for each request.
"""

import asyncio
import logging
import shutil
import time
from typing import NamedTuple

from cachetools import LRUCache

from regproxy.flights import Flights
from regproxy.policy.clock import MonotonicClock
from regproxy.policy.clouds import provider as protocol
from regproxy.policy.clouds.provider import CacheKeyType, InvalidResponse, Response
from regproxy.policy.clouds.sources import Provider
from regproxy.policy.credential import Credential
from regproxy.ports import Unavailable, detached
from regproxy.telemetry.log import fields
from regproxy.upstream.auth.helper import HelperFailedError, inherited, run

_MAX_KEPT = 128  # responses and failures of one provider in memory; a response has 64 KiB at most
_MAX_RUNNING = 4  # children of one provider at once
_LEAST_KEPT = 10.0  # seconds: one pull is many requests
_FAILED_FOR = 10.0  # seconds
_RENEWED_AT = 0.8  # of the time for which a response is kept
_REPLACED_FOR = 60.0  # seconds within which a response is not replaced again because it was refused
_TIMEOUT = 5.0  # seconds; one that asks a cloud takes two

_log = logging.getLogger(__name__)


class _Kept(NamedTuple):
    response: Response
    since: float
    renew_at: float
    until: float


class _Failure(NamedTuple):
    error: Unavailable
    until: float


class ProviderSource:
    """The credentials that one program knows."""

    def __init__(self, provider: Provider, clock: MonotonicClock = time.monotonic, timeout: float = _TIMEOUT) -> None:
        """Run nothing yet; a program may take *timeout* seconds."""
        self._provider = provider
        self._clock = clock
        self._timeout = timeout
        self._kept: LRUCache[tuple[CacheKeyType, str], _Kept] = LRUCache(_MAX_KEPT)
        self._failures: LRUCache[str, _Failure] = LRUCache(_MAX_KEPT)  # by image
        self._key_type = CacheKeyType.REGISTRY  # of the last response: who waits for whom
        self._flights: Flights[str, tuple[str, _Kept]] = Flights()
        self._running = asyncio.Semaphore(_MAX_RUNNING)

    async def find(self, name: str) -> Credential | None:
        """Return what the program knows for repository *name*."""
        images = self._images(name)
        if not protocol.is_asked_about(self._provider.match_images, images):
            return None
        kept = await self._find(images[0])
        return kept.response.find(images)

    async def replacement(self, refused: Credential, name: str) -> Credential | None:
        images = self._images(name)
        kept = await self._find(images[0])
        is_old = self._clock() - kept.since > _REPLACED_FOR
        if kept.response.find(images) == refused and is_old and self._current_failure(images[0]) is None:
            _, kept = await self._flights.join(images[0], lambda: self._run(images[0]))
        found = kept.response.find(images)
        return found if found != refused else None

    @property
    def failure(self) -> str:
        now = self._clock()
        return next((str(failure.error) for failure in self._failures.values() if now < failure.until), "")

    async def close(self) -> None:
        await self._flights.close()

    def _images(self, name: str) -> list[str]:
        return [f"{server}/{name}" if name else server for server in self._provider.servers]

    async def _find(self, image: str) -> _Kept:
        """Return a response for *image*, and run the program if there is none; images that may share one wait for each other."""
        for _ in range(2):
            if (kept := self._current(image)) is not None:
                return kept
            ran_for, kept = await self._flights.join(self._key_type.key(image), lambda: self._run(image))
            if ran_for == image:
                return kept
        return self._current(image) or (await self._flights.join(image, lambda: self._run(image)))[1]

    def _current(self, image: str) -> _Kept | None:
        now, failure = self._clock(), self._current_failure(image)
        found = (self._kept.get((key_type, key_type.key(image))) for key_type in CacheKeyType)
        kept = next((each for each in found if each is not None and now < each.until), None)
        if kept is None and failure is not None:
            raise detached(failure)
        if kept is not None and kept.renew_at <= now and failure is None:
            self._flights.start(self._key_type.key(image), lambda: self._run(image))
        return kept

    def _current_failure(self, image: str) -> Unavailable | None:
        """Return what the program failed with a moment ago."""
        failure = self._failures.get(image)
        return failure.error if failure is not None and self._clock() < failure.until else None

    async def _run(self, image: str) -> tuple[str, _Kept]:
        """Ask the program about *image*, and keep what it says; raise `Unavailable`."""
        async with self._running:
            try:
                response = protocol.parse(await self._output(image))
            except (HelperFailedError, InvalidResponse) as error:
                message = f"the credential provider {self._provider.command} failed for {image}: {error}"
                _log.warning("credential provider failed", extra=fields(command=self._provider.command, image=image, reason=str(error)))
                self._failures[image] = _Failure(Unavailable(message), self._clock() + _FAILED_FOR)
                raise Unavailable(message) from None
        now = self._clock()
        said = self._provider.default_cache_duration if response.seconds is None else response.seconds
        seconds = max(said, _LEAST_KEPT)
        # What may be kept only for a moment is not renewed behind requests: there would be no end to it.
        kept = _Kept(response, now, now + seconds * (_RENEWED_AT if said > _LEAST_KEPT else 1.0), now + seconds)
        self._key_type = response.key_type
        self._kept[response.key_type, response.key_type.key(image)] = kept
        self._failures.pop(image, None)
        return image, kept

    async def _output(self, image: str) -> bytes:
        command = self._provider.command
        if (program := shutil.which(command)) is None:
            raise HelperFailedError("there is no such program, or it cannot be run: install it, or correct credentials.provider.command")
        status, output = await run([program, *self._provider.args], protocol.request(image), inherited(self._provider.env), self._timeout)
        if status != 0:
            raise HelperFailedError(f"it exited with status {status}: run it by hand to see what it says")
        return output
