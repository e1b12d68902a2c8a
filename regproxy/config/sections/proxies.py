"""The proxies in front of us that are believed, as the configuration file spells them."""

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from regproxy.config.model import Model
from regproxy.config.sections.admin import listed
from regproxy.config.units import Network
from regproxy.policy.clients.forwarded import ClientFrom, TrustedProxies


def _some(value: str) -> str:
    if value.endswith("/0"):
        raise ValueError("is everybody: each client could say who it is")
    return value


ProxyNetwork: TypeAlias = Annotated[Network, AfterValidator(_some)]


class TrustedProxiesEntry(Model):
    """Load balancers and reverse proxies whose word about clients is believed."""

    addresses: Annotated[tuple[ProxyNetwork, ...], Field(min_length=1), BeforeValidator(listed)] = Field(
        description="Where they ask from: addresses, or networks in CIDR form. A variable holds several separated by commas."
    )
    client_from: ClientFrom = Field(
        default=ClientFrom.X_FORWARDED_FOR,
        description="What they name the client by: `X-Forwarded-For`, `Forwarded` (RFC 7239), or the PROXY protocol, of version 1 "
        "or 2, with which each of their connections has to begin, before TLS.",
    )

    def proxies(self) -> TrustedProxies:
        return TrustedProxies(self.addresses, self.client_from)
