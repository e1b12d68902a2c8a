"""Requests that were answered before, word for word: the thousand nodes that pull an image send the same bytes.

What such bytes ask was read once, by the only parser there is, and answered in the only way there is. To read and to find it again would
take twice as long as all the rest, so it is remembered; whether it still stands is asked each time of whoever gave it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from cachetools import LRUCache

from regproxy.ports import Extent
from regproxy.web.account import Account
from regproxy.web.exchange import new_request_id
from regproxy.web.ready import Ready, date, stays

_MOST = 16 * 1024 * 1024  # bytes of answers, and of the requests for them; one for an image takes 5 KiB
_BESIDE = 2048  # bytes that each takes beside the answer, and no less than a request may have (attention.py)
_LONGEST = 32 * 1024  # bytes of an answer that is given again: it waits in memory for a client that does not read, others in the kernel
_NUMBER = b"\r\nX-Request-Id: "


@dataclass(frozen=True, slots=True)
class Again:
    """A response to a repeated request: bytes, and the file whose bytes come behind them, if any."""

    written: bytes
    file: Extent | None


@dataclass(frozen=True, slots=True)
class _Repeat:
    """An answer that is given again as it was, but for its date and its number."""

    stands: Callable[[], bool]
    file: Extent | None
    account: Account
    before_date: bytes
    before_number: bytes
    after_number: bytes

    def __len__(self) -> int:
        return len(self.before_number) + len(self.after_number) + _BESIDE


class Repeats:
    """The answers that a worker can give again without reading the request."""

    def __init__(self) -> None:
        self._known: LRUCache[bytes, _Repeat] = LRUCache(_MOST, getsizeof=len)

    def learn(self, words: bytes, request: web.BaseRequest, response: Ready, account: Account) -> None:
        """Remember what a request in these *words* was answered, if it would be answered so again."""
        if response.stands is None or not stays(request) or not response.stands():
            return
        before_date, after_date = response.around_date(request)
        start = after_date.index(_NUMBER) + len(_NUMBER)
        end = after_date.index(b"\r\n", start)
        file = response.file if request.method != "HEAD" else None
        repeat = _Repeat(response.stands, file, account, before_date, after_date[:start], after_date[end:])
        if len(repeat) <= _LONGEST:
            self._known[words] = repeat

    def forget(self, words: bytes) -> None:
        self._known.pop(words, None)

    def answer(self, words: bytes, client: str, longest: int) -> Again | None:
        """Write the answer to *client* and tell of it, if there is one that still stands; its file has *longest* bytes at most."""
        began = time.perf_counter()
        repeat = self._known.get(words)
        if repeat is None or (repeat.file is not None and repeat.file.length > longest):
            return None
        if not repeat.stands():
            del self._known[words]
            return None
        number = new_request_id()
        written = b"".join((repeat.before_date, date(), repeat.before_number, number.encode(), repeat.after_number))
        repeat.account.tell(number, client, time.perf_counter() - began)
        return Again(written, repeat.file)
