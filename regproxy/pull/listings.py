"""Lists of tags and referrers: asked of upstream each time, remembered for when it is out of reach."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from regproxy.derived import Derived
from regproxy.flights import Flights
from regproxy.oci import errors
from regproxy.oci.digest import Digest
from regproxy.oci.errors import RegistryError
from regproxy.oci.http.cache_status import CacheStatus
from regproxy.oci.manifest import OCI_INDEX
from regproxy.oci.reference import Repository, Tag
from regproxy.policy.paging import MAX_QUERY, Cursor, after, first_query, page_size
from regproxy.policy.permitted import check_denied, check_listing_denied, denies_all
from regproxy.policy.routing import Route, Upstream
from regproxy.ports import Corrupt, Index, NotFound, Refused, Registry, TagPage, Throttled, Unavailable, UpstreamError
from regproxy.pull.collected_tags import Collected, CollectedTags
from regproxy.pull.manifests import Manifests

_MAX_PAGES = 100  # of a list, read to find the place where a client is: 10,000 tags where upstream gives 100 at a time
_CATALOG_ROWS = 1000  # read at once, at least: those that are denied are dropped
_MAX_LISTS = 4  # asked of an upstream at once: a page is 8 MiB at most

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class TagQuery:
    """What a client asks of a list: at most so many tags, from a cursor or after a tag."""

    most: int | None = None
    last: str = ""
    cursor: Cursor | None = None

    @property
    def after(self) -> str:
        return self.cursor.after if self.cursor is not None else self.last


@dataclass(frozen=True, slots=True)
class ListedTags:
    """A page of tags, the cursor of the next page, where the page came from, and the client's warning."""

    tags: tuple[str, ...]
    cursor: Cursor | None
    cache_status: CacheStatus
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class ListedReferrers:
    """An image index of referrers and where it came from."""

    body: bytes
    cache_status: CacheStatus


@dataclass(frozen=True, slots=True)
class _Page:
    """A page as upstream gave it, and the query and host that it was asked by."""

    page: TagPage
    query: str
    is_cut: bool = False  # its beginning was dropped

    def ordered(self) -> "_Page":
        """Sort a list that upstream gives whole whatever page is asked for: where pages are ours, so is the order (distribution-spec)."""
        size = page_size(self.query)
        is_whole = size is not None and len(self.page.tags) > size and self.page.next_query is None
        return replace(self, page=replace(self.page, tags=tuple(sorted(self.page.tags)))) if is_whole else self

    def rest(self, tags: tuple[str, ...]) -> "_Page":
        return replace(self, page=replace(self.page, tags=tags), is_cut=True)


