"""The settings: what a configuration file may contain, and the configuration in effect.

`Document` is the file's shape. `Settings` is what the program runs by: the same, its upstreams being those of the policy.
"""

import secrets
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import yaml
from pydantic import BeforeValidator, Field, InstanceOf

from regproxy.config.clients import ClientsEntry, HttpsUrl
from regproxy.config.model import Model, Place, Whole
from regproxy.config.sections.admin import AdminOpen, AdminTokens, admin_contradictions, listed
from regproxy.config.sections.bandwidth import MaxRate
from regproxy.config.sections.behind import BehindEntry
from regproxy.config.sections.fleet import FleetSettings
from regproxy.config.sections.hooks import HookEntry, hook_contradictions
from regproxy.config.sections.patterns import UpstreamName
from regproxy.config.sections.proxies import TrustedProxiesEntry
from regproxy.config.sections.quotas import QuotaEntry
from regproxy.config.sections.warm import WarmEntry
from regproxy.config.timeouts import Timeouts
from regproxy.config.tls import ServerTls
from regproxy.config.units import (
    EVERYWHERE,
    Address,
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
from regproxy.policy.clients.forwarded import TrustedProxies
from regproxy.policy.clients.identity import AccessMode
from regproxy.policy.clients.token_bucket import Rate
from regproxy.policy.freshness import DAY
from regproxy.policy.routing import DOCKER_HUB, Upstream
from regproxy.policy.store.quota import Limits
from regproxy.policy.upstream.patterns import is_pattern

_MOST_WORKERS = 256
_WILDCARDS = frozenset({"0.0.0.0", "::", EVERYWHERE})


# Where none is configured: known to all workers of this process, also after the configuration was read again.
_PROCESS_KEY = secrets.token_hex(32)


def _workers(value: object) -> object:
    text = str(value)
    if text != "auto" and not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_WORKERS):
        raise ValueError(f"is neither auto nor a number from 1 to {_MOST_WORKERS}")
    return text if text == "auto" else int(text)


AdminHosts: TypeAlias = Annotated[tuple[ServerName, ...], BeforeValidator(listed)]


class StoreSettings(Model):
    """Where content is kept."""

    renamed: ClassVar = {"own_volume": "require_mount"}

    kind: Literal["disk"] = "disk"
    root: Whole
    require_mount: bool = False
    max_size: Size | None = None
    high_watermark: Share = 0.85
    low_watermark: Share = 0.75
    keep_history: Annotated[Seconds, Field(ge=0)] = 7 * DAY
    scrub_every: Annotated[Seconds, Field(gt=0)] = 14 * DAY
    behind: BehindEntry | None = None

    def limits(self) -> Limits:
        return Limits(self.max_size, self.high_watermark, self.low_watermark)


UncachedRanges: TypeAlias = Literal["fill", "wait", "pass"]


class Downloads(Model):
    """How a blob that is not here is fetched."""

    renamed: ClassVar = {"cold_ranges": "uncached_ranges"}

    connections: Annotated[int, Field(ge=1, le=64)] = 12
    uncached_ranges: UncachedRanges = "fill"
    max_rate: MaxRate | None = None


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

    renamed: ClassVar = {"unknown": "not_found_limit", "admin_writes": "admin_open"}

    listen: Listening = Address("0.0.0.0", 5000)
    admin_listen: Listening = Address("127.0.0.1", 5001)
    tls: ServerTls | None = None
    admin_tls: ServerTls | None = None
    trusted_proxies: TrustedProxiesEntry | None = None
    clients: ClientsEntry | None = None
    public_url: HttpsUrl | None = None
    token_key: Keys | None = Field(default=None, repr=False)
    admin_hosts: AdminHosts = ()
    admin_open: AdminOpen = frozenset({"health", "metrics"})
    admin_tokens: AdminTokens = Field(default_factory=dict)
    audit_log: Whole | None = None
    insecure_credentials: bool = False
    workers: Annotated[Literal["auto"] | int, BeforeValidator(_workers)] = "auto"
    default_upstream: str = DOCKER_HUB
    store: StoreSettings
    redis: RedisSettings | None = None
    fleet: FleetSettings | None = None
    timeouts: Timeouts = Timeouts()
    downloads: Downloads = Downloads()
    not_found_limit: NotFoundLimit = NotFoundLimit()
    quotas: tuple[QuotaEntry, ...] = ()
    catalog: bool = False
    cluster: Annotated[str, Field(max_length=100)] = ""
    reconfirm_after: Annotated[Seconds, Field(ge=0)] = 3600.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    drain: Annotated[Seconds, Field(ge=0)] = 30.0
    warm: tuple[WarmEntry, ...] = ()
    hooks: tuple[HookEntry, ...] = ()


