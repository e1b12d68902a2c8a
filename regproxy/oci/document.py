"""JSON from others, bounded before anything is made of it: a dictionary takes thirty times as many bytes as `{}` on the wire."""

import json
from collections.abc import Callable
from typing import Any

MAX_VALUES = 300_000  # an index of 4 MiB lists some 30,000 manifests, each of some seven values


class TooManyValues(ValueError):
    """The body would take too much memory if it were read."""


def most_values(body: bytes) -> int:
    """Return how many values a JSON document has at most, beside the first.

    Each follows a comma or a bracket that opens; those inside strings count too, so it may have fewer.
    """
    return sum(map(body.count, (b",", b"[", b"{")))


def parse_json(body: bytes, pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:  # noqa: ANN401  JSON is anything
    """Read JSON; raise `ValueError` where it is none, is nested too deep, or has more than `MAX_VALUES` values."""
    if most_values(body) > MAX_VALUES:
        raise TooManyValues(f"more than {MAX_VALUES} values")
    try:
        return json.loads(body.decode(), object_pairs_hook=pairs_hook)  # of bytes it would guess the encoding (RFC 8259, 8.1)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
