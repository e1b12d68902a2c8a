"""An upstream as the configuration file spells it, and as the policy uses it."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from regproxy.config.model import Model, Place
from regproxy.config.sections.bandwidth import MaxRate
from regproxy.config.sections.credentials import CredentialEntry
from regproxy.config.sections.hosts import Headers, Rewrites
from regproxy.config.sections.patterns import REGISTRY, HostOrigin, HostPrefix, sample
from regproxy.config.sections.require import RequireEntry
from regproxy.config.timeouts import HostTimeouts, UpstreamTimeouts
from regproxy.config.units import Address, ContentDigest, Filled, HostName, Network, ProxyUrl, Seconds
from regproxy.oci.digest import Digest
from regproxy.policy.clients.identity import AccessMode
from regproxy.policy.credential import Secret
from regproxy.policy.freezing import Freeze, whole_pattern
from regproxy.policy.freshness import DAY, PullPolicy, TagPolicy
from regproxy.policy.routing import Host, HostKind, Trust, Upstream
from regproxy.policy.upstream.patterns import is_pattern
from regproxy.policy.upstream.rewriting import Rewrite
from regproxy.policy.upstream.transport import Tls


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

    url: HostOrigin
    kind: HostKind = HostKind.REGISTRY
    trust: Annotated[frozenset[Trust], Field(min_length=1)] = frozenset(Trust)
    prefix: HostPrefix = ""
    credentials: CredentialEntry | None = None
    realms: frozenset[HostName] = frozenset()
    private_networks: frozenset[Network] = frozenset()
    tls: TlsEntry = TlsEntry()
    proxy: ProxyUrl | None = None
    timeouts: HostTimeouts = HostTimeouts()
    forward_credentials: bool = False
    rewrite: Rewrites = Field(default={})
    headers: Headers = Field(default={}, repr=False)


_WILD = frozenset("*?[")  # of fnmatch

CooldownFirst: TypeAlias = Literal["serve", "refuse"]


class TagEntry(Model):
    """The rule for some tags."""

    match: Filled = Field(
        default="*", description="Matched against repository:tag; `*` matches anything. The name of a repository alone is all its tags."
    )
    policy: PullPolicy = PullPolicy.ALWAYS
    fresh_for: Seconds = 300.0
    stale_for: Seconds = 7 * DAY
    missing_for: Seconds = 10.0
    cooldown: Seconds = 0.0
    cooldown_first: CooldownFirst = "serve"
    gone_for: Seconds = 0.0

    def tag_policy(self) -> TagPolicy:
        is_name = _WILD.isdisjoint(self.match.rpartition("/")[2])
        return TagPolicy(
            match=whole_pattern(self.match) if is_name else self.match,
            policy=self.policy,
            fresh_for=self.fresh_for,
            stale_for=self.stale_for,
            missing_for=self.missing_for,
            cooldown=self.cooldown,
            refuses_first=self.cooldown_first == "refuse",
            gone_for=self.gone_for,
        )


class FreezeEntry(Model):
    """Tags that stay what they are."""

    match: Filled = Field(description="Matched against repository:tag; `*` matches anything.")
    digest: ContentDigest | None = Field(default=None, description="What the tag means. None: what it means when it is first pulled.")

    def freeze(self, upstream: str) -> Freeze:
        digest = Digest.parse(self.digest) if self.digest else None
        return Freeze(whole_pattern(f"{upstream}/{self.match}"), digest)


def _is_registry(entry: HostEntry) -> bool:
    return Trust.RESOLVE in entry.trust and entry.kind is HostKind.REGISTRY


def _is_confidential(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return url.startswith("https://") or Address(host, 0).is_loopback()


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
    allow: tuple[Filled, ...] = ()
    deny: tuple[Filled, ...] = ()
    require: tuple[RequireEntry, ...] = ()
    access: AccessMode = AccessMode.SHARED
    max_rate: MaxRate | None = None
    proof_for: Annotated[Seconds, Field(gt=0)] = 600.0
    public_for: Annotated[Seconds, Field(gt=0)] = 6 * 3600.0
    proof_stale_for: Annotated[Seconds, Field(ge=0)] = 3600.0

    def upstream(self, name: str, pattern: str = "") -> Upstream:
        """Return what is said of the registry *name*, or of one that a client named and *pattern* covers."""
        own_name = REGISTRY if is_pattern(name) else name
        return Upstream(
            name=name,
            pattern=pattern,
            made=partial(self.upstream, pattern=name) if is_pattern(name) else None,
            hosts=tuple(self._host(entry, own_name, is_of_pattern=bool(pattern)) for entry in self.hosts),
            timeouts=tuple(self.timeouts.given().items()),
            aliases=frozenset(self.aliases),
            serve_as=frozenset(self.serve_as),
            tags=tuple(tag.tag_policy() for tag in self.tags),
            freezes=tuple(entry.freeze(name) for entry in self.freeze),
            allow=self.allow,
            deny=self.deny,
            require=tuple(entry.requirement() for entry in self.require),
            access=self.access,
            max_rate=self.max_rate,
            proof_for=self.proof_for,
            public_for=self.public_for,
            proof_stale_for=self.proof_stale_for,
        )

    def names(self, name: str) -> Iterator[tuple[Place, str]]:
        """List all that a client may call it, and where that is said."""
        place: Place = ("upstreams", name)
        yield place, name
        yield from (((*place, "aliases", index), alias) for index, alias in enumerate(self.aliases))
        yield from (((*place, "serve_as", index), host) for index, host in enumerate(self.serve_as))

    def of_pattern(self, name: str) -> Iterator[tuple[Place, str]]:
        """Find what a pattern cannot have: what is said of one registry."""
        if is_pattern(name):
            for key in ("aliases", "serve_as", "freeze"):
                if getattr(self, key):
                    yield ("upstreams", name, key), "is for one registry: list it by its name, which goes before the pattern"

    def of_proofs(self, name: str, *, is_private: bool) -> Iterator[tuple[Place, str]]:
        """Find what would prove to everybody what upstream shows to us, or send credentials in clear text unless that *is_private*."""
        for index, host in enumerate(self.hosts):
            place: Place = ("upstreams", name, "hosts", index)
            is_cache = host.kind is HostKind.CACHE
            if host.forward_credentials and not is_cache:
                yield (*place, "forward_credentials"), "is for hosts of kind: cache"
            if host.forward_credentials and not is_private and not _is_confidential(host.url):
                yield (*place, "url"), "must be https, or credentials of clients would be sent in clear text (insecure_credentials: true)"
            if self.access is not AccessMode.PROVEN or Trust.RESOLVE not in host.trust:
                continue
            if is_cache and not host.forward_credentials:
                yield place, "is trusted to resolve, and cannot be asked what a client may pull: set forward_credentials, or trust: [pull]"
            if host.tls.certificate is not None:
                yield (*place, "tls", "certificate"), "would be taken for every client's, and so prove nothing (access: proven)"

    def of_credentials(self, name: str) -> Iterator[tuple[Place, str]]:
        """Find what a cloud is not told of a host, and that host's name does not tell."""
        for index, host in enumerate(self.hosts):
            own: Place = ("upstreams", name, "hosts", index) if host.credentials else ("upstreams", name)
            if (credentials := self._credentials(host)) is not None:
                found = credentials.unplaced(urlsplit(host.url.replace(REGISTRY, sample(name))).hostname or "")
                yield from (((*own, "credentials", *place), predicate) for place, predicate in found)

    def _credentials(self, entry: HostEntry) -> CredentialEntry | None:
        """Return a host's credentials; the registry's are not for its mirrors and caches: these carry their own."""
        return entry.credentials or (self.credentials if _is_registry(entry) else None)

    def _host(self, entry: HostEntry, registry: str, *, is_of_pattern: bool) -> Host:
        credentials = self._credentials(entry)
        names = (registry, *self.aliases) if _is_registry(entry) else ()
        url = entry.url.replace(REGISTRY, registry)
        address = url.partition("://")[2]
        servers = dict.fromkeys((address, *names))
        return Host(
            url=url,
            trust=entry.trust,
            prefix=entry.prefix.replace(REGISTRY, registry),
            credential=credentials.credential() if credentials else None,
            docker_config=credentials.config(servers) if credentials else None,
            credential_source=credentials.source(dict.fromkeys((*names, address))) if credentials else None,
            realms=entry.realms | self.realms,
            private_networks=entry.private_networks | self.private_networks,
            tls=entry.tls.tls(),
            proxy=entry.proxy or self.proxy,
            kind=entry.kind,
            timeouts=tuple(entry.timeouts.given().items()),
            forward_credentials=entry.forward_credentials,
            rewrite=tuple(Rewrite(match, to) for match, to in entry.rewrite.items()),
            headers=tuple((name, Secret(value)) for name, value in entry.headers.items()),
            is_of_pattern=is_of_pattern and REGISTRY in entry.url,
        )
