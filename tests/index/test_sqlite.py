"""What the index promises: it survives restarts, and losing it costs questions only."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.access import Access
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.ports import Kind

NGINX = Repository("docker.io", "library/nginx")
OTHER = Repository("docker.io", "library/other")
DESCRIPTOR = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"manifest"), 8)
REFERENCE = Reference(NGINX, Tag("1.27"))


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqliteIndex]:
    index = await SqliteIndex.open(tmp_path / "index.db")
    yield index
    await index.close()


async def test_a_record_survives_a_restart(tmp_path: Path) -> None:
    index = await SqliteIndex.open(tmp_path / "index.db")
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 123.5))
    await index.put(Kind.MANIFEST, NGINX, DESCRIPTOR)
    await index.close()
    again = await SqliteIndex.open(tmp_path / "index.db")
    assert await again.tag(REFERENCE) == TagRecord(DESCRIPTOR, 123.5)
    assert await again.held(Kind.MANIFEST, NGINX, DESCRIPTOR.digest) == DESCRIPTOR
    await again.close()


async def _said(index: SqliteIndex) -> int:
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 1.0))
    await index.put(Kind.MANIFEST, NGINX, DESCRIPTOR)
    assert await index.held(Kind.MANIFEST, NGINX, DESCRIPTOR.digest) is not None
    return index.generation


async def _drop_the_tag(index: SqliteIndex) -> None:
    await index.drop_tag(REFERENCE)


async def _move_the_tag(index: SqliteIndex) -> None:
    await index.put_tag(REFERENCE, TagRecord(Descriptor(DESCRIPTOR.media_type, Digest.of(b"another"), 7), 2.0))


async def _freeze(index: SqliteIndex) -> None:
    await index.put_freeze(Freeze("docker.io/*"))


async def _thaw(index: SqliteIndex) -> None:
    await index.drop_freeze("docker.io/*")


async def _forget(index: SqliteIndex) -> None:
    await index.ledger().forget(DESCRIPTOR.digest)


async def _lose(index: SqliteIndex) -> None:
    await index.ledger().lose([DESCRIPTOR.digest])


@pytest.mark.parametrize("revoke", [_drop_the_tag, _move_the_tag, _freeze, _thaw, _forget, _lose])
async def test_whatever_revokes_an_answer_ends_the_generation_for_every_process(
    index: SqliteIndex, tmp_path: Path, revoke: Callable[[SqliteIndex], Awaitable[None]]
) -> None:
    await _said(index)
    other = await SqliteIndex.open(tmp_path / "index.db")
    before = index.generation
    await revoke(other)
    assert index.generation != before
    await other.close()


async def _renew_the_tag(index: SqliteIndex) -> None:
    await index.put_tag(REFERENCE, TagRecord(DESCRIPTOR, 2.0))


async def _add_content(index: SqliteIndex) -> None:
    await index.put(Kind.BLOB, OTHER, DESCRIPTOR)


async def _add_a_tag(index: SqliteIndex) -> None:
    await index.put_tag(Reference(OTHER, Tag("new")), TagRecord(DESCRIPTOR, 2.0))


@pytest.mark.parametrize("add", [_renew_the_tag, _add_content, _add_a_tag])
async def test_what_only_adds_ends_no_generation(index: SqliteIndex, add: Callable[[SqliteIndex], Awaitable[None]]) -> None:
    """Otherwise every miss would make every worker ask the index again."""
    before = await _said(index)
    await add(index)
    assert index.generation == before


async def test_what_another_process_removed_is_held_by_nobody(index: SqliteIndex, tmp_path: Path) -> None:
    await _said(index)
    other = await SqliteIndex.open(tmp_path / "index.db")
    assert await other.held(Kind.MANIFEST, NGINX, DESCRIPTOR.digest) == DESCRIPTOR
    await index.ledger().forget(DESCRIPTOR.digest)
    assert await other.held(Kind.MANIFEST, NGINX, DESCRIPTOR.digest) is None
    await other.close()


async def test_n12_14_as_many_repositories_are_on_record_as_may_be(tmp_path: Path) -> None:
    """A registry that answers for any name makes clients' inventions repositories; what is closed or imported stays."""
    index = await SqliteIndex.open(tmp_path / "index.db", max_confirmed=100)
    closed, imported = Repository("docker.io", "library/closed"), Repository("docker.io", "library/imported")
    await index.put_refused(closed, "no")
    await index.put_imported(imported)
    names = [Repository("docker.io", f"invented/{number}") for number in range(300)]
    for number, name in enumerate(names):
        await index.put_confirmed(name, 1000.0 + number)
    known = [name for name in names if await index.access(name) != Access()]
    assert 100 <= len(known) <= 102
    assert known == names[-len(known) :]
    assert (await index.access(closed)).is_closed
    assert (await index.access(imported)).is_imported
    await index.close()
