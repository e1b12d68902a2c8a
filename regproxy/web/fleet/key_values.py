"""What this machine keeps for other members, which have been recognized: values that it cannot read, and locks."""

import asyncio
from urllib.parse import parse_qs

from aiohttp import web

from regproxy.fleet.sealed import MAX_SEALED
from regproxy.peers.key_values import ALIVE, BEAT, ENDED, LOCKS, NONE, RELEASED, VALUES, Wanted, hash_of, wanted
from regproxy.peers.keys import Sealed
from regproxy.peers.reply import BUSY, BYTES, PENDING
from regproxy.ports import KeyValueStore
from regproxy.web.fleet.answers import headed, short
from regproxy.web.parameters import path_of

_BODY = 5.0  # seconds in which a value is to be here


class KeyValueEndpoint:
    """Answers below `VALUES` and `LOCKS`."""

    def __init__(self, values: KeyValueStore) -> None:
        self._values = values

    async def answer(self, request: web.BaseRequest, sealed: Sealed) -> web.StreamResponse:
        """Answer a request that a member made; what asks for nothing that there is gets an answer as a member that is busy gives it."""
        try:
            asked = wanted(parse_qs(request.raw_path.partition("?")[2], strict_parsing=True))
        except ValueError:
            return short(sealed, BUSY)
        match request.method, path_of(request):
            case "GET", path if path == VALUES:
                value = await self._values.get(asked.name)
                return short(sealed, NONE) if value is None else short(sealed, BYTES, value)
            case "PUT", path if path == VALUES:
                return short(sealed, BYTES if await self._is_put(request, asked) else BUSY)
            case "PUT", path if path == LOCKS:
                is_taken = await self._values.take(asked.name, asked.ticket, asked.seconds, asked.member)
                return short(sealed, BYTES if is_taken else NONE)
            case "GET", path if path == LOCKS:
                return await self._waited(request, sealed, asked)
            case "DELETE", path if path == LOCKS:
                await self._values.release(asked.name, asked.ticket)
                return short(sealed, BYTES)
        return short(sealed, BUSY)

    async def _is_put(self, request: web.BaseRequest, asked: Wanted) -> bool:
        if not 0 < (request.content_length or 0) <= MAX_SEALED:
            return False
        try:
            async with asyncio.timeout(_BODY):
                value = await request.content.readexactly(request.content_length or 0)
        except (asyncio.IncompleteReadError, TimeoutError):
            return False
        if hash_of(value) != asked.hash:
            return False
        await self._values.put(asked.name, value, asked.seconds, asked.member)
        return True

    async def _waited(self, request: web.BaseRequest, sealed: Sealed, asked: Wanted) -> web.StreamResponse:
        """Say that we live until a lock ends, and then how; whoever leaves waits no more."""
        response = headed(web.StreamResponse(), sealed, PENDING)
        response.enable_chunked_encoding()
        waiting = asyncio.create_task(self._values.wait(asked.name, asked.seconds, asked.member))
        try:
            await response.prepare(request)
            while not waiting.done():
                await response.write(ALIVE)
                await asyncio.wait({waiting}, timeout=BEAT)
            await response.write(RELEASED if waiting.result() else ENDED)
        finally:
            waiting.cancel()
        return response
