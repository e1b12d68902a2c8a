"""A disk's errors are not the client's."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from inspect import iscoroutinefunction
from pathlib import Path
from typing import cast

import pytest

from regproxy.best_effort import BestEffortIndex, BestEffortStore
from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.access import Access
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.ports import ContentStore, Index, Kind, Resumable, StoreError

APP = Repository("docker.io", "library/app")
LATEST = Reference(APP, Tag("latest"))
BLOB = Descriptor("application/octet-stream", Digest.of(b"a blob"), 6)

STORE: list[tuple[str, tuple[object, ...], object]] = [
    ("open", (BLOB.digest, BLOB.size), None),
    ("read", (BLOB.digest, BLOB.size), None),
    ("write", (BLOB.digest, b"a blob"), False),
    ("resumable", (BLOB.digest,), Resumable()),
    ("release", (BLOB.digest, APP.registry), None),
    ("landed", (BLOB.digest, BLOB.size), None),
]
STORE_RAISES: list[tuple[str, tuple[object, ...]]] = [
    ("ingest", (BLOB.digest, BLOB.size)),
    ("spool", (BLOB.size,)),
    ("acquire", (BLOB.digest, APP)),
    ("ingesting", ()),
]
INDEX: list[tuple[str, tuple[object, ...], object]] = [
    ("meanings", (LATEST,), ()),
    ("put_deleted", (LATEST, 0.0), None),
    ("histories", (APP,), {}),
    ("tag", (LATEST,), None),
    ("put_tag", (LATEST, TagRecord(BLOB, 0.0)), None),
    ("adopt_tag", (LATEST, TagRecord(BLOB, 0.0)), None),
    ("held", (Kind.BLOB, APP, BLOB.digest), None),
    ("known", (Kind.BLOB, BLOB.digest), None),
    ("put", (Kind.BLOB, APP, BLOB), False),
    ("access", (APP,), Access()),
    ("put_confirmed", (APP, 0.0), False),
    ("put_refused", (APP, "no such repository"), False),
    ("manifests_of", (APP, 1), ()),
    ("freezes", (), ()),
    ("signed", (BLOB.digest, "a policy"), None),
    ("put_signed", (BLOB.digest, "a policy", [BLOB.digest]), None),
    ("parents", (APP, BLOB.digest, 1), ()),
    ("listing", ("catalog",), None),
    ("put_listing", ("catalog", b"{}"), None),
]
INDEX_RAISES: list[tuple[str, tuple[object, ...]]] = [
    ("drop_tag", (LATEST,)),
    ("put_imported", (APP,)),
    ("digest_named", (str(LATEST),)),
    ("repositories", (APP.registry, "", 1)),
    ("put_freeze", (Freeze("docker.io/library/app:*", None),)),
    ("drop_freeze", ("docker.io/library/app:*",)),
]


class Broken:
    """A store and an index on a disk that answers each question with an error."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[None]]:
        async def fail(*_: object, **__: object) -> None:
            raise StoreError("Input/output error")

        return fail


store = BestEffortStore(cast("ContentStore", Broken()))
index = BestEffortIndex(cast("Index", Broken()))


@pytest.mark.parametrize(("name", "arguments", "answer"), STORE, ids=[name for name, *_ in STORE])
async def test_a_store_that_fails_holds_and_keeps_nothing(name: str, arguments: tuple[object, ...], answer: object) -> None:
    assert await getattr(store, name)(*arguments) == answer


@pytest.mark.parametrize(("name", "arguments", "answer"), INDEX, ids=[name for name, *_ in INDEX])
async def test_an_index_that_fails_knows_and_records_nothing(name: str, arguments: tuple[object, ...], answer: object) -> None:
    assert await getattr(index, name)(*arguments) == answer


@pytest.mark.parametrize(("name", "arguments"), STORE_RAISES, ids=[name for name, _ in STORE_RAISES])
async def test_what_a_fill_has_to_act_upon_is_raised(name: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(StoreError):
        await getattr(store, name)(*arguments)


@pytest.mark.parametrize(("name", "arguments"), INDEX_RAISES, ids=[name for name, _ in INDEX_RAISES])
async def test_what_operators_ask_for_is_raised(name: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(StoreError):
        await getattr(index, name)(*arguments)


async def test_d32_what_a_tag_means_is_known_while_it_is_being_recorded(tmp_path: Path) -> None:
    index = await SqliteIndex.open(tmp_path / "index.db")
    subject, older, newer = BestEffortIndex(index), TagRecord(BLOB, 10.0), TagRecord(BLOB, 20.0)
    await subject.put_tag(LATEST, older)
    with closing(sqlite3.connect(tmp_path / "index.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # a disk that is slow
        recording = asyncio.create_task(subject.put_tag(LATEST, newer))
        await asyncio.sleep(0)
        assert (await index.tag(LATEST), await subject.tag(LATEST)) == (older, newer)
        other.execute("ROLLBACK")
    await recording
    assert await index.tag(LATEST) == newer
    await index.drop_tag(LATEST)
    assert await subject.tag(LATEST) is None
    await index.close()


def test_each_question_is_decided() -> None:
    assert _questions(BestEffortStore) == {name for name, *_ in STORE} | {name for name, _ in STORE_RAISES}
    assert _questions(BestEffortIndex) == {name for name, *_ in INDEX} | {name for name, _ in INDEX_RAISES}


def _questions(decorator: type) -> set[str]:
    return {name for name in dir(decorator) if not name.startswith("_") and iscoroutinefunction(getattr(decorator, name))}
