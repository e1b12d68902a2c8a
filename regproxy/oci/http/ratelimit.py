"""How many pulls a registry has left for us (Docker Hub: `ratelimit-remaining: 97;w=21600`)."""

import re
from dataclasses import dataclass

_FIELD = re.compile(r"\s*(\d{1,9})\s*(?:;\s*w=(\d{1,9})\s*)?")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Of *limit* pulls in a window of seconds, *remaining* are left; *source* is whom they are counted for: an address or an account."""

    limit: int
    remaining: int
    window: float | None = None
    source: str = ""

    def headers(self) -> dict[str, str]:
        """Write it as Docker Hub does, for clients that share the pulls, without the account that they are counted for."""
        window = "" if self.window is None else f";w={self.window:.0f}"
        return {"RateLimit-Limit": f"{self.limit}{window}", "RateLimit-Remaining": f"{self.remaining}{window}"}


def parse_rate_limit(limit: str | None, remaining: str | None, source: str | None = None) -> RateLimit | None:
    """Read the headers of that name; None where there is no limit, or none that can be understood."""
    total, left = _FIELD.fullmatch(limit or ""), _FIELD.fullmatch(remaining or "")
    if total is None or left is None:
        return None
    window = total[2] or left[2]
    shown = source if source and source.isascii() and source.isprintable() else ""
    return RateLimit(int(total[1]), int(left[1]), float(window) if window else None, shown[:80])
