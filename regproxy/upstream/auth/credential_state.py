"""Whether a host takes our credentials: logged when that changes, and shown by `/readyz` while they are refused."""

import logging
from collections.abc import Hashable

from cachetools import LRUCache

from regproxy.asker import asker
from regproxy.policy.clock import WallClock
from regproxy.policy.credential import Credential
from regproxy.policy.upstream.tokens import WRONG_FOR
from regproxy.telemetry.log import fields

_MAX_ACCOUNTS = 64  # refused at one host that are remembered
_REMEMBERED = 2 * WRONG_FOR  # seconds after the last refusal: what is used is tried again by then, and what is not is over

_log = logging.getLogger(__name__)


class CredentialState:
    """The credentials that one host refuses."""

    def __init__(self, upstream: str, host: str, clock: WallClock) -> None:
        """Report by the names of *upstream* and *host*; *clock* returns epoch seconds."""
        self._upstream = upstream
        self._host = host
        self._clock = clock
        self._refused: LRUCache[Hashable, tuple[float, str]] = LRUCache(_MAX_ACCOUNTS)

    def refused(self, account: Hashable, reason: str) -> None:
        """Record that an account was refused, whatever was asked for; a client's own is no concern of operators."""
        if asker.get() is not None:
            return
        if not self.reason:
            _log.error(
                "credentials refused: asking anonymously, which some registries limit (Docker Hub)",
                extra=fields(upstream=self._upstream, host=self._host, reason=reason),
            )
        self._refused[account] = (self._clock(), reason)

    def accepted(self, account: Hashable) -> None:
        """Record that an account is taken."""
        if self._refused.pop(account, None) is not None and not self.reason:
            _log.info("credentials accepted again", extra=fields(upstream=self._upstream, host=self._host))

    def withdrawn(self, credential: Credential) -> None:
        """Record that *credential* is sent no more: another one took its place."""
        for account in [each for each in self._refused if isinstance(each, tuple) and credential in each]:
            del self._refused[account]
            _log.info("refused credentials replaced", extra=fields(upstream=self._upstream, host=self._host))

    @property
    def reason(self) -> str:
        """Return why credentials are refused; empty where none are."""
        now = self._clock()
        return next((reason for since, reason in self._refused.values() if now - since < _REMEMBERED), "")
