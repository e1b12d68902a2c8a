"""Where an upstream may send us: redirects and token services lead anywhere, so each address is looked at before a connection is made.

What counts is the address connected to, not the text of the URL: names that resolve to loopback, numbers that spell it and names that
resolve twice differently all end here. The rules, the first that fits:

- metadata services of clouds and link-local addresses: never, whoever says so, but where one is itself the host that is asked, for
  a credential that the configuration has from it;
- `private_networks`: yes, the operator says so;
- public addresses: yes;
- a name that the configuration has (the host, its `realms`, its proxy) may be private where it is an internal name (no public suffix:
  `registry`, `harbor.corp.internal`), and where TLS proves that whoever answers there is who was meant: split DNS and private links give
  public names private addresses. Loopback is for internal names and the proxy alone;
- a name that a client chose, which only a pattern of the configuration covers, may be nothing but public or listed, and so may be where it
  sends us;
- a name that upstream sends us to may be of the kind that the host itself answered from: a registry on 10.0.0.5 may redirect to 10.0.0.6.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Collection, Iterable
from enum import Enum
from typing import TypeAlias

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from regproxy.upstream.auth.realm import is_internal_name

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# AWS, Azure, Google, Aliyun, Oracle and Scaleway; all others are in 169.254.0.0/16, which is link-local.
_METADATA = [
    ipaddress.ip_network(network)
    for network in (
        *("169.254.0.0/16", "100.100.100.200", "192.0.0.192", "168.63.129.16"),
        *("fe80::/10", "fd00:ec2::/32", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42"),
    )
]
_SITE_LOCAL = ipaddress.ip_network("fec0::/10")  # RFC 3879: gone, and still nobody's on the public internet
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")  # RFC 8215
_TEREDO = ipaddress.ip_network("2001::/32")
_ENDS_IN_IPV4 = [
    ipaddress.ip_network(network)
    for network in ("::ffff:0:0/96", "::/96", "::ffff:0:0:0/96", "64:ff9b::/96")  # RFC 4291 mapped and compatible, 2765, 6052
]
_ISATAP = frozenset({b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe"})  # RFC 5214
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")  # RFC 791: no destination, and to Linux 0.0.0.0 is this machine
_NUMERIC = re.compile(r"[\d.]+")


class AddressClass(Enum):
    """What kind of network an address lies in, the most public first."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    FORBIDDEN = "forbidden"  # multicast, reserved, unspecified
    METADATA = "metadata"  # link-local, and what clouds tell their machines, credentials included


_KINDS = list(AddressClass)


class ForbiddenAddressError(OSError):
    """An upstream tried to send us where it has no business."""


class MisplacedHostError(OSError):
    """A name of the configuration has an address that it may not have."""


def address_class(address: Address) -> AddressClass:
    """Classify an address; one that leads to an IPv4 address inside it is no more public than that one."""
    if any(address in network for network in _METADATA):
        return AddressClass.METADATA
    if address.is_loopback:
        return AddressClass.LOOPBACK
    if address.is_multicast or address.is_unspecified or address in _THIS_NETWORK:
        return AddressClass.FORBIDDEN
    if isinstance(address, ipaddress.IPv6Address):
        return _neighbourhood6(address)
    if address.is_global:
        return AddressClass.PUBLIC
    return AddressClass.FORBIDDEN if address.is_reserved else AddressClass.PRIVATE


