"""What a machine keeps for the other members of its fleet lies at the supervisor, and any worker may be asked for it."""

import base64
import binascii
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from regproxy.ports import KeyValueStore

_LATE = 1.0  # seconds beside those that a lock is waited for


class Asking(Protocol):
    """Asks the supervisor, and waits for its answer; None where there is none."""

    def __call__(self, call: str, *arguments: object, within: float | None = None) -> Awaitable[Any]: ...


class SupervisedKeyValues:
    """What the supervisor keeps, as a worker sees it (port KeyValueStore); nothing where the supervisor is silent."""

    def __init__(self, ask: Asking) -> None:
        self._ask = ask

    async def get(self, name: str) -> bytes | None:
        found = await self._ask("kept", name)
        return base64.b64decode(found) if isinstance(found, str) else None

    async def put(self, name: str, value: bytes, life: float, member: str) -> None:
        await self._ask("keep", name, base64.b64encode(value).decode(), life, member)

    async def take(self, name: str, ticket: str, life: float, member: str) -> bool:
        return await self._ask("take", name, ticket, life, member) is not False

    async def wait(self, name: str, seconds: float, member: str) -> bool:
        return await self._ask("wait_for", name, seconds, member, within=seconds + _LATE) is not False

    async def release(self, name: str, ticket: str) -> None:
        await self._ask("release", name, ticket)


async def answered(values: KeyValueStore, call: str, arguments: Sequence[Any]) -> object:
    """Answer what a worker asks; None for what is no such call."""
    try:
        match call, *arguments:
            case "kept", name:
                found = await values.get(name)
                return None if found is None else base64.b64encode(found).decode()
            case "keep", name, encoded, life, member:
                await values.put(name, base64.b64decode(encoded), life, member)
            case "take", name, ticket, life, member:
                return await values.take(name, ticket, life, member)
            case "wait_for", name, seconds, member:
                return await values.wait(name, seconds, member)
            case "release", name, ticket:
                await values.release(name, ticket)
    except (TypeError, binascii.Error):
        pass
    return None
