"""How much the store may hold: its own limit, and what the file system leaves it.

The watermarks are of the whole file system, which others fill too: what they write makes room for us smaller (bazel-remote #788).
"""

from dataclasses import dataclass

_SLACK = 16  # a sweep for max_size goes on until a sixteenth is free, so that not every pull starts one
_BLOCK = 4096  # what the usual file systems round a file up to, and so `du`
_MAX_AHEAD = 64 * 1024 * 1024  # bytes made free before they come: a host may announce far more than it ever sends


@dataclass(frozen=True, slots=True)
class Limits:
    """What the configuration allows: bytes, and shares of the file system; everything, where nothing is said."""

    max_size: int | None = None
    high: float = 1.0
    low: float = 1.0


@dataclass(frozen=True, slots=True)
class FileSystem:
    """Its size, and what is free for us, in bytes."""

    size: int
    free: int

    @property
    def used(self) -> float:
        """Return the share of it that is taken, by us and by others."""
        return 1 - self.free / self.size if self.size else 1.0


def capacity(limits: Limits, disk: FileSystem, held: int) -> int:
    """Return how many bytes the store may hold, given that it holds *held* now."""
    return _least(limits.max_size, _beside_others(disk, held, limits.high))


def ceiling(limits: Limits, disk: FileSystem) -> int:
    """Return how many bytes the store could hold if nothing else lay on its disk."""
    return _least(limits.max_size, round(disk.size * limits.high))


def target(limits: Limits, disk: FileSystem, held: int, needed: int) -> int:
    """Return down to how many bytes an eviction goes where *needed* are too many: below the limits that they exceed.

    A disk that others filled to between its watermarks is no reason to evict more than max_size demands.
    """
    goals = []
    if limits.max_size is not None and needed > limits.max_size:
        goals.append(limits.max_size - limits.max_size // _SLACK)
    if needed > _beside_others(disk, held, limits.high):
        goals.append(_beside_others(disk, held, limits.low))
    return max(0, min(goals, default=needed))


def admits(most: int, coming: int, size: int) -> bool:
    """Return whether a store of *most* bytes takes one ingest of *size* bytes while ingests of *coming* bytes are in progress.

    All of them could be finished if nothing else were stored. The last sixteenth is left to those that need no more than it: whoever
    announces a giant and then trickles it does not keep ordinary content out.
    """
    spared = most // _SLACK
    return coming + size <= (most if size <= spared else most - spared)


def ahead(most: int, promised: int) -> int:
    """Return how many of the *promised* bytes, which did not come yet, a store of *most* bytes keeps free."""
    return min(promised, _MAX_AHEAD, most // _SLACK)


def on_disk(size: int) -> int:
    """Round a file's size up to what it takes on a disk."""
    return -(-size // _BLOCK) * _BLOCK


def _beside_others(disk: FileSystem, held: int, share: float) -> int:
    return held + disk.free - round(disk.size * (1 - share))


def _least(own: int | None, of_disk: int) -> int:
    return max(0, of_disk if own is None else min(own, of_disk))
