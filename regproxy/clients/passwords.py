"""Passwords compared with bcrypt hashes: off the loop, once for the same password, and with a bound on what wrong ones cost.

What is remembered of a password is its HMAC, together with that of the hash it was compared with: a new hash is compared anew.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import bcrypt
from cachetools import TTLCache

from regproxy.clients.attempts import Attempts
from regproxy.flights import Flights
from regproxy.oci import errors
from regproxy.policy.clients.sharing import Share
from regproxy.policy.clients.token_bucket import Rate
from regproxy.policy.clock import MonotonicClock
from regproxy.policy.credential import Secret
from regproxy.slots import NoSlotError, Slots

_MAX_KNOWN = 10_000  # passwords of each kind, some 2 MB
_RIGHT_FOR, _WRONG_FOR = 600.0, 300.0  # seconds
_AT_ONCE = Share.of(1)  # comparisons, of 50 ms and more, by the one thread that a worker spends on them: addresses take turns
_MAX_WAIT = 10.0  # seconds
_TOO_MANY = "too many wrong passwords from this address: wait, and log in with the right one"
_WRONG_ONES = Rate(per_second=0.2, burst=20)  # by address; a right password that is known never waits
_NO_USER = b"$2b$10$OpXV4pAv44pGrr1IUnYDlOG1aIx8anMgkpZgYcGzrHVlv0snC9n5e"  # compared with where there is no such user: as slow as one


class Passwords:
    """Compares passwords."""

    def __init__(self, clock: MonotonicClock = time.monotonic) -> None:
        """Remember nothing yet."""
        self._key = secrets.token_bytes(32)
        self._right: TTLCache[bytes, None] = TTLCache(_MAX_KNOWN, _RIGHT_FOR, clock)
        self._wrong: TTLCache[bytes, None] = TTLCache(_MAX_KNOWN, _WRONG_FOR, clock)
        self._attempts = Attempts(_WRONG_ONES, _TOO_MANY, clock)
        self._flights: Flights[bytes, bool] = Flights()
        self._slots = Slots(_AT_ONCE)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passwords")
        self.compared = 0

    async def is_right(self, username: str, password: Secret, hashed: bytes | None, address: str) -> bool:
        """Report whether *password* is what *hashed* was made of; None is a user that does not exist.

        Raise `RegistryError` where the client at *address* has had too many wrong ones, or too many are compared now.
        """
        compared_with = hashed or _NO_USER
        mark = self._mark(username, password, compared_with)
        if mark in self._right:
            return True
        if mark in self._wrong:
            return False
        is_right = await self._flights.join(mark, lambda: self._compared(password, compared_with, address)) and hashed is not None
        (self._right if is_right else self._wrong)[mark] = None
        return is_right

    async def close(self) -> None:
        await self._flights.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _compared(self, password: Secret, hashed: bytes, address: str) -> bool:
        try:
            async with self._slots.held(_MAX_WAIT):
                self._attempts.check(address)
                is_right = await asyncio.get_running_loop().run_in_executor(self._thread, _is_right, password, hashed)
        except NoSlotError as error:
            raise errors.unavailable("too many logins at once", retry_after=5) from error
        self.compared += 1
        if not is_right:
            self._attempts.charge(address)
        return is_right

    def _mark(self, username: str, password: Secret, hashed: bytes) -> bytes:
        parts = [username.encode(), password.value.encode(), hashed]
        return hmac.digest(self._key, b"".join(len(part).to_bytes(4) + part for part in parts), hashlib.sha256)


def _is_right(password: Secret, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password.value.encode(), hashed)
    except ValueError:
        return False  # longer than the 72 bytes that bcrypt reads
