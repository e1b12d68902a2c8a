"""One HTTP request, its answer as a value whatever its status."""

from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from urllib.error import HTTPError
from urllib.request import Request, urlopen


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: Message
    body: bytes


def ask(method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Answer:
    """Send one request; raises OSError only when no answer came."""
    request = Request(url, data=body, headers=dict(headers or {}), method=method)
    try:
        with urlopen(request, timeout=30) as response:
            return Answer(response.status, response.headers, response.read())
    except HTTPError as refusal:
        with refusal:
            return Answer(refusal.code, refusal.headers, refusal.read())
