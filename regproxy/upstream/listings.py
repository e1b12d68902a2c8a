"""Asking one host for lists: tags, page by page, and referrers."""

import json
from hashlib import sha256

from regproxy.oci.digest import Digest
from regproxy.oci.http.link import next_query
from regproxy.oci.manifest import OCI_INDEX
from regproxy.oci.reference import InvalidName, Repository, Tag
from regproxy.policy.paging import page_size, smaller_pages
from regproxy.policy.routing import Host
from regproxy.ports import NotFound, TagPage, UnexpectedResponse
from regproxy.upstream.connections import Pool
from regproxy.upstream.documents import read_document
from regproxy.upstream.host import HostClient
from regproxy.upstream.request import HostRequest

_LISTING_LIMIT = 8 * 1024 * 1024  # 60,000 tags of the longest kind
_MOST_PAGES = 20  # of referrers, each up to 4 MiB by the spec; more is an attack
_BAD_QUERIES = frozenset({400, 405, 409, 410, 412, 413, 414, 416, 422, 431})  # a page of that size, or what `last` or a cursor means
_NO_REFERRERS = frozenset({400, 404, 405, 406, 500, 501})  # what registries without the API say to it (public reports, by registry)


class TagPages:
    """Pages of tags, in sizes that each host takes."""

    def __init__(self) -> None:
        """Start with any size."""
        self._sizes: dict[Host, int] = {}  # where a host took no larger page; 0: it takes no size at all

    async def page(self, client: HostClient, repository: Repository, query: str) -> TagPage | None:
        """Ask one host; what it says to a query that is more than a size is for our caller to understand."""
        pages = list(smaller_pages(query, self._sizes.get(client.host)))
        for number, each in enumerate(pages, 1):
            is_last = number == len(pages)
            understood = _BAD_QUERIES if not is_last or each else frozenset[int]()
            rest = f"tags/list?{each}" if each else "tags/list"
            accept = {"Accept": "application/json"}
            async with client.ask(HostRequest("GET", repository.name, rest, Pool.LIST, accept, understood=understood)) as response:
                if response.status in understood:
                    continue
                document = await read_document(client, response, _LISTING_LIMIT, "a list of tags")
                if number > 1:
                    self._sizes[client.host] = page_size(each) or 0
                following = next_query(response.headers.getall("Link", []))
                is_there_more = following is not None and following not in {each, query}  # else it would go on for ever
                return TagPage(_tags(document.get("tags")), token(client.host), following if is_there_more else None)
        return None


async def referrers(client: HostClient, repository: Repository, digest: Digest) -> list[dict[str, object]]:
    """List the descriptors that refer to *digest*, over all pages; raise `NotFound` where the host has none or lacks the API."""
    found: list[dict[str, object]] = []
    size, rest = 0, f"referrers/{digest}"
    for _ in range(_MOST_PAGES):
        accept = {"Accept": OCI_INDEX}
        async with client.ask(HostRequest("GET", repository.name, rest, Pool.LIST, accept, understood=_NO_REFERRERS)) as response:
            if response.status in _NO_REFERRERS:
                raise NotFound(f"{client.host} has no referrers of {digest} ({response.status})")
            document = await read_document(client, response, _LISTING_LIMIT, "a list of referrers")
            page = [item for item in _list(document.get("manifests")) if isinstance(item, dict)]
            query = next_query(response.headers.getall("Link", []))
            size += len(json.dumps(page)) if query is not None or found else 0
        if size > _LISTING_LIMIT:
            raise UnexpectedResponse(f"{client.host} has more than {_LISTING_LIMIT} bytes of referrers of {digest}")
        found += page
        if query is None:
            return found
        rest = f"referrers/{digest}?{query}"
    raise UnexpectedResponse(f"{client.host} has more than {_MOST_PAGES} pages of referrers of {digest}")


def token(host: Host) -> str:
    """Distinguish hosts of an upstream without telling clients their addresses."""
    return sha256(f"{host.url}/{host.prefix}".encode()).hexdigest()[:16]


def _tags(found: object) -> tuple[str, ...]:
    """Keep upstream's order, and what can be pulled."""
    tags: dict[str, None] = {}
    for item in _list(found):
        try:
            tags[Tag.parse(str(item)).name] = None
        except InvalidName:
            continue
    return tuple(tags)


def _list(found: object) -> list[object]:
    return found if isinstance(found, list) else []  # Huawei SWR: "tags": null
