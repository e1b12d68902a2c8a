"""How a host is reached: by way of a proxy, and by TLS."""

from dataclasses import dataclass

from regproxy.policy.credential import Credential


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy to a host, and our credentials for it."""

    url: str
    credential: Credential | None = None

    def __str__(self) -> str:
        """Write it so that an operator may be shown it; a user without a password is a token."""
        if self.credential is None:
            return self.url
        scheme, separator, place = self.url.partition("://")
        return f"{scheme}{separator}{f'{self.credential.username}:' if self.credential.password.value else ''}***@{place}"


@dataclass(frozen=True, slots=True)
class Tls:
    """How a host is known, and how we are known to it; paths of PEM files, and none where the system's way is right."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    insecure: bool = False
