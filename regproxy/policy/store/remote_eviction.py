"""What goes first when an object store is full: what nobody has used longest, and nothing that an operator wants kept."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from regproxy.oci.digest import Digest

_SLACK = 16  # an eviction goes on until a sixteenth is free


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """Content there: its size in bytes, and when it was written or used last, in epoch seconds of that store."""

    size: int
    used_at: float


def choose(found: Mapping[Digest, RemoteObject], max_size: int, kept: Collection[Digest]) -> list[Digest]:
    """Return what goes where *found* is more than *max_size* bytes, but for what is *kept*; the longest unused first."""
    excess = sum(each.size for each in found.values()) - max_size
    if excess <= 0:
        return []
    excess += max_size // _SLACK
    chosen = []
    for digest in sorted(found, key=lambda digest: (found[digest].used_at, -found[digest].size)):
        if excess <= 0:
            break
        if digest not in kept:
            excess -= found[digest].size
            chosen.append(digest)
    return chosen
