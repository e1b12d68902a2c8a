"""The kubelet's credential provider protocol, credentialprovider.kubelet.k8s.io/v1.

Its source is kubernetes.io/docs, "Configure a kubelet image credential provider", and k8s.io/kubelet/pkg/apis/credentialprovider/v1.
An image is a repository with its registry, without tag and digest, as kubelet asks.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

from regproxy.policy.credential import Credential, CredentialKind, Secret

_VERSION = "credentialprovider.kubelet.k8s.io/v1"
_MAX_ENTRIES = 256  # of one response that are kept
_MAX_SECONDS = 7 * 86_400.0  # for which a response is believed, whatever it says
_MAX_DURATION = 64  # characters; Go writes 30
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}  # both signs for micro are Go's
_PART = rf"(\d+\.?\d*|\.\d+)({'|'.join(sorted(_UNITS, key=len, reverse=True))})"
_DURATION = re.compile(rf"-?(?:{_PART})+|-?0")
_API = re.compile(r"/v[12](?=/)")  # kubelet's keyring leaves it out of a key


class InvalidResponse(ValueError):
    """A provider printed something else than a response that can be used; the message quotes nothing of it."""


class CacheKeyType(Enum):
    """For which images a response counts."""

    IMAGE = "Image"
    REGISTRY = "Registry"
    GLOBAL = "Global"

    def key(self, image: str) -> str:
        """Return the key under which a response for *image* is kept."""
        registry = image.partition("/")[0]
        return {CacheKeyType.IMAGE: image, CacheKeyType.REGISTRY: registry, CacheKeyType.GLOBAL: ""}[self]


@dataclass(frozen=True, slots=True)
class Response:
    """Credentials by patterns of images; *seconds* is how long they may be kept, and None is the configuration's to say."""

    key_type: CacheKeyType
    seconds: float | None
    auth: tuple[tuple[str, Credential], ...]

    def find(self, images: Iterable[str]) -> Credential | None:
        """Find the credential of the first of several names of one image that has one; of several keys kubelet's first counts."""
        for image in images:
            for pattern, credential in sorted(self.auth, key=lambda entry: entry[0], reverse=True):
                if matches(pattern, image):
                    return credential
        return None


def request(image: str) -> bytes:
    """Write what a provider reads from its standard input."""
    return json.dumps({"apiVersion": _VERSION, "kind": "CredentialProviderRequest", "image": image}).encode()


def parse(text: bytes) -> Response:
    """Read what a provider printed; raise `InvalidResponse`."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidResponse("it did not print a JSON object")
    if document.get("apiVersion") != _VERSION or document.get("kind") != "CredentialProviderResponse":
        raise InvalidResponse(f"it did not print a CredentialProviderResponse of {_VERSION}")
    if (key_type := next((each for each in CacheKeyType if each.value == document.get("cacheKeyType")), None)) is None:
        raise InvalidResponse("its cacheKeyType is not Image, Registry or Global")
    duration, auth = document.get("cacheDuration"), document.get("auth")
    if not isinstance(auth, dict | None):
        raise InvalidResponse("its auth is not a JSON object")
    entries = [(_without_scheme(key), _credential(entry)) for key, entry in list((auth or {}).items())[:_MAX_ENTRIES]]
    kept = tuple((key, credential) for key, credential in entries if credential is not None)
    return Response(key_type, None if duration is None else _seconds(duration), kept)


def matches(pattern: str, image: str) -> bool:
    """Report whether an image is meant by *pattern*: the same port, as many labels, each fitting its glob, and a path that begins so."""
    host, slash, path = pattern.partition("/")
    registry, _, name = image.partition("/")
    name_of_host, _, port = host.partition(":")
    labels, wanted = name_of_host.split("."), registry.partition(":")[0].split(".")
    if port != registry.partition(":")[2] or len(labels) != len(wanted):
        return False
    return f"/{name}".startswith(slash + path) and all(fnmatchcase(label, glob) for label, glob in zip(wanted, labels, strict=True))


def is_asked_about(patterns: Sequence[str], images: Iterable[str]) -> bool:
    """Report whether a provider with *patterns* (matchImages) is to be asked about an image of several names; no pattern means all."""
    return not patterns or any(matches(pattern, image) for image in images for pattern in patterns)


def _credential(entry: object) -> Credential | None:
    """Read an entry; one that holds nothing is none. containerd takes a secret without a user for an identity token."""
    user, secret = (entry.get("username", ""), entry.get("password", "")) if isinstance(entry, dict) else (None, None)
    if not isinstance(user, str) or not isinstance(secret, str) or not secret:
        return None
    return Credential(user, Secret(secret), CredentialKind.PASSWORD if user else CredentialKind.IDENTITY)


def _seconds(duration: object) -> float:
    """Read a duration as Go writes it: 12h0m0s. One below zero is over at once."""
    if not isinstance(duration, str) or len(duration) > _MAX_DURATION or not _DURATION.fullmatch(duration):
        raise InvalidResponse("its cacheDuration is no duration such as 6h0m0s")
    if duration.startswith("-"):
        return 0.0
    return min(sum(float(count) * _UNITS[unit] for count, unit in re.findall(_PART, duration)), _MAX_SECONDS)


def _without_scheme(key: str) -> str:
    host, slash, path = (key.partition("://")[2] or key).partition("/")
    rest = _API.sub("", slash + path, count=1) if _API.match(slash + path) else slash + path
    return host + (rest if rest != "/" else "")
