"""What members say behind their bytes; what they say before: test_client.py."""

import time
from collections.abc import Callable

import pytest

from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.peers.client import PeerClient
from regproxy.peers.keys import FleetKeys
from regproxy.peers.names import Blob
from regproxy.peers.pieces.trailer import FIELD, Trailer, Word
from regproxy.peers.reply import PENDING, PeerError
from regproxy.policy.fleet.signed_hash import SignedHash
from tests.fakes.fleet import KEY
from tests.fakes.member import Asked, Member

BODY = b"blob" * 100_000
BLOB = Blob(Repository("docker.io", "library/app"), Digest.of(BODY))
SIGNED = Trailer.of(SignedHash(b"h" * 32, b"s" * 64))


async def received(answered: Callable[[Asked], bytes]) -> tuple[bytes, Trailer | None]:
    client = PeerClient(FleetKeys(KEY, time.time), 60.0, time.time)
    async with Member(answered, hangs_up=True) as member:
        try:
            async with client.piece(member.url, BLOB, 0, len(BODY), is_final=True) as reply:
                await reply.head()
                body = b"".join([chunk async for chunk in reply.chunks()])
                return body, await reply.trailer(60.0)
        finally:
            await client.close()


def chunked(asked: Asked, body: bytes) -> bytes:
    """Write an answer that says later what comes, and then all of that."""
    said = f'{{"range": "bytes 0-{len(BODY) - 1}/{len(BODY)}"}}'
    line = asked.says(said).partition(b"\r\n\r\n")[2]
    chunks = b"".join(f"{len(each):x}\r\n".encode() + each + b"\r\n" for each in (line, body))
    return asked.head(PENDING, 200, "", "Transfer-Encoding: chunked", f"{FIELD}: 1") + chunks + b"0\r\n\r\n"


@pytest.mark.parametrize("trailer", [Trailer.of(None), SIGNED, Trailer(Word.WRONG)])
async def test_n17_13_a_trailer_comes_behind_the_bytes_of_a_piece(trailer: Trailer) -> None:
    assert await received(lambda asked: asked.bytes_of(BODY, trailer=trailer.encode())) == (BODY, trailer)
    assert await received(lambda asked: chunked(asked, BODY + trailer.encode())) == (BODY, trailer)


async def test_n17_13_a_member_of_an_earlier_version_says_nothing() -> None:
    assert await received(lambda asked: asked.bytes_of(BODY)) == (BODY, Trailer(Word.NOTHING))


@pytest.mark.parametrize("cut", [1, 96])
async def test_n17_13_who_breaks_off_within_a_trailer_has_not_stood_by_what_it_sent(cut: int) -> None:
    assert await received(lambda asked: asked.bytes_of(BODY, trailer=SIGNED.encode())[:-cut]) == (BODY, None)
    assert await received(lambda asked: chunked(asked, BODY + SIGNED.encode()[:-cut])) == (BODY, None)


async def test_n17_03_bytes_that_end_short_are_no_piece() -> None:
    with pytest.raises(PeerError) as error:
        await received(lambda asked: asked.bytes_of(BODY, trailer=SIGNED.encode())[:-98])
    assert not error.value.is_suspect
