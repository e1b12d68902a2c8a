"""What issues credentials that end."""

from typing import Protocol

from regproxy.policy.credential import Credential


class Source(Protocol):
    """Knows the credential of one host at any time."""

    async def find(self, name: str) -> Credential | None:
        """Return the credential for repository *name*; None: anonymous. Raise `UpstreamError` where it cannot be had."""

    async def replacement(self, refused: Credential, name: str) -> Credential | None:
        """Return another credential than one that was refused; None where there is no other."""

    @property
    def failure(self) -> str:
        """Return why there is no credential; empty where there is one, or nobody has asked."""

    async def close(self) -> None: ...
