"""The books that a sweep goes by: what is needed stays, what is used is known, and the totals are right."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regproxy.index.ledger import SqliteLedger
from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.descriptor import Descriptor
from regproxy.oci.digest import Digest
from regproxy.oci.reference import Reference, Repository, Tag
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagRecord
from regproxy.policy.store.eviction import OCCASION, Shares
from regproxy.ports import Kind

NGINX = Repository("docker.io", "library/nginx")
BLOCK = 4096


def digest(name: str) -> Digest:
    return Digest.of(name.encode())


@dataclass
class Books:
    """An index with content called by short names, and a clock."""

    index: SqliteIndex
    ledger: SqliteLedger
    now: list[float] = field(default_factory=lambda: [1000.0])

    async def put(self, name: str, *children: str, size: int = BLOCK) -> None:
        kind = Kind.MANIFEST if children else Kind.BLOB
        await self.index.put(kind, NGINX, Descriptor("a/b", digest(name), size), [digest(child) for child in children])

    async def use(self, name: str, *, at: float) -> None:
        await self.ledger.touch([digest(name)], [], at)

    async def idlest(self, *, often: bool = False) -> list[Digest]:
        return [candidate.digest for candidate in await self.ledger.idlest(10, often=often)]


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    now = [1000.0]
    index = await SqliteIndex.open(tmp_path / "index.db", lambda: now[0])
    yield Books(index, index.ledger(), now)
    await index.close()


async def test_only_what_nothing_lists_may_go(books: Books) -> None:
    for name, children in {"base": (), "one": (), "loose": (), "a": ("base", "one"), "b": ("base",)}.items():
        await books.put(name, *children)
    assert set(await books.idlest()) == {digest("a"), digest("b"), digest("loose")}


async def test_an_image_goes_with_what_only_it_needs(books: Books) -> None:
    """FAULTS D15, B1: distribution #2367 deletes a layer that another image still needs."""
    for name, children in {"base": (), "one": (), "a": ("base", "one"), "b": ("base",)}.items():
        await books.put(name, *children)
    assert set(await books.ledger.forget(digest("a"))) == {digest("a"), digest("one")}
    assert await books.ledger.forget(digest("b")) == [digest("b"), digest("base")]
    assert (await books.ledger.census()).count == 0


async def test_an_index_goes_with_its_images_and_a_shared_image_does_not(books: Books) -> None:
    for name, children in {"layer": (), "amd64": ("layer",), "v1": ("amd64",), "v2": ("amd64",)}.items():
        await books.put(name, *children)
    assert await books.ledger.forget(digest("v1")) == [digest("v1")]
    assert await books.ledger.forget(digest("v2")) == [digest("v2"), digest("amd64"), digest("layer")]


async def test_what_goes_with_an_image_is_counted(books: Books) -> None:
    for name, children in {"base": (), "one": (), "a": ("base", "one"), "b": ("base",)}.items():
        await books.put(name, *children, size=100)
    sizes = {candidate.digest: candidate.size for candidate in await books.ledger.idlest(10, often=False)}
    assert sizes == {digest("a"): 200, digest("b"): 100}


async def test_what_is_forgotten_is_forgotten_by_the_index_too(books: Books) -> None:
    await books.put("layer")
    await books.put("a", "layer")
    reference = Reference(NGINX, Tag("1"))
    await books.index.put_tag(reference, TagRecord(Descriptor("a/b", digest("a"), 1), 1.0))
    assert await books.index.held(Kind.BLOB, NGINX, digest("layer")) is not None
    await books.ledger.forget(digest("a"))
    assert await books.index.held(Kind.BLOB, NGINX, digest("layer")) is None
    assert await books.index.tag(reference) is None


async def test_a_pinned_image_stays_and_so_does_all_it_needs(books: Books) -> None:
    await books.put("layer")
    await books.put("a", "layer")
    await books.ledger.pin(digest("a"), pinned=True)
    assert await books.idlest() == []
    await books.ledger.pin(digest("a"), pinned=False)
    assert await books.idlest() == [digest("a")]


async def test_an_image_pinned_below_an_index_outlives_it(books: Books) -> None:
    for name, children in {"layer": (), "amd64": ("layer",), "v1": ("amd64",)}.items():
        await books.put(name, *children)
    await books.ledger.pin(digest("amd64"), pinned=True)
    assert await books.ledger.forget(digest("v1")) == [digest("v1")]


