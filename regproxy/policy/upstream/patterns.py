"""Names of registries by pattern: `*.pkg.dev`, `*.dkr.ecr.*.amazonaws.com`.

A `*` stands for one label of a host name or for a part of one, never for a dot: as in kubelet's credentials, so that what may be registered
below a name is not named with it. A pattern ends in two labels without one, because the names below a top-level domain are anybody's.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Generic, TypeVar

from regproxy.oci.http.authority import MAX_LENGTH

Value = TypeVar("Value")

_MAX_STARS = 2  # of one label; more could take long to match
_MAX_LABELS = 16
_LITERAL_LABELS = 2
_REMEMBERED = 4096  # names, matched or not, some 1 MB
_LABEL = re.compile(r"[a-z0-9*](?:[a-z0-9_*-]{0,61}[a-z0-9*])?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_ANY_LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"  # RFC 1123, and the _ that container networks allow
_ANY_PART = r"[a-z0-9_-]*"


class InvalidPattern(ValueError):
    """The text is no pattern of registries; the message is a predicate."""


def is_pattern(name: str) -> bool:
    return "*" in name


def check_pattern(text: str) -> None:
    """Raise `InvalidPattern` unless *text* names registries of one domain."""
    host, colon, port = text.partition(":")
    labels = host.split(".")
    if len(labels) > _MAX_LABELS or not all(map(_LABEL.fullmatch, labels)) or (colon and not _PORT.fullmatch(port)):
        raise InvalidPattern("is not a pattern of host names in lower case, such as *.pkg.dev, with an optional :port")
    if port in {"80", "443"}:
        raise InvalidPattern("must be written without the default ports :80 and :443")
    if any(is_pattern(label) for label in labels[-_LITERAL_LABELS:]) or len(labels) <= _LITERAL_LABELS or labels[-1].isdigit():
        raise InvalidPattern("must end in a domain of two labels without *, such as *.pkg.dev: whom it names must be known")
    if any(label.count("*") > _MAX_STARS for label in labels):
        raise InvalidPattern(f"has more than {_MAX_STARS} * between two dots")


class Patterns(Generic[Value]):
    """Values by patterns of names; of several that match, the most specific counts."""

    def __init__(self, values: Iterable[tuple[str, Value]]) -> None:
        """Take pairs of a pattern that `check_pattern` takes and its value."""
        ordered = sorted(values, key=lambda pair: _specificity(pair[0]))
        self._expressions = [(_expression(pattern), value) for pattern, value in ordered]
        self.find = lru_cache(_REMEMBERED)(self._found)

    def _found(self, name: str) -> Value | None:
        """Return the value of the pattern that names *name*, a host name in lower case with its port; None where none does."""
        if len(name) > MAX_LENGTH:
            return None
        return next((value for expression, value in self._expressions if expression.fullmatch(name)), None)


def _specificity(pattern: str) -> tuple[int, int, str]:
    """Order patterns so that one that names a part of what another one names comes before it."""
    stars = pattern.count("*")
    return stars - len(pattern), stars, pattern


def _expression(pattern: str) -> re.Pattern[str]:
    host, colon, port = pattern.partition(":")
    labels = (_ANY_LABEL if label == "*" else re.escape(label).replace(r"\*", _ANY_PART) for label in host.split("."))
    return re.compile(r"\.".join(labels) + colon + port, re.ASCII)
