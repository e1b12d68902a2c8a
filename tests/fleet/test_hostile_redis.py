"""Somebody who listens where Redis should, and answers what no Redis does: pulls go on without it, and with it once it is well."""

import asyncio

import pytest

from tests.fakes.listener import Listener
from tests.fleet.replicas import KEY, REFERENCE, replica, until_back

NONSENSE = {
    "lists in lists": b"*1\r\n" * 50_000,
    "a length that is no number": b"$abc\r\n",
    "a length below zero": b"$-5\r\n",
    "a list of no length": b"*abc\r\n",
    "a number that is none": b":abc\r\n",
    "a number of 5,000 digits": b":" + b"9" * 5000 + b"\r\n",
    "a fraction that is none": b",abc\r\n",
    "a map with a list for a key": b"%1\r\n*0\r\n:1\r\n",
    "an error that is cut": b"-ASK 1\r\n",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "bytes": bytes(range(256)),
}


class Impostor(Listener):
    """Says *answer* to whatever comes."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(64 * 1024):
            writer.write(self.answer)
            await writer.drain()


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
async def test_n12_18_what_is_no_redis_fails_no_pull_and_may_become_one(answer: bytes) -> None:
    async with Impostor(answer) as impostor, replica(f"redis://127.0.0.1:{impostor.port}") as fleet:
        assert (await fleet.token(KEY), await fleet.tag(REFERENCE)) == (None, None)
        async with fleet.lock("work"):
            pass
        knocks = impostor.connections
        await impostor.connected(knocks + 1)
        impostor.answer = b"+PONG\r\n"
        await until_back(fleet)