async def _tagged(books: Books, tag: str, name: str) -> None:
    await books.index.put_tag(Reference(NGINX, Tag(tag)), TagRecord(Descriptor("a/b", digest(name), 1), 1.0))


async def test_what_a_frozen_tag_means_stays_until_it_is_unfrozen(books: Books) -> None:
    for name, children in {"layer": (), "a": ("layer",), "b": ()}.items():
        await books.put(name, *children)
    await _tagged(books, "1", "a")
    await _tagged(books, "2", "b")
    await books.index.put_freeze(Freeze("docker.io/library/nginx:1*"))
    assert await books.idlest() == [digest("b")]
    assert [candidate.digest for candidate in await books.ledger.unused(1e9)] == [digest("b")]
    await books.index.drop_freeze("docker.io/library/nginx:1*")
    assert set(await books.idlest()) == {digest("a"), digest("b")}


async def test_what_a_tag_is_frozen_to_stays_even_below_an_index_that_goes(books: Books) -> None:
    for name, children in {"layer": (), "amd64": ("layer",), "v1": ("amd64",)}.items():
        await books.put(name, *children)
    await books.index.put_freeze(Freeze("docker.io/library/nginx:1", digest("amd64")))
    assert await books.ledger.forget(digest("v1")) == [digest("v1")]
    assert await books.idlest() == []


async def test_what_the_configuration_freezes_stays_and_no_longer_under_another(tmp_path: Path) -> None:
    for frozen, may_go in (([Freeze("docker.io/library/nginx:*")], []), ([Freeze("x", digest("a"))], []), ([], [digest("a")])):
        index = await SqliteIndex.open(tmp_path / "index.db", lambda: 0.0, frozen)
        books = Books(index, index.ledger())
        await books.put("a")
        await _tagged(books, "1", "a")
        assert await books.idlest() == may_go
        await index.close()


async def test_the_longest_unused_comes_first(books: Books) -> None:
    for name in ("a", "b", "c"):
        await books.put(name)
        books.now[0] += 1
    await books.use("a", at=1100)
    assert await books.idlest() == [digest("b"), digest("c"), digest("a")]


async def test_uses_close_together_are_one(books: Books) -> None:
    await books.put("a")
    await books.use("a", at=1000 + OCCASION)
    assert await books.idlest(often=True) == []
    await books.use("a", at=1001 + 2 * OCCASION)
    assert await books.idlest(often=True) == [digest("a")]


async def test_a_use_of_a_platform_is_one_of_its_index_and_not_of_its_neighbour(books: Books) -> None:
    for name, children in {"l1": (), "l2": (), "base": (), "amd64": ("l1", "base"), "v1": ("amd64",), "other": ("l2", "base")}.items():
        await books.put(name, *children)
    await books.use("amd64", at=1000 + 2 * OCCASION)
    assert await books.idlest(often=True) == [digest("v1")]
    assert await books.idlest() == [digest("other")]


async def test_a_use_of_a_shared_layer_says_nothing_about_images(books: Books) -> None:
    await books.put("base")
    await books.put("a", "base")
    await books.ledger.touch([], [digest("base")], 1000 + 2 * OCCASION)
    assert await books.idlest() == [digest("a")]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["put", "use", "forget"]), st.integers(1, 20_000)), max_size=30))
async def test_the_totals_are_what_a_count_would_find(tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, str, int]]) -> None:
    index = await SqliteIndex.open(tmp_path_factory.mktemp("books") / "index.db", lambda: 0.0)
    books = Books(index, index.ledger())
    for name, act, size in acts:
        match act:
            case "put":
                await books.put(name, size=size)
            case "use":
                await books.use(name, at=2 * OCCASION)
            case _:
                await books.ledger.forget(digest(name))
    found = {often: await books.ledger.idlest(100, often=often) for often in (False, True)}
    once, many = (sum(-(-candidate.size // BLOCK) * BLOCK for candidate in found[often]) for often in (False, True))
    census = await books.ledger.census()
    assert (census.count, census.shares) == (len(found[False]) + len(found[True]), Shares(once, many))
    await index.close()
