"""Which repositories a host refused, so that it is not asked for them again at each blob of each image.

A mirror that knows a tenth of all images says 403 or 404 of the others, at its token service, to HEAD and to each blob. What it said counts
for a while, unless nobody else can answer: then it is asked all the same, after the others.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from regproxy.policy.clients.identity import AccessMode
from regproxy.policy.clock import MonotonicClock
from regproxy.policy.routing import Host, HostKind, Trust, Upstream
from regproxy.ports import NotFound, Refused, UpstreamError
from regproxy.telemetry.log import fields

_log = logging.getLogger(__name__)

_MAX_REPOSITORIES = 10_000  # of an upstream, some 3 MB: clients choose the names
_REFUSED_FOR = 600.0  # seconds: an image that a mirror is to take up is asked for again within the hour
_MANY_MISSES = 2  # a mirror that lacks one blob may have the others; who lacks the next one too has given the image up


@dataclass(slots=True)
class _Refusal:
    misses: float = 0  # in a row
    until: float = 0.0


class Refusals:
    """The refusals of an upstream's hosts."""

    def __init__(self, upstream: Upstream, clock: MonotonicClock = time.monotonic) -> None:
        """Start with none."""
        self._upstream = upstream
        self._clock = clock
        self._known: LRUCache[tuple[Host, str], _Refusal] = LRUCache(_MAX_REPOSITORIES)

    def order(self, hosts: Sequence[Host], name: str) -> tuple[list[Host], list[Host]]:
        """Split *hosts* into those to ask for repository *name*, and those that refused it.

        Where all that are trusted to resolve refused it, they are asked: somebody has to say what it is like now.
        """
        refusing = [host for host in hosts if self._is_refusing(host, name)]
        resolvers = [host for host in self._upstream.hosts if Trust.RESOLVE in host.trust]
        if all(self._is_refusing(host, name) for host in resolvers):
            refusing = [host for host in refusing if host not in resolvers]
        return [host for host in hosts if host not in refusing], refusing

    def answered(self, host: Host, name: str) -> None:
        """Record that *host* gives what is in *name*."""
        self._known.pop((host, name), None)

    def failed(self, host: Host, name: str, error: UpstreamError, *, is_content: bool) -> None:
        """Record that *host* did not give something of *name*; *is_content*: it was asked by digest, not for a tag."""
        if not isinstance(error, NotFound | Refused) or self._is_about_client(host, error):
            return
        is_final = error.origin is None and (isinstance(error, Refused) or error.is_repository)
        if not is_final and (host.kind is HostKind.CACHE or not is_content):
            return  # a cache has it a moment later; signatures are asked for by tags that hardly any image has
        refusal = self._known.setdefault((host, name), _Refusal())
        refusal.misses += _MANY_MISSES if is_final else 1
        if refusal.misses >= _MANY_MISSES:
            was_refusing, refusal.until = self._is_refusing(host, name), self._clock() + _REFUSED_FOR
            if not was_refusing and len(self._upstream.hosts) > 1:
                about = fields(upstream=self._upstream.name, host=str(host), repository=name, seconds=_REFUSED_FOR)
                _log.info("host does not have repository: not asked for it for now", extra=about)

    def _is_refusing(self, host: Host, name: str) -> bool:
        refusal = self._known.get((host, name))
        return refusal is not None and self._clock() < refusal.until

    def _is_about_client(self, host: Host, error: UpstreamError) -> bool:
        """Report whether it was not for us that it was refused: a credential says nothing of what others are given."""
        is_credential = isinstance(error, Refused) and error.whatever_asked
        return is_credential or (self._upstream.access is AccessMode.PROVEN and host.is_shown_credentials)
