"""Which parts of a blob are asked for together: each question costs upstream more than the bytes between two parts that are near."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

Place: TypeAlias = tuple[int, int | None]  # from where to where (excluded); None is the end

NEAR = 64 * 1024  # bytes; fewer of them between two parts take less time than another question
MAX_WASTE = 4 * 1024 * 1024  # bytes that are fetched and not wanted, where that is more than is wanted


def coalesced(places: Sequence[Place], most: int) -> list[list[Place]] | None:
    """Group *places*, in their order, into at most *most* questions, each for all from its first to its last; None where that cannot be.

    Parts that touch or are near are asked for together, and so are the nearest of the others where there are more than *most*, unless too
    much that nobody wants would come with them.
    """
    gaps = {at: gap for at, (place, following) in enumerate(pairwise(places)) if (gap := _gap(place, following)) is not None}
    far = sorted((gap, at) for at, gap in gaps.items() if gap > NEAR)
    joined = {at for at, gap in gaps.items() if gap <= NEAR}
    joined.update(at for _, at in far[: max(len(places) - len(joined) - most, 0)])
    wanted = sum(stop - start for start, stop in places if stop is not None)
    if len(places) - len(joined) > most or sum(gaps[at] for at in joined) > max(MAX_WASTE, wanted):
        return None
    groups: list[list[Place]] = []
    for at, place in enumerate(places):
        if at - 1 in joined:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def _gap(place: Place, following: Place) -> int | None:
    """Count the bytes between two parts; None where the second does not come after the first."""
    stop = place[1]
    return following[0] - stop if stop is not None and following[0] >= stop else None
