"""What other members keep for all, and how they are asked for it."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp

from regproxy.fleet.sealed import MAX_SEALED
from regproxy.fleet.waiting import is_done
from regproxy.peers.client import PeerClient
from regproxy.peers.reply import BYTES, OUTCOME, PENDING, BusyError, PeerError

VALUES = "/fleet/v1/values"
LOCKS = "/fleet/v1/locks"
NONE = "none"  # an outcome: there is no such value, or another has the lock
BEAT = 0.25  # seconds between two signs of life of a member at which a lock is waited for
RELEASED, ENDED, ALIVE = b"+", b"-", b"."
MAX_SECONDS = 100 * 24 * 3600.0
_SILENCE = 4 * BEAT
_TIMEOUTS = 5  # for a call of a member that answers others
_MAX_NAME, _MAX_MEMBER = 64, 300  # characters

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request is about; what it does not say is empty, or 0."""

    name: str
    member: str = ""  # who asks
    seconds: float = 0.0
    ticket: str = ""
    hash: str = ""  # of the body, which nothing else signs

    def target(self, path: str) -> str:
        facts = {"name": self.name, "from": self.member, "seconds": self.seconds, "ticket": self.ticket, "hash": self.hash}
        return f"{path}?{urlencode({key: value for key, value in facts.items() if value})}"


def wanted(query: Mapping[str, Sequence[str]]) -> Wanted:
    """Read what `Wanted.target` wrote; raise `ValueError`."""
    try:
        found = {name: value for name, (value,) in query.items()}
        seconds = float(found.get("seconds", "0"))
        said = Wanted(found["name"], found.get("from", ""), seconds, found.get("ticket", ""), found.get("hash", ""))
    except KeyError as error:
        raise ValueError("nothing is asked for") from error
    if not (isfinite(seconds) and 0 <= seconds <= MAX_SECONDS):
        raise ValueError("no time that anything is kept for")
    if max(len(said.name), len(said.ticket), len(said.hash)) > _MAX_NAME or len(said.member) > _MAX_MEMBER:
        raise ValueError("a name that is too long")
    return said


def hash_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class RemoteKeyValues:
    """What one other member keeps (port KeyValueStore): each call raises `PeerError` where it does not answer in time, or `BusyError`.

    One that answers other calls meanwhile has much to do, and is waited for some times as long.
    """

    def __init__(self, client: PeerClient, member: str, timeout: float) -> None:
        """Leave *member* so many seconds for an answer."""
        self._client = client
        self._member = member
        self._timeout = timeout
        self._answers = 0  # so far

    async def get(self, name: str) -> bytes | None:
        return await self._in_time(self._got(Wanted(name).target(VALUES)))

    async def put(self, name: str, value: bytes, life: float, member: str) -> None:
        target = Wanted(name, member, life, hash=hash_of(value)).target(VALUES)
        await self._in_time(self._told("PUT", target, value))

    async def take(self, name: str, ticket: str, life: float, member: str) -> bool:
        return await self._in_time(self._told("PUT", Wanted(name, member, life, ticket).target(LOCKS)))

    async def release(self, name: str, ticket: str) -> None:
        await self._in_time(self._told("DELETE", Wanted(name, ticket=ticket).target(LOCKS)))

    async def wait(self, name: str, seconds: float, member: str) -> bool:
        """Wait as long as the member shows that it lives, and not much longer than *seconds*."""
        async with self._client.asked(self._member, Wanted(name, member, seconds).target(LOCKS)) as (response, _):
            self._check(response, PENDING)
            try:
                async with asyncio.timeout(seconds + _SILENCE):
                    while (sign := await self._sign(response)) == ALIVE:
                        pass
            except TimeoutError:
                return False
            return sign == RELEASED

    async def _sign(self, response: aiohttp.ClientResponse) -> bytes:
        signs = await answered(_read(response), max(self._timeout, _SILENCE))
        if not signs:
            raise PeerError("it broke off")
        return signs[-1:]

    async def _got(self, target: str) -> bytes | None:
        async with self._client.asked(self._member, target) as (response, _):
            if response.headers.get(OUTCOME) == NONE:
                return None
            self._check(response, BYTES)
            if not 0 <= (response.content_length or 0) <= MAX_SEALED or response.content_length is None:
                raise PeerError("it sent a value that is too long")
            return await _whole(response)

    async def _told(self, method: str, target: str, body: bytes | None = None) -> bool:
        async with self._client.asked(self._member, target, method=method, body=body) as (response, _):
            if response.headers.get(OUTCOME) == NONE:
                return False
            self._check(response, BYTES)
            return True

    def _check(self, response: aiohttp.ClientResponse, outcome: str) -> None:
        if response.headers.get(OUTCOME) != outcome:
            raise BusyError

    async def _in_time(self, work: Coroutine[Any, Any, Result]) -> Result:
        found = await answered(work, self._timeout, lambda: self._answers)
        self._answers += 1
        return found


async def answered(work: Coroutine[Any, Any, Result], timeout: float, answers: Callable[[], int] = lambda: 0) -> Result:
    """Wait for *work*, which asks a member; raise `PeerError` after *timeout* seconds; later while there are other *answers*."""
    task = asyncio.create_task(work)
    try:
        for _ in range(_TIMEOUTS):
            before = answers()
            if await is_done(task, timeout):
                return task.result()
            if answers() == before:
                break
        raise PeerError(f"it did not answer within {timeout:g} s")
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.content.readany()
    except (aiohttp.ClientError, OSError) as error:
        raise PeerError(f"it broke off: {type(error).__name__}") from error


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.read()
    except (aiohttp.ClientError, OSError) as error:
        raise PeerError(f"it broke off: {type(error).__name__}") from error
