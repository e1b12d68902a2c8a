"""The tokens that we give clients: what they say is sealed, and kept nowhere else.

They open nothing by themselves: what one says of a client is compared with the configuration each time. A client's credential for an
upstream lies in its token alone.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from hmac import compare_digest

from regproxy.fleet.encryption import Encryption
from regproxy.policy.clients.authorization import MAX_BYTES
from regproxy.policy.clock import WallClock

LIFE = 600.0  # seconds
_PLACE = "access token"
_PREFIX = "rp."
_MAX_SEALED = MAX_BYTES - len("Bearer ")


class AccessTokens:
    """Makes tokens, and reads them."""

    def __init__(self, keys: str, clock: WallClock) -> None:
        """Seal with *keys*, as `Encryption` takes them; *clock* returns epoch seconds."""
        self._encryption = Encryption(keys, "clients")
        self._clock = clock

    def issued(self, claims: Mapping[str, str]) -> str | None:
        """Make a token that says *claims*; None where it would be too long to be sent."""
        sealed = self._encryption.sealed(_PLACE, json.dumps({**claims, "at": self._clock()}).encode(), self._clock())
        token = _PREFIX + base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
        return token if len(token) <= _MAX_SEALED else None

    def claims(self, token: str) -> tuple[Mapping[str, str], float] | None:
        """Return what *token* says, and until when, in epoch seconds; None where it is not ours, or over."""
        try:
            sealed = base64.b64decode(token[len(_PREFIX) :] + "=" * (-(len(token) - len(_PREFIX)) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        opened = self._encryption.opened(_PLACE, sealed, self._clock(), LIFE)
        if opened is None:
            return None
        claims = json.loads(opened)
        until = float(claims.pop("at")) + LIFE
        return claims, until

    def fingerprint(self, secret: bytes) -> str:
        """Name *secret*, so that it is seen to have changed."""
        return self._encryption.names(secret.hex())[0][:32]

    def has_fingerprint(self, secret: bytes, fingerprint: str) -> bool:
        """Report whether *fingerprint* was made of *secret*, by any of the keys."""
        return any(compare_digest(name[:32], fingerprint) for name in self._encryption.names(secret.hex()))


def is_access_token(text: str) -> bool:
    """Report whether *text* looks like one of ours."""
    return text.startswith(_PREFIX)
