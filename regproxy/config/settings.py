"""The settings: what a configuration file may say, and what it comes to.

`Document` is the file's shape. `Settings` is what the program runs by: the same, its upstreams being those of the policy.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, ValidationInfo, model_validator

from regproxy.config.units import (
    Address,
    ContentDigest,
    Filled,
    HostName,
    Listening,
    Network,
    Origin,
    Prefix,
    RedisUrl,
    Seconds,
    Share,
    Size,
    duration_text,
    share_text,
    without_password,
)
from regproxy.oci.digest import Digest
from regproxy.policy.freezing import Freeze, whole_pattern
from regproxy.policy.freshness import DAY, PullPolicy, TagPolicy
from regproxy.policy.room import Limits
from regproxy.policy.routing import DOCKER_HUB, Credential, DockerConfig, Host, Secret, Tls, Trust, Upstream

Place: TypeAlias = tuple[str | int, ...]
"""Where in the document: `("upstreams", "docker.io", "hosts", 0)`."""

_WILDCARDS = frozenset({"0.0.0.0", "::"})


class Model(BaseModel):
    """A mapping of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)
    later: ClassVar[frozenset[str]] = frozenset()  # keys of the contract that no code obeys yet

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_set(cls, value: object) -> object:
        """Let a key whose children are all commented out mean its default."""
        if not isinstance(value, dict):
            return value
        return {key: each for key, each in value.items() if each is not None or key not in cls.model_fields}


def _one_process(value: object) -> object:
    if value not in ("auto", "1", 1):
        raise ValueError("is neither auto nor 1: this version runs one process")
    return value if value == "auto" else 1


def _no_tilde(value: Path) -> Path:
    if value.parts[:1] and value.parts[0].startswith("~"):
        raise ValueError("must be written in full: ~ is not expanded here")
    return value


class StoreSettings(Model):
    """Where content is kept."""

    kind: Literal["disk"] = "disk"
    root: Annotated[Path, AfterValidator(_no_tilde)]
    max_size: Size | None = None
    high_watermark: Share = 0.85
    low_watermark: Share = 0.75
    scrub_every: Annotated[Seconds, Field(gt=0)] = 14 * DAY

    def limits(self) -> Limits:
        return Limits(self.max_size, self.high_watermark, self.low_watermark)


Patience: TypeAlias = Annotated[Seconds, Field(gt=0)]


class Timeouts(Model):
    """How long an upstream is waited for, in seconds; there is no limit on a whole transfer."""

    connect: Patience = 3.0
    headers: Patience = 5.0
    silence: Patience = 10.0
    trickle: Patience = 30.0
    least_rate: Size = 16 * 1024
    progress: Patience = 15.0
    revalidate: Patience = 2.0


ColdRanges: TypeAlias = Literal["fill", "wait", "pass"]


class Downloads(Model):
    """How a blob that is not here is fetched."""

    connections: Annotated[int, Field(ge=1, le=64)] = 12
    cold_ranges: ColdRanges = "fill"


class RedisSettings(Model):
    """Where replicas share what they know, and the key that nobody else has; without one they take turns, and share nothing."""

    url: RedisUrl = Field(repr=False)
    key: Filled | None = Field(None, repr=False)


class Basics(Model):
    """Everything but the upstreams."""

    listen: Listening = Address("0.0.0.0", 5000)
    admin_listen: Listening = Address("127.0.0.1", 5001)
    workers: Annotated[Literal["auto"] | int, BeforeValidator(_one_process)] = "auto"
    default_upstream: str = DOCKER_HUB
    store: StoreSettings
    redis: RedisSettings | None = None
    timeouts: Timeouts = Timeouts()
    downloads: Downloads = Downloads()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    drain: Annotated[Seconds, Field(ge=0)] = 30.0


def _half(value: str | None, found: ValidationInfo) -> str | None:
    """A user name and a password go together, and not with a file that has its own."""
    has_file = found.data.get("docker_config") is not None
    if value is None and not has_file:
        raise ValueError("is missing")
    if value is not None and has_file:
        raise ValueError("does not go with docker_config, which has its own")
    return value


class CredentialEntry(Model):
    """A user of an upstream, or of one host."""

    docker_config: Annotated[Path, AfterValidator(_no_tilde)] | None = None
    username: Annotated[Filled | None, AfterValidator(_half)] = None
    password: Annotated[Filled | None, AfterValidator(_half)] = Field(None, repr=False)

    def credential(self) -> Credential | None:
        return Credential(self.username, Secret(self.password)) if self.username and self.password else None


def _readable(value: str) -> str:
    try:
        with Path(value).open("rb"):
            return value
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None


Readable: TypeAlias = Annotated[str, AfterValidator(_readable)]


class TlsEntry(Model):
    """How a host is known, and how we are known to it."""

    ca: Readable | None = None
    certificate: Readable | None = None
    key: Readable | None = None
    insecure: bool = False

    @model_validator(mode="after")
    def _key_fits(self) -> "TlsEntry":
        if self.key is not None and self.certificate is None:
            raise ValueError("has a key without a certificate")
        return self

    def tls(self) -> Tls:
        return Tls(self.ca, self.certificate, self.key, self.insecure)


class HostEntry(Model):
    """One address of an upstream."""

    url: Origin
    trust: Annotated[frozenset[Trust], Field(min_length=1)] = frozenset(Trust)
    prefix: Prefix = ""
    credentials: CredentialEntry | None = None
    realms: frozenset[HostName] = frozenset()
    private_networks: frozenset[Network] = frozenset()
    tls: TlsEntry = TlsEntry()
    proxy: Origin | None = None


