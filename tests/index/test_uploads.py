"""What is to be written to an object store is in the queue with what it is about."""

from pathlib import Path

import pytest

from regproxy.index.sqlite import SqliteIndex
from regproxy.index.uploads import triggers
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.policy.tag_history import PastMeaning
from regproxy.ports import Kind, Pending, UploadKind

APP = Repository("docker.io", "library/app")
TAG = Reference(APP, Tag("1"))
NOW = 1_785_585_600.0


def content(number: int, size: int = 10) -> Descriptor:
    return Descriptor("application/octet-stream", Digest.of(str(number).encode()), size)


async def opened(path: Path, *, is_backed: bool = True) -> SqliteIndex:
    return await SqliteIndex.open(path / "index.db", lambda: NOW, is_backed=is_backed)


async def names(index: SqliteIndex) -> list[tuple[UploadKind, str]]:
    return [(each.kind, each.name) for each in await index.uploads().due(NOW, 100_000)]


async def test_n17_04_what_is_recorded_is_queued_once_and_over_a_restart(tmp_path: Path) -> None:
    index = await opened(tmp_path)
    for _ in range(2):
        await index.put(Kind.BLOB, APP, content(1))
        await index.put_tag(TAG, TagRecord(content(2), NOW))
        await index.put_freeze(Freeze("docker.io/library/*", None))
        await index.ledger().pin(content(1).digest, pinned=True)
    await index.put_refused(APP, "no")
    await index.close()
    index = await opened(tmp_path)
    link = (UploadKind.LINK, f"blob docker.io/library/app {content(1).digest}")
    assert set(await names(index)) == {
        link,
        (UploadKind.TAG, "docker.io/library/app:1"),
        (UploadKind.FREEZE, "docker.io/library/*"),
        (UploadKind.PIN, str(content(1).digest)),
        (UploadKind.ACCESS, "docker.io/library/app"),
    }
    assert len(await names(index)) == 5
    assert await index.uploads().pending() == Pending(5, 10)
    await index.close()


async def test_n17_04_nothing_is_queued_without_an_object_store(tmp_path: Path) -> None:
    index = await opened(tmp_path, is_backed=False)
    await index.put(Kind.BLOB, APP, content(1))
    await index.put_tag(TAG, TagRecord(content(2), NOW))
    assert await names(index) == []
    await index.close()


async def test_n17_04_a_tag_that_means_the_same_is_not_written_at_each_revalidation(tmp_path: Path) -> None:
    index = await opened(tmp_path)
    queue = index.uploads()
    await index.put_tag(TAG, TagRecord(content(1), NOW))
    [upload] = await queue.due(NOW, 10)
    await queue.put_tag_uploaded(TAG, TagRecord(content(1), NOW))
    await queue.done(upload)
    await index.put_tag(TAG, TagRecord(content(1), NOW + 300))
    assert await names(index) == []
    await index.put_tag(TAG, TagRecord(content(1), NOW + 3700))
    [upload] = await queue.due(NOW, 10)
    await queue.done(upload)
    await index.put_tag(TAG, TagRecord(content(2), NOW + 3800))
    assert await names(index) == [(UploadKind.TAG, str(TAG))]
    await index.close()


async def test_n17_04_what_changes_while_it_is_written_is_written_again(tmp_path: Path) -> None:
    index = await opened(tmp_path)
    queue = index.uploads()
    await index.put_tag(TAG, TagRecord(content(1), NOW))
    [upload] = await queue.due(NOW, 10)
    await index.put_tag(TAG, TagRecord(content(2), NOW + 1))
    await queue.done(upload)
    assert await names(index) == [(UploadKind.TAG, str(TAG))]
    await index.close()


async def test_n17_04_an_entry_that_is_done_twice_takes_no_other_along(tmp_path: Path) -> None:
    """Numbers of entries that are gone are given anew."""
    index = await opened(tmp_path)
    queue = index.uploads()
    await index.put(Kind.BLOB, APP, content(1))
    [first] = await queue.due(NOW, 10)
    await queue.done(first)
    await index.put(Kind.BLOB, APP, content(2))
    await queue.done(first)
    await queue.postpone(first, NOW + 5)
    assert await names(index) == [(UploadKind.LINK, f"blob {APP} {content(2).digest}")]
    await index.close()