class Document(Basics):
    """The whole file."""

    upstreams: dict[UpstreamName, UpstreamEntry]

    def contradictions(self) -> Iterator[tuple[Place, str]]:
        """Find what is wrong between settings that are each right."""
        if _collide(self.listen, self.admin_listen):
            yield ("admin_listen",), "is the address of listen as well: each needs its own"
        is_private = self.admin_tls is not None or self.insecure_credentials
        yield from admin_contradictions(self.admin_tokens, self.admin_listen, is_private=is_private)
        if self.store.low_watermark >= self.store.high_watermark:
            yield ("store", "low_watermark"), f"is not below high_watermark ({share_text(self.store.high_watermark)})"
        if self.store.behind is not None:
            yield from self.store.behind.contradictions()
        if self.fleet is not None:
            yield from self.fleet.contradictions(self.listen.port, is_tls=self.tls is not None)
        owners: dict[str, str] = {}
        for upstream, entry in self.upstreams.items():
            for place, name in entry.names(upstream):
                if owners.setdefault(name, upstream) != upstream:
                    yield place, f"is already a name of upstream {owners[name]}"
            yield from entry.of_pattern(upstream)
        known = {*self.upstreams, *(alias for entry in self.upstreams.values() for alias in entry.aliases)}
        if is_pattern(self.default_upstream) or self.default_upstream not in known:
            yield ("default_upstream",), f"is not a configured upstream: {', '.join(sorted(self.upstreams))}"
        yield from hook_contradictions(self.hooks, known, self.admin_listen, is_private=is_private)
        for name, entry in self.upstreams.items():
            yield from entry.of_credentials(name)
        yield from self._of_clients()

    def _of_clients(self) -> Iterator[tuple[Place, str]]:
        """Find what keeps credentials of clients from being taken."""
        if self.clients is not None:
            yield from self.clients.contradictions()
            if self.clients.certificates and (self.tls is None or self.tls.client_ca is None):
                yield ("clients", "certificates"), "needs tls.client_ca, by which certificates are vouched for"
        for name, entry in self.upstreams.items():
            yield from entry.of_proofs(name, is_private=self.insecure_credentials)
        if not self.takes_credentials:
            return
        if self.tls is None and not self.listen.is_loopback() and not self.insecure_credentials:
            yield ("tls",), "is missing: credentials are not taken beyond loopback in clear text (insecure_credentials: true takes them)"
        if self.redis is not None and self.token_key is None:
            yield ("token_key",), "is missing: replicas need the same one, or a client's token would count at one of them"

    @property
    def takes_credentials(self) -> bool:
        """Whether clients are asked who they are."""
        return self.clients is not None or any(entry.access is AccessMode.PROVEN for entry in self.upstreams.values())

    def settings(self) -> "Settings":
        basics = {name: getattr(self, name) for name in Basics.model_fields}
        basics["token_key"] = (self.token_key or _PROCESS_KEY) if self.takes_credentials else None
        # All of it was validated for the document: once more would take as long as the rest of the configuration.
        return Settings.model_construct(
            **basics, process_key=_PROCESS_KEY, upstreams=tuple(entry.upstream(name) for name, entry in self.upstreams.items())
        )


class Settings(Basics):
    """What the program runs by; durations in seconds."""

    upstreams: tuple[InstanceOf[Upstream], ...]
    process_key: str = Field(repr=False)

    @property
    def shared_key(self) -> str:
        """The key that all replicas of this cache have, where they share one; else that of all workers of this one."""
        shared = [each.key for each in (self.fleet, self.redis) if each is not None]
        return next(filter(None, [*shared, self.token_key]), self.process_key)

    @property
    def limits_upstreams(self) -> bool:
        """Whether what upstreams may send a second is limited."""
        return self.downloads.max_rate is not None or any(upstream.max_rate is not None for upstream in self.upstreams)

    def exposed(self) -> list[str]:
        """List the upstreams of which members exchange in clear text what our credentials open."""
        if self.fleet is None or not self.fleet.is_clear(is_tls=self.tls is not None):
            return []
        shared = (each for each in self.upstreams if each.access is not AccessMode.PROVEN)
        return [each.name for each in shared if any(host.has_credentials or host.headers for host in each.hosts)]

    def proxies(self) -> TrustedProxies | None:
        """Return whose word about clients is believed."""
        return self.trusted_proxies.proxies() if self.trusted_proxies is not None else None

    def effective(self) -> dict[str, Any]:
        """Return the configuration as the file would spell it, with every default, secrets hidden."""
        basics = self.model_dump(mode="json", exclude={"upstreams", "process_key", "redis", "fleet", "admin_tokens", "hooks"})
        basics["token_key"] = "***" if self.token_key not in (None, _PROCESS_KEY) else None
        if self.store.behind is not None:
            basics["store"]["behind"] = self.store.behind.effective()
        if self.redis is not None:
            hidden = {"url": without_password(self.redis.url), "key": self.redis.key and "***"}
            basics["redis"] = self.redis.model_dump(mode="json") | hidden
        if self.fleet is not None:
            basics["fleet"] = self.fleet.model_dump(mode="json") | {"key": "***"}
        basics["admin_open"] = sorted(self.admin_open)
        basics["admin_tokens"] = {name: {"token": "***", "role": each.role.value} for name, each in self.admin_tokens.items()}
        basics["hooks"] = [each.effective() for each in self.hooks]
        return {**basics, "upstreams": {upstream.name: written(upstream) for upstream in self.upstreams}}

    def as_yaml(self) -> str:
        return yaml.safe_dump(self.effective(), sort_keys=False, allow_unicode=True)


def _collide(one: Address, other: Address) -> bool:
    return one.port == other.port != 0 and (one.host == other.host or not _WILDCARDS.isdisjoint({one.host, other.host}))
