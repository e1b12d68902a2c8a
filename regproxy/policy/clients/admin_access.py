"""Who may ask the admin port, and who may change something by it.

A web page can have a browser send requests anywhere, and by DNS rebinding read the answers: a name of its author's then has our address.
What such a request cannot choose are its `Host`, which is that name, and its `Origin`. So names are taken from a list. An address needs
none: nobody but its owner can have a page at it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from regproxy.policy.clients.admin_roles import AdminTokens, Need, Role

_AUTHORITY = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)(?:%[\w.%-]+)?\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{0,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOCALHOST = "localhost"
_MAX_SHOWN = 100  # characters of what a client sent

_Address: TypeAlias = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class AdminRequest:
    """What is known of a request; *peer* and *local* are the addresses of its connection."""

    target: str
    hosts: Sequence[str]
    origins: Sequence[str] = ()
    fetch_sites: Sequence[str] = ()
    is_navigation: bool = False
    need: Need = Need.READS
    peer: str = "127.0.0.1"
    local: str = "127.0.0.1"
    is_forwarded: bool = False
    role: Role | None = None
    has_unknown_token: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused, and by which HTTP status."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class AdminAccess:
    """What the configuration allows.

    *addresses* are those that the port listens at, *names* those by which it may be called beside them and localhost. *is_tls* tells by
    which scheme browsers reach it. What is *open* needs no token beyond loopback.
    """

    addresses: tuple[str, ...] = ("127.0.0.1",)
    names: frozenset[str] = field(default_factory=frozenset)
    is_tls: bool = False
    open: frozenset[Need] = frozenset({Need.HEALTH, Need.METRICS})
    tokens: AdminTokens = field(default_factory=AdminTokens)

    def refusal(self, request: AdminRequest) -> Refusal | None:
        """Return why *request* is refused; None where it may be answered."""
        return self._of_host(request) or self._of_page(request) or self._of_role(request)

    def _of_host(self, request: AdminRequest) -> Refusal | None:
        """Look at each place that names a server: an absolute target counts more than `Host` (RFC 9112, 3.2.2); both have to be ours."""
        if len(request.hosts) != 1:
            return Refusal(400, f"a request needs one Host header, this one has {len(request.hosts)}")
        named = [request.hosts[0]]
        if not request.target.startswith("/") and request.target != "*":
            named.append(request.target.partition("://")[2].partition("/")[0].partition("?")[0])
        for authority in named:
            host = _host(authority)
            if host is None:
                return Refusal(400, f"{authority[:_MAX_SHOWN]!r} is not a host")
            if not self._is_own(host):
                shown = str(host)[:_MAX_SHOWN]
                return Refusal(403, f"{shown!r} is not known to be a name of this admin port: if it is, add it to admin_hosts")
        return None

    def _is_own(self, host: _Address | str) -> bool:
        if isinstance(host, str):
            return host == _LOCALHOST or host in self.names
        if str(host) in self.names:
            return True
        own = [_plain(ip_address(each)) for each in self.addresses]
        return any(each.is_unspecified or each == host or (each.is_loopback and host.is_loopback) for each in own)

    def _of_page(self, request: AdminRequest) -> Refusal | None:
        """Refuse what a page from elsewhere has a browser send; one of the same site may link to us. Of several values the worst counts."""
        sites = {site.strip().lower() for line in request.fetch_sites for site in line.split(",")}
        if "cross-site" in sites or ("same-site" in sites and (request.need is Need.CHANGES or not request.is_navigation)):
            shown = ", ".join(request.fetch_sites)[:_MAX_SHOWN]
            return Refusal(403, f"a page from elsewhere asks this (Sec-Fetch-Site: {shown}): open the admin port by its own address")
        for origin in request.origins:
            if not self._is_same(origin, request.hosts[0]):
                return Refusal(403, f"a page of {origin[:_MAX_SHOWN]!r} asks this: only the admin port's own page may")
        return None

    def _is_same(self, origin: str, host: str) -> bool:
        scheme, separator, authority = origin.partition("://")
        if not separator or scheme not in _DEFAULT_PORTS or (self.is_tls and scheme == "http"):
            return False
        default = _DEFAULT_PORTS[scheme]
        return (_host(authority), _port(authority, default)) == (_host(host), _port(host, default))

    def _of_role(self, request: AdminRequest) -> Refusal | None:
        """Refuse what its sender is not entitled to. Whoever is on this machine, or in this container, may do everything."""
        if request.need in {Need.PAGE, Need.HOOK, *self.open} or (request.need is Need.READS and Need.CHANGES in self.open):
            return None
        if _is_loopback(request.peer) and _is_loopback(request.local) and not request.is_forwarded:
            return None
        if request.role is not None:
            if request.role.may(request.need):
                return None
            return Refusal(403, f"this token has the role {request.role}: what changes something or exports images needs {Role.OPERATE}")
        if request.has_unknown_token:
            return Refusal(401, "the token is none of admin_tokens, or its session is over")
        if self.tokens:
            how = "as Authorization: Bearer, for commands in REGPROXY_ADMIN_TOKEN, or sign in on the page"
            return Refusal(401, f"beyond loopback this needs a token: {how}")
        settings = "set admin_tokens, admin_tls.client_ca or admin_open"
        command = "run the regproxy command where the server runs, in its container if it has one"
        return Refusal(403, f"beyond loopback this needs a token or a client certificate: {settings}, or {command}")


def _host(authority: str) -> _Address | str | None:
    """Read `host[:port]`: an address, or a name in lower case without the dot at its end; None where it is neither."""
    found = _AUTHORITY.fullmatch(authority)
    if not found:
        return None
    if found["address"] is None:
        name = found["name"].lower().removesuffix(".")
        try:
            return IPv4Address(name)
        except ValueError:
            return name or None
    try:
        return _plain(IPv6Address(found["address"]))
    except ValueError:
        return None


def _port(authority: str, default: int) -> int:
    found = _AUTHORITY.fullmatch(authority)
    return int(found["port"]) if found and found["port"] else default


def _plain(address: _Address) -> _Address:
    """Return an IPv4 address as such, also where it is written as IPv6."""
    return getattr(address, "ipv4_mapped", None) or address


def _is_loopback(address: str) -> bool:
    try:
        return _plain(ip_address(address.partition("%")[0])).is_loopback
    except ValueError:
        return False
