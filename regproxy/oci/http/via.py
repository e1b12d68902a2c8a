"""Which caches of ours a question has come through (RFC 9110, 7.6.3): two that ask each other would do so for ever."""

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256

_NAME = re.compile(r"(?<![\w-])regproxy-[0-9a-f]{16}(?![\w-])")  # whatever else a client writes there goes nowhere

Hops = tuple[str, ...]


def pseudonym(*facts: str) -> str:
    """Return a pseudonym that identifies a cache without revealing its name."""
    return f"regproxy-{sha256(chr(0).join(facts).encode()).hexdigest()[:16]}"


def parse_via(fields: Sequence[str]) -> Hops:
    """Read the fields of that name: the first cache comes first."""
    return tuple(name for field in fields for name in _NAME.findall(field)) if fields else ()


def format_via(hops: Iterable[str]) -> str:
    return ", ".join(f"1.1 {hop}" for hop in hops)