class Listings:
    """Answers listings."""

    def __init__(self, registries: Mapping[str, Registry], index: Index, manifests: Manifests) -> None:
        """List from *registries* and *index*; *manifests* serve referrers that are stored under a tag."""
        self._registries = registries
        self._index = index
        self._manifests = manifests
        self._collected = CollectedTags(index)
        self._flights: Flights[tuple[Repository, str, str], TagPage | None] = Flights()
        self._asking: Flights[str, tuple[str, CacheStatus]] = Flights()
        self._turns = Derived(registries, lambda _, __: asyncio.Semaphore(_MAX_LISTS))

    async def close(self) -> None:
        """End what is asked of upstream."""
        await self._asking.close()
        await self._flights.close()

    async def tags(self, route: Route, asked: TagQuery) -> ListedTags:
        """List what is asked for in upstream's order, but tags that are not served yet; raise `RegistryError` or `UpstreamError`."""
        listed = await self._tags(route, asked)
        refused = await self._manifests.refused(route)
        return replace(listed, tags=tuple(tag for tag in listed.tags if tag not in refused)) if refused else listed

    async def _tags(self, route: Route, asked: TagQuery) -> ListedTags:
        check_listing_denied(route)
        if asked.most == 0:
            return ListedTags((), None, CacheStatus.HIT)  # distribution-spec: an empty list and no Link
        try:
            page = await self._page(route, asked)
        except NotFound as error:
            raise errors.name_unknown(str(error)) from error
        except (Throttled, Unavailable, Corrupt, Refused) as error:
            stale = None if _is_answer(error) else await self._stale(route, asked, str(error))
            if stale is None:
                raise
            return stale
        if page.query == first_query(asked.most) and not page.is_cut and page.page.next_query is None:
            await self._collected.put_whole(route.repository, page.page.tags)
        elif page.page.next_query is None:
            await self._collected.put_end(route.repository, first_query(asked.most))
        return _listed(page, asked, CacheStatus.MISS)

    async def _page(self, route: Route, asked: TagQuery) -> _Page:
        """Find the page that a client asks for, and go on to the next while it is empty."""
        page = await (self._continued(route, asked) if asked.cursor else self._begun(route, asked))
        for _ in range(_MAX_PAGES):
            if page.page.tags or page.page.next_query is None:
                return page
            following = await self._ask(route, page.page.next_query, page.page.host)
            if following is None:
                break
            page = following
        raise Unavailable(f"{route.upstream.name} does not say how the tags of {route.repository.name} go on")

    async def _continued(self, route: Route, asked: TagQuery) -> _Page:
        """Go on where a cursor says; where upstream does not understand its query any longer, find the tag that it was after."""
        cursor = asked.cursor
        assert cursor is not None  # noqa: S101  our caller has looked
        page = await self._ask(route, cursor.query, cursor.host) if cursor.host else None
        if page is not None and (rest := after(page.page.tags, cursor.after)) is not None:
            return page.rest(rest)  # the page was cut, or has moved by what was pushed meanwhile
        if page is not None and not cursor.is_same_page:
            return page
        sought = await self._sought(route, asked)
        if isinstance(sought, _Page):
            return sought
        raise errors.RegistryError("PAGINATION_NUMBER_INVALID", 400, f"{cursor.after} is not listed any longer: list the tags anew")

    async def _begun(self, route: Route, asked: TagQuery) -> _Page:
        """Ask for a first page, or for what follows a tag, of registries that ignore `n` or `last`, or mean something else by them, too."""
        last = asked.last
        page = await self._ask(route, first_query(asked.most, last), "")
        if page is not None and not last:
            return page
        if page is not None and (rest := after(page.page.tags, last)) is not None:
            is_whole = page.page.next_query is None  # and *last* means nothing to upstream, so it is the specification's
            return page.rest(tuple(sorted(tag for tag in page.page.tags if tag > last)) if is_whole else rest)
        if page is not None and not await self._ignores_last(route, asked, page.page):
            return page
        sought = await self._sought(route, asked)
        if isinstance(sought, _Page):
            return sought
        tags = tuple(tag for tag in sought if tag > last)  # distribution-spec: *last* need not be a tag
        return _Page(TagPage(tags, "", None), first_query(asked.most), is_cut=True)

    async def _ignores_last(self, route: Route, asked: TagQuery, page: TagPage) -> bool:
        """Report whether a page is the first one, whatever `last` was; tags that are not after it may be in an order of upstream's own."""
        if all(tag > asked.last for tag in page.tags):
            return False
        first = await self._ask(route, first_query(asked.most), "")
        return first is not None and first.page.tags == page.tags

    async def _sought(self, route: Route, asked: TagQuery) -> _Page | list[str]:
        """Read the list from its start to find what follows a tag; return all tags where it is not among them."""
        query, host, seen = first_query(asked.most), "", list[str]()
        for _ in range(_MAX_PAGES):
            page = await self._ask(route, query, host)
            if page is None:
                break
            if (rest := after(page.page.tags, asked.after)) is not None:
                return page.rest(rest)
            seen += page.page.tags
            if page.page.next_query is None:
                return seen
            query, host = page.page.next_query, page.page.host
        raise Unavailable(f"{route.upstream.name} has more tags in {route.repository.name} than are read to find {asked.after}")

    async def _ask(self, route: Route, query: str, host: str) -> _Page | None:
        """Ask upstream, together with everyone who asks the same now, and remember the page."""
        registry, repository = self._registries[route.upstream.name], route.repository

        async def ask() -> TagPage | None:
            async with self._turns[route.upstream.name]:
                page = await registry.tags(repository, query, host)
            is_part = page is not None and (query != first_query(None) or page.next_query is not None)
            if page is not None and is_part and len(query) <= MAX_QUERY:
                await self._collected.put_page(repository, query, page)
            return page

        page = await self._flights.join((repository, query, host), ask)
        return _Page(page, query).ordered() if page is not None else None

    async def _stale(self, route: Route, asked: TagQuery, reason: str) -> ListedTags | None:
        """List what was collected while upstream was within reach; None where it does not hold the place that is asked for."""
        collected = await self._collected.tags(route.repository, first_query(asked.most))
        if collected is None:
            return None
        tags = collected.tags
        if asked.after:
            rest = after(tags, asked.after)
            if rest is None and asked.cursor is not None:
                return None
            tags = rest if rest is not None else tuple(tag for tag in tags if tag > asked.last)
        page = _Page(TagPage(tags, "", None), first_query(asked.most), is_cut=True)
        listed = _listed(page, asked, CacheStatus.STALE)
        return replace(listed, warning=_warning(route, collected, reason, is_end=listed.cursor is None))

    async def catalog(
        self, upstream: Upstream, last: str, most: int, is_listed: Callable[[Upstream, str], bool] | None = None
    ) -> tuple[list[str], bool]:
        """List the repositories of *upstream* that are cached and may be pulled, after *last*, and report whether there are more.

        Those that *is_listed* for the client, where not all are.

        Raise `StoreError`.
        """
        found, wanted = list[str](), max(most + 1, _CATALOG_ROWS)
        while len(found) <= most:
            names = await self._index.repositories(upstream.name, last, wanted)
            found += [name for name in names if not denies_all(upstream, name) and (is_listed is None or is_listed(upstream, name))]
            if len(names) < wanted:
                break
            last = names[-1]
        return found[:most], len(found) > most

    async def referrers(self, route: Route, digest: Digest, artifact_type: str | None) -> ListedReferrers:
        """List what refers to *digest* as an image index, of one *artifact_type* if given."""
        check_denied(route, digest)

        async def ask() -> tuple[str, CacheStatus]:
            listed, cache_status = await self._referrers(route, digest)
            return json.dumps(listed), cache_status

        key = f"referrers {route.repository} {digest}"
        text, cache_status = await self._asking.join(key, lambda: self._remembered(key, ask))
        listed = [item for item in json.loads(text) if not artifact_type or item.get("artifactType") == artifact_type]
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}
        return ListedReferrers(json.dumps(index).encode(), cache_status)

    async def _referrers(self, route: Route, digest: Digest) -> tuple[list[object], CacheStatus]:
        """Ask the API, else read the index that clients keep under a tag where there is none (Referrers Tag Schema)."""
        listed = await self._registries[route.upstream.name].referrers(route.repository, digest)
        if listed is not None:
            return list(listed), CacheStatus.MISS
        try:
            pulled = await self._manifests.unchecked(route, Tag(f"{digest.algorithm[:32]}-{digest.hex[:64]}"))
        except RegistryError as error:
            if error.status == 404:
                return [], CacheStatus.MISS
            raise
        cache_status = CacheStatus.STALE if pulled.cache_status is CacheStatus.STALE else CacheStatus.MISS
        manifests = pulled.manifest.document.get("manifests")
        return [item for item in manifests if isinstance(item, dict)] if isinstance(manifests, list) else [], cache_status

    async def _remembered(self, key: str, ask: Callable[[], Awaitable[tuple[str, CacheStatus]]]) -> tuple[str, CacheStatus]:
        """Ask upstream, or recall its last answer where it is out of reach."""
        try:
            text, cache_status = await ask()
        except (Throttled, Unavailable, Corrupt, Refused) as error:
            known = None if _is_answer(error) else await self._index.listing(key)
            if known is None:
                raise
            return known.decode(), CacheStatus.STALE
        await self._index.put_listing(key, text.encode())
        return text, cache_status


def _is_answer(error: UpstreamError) -> bool:
    """Report whether the error is about what was asked for; a refused credential of ours is not."""
    return isinstance(error, Refused) and not error.whatever_asked


def _listed(page: _Page, asked: TagQuery, cache_status: CacheStatus) -> ListedTags:
    """Cut a page to the size that was asked for: some registries ignore `n`."""
    tags, host = page.page.tags, page.page.host
    if asked.most is not None and len(tags) > asked.most:
        shown = tags[: asked.most]
        return ListedTags(shown, Cursor(host, page.query, shown[-1], is_same_page=True), cache_status)
    if page.page.next_query is None or not tags:
        return ListedTags(tags, None, cache_status)
    if len(page.page.next_query) > MAX_QUERY:
        return ListedTags(tags, Cursor("", "", tags[-1], is_same_page=True), cache_status)
    return ListedTags(tags, Cursor(host, page.page.next_query, tags[-1]), cache_status)


def _warning(route: Route, collected: Collected, reason: str, *, is_end: bool) -> str:
    if is_end and not collected.is_whole:
        return f"this list is cut: no more tags of {route.repository} were collected before upstream was out of reach: {reason}"
    return f"the tags of {route.repository} may be stale: {reason}"
