"""How long a registry wants to be left alone (RFC 9110, 10.2.3; Docker Hub sends a Unix time)."""

from datetime import UTC
from email.utils import parsedate_to_datetime

_TIMESTAMP = 1_000_000_000  # as a delay it would be 31 years
_LONGEST = 6 * 3600.0  # Docker Hub's window; whoever asks for more gets a probe after that


def parse_retry_after(header: str | None, now: float) -> float | None:
    """Read seconds, an HTTP date or a Unix time into seconds from *now*; None where it is none of them."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 12:
        number = float(text)
        delay = number - now if number >= _TIMESTAMP else number
    else:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        delay = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    return min(max(delay, 0.0), _LONGEST)