class TagEntry(Model):
    """The rule for some tags."""

    match: Filled = "*"
    policy: PullPolicy = PullPolicy.ALWAYS
    fresh_for: Seconds = 300.0
    stale_for: Seconds = 7 * DAY
    missing_for: Seconds = 10.0

    def tag_policy(self) -> TagPolicy:
        return TagPolicy(self.match, self.policy, self.fresh_for, self.stale_for, self.missing_for)


class FreezeEntry(Model):
    """Tags that stay what they are."""

    match: Filled
    digest: ContentDigest | None = None

    def freeze(self, upstream: str) -> Freeze:
        digest = Digest.parse(self.digest) if self.digest else None
        return Freeze(whole_pattern(f"{upstream}/{self.match}"), digest)


def _resolvable(hosts: Sequence[HostEntry]) -> Sequence[HostEntry]:
    if not any(Trust.RESOLVE in host.trust for host in hosts):
        raise ValueError("no host is trusted to resolve: nobody could say what a tag means")
    return hosts


class UpstreamEntry(Model):
    """An upstream; what it says of credentials, realms and networks holds for its hosts."""

    aliases: tuple[HostName, ...] = ()
    serve_as: tuple[HostName, ...] = ()
    hosts: Annotated[tuple[HostEntry, ...], AfterValidator(_resolvable)]
    credentials: CredentialEntry | None = None
    realms: frozenset[HostName] = frozenset()
    private_networks: frozenset[Network] = frozenset()
    proxy: Origin | None = None
    tags: tuple[TagEntry, ...] = (TagEntry(),)
    freeze: tuple[FreezeEntry, ...] = ()
    deny: tuple[Filled, ...] = ()

    def upstream(self, name: str) -> Upstream:
        hosts = tuple(self._host(entry, (name, *self.aliases)) for entry in self.hosts)
        return Upstream(
            name=name,
            hosts=hosts,
            aliases=frozenset(self.aliases),
            serve_as=frozenset(self.serve_as),
            tags=tuple(tag.tag_policy() for tag in self.tags),
            freezes=tuple(entry.freeze(name) for entry in self.freeze),
            deny=self.deny,
        )

    def names(self, name: str) -> Iterator[tuple[Place, str]]:
        """List all that a client may call it, and where that is said."""
        place: Place = ("upstreams", name)
        yield place, name
        yield from (((*place, "aliases", index), alias) for index, alias in enumerate(self.aliases))
        yield from (((*place, "serve_as", index), host) for index, host in enumerate(self.serve_as))

    def _host(self, entry: HostEntry, names: tuple[str, ...]) -> Host:
        # The registry's password is not for its mirrors: a host trusted only to pull is a stranger, and carries its own.
        is_registry = Trust.RESOLVE in entry.trust
        credentials = entry.credentials or (self.credentials if is_registry else None)
        servers = dict.fromkeys((entry.url.partition("://")[2], *(names if is_registry else ())))
        return Host(
            url=entry.url,
            trust=entry.trust,
            prefix=entry.prefix,
            credential=credentials.credential() if credentials else None,
            docker_config=DockerConfig(credentials.docker_config, tuple(servers)) if credentials and credentials.docker_config else None,
            realms=entry.realms | self.realms,
            private_networks=entry.private_networks | self.private_networks,
            tls=entry.tls.tls(),
            proxy=entry.proxy or self.proxy,
        )


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
        """Say it in the words of the file, every default spelled out, secrets hidden."""
        basics = self.model_dump(mode="json", exclude={"upstreams", "redis"})
        redis = {"redis": {"url": without_password(self.redis.url), "key": self.redis.key and "***"}} if self.redis else {}
        return {**basics, **redis, "upstreams": {upstream.name: _written(upstream) for upstream in self.upstreams}}

    def as_yaml(self) -> str:
        return yaml.safe_dump(self.effective(), sort_keys=False, allow_unicode=True)


def _collide(one: Address, other: Address) -> bool:
    return one.port == other.port != 0 and (one.host == other.host or not _WILDCARDS.isdisjoint({one.host, other.host}))


def _written(upstream: Upstream) -> dict[str, Any]:
    return {
        "aliases": sorted(upstream.aliases),
        "serve_as": sorted(upstream.serve_as),
        "hosts": [_written_host(host) for host in upstream.hosts],
        "tags": [
            {
                "match": rule.match,
                "policy": rule.policy.value,
                "fresh_for": duration_text(rule.fresh_for),
                "stale_for": duration_text(rule.stale_for),
                "missing_for": duration_text(rule.missing_for),
            }
            for rule in upstream.tags
        ],
        "freeze": [_written_freeze(upstream.name, freeze) for freeze in upstream.freezes],
        "deny": list(upstream.deny),
    }


def _written_freeze(upstream: str, freeze: Freeze) -> dict[str, str]:
    match = freeze.pattern.removeprefix(f"{upstream}/")
    return {"match": match, "digest": str(freeze.digest)} if freeze.digest else {"match": match}


def _written_host(host: Host) -> dict[str, Any]:
    credentials: dict[str, Any] = {}
    if host.credential:
        credentials["credentials"] = {"username": host.credential.username, "password": str(host.credential.password)}
    if host.docker_config:
        credentials["credentials"] = {"docker_config": str(host.docker_config.path)}
    return {
        "url": host.url,
        "trust": _values(host.trust),
        "prefix": host.prefix,
        **credentials,
        "realms": sorted(host.realms),
        "private_networks": sorted(host.private_networks),
        "tls": asdict(host.tls),
        "proxy": host.proxy,
    }


def _values(trust: Collection[Trust]) -> list[str]:
    return [each.value for each in Trust if each in trust]
