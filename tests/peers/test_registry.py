import os
from pathlib import Path

import pytest

from regproxy.asker import Asker, asker
from regproxy.oci.digest import Digest
from regproxy.peers.registry import NAME, PeeredRegistry
from regproxy.policy.credential import Credential, Secret
from regproxy.policy.fleet.cut import MIB
from regproxy.ports import NotFound, Unavailable
from tests.peers.parts import DEAD, REPOSITORY, Given, exchange

WHOLE = os.urandom(100_000)
DIGEST = Digest.of(WHOLE)
LARGE = bytes(2 * MIB)


async def fetched(registry: PeeredRegistry, digest: Digest = DIGEST, last: str | None = None) -> tuple[str, bytes]:
    """Return who sent the blob, and the blob."""
    async with registry.blob(REPOSITORY, digest, last=last) as body:
        return str(body), b"".join([chunk async for chunk in body.chunks()])


async def test_n17_02_a_blob_comes_by_pieces_where_there_are_others(tmp_path: Path) -> None:
    async with exchange(tmp_path, Given(WHOLE), DEAD) as parts:
        assert await fetched(PeeredRegistry(parts.upstreams.registries["docker.io"], parts)) == (NAME, WHOLE)
    async with exchange(tmp_path / "..", Given(WHOLE)) as alone:
        assert await fetched(PeeredRegistry(alone.upstreams.registries["docker.io"], alone)) == ("memory", WHOLE)


async def test_n17_02_what_a_client_opens_by_its_own_credential_comes_from_upstream(tmp_path: Path) -> None:
    async with exchange(tmp_path, Given(WHOLE), DEAD) as parts:
        registry = PeeredRegistry(parts.upstreams.registries["docker.io"], parts)
        token = asker.set(Asker(Credential("ann", Secret("canary"))))
        try:
            assert await fetched(registry) == ("memory", WHOLE)
        finally:
            asker.reset(token)
    assert list((tmp_path / "pieces").iterdir()) == []


async def test_n17_03_what_came_wrong_comes_from_upstream_next_time(tmp_path: Path) -> None:
    async with exchange(tmp_path, Given(WHOLE), DEAD) as parts:
        registry = PeeredRegistry(parts.upstreams.registries["docker.io"], parts)
        async with registry.blob(REPOSITORY, DIGEST) as body:
            assert b"".join([chunk async for chunk in body.chunks()]) == WHOLE
            found = [body.is_untrusted]
            for say in (body.confirm, body.reject):
                say()
                found.append(body.is_untrusted)
            assert found == [True, False, True]
        assert await fetched(registry) == ("memory", WHOLE)
        await registry.close()
        assert list((tmp_path / "pieces").iterdir()) == []


async def test_n17_03_what_members_sent_right_to_one_worker_counts_for_all(tmp_path: Path) -> None:
    """Else each worker holds back the first layers of its own."""
    async with exchange(tmp_path, Given(WHOLE), DEAD) as one, exchange(tmp_path, Given(WHOLE), DEAD) as other:
        first, second = (PeeredRegistry(each.upstreams.registries["docker.io"], each) for each in (one, other))
        found = [second.is_untrusted]
        async with first.blob(REPOSITORY, DIGEST) as body:
            for say in (body.confirm, body.reject):
                say()
                found.append(second.is_untrusted)
        await first.close()
    assert found == [True, False, True]


async def test_n17_02_a_blob_whose_pieces_failed_is_fetched_whole_for_a_while(tmp_path: Path) -> None:
    given = Given(LARGE)
    given.is_ranged = False
    async with exchange(tmp_path, given, DEAD) as parts:
        registry = PeeredRegistry(given, parts)
        digest = Digest.of(LARGE)
        assert await fetched(registry, digest, NAME) == ("memory", LARGE), "who broke off is asked last"
        with pytest.raises(Unavailable, match="sends no parts"):
            await fetched(registry, digest)
        by_pieces = len(given.asked)
        assert [await fetched(registry, digest) for _ in range(2)] == [("memory", LARGE)] * 2
        assert given.asked[by_pieces:] == [(0, None)] * 2


async def test_n17_02_what_upstream_says_is_not_asked_again(tmp_path: Path) -> None:
    given = Given()
    async with exchange(tmp_path, given, DEAD) as parts:
        with pytest.raises(NotFound):
            await fetched(PeeredRegistry(given, parts))
        assert len(given.asked) == 1
