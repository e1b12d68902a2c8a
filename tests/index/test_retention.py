"""What is pinned or frozen stays, whatever else goes."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.digest import Digest
from regproxy.policy.fleet.decisions import Decision
from regproxy.policy.freezing import Freeze
from regproxy.policy.store.eviction import RecentHistory
from tests.index.books import Books, digest, tagged


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


async def test_what_a_frozen_tag_means_stays_until_it_is_unfrozen(books: Books) -> None:
    for name, children in {"layer": (), "a": ("layer",), "b": ()}.items():
        await books.put(name, *children)
    await tagged(books, "1", "a")
    await tagged(books, "2", "b")
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
        await tagged(books, "1", "a")
        assert await books.idlest() == may_go
        await index.close()


async def test_n18_06_what_a_tag_meant_before_and_after_it_moved_is_spared_for_a_while(books: Books) -> None:
    for name, children in {"layer": (), "older": ("layer",), "old": ("layer",), "new": ("layer",), "other": ()}.items():
        await books.put(name, *children)
    for at, name in ((100.0, "older"), (200.0, "old"), (300.0, "new")):
        await tagged(books, "1", name, at)
    await tagged(books, "2", "other", 300.0)

    async def may_go(now: float) -> set[str]:
        found = await books.idlest(spared=RecentHistory(now, 100.0))
        return {name for name in ("older", "old", "new", "other") if digest(name) in found}

    assert await may_go(250.0) == {"other"}, "the first meaning of a tag that did not move is not what a rollback wants"
    assert await may_go(301.0) == {"older", "other"}
    assert await may_go(399.0) == {"older", "other"}
    assert await may_go(400.0) == {"older", "old", "new", "other"}
    assert await may_go(201.0) == {"other"}, "by a clock that was set back"
    assert await may_go(90.0) == {"older", "old", "new", "other"}
    assert len(await books.idlest()) == 4


async def test_n18_06_an_index_goes_no_sooner_than_a_platform_of_it_that_a_tag_meant(books: Books) -> None:
    for name, children in {"layer": (), "amd64": ("layer",), "v1": ("amd64",), "amd64-2": ("layer",)}.items():
        await books.put(name, *children)
    await tagged(books, "1-amd64", "amd64", 100.0)
    await tagged(books, "1-amd64", "amd64-2", 200.0)
    assert await books.idlest(spared=RecentHistory(250.0, 100.0)) == []
    assert set(await books.idlest(spared=RecentHistory(350.0, 100.0))) == {digest("v1"), digest("amd64-2")}


async def test_n17_14_what_is_pinned_and_frozen_is_on_record_with_when_and_so_is_its_end(books: Books) -> None:
    decisions, pattern, last = books.index.decisions(), "docker.io/library/nginx:1", 0
    for act, value in (
        (books.index.put_freeze(Freeze(pattern)), ""),
        (books.index.put_freeze(Freeze(pattern, digest("a"))), str(digest("a"))),
        (books.index.drop_freeze(pattern), None),
        (books.index.put_freeze(Freeze(pattern)), ""),
    ):
        await act
        (found,) = await decisions.all()
        assert (found.kind, found.name, found.value, found.at > last) == ("freeze", pattern, value, True)
        last = found.at


@pytest.mark.parametrize("value", [None, "", str(digest("b"))])
async def test_n17_14_what_was_decided_elsewhere_later_counts_here_and_is_told_as_it_was(books: Books, value: str | None) -> None:
    decisions, pattern = books.index.decisions(), "docker.io/library/nginx:1"
    await books.index.put_freeze(Freeze(pattern, digest("a")))
    (ours,) = await decisions.all()
    before = books.index.generation
    await decisions.adopt([replace(ours, value="", at=ours.at - 1)])
    assert await books.index.freezes() == [Freeze(pattern, digest("a"))], "what was decided before counts for nothing"
    theirs = replace(ours, value=value, at=ours.at + 1)
    await decisions.adopt([theirs])
    assert await decisions.all() == [theirs]
    frozen = [] if value is None else [Freeze(pattern, Digest.parse(value) if value else None)]
    assert await books.index.freezes() == frozen
    assert books.index.generation != before


async def test_n17_14_a_pin_of_another_member_holds_here_until_it_ends(books: Books) -> None:
    decisions, pin = books.index.decisions(), Decision("pin", str(digest("a")), "", 17)
    await books.put("a")
    await decisions.adopt([pin])
    assert (await decisions.all(), await books.idlest()) == ([pin], [])
    await books.ledger.pin(digest("a"), pinned=False)
    (ended,) = await decisions.all()
    assert (ended.value, ended.at > pin.at) == (None, True)
    await decisions.adopt([pin])
    assert await books.idlest() == [digest("a")], "an older pin does not come back"
    await decisions.adopt([replace(ended, value="", at=ended.at + 1)])
    await decisions.adopt([replace(ended, at=ended.at + 2)])
    assert await books.idlest() == [digest("a")]


@pytest.mark.parametrize("pinned", [True, False])
async def test_n17_14_a_pin_that_is_set_or_ended_once_more_is_decided_once_more(books: Books, pinned: bool) -> None:
    decisions, pin = books.index.decisions(), Decision("pin", str(digest("a")), "", 0)
    await books.ledger.pin(digest("a"), pinned=pinned)
    (first,) = await decisions.all()
    await books.ledger.pin(digest("a"), pinned=pinned)
    (again,) = await decisions.all()
    assert again == replace(pin, value="" if pinned else None, at=again.at)
    assert again.at > first.at


async def test_n17_14_what_was_decided_long_ago_elsewhere_and_ended_is_forgotten(books: Books) -> None:
    decisions = books.index.decisions()
    old = Decision("freeze", "docker.io/library/old:1", None, 17)
    await decisions.adopt([old])
    assert await decisions.all() == []
    await decisions.adopt([replace(old, value="")])
    await books.index.drop_freeze(old.name)
    (ended,) = await decisions.all()
    long_ago = replace(ended, name="docker.io/library/other:1", at=ended.at - 30 * 86_400_000)
    await decisions.adopt([replace(long_ago, at=long_ago.at + 60_000), long_ago])
    assert sorted(each.name for each in await decisions.all()) == [old.name, long_ago.name]


async def test_n17_14_as_much_as_members_tell_is_adopted_while_others_write(books: Books) -> None:
    decisions = books.index.decisions()
    many = [Decision("freeze", f"docker.io/team{number}/*", "", 17) for number in range(2000)]
    learning = asyncio.ensure_future(decisions.adopt(many))
    while not await decisions.all():  # noqa: ASYNC110 -- it comes by and by
        await asyncio.sleep(0)
    await books.ledger.pin(digest("a"), pinned=True)
    assert not learning.done(), "who writes need not wait for all of it"
    await learning
    assert len(await decisions.all()) == len(many) + 1


async def test_n17_14_what_is_so_already_is_adopted_as_it_was_decided_and_written_nowhere(tmp_path: Path) -> None:
    pattern = "docker.io/library/nginx:1"
    index = await SqliteIndex.open(tmp_path / "index.db", is_backed=True)
    await index.put_freeze(Freeze(pattern))
    (ours,) = await index.decisions().all()
    (entry,) = await index.uploads().due(1e12, 10)
    await index.uploads().done(entry)
    theirs = replace(ours, at=ours.at + 1)
    await index.decisions().adopt([theirs])
    assert (await index.decisions().all(), await index.uploads().due(1e12, 10)) == ([theirs], [])
    await index.close()
