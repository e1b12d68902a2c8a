"""The other members of the fleet, as the configuration file spells them."""

from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from regproxy.config.model import Model, Whole
from regproxy.config.units import Keys, Origin, Seconds, Size, origin

DNS = "dns://"


def peers(value: object) -> str | tuple[str, ...]:
    """Accept `dns://name:port`, or a list of URLs, also as text separated by commas."""
    if isinstance(value, str) and value.startswith(DNS):
        parts = urlsplit(value)
        try:
            port = parts.port
        except ValueError:
            port = None
        if not parts.hostname or not port or "@" in parts.netloc or parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ValueError(
                "must be dns:// with the name of a headless Service and a port, such as dns://regproxy-peers.regproxy.svc:5000"
            )
        return f"{DNS}{parts.netloc}"
    listed = [each.strip() for each in value.split(",")] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not listed or not all(isinstance(each, str) for each in listed):
        raise ValueError("is neither dns://name:port nor a list of URLs of members")
    return tuple(origin(each) for each in listed)


Peers: TypeAlias = Annotated[str | tuple[str, ...], BeforeValidator(peers)]


class FleetSettings(Model):
    """The replicas that fetch each blob once, together."""

    peers: Peers = Field(description="All members, this one among them: what a name stands for, looked up every 10 s, or a list of URLs.")
    advertise: Literal["auto"] | Origin = Field(default="auto", description="The URL of this member, as `peers` has it.")
    key: Keys = Field(repr=False, description="Signs what members say to each other. It opens all content that is not `proven`.")
    piece_cache: Size = Field(default=2 * 1024**3, description="Bytes below `store.root`, beside the store, for pieces on their way.")
    timeout: Annotated[Seconds, Field(gt=0, le=60)] = Field(
        default=1.0, description="How long a member may take to say that it will answer; then it is left alone for 30 s or more."
    )
    ca: Whole | None = Field(default=None, description="The certificates that members' are verified by, with `tls`. None: the system's.")
