"""What stays in an object store is read from what is signed there, each time anew."""

import pytest
from obstore.store import MemoryStore

from regproxy.behind import retention
from regproxy.behind.retention import Retention, TooMuch
from regproxy.objects.bucket import Bucket
from regproxy.oci.digest import Digest
from regproxy.policy.freezing import Freeze
from regproxy.policy.store import objects
from regproxy.ports import StoreError
from tests.behind_kit import OTHER_KEY, signer

DIGESTS = [Digest.of(str(number).encode()) for number in range(5)]


@pytest.fixture
def remote() -> Bucket:
    memory = MemoryStore()
    return Bucket(memory, memory, "memory")


async def pin(remote: Bucket, digest: Digest, keys: str | None = None) -> None:
    path = objects.pin(digest)
    await remote.put(path, (signer(keys) if keys else signer()).signed(path, {"digest": str(digest)}))


async def test_n17_04_what_is_pinned_or_frozen_stays(remote: Bucket) -> None:
    await pin(remote, DIGESTS[0])
    path = objects.freeze("a:*")
    await remote.put(path, signer().signed(path, {"pattern": "a:*", "digest": str(DIGESTS[1])}))
    subject = Retention(remote, signer(), [Freeze("b:*", DIGESTS[2])])
    assert await subject.kept() == set(DIGESTS[:3])
    await remote.delete(objects.pin(DIGESTS[0]))
    assert await subject.kept() == set(DIGESTS[1:3]), "it is not remembered"


async def test_n17_04_what_somebody_else_signed_or_moved_keeps_nothing(remote: Bucket) -> None:
    await pin(remote, DIGESTS[0], OTHER_KEY)
    await remote.put(objects.pin(DIGESTS[1]), signer().signed(objects.pin(DIGESTS[2]), {"digest": str(DIGESTS[2])}))
    for name, document in (("a", {"pattern": 1, "digest": "x"}), ("b", {}), ("c", {"pattern": "c", "digest": None})):
        path = objects.freeze(name)
        await remote.put(path, signer().signed(path, document))
    await remote.put(f"{objects.FREEZES}stray", b"x")
    assert await Retention(remote, signer(), []).kept() == set()


async def test_n17_04_nothing_is_known_where_one_cannot_be_read(remote: Bucket) -> None:
    await pin(remote, DIGESTS[0])
    await remote.put(objects.pin(DIGESTS[1]), bytes(20_000))
    with pytest.raises(StoreError):
        await Retention(remote, signer(), []).kept()


async def test_n17_04_more_than_is_looked_at_is_said(remote: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_MAX_KEPT", 3)
    for digest in DIGESTS:
        await pin(remote, digest)
    with pytest.raises(TooMuch):
        await Retention(remote, signer(), []).kept()
