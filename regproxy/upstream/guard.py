"""Where an upstream may send us: redirects and token services lead anywhere, so each address is looked at before a connection is made.

What counts is the address connected to, not the text of the URL: names that resolve to loopback, numbers that spell it and names that
resolve twice differently all end here. An address that is not public may only be reached if the host that sends us there is of the same
kind (a registry on 10.0.0.5 may redirect to 10.0.0.6), or if `private_networks` says so.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Iterable
from enum import Enum
from typing import TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class Neighbourhood(Enum):
    """What kind of network an address lies in."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    FORBIDDEN = "forbidden"  # link-local with its metadata services, multicast, reserved, unspecified


class ForbiddenAddressError(OSError):
    """An upstream tried to send us where it has no business."""


def neighbourhood(address: Address) -> Neighbourhood:
    """Classify an address; an IPv4 address in IPv6 clothes is an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return neighbourhood(inner)
    if address.is_loopback:
        return Neighbourhood.LOOPBACK
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return Neighbourhood.FORBIDDEN
    if address.is_global:
        return Neighbourhood.PUBLIC
    return Neighbourhood.FORBIDDEN if address.is_reserved else Neighbourhood.PRIVATE


class Guard:
    """Knows one host, where it lives, and so where it may send us."""

    def __init__(self, own_name: str, vouched: Collection[str] = (), private_networks: Iterable[str] = ()) -> None:
        """Take the host's name and those of its token services, which the operator vouches for, and networks beside public ones."""
        self.own_name = own_name
        self.vouched = vouched
        self._networks = [ipaddress.ip_network(network, strict=False) for network in private_networks]
        self._home: Neighbourhood | None = None

    def settle(self, addresses: Iterable[str]) -> None:
        """Learn where the configured host lives: the most public of its addresses counts."""
        found = {neighbourhood(ipaddress.ip_address(address)) for address in addresses}
        self._home = next((kind for kind in Neighbourhood if kind in found), None)

    def allows(self, text: str) -> bool:
        """Say whether the host may send us to this address."""
        address = ipaddress.ip_address(text)
        if any(address in network for network in self._networks):
            return True
        kind = neighbourhood(address)
        return kind is Neighbourhood.PUBLIC or (kind is self._home and kind is not Neighbourhood.FORBIDDEN)

    def check_literal(self, name: str) -> None:
        """Raise `ForbiddenAddressError` for an address written as such: no resolver will see it."""
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return
        if name == self.own_name:
            self.settle([name])
        elif name not in self.vouched and not self.allows(name):
            raise ForbiddenAddressError(f"{self.own_name} sent us to {name}, which it may not (see private_networks)")


class GuardedResolver(AbstractResolver):
    """Resolves names into the addresses that the guard allows."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._resolver = ThreadedResolver(loop=asyncio.get_running_loop())

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """Resolve; raise `ForbiddenAddressError` where no address is left."""
        found = await self._resolver.resolve(host, port, family)
        if host == self._guard.own_name:
            self._guard.settle(result["host"] for result in found)
        if host == self._guard.own_name or host in self._guard.vouched:
            return found
        allowed = [result for result in found if self._guard.allows(result["host"])]
        if not allowed:
            raise ForbiddenAddressError(f"{self._guard.own_name} sent us to {host}, whose address it may not use (see private_networks)")
        return allowed

    async def close(self) -> None:
        await self._resolver.close()
