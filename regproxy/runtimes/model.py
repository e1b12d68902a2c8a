"""What every container runtime's configuration is made of: the endpoint, what is wanted of it, and the files that say so."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias
from urllib.parse import SplitResult, urlsplit

CA_FILE = "regproxy-ca.crt"  # beside the file that names it, where the runtime leaves the name to us

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")

Files: TypeAlias = Mapping[str, str]  # text by path below the host's root, without the leading slash: etc/docker/daemon.json


class Unsupported(Exception):
    """What is wanted cannot be had from this runtime, or its file cannot be changed without a loss. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the cache is: `http://host:port`, or `http://host:port/v2/<registry>` where one registry alone is meant."""

    scheme: str
    authority: str
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URL; raise `Unsupported` where no runtime could use it."""
        try:
            parts = urlsplit(text.strip())
            _ = parts.port
        except ValueError as error:
            raise Unsupported(f"the endpoint {text!r} is not a URL: {error}") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Unsupported(f"the endpoint {text!r} is not a URL: write it as http://host:5000 or https://host")
        if parts.username is not None or parts.query or parts.fragment or not _is_plain(parts):
            raise Unsupported(f"the endpoint {_unsigned(parts)!r} has more than a scheme, a host, a port and a path")
        path = parts.path.rstrip("/")
        if path and not path.startswith("/v2/"):
            raise Unsupported(
                f"the endpoint {text!r} has the path {path}: regproxy serves /v2/<registry>, and all registries without a path"
            )
        return cls(parts.scheme, parts.netloc.lower(), path)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def host(self) -> str:
        return urlsplit(self.origin).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.origin).port or (443 if self.is_https else 80)

    @property
    def is_https(self) -> bool:
        return self.scheme == "https"

    def without_path(self, runtime: str) -> Self:
        """Return it; raise `Unsupported` where it has a path, which *runtime* cannot use."""
        if self.path:
            raise Unsupported(f"{runtime} takes no path in the endpoint: leave {self.path} out and name registries by --registry")
        return self


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a runtime is to do: pull from *registries* (all it knows a word for, where there are none) through *endpoint*.

    *ca* is the text of the certificates to trust. *is_strict* forbids the way around. *edits_config* allows containerd's config.toml to be
    changed. *known* are the registries to name where a runtime has no word for all.
    """

    endpoint: Endpoint
    registries: tuple[str, ...] = ()
    ca: str | None = None
    is_strict: bool = False
    edits_config: bool = False
    known: tuple[str, ...] = ("docker.io",)

    def __post_init__(self) -> None:
        for name in self.registries:
            if _NAMESPACE.fullmatch(name) is None:
                raise Unsupported(f"{name!r} is not a registry: write its host as image names do, docker.io or registry.example:5000")
        if self.ca is not None and not self.endpoint.is_https:
            raise Unsupported("--ca is for an https endpoint, and this one is http")
        if self.ca is not None and "-----BEGIN CERTIFICATE-----" not in self.ca:
            raise Unsupported("--ca is not a file of PEM certificates")
        if self.endpoint.path and len(self.registries) != 1:
            raise Unsupported("an endpoint with a path is for one registry: name it by --registry")

    @property
    def named(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.registries or self.known))


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file as it is to be; *reasons* say what of it is not so yet, and are empty where it stands so already."""

    path: str
    text: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The files of a configuration, the one that is written first first, and what to know about it."""

    files: tuple[PlannedFile, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Runtime:
    """A container runtime. *directory* is its own; *reads* lists the files, or patterns of them, that `configure` looks at."""

    name: str
    title: str
    directory: str
    reads: Callable[[Wanted], Sequence[str]]
    configure: Callable[[Files, Wanted], Plan]
    writes: tuple[str, ...]  # patterns of all that it may ever write


def table_at(value: object, path: str, name: str) -> dict[str, Any]:
    """Return *value*, which *name* has in the file at *path*; raise `Unsupported` where it is no table. None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unsupported(f"/{path}: {name} is not a table (a mapping): mend it first")
    return value


def list_at(value: object, path: str, name: str, of: type) -> list[Any]:
    """Return *value* as a list whose items are all of one type; raise `Unsupported` where it is none. None is an empty one."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, of) for each in value):
        raise Unsupported(f"/{path}: {name} is not a list of {'strings' if of is str else 'tables'}: mend it first")
    return value


def planned(files: Files, path: str, text: str, reasons: Sequence[str]) -> PlannedFile:
    """Plan *text* at *path*; where it stands there already there is no reason to."""
    if path not in files:
        return PlannedFile(path, text, ("no such file",))
    if files[path] == text:
        return PlannedFile(path, text)
    return PlannedFile(path, text, tuple(reasons) or ("differs",))


def _is_plain(parts: SplitResult) -> bool:
    return re.fullmatch(r"[A-Za-z0-9._:\[\]-]+", parts.netloc) is not None and re.fullmatch(r"[A-Za-z0-9._/-]*", parts.path) is not None


def _unsigned(parts: SplitResult) -> str:
    """Show a URL without the password that may be in it."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
