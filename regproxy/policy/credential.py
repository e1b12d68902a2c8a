"""Who we are to an upstream, and what no log, metric, error or disk may show."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Secret:
    """Something no log, metric, error or disk may show."""

    value: str = field(repr=False)

    def __str__(self) -> str:
        return "***"


class CredentialKind(Enum):
    """What the secret of a credential is (docker, config.json)."""

    PASSWORD = "password"  # noqa: S105 -- a label
    IDENTITY = "identity token"  # a refresh token: traded for tokens at the token service
    REGISTRY = "registry token"  # a token already: sent as it is


@dataclass(frozen=True, slots=True)
class Credential:
    """A user of an upstream."""

    username: str
    password: Secret
    kind: CredentialKind = CredentialKind.PASSWORD


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """A docker config.json, the names by which it may know a registry, best first, and what its helpers find in their environment."""

    path: Path
    servers: tuple[str, ...]
    helper_env: tuple[tuple[str, Secret], ...] = ()
