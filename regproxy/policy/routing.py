"""Which upstream serves a request.

`ns` is a lookup key in a closed world, never an address to dial: a name that is not configured, by itself or by a pattern, is unknown, and
no connection is made. A `Host` is never looked up among the patterns: it may be our own name.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from functools import lru_cache
from types import MappingProxyType

from regproxy.oci import errors
from regproxy.oci.digest import InvalidDigest
from regproxy.oci.http.authority import MAX_LENGTH, Authority
from regproxy.oci.reference import InvalidName, Reference, Repository, parse_target
from regproxy.policy.clients.identity import AccessMode
from regproxy.policy.clouds.sources import CredentialSource
from regproxy.policy.credential import Credential, DockerConfig, Secret
from regproxy.policy.freezing import Freeze
from regproxy.policy.freshness import TagPolicy, exact_rule
from regproxy.policy.requirement import Requirement
from regproxy.policy.upstream.bandwidth import LineRate
from regproxy.policy.upstream.patterns import Patterns, is_pattern
from regproxy.policy.upstream.rewriting import Rewrite, rewritten
from regproxy.policy.upstream.transport import Proxy, Tls

DOCKER_HUB = "docker.io"
_REMEMBERED = 4096  # routes, or names of registries, some 2 MB each


class Trust(Enum):
    """What a host is believed about."""

    PULL = "pull"  # content by digest, which we check
    RESOLVE = "resolve"  # what a tag means, which we cannot check


class HostKind(Enum):
    """What a host serves."""

    REGISTRY = "registry"  # this registry alone, or by its prefix
    CACHE = "cache"  # several registries: `ns` names the one that is meant


@dataclass(frozen=True, slots=True)
class Host:
    """One address that serves an upstream's content: `https://mirror.example.cn`."""

    url: str
    trust: frozenset[Trust] = frozenset(Trust)
    prefix: str = ""
    credential: Credential | None = None
    docker_config: DockerConfig | None = None  # instead of a credential
    credential_source: CredentialSource | None = None  # instead of both, for what ends
    realms: frozenset[str] = frozenset()  # token services allowed beside our own origin and registrable domain
    private_networks: frozenset[str] = frozenset()  # where redirects may lead beside public addresses, in CIDR form
    tls: Tls = field(default_factory=Tls)
    proxy: Proxy | None = None  # on the way to it
    kind: HostKind = HostKind.REGISTRY
    timeouts: tuple[tuple[str, float], ...] = ()  # by name, where they are its own
    forward_credentials: bool = False  # a cache that is shown the credentials of clients
    rewrite: tuple[Rewrite, ...] = ()  # what it calls repositories; the first that matches counts
    headers: tuple[tuple[str, Secret], ...] = ()  # sent to its own origin, and nowhere else
    is_of_pattern: bool = False  # clients choose its name, so only what is public may be behind it, and what private_networks lists

    @property
    def is_shown_credentials(self) -> bool:
        """Whether clients that have to prove what they may pull have their credentials shown to it, and no mirror or cache unasked."""
        return self.forward_credentials or (Trust.RESOLVE in self.trust and self.kind is HostKind.REGISTRY)

    @property
    def has_credentials(self) -> bool:
        return any(each is not None for each in (self.credential, self.docker_config, self.credential_source))

    def repository(self, name: str) -> str | None:
        """Return how the host calls repository *name*; None where that is no name, so that it cannot have it."""
        return rewritten(name, self.rewrite, self.prefix)

    def __str__(self) -> str:
        return self.url.partition("://")[2]


