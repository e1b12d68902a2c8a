"""Whose pulls brought content in, and how much that is."""

import asyncio

from tests.index.books import BLOCK, Books, digest

LATER = 3600.0


async def claim(books: Books, client: str, name: str, most: int = 3) -> int:
    return await books.ledger.claim(client, digest(name), BLOCK, most * BLOCK, books.now[0]) // BLOCK


async def test_n16_05_claims_at_once_are_counted_one_after_the_other(books: Books) -> None:
    found = await asyncio.gather(*(claim(books, "ann", name) for name in "abcde"))
    assert sorted(found) == [0, 0, 0, 1, 1]
    assert await claim(books, "bob", "f") == 0
    assert await claim(books, "ann", "a") == 0, "what is its own already is no more"


async def test_n16_05_content_stays_its_clients_until_it_goes(books: Books) -> None:
    await claim(books, "ann", "a")
    await books.put("a")
    assert await claim(books, "bob", "a") == 0
    await books.ledger.release(digest("a"))
    assert [each.digest for each in await books.ledger.idlest_of("ann", LATER, 10)] == [digest("a")]
    assert await books.ledger.idlest_of("bob", LATER, 10) == []
    await books.ledger.forget(digest("a"))
    assert [await claim(books, "ann", name) for name in "bcd"] == [0, 0, 0]


async def test_n16_05_what_was_begun_and_not_brought_is_anybodys(books: Books) -> None:
    for name in "abc":
        await claim(books, "ann", name)
    await books.put("a")
    await claim(books, "bob", "b")
    assert await claim(books, "ann", "d") == 0
    await books.ledger.release(digest("c"))
    assert await claim(books, "ann", "e") == 0
    await books.ledger.release_abandoned("ann", [digest("e")], books.now[0] + LATER)
    assert [await claim(books, "ann", name) for name in "fg"] == [0, 1]


async def test_n16_05_others_content_that_an_image_lists_stays_when_the_image_goes(books: Books) -> None:
    for client, name in (("bob", "shared"), ("ann", "own"), ("ann", "image")):
        await claim(books, client, name)
    for name in ("shared", "own"):
        await books.put(name)
    await books.put("image", "shared", "own")
    assert await books.ledger.idlest_of("bob", LATER, 10) == [], "an image that is kept needs it"
    gone = await books.ledger.forget(digest("image"), brought_by="ann")
    assert set(gone) == {digest("image"), digest("own")}
