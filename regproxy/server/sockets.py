"""Listening sockets, opened once and kept: what a client has connected to outlives the worker that would have answered."""

import errno
import os
from collections.abc import Sequence
from socket import AF_INET6, AI_PASSIVE, IPPROTO_IPV6, IPV6_V6ONLY, SO_REUSEADDR, SO_REUSEPORT, SOCK_STREAM, SOL_SOCKET, getaddrinfo, socket
from typing import TypeAlias

from regproxy.config import Address
from regproxy.config.units import EVERYWHERE

_BACKLOG = 4096  # a mass restart connects all at once; the kernel caps it at somaxconn

Listeners: TypeAlias = Sequence[socket]
"""The sockets of one worker: one for each address that the host's name has."""


def opened(address: Address, workers: int = 1, given: Listeners = ()) -> list[Listeners]:
    """Listen at *address* once for each of so many workers, among whom the kernel shares clients out; raise `OSError`.

    Sockets that are *given* are shared by all of them instead: only their owner may open more at the same port.
    """
    if given:
        return _shared(given, workers)
    if workers > 1:
        for each in _listeners(address, is_shared=False):
            each.close()  # nobody else listens there: with SO_REUSEPORT two regproxies would share it, and neither would know
    found = [_listeners(address, is_shared=workers > 1)]
    bound = Address(address.host, port(found[0]))
    return found + [_listeners(bound, is_shared=True) for _ in range(workers - 1)]


def port(listeners: Listeners) -> int:
    """Return which port it is, for those who asked for any."""
    number: int = listeners[0].getsockname()[1]
    return number


def addresses(listeners: Listeners) -> list[str]:
    """List the IP addresses that they listen at, without a zone."""
    return [str(each.getsockname()[0]).partition("%")[0] for each in listeners]


def _shared(given: Listeners, workers: int) -> list[Listeners]:
    for each in given:
        each.settimeout(0)
    found: list[Listeners] = [[each.dup() for each in given] for _ in range(workers)]
    for each in given:
        each.close()
    return found


def _listeners(address: Address, *, is_shared: bool) -> Listeners:
    found: list[socket] = []
    host = None if address.host == EVERYWHERE else address.host
    try:
        for family, kind, protocol, _, place in getaddrinfo(host, address.port, type=SOCK_STREAM, flags=AI_PASSIVE):
            try:
                each = socket(family, kind, protocol)
            except OSError as error:
                if host is None and error.errno == errno.EAFNOSUPPORT:
                    continue  # a kernel without IPv6
                raise
            found.append(each)
            each.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            if is_shared:
                each.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
            if family == AF_INET6:
                each.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
            each.bind((place[0], address.port or port(found), *place[2:]))  # any free port is the same for all
            each.listen(_BACKLOG)
            each.settimeout(0)
    except OSError as error:
        for each in found:
            each.close()
        raise OSError(error.errno, f"cannot listen at {address}: {os.strerror(error.errno or errno.EINVAL)}") from error
    return found