async def test_n17_04_an_entry_that_failed_waits_behind_the_others(tmp_path: Path) -> None:
    index = await opened(tmp_path)
    queue = index.uploads()
    for number in range(3):
        await index.put(Kind.BLOB, APP, content(number))
    [first, *others] = await queue.due(NOW, 10)
    await queue.postpone(first, NOW + 5)
    assert [each.name for each in await queue.due(NOW, 10)] == [each.name for each in others]
    [*_, last] = await queue.due(NOW + 5, 10)
    assert (last.name, last.tries) == (first.name, 1)
    await index.close()


async def test_n17_04_a_full_queue_has_everything_compared_later(tmp_path: Path) -> None:
    index = await opened(tmp_path, is_backed=False)
    await index.close()
    index = await opened(tmp_path, is_backed=False)
    queue = index.uploads()
    for number in range(5):
        await index.put(Kind.BLOB, APP, content(number))
    assert "200000" in triggers()
    await queue.put_all()
    assert await queue.remaining() == Pending(6, 50)
    while [uploads := await queue.due(NOW, 100_000)] and any(each.kind is UploadKind.ALL for each in uploads):
        [all_of_it] = [each for each in uploads if each.kind is UploadKind.ALL]
        await queue.put_more(all_of_it)
    assert {name for _, name in await names(index)} == {f"blob {APP} {content(number).digest}" for number in range(5)}
    await index.close()


async def test_n17_04_a_tag_of_another_machine_is_taken_over_only_where_none_is_known(tmp_path: Path) -> None:
    index = await opened(tmp_path)
    past = PastMeaning(content(7).digest, NOW - 1000)
    await index.adopt_tag(TAG, TagRecord(content(1), NOW - 100), (past,))
    assert await index.tag(TAG) == TagRecord(content(1), NOW - 100)
    assert past in await index.meanings(TAG)
    await index.adopt_tag(TAG, TagRecord(content(2), NOW))
    assert await index.tag(TAG) == TagRecord(content(1), NOW - 100)
    await index.close()


@pytest.mark.parametrize("kind", [Kind.BLOB, Kind.MANIFEST])
async def test_n17_04_the_queue_knows_what_its_entries_are_about(tmp_path: Path, kind: Kind) -> None:
    index = await opened(tmp_path)
    queue = index.uploads()
    await index.put(kind, APP, content(1))
    assert await queue.link(kind, APP, content(1).digest) == content(1)
    assert await queue.link(kind, Repository("docker.io", "library/b"), content(1).digest) is None
    assert await queue.tag(TAG) is None
    assert await queue.used(86_400, 10) == [(content(1).digest, NOW)]
    await queue.put_used(content(1).digest, NOW)
    assert await queue.used(86_400, 10) == []
    await queue.repair(content(1).digest)
    assert (UploadKind.REPAIR, str(content(1).digest)) in await names(index)
    assert await queue.frozen_to("docker.io/*") is None
    await index.put_freeze(Freeze("docker.io/*", content(1).digest))
    assert await queue.frozen_to("docker.io/*") == str(content(1).digest)
    assert not await queue.is_pinned(content(1).digest)
    await index.close()


async def test_n17_04_what_is_taken_back_while_it_is_written_is_written_again(tmp_path: Path) -> None:
    """Whatever the statement that records it does about what is there already."""
    index = await opened(tmp_path)
    queue, digest = index.uploads(), content(1).digest
    await index.put(Kind.BLOB, APP, content(1))
    await index.ledger().pin(digest, pinned=True)
    await index.ledger().pin(digest, pinned=False)
    begun = await queue.due(NOW, 10)
    assert [each.kind for each in begun] == [UploadKind.LINK, UploadKind.PIN]
    await index.ledger().forget(digest)
    await index.put(Kind.BLOB, APP, content(1))
    await index.ledger().pin(digest, pinned=True)
    for upload in begun:
        await queue.done(upload)
    assert await names(index) == [(UploadKind.LINK, f"blob {APP} {digest}"), (UploadKind.PIN, str(digest))]
    await index.close()


async def test_n17_04_everything_includes_which_repositories_are_closed(tmp_path: Path) -> None:
    index = await opened(tmp_path, is_backed=False)
    await index.put_refused(APP, "no")
    queue = index.uploads()
    await queue.put_all()
    [everything] = await queue.due(NOW, 10)
    await queue.put_more(everything)
    assert await names(index) == [(UploadKind.ACCESS, str(APP))]
    await index.close()
