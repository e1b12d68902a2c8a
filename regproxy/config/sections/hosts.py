"""What one host of an upstream is told, and what it calls repositories, as the configuration file spells it."""

import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from regproxy.policy.upstream.rewriting import InvalidRewrite, Rewrite

_MAX_HEADERS = 16
_MAX_RULES = 32
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110, 5.6.2
_FIELD_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,4094}[\x21-\x7e])?")  # RFC 9110, 5.5, visible ASCII and spaces between
# RFC 9110, 7.6.1: about a connection, and not about what is asked for; the rest is what we say ourselves.
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect"})
_OURS = frozenset({"host", "authorization", "accept", "accept-encoding", "range", "user-agent", "via", "traceparent", "tracestate"})
_OUR_KINDS = ("content-", "if-", "proxy-")


def header_name(value: str) -> str:
    name = value.lower()
    if not _TOKEN.fullmatch(value):
        raise ValueError("is not the name of a header")
    if name in _HOP_BY_HOP or name.startswith("proxy-"):
        raise ValueError("is about a connection, and not for a host")
    if name in _OURS or name.startswith(_OUR_KINDS):
        raise ValueError("is a header that regproxy sends itself (credentials belong under credentials)")
    return value


def header_value(value: str) -> str:
    if not _FIELD_VALUE.fullmatch(value):
        raise ValueError("is empty, too long, or has what a header cannot carry")
    return value


def _headers(value: dict[str, str]) -> dict[str, str]:
    if len({name.lower() for name in value}) < len(value):
        raise ValueError("has a header twice")
    if len(value) > _MAX_HEADERS:
        raise ValueError(f"has more than {_MAX_HEADERS} headers")
    return value


def _rewrites(value: dict[str, str]) -> dict[str, str]:
    if len(value) > _MAX_RULES:
        raise ValueError(f"has more than {_MAX_RULES} rules")
    for match, to in value.items():
        try:
            Rewrite(match, to)
        except InvalidRewrite as error:
            raise ValueError(f"cannot be used: {match[:80]!r} {error}") from None
    return value


HeaderName: TypeAlias = Annotated[str, AfterValidator(header_name)]
HeaderValue: TypeAlias = Annotated[str, AfterValidator(header_value)]
Headers: TypeAlias = Annotated[dict[HeaderName, HeaderValue], AfterValidator(_headers)]
Rewrites: TypeAlias = Annotated[dict[str, str], AfterValidator(_rewrites)]
