"""The host and port of a request, in the one spelling by which they are compared (RFC 3986, 3.2; RFC 9110, 7.2)."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Self

_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]{2,45}\]|[^\[\]:@/?#\s]{1,255})(?::(?P<port>[0-9]{0,5}))?")
MAX_LENGTH = 261  # characters that the pattern matches at most
_DEFAULT_PORTS = frozenset({0, 80, 443})


@dataclass(frozen=True, slots=True)
class Authority:
    """A host in lower case and its port; no port where it is a default one. A host that ends in a dot is not the same host yet."""

    host: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read `host`, `host:port` or `[IPv6]:port`; return None for anything else."""
        match = _AUTHORITY.fullmatch(text.lower()) if text.isascii() else None
        if match is None:
            return None
        host, port = match["host"], match["port"] or ""
        if host.startswith("["):
            try:
                host = f"[{IPv6Address(host[1:-1])}]"
            except ValueError:
                return None
        number = int(port or "0")
        return cls(host, number if number not in _DEFAULT_PORTS else None)

    def rooted(self) -> Self:
        """Return it without the dot that ends a fully qualified name: DNS finds the same host."""
        return type(self)(self.host.removesuffix("."), self.port) if len(self.host) > 1 else self

    def portless(self) -> Self:
        return type(self)(self.host)

    def __str__(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"
