"""What a member asks of upstream, in the place of all others."""

import time
from collections.abc import Awaitable, Callable, Mapping

from cachetools import TTLCache

from regproxy.asker import Asker
from regproxy.fill.download import Download
from regproxy.peers.names import PieceName
from regproxy.peers.pieces.piece import UnservedError
from regproxy.policy.clock import MonotonicClock
from regproxy.ports import Answer, Registry, Throttled, Unavailable, UpstreamError, detached

_AHEAD = 256 * 1024  # bytes of a piece that wait in memory
_CUT_OFF_FOR = 10.0  # seconds after which a member that did not reach upstream tries again
_REFUSED_FOR = 2.0  # seconds that what upstream said instead of a piece is told again: the members ask one after the other
_MAX_REFUSED = 1000


class Upstreams:
    """The upstreams of which members exchange blobs, by name."""

    def __init__(
        self, registries: Mapping[str, Registry], is_proven: Callable[[str], bool] = lambda _: False, clock: MonotonicClock = time.monotonic
    ) -> None:
        """Ask *registries*; those that are *proven* by clients' own credentials as nobody, so that all may have what they give."""
        self.registries = registries
        self._is_proven = is_proven
        self._clock = clock
        self._cut_off_until: dict[str, float] = {}
        self._refusals: TTLCache[PieceName, UpstreamError] = TTLCache(_MAX_REFUSED, _REFUSED_FOR, clock)

    def asker(self, upstream: str) -> Asker | None:
        """Return for whose sake *upstream* is asked for what every member may have."""
        return Asker(None) if self._is_proven(upstream) else None

    def is_cut_off(self, upstream: str) -> bool:
        """Whether we do not reach *upstream*: then we come last, ask everybody, and give only what we have. So nobody waits in a circle."""
        return self._clock() < self._cut_off_until.get(upstream, 0.0)

    def check(self, name: PieceName) -> None:
        """Raise what upstream has just said instead of a piece.

        To us: what members tell each other is recorded by none of them, or it would be told for as long as anybody asks.
        """
        if (refusal := self._refusals.get(name)) is not None:
            raise detached(refusal)

    async def send(
        self, name: PieceName, written: int, begin: Callable[[int], Awaitable[None]], put: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """Call *begin* with the size of the blob, then *put* with the bytes of a piece behind the first *written*, in order.

        Raise `UpstreamError` where upstream answers something else, and `UnservedError` where it is not reached, or sends no parts.
        """
        blob, cut = name.blob, name.cut
        registry = self.registries[blob.repository.registry]
        timeout = registry.progress_timeout
        download = Download(registry, blob.repository, blob.digest, cut.start + written, cut.stop, stall_timeout=timeout, ahead=_AHEAD)
        try:
            await download.begin()
            if not download.is_ranged or download.size is None:
                raise UnservedError(f"upstream sends no parts of {blob.digest}")
            await begin(download.size)
            await download.run(put)
        except (Answer, Throttled, Unavailable) as error:
            if isinstance(error, Unavailable) and not error.answered:
                raise UnservedError(str(error), is_cut_off=self._note(blob.repository.registry)) from error
            self._refusals[name] = detached(error)
            raise
        except UpstreamError as error:
            raise UnservedError(str(error)) from error
        finally:
            await download.close()

    def _note(self, upstream: str) -> bool:
        """Record that *upstream* is not reached, and report whether that is news."""
        is_news = not self.is_cut_off(upstream)
        if is_news:
            self._cut_off_until[upstream] = self._clock() + _CUT_OFF_FOR
        return is_news
