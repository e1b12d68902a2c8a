"""What a client shows in `Authorization` (RFC 9110, 11.6.2; RFC 7617; RFC 6750)."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from regproxy.policy.credential import Secret

MAX_BYTES = 8 * 1024  # of the header's value; tokens of clouds take up to 4 KiB
_MAX_JWT_PARTS = 3


class InvalidAuthorization(ValueError):
    """It cannot be read; the message shows nothing of it."""


@dataclass(frozen=True, slots=True)
class Basic:
    """A user and a password, or a token in a password's place."""

    username: str
    password: Secret


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token."""

    token: Secret


Presented: TypeAlias = Basic | Bearer


def parse_authorization(values: Sequence[str]) -> Presented | None:
    """Read the `Authorization` headers of a request; None where there is none, or an empty user and password, as podman sends them.

    Raise `InvalidAuthorization`.
    """
    if not values:
        return None
    if len(values) > 1:
        raise InvalidAuthorization("the request has more than one Authorization header")
    value = values[0].strip()
    if len(value) > MAX_BYTES:
        raise InvalidAuthorization(f"the Authorization header has more than {MAX_BYTES} bytes")
    scheme, _, rest = value.partition(" ")
    match scheme.lower():
        case "basic":
            return _basic(rest.strip())
        case "bearer" if _is_token(token := rest.strip()):
            return Bearer(Secret(token))
        case "bearer":
            raise InvalidAuthorization("the Authorization header has no bearer token")
    raise InvalidAuthorization("the Authorization header is neither Basic nor Bearer")


def is_jwt(text: str) -> bool:
    """Report whether *text* may be a JWT (RFC 7519): three parts, the first of which is a JSON object in base64url."""
    return text.startswith("eyJ") and text.count(".") == _MAX_JWT_PARTS - 1


def _basic(encoded: str) -> Basic | None:
    try:
        username, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise InvalidAuthorization("the Authorization header has no user and password in base64")
    if not username and not password:
        return None
    if any(each < " " or each == "\x7f" for each in username + password):
        raise InvalidAuthorization("the Authorization header has a control character in its user or password")
    return Basic(username, Secret(password))


def _is_token(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and " " not in text
