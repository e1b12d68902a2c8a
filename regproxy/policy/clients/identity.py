"""Who a client is, and what it may pull for that.

An operator may name what a client may pull. That is the last word: nothing else is pulled by it, and for that nothing has to be shown to
upstream. A client of whom no list says so goes by what the upstream is configured as.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import assert_never

from regproxy.oci import errors
from regproxy.oci.errors import RegistryError
from regproxy.oci.reference import Repository


class AccessMode(Enum):
    """To whom the repositories of an upstream are served."""

    SHARED = "shared"  # whoever may use regproxy
    PROVEN = "proven"  # whoever has shown upstream that they may pull it
    NONE = "none"  # nobody but clients whose list names it


@dataclass(frozen=True, slots=True)
class Identity:
    """A client by *name*, and patterns of `registry/repository` that it may pull; None: no list says so."""

    name: str
    allow: tuple[str, ...] | None = None

    def is_listed(self, repository: Repository) -> bool:
        return self.allow is not None and matches(self.allow, str(repository))


NOBODY = Identity("")
"""Whoever shows nothing."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """It is served."""


@dataclass(frozen=True, slots=True)
class NeedsProof:
    """It is served once the client has shown upstream that it may pull it."""


Permission = Allowed | NeedsProof | RegistryError


def permission(mode: AccessMode, client: Identity, repository: Repository) -> Permission:
    """Return whether *client* may pull from *repository*, of an upstream that is served by *mode*, or the error to answer."""
    if client.is_listed(repository):
        return Allowed()
    if client.allow is not None:
        return errors.denied(f"{client.name} may not pull {repository}: the client's allow does not name it")
    match mode:
        case AccessMode.SHARED:
            return Allowed()
        case AccessMode.PROVEN:
            return NeedsProof()
        case AccessMode.NONE:
            return errors.denied(f"{repository.registry} is closed here (access: none), but for clients whose allow names it")
        case _ as never:
            assert_never(never)


def matches(patterns: Sequence[str], text: str) -> bool:
    """Report whether one of *patterns* names *text*; `*` matches anything."""
    return any(fnmatchcase(text, pattern) for pattern in patterns)
