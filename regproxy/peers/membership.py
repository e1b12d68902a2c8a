"""Who the members are: what a name in the DNS stands for, looked up again and again, or a list."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from regproxy.config.sections.fleet import FleetSettings
from regproxy.policy.fleet.ring import Ring
from regproxy.policy.fleet.suspicion import Suspicions
from regproxy.telemetry import metrics
from regproxy.telemetry.log import fields

_EVERY = 10.0  # seconds between two looks at the DNS
_MAX_MEMBERS = 20_000  # that a name may stand for

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_log = logging.getLogger(__name__)


class Membership:
    """Our view of the membership."""

    def __init__(self, settings: FleetSettings, port: int, *, is_tls: bool, suspicions: Suspicions, resolve: Resolve | None = None) -> None:
        """Serve members at *port*; *resolve* looks up the IP addresses of a name, and may raise `OSError`."""
        self.source = settings.peers
        self._advertise = settings.advertise
        self._port = port
        self._scheme = "https" if is_tls else "http"
        self._suspicions = suspicions
        self._resolve = resolve or _resolved
        self.trouble: str | None = None  # why members cannot be looked up
        us = self._ours(()) if settings.advertise == "auto" else settings.advertise
        self.ring = Ring((), us)

    @property
    def is_alone(self) -> bool:
        return len(self.ring) == 1

    @property
    def authority(self) -> str:
        """What stands under Host in requests for us."""
        return urlsplit(self.ring.us).netloc

    async def refresh(self) -> None:
        """Look who the members are; where that cannot be told, they are who they were."""
        if not isinstance(self.source, str):
            self._view(self.source)
            return
        parts = urlsplit(self.source)
        port = parts.port or self._port
        try:
            addresses = await self._resolve(parts.hostname or "", port)
        except OSError as error:
            addresses, why = (), str(error)
        else:
            why = "the name has no address"
        if addresses:
            self.trouble = None
            self._view([f"{self._scheme}://{_bracketed(each)}:{port}" for each in addresses[:_MAX_MEMBERS]])
        else:
            if self.trouble is None:
                _log.warning("cannot look up members of the fleet: those known before stay", extra=fields(name=self.source, reason=why))
            self.trouble = why

    async def run(self) -> None:
        """Look again and again, for ever; a list stays as it is."""
        while isinstance(self.source, str):
            await asyncio.sleep(_EVERY)
            await self.refresh()

    def _view(self, members: Iterable[str]) -> None:
        found = set(members)
        us = self._ours(sorted(found)) if self._advertise == "auto" else self._advertise
        self.ring = Ring(found, us)
        self._suspicions.retain(self.ring.members)
        metrics.FLEET_MEMBERS.set(len(self.ring))

    def _ours(self, members: Sequence[str]) -> str:
        """Name ourselves: the member that has an address of this machine and our port, else the address that members see."""
        places = [(name, urlsplit(name)) for name in members]
        for name, parts in places:
            if (parts.port or self._port) == self._port and _is_local(parts.hostname or ""):
                return name
        seen = next((address for _, parts in places if (address := _seen_from(parts.hostname or "")) is not None), "127.0.0.1")
        return f"{self._scheme}://{_bracketed(seen)}:{self._port}"


async def _resolved(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(place[0]) for *_, place in found})


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _is_local(host: str) -> bool:
    """Report whether *host* is an IP address of this machine."""
    try:
        family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except (OSError, ValueError):
        return False
    return True


def _seen_from(host: str) -> str | None:
    """Return which address of ours *host*, an IP address, would see; nothing is sent."""
    with suppress(OSError, ValueError):
        family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))
            return str(probe.getsockname()[0])
    return None
