"""The other members of the fleet, as the configuration file spells them."""

import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from regproxy.config.model import Model, Place, Whole
from regproxy.config.units import Keys, Seconds, Size, origin

DNS = "dns://"
AUTO = "auto"
_EXAMPLE = "http://10.0.0.1:5000"
_ZONE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")  # the value of a Kubernetes label
_DEFAULT_PORTS = {"http": 80, "https": 443}


def peers(value: object) -> str | tuple[str, ...]:
    """Accept `dns://name:port`, or a list of URLs, also as text separated by commas."""
    if isinstance(value, str) and value.startswith(DNS):
        return _name(value)
    listed = [each.strip() for each in value.split(",")] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not listed or not all(isinstance(each, str) and each for each in listed):
        raise ValueError(f"is neither dns://name:port nor a list of URLs of members, such as {_EXAMPLE}")
    found = tuple(map(_member, listed))
    if twice := sorted({each for each in found if found.count(each) > 1}):
        raise ValueError(f"has {', '.join(twice)} twice")
    return found


def advertised(value: object) -> str:
    """Accept `auto`, or a URL."""
    try:
        return AUTO if value == AUTO else origin(str(value))
    except ValueError:
        raise ValueError(f"is neither auto nor the URL of a member, such as {_EXAMPLE}") from None


def zone_of(value: object) -> str | None:
    """Accept the value of a label such as `topology.kubernetes.io/zone`; nothing stands there where a node has none."""
    if value is None or value == "":
        return None
    if not is_zone(str(value)):
        raise ValueError("is not the name of a zone, such as eu-central-1a: letters, digits, -, _ and ., at most 63")
    return str(value)


def is_zone(text: str) -> bool:
    return _ZONE.fullmatch(text) is not None


def port_of(member: str) -> int:
    """Return the port of a member by its URL."""
    parts = urlsplit(member)
    return parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)


def _name(value: str) -> str:
    place = value.removeprefix(DNS).removesuffix("/").lower()
    host, _, port = place.rpartition(":")
    try:
        origin(f"http://{place}")
    except ValueError:
        host = ""
    if not host or not port:
        raise ValueError("must be dns:// with the name of a headless Service and a port, such as dns://regproxy-peers.regproxy.svc:5000")
    if "[" in host or host.replace(".", "").isdigit():
        raise ValueError("is one address, and no name of all members: list their URLs instead")
    return f"{DNS}{place}"


def _member(value: str) -> str:
    try:
        return origin(value)
    except ValueError:
        shown = "a URL with a password" if "@" in value else repr(value[:80])
        raise ValueError(f"has {shown}, which is not the URL of a member such as {_EXAMPLE}") from None


Peers: TypeAlias = Annotated[str | tuple[str, ...], BeforeValidator(peers)]
Advertised: TypeAlias = Annotated[str, BeforeValidator(advertised)]
Zone: TypeAlias = Annotated[str | None, BeforeValidator(zone_of)]


class FleetSettings(Model):
    """The replicas that fetch each blob once, together."""

    peers: Peers = Field(description="All members, this one among them: what a name stands for, looked up every 10 s, or a list of URLs.")
    advertise: Advertised = Field(default=AUTO, description="The URL of this member, as `peers` has it.")
    key: Keys = Field(
        repr=False, description="Signs what members say to each other. It opens all content that is not private at a `proven` upstream."
    )
    zone: Zone = Field(
        default=None,
        description="The zone of this member, such as eu-central-1a: pieces come from members of the same one if they can. None: any.",
    )
    piece_cache: Size = Field(default=2 * 1024**3, description="Bytes below `store.root`, beside the store, for pieces on their way.")
    timeout: Annotated[Seconds, Field(gt=0, le=60.0)] = Field(
        default=1.0,
        description="How long a member may take to accept a connection, and three times as long to say that it will answer; then it is left"
        " alone for 30 s or more.",
    )
    ca: Whole | None = Field(default=None, description="The certificates that members' are verified by, with `tls`. None: the system's.")

    def is_clear(self, *, is_tls: bool) -> bool:
        """Whether what members say to each other can be read on the way, by who listens there."""
        return not is_tls if isinstance(self.peers, str) else any(each.startswith("http://") for each in self.peers)

    def contradictions(self, port: int, *, is_tls: bool) -> Iterator[tuple[Place, str]]:
        """Find what is wrong for a member that listens at *port*, with TLS or without it."""
        listed = (self.peers,) if isinstance(self.peers, str) else self.peers
        if self.advertise == AUTO and port not in map(port_of, listed):
            yield ("fleet", "peers"), f"has no member at the port of listen ({port}): say by fleet.advertise which of them this is"
        if self.advertise != AUTO and not isinstance(self.peers, str) and self.advertise not in listed:
            yield ("fleet", "advertise"), "is none of fleet.peers: other members would not answer it"
        if self.ca is not None:
            yield from self._of_ca(self.ca, is_used=is_tls or any(each.startswith("https://") for each in listed))

    def _of_ca(self, ca: Path, *, is_used: bool) -> Iterator[tuple[Place, str]]:
        if not is_used:
            yield ("fleet", "ca"), "is for members that speak https, and these do not: see tls"
            return
        try:
            ssl.create_default_context(cafile=ca)
        except OSError as error:  # of which ssl.SSLError is one
            yield ("fleet", "ca"), f"cannot be used: {error.strerror or error}"
