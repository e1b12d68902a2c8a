"""How members know each other: each request carries a MAC, and so does the head of its answer.

The key never travels. A request counts once, within some seconds of a clock that need not be right: who is refused for its clock learns
from the refusal what time it is there.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from cachetools import TTLCache

from regproxy.fleet.encryption import derived
from regproxy.policy.clock import WallClock

REQUEST = "Regproxy-Fleet"  # a field of requests: version, milliseconds since the epoch, nonce, MAC
ANSWER = "Regproxy-Fleet-Mac"  # a field of answers
_VERSION = "1"
MAX_AGE = 30.0  # seconds that a request may be older, or younger, than our clock
_MAX_NONCES = 100_000  # of requests that may be replayed; the oldest is forgotten first
_MAX_FIELD = 200  # characters


class NotOursError(Exception):
    """A request or an answer that no member made for this."""


class WrongClockError(NotOursError):
    """A request that was made at another time than now."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A request, known by its *nonce*, and the key of its answer."""

    nonce: str
    key: bytes

    def mac(self, *parts: str) -> str:
        """Sign the head of the answer, or what an error says."""
        return _mac(self.key, "answer", self.nonce, *parts)

    def check(self, mac: str | None, *parts: str) -> None:
        """Raise `NotOursError` unless *mac* is that of *parts*."""
        if mac is None or not hmac.compare_digest(_encoded(mac), self.mac(*parts).encode()):
            raise NotOursError("its answer is not made with our fleet.key")


class FleetKeys:
    """Signs requests by the first of two keys, and accepts both."""

    def __init__(self, keys: str, clock: WallClock) -> None:
        """Derive the keys from *keys*: one text, or two separated by a comma; *clock* returns epoch seconds."""
        self._keys = [derived(key.strip(), "fleet requests") for key in keys.split(",")]
        self._clock = clock
        self._nonces: TTLCache[str, bool] = TTLCache(_MAX_NONCES, 3 * MAX_AGE)

    def signed(self, method: str, host: str, target: str, range_: str, skew: float = 0.0) -> tuple[str, Sealed]:
        """Return the field for a request for *target* at *host*, whose clock is *skew* seconds ahead of ours, and what seals its answer."""
        moment, nonce = str(int((self._clock() + skew) * 1000)), secrets.token_hex(16)
        key = self._keys[0]
        mac = _mac(key, "request", method, host, target, range_, moment, nonce)
        return f"{_VERSION} {moment} {nonce} {mac}", Sealed(nonce, key)

    def opened(self, field: str, method: str, host: str, target: str, range_: str) -> Sealed:
        """Return what seals the answer of a request; raise `NotOursError` unless a member made it just now, and it came only once."""
        version, moment, nonce, mac = _split(field)
        if version != _VERSION:
            raise NotOursError("of another version")
        for key in self._keys:
            if hmac.compare_digest(mac.encode(), _mac(key, "request", method, host, target, range_, moment, nonce).encode()):
                break
        else:
            raise NotOursError("not made with our fleet.key")
        if not moment.isdigit() or abs(self._clock() - int(moment) / 1000) > MAX_AGE:
            raise WrongClockError("made at another time than now")
        if nonce in self._nonces:
            raise NotOursError("repeated")
        self._nonces[nonce] = True
        return Sealed(nonce, key)


def _split(field: str) -> tuple[str, str, str, str]:
    parts = field.split(" ") if len(field) <= _MAX_FIELD and field.isascii() else []
    if len(parts) != 4:
        raise NotOursError("not a request of a member")
    return parts[0], parts[1], parts[2], parts[3]


def _mac(key: bytes, *parts: str) -> str:
    """Sign *parts*; none of them holds a line break, which no field and no target of a request can."""
    return hmac.digest(key, _encoded("\n".join(parts)), hashlib.sha256).hex()


def _encoded(text: str) -> bytes:
    """Return the bytes of *text* as it came: what is not UTF-8 in a header stands there as surrogates."""
    return text.encode(errors="surrogateescape")
