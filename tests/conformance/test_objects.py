"""What every adapter of the port ObjectStore promises."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from obstore.store import MemoryStore

from regproxy.objects.bucket import Bucket, opened
from regproxy.ports import Gone, ObjectStore, StoreError
from tests import behind_kit
from tests.canary import told
from tests.fakes.bucket import FakeBucket

BODY = bytes(range(256)) * 4000
assert behind_kit.REGION


@pytest.fixture(params=["memory", "s3"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ObjectStore]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            memory = MemoryStore()
            yield Bucket(memory, memory, "memory")
            return
        bucket = await stack.enter_async_context(FakeBucket())
        yield opened("s3://bucket/prefix", bucket.url)


async def chunks(*bodies: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for each in bodies:
        yield each
    if error is not None:
        raise error


async def test_n17_04_what_was_written_is_read(store: ObjectStore) -> None:
    assert await store.get("a/b", 100) is None
    assert await store.head("a/b") is None
    await store.put("a/b", b"one")
    await store.put("a/b", b"two")
    assert await store.get("a/b", 100) == b"two"
    found = await store.head("a/b")
    assert found is not None
    assert (found.path, found.size) == ("a/b", 3)
    with pytest.raises(StoreError, match="more than"):
        await store.get("a/b", 2)
    await store.delete("a/b")
    await store.delete("a/b")
    assert await store.get("a/b", 100) is None


async def test_n17_04_one_of_many_creates(store: ObjectStore) -> None:
    assert await store.create("lease", b"one")
    assert not await store.create("lease", b"two")
    assert await store.get("lease", 10) == b"one"


@pytest.mark.parametrize("parts", [(b"small",), (), (BODY,) * 12])
async def test_n17_04_an_upload_is_there_whole(store: ObjectStore, parts: tuple[bytes, ...]) -> None:
    await store.upload("blob", chunks(*parts))
    assert await store.get("blob", 2**30) == b"".join(parts)


@pytest.mark.parametrize("parts", [(b"small",), (BODY,) * 12])
async def test_n17_04_an_upload_that_breaks_off_leaves_nothing(store: ObjectStore, parts: tuple[bytes, ...]) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        await store.upload("blob", chunks(*parts, error=RuntimeError("broken")))
    assert await store.head("blob") is None


async def test_n17_04_a_part_is_read_exactly(store: ObjectStore) -> None:
    await store.put("blob", BODY)
    async with store.stream("blob", 1000, 500_000) as stream:
        assert b"".join([chunk async for chunk in stream]) == BODY[1000:500_000]
    for path, stop in (("blob", len(BODY) + 1), ("none", 10)):
        with pytest.raises(Gone):
            async with store.stream(path, 0, stop):
                pass


async def test_n17_04_what_is_below_a_prefix_is_listed(store: ObjectStore) -> None:
    for path in ("links/localhost:5000/a/_/x", "links/b", "tags/c"):
        await store.put(path, b"x")
    assert [each.path async for page in store.list("links/") for each in page] == ["links/b", "links/localhost:5000/a/_/x"]


async def test_n17_04_a_store_that_refuses_is_an_error_of_ours_without_its_insides() -> None:
    async with FakeBucket() as bucket:
        bucket.refuse = True
        store = opened("s3://bucket/prefix", bucket.url)
        with pytest.raises(StoreError, match="could not read a/b: 503 Service Unavailable: SlowDown: ") as caught:
            await store.get("a/b", 10)
        assert "canary" not in str(caught.value)
        assert len(str(caught.value)) < 500


async def test_n17_04_a_blob_may_take_longer_than_a_silence() -> None:
    async with FakeBucket() as bucket:
        bucket.write("prefix/blob", BODY)
        bucket.pace = 0.25
        store = opened("s3://bucket/prefix", bucket.url, timedelta(seconds=2))
        async with store.stream("blob", 0, len(BODY)) as stream:
            assert b"".join([chunk async for chunk in stream]) == BODY


async def test_n17_04_no_secret_of_a_cloud_is_in_an_error() -> None:
    """Azure has tokens that are a part of the URL."""
    account = {"AZURE_STORAGE_ACCOUNT_NAME": "account", "AZURE_STORAGE_SAS_KEY": "sv=2023-11-03&ss=b&sig=canary-of-azure"}
    os.environ.update(account)
    try:
        store = opened("az://container/prefix", "http://127.0.0.1:9")
    finally:
        for name in account:
            del os.environ[name]
    with pytest.raises(StoreError, match="could not read a/b") as caught:
        await store.get("a/b", 10)
    assert told(str(caught.value)) is None


async def test_n17_04_a_signed_url_opens_one_object_for_a_while() -> None:
    async with FakeBucket() as bucket:
        url = await opened("s3://bucket/prefix", bucket.url).sign("blobs/x", 60)
    assert url.startswith(f"{bucket.url}/bucket/prefix/blobs/x?")
    assert "X-Amz-Expires=60" in url
    memory = MemoryStore()
    with pytest.raises(StoreError, match="signs no URLs"):
        await Bucket(memory, memory, "memory").sign("blobs/x", 60)
