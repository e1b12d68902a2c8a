"""What a client asks, read from the method and the raw path (distribution-spec, Endpoints).

The path is never decoded: no name, tag or digest needs an escape, so a `%` is simply not in the grammar, and neither is `..`.
"""

import re
from dataclasses import dataclass
from typing import TypeAlias

from regproxy.oci import errors
from regproxy.oci.digest import Digest, InvalidDigest
from regproxy.oci.reference import InvalidName, Target, is_name, parse_target

_PULL = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs|referrers|_regproxy/hashes)/(?P<reference>[^/]+)")
_LIST = re.compile(r"/v2/(?P<name>.+)/tags/list")
_PREFIXED = re.compile(r"/(?P<prefix>(?!v2/)[A-Za-z0-9][A-Za-z0-9._-]{0,127}(?::[0-9]{1,5})?)(?P<rest>/v2(?:/.*)?)")
_READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Root:
    """What is here? Load balancers ask it, and people."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Is this a registry?"""


@dataclass(frozen=True, slots=True)
class ManifestPull:
    """A manifest, by tag or by digest."""

    name: str
    target: Target


@dataclass(frozen=True, slots=True)
class BlobPull:
    """A blob, by digest."""

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class HashPull(BlobPull):
    """The signed hash of a part of a blob, for who may have that (ours; in the place that the distribution-spec leaves to extensions)."""


@dataclass(frozen=True, slots=True)
class TagList:
    """The tags of a repository."""

    name: str


@dataclass(frozen=True, slots=True)
class ReferrerList:
    """The manifests that refer to a digest."""

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class Catalog:
    """The repositories of a registry (distribution, not in the distribution-spec)."""


Endpoint: TypeAlias = Root | Ping | ManifestPull | BlobPull | HashPull | TagList | ReferrerList | Catalog


def parse(method: str, path: str) -> Endpoint:
    """Return what is asked; raise `RegistryError` for a write, a name that is none, or a path that is not ours."""
    if path == "/" and method in _READS:
        return Root()
    if match := _PREFIXED.fullmatch(path):
        path = _without_prefix(match["prefix"].lower(), match["rest"])
    if path != "/v2" and not path.startswith("/v2/"):
        raise errors.RegistryError("UNKNOWN", 404, "this is a registry: its paths begin with /v2/")
    if method not in _READS:
        raise errors.write_unsupported(f"regproxy is a cache to pull through: {method[:16]} is not supported, push to the registry itself")
    if path in {"/v2", "/v2/"}:
        return Ping()
    if path == "/v2/_catalog":
        return Catalog()
    if match := _PULL.fullmatch(path):
        return _pull(match["name"], match["kind"], match["reference"])
    if match := _LIST.fullmatch(path):
        return TagList(_name(match["name"]))
    raise errors.endpoint_unsupported("no such endpoint in the distribution-spec's pull and listing categories")


def _without_prefix(prefix: str, rest: str) -> str:
    """Read `/mirror/v2/...` as `/v2/...`: runtimes and ingresses put a path of theirs in front. One like a host's name is a registry's."""
    is_registry = not {".", ":"}.isdisjoint(prefix)
    return f"/v2/{prefix}{rest[3:]}" if is_registry and rest not in {"/v2", "/v2/"} else rest


def _pull(name: str, kind: str, reference: str) -> Endpoint:
    name = _name(name)
    try:
        if kind == "manifests":
            return ManifestPull(name, parse_target(reference))
        digest = Digest.parse(reference)
    except InvalidDigest as error:
        raise errors.digest_invalid(str(error)) from error
    except InvalidName as error:
        raise errors.manifest_unknown(str(error)) from error  # as other registries: what cannot be a tag is none
    if kind == "referrers":
        return ReferrerList(name, digest)
    return BlobPull(name, digest) if kind == "blobs" else HashPull(name, digest)


def _name(text: str) -> str:
    if not is_name(text):
        raise errors.name_unknown(f"{text[:160]!r} is not a repository name")
    return text
