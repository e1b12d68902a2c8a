"""The file of `clients.tokens`: the tokens of clients, by name."""

from collections.abc import Mapping
from dataclasses import dataclass

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from regproxy.config.model import Model
from regproxy.config.units import Filled
from regproxy.policy.credential import Secret

_MIN_BYTES = 16  # of a token; what is shorter can be guessed, and nothing slows a guess down as bcrypt does
_MAX_CLIENTS = 10_000


class InvalidTokens(ValueError):
    """The file cannot be used; the message shows nothing of it."""


@dataclass(frozen=True, slots=True)
class ClientToken:
    """The token of a client, and what it may pull."""

    token: Secret
    allow: tuple[str, ...] | None


class _Entry(Model):
    token: Filled = Field(repr=False)
    allow: tuple[Filled, ...] | None = None


_FILE = TypeAdapter(dict[str, _Entry], config=ConfigDict(defer_build=True))


def parse_tokens(text: bytes) -> Mapping[str, ClientToken]:
    """Read `name: {token: ..., allow: [...]}`; raise `InvalidTokens`."""
    document: object = None
    try:
        document = yaml.safe_load(text) or {}
        entries = _FILE.validate_python(document)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise InvalidTokens(f"it is not YAML (line {mark.line + 1})" if mark else "it is not YAML") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        number = [*document].index(first["loc"][0]) + 1 if isinstance(document, dict) and first["loc"] else 0
        raise InvalidTokens(f"{f'entry {number}' if number else 'it'} is not `name: {{token: ..., allow: [...]}}`") from None
    if len(entries) > _MAX_CLIENTS:
        raise InvalidTokens(f"it has more than {_MAX_CLIENTS} clients")
    for number, entry in enumerate(entries.values(), 1):
        if len(entry.token.encode()) < _MIN_BYTES:
            raise InvalidTokens(f"the token of entry {number} has less than {_MIN_BYTES} bytes")
    values = [entry.token for entry in entries.values()]
    if len(set(values)) != len(values):
        raise InvalidTokens("two clients have the same token")
    return {name: ClientToken(Secret(entry.token), entry.allow) for name, entry in entries.items()}
