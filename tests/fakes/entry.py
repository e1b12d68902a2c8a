"""What a fake server was asked, and how much of an answer left it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import parse_qs, unquote

_PULL = re.compile(r"/v2/(?P<repository>.+)/(?P<kind>manifests|blobs|referrers)/(?P<reference>[^/]+)")
_TAGS = re.compile(r"/v2/(?P<repository>.+)/(?P<kind>tags)/list")


@dataclass(slots=True, eq=False)
class Entry:
    """One request: the path raw and with its query, header names in lower case, and what was answered so far."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    status: int = 0  # 0 until a status line has left
    sent: int = 0  # bytes of the body that have left, framing not counted

    @property
    def kind(self) -> str:
        """Say what is asked for: manifests, blobs, referrers, tags, token, ping, or other."""
        bare = self.path.partition("?")[0]
        if bare in {"/v2", "/v2/"}:
            return "ping"
        if bare.startswith("/token"):
            return "token"
        return self._part("kind") or "other"

    @property
    def repository(self) -> str:
        return self._part("repository")

    @property
    def reference(self) -> str:
        """Name the tag or digest at the end of the path."""
        return self._part("reference")

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.path.partition("?")[2], keep_blank_values=True)

    def _part(self, name: str) -> str:
        bare = self.path.partition("?")[0]
        match = _PULL.fullmatch(bare) or _TAGS.fullmatch(bare)
        return unquote(match.groupdict().get(name, "")) if match else ""


Match: TypeAlias = Callable[[Entry], bool] | str
"""Which requests are meant: a predicate, or a part of the path."""


def matches(match: Match, entry: Entry) -> bool:
    return match in entry.path if isinstance(match, str) else match(entry)


def on(method: str, text: str = "") -> Callable[[Entry], bool]:
    """Mean the requests of one method whose path has *text* in it."""
    return lambda entry: entry.method == method and text in entry.path
