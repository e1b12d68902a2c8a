"""Who may send a hook's request, and its body. A secret that is sent is compared before the body is read.

Nothing of a URL is logged: it may hold a secret.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Protocol, TypeAlias, TypeVar

from aiohttp import web

from regproxy.policy.clock import MonotonicClock
from regproxy.policy.hooks.event import MAX_BODY_BYTES, Event, InvalidEvent
from regproxy.policy.hooks.sender import Shown
from regproxy.policy.hooks.sources import Hook, Source, read
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields
from regproxy.web.admin.gate import error

_TIMEOUT = 10.0  # seconds for a body
_MAX_BODIES = 16  # of 1 MiB each, on their way in at once; others wait for their turn
_MAX_UNPROVEN = 4  # of those whose sender is known by their signature alone: nobody is to keep others waiting by unfinished ones
_LOG_EVERY = 10.0  # seconds between two lines about what a source sends
_RETRY_AFTER = "10"  # seconds

Answer: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Configured(Protocol):
    @property
    def hook(self) -> Hook: ...


One = TypeVar("One", bound=_Configured)

_log = logging.getLogger(__name__)


class NotTaken(Exception):
    """A request is refused: *status* and the reason are answered, *result* is counted."""

    def __init__(self, status: int, result: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.result = result


class Reception:
    """Receives what hooks are sent."""

    def __init__(self, timeout: float = _TIMEOUT, clock: MonotonicClock = time.monotonic) -> None:
        """Wait *timeout* seconds for a body."""
        self._timeout = timeout
        self._clock = clock
        self._turns, self._unproven = asyncio.Semaphore(_MAX_BODIES), asyncio.Semaphore(_MAX_UNPROVEN)
        self._logged: dict[tuple[Source, str], float] = {}

    async def received(self, request: web.Request, hooks: Sequence[One], *in_url: str) -> tuple[One, bytes]:
        """Return which of *hooks* a request is for, and its body; raise `NotTaken`. *in_url* are secrets that its URL shows."""
        shown = _shown(request, in_url)
        one = None
        if not any(each.hook.source.signs for each in hooks):
            one = _admitting(hooks, shown, b"")
        body = await self._body(request, self._turns if one is not None else self._unproven)
        return one or _admitting(hooks, shown, body), body

    def refusing(self, source: Source, answer: Answer) -> Answer:
        """Answer what is not taken, and count it as of *source*."""

        async def refusing(request: web.Request) -> web.StreamResponse:
            try:
                return await answer(request)
            except NotTaken as refused:
                return self.refusal(source, request, refused)

        return refusing

    def events(self, source: Source, request: web.Request, body: bytes) -> Sequence[Event]:
        """Return the events of a body; raise `NotTaken`."""
        try:
            return read(source, body, {name.lower(): value for name, value in request.headers.items()})
        except InvalidEvent as wrong:
            raise NotTaken(400, "invalid", str(wrong)) from None

    def refusal(self, source: Source, request: web.Request, refused: NotTaken, events: int = 1) -> web.Response:
        """Answer what is not taken, count its *events*, and log it, but not each time."""
        metrics.HOOK_EVENTS.labels(source.value, refused.result).inc(events)
        now = self._clock()
        if now - self._logged.get((source, refused.result), now - _LOG_EVERY) >= _LOG_EVERY:
            self._logged[source, refused.result] = now
            told = fields(source=source.value, result=refused.result, client=request.remote, reason=str(refused))
            _log.warning("hook request refused", extra=told)
        response = error(refused.status, str(refused))
        if refused.status == HTTPStatus.TOO_MANY_REQUESTS:
            response.headers["Retry-After"] = _RETRY_AFTER
        return response

    async def _body(self, request: web.Request, turns: asyncio.Semaphore) -> bytes:
        too_large = NotTaken(413, "invalid", f"the body has more than {MAX_BODY_BYTES} bytes")
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise too_large
        try:
            async with asyncio.timeout(self._timeout), turns:
                return await request.read()
        except TimeoutError:
            raise NotTaken(408, "invalid", "the body came too slowly") from None
        except web.HTTPRequestEntityTooLarge:
            raise too_large from None


def _admitting(hooks: Sequence[One], shown: Shown, body: bytes) -> One:
    """Find the hook whose secret a request shows, else one that needs none."""
    found = [each for each in hooks if each.hook.admits(shown, body)]
    if not found:
        raise NotTaken(401, "unauthorized", "this is not the secret of a hook, or it is not where this source shows it")
    return min(found, key=lambda each: each.hook.secret is None)


def _shown(request: web.Request, in_url: Sequence[str]) -> Shown:
    headers = request.headers
    return Shown(
        headers.getall("Authorization", ()),
        headers.getall("X-Webhook-Secret", ()),
        headers.getall("X-Hub-Signature-256", ()),
        (*in_url, *request.query.getall("secret", ())),
    )
