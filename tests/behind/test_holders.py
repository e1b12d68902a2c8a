"""What a repository holds there is found for it alone, and for none that is closed."""

from contextlib import AsyncExitStack

import pytest

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.manifest import LIMIT, OCI_INDEX
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.store import objects
from regproxy.ports import Kind
from tests.behind.filled import BLOB, FOUND, Filled
from tests.behind.replicas import APP, NOW

OTHER = Repository("docker.io", "library/other")
ALL = {f"{patience}{way}" for way in ("link", "tag", "manifest", "blob") for patience in ("", "patient ")}


async def found(subject: Filled, repository: Repository = APP) -> set[str]:
    """List what is found for *repository*, by each way to it."""
    async with AsyncExitStack() as stack:
        ways = {
            "link": await subject.holders.link(Kind.BLOB, repository, BLOB),
            "tag": await subject.holders.tag(Reference(repository, Tag("1"))),
            "manifest": await subject.holders.manifest(repository, FOUND.digest),
            "blob": await subject.holders.blob(stack, repository, BLOB, 0, None),
            "patient link": await subject.holders.link(Kind.BLOB, repository, BLOB, is_patient=True),
            "patient tag": await subject.holders.tag(Reference(repository, Tag("1")), is_patient=True),
            "patient manifest": await subject.holders.manifest(repository, FOUND.digest, is_patient=True),
            "patient blob": await subject.holders.blob(stack, repository, BLOB, 0, None, is_patient=True),
        }
        return {way for way, found in ways.items() if found is not None}


async def test_n17_04_all_is_found_for_the_one_that_holds_it(subject: Filled) -> None:
    assert await found(subject) == ALL
    assert await found(subject, OTHER) == set()


@pytest.mark.parametrize(("refused_at", "is_open"), [(NOW - 1, True), (NOW, True), (NOW + 1, False), (9e9, False)])
async def test_n17_04_a_refusal_counts_since_upstream_gave_us_something(subject: Filled, refused_at: float, is_open: bool) -> None:
    await subject.index.put_confirmed(APP, NOW)
    await subject.close(refused_at)
    assert await found(subject) == (ALL if is_open else set())
    assert (await subject.index.access(APP)).is_closed is not is_open, "it is on record, and upstream is asked"


async def test_n17_04_a_refusal_of_one_says_nothing_of_another(subject: Filled) -> None:
    await subject.close(NOW, OTHER)
    assert await found(subject) == ALL


async def test_n17_04_what_is_closed_here_is_not_found_there(subject: Filled) -> None:
    assert await found(subject) == ALL
    await subject.index.put_refused(APP, "no")
    assert await found(subject) == set()
    await subject.index.put_confirmed(APP, NOW + 1)
    assert await found(subject) == ALL


@pytest.mark.parametrize("size", [LIMIT + 1, 100_000_000_000, -1])
async def test_n17_04_a_manifest_of_no_size_that_one_has_is_not_there(subject: Filled, size: int) -> None:
    """Nor is memory waited for that there never is."""
    await subject.link(Descriptor(OCI_INDEX, FOUND.digest, size))
    assert await subject.holders.manifest(APP, FOUND.digest) is None


@pytest.mark.parametrize("body", [b"", b"{}", b"[" * 100_000, b"\xff" * 100], ids=["empty", "no manifest", "deep", "no text"])
async def test_n17_04_what_is_no_manifest_is_not_there(subject: Filled, body: bytes) -> None:
    wrong = Descriptor(OCI_INDEX, Digest.of(body), len(body))
    await subject.there.store.put(objects.blob(wrong.digest), body)
    await subject.link(wrong)
    assert await subject.holders.manifest(APP, wrong.digest) is None
