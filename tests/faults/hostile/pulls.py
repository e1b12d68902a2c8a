"""Clients that behave: what they may have they get, whole and right, whoever else is there."""

import asyncio
import random
from hashlib import sha256

from tests.faults.hostile.requests import Grammar
from tests.faults.hostile.run import Run
from tests.faults.hostile.world import Image, Item, Repository
from tests.rig import LOOPBACK

_TIMEOUT = 60.0  # seconds for one answer, which takes milliseconds: a machine may be slow, but not for ever
_PIPELINED = 6


class Puller:
    """Pulls whole images over connections of its own, from an address of its own, and verifies every byte."""

    def __init__(self, run: Run, port: int, grammar: Grammar, chance: random.Random, address: str) -> None:
        self._run = run
        self._port = port
        self._grammar = grammar
        self._chance = chance
        self._address = address

    async def pull(self, image: Image) -> None:
        """Pull one image, and report what was not as it should be."""
        where = self._chance.choice(image.permitted)
        try:
            async with asyncio.timeout(_TIMEOUT * 2):
                await self._pull(image, where)
            self._run.done["images pulled"] += 1
        except (OSError, EOFError, ValueError, AssertionError, TimeoutError) as error:
            self._run.found("a permitted pull failed", f"{image.tag} of {where}: {error!r}")

    async def _pull(self, image: Image, where: Repository) -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, self._port, local_addr=(self._address, 0), limit=1 << 20)
        try:
            items = list(image.items)
            if self._chance.random() < 0.3:
                items = (items * _PIPELINED)[:_PIPELINED]
                writer.write(b"".join(self._grammar.permitted(item, where) for item in items))
                for item in items:
                    await self._answer(reader, item)
                return
            for item in items:
                await self._ask(reader, writer, item, self._grammar.permitted(item, where))
                if item.kind == "blobs" and self._chance.random() < 0.2:
                    await self._ask_for_a_part(reader, writer, item, where)
        finally:
            writer.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, item: Item, raw: bytes) -> None:
        writer.write(raw)
        await self._answer(reader, item)

    async def _ask_for_a_part(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, item: Item, where: Repository) -> None:
        start = self._chance.randrange(len(item.body))
        stop = self._chance.randrange(start, len(item.body)) + 1
        writer.write(self._grammar.permitted(item, where, Range=f"bytes={start}-{stop - 1}"))
        status, body = await self._read(reader)
        assert (status, body) == (206, item.body[start:stop]), f"{status} for bytes {start} to {stop} of {item.digest}: {body[:300]!r}"

    async def _answer(self, reader: asyncio.StreamReader, item: Item) -> None:
        status, body = await self._read(reader)
        assert status == 200, f"{status} for {item.kind} {item.digest}: {body[:300]!r}"
        assert sha256(body).hexdigest() == item.digest.hex, f"other bytes for {item.digest}"

    async def _read(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        async with asyncio.timeout(_TIMEOUT):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            return int(head[9:12]), await reader.readexactly(length)
