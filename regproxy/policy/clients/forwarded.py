"""Who asks through proxies: what those that are trusted say of it, and nobody else.

Each proxy appends the address that it was asked from, so the list is read from its end: the first address that is no trusted proxy is the
client. What stands before it is the client's own word. RFC 7239; X-Forwarded-For has no standard.
"""

import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_MAX_LENGTH = 4096  # characters of a header that are read, from its end
_MAX_HOPS = 32
_REMEMBERED = 4096  # addresses
_ELEMENT = re.compile(r'(?:[^,"]|"(?:"(?=\\)|[^"])*")+')  # written backwards: a quote that a client leaves open ends where a proxy's begins
_OTHERS = r'(?:(?:[^;"]|"(?:[^"\\]|\\.)*")*;)*?'  # parameters before: a host is the client's to choose, and may look like one
_FOR = re.compile(_OTHERS + r'\s*for=(?:"((?:[^"\\]|\\.)*)"|([^;"\s]*))\s*(?:;|$)', re.IGNORECASE)
_PLACE = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[0-9.]+))(?::[0-9]{1,5})?")


class ClientFrom(Enum):
    """What a trusted proxy names its client by."""

    X_FORWARDED_FOR = "x-forwarded-for"
    FORWARDED = "forwarded"
    PROXY_PROTOCOL = "proxy-protocol"


class TrustedProxies:
    """The proxies in front of us whose word about clients is believed."""

    def __init__(self, networks: Sequence[str], client_from: ClientFrom) -> None:
        """Believe what comes from *networks*, in CIDR form, and says who asks by *client_from*."""
        self._networks = [ip_network(network) for network in networks]
        self.client_from = client_from
        self.trusts = lru_cache(_REMEMBERED)(self._trusts)

    def client(self, peer: str, values: Sequence[str]) -> str:
        """Return who asks through the trusted proxy *peer*, by all *values* of its header; *peer* itself where they do not tell."""
        told = peer
        for text in self._elements(",".join(values)[-_MAX_LENGTH:])[:_MAX_HOPS]:
            address = _address(text)
            if address is None:
                return told
            told = address
            if not self.trusts(told):
                return told
        return told

    def _elements(self, text: str) -> list[str]:
        """List whom a header names, the last one first."""
        if self.client_from is ClientFrom.X_FORWARDED_FOR:
            return text.split(",")[::-1]
        return [_for(element[::-1]) for element in _ELEMENT.findall(text[::-1])]

    def _trusts(self, address: str) -> bool:
        """Report whether *address* is that of a trusted proxy."""
        found = _parsed(address)
        return found is not None and any(found in network for network in self._networks)


def _for(element: str) -> str:
    """Return the node that a `Forwarded` element is for; empty where it names none."""
    found = _FOR.match(element)
    return (found[1] or found[2] or "") if found is not None else ""


def _address(text: str) -> str | None:
    """Read an address, with its port or without; None for a name, a pseudonym or anything else."""
    found = _parsed(text.strip())
    if found is None and (place := _PLACE.fullmatch(text.strip())) is not None:
        found = _parsed(place["six"] or place["four"])
    return str(found) if found is not None else None


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address as it is compared: one of IPv4 within IPv6 as that, and none of a network card's own."""
    if "%" in text:
        return None
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found
