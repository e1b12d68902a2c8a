"""How long a token is used, when it is renewed, and how long a failure to get one is believed.

What a token service says of a token's life is taken with care: quay says nothing and means an hour, others say zero or a billion. Nothing
it says about the time of day counts, as its clock is not ours. A token that is rejected early is renewed at once, so a guess costs little.
"""

from dataclasses import dataclass
from typing import TypeGuard

from regproxy.policy.credential import Secret

_DEFAULT_LIFE = 300.0  # distribution, token.md: 60 s where the service says nothing; see quay above
_SHORTEST_LIFE, LONGEST_LIFE = 60.0, 12 * 3600.0  # token.md: services should not go under 60 s
_MARGIN = 0.9  # of its life a token is used; the rest is for clocks and for requests on their way
_RENEWED_FROM, _RENEWED_TO = 0.6, 0.8  # of its use: behind the requests, and not all tokens at one moment

_MAX_TOKEN_BYTES = 16 * 1024  # real ones are under 4 KiB; servers take heads of 8 to 32 KiB

# A token rejected within this time of replacing another rejected one is no accident: another exchange would bring the same.
SETTLED_AFTER = 10.0
REFUSED_FOR = 30.0  # no access, or no such repository: somebody may be about to grant or create it
WRONG_FOR = 300.0  # a wrong password: Docker Hub locks a user out after a few; a new one in the configuration is tried at once
FAILED_FOR = 1.0  # whoever waits for a dead token service shares one failure; the next second tries again


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; times in seconds since the epoch."""

    value: Secret
    renew_at: float
    expires_at: float

    def bearer(self) -> str:
        """Write the value of `Authorization`."""
        return f"Bearer {self.value.value}"


def is_token(value: object) -> TypeGuard[str]:
    """Report whether *value* can be sent as a bearer token, and is no longer than one may be."""
    return isinstance(value, str) and 0 < len(value) <= _MAX_TOKEN_BYTES and value.isascii() and value.isprintable() and " " not in value


def lifetime(life: object) -> float:
    """Return for how many seconds something is good of which a service said *life* (RFC 6749, 5.1: `expires_in`)."""
    if not isinstance(life, int | float) or isinstance(life, bool) or not life > 0:
        return _DEFAULT_LIFE
    return min(max(life, _SHORTEST_LIFE), LONGEST_LIFE)


def issued(value: str, life: object, now: float, chance: float) -> Token:
    """Make a token of what a service said; *chance*, from 0 to 1, spreads the renewals."""
    use = _MARGIN * lifetime(life)
    return Token(Secret(value), now + use * (_RENEWED_FROM + (_RENEWED_TO - _RENEWED_FROM) * chance), now + use)
