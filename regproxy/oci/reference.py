"""Names of repositories and of what lies in them (distribution-spec, Pulling manifests)."""

import re
from dataclasses import dataclass
from typing import Self, TypeAlias

from regproxy.oci.digest import Digest

# distribution-spec, Pulling manifests: <name> and <reference>, as written there.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_NAME_LIMIT = 255  # distribution-spec: many clients limit host and name together to 255


class InvalidName(ValueError):
    """The text is not a repository name or a tag."""


def is_name(text: str) -> bool:
    return len(text) <= _NAME_LIMIT and _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """A repository of a registry: `docker.io`, `library/nginx`."""

    registry: str
    name: str

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise InvalidName(f"{self.name[:160]!r} is not a repository name")

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """A name that may mean another manifest tomorrow."""

    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a tag, or raise `InvalidName`."""
        if not _TAG.fullmatch(text):
            raise InvalidName(f"{text[:160]!r} is not a tag")
        return cls(text)

    def __str__(self) -> str:
        return self.name


Target: TypeAlias = Tag | Digest
"""What a manifest is asked by."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A manifest's full name: a repository, and a tag or a digest in it."""

    repository: Repository
    target: Target

    def __str__(self) -> str:
        return f"{self.repository}{'@' if isinstance(self.target, Digest) else ':'}{self.target}"


def parse_target(text: str) -> Target:
    """Read a tag or a digest, distinguished by the colon that no tag can have; raise `InvalidName` or `InvalidDigest`."""
    return Digest.parse(text) if ":" in text else Tag.parse(text)


def reference_named(text: str) -> Reference:
    """Read a tag in full, as `str` writes it: `docker.io/library/nginx:1.27`; raise `InvalidName`."""
    registry, _, rest = text.partition("/")
    name, _, tag = rest.rpartition(":")
    return Reference(Repository(registry, name), Tag.parse(tag))
