"""How a list of tags is cut into pages, and what a client brings back to get the next one.

The order of a list is upstream's, and so is what its Link means: GHCR and newest-first registries go on after a tag in an order of their
own, Quay by `next_page`, ECR by a `last` that is no tag. A client gets it as an opaque cursor. It is encoded and not sealed, so that
every worker, restart and replica understands it: who forges one can ask for nothing but another query of the same repository's list.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from regproxy.oci.http.link import is_query
from regproxy.oci.reference import InvalidName, Tag

MAX_QUERY = 4096  # bytes of a query of upstream's
_MAX_ENCODED = 8192  # characters of a cursor
_HOST = 16  # hex digits by which a host is told from the others of its upstream
_PAGE_SIZES = (1000, 100)  # what is tried where upstream refuses more: ECR takes 1000, Quay gives 100


class InvalidCursor(ValueError):
    """The text is no cursor of ours."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a client is in a list: the last tag it was given, and the query by which *host* gives what follows."""

    host: str
    query: str
    after: str
    is_same_page: bool = False  # the page of that query was cut after the tag

    def encode(self) -> str:
        text = json.dumps([self.host, self.query, self.after, self.is_same_page], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read what `encode` wrote, or raise `InvalidCursor`."""
        try:
            if len(text) > _MAX_ENCODED:
                raise InvalidCursor("a cursor of that length")
            found = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
            host, query, after, is_same_page = found
            cursor = cls(str(host), str(query), Tag.parse(str(after)).name, is_same_page is True)
        except (binascii.Error, ValueError, TypeError, RecursionError, InvalidName) as error:
            raise InvalidCursor("not a cursor of this list") from error
        if len(cursor.host) > _HOST or len(cursor.query) > MAX_QUERY or not is_query(cursor.query):
            raise InvalidCursor("not a cursor of this list")
        return cursor


def first_query(most: int | None, last: str = "") -> str:
    """Write the query of a list from its start, or after *last*."""
    return urlencode(({"n": str(most)} if most is not None else {}) | ({"last": last} if last else {}))


def after(tags: Sequence[str], last: str) -> tuple[str, ...] | None:
    """Return the tags that follow *last*; None where it is not among them."""
    try:
        return tuple(tags[tags.index(last) + 1 :])
    except ValueError:
        return None


def smaller_pages(query: str, most: int | None) -> Iterator[str]:
    """Yield *query*, and then what may be asked instead where upstream takes no page of that size.

    *most*: the size that upstream is known to take; 0 where it takes none.
    """
    wanted = page_size(query)
    if wanted is None:
        yield query
        return
    others = [part for part in query.split("&") if part.partition("=")[0] != "n"]
    first = wanted if most is None else min(wanted, most)
    sizes = [first, *(size for size in _PAGE_SIZES if size < first)] if first else []
    for size in sizes:
        yield "&".join([f"n={size}", *others])
    yield "&".join(others)


def page_size(query: str) -> int | None:
    """Return how many tags a query asks for at most."""
    return next((int(part[2:]) for part in query.split("&") if re.fullmatch(r"n=[0-9]{1,9}", part)), None)
