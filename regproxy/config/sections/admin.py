"""Who may use the admin port beyond this machine, as the configuration file spells it."""

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from regproxy.config.model import Model, Place
from regproxy.config.units import Address
from regproxy.policy.clients import admin_roles
from regproxy.policy.clients.admin_roles import AdminToken, Holder, Role
from regproxy.policy.credential import Secret

_MIN_TOKEN = 20  # characters; what is shorter could be guessed
_MAX_TOKEN = 1024


def listed(value: object) -> object:
    """Split a variable, which holds a single value, into several names."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def secret_text(value: str) -> str:
    """Accept a secret that cannot be guessed, and that a header or a URL can carry."""
    if not _MIN_TOKEN <= len(value) <= _MAX_TOKEN or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"is not {_MIN_TOKEN} to {_MAX_TOKEN} ASCII characters without spaces, such as openssl rand -hex 32 prints")
    return value


class AdminTokenEntry(Model):
    """A token for the admin port, and what it entitles to."""

    token: Annotated[str, AfterValidator(secret_text)] = Field(
        repr=False,
        description="What is sent as `Authorization: Bearer`: at least 20 ASCII characters, such as `openssl rand -hex 32` prints.",
    )
    role: Role = Field(default=Role.READ, description="read: may look. operate: may also change things and export images.")


AdminOpen: TypeAlias = Annotated[frozenset[Literal["health", "metrics", "reads", "changes"]], BeforeValidator(listed)]
AdminTokens: TypeAlias = dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{1,64}$")], AdminTokenEntry]


def admin_contradictions(tokens: AdminTokens, listen: Address, *, is_private: bool) -> Iterator[tuple[Place, str]]:
    """Find what is wrong with tokens that are each right; *is_private* says that nobody reads them on their way to *listen*."""
    if tokens and not is_private and not listen.is_loopback():
        yield ("admin_tokens",), f"would be sent to {listen} without TLS: set admin_tls, or insecure_credentials: true"
    owners: dict[str, str] = {}
    for name, entry in tokens.items():
        if (owner := owners.setdefault(entry.token, name)) != name:
            yield ("admin_tokens", name, "token"), f"is the token of {owner} as well"


def admin_tokens(tokens: AdminTokens) -> admin_roles.AdminTokens:
    return admin_roles.AdminTokens(AdminToken(Holder(name, entry.role), Secret(entry.token)) for name, entry in tokens.items())
