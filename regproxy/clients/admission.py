"""What became known of a client by what it shows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from regproxy.policy.clients.identity import NOBODY, Identity
from regproxy.policy.credential import Credential


class Unauthenticated(Exception):
    """The client is nobody who may use regproxy; the message says why, and what to do."""

    def __init__(self, message: str, *, is_token: bool = False) -> None:
        """Report whether it is a token that does not count (any more): another one is to be asked for."""
        super().__init__(message)
        self.is_token = is_token


@dataclass(frozen=True, slots=True)
class Admission:
    """Who a client is until when, in epoch seconds, and the credential that it may have an upstream look at.

    *claims* are what a token of ours says of it.
    """

    client: Identity = NOBODY
    until: float = math.inf
    credential: Credential | None = None
    claims: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_nobody(self) -> bool:
        """Whether it has shown nothing."""
        return self.client == NOBODY and self.credential is None
