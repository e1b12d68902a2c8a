"""When a worker that died is started again."""

STEADY = 60.0  # seconds that a worker must live, for its death to be the first again
_FIRST = 0.5  # seconds after the second death in a row; doubled by each further one
_LONGEST = 5.0  # its share of the clients waits in its queue meanwhile, and to start one takes a second of a core


def deaths_in_a_row(before: int, lived: float) -> int:
    """Count a death after *lived* seconds, those *before* it being forgotten where that was long."""
    return 1 if lived >= STEADY else before + 1


def pause(deaths: int) -> float:
    """Return how many seconds to wait after so many deaths in a row: none after the first, for clients are waiting."""
    return 0.0 if deaths <= 1 else float(min(_LONGEST, _FIRST * 2 ** min(deaths - 2, 10)))