class Guard:
    """Knows one host, where it lives, and so where it may send us."""

    def __init__(
        self,
        own_name: str,
        vouched: Collection[str] = (),
        private_networks: Iterable[str] = (),
        proxy: str | None = None,
        *,
        is_verified: bool = False,
        metadata: Collection[str] = (),
        is_of_pattern: bool = False,
    ) -> None:
        """Guard connections of the host *own_name*, its *vouched* token services and its *proxy*; *private_networks* may be reached too.

        *is_verified*: whoever answers in the name of the host proves by TLS who it is. *metadata*: addresses of a metadata service that
        the host itself may have; whoever it sends us to may not. *is_of_pattern*: a client chose the name of the host.
        """
        self.own_name = own_name
        self._named = {*([] if is_of_pattern else [own_name]), *vouched, *([proxy] if proxy else [])}
        self._is_of_pattern = is_of_pattern
        self._proxy = proxy
        self._networks = [ipaddress.ip_network(network, strict=False) for network in private_networks]
        self._is_verified = is_verified
        self._metadata = frozenset(map(ipaddress.ip_address, metadata))
        self._home: AddressClass | None = None

    def settle(self, address: str) -> None:
        """Record from where the configured host answered: of all such addresses the most public counts."""
        kind = AddressClass.PUBLIC if self._is_of_pattern else address_class(ipaddress.ip_address(address))
        if self._home is None or _KINDS.index(kind) < _KINDS.index(self._home):
            self._home = kind

    def allows(self, text: str) -> bool:
        """Report whether the host may send us to this address."""
        address = ipaddress.ip_address(text)
        match address_class(address):
            case AddressClass.METADATA:
                return False
            case AddressClass.PUBLIC:
                return True
            case AddressClass.FORBIDDEN:
                return self._is_listed(address)
            case kind:
                return kind is self._home or self._is_listed(address)

    def allows_named(self, name: str, text: str) -> bool:
        """Report whether a *name* that the configuration has may have this address."""
        address = ipaddress.ip_address(text)
        is_ours = name == self._proxy or name == text or is_internal_name(name)
        match address_class(address):
            case AddressClass.METADATA:
                return name == self.own_name and address in self._metadata
            case AddressClass.PUBLIC:
                return True
            case AddressClass.PRIVATE:
                return is_ours or self._is_verified or self._is_listed(address)
            case AddressClass.LOOPBACK:
                return is_ours or self._is_listed(address)
            case AddressClass.FORBIDDEN:
                return name == text or self._is_listed(address)

    def admitted(self, name: str, addresses: Iterable[str]) -> set[str]:
        """Pick those *addresses* of *name* that may be connected to; raise where none is left."""
        found = list(addresses)
        is_named = name in self._named
        allowed = {address for address in found if (self.allows_named(name, address) if is_named else self.allows(address))}
        if allowed:
            return allowed
        if is_named or name == self.own_name:
            raise MisplacedHostError(f"{name} has the address {', '.join(found[:2])}, which it may not have (see private_networks)")
        raise ForbiddenAddressError(f"{self.own_name} sent us to {name}, whose address it may not use (see private_networks)")

    def check_literal(self, name: str) -> None:
        """Raise `OSError` for an address written as such that may not be connected to: no resolver will see it."""
        try:
            ipaddress.ip_address(name)
        except ValueError:
            if _NUMERIC.fullmatch(name):  # `127.1` and `2130706433` are addresses to the C library
                raise ForbiddenAddressError(f"{self.own_name} sent us to {name}, which is no name and no address") from None
            return
        self.admitted(name, [name])
        if name == self.own_name:
            self.settle(name)

    def _is_listed(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


class GuardedResolver(AbstractResolver):
    """Resolves names into the addresses that the guard allows."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._resolver = ThreadedResolver(loop=asyncio.get_running_loop())

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """Resolve; raise `ForbiddenAddressError` or `MisplacedHostError` where no address is left."""
        found = await self._resolver.resolve(host, port, family)
        admitted = self._guard.admitted(host, [result["host"] for result in found])
        return [result for result in found if result["host"] in admitted]

    async def close(self) -> None:
        await self._resolver.close()


def _neighbourhood6(address: ipaddress.IPv6Address) -> AddressClass:
    inner = [address_class(ipaddress.IPv4Address(octets)) for octets in _embedded(address)]
    if address in _LOCAL_NAT64:  # its layout is the operator's: most readings of it are of no address at all
        return max((kind for kind in inner if kind is not AddressClass.FORBIDDEN), key=_KINDS.index, default=AddressClass.PRIVATE)
    if any(address in network for network in _ENDS_IN_IPV4):
        return inner[0]
    is_public = address.is_global and address not in _SITE_LOCAL
    own = AddressClass.PUBLIC if is_public else AddressClass.FORBIDDEN if address.is_reserved else AddressClass.PRIVATE
    return max([own, *inner], key=_KINDS.index)


def _embedded(address: ipaddress.IPv6Address) -> list[bytes]:
    """List the IPv4 addresses that an IPv6 address carries, by each reading of it."""
    octets = address.packed
    if any(address in network for network in _ENDS_IN_IPV4):
        return [octets[12:]]
    found: list[bytes] = []
    if octets[:2] == b"\x20\x02":  # 6to4, RFC 3056
        found.append(octets[2:6])
    if address in _TEREDO:  # RFC 4380: the server, and the client with its bits turned
        found += [octets[4:8], bytes(255 - octet for octet in octets[12:])]
    if address in _LOCAL_NAT64:  # RFC 6052, 2.2: prefixes of 48, 56, 64 and 96 bits, around the octet that is zero
        found += [octets[6:8] + octets[9:11], octets[7:8] + octets[9:12], octets[9:13], octets[12:]]
    if octets[8:12] in _ISATAP:
        found.append(octets[12:])
    return found
