"""The orders in which registries list tags, and what the Link to the next page looks like there."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlencode


class BadQueryError(Exception):
    """The registry refuses such a query with a status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Order:
    """Lexical order, and `last` is a tag in it; the others below differ."""

    default: int | None = None  # tags in a page that is asked for without a size
    most: int | None = None  # tags in a page at most
    refusal: int | None = None  # the status for more than that; None: less is given

    def page(self, tags: Sequence[str], query: Mapping[str, Sequence[str]]) -> tuple[list[str], str | None]:
        """Give a page of *tags*, which come in the order in which they were pushed, and the query of the next."""
        ordered, size = self.ordered(tags), self._size(query)
        start = self.start(ordered, query)
        end = len(ordered) if size is None else start + size
        page = ordered[start:end]
        return page, self.following(ordered, end, size) if end < len(ordered) and page else None

    def ordered(self, tags: Sequence[str]) -> list[str]:
        return sorted(tags)

    def start(self, ordered: Sequence[str], query: Mapping[str, Sequence[str]]) -> int:
        """Find the place of the first tag of a page."""
        last = query.get("last", [""])[0]
        return sum(tag <= last for tag in ordered)

    def following(self, ordered: Sequence[str], end: int, size: int | None) -> str:
        return f"n={size}&last={ordered[end - 1]}"

    def _size(self, query: Mapping[str, Sequence[str]]) -> int | None:
        size = int(query["n"][0]) if "n" in query else self.default
        if size is not None and self.most is not None and size > self.most:
            if self.refusal is not None:
                raise BadQueryError(self.refusal)
            return self.most
        return size


@dataclass(frozen=True, slots=True)
class AsPushed(Order):
    """GHCR: oldest first, and `last` is a tag in that order."""

    def ordered(self, tags: Sequence[str]) -> list[str]:
        return list(tags)

    def start(self, ordered: Sequence[str], query: Mapping[str, Sequence[str]]) -> int:
        last = query.get("last", [""])[0]
        return ordered.index(last) + 1 if last in ordered else 0


@dataclass(frozen=True, slots=True)
class NewestFirst(AsPushed):
    """Newest first, and `last` is a tag in that order."""

    def ordered(self, tags: Sequence[str]) -> list[str]:
        return list(reversed(tags))


@dataclass(frozen=True, slots=True)
class ByToken(Order):
    """Quay: by an id of its own; the next page is asked for by `next_page`, and `last` means nothing."""

    name: str = "next_page"
    shows_size: bool = True

    def ordered(self, tags: Sequence[str]) -> list[str]:
        return sorted(tags, key=lambda tag: sha256(tag.encode()).digest())

    def start(self, ordered: Sequence[str], query: Mapping[str, Sequence[str]]) -> int:  # noqa: ARG002
        return int(base64.b64decode(query[self.name][0])[8:]) if self.name in query else 0

    def following(self, ordered: Sequence[str], end: int, size: int | None) -> str:  # noqa: ARG002
        token = base64.b64encode(b"\xfb\xff\xfe ids" + b":%d" % end).decode()
        return urlencode(({"n": size} if self.shows_size else {}) | {self.name: token})


@dataclass(frozen=True, slots=True)
class ByLast(ByToken):
    """ECR: the next page is asked for by a `last` that is no tag, and one that is a tag is refused."""

    name: str = "last"
    shows_size: bool = False

    def start(self, ordered: Sequence[str], query: Mapping[str, Sequence[str]]) -> int:
        try:
            return ByToken.start(self, ordered, query)
        except ValueError as error:
            raise BadQueryError(405) from error


ORDERS: Mapping[str, Order] = {
    "distribution": Order(),
    "distribution with a limit": Order(most=100, refusal=400),
    "Docker Hub": Order(default=100, most=100),
    "GHCR": AsPushed(default=100, most=1000),
    "newest first": NewestFirst(default=100, most=100),
    "Quay": ByToken(default=100, most=100),
    "Quay with a limit": ByToken(default=50, most=50, refusal=413),
    "ECR": ByLast(default=100, most=1000, refusal=405),
}
