"""What is asked of the admin port, and which token entitles to it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from regproxy.policy.credential import Secret


class Need(StrEnum):
    """What a request wants of the admin port; by these names the setting `admin_open` knows all but two."""

    PAGE = "page"  # the page without what it shows, and signing in
    HOOK = "hook"  # an event of a registry, whose sender shows a secret of its own
    HEALTH = "health"
    METRICS = "metrics"
    READS = "reads"
    CHANGES = "changes"


class Role(StrEnum):
    """What a token or a client certificate entitles to."""

    READ = "read"
    OPERATE = "operate"

    def may(self, need: Need) -> bool:
        return self is Role.OPERATE or need is not Need.CHANGES


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has shown a token: it has a *name* in the configuration, and in what is logged."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class AdminToken:
    """A token of the configuration."""

    holder: Holder
    token: Secret


class AdminTokens:
    """All tokens of the configuration."""

    def __init__(self, tokens: Iterable[AdminToken] = ()) -> None:
        """Keep them as hashes: the time of a look-up tells nothing about what is looked for."""
        self._holders = {_hash(each.token.value): each.holder for each in tokens}

    def __bool__(self) -> bool:
        return bool(self._holders)

    def holder(self, token: str) -> Holder | None:
        """Return whose *token* it is; None where it is nobody's."""
        return self._holders.get(_hash(token))


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
