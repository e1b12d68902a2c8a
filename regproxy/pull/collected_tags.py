"""Lists of tags as far as clients have read them, for when upstream is out of reach."""

import json
from dataclasses import dataclass

from regproxy.oci.reference import Repository
from regproxy.policy.paging import first_query
from regproxy.ports import Index, TagPage

_MAX_PAGES = 1000  # that are joined to one list
_MAX_COLLECTED = 8 * 1024 * 1024  # bytes of a joined list: 60,000 tags of the longest kind


@dataclass(frozen=True, slots=True)
class Collected:
    """Tags in upstream's order, and whether they are all there were."""

    tags: tuple[str, ...]
    is_whole: bool


class CollectedTags:
    """Keeps pages by the query that they answer, each with the query of the next, and a list of which all pages were read as a whole.

    Pages may be read by several clients, by way of several workers: the queries join them.
    """

    def __init__(self, index: Index) -> None:
        """Store lists in *index*, which bounds their size."""
        self._index = index

    async def put_page(self, repository: Repository, query: str, page: TagPage) -> None:
        await self._put(f"tags {repository}?{query}", [page.next_query, *page.tags])

    async def put_whole(self, repository: Repository, tags: tuple[str, ...]) -> None:
        await self._put(f"tags {repository}", [None, *tags])

    async def put_end(self, repository: Repository, first: str) -> None:
        """Join the pages that begin with the query *first*, of which the last was kept just now."""
        joined = await self._joined(repository, first)
        if joined is not None and joined.is_whole:
            await self.put_whole(repository, joined.tags)

    async def tags(self, repository: Repository, first: str) -> Collected | None:
        """Return the whole list if there is one, else what there is of the pages that begin with *first*, or with any size of page."""
        if (whole := await self._read(f"tags {repository}")) is not None:
            return Collected(whole.tags, is_whole=True)
        return await self._joined(repository, first) or await self._joined(repository, first_query(None))

    async def _joined(self, repository: Repository, query: str) -> Collected | None:
        tags: dict[str, None] = {}
        size, following = 0, query
        for _ in range(_MAX_PAGES):
            page = await self._read(f"tags {repository}?{following}")
            if page is None:
                break
            tags |= dict.fromkeys(page.tags)
            size += sum(len(tag) + 3 for tag in page.tags)
            if page.next_query is None:
                return Collected(tuple(tags), is_whole=True)
            if size > _MAX_COLLECTED:
                break
            following = page.next_query
        return Collected(tuple(tags), is_whole=False) if tags else None

    async def _read(self, key: str) -> TagPage | None:
        body = await self._index.listing(key)
        if body is None:
            return None
        following, *tags = json.loads(body)
        return TagPage(tuple(tags), "", following)

    async def _put(self, key: str, document: list[str | None]) -> None:
        await self._index.put_listing(key, json.dumps(document).encode())
