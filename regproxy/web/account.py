"""What is told of an answer, in metrics and in a line."""

from functools import lru_cache

from aiohttp import web

from regproxy import metrics
from regproxy.log import AccessLine
from regproxy.web.exchange import Exchange

_requests = lru_cache(None)(metrics.REQUESTS.labels)
_seconds = lru_cache(None)(metrics.SECONDS.labels)


class Account:
    """All that is told of an answer, but when, to whom and how soon it was given."""

    __slots__ = ("_line", "_requests", "_seconds")

    def __init__(self, request: web.BaseRequest, exchange: Exchange, response: web.StreamResponse | None) -> None:
        """Tell of a request and its answer; None is none, because the client left."""
        status = response.status if response is not None else 499  # nginx's word for it
        outcome = exchange.outcome(status) if response is not None else "left"
        self._requests = _requests(exchange.endpoint, exchange.upstream, outcome)
        self._seconds = _seconds(exchange.endpoint)
        self._line = AccessLine(
            f"{request.method} {request.raw_path[:512]} {status}",
            endpoint=exchange.endpoint,
            upstream=exchange.upstream,
            outcome=outcome,
            bytes=response.content_length if response is not None else None,
            agent=request.headers.get("User-Agent", "")[:200],
            failure=exchange.failure,
        )

    def tell(self, request_id: str, client: str, seconds: float) -> None:
        """Tell that it was given to *client*, once more."""
        self._requests.inc()
        self._seconds.observe(seconds)
        self._line.tell(request_id, client, seconds)
