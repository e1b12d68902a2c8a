"""One member at a time, whatever others wrote where leases lie."""

import pytest
from obstore.store import MemoryStore

from regproxy.behind import lease
from regproxy.behind.lease import LENGTH, Lease
from regproxy.objects.bucket import Bucket
from regproxy.policy.store import objects
from regproxy.ports import StoreError
from tests.behind.replicas import NOW

FIRST = f"{objects.LEASES}{1:012d}"
SECOND = f"{objects.LEASES}{2:012d}"


@pytest.fixture
async def remote() -> Bucket:
    memory = MemoryStore()
    return Bucket(memory, memory, "memory")


async def names(remote: Bucket) -> list[str]:
    return [each.path async for page in remote.list(objects.LEASES) for each in page]


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"{}",
        b"[]",
        b"[" * 1024,
        b" " * 1025,
        b"\xff",
        b'{"until": []}',
        b'{"until": "soon"}',
        b'{"until": NaN}',
        b'{"until": Infinity}',
        b'{"until": 1' + b"0" * 500 + b"}",
        b'{"until": %d}' % (NOW + 2 * LENGTH),
    ],
)
async def test_n17_04_what_is_no_lease_keeps_nobody_from_one(remote: Bucket, written: bytes) -> None:
    await remote.put(FIRST, written)
    async with Lease(remote, lambda: NOW).held() as until:
        assert until == NOW + LENGTH
        assert await names(remote) == [SECOND]


async def test_n17_04_what_lies_beside_leases_is_none(remote: Bucket) -> None:
    stray = [f"{objects.LEASES}{name}" for name in ("zzz", "1", "1" * 100, "README.md", f"{7:012d}/x")]
    for path in stray:
        await remote.put(path, b"x")
    for _ in range(2):
        async with Lease(remote, lambda: NOW).held() as until:
            assert until == NOW + LENGTH
    assert sorted(await names(remote)) == sorted([*stray, SECOND])


async def test_n17_04_so_many_leases_are_none(remote: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_MAX_LEASES", 5)
    for number in range(6):
        await remote.put(f"{objects.LEASES}{number:012d}", b"{}")
    with pytest.raises(StoreError, match="more than 5 leases"):
        async with Lease(remote, lambda: NOW).held():
            pass
