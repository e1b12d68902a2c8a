"""Which entry of a docker config.json speaks for us to a registry.

The same form serves docker (config.json), containers/image (auth.json, whose keys may end in a namespace) and Kubernetes
(kubernetes.io/dockerconfigjson, whose keys may have `*` within a label of the host). The most specific key wins; a helper named for a
registry goes before entries, and the common store after them, as docker leaves an empty entry for what the store holds.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Self, TypeAlias, TypeGuard

from regproxy.policy.credential import Credential, CredentialKind, Secret

_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # becomes part of a program's name
_API = re.compile(r"/v[12]/?$")  # Docker Hub's key is https://index.docker.io/v1/
_HUB_KEY = "index.docker.io"  # docker writes it as https://index.docker.io/v1/
_HUB = frozenset({"docker.io", _HUB_KEY, "registry-1.docker.io"})  # containers-auth.json: one registry by three names
_TOKEN_USER = "<token>"  # noqa: S105 -- docker login reference: with this user the secret is an identity token


class InvalidKeyring(ValueError):
    """The text is not a docker config.json."""


@dataclass(frozen=True, slots=True)
class Helper:
    """A program that knows a credential: `docker-credential-<suffix>`, and the server to ask it for."""

    suffix: str
    server: str


Source: TypeAlias = Credential | Helper
"""A credential, or who knows it."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """The entries by their keys as written, without scheme and API version."""

    entries: Mapping[str, Credential]
    helpers: Mapping[str, str]
    store: str | None = None

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read a file; entries that hold nothing are left out. Raise `InvalidKeyring`, which quotes nothing."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise InvalidKeyring("is not a JSON object")
        found = ((_key(key), _credential(entry)) for key, entry in _mapping(document.get("auths")).items())
        helpers = {_key(key): suffix for key, suffix in _mapping(document.get("credHelpers")).items() if _is_helper(suffix)}
        store = document.get("credsStore")
        return cls({key: credential for key, credential in found if credential}, helpers, store if _is_helper(store) else None)

    def sources(self, servers: Sequence[str], name: str) -> Iterator[Source]:
        """List what may speak for repository *name* at a registry known by any of *servers*, best first."""
        if not _HUB.isdisjoint(servers):
            servers = [_HUB_KEY, *servers, *sorted(_HUB - set(servers))]
        for server in servers:
            if server in self.helpers:
                yield Helper(self.helpers[server], _asked_as(server))
        for server in servers:
            fitting = [key for key in self.entries if _fits(key, server, name)]
            yield from (self.entries[key] for key in sorted(fitting, key=_specificity, reverse=True))
        if self.store is not None:
            yield from (Helper(self.store, server) for server in dict.fromkeys(map(_asked_as, servers)))


def _asked_as(server: str) -> str:
    """Write a server as docker does when it asks a helper: Docker Hub by the address of its first API."""
    return f"https://{_HUB_KEY}/v1/" if server == _HUB_KEY else server


def told(text: bytes) -> Credential | None:
    """Parse a helper's output (docker login reference, Credential helper protocol)."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    user, secret = (_mapping(document).get(key) for key in ("Username", "Secret"))
    if not isinstance(user, str) or not isinstance(secret, str) or not secret:
        return None
    return Credential(user, Secret(secret), CredentialKind.IDENTITY if user == _TOKEN_USER else CredentialKind.PASSWORD)


def _credential(entry: object) -> Credential | None:
    texts = {key: value for key, value in _mapping(entry).items() if isinstance(value, str) and value}
    user, password = _decoded(texts["auth"]) if "auth" in texts else (texts.get("username", ""), texts.get("password", ""))
    for key, kind in (("registrytoken", CredentialKind.REGISTRY), ("identitytoken", CredentialKind.IDENTITY)):
        if key in texts:
            return Credential(user, Secret(texts[key]), kind)
    return Credential(user, Secret(password)) if user and password else None


def _decoded(auth: str) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return user, password.strip("\x00")  # docker: some writers pad with zeros


def _fits(key: str, server: str, name: str) -> bool:
    host, _, namespace = key.partition("/")
    labels, wanted = host.split("."), server.split(".")
    is_host = len(labels) == len(wanted) and all(fnmatchcase(ours, glob) for ours, glob in zip(wanted, labels, strict=True))
    return is_host and (not namespace or f"{name}/".startswith(f"{namespace}/"))


def _specificity(key: str) -> tuple[int, bool, int]:
    """Rank a longer namespace higher, then a host without globs, then the longer host."""
    host, _, namespace = key.partition("/")
    return len(namespace), "*" not in host, len(host)


def _key(text: str) -> str:
    bare = _API.sub("", text.partition("://")[2] or text).rstrip("/")
    host, slash, namespace = bare.partition("/")
    return host.lower().removesuffix(":443").removesuffix(":80") + slash + namespace


def _is_helper(suffix: object) -> TypeGuard[str]:
    return isinstance(suffix, str) and _HELPER.fullmatch(suffix) is not None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
