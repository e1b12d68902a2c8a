import asyncio
from hashlib import sha256

import pytest

from regproxy.fleet.signing import HashSigner
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Repository
from regproxy.peers.names import Blob, PieceName
from regproxy.peers.pieces.hashes import Finding, PieceHashes
from regproxy.policy.fleet.cut import MIB, piece_at
from regproxy.policy.fleet.signed_hash import Part, SignedHash, Statement
from regproxy.ports import NotFound
from tests.peers.parts import REPOSITORY, Given

BODY = b"b" * (MIB + 5)
BLOB = Blob(REPOSITORY, Digest.of(BODY))
FIRST, LAST = PieceName(BLOB, piece_at(0)), PieceName(BLOB, piece_at(MIB))
SIGNER, STRANGER = (HashSigner(f"canary-of-{each}", "docker.io") for each in ("the-cluster", "a-stranger"))
RIGHT, WRONG = sha256(BODY[:MIB]).digest(), b"w" * 32


def signed(signer: HashSigner = SIGNER, hash_: bytes = RIGHT, name: PieceName = FIRST) -> SignedHash:
    return signer.signed(Part(BLOB.digest, len(BODY), name.cut.start, min(name.cut.stop, len(BODY))), hash_)


class Stating(Given):
    """An upstream that states what its blobs are, once it has them."""

    has_caches = True

    def __init__(self, *blobs: bytes) -> None:
        super().__init__(*blobs)
        self.signer, self.stated, self.pending = SIGNER, 0, 0

    async def statement(self, repository: Repository, digest: Digest, start: int, stop: int) -> Statement | None:
        del repository
        self.stated += 1
        if self.stated <= self.pending:
            return None
        if (body := self.blobs.get(digest)) is None:
            raise NotFound("memory: no such blob")
        part = Part(digest, len(body), start, min(stop, len(body)))
        return Statement(len(body), self.signer.signed(part, sha256(body[start:stop]).digest()), self.signer.public_key)


def hashes(upstream: Stating) -> PieceHashes:
    return PieceHashes({"docker.io": upstream}, lambda: 0.0)


async def test_n17_13_a_piece_is_compared_with_what_the_cache_further_up_says() -> None:
    found = hashes(upstream := Stating(BODY))
    assert found.are_stated(BLOB)
    assert await found.check(FIRST, len(BODY), RIGHT, None) is Finding.RIGHT
    assert await found.check(FIRST, len(BODY), WRONG, None) is Finding.WRONG
    assert await found.check(FIRST, len(BODY) + 1, RIGHT, None) is Finding.WRONG, "of a blob of another size"
    assert await found.check(LAST, len(BODY), sha256(BODY[MIB:]).digest(), None) is Finding.RIGHT
    assert found.known(FIRST) == signed()
    before = upstream.stated
    assert await found.check(FIRST, len(BODY), RIGHT, None) is Finding.RIGHT
    assert upstream.stated == before, "it is known"


async def test_n17_13_what_a_member_passes_on_counts_as_its_signature_does() -> None:
    found = hashes(upstream := Stating(BODY))
    await found.check(LAST, len(BODY), sha256(BODY[MIB:]).digest(), None)
    assert await found.check(FIRST, len(BODY), RIGHT, signed()) is Finding.RIGHT
    assert upstream.stated == 1, "who signs is known"
    assert await found.check(FIRST, len(BODY), WRONG, signed(STRANGER, WRONG)) is Finding.WRONG
    assert await found.check(FIRST, len(BODY), WRONG, signed()) is Finding.WRONG
    assert found.known(FIRST) == signed()


async def test_n17_13_a_key_that_changes_is_learnt() -> None:
    found = hashes(upstream := Stating(BODY))
    await found.check(LAST, len(BODY), sha256(BODY[MIB:]).digest(), None)
    upstream.signer = STRANGER
    assert await found.check(FIRST, len(BODY), RIGHT, signed(STRANGER)) is Finding.RIGHT
    assert upstream.stated == 2
    assert await found.check(FIRST, len(BODY), RIGHT, signed(STRANGER)) is Finding.RIGHT
    assert upstream.stated == 2


async def test_n17_13_where_nothing_is_stated_nothing_is_known_and_it_is_not_asked_for_each_piece() -> None:
    found = hashes(upstream := Stating())
    for name in (FIRST, LAST, FIRST):
        assert await found.check(name, len(BODY), WRONG, None) is Finding.UNKNOWN
        assert found.known(name) is None
    assert upstream.stated == 1


@pytest.mark.parametrize("key", [b"short", STRANGER.public_key])
async def test_n17_13_a_statement_that_is_signed_by_another_key_says_nothing(key: bytes) -> None:
    class Odd(Stating):
        async def statement(self, repository: Repository, digest: Digest, start: int, stop: int) -> Statement | None:
            said = await super().statement(repository, digest, start, stop)
            assert said is not None
            return Statement(said.size, said.signed, key)

    assert await hashes(Odd(BODY)).check(FIRST, len(BODY), WRONG, None) is Finding.UNKNOWN


async def test_n17_13_a_cache_that_has_not_got_there_yet_is_asked_again() -> None:
    found = hashes(upstream := Stating(BODY))
    upstream.pending = 2
    async with asyncio.timeout(60):
        assert await found.check(FIRST, len(BODY), WRONG, None) is Finding.WRONG
    assert upstream.stated == 3


async def test_n17_13_what_is_known_counts_while_the_cache_says_nothing() -> None:
    found = hashes(upstream := Stating(BODY))
    await found.check(FIRST, len(BODY), RIGHT, None)
    upstream.blobs.clear()
    assert await found.check(FIRST, len(BODY), WRONG, None) is Finding.WRONG
    assert await found.check(LAST, len(BODY), WRONG, None) is Finding.UNKNOWN
    assert await found.check(FIRST, len(BODY), RIGHT, None) is Finding.RIGHT


async def test_n17_13_what_was_said_of_a_blob_that_is_wrong_is_forgotten() -> None:
    found = hashes(Stating(BODY))
    await found.check(FIRST, len(BODY), RIGHT, None)
    found.forget(Blob(REPOSITORY, Digest.of(b"another")))
    assert found.known(FIRST) is not None
    found.forget(BLOB)
    assert found.known(FIRST) is None
