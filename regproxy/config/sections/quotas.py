"""What each client may use, as the configuration file spells it."""

from typing import Annotated

from pydantic import Field, model_validator

from regproxy.config.model import Model
from regproxy.config.units import Filled, Size, SizeOrShare
from regproxy.policy.clients.client_quota import ClientQuota

_MIN_RATE = 64 * 1024  # bytes per second: below it no image arrives before its client gives up


class QuotaEntry(Model):
    """The quota that each of the clients has whom it names."""

    match: Filled = Field(
        default="*",
        description="The name of a client, as `clients` knows it; of who has none, the address (of IPv6 the /64, as `2001:db8::/64`)."
        " `*` matches anything.",
    )
    rate: Annotated[Size, Field(ge=_MIN_RATE)] | None = Field(
        default=None, description="Bytes per second of bodies that it is sent, over all its connections. None: no limit."
    )
    connections: Annotated[int, Field(ge=1)] | None = Field(default=None, description="How many connections it may have. None: no limit.")
    store: SizeOrShare | None = Field(
        default=None,
        description="How much of the store its pulls may fill: a size, or a percentage of all that it may hold. None: no limit.",
    )

    @model_validator(mode="after")
    def _limits_something(self) -> "QuotaEntry":
        if self.rate is self.connections is self.store is None:
            raise ValueError("limits nothing: rate, connections or store says how much a client may use")
        return self

    def quota(self) -> ClientQuota:
        return ClientQuota(self.match, self.rate, self.connections, self.store)
