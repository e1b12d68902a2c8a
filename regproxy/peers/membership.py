"""Who the members are: what a name in the DNS stands for, looked up again and again, or a list."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from regproxy.config import Address
from regproxy.config.sections.fleet import AUTO, FleetSettings, port_of
from regproxy.policy.fleet.ring import Ring
from regproxy.policy.fleet.suspicion import Suspicions
from regproxy.policy.fleet.zones import Zones
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_EVERY = 10.0  # seconds between two looks at the DNS
_MAX_MEMBERS = 20_000  # that a name may stand for

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_log = logging.getLogger(__name__)


class Membership:
    """Our view of the membership."""

    def __init__(
        self, settings: FleetSettings, listen: Address, *, is_tls: bool, suspicions: Suspicions, resolve: Resolve | None = None
    ) -> None:
        """Serve members at *listen*; *resolve* looks up the IP addresses of a name, and may raise `OSError`."""
        self.source = settings.peers
        self._us = None if settings.advertise == AUTO else settings.advertise
        self._listen = listen
        self._scheme = "https" if is_tls else "http"
        self._suspicions = suspicions
        self._resolve = resolve or resolved
        self.trouble: str | None = None  # why members, or which of them we are, cannot be looked up
        self.zone = settings.zone
        self.zone_of: dict[str, str] = {}  # members whose zone was learnt; empty: they have none
        self.ring = Ring((), self._us or self._seen_by(()))
        self.zones = Zones(self.ring)
        metrics.FLEET_MEMBERS.set(len(self.ring))

    def locate(self, found: Mapping[str, str]) -> None:
        """Learn which zones members are in."""
        found = {member: zone for member, zone in found.items() if member in self.ring}
        if any(self.zone_of.get(member) != zone for member, zone in found.items()):
            self.zone_of |= found
            self.zones = Zones(self.ring, self.zone_of)

    @property
    def is_alone(self) -> bool:
        return len(self.ring) == 1

    @property
    def authority(self) -> str:
        """What stands under Host in requests for us."""
        return urlsplit(self.ring.us).netloc

    async def refresh(self) -> None:
        """Look who the members are, and which of them we are; where that cannot be told, they are who they were."""
        members = await self._looked_up(self.source) if isinstance(self.source, str) else self.source
        if not members or set(members) == set(self.ring.members):
            return  # of thousands, each is looked at to find ourselves
        ours = [self._us] if self._us else await members_here(members, self._listen, self._resolve)
        if not ours and not isinstance(self.source, str):
            self._warn("cannot tell which listed member of the fleet this is: it fetches for itself", "none has an address of this machine")
            return
        self.trouble = None
        self._view(members, ours or [self._seen_by(members)])

    async def run(self) -> None:
        """Look again and again, for ever; a list stays as it is, once we are found in it."""
        while isinstance(self.source, str) or self.is_alone:
            await asyncio.sleep(_EVERY)
            await self.refresh()

    async def _looked_up(self, name: str) -> Sequence[str]:
        """Return the URLs of all whom *name* stands for, each by one address: who has two names is two members, and waits for itself."""
        parts = urlsplit(name)
        port = parts.port or self._listen.port
        try:
            addresses, why = await self._resolve(parts.hostname or "", port), "the name has no address"
        except OSError as error:
            addresses, why = (), str(error)
        if not addresses:
            self._warn("cannot look up members of the fleet: those known before stay", why)
            return ()
        of_one_family = [each for each in addresses if ":" not in each] or addresses
        return [f"{self._scheme}://{_bracketed(each)}:{port}" for each in of_one_family[:_MAX_MEMBERS]]

    def _warn(self, message: str, reason: str) -> None:
        if self.trouble is None:
            _log.warning(message, extra=fields(peers=str(self.source), reason=reason))
        self.trouble = reason

    def _view(self, members: Iterable[str], ours: Sequence[str]) -> None:
        """Take *members*, among whom we are the first of *ours*, and the others are nobody."""
        us, found = ours[0], {*members, ours[0]} - {*ours[1:]}
        self.ring = Ring(found, us)
        self.zone_of = {member: zone for member, zone in self.zone_of.items() if member in self.ring} | (
            {us: self.zone} if self.zone else {}
        )
        self.zones = Zones(self.ring, self.zone_of)
        self._suspicions.retain(self.ring.members)
        metrics.FLEET_MEMBERS.set(len(self.ring))

    def _seen_by(self, members: Sequence[str]) -> str:
        """Name us by the address that *members* see: a Pod that is not ready may have none in the DNS yet."""
        seen = next((address for each in members if (address := _seen_from(urlsplit(each).hostname or "")) is not None), "127.0.0.1")
        return f"{self._scheme}://{_bracketed(seen)}:{self._listen.port}"


async def members_here(members: Iterable[str], listen: Address, resolve: Resolve) -> list[str]:
    """List those of *members* that have an address of this machine, and the port of *listen*."""
    return [each for each in members if port_of(each) == listen.port and await _is_here(urlsplit(each).hostname or "", listen, resolve)]


async def resolved(host: str, port: int) -> Sequence[str]:
    """Look up the IP addresses of a name; raise `OSError`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(place[0]) for *_, place in found})


async def _is_here(host: str, listen: Address, resolve: Resolve) -> bool:
    if _is_literal(host):
        return _is_ours(host, listen)
    try:
        return any(_is_ours(each, listen) for each in await resolve(host, listen.port))
    except OSError:
        return False


def _is_ours(address: str, listen: Address) -> bool:
    """Report whether we listen at an IP *address*: at that alone, or at all of this machine."""
    if _is_literal(listen.host) and not ip_address(listen.host).is_unspecified:
        return ip_address(listen.host) == ip_address(address)
    return _is_local(address)


def _is_literal(host: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(host))
    return False


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _is_local(address: str) -> bool:
    """Report whether *address*, an IP address, is of this machine."""
    with suppress(OSError), _probe(address) as probe:
        probe.bind((address, 0))
        return True
    return False


def _seen_from(host: str) -> str | None:
    """Return which address of ours *host*, an IP address, would see; nothing is sent."""
    with suppress(OSError, ValueError), _probe(host) as probe:
        probe.connect((host, 9))
        return str(probe.getsockname()[0])
    return None


def _probe(address: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET, socket.SOCK_DGRAM)
