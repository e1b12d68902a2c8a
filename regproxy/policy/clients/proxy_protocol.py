"""The PROXY protocol, versions 1 and 2 (haproxy, doc/proxy-protocol.txt): what a proxy says of a connection before its first byte."""

from collections.abc import Generator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

_COMMON = 12  # bytes that either version has
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_FIRST_LINE = b"PROXY "
_MAX_LINE = 107  # bytes, of version 1
_MAX_REST = 4096  # bytes behind the first 16, of version 2: some proxies add certificates
_LOCAL, _PROXY = 0x20, 0x21  # version and command
_STREAMS = {0x11: 4, 0x21: 16}  # TCP over IPv4 and IPv6, and the bytes of an address

Header: TypeAlias = Generator[int, bytes, str | None]


class InvalidProxyHeader(ValueError):
    """What came is no header of the PROXY protocol."""


def header() -> Header:
    """Yield how many bytes to read next, and be sent just as many; return the client's address, or None where the proxy speaks for itself.

    No byte behind the header is asked for. Raise `InvalidProxyHeader`.
    """
    begin = yield _COMMON
    if begin == _SIGNATURE:
        return (yield from _second())
    if begin.startswith(_FIRST_LINE):
        return (yield from _first(begin))
    raise InvalidProxyHeader("there is no PROXY header")


def _first(begin: bytes) -> Header:
    line = begin
    while not line.endswith(b"\r\n"):
        if len(line) >= _MAX_LINE:
            raise InvalidProxyHeader("the PROXY line does not end")
        line += yield 1
    match line[:-2].decode("latin-1").split(" "):
        case ["PROXY", "TCP4" | "TCP6" as family, source, _, _, _]:
            return _address(source, IPv4Address if family == "TCP4" else IPv6Address)
        case ["PROXY", "UNKNOWN", *_]:
            return None
    raise InvalidProxyHeader("the PROXY line is malformed")


def _second() -> Header:
    command, family, high, low = yield 4
    length = high << 8 | low
    if command not in {_LOCAL, _PROXY} or length > _MAX_REST:
        raise InvalidProxyHeader("the PROXY header is of an unknown kind, or too long")
    rest = (yield length) if length else b""
    size = _STREAMS.get(family)
    if command == _LOCAL or size is None:
        return None
    if length < 2 * size + 4:
        raise InvalidProxyHeader("the PROXY header is too short for its addresses")
    return _plain(ip_address(rest[:size]))


def _address(text: str, kind: type[IPv4Address] | type[IPv6Address]) -> str:
    try:
        if "%" not in text:
            return _plain(kind(text))
    except ValueError:
        pass
    raise InvalidProxyHeader("the PROXY line has no address")


def _plain(address: IPv4Address | IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
