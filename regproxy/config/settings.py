"""The settings: what a configuration file may contain, and the configuration in effect.

`Document` is the file's shape. `Settings` is what the program runs by: the same, its upstreams being those of the policy.
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import yaml
from pydantic import BeforeValidator, Field, InstanceOf

from regproxy.config.model import Model, Place, Whole
from regproxy.config.timeouts import Timeouts
from regproxy.config.tls import ServerTls
from regproxy.config.units import (
    EVERYWHERE,
    Address,
    HostName,
    Keys,
    Listening,
    RedisUrl,
    Seconds,
    ServerName,
    Share,
    Size,
    share_text,
    without_password,
)
from regproxy.config.upstream import UpstreamEntry
from regproxy.config.written import written
from regproxy.policy.clients.token_bucket import Rate
from regproxy.policy.freshness import DAY
from regproxy.policy.routing import DOCKER_HUB, Upstream
from regproxy.policy.store.quota import Limits

_MOST_WORKERS = 256
_WILDCARDS = frozenset({"0.0.0.0", "::", EVERYWHERE})


def _workers(value: object) -> object:
    text = str(value)
    if text != "auto" and not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_WORKERS):
        raise ValueError(f"is neither auto nor a number from 1 to {_MOST_WORKERS}")
    return text if text == "auto" else int(text)


def _listed(value: object) -> object:
    """Split a variable, which holds a single value, into several names."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


AdminHosts: TypeAlias = Annotated[tuple[ServerName, ...], BeforeValidator(_listed)]


class StoreSettings(Model):
    """Where content is kept."""

    renamed: ClassVar = {"own_volume": "require_mount"}

    kind: Literal["disk"] = "disk"
    root: Whole
    require_mount: bool = False
    max_size: Size | None = None
    high_watermark: Share = 0.85
    low_watermark: Share = 0.75
    scrub_every: Annotated[Seconds, Field(gt=0)] = 14 * DAY

    def limits(self) -> Limits:
        return Limits(self.max_size, self.high_watermark, self.low_watermark)


UncachedRanges: TypeAlias = Literal["fill", "wait", "pass"]


class Downloads(Model):
    """How a blob that is not here is fetched."""

    renamed: ClassVar = {"cold_ranges": "uncached_ranges"}

    connections: Annotated[int, Field(ge=1, le=64)] = 12
    uncached_ranges: UncachedRanges = "fill"


class NotFoundLimit(Model):
    """How much a client may ask for that does not exist."""

    per_second: Annotated[float, Field(gt=0)] = 10.0
    burst: Annotated[int, Field(ge=1)] = 1000

    def rate(self) -> Rate:
        return Rate(self.per_second, self.burst)


class RedisSettings(Model):
    """The Redis that replicas share, and the key that encrypts its content; without a key they share locks only."""

    url: RedisUrl = Field(repr=False, description="Where Redis is, with its password and database.")
    key: Keys | None = Field(
        default=None, repr=False, description="Encrypts and authenticates all that is shared. None: only locks are shared."
    )
    timeout: Annotated[Seconds, Field(gt=0, le=60, description="How long a call may take before a pull goes on without it.")] = 0.05


class Basics(Model):
    """Everything but the upstreams."""

    renamed: ClassVar = {"unknown": "not_found_limit"}

    listen: Listening = Address("0.0.0.0", 5000)
    admin_listen: Listening = Address("127.0.0.1", 5001)
    tls: ServerTls | None = None
    admin_tls: ServerTls | None = None
    admin_hosts: AdminHosts = ()
    admin_writes: Literal["loopback", "anywhere"] = "loopback"
    workers: Annotated[Literal["auto"] | int, BeforeValidator(_workers)] = "auto"
    default_upstream: str = DOCKER_HUB
    store: StoreSettings
    redis: RedisSettings | None = None
    timeouts: Timeouts = Timeouts()
    downloads: Downloads = Downloads()
    not_found_limit: NotFoundLimit = NotFoundLimit()
    catalog: bool = False
    cluster: Annotated[str, Field(max_length=100)] = ""
    reconfirm_after: Annotated[Seconds, Field(ge=0)] = 3600.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    drain: Annotated[Seconds, Field(ge=0)] = 30.0


class Document(Basics):
    """The whole file."""

    upstreams: dict[HostName, UpstreamEntry]

    def contradictions(self) -> Iterator[tuple[Place, str]]:
        """Find what is wrong between settings that are each right."""
        if _collide(self.listen, self.admin_listen):
            yield ("admin_listen",), "is the address of listen as well: each needs its own"
        if self.store.low_watermark >= self.store.high_watermark:
            yield ("store", "low_watermark"), f"is not below high_watermark ({share_text(self.store.high_watermark)})"
        owners: dict[str, str] = {}
        for upstream, entry in self.upstreams.items():
            for place, name in entry.names(upstream):
                if owners.setdefault(name, upstream) != upstream:
                    yield place, f"is already a name of upstream {owners[name]}"
        known = {*self.upstreams, *(alias for entry in self.upstreams.values() for alias in entry.aliases)}
        if self.default_upstream not in known:
            yield ("default_upstream",), f"is not a configured upstream: {', '.join(sorted(self.upstreams))}"

    def settings(self) -> "Settings":
        basics = {name: getattr(self, name) for name in Basics.model_fields}
        return Settings(**basics, upstreams=tuple(entry.upstream(name) for name, entry in self.upstreams.items()))


class Settings(Basics):
    """What the program runs by; durations in seconds."""

    upstreams: tuple[InstanceOf[Upstream], ...]

    def effective(self) -> dict[str, Any]:
        """Return the configuration as the file would spell it, with every default, secrets hidden."""
        basics = self.model_dump(mode="json", exclude={"upstreams", "redis"})
        if self.redis is not None:
            hidden = {"url": without_password(self.redis.url), "key": self.redis.key and "***"}
            basics["redis"] = self.redis.model_dump(mode="json") | hidden
        return {**basics, "upstreams": {upstream.name: written(upstream) for upstream in self.upstreams}}

    def as_yaml(self) -> str:
        return yaml.safe_dump(self.effective(), sort_keys=False, allow_unicode=True)


def _collide(one: Address, other: Address) -> bool:
    return one.port == other.port != 0 and (one.host == other.host or not _WILDCARDS.isdisjoint({one.host, other.host}))
