"""Errors of upstreams as text, for another process or another member of the fleet."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from regproxy.ports.errors import (
    Corrupt,
    InvalidContent,
    LocalResourceError,
    NotFound,
    Refused,
    Rejected,
    Throttled,
    Unavailable,
    UnexpectedResponse,
    UpstreamError,
)

# A kind comes before those it is a kind of.
_KINDS: dict[str, type[UpstreamError]] = {
    kind.__name__: kind
    for kind in (NotFound, Refused, Rejected, InvalidContent, Throttled, LocalResourceError, UnexpectedResponse, Unavailable, Corrupt)
}
# What the kinds know beside their message, and what it may be.
_DETAILS: Mapping[str, Callable[[Any], bool]] = {
    "retry_after": lambda value: value is None or (isinstance(value, int | float) and math.isfinite(value) and value >= 0),
    "status": lambda value: isinstance(value, int) and 400 <= value < 500,
    "code": lambda value: isinstance(value, str),
    "is_repository": lambda value: isinstance(value, bool),
    "unverified": lambda value: isinstance(value, bool),
    "whatever_asked": lambda value: isinstance(value, bool),
    "timed_out": lambda value: isinstance(value, bool),
    "answered": lambda value: isinstance(value, bool),
}


def encoded_error(error: UpstreamError) -> dict[str, object]:
    """Encode an error as values that JSON has."""
    kind = next((kind for kind in _KINDS.values() if isinstance(error, kind)), Unavailable)
    details = {name: getattr(error, name) for name in _DETAILS if hasattr(error, name)}
    return {"kind": kind.__name__, "message": str(error), "details": details}


def decoded_error(facts: Mapping[str, Any]) -> UpstreamError:
    """Decode what `encoded_error` made; raise `KeyError` or `TypeError` for anything else."""
    kind: Callable[..., UpstreamError] = _KINDS[facts["kind"]]
    message, details = facts["message"], dict(facts["details"])
    if not isinstance(message, str) or not all(_DETAILS[name](value) for name, value in details.items()):
        raise TypeError("not an error of an upstream")
    return kind(message, **details)
