"""How many pieces a member brings ahead of who reads a blob, who gets nothing of one before it is whole and checked."""

WINDOW = 12  # pieces ahead of all readers of a process: on the line that they share, many pieces at once all come late
LEAST = 3  # ahead of each at first, when others wait for their first one on the same lines, and where they come fast
_LONG = 3.0  # seconds that who reads waits for a piece: then fewer at once come sooner, each


def adapted(most: int, waited: float, readers: int) -> int:
    """Return how many pieces one of so many *readers* brings at once, of *most* before it *waited* so many seconds for one."""
    if waited > _LONG:
        return max(most // 2, 1)
    return min(most + 1, max(WINDOW // max(readers, 1), LEAST))
