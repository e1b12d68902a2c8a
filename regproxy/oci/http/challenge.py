"""What a registry demands before it answers (RFC 9110, 11.6.1; distribution, token authentication).

In the wild: schemes in any case; parameters quoted, unquoted, empty or with escapes; several challenges in one header and several
headers; scope or service missing; a scope whose actions are empty (Huawei SWR); realms that are relative or have a query.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 -- RFC 9110's word for a character class
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?=\s|,|$)")
_LIMIT = 8 * 1024  # a longer challenge is an attack; real ones are under 1 KiB


@dataclass(frozen=True, slots=True)
class Challenge:
    """A scheme in lower case and its parameters, names in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def realm(self) -> str:
        return self.parameters.get("realm", "")

    @property
    def service(self) -> str:
        return self.parameters.get("service", "")

    @property
    def scope(self) -> str:
        return self.parameters.get("scope", "")


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """What a token is good for: a type, a name, which may contain colons, and actions."""

    kind: str
    name: str
    actions: str

    @classmethod
    def pull(cls, name: str) -> "Scope":
        return cls("repository", name, "pull")

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}:{self.actions}"


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """List the challenges of all `WWW-Authenticate` headers, in order; what cannot be read is left out."""
    return [challenge for header in headers for challenge in _parse_one(header[:_LIMIT])]


def parse_scopes(text: str) -> list[str]:
    """Split the scopes of a challenge, and put `pull` where the actions are empty."""
    return [f"{scope}pull" if scope.startswith("repository:") and scope.endswith(":") else scope for scope in text.split()]


def _parse_one(header: str) -> list[Challenge]:
    found: list[Challenge] = []
    position = 0
    while match := _SCHEME.match(header, position):
        parameters, position = _parse_parameters(header, match.end())
        found.append(Challenge(match.group(1).lower(), parameters))
    return found


def _parse_parameters(header: str, position: int) -> tuple[dict[str, str], int]:
    parameters: dict[str, str] = {}
    while match := _PARAMETER.match(header, position):
        name, quoted, bare = match.groups()
        value = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        parameters.setdefault(name.lower(), value)
        position = match.end()
    return parameters, position
