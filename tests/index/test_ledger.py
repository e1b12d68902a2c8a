"""The books that a sweep goes by: what is needed stays, what is used is known, and the totals are right."""

from regproxy.oci.descriptor import Descriptor
from regproxy.oci.reference import Reference, Tag
from regproxy.policy.freshness import TagRecord
from regproxy.policy.store.eviction import OCCASION
from regproxy.ports import Kind
from tests.index.books import NGINX, Books, digest


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
