"""An upstream as the configuration file spells it, and as the policy uses it."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from regproxy.config.model import Model, Place, Whole
from regproxy.config.timeouts import HostTimeouts, UpstreamTimeouts
from regproxy.config.units import ContentDigest, Filled, HostName, Network, Origin, Prefix, ProxyUrl, Seconds, VariableName
from regproxy.oci.digest import Digest
from regproxy.policy.credential import Credential, DockerConfig, Secret
from regproxy.policy.freezing import Freeze, whole_pattern
from regproxy.policy.freshness import DAY, PullPolicy, TagPolicy
from regproxy.policy.routing import Host, HostKind, Tls, Trust, Upstream


def _half(value: str | None, found: ValidationInfo) -> str | None:
    """A user name and a password go together, and not with a file that has its own."""
    has_file = found.data.get("docker_config") is not None
    if value is None and not has_file:
        raise ValueError("is missing")
    if value is not None and has_file:
        raise ValueError("does not go with docker_config, which has its own")
    return value


def _with_file(value: dict[str, str], found: ValidationInfo) -> dict[str, str]:
    if value and found.data.get("docker_config") is None:
        raise ValueError("is for the helpers of a docker_config, and there is none")
    return value


class CredentialEntry(Model):
    """A user of an upstream, or of one host."""

    docker_config: Whole | None = Field(default=None, description="A file of docker or podman with the credentials or their helpers.")
    username: Annotated[Filled | None, AfterValidator(_half)] = Field(
        default=None, description="Needs `password`; not with `docker_config`."
    )
    password: Annotated[Filled | None, AfterValidator(_half)] = Field(
        default=None, repr=False, description="A password or an access token."
    )
    helper_env: Annotated[dict[VariableName, str], AfterValidator(_with_file)] = Field(
        default={}, repr=False, description="Environment variables for the helpers of `docker_config`, beside PATH and HOME."
    )

    def credential(self) -> Credential | None:
        return Credential(self.username, Secret(self.password)) if self.username and self.password else None

    def config(self, servers: Iterable[str]) -> DockerConfig | None:
        if self.docker_config is None:
            return None
        return DockerConfig(self.docker_config, tuple(servers), tuple((name, Secret(value)) for name, value in self.helper_env.items()))


def _readable(value: str) -> str:
    try:
        with Path(value).open("rb"):
            return value
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None


Readable: TypeAlias = Annotated[str, AfterValidator(_readable)]


class TlsEntry(Model):
    """How a host is known, and how we are known to it."""

    ca: Readable | None = Field(default=None, description="Authorities that replace those of this machine, a PEM file.")
    certificate: Readable | None = Field(default=None, description="Our certificate, where the host asks for one, a PEM file.")
    key: Readable | None = Field(default=None, description="The private key of `certificate`, a PEM file; None: it is in the same file.")
    insecure: bool = Field(default=False, description="Accept any certificate: whoever is on the way may read and change what is sent.")

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
    kind: HostKind = HostKind.REGISTRY
    trust: Annotated[frozenset[Trust], Field(min_length=1)] = frozenset(Trust)
    prefix: Prefix = ""
    credentials: CredentialEntry | None = None
    realms: frozenset[HostName] = frozenset()
    private_networks: frozenset[Network] = frozenset()
    tls: TlsEntry = TlsEntry()
    proxy: ProxyUrl | None = None
    timeouts: HostTimeouts = HostTimeouts()


class TagEntry(Model):
    """The rule for some tags."""

    match: Filled = Field(default="*", description="Matched against repository:tag; `*` matches anything.")
    policy: PullPolicy = PullPolicy.ALWAYS
    fresh_for: Seconds = 300.0
    stale_for: Seconds = 7 * DAY
    missing_for: Seconds = 10.0

    def tag_policy(self) -> TagPolicy:
        return TagPolicy(self.match, self.policy, self.fresh_for, self.stale_for, self.missing_for)


class FreezeEntry(Model):
    """Tags that stay what they are."""

    match: Filled = Field(description="Matched against repository:tag; `*` matches anything.")
    digest: ContentDigest | None = Field(default=None, description="What the tag means. None: what it means when it is first pulled.")

    def freeze(self, upstream: str) -> Freeze:
        digest = Digest.parse(self.digest) if self.digest else None
        return Freeze(whole_pattern(f"{upstream}/{self.match}"), digest)


def _resolvable(hosts: Sequence[HostEntry]) -> Sequence[HostEntry]:
    if not any(Trust.RESOLVE in host.trust for host in hosts):
        raise ValueError("no host is trusted to resolve: nobody could say what a tag means")
    return hosts


class UpstreamEntry(Model):
    """An upstream; its credentials, realms and networks apply to its hosts."""

    aliases: tuple[HostName, ...] = ()
    serve_as: tuple[HostName, ...] = ()
    hosts: Annotated[tuple[HostEntry, ...], AfterValidator(_resolvable)]
    credentials: CredentialEntry | None = None
    realms: frozenset[HostName] = frozenset()
    private_networks: frozenset[Network] = frozenset()
    proxy: ProxyUrl | None = None
    timeouts: UpstreamTimeouts = UpstreamTimeouts()
    tags: tuple[TagEntry, ...] = (TagEntry(),)
    freeze: tuple[FreezeEntry, ...] = ()
    deny: tuple[Filled, ...] = ()

    def upstream(self, name: str) -> Upstream:
        hosts = tuple(self._host(entry, (name, *self.aliases)) for entry in self.hosts)
        return Upstream(
            name=name,
            hosts=hosts,
            timeouts=tuple(self.timeouts.given().items()),
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
        # The registry's password is not for its mirrors and caches: these carry their own.
        is_registry = Trust.RESOLVE in entry.trust and entry.kind is HostKind.REGISTRY
        credentials = entry.credentials or (self.credentials if is_registry else None)
        servers = dict.fromkeys((entry.url.partition("://")[2], *(names if is_registry else ())))
        return Host(
            url=entry.url,
            trust=entry.trust,
            prefix=entry.prefix,
            credential=credentials.credential() if credentials else None,
            docker_config=credentials.config(servers) if credentials else None,
            realms=entry.realms | self.realms,
            private_networks=entry.private_networks | self.private_networks,
            tls=entry.tls.tls(),
            proxy=entry.proxy or self.proxy,
            kind=entry.kind,
            timeouts=tuple(entry.timeouts.given().items()),
        )
