"""Requests that were answered before, word for word: the thousand nodes that pull an image send the same bytes.

What such bytes ask was read once, by the only parser there is, and answered in the only way there is. To read and to find it again would
take twice as long as all the rest, so it is remembered; whether it is still current is asked each time of whoever gave it.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from aiohttp import web
from cachetools import LRUCache

from regproxy.ports import Extent
from regproxy.telemetry.log import Told
from regproxy.web.access_log import AccessLogEntry
from regproxy.web.buffered import BufferedResponse, date, may_sendfile, read_whole, send_now, stays
from regproxy.web.context import new_request_id

_MOST = 16 * 1024 * 1024  # bytes of answers, and of the requests for them; one for an image takes 5 KiB
_BESIDE = 2048  # bytes that each takes beside the answer, and no less than a request may have (server.py)
_LONGEST = 32 * 1024  # bytes of an answer that is given again: it waits in memory for a client that does not read, others in the kernel
_NUMBER = b"\r\nX-Request-Id: "


class CachedResponse(NamedTuple):
    """A response to a repeated request: bytes, and the file whose bytes come behind them, if any."""

    written: bytes
    file: Extent | None

    def send(self, transport: asyncio.Transport) -> int:
        """Send it at once, and return how many bytes of the file wait in memory, at most; raise `OSError`."""
        if self.file is None:
            transport.write(self.written)
            return 0
        if not may_sendfile(transport, self.file):
            transport.writelines([self.written, read_whole(self.file)])
            return self.file.length  # asyncio does not tell how much of it TLS holds
        transport.write(self.written)
        sent = send_now(transport, self.file)
        if waiting := self.file.length - sent:
            transport.write(read_whole(replace(self.file, offset=self.file.offset + sent, length=waiting)))
        return waiting


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """An answer that is given again as it was, but for its date and its number."""

    is_permitted: Callable[[], bool] | None
    is_current: Callable[[], bool]
    count_uses: Callable[[int], None] | None
    file: Extent | None
    entry: AccessLogEntry
    client: str  # who sent the request
    before_date: bytes
    before_number: bytes
    after_number: bytes

    def __len__(self) -> int:
        return len(self.before_number) + len(self.after_number) + _BESIDE


class ResponseCache:
    """The answers that a worker can give again without reading the request."""

    def __init__(self) -> None:
        self._known: LRUCache[bytes, _Entry] = LRUCache(_MOST, getsizeof=len)
        self._untold: dict[_Entry, list[Told]] = {}  # responses of this turn of the event loop

    def learn(
        self,
        key: bytes,
        request: web.BaseRequest,
        response: BufferedResponse,
        entry: AccessLogEntry,
        is_permitted: Callable[[], bool] | None = None,
    ) -> None:
        """Remember what the request of *key* was answered, if it would be answered so again.

        *is_permitted* tells later whether who asks would be let in again; None: everybody is.
        """
        if response.is_current is None or not stays(request) or not _is_valid(is_permitted, response.is_current):
            return
        before_date, after_date = response.around_date(request)
        start = after_date.index(_NUMBER) + len(_NUMBER)
        end = after_date.index(b"\r\n", start)
        file = response.file if request.method != "HEAD" else None
        repeat = _Entry(
            is_permitted,
            response.is_current,
            response.count_uses,
            file,
            entry,
            request.remote or "",
            before_date,
            after_date[:start],
            after_date[end:],
        )
        if len(repeat) <= _LONGEST:
            self._known[key] = repeat

    def user(self, key: bytes) -> str | None:
        """Return whom the answer of *key* is for, by name; "" is nobody in particular, None: there is no such answer."""
        known = self._known.get(key)
        return known.entry.user if known is not None else None

    def client(self, key: bytes) -> str:
        """Return who sent the request of *key*."""
        known = self._known.get(key)
        return known.client if known is not None else ""

    def forget(self, key: bytes) -> None:
        self._known.pop(key, None)

    def answer(self, key: bytes, client: str | None, longest: int) -> CachedResponse | None:
        """Write the answer to *client*, if there is one that still is_current; its file has *longest* bytes at most.

        None is a client that the request itself names. Whether it is current is asked once in a turn of the event loop; at the end of the
        turn its responses are logged and counted.
        """
        began = time.perf_counter()
        try:
            repeat = self._known[key]
        except KeyError:
            return None
        if repeat.file is not None and (repeat.file.length > longest or repeat.file.file.closed):
            return None  # what was current in this turn may have been evicted since
        responses = self._untold.get(repeat)
        if responses is None:
            if not _is_valid(repeat.is_permitted, repeat.is_current):
                del self._known[key]
                return None
            responses = self._told_soon(repeat)
        number = new_request_id()
        written = b"".join((repeat.before_date, date(), repeat.before_number, number.encode(), repeat.after_number))
        responses.append((number, repeat.client if client is None else client, time.perf_counter() - began))
        return CachedResponse(written, repeat.file)

    def _told_soon(self, repeat: _Entry) -> list[Told]:
        """Have all that is put into the list told at the end of this turn of the event loop."""
        if not self._untold:
            asyncio.get_running_loop().call_soon(self._tell)
        responses: list[Told] = []
        self._untold[repeat] = responses
        return responses

    def _tell(self) -> None:
        untold, self._untold = self._untold, {}
        for repeat, responses in untold.items():
            repeat.entry.tell(responses)
            if repeat.count_uses is not None:
                repeat.count_uses(len(responses))


def _is_valid(is_permitted: Callable[[], bool] | None, is_current: Callable[[], bool]) -> bool:
    return (is_permitted is None or is_permitted()) and is_current()
