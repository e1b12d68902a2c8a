"""One request and its response, as the access line and the metrics describe them."""

import itertools
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import hdrs
from multidict import CIMultiDict, istr

from regproxy.oci.http.cache_status import CacheStatus
from regproxy.oci.http.trace_context import TraceContext
from regproxy.web.not_found_limiter import Reservation

_ours = [secrets.token_hex(4)]  # tells processes apart; the system's randomness for each request costs more than it tells
_numbers = itertools.count(1)
_REQUEST_ID, _API_VERSION, _NAMESPACE = istr("X-Request-Id"), istr("Docker-Distribution-API-Version"), istr("OCI-Namespace")


def _begin_process() -> None:
    _ours[0] = secrets.token_hex(4)


os.register_at_fork(after_in_child=_begin_process)


def new_request_id() -> str:
    """Return what no other request has had, in any process."""
    return f"{_ours[0]}{next(_numbers):08x}"


@dataclass(slots=True)
class RequestContext:
    """What became known of a request while it was answered."""

    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    endpoint: str = "other"
    namespace: str | None = None  # the registry that is meant, as the client calls it or by its own name
    upstream: str = ""
    location: str | None = None  # where what is sent is said to be, for clients that look there
    cache_status: CacheStatus | None = None
    failure: str | None = None
    is_routine: bool = False  # what members ask each other all the time: it is neither logged nor counted
    is_quiet: bool = False  # what members ask for again and again: unless it failed, it is counted, and logged for who debugs
    trace: TraceContext | None = None  # that the client says the request belongs to
    reservation: Reservation | None = None
    user: str = ""  # the client, where it has said who it is
    is_permitted: Callable[[], bool] | None = None  # whether the same request would be let in again; None: everybody is
    enter_again: Callable[[], Awaitable[None]] | None = None  # finds out anew who may pull
    request_id: str = field(default_factory=new_request_id)
    began: float = field(default_factory=time.perf_counter)

    def found(self, cache_status: CacheStatus) -> None:
        """Record where the answer comes from: what was asked for exists."""
        self.cache_status = cache_status
        if self.reservation is not None:
            self.reservation.end()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    def parameter(self, name: str) -> str | None:
        """Return a query parameter's first value."""
        return next(iter(self.query.get(name, ())), None)

    def outcome(self, status: int) -> str:
        """Sum up, in words of a closed set."""
        if self.failure is not None and status < 400:
            return "aborted"
        if status < 400 and self.cache_status is not None:
            return self.cache_status.value
        return {404: "unknown", 403: "denied", 401: "unauthorized", 429: "throttled"}.get(
            status, "ok" if status < 400 else "invalid" if status < 500 else "failed"
        )

    def decorate(self, headers: CIMultiDict[str]) -> None:
        """Add what every answer carries."""
        headers[hdrs.SERVER] = "regproxy"
        headers[_REQUEST_ID] = self.request_id
        headers[_API_VERSION] = "registry/2.0"
        if self.namespace is not None:
            headers[_NAMESPACE] = self.namespace
        if self.location is not None:
            headers[hdrs.LOCATION] = self.location
