"""How much the store may hold: its own limit, and what the file system leaves it.

The watermarks are of the whole file system, which others fill too: what they write makes room for us smaller (bazel-remote #788).
"""

from dataclasses import dataclass

_SLACK = 16  # a sweep for max_size goes on until a sixteenth is free, so that not every pull starts one
_BLOCK = 4096  # what the usual file systems round a file up to, and so `du`


@dataclass(frozen=True, slots=True)
class Limits:
    """What the configuration allows: bytes, and shares of the file system."""

    max_size: int | None = None
    high: float = 0.85
    low: float = 0.75


@dataclass(frozen=True, slots=True)
class FileSystem:
    """Its size, and what is free for us, in bytes."""

    size: int
    free: int


def capacity(limits: Limits, disk: FileSystem, held: int) -> int:
    """Return how many bytes the store may hold, given that it holds *held* now."""
    return _least(limits.max_size, held + disk.free - round(disk.size * (1 - limits.high)))


def ceiling(limits: Limits, disk: FileSystem) -> int:
    """Return how many bytes the store could hold if nothing else lay on its disk."""
    return _least(limits.max_size, round(disk.size * limits.high))


def target(limits: Limits, disk: FileSystem, held: int) -> int:
    """Return down to how many bytes an eviction goes."""
    by_size = None if limits.max_size is None else limits.max_size - limits.max_size // _SLACK
    return _least(by_size, held + disk.free - round(disk.size * (1 - limits.low)))


def on_disk(size: int) -> int:
    """Round a file's size up to what it takes on a disk."""
    return -(-size // _BLOCK) * _BLOCK


def _least(own: int | None, of_disk: int) -> int:
    return max(0, of_disk if own is None else min(own, of_disk))
