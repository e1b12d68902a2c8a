"""Pages of tags that clients have read, joined to a list."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regproxy.index.sqlite import SqliteIndex
from regproxy.oci.reference import Repository
from regproxy.ports import TagPage
from regproxy.pull.collected_tags import Collected, CollectedTags

APP, OTHER = Repository("docker.io", "library/app"), Repository("docker.io", "library/other")


@pytest.fixture
async def collected(tmp_path: Path) -> AsyncIterator[CollectedTags]:
    index = await SqliteIndex.open(tmp_path / "index.db")
    yield CollectedTags(index)
    await index.close()


def _page(following: str | None, *tags: str) -> TagPage:
    return TagPage(tags, "", following)


async def test_pages_are_joined_by_their_queries_however_they_come(collected: CollectedTags) -> None:
    assert await collected.tags(APP, "n=2") is None
    await collected.put_page(APP, "n=2&last=b", _page("cursor=x", "c", "d"))
    assert await collected.tags(APP, "n=2") is None, "nobody has read the beginning"
    await collected.put_page(APP, "n=2", _page("n=2&last=b", "a", "b"))
    assert await collected.tags(APP, "n=2") == Collected(("a", "b", "c", "d"), is_whole=False)
    await collected.put_page(APP, "cursor=x", _page(None, "e"))
    assert await collected.tags(APP, "n=2") == Collected(("a", "b", "c", "d", "e"), is_whole=True)
    assert await collected.tags(OTHER, "n=2") is None


async def test_a_tag_that_two_pages_have_is_listed_once_and_where_it_came_first(collected: CollectedTags) -> None:
    """A tag that is pushed meanwhile moves those behind it to the next page."""
    await collected.put_page(APP, "n=2", _page("n=2&last=b", "b", "a"))
    await collected.put_page(APP, "n=2&last=b", _page(None, "a", "c"))
    assert await collected.tags(APP, "n=2") == Collected(("b", "a", "c"), is_whole=True)


async def test_a_list_of_which_all_pages_were_read_serves_pages_of_any_size(collected: CollectedTags) -> None:
    await collected.put_page(APP, "n=1", _page("n=1&last=a", "a"))
    await collected.put_end(APP, "n=1")
    assert await collected.tags(APP, "n=50") is None, "the end was not read"
    await collected.put_page(APP, "n=1&last=a", _page(None, "b"))
    await collected.put_end(APP, "n=1")
    assert await collected.tags(APP, "n=50") == Collected(("a", "b"), is_whole=True)


async def test_pages_of_no_size_stand_in_for_those_of_any(collected: CollectedTags) -> None:
    await collected.put_page(APP, "", _page("last=a", "a"))
    assert await collected.tags(APP, "n=3") == Collected(("a",), is_whole=False)


async def test_pages_that_lead_to_each_other_end(collected: CollectedTags) -> None:
    await collected.put_page(APP, "n=1", _page("n=1&last=a", "a"))
    await collected.put_page(APP, "n=1&last=a", _page("n=1", "b"))
    assert await collected.tags(APP, "n=1") == Collected(("a", "b"), is_whole=False)
