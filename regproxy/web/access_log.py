"""The access log: what metrics and the access line report of a response."""

from collections.abc import Sequence
from functools import lru_cache

from aiohttp import web

from regproxy.telemetry import metrics
from regproxy.telemetry.log import AccessLine, Told
from regproxy.web.buffered import BufferedResponse
from regproxy.web.context import RequestContext

_MAX_PATH = 512  # characters

_requests = lru_cache(None)(metrics.REQUESTS.labels)
_seconds = lru_cache(None)(metrics.SECONDS.labels)
_sent = lru_cache(None)(metrics.SENT_BYTES.labels)


class AccessLogEntry:
    """All that is logged of a response but its time, client and duration."""

    __slots__ = ("_bytes", "_line", "_requests", "_seconds", "_sent", "user")

    def __init__(self, request: web.BaseRequest, context: RequestContext, response: web.StreamResponse | None) -> None:
        """Report a request and its answer; None is none, because the client left."""
        status = response.status if response is not None else 499  # nginx's word for it
        outcome = context.outcome(status) if response is not None else "client_closed"
        self.user = context.user
        self._requests = _requests(context.endpoint, metrics.upstream_label(context.upstream), outcome)
        self._seconds = _seconds(context.endpoint)
        self._bytes = response.sent_length(request) if isinstance(response, BufferedResponse) else 0  # others count as they send
        self._sent = _sent(context.endpoint, outcome) if self._bytes else None
        self._line = AccessLine(
            f"{request.method} {_shown_path(request.raw_path, context.endpoint)} {status}",
            is_quiet=context.is_quiet and context.failure is None,
            endpoint=context.endpoint,
            upstream=context.upstream,
            outcome=outcome,
            bytes=response.content_length if response is not None else None,
            agent=request.headers.get("User-Agent", "")[:200],
            failure=context.failure,
            **({"user": context.user} if context.user else {}),
            **({"trace_id": context.trace.trace_id} if context.trace is not None else {}),
        )

    def tell(self, responses: Sequence[Told]) -> None:
        """Record that it was given so often; many at once cost little more than one."""
        self._requests.inc(len(responses))
        self._seconds.observe_all([seconds for _, _, seconds in responses])
        if self._sent is not None:
            self._sent.inc(self._bytes * len(responses))
        self._line.tell(responses)


def _shown_path(raw_path: str, endpoint: str) -> str:
    """Return the path for the log; of one that is no registry's only the first part: a hook's, sent to the wrong port, holds a secret."""
    if endpoint != "other" or "/v2/" in raw_path:
        return raw_path[:_MAX_PATH]
    return "/".join(raw_path.partition("?")[0].split("/")[:2])[:_MAX_PATH]