@dataclass(frozen=True, slots=True)
class Upstream:
    """A registry by its name, the hosts that serve it, and the rules of its tags."""

    name: str
    hosts: tuple[Host, ...]
    aliases: frozenset[str] = frozenset()
    serve_as: frozenset[str] = frozenset()
    tags: tuple[TagPolicy, ...] = (TagPolicy(),)
    freezes: tuple[Freeze, ...] = ()
    timeouts: tuple[tuple[str, float], ...] = ()  # by name, where they are its own
    allow: tuple[str, ...] = ()  # none: everything
    deny: tuple[str, ...] = ()
    require: tuple[Requirement, ...] = ()
    access: AccessMode = AccessMode.SHARED
    proof_for: float = 600.0  # seconds, as those below
    public_for: float = 6 * 3600.0
    proof_stale_for: float = 3600.0
    max_rate: LineRate | None = None
    pattern: str = ""  # by which the configuration names it, where it does not by its name
    made: "Callable[[str], Upstream] | None" = field(default=None, compare=False, repr=False)  # of a pattern: what it says of one registry

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for all registries that its name is a pattern of."""
        return is_pattern(self.name)

    def tag_policy(self, name: str, tag: str) -> TagPolicy:
        """Pick the first rule that matches `repository:tag`, as it is meant for that tag."""
        subject = f"{name}:{tag}"
        return exact_rule(next((rule for rule in self.tags if fnmatchcase(subject, rule.match)), TagPolicy()), tag)


@dataclass(frozen=True, slots=True)
class Route:
    """An upstream and the repository asked for there."""

    upstream: Upstream
    repository: Repository


class Routes:
    """All upstreams, by every name a client may use for them."""

    def __init__(self, upstreams: Iterable[Upstream], default: str) -> None:
        """Route to *upstreams*; *default* names the one that serves requests without a registry."""
        by_name: dict[str, Upstream] = {}
        served: dict[Authority | None, Upstream] = {}
        anywhere: dict[Authority | None, Upstream] = {}
        patterns: list[tuple[str, Upstream]] = []
        for upstream in upstreams:
            if upstream.is_pattern:
                patterns.append((upstream.name, upstream))
                continue
            names = (upstream.name, *upstream.aliases)
            by_name.update(dict.fromkeys(names, upstream))
            served.update(dict.fromkeys(map(_host, (*names, *upstream.serve_as)), upstream))
            anywhere.update(dict.fromkeys(map(_host, upstream.serve_as), upstream))
        self._by_name: Mapping[str, Upstream] = MappingProxyType(by_name)
        self._served: Mapping[Authority | None, Upstream] = MappingProxyType(served)
        self._served_anywhere: Mapping[Authority | None, Upstream] = MappingProxyType(anywhere)
        self._default = by_name[default]
        self._patterns = Patterns(patterns)
        self._of_pattern = lru_cache(_REMEMBERED)(self._made)
        self._route = lru_cache(_REMEMBERED)(self._routed)  # nodes ask for the same few repositories again and again

    def find(self, name: str, namespaces: Sequence[str], host: str = "") -> Route:
        """Find by `ns`, else by a Host we serve as or that is a registry's own name, else by the first path component, else the default.

        A Host in `serve_as` counts at every port unless it is listed with one. Raise `RegistryError`: NAME_UNKNOWN for a registry that is
        not configured, or where *host* is a registry's name at another port, so that nobody can tell whether that or the default is
        meant; NAME_INVALID for two registries, or for a name that is too long once it is completed.
        """
        return self._route(name, _single(namespaces), _clipped(host))

    def upstream(self, namespaces: Sequence[str], host: str = "", name: str = "") -> Upstream:
        """Find the upstream as `find` does."""
        return self._upstream(_single(namespaces), _clipped(host), name)

    def called(self, name: str) -> Upstream | None:
        """Return the upstream that the configuration has under a *name* or by a pattern of it; None where it has none."""
        return self._by_name.get(name) or self._of_pattern(name)

    def label(self, name: str) -> str:
        """Return by what an upstream is counted: patterns have registries without number."""
        found = self.called(name)
        return (found and found.pattern) or name

    def known(self, namespaces: Sequence[str]) -> str | None:
        """Return the one namespace of a request if it names a configured registry."""
        return namespaces[0] if len(namespaces) == 1 and self.called(_registry(_clipped(namespaces[0]))) else None

    def canonical(self, pattern: str) -> str:
        """Write `registry/repository...` by the registry's own name, the default one where none is named.

        Raise NAME_UNKNOWN for a registry that is not configured.
        """
        first, _, rest = pattern.partition("/")
        if not _is_registry(first, rest) and self.called(first) is None:
            upstream, rest = self._default, pattern
        else:
            upstream = self._named(first)
        return f"{upstream.name}/{_name_at(upstream, rest) if rest.strip('*') else '*'}"

    def image(self, name: str) -> tuple[Route, Reference]:
        """Find what a person means by *name*, as for docker pull: `nginx` is `docker.io/library/nginx:latest`. Raise `RegistryError`."""
        repository, at, target = name.partition("@")
        if ":" in repository.rpartition("/")[2]:
            repository, _, tag = repository.rpartition(":")
            target = target if at else tag  # of `app:1@sha256:...` the digest counts
        try:
            wanted = parse_target(target or "latest")
        except (InvalidName, InvalidDigest) as error:
            raise errors.name_invalid(str(error)) from error
        first, _, rest = repository.partition("/")
        route = self.find(rest, [first]) if _is_registry(first, rest) else self.find(repository, [])
        return route, Reference(route.repository, wanted)

    def _routed(self, name: str, namespace: str | None, host: str) -> Route:
        found = self._upstream(namespace, host, name)
        try:
            return Route(found, Repository(found.name, _name_at(found, self._strip(found, name))))
        except InvalidName as error:
            raise errors.name_invalid(str(error)) from error

    def _upstream(self, namespace: str | None, host: str, name: str) -> Upstream:
        if namespace is not None:
            return self._named(namespace)
        authority = _host(host)
        return self._served_at(authority) or self._prefixed(name) or self._default_at(authority)

    def _named(self, namespace: str) -> Upstream:
        upstream = self.called(_registry(namespace))
        if upstream is None:
            raise errors.name_unknown(f"no upstream {namespace[:80]!r} is configured here")
        return upstream

    def _served_at(self, host: Authority | None) -> Upstream | None:
        """Return the upstream that we are at *host*."""
        if host is None:
            return None
        return self._served.get(host) or self._served_anywhere.get(host.portless())

    def _default_at(self, host: Authority | None) -> Upstream:
        """Return the default, unless *host* is the name of a registry at another port."""
        named = self._served.get(host.portless()) if host is not None else None
        if named is None or named is self._default:
            return self._default
        raise errors.name_unknown(f"Host {str(host)[:80]} may mean {named.name} or the default: list it under serve_as of one upstream")

    def _prefixed(self, name: str) -> Upstream | None:
        first, _, rest = name.partition("/")
        return self.called(first) if rest else None

    def _strip(self, upstream: Upstream, name: str) -> str:
        """Strip a registry's own name from the front: k3s rewrites and sends `ns` as well."""
        return name.partition("/")[2] if self._prefixed(name) == upstream else name

    def _made(self, name: str) -> Upstream | None:
        found = self._patterns.find(name)
        return found.made(name) if found is not None and found.made is not None else None


def _name_at(upstream: Upstream, name: str) -> str:
    """Put Docker Hub's official images where they are: `nginx` is `library/nginx`."""
    return f"library/{name}" if upstream.name == DOCKER_HUB and "/" not in name else name


def _is_registry(first: str, rest: str) -> bool:
    """Report whether the first part of an image's name is a registry, by docker's rule."""
    return bool(rest) and ("." in first or ":" in first or first == "localhost")


def _single(namespaces: Sequence[str]) -> str | None:
    if len(namespaces) > 1:
        raise errors.name_invalid("ns was given more than once")
    return _clipped(namespaces[0]) if namespaces else None


def _clipped(text: str) -> str:
    """Keep what is remembered short: a text that is longer than any authority is none either way."""
    return text[: MAX_LENGTH + 1]


@lru_cache(_REMEMBERED)
def _registry(namespace: str) -> str:
    """Spell a namespace as registries are named here."""
    return str(Authority.parse(namespace) or "")


def _host(text: str) -> Authority | None:
    found = Authority.parse(text)
    return found.rooted() if found is not None else None
